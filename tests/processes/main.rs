//! Processes of a run: the real `cocaptain` with a scripted rank in the engine's place.

// clippy.toml allows them in `#[test]` functions only; helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod caption_tab;
mod captions;
mod check;
mod check_formats;
mod check_kinds;
mod command_line;
mod control;
mod datasets;
mod disk;
mod endings;
mod evaluation;
mod faults;
mod formats;
mod hub;
mod instrument;
mod loading;
mod nodes;
mod optimiser;
mod parallel;
mod random_faults;
mod rank;
mod robust;
mod support;
mod terminal;
mod training;
