//! Processes of a run: the real `cocaptain` with a scripted rank in the engine's place.

mod command_line;
mod control;
mod faults;
mod rank;
mod support;
mod training;
