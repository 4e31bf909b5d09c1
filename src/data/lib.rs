//! Datasets: formats, image decoding and preprocessing, tokenizer, batches, demo.
//!
//! A line of an annotation file becomes a [`sample::Sample`]; only samples leave the readers. The [`loader::Loader`]
//! decodes, preprocesses and tokenises them into batches of plain memory. Nothing here knows tensors or
//! terminals.

pub mod check;
pub mod convert;
pub mod dataset;
pub mod demo;
pub mod fetch;
mod json;
mod lengths;
pub mod loader;
pub mod picture;
pub mod progress;
pub mod random;
pub mod reader;
pub mod sample;
pub mod scores;
pub mod stats;
pub mod tokenizer;
pub mod zero_shot;

pub use dataset::Dataset;
pub use lengths::Lengths;
pub use loader::{Batch, Loader, LoaderOptions, Position};
pub use reader::{ReadOptions, Split};
pub use sample::Sample;
pub use tokenizer::Tokenizer;
