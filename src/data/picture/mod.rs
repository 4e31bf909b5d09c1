//! Pictures: decoding, and preprocessing as open_clip does it with Pillow.

mod decode;
mod jpeg;
#[allow(clippy::module_inception)]
mod picture;
mod preprocess;
mod resample;
mod turn;

pub use decode::{DecodeError, decode, too_large};
pub use picture::Picture;
pub use preprocess::{CLIP_MEAN, CLIP_STD, Crop, CropOptions, Preprocess};

#[cfg(test)]
mod tests;
