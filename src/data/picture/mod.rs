//! Pictures: decoding, and preprocessing as open_clip does it with Pillow.

mod decode;
mod preprocess;
mod resample;

pub use decode::{DecodeError, Picture, decode, too_large};
pub use preprocess::{CLIP_MEAN, CLIP_STD, CropOptions, Preprocess};

#[cfg(test)]
mod tests;
