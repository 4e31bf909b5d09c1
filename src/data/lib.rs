//! Datasets: formats, image decoding and preprocessing, tokenizer, batches, demo.
//!
//! A line of an annotation file becomes a [`Sample`]; only samples leave the readers. The [`loader::Loader`]
//! decodes, preprocesses and tokenises them into batches of plain memory. Nothing here knows tensors or
//! terminals.

pub mod demo;
pub mod picture;
pub mod random;
pub mod tokenizer;
