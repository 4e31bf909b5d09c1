//! What command line and screen share about captioning files: which files are pictures, where captions are kept.

pub mod files;
pub mod keep;
