//! The screen as a person sees it, from a made-up run with fixed times.

mod captions;
mod charts;
mod datasets;
mod evaluate;
pub mod fixture;
mod keys;
mod log;
mod looks;
mod runs;
mod screens;
