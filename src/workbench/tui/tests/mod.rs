//! The screen as a person sees it, from a made-up run with fixed times.

mod captions;
mod datasets;
mod evaluate;
pub mod fixture;
mod instrument;
mod keys;
mod screens;
