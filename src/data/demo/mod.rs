//! The demo dataset: drawn pictures of coloured shapes with captions, in coco_karpathy layout.
//!
//! Everything in it is a function of the seed and of a picture's split and number. It trains a small model
//! from scratch in minutes, and its truth is known, so that captions can be scored exactly.

mod files;
mod language;
mod paint;
mod scene;
mod vocabulary;

pub use files::{
    DemoError, DemoOptions, DemoSummary, GENERATOR_VERSION, TruthEntry, draw, is_complete, read_truth,
};
pub use language::{CaptionScore, Tally, describe, parse, score};
pub use paint::paint;
pub use scene::{Colour, HELD_OUT, Object, Relation, Scene, Shape, Size, draw_scene, is_held_out};
