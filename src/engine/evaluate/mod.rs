//! What a model can do: captions of pictures, zero-shot classification, retrieval.
//!
//! Everything here works on a model that is being trained as well as on a loaded one, and changes nothing of it.

mod captions;
pub mod pictures;
pub mod retrieval;
mod towers;
pub mod zero_shot;

pub use captions::Captioner;
pub use pictures::{Unreadable, read_pictures};
pub use towers::Towers;
