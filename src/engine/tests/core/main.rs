//! Tests of the model, its loss, its optimiser and generation, in one program: linking libtorch is slow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail as tests do

mod common;
mod generate;
mod golden;
mod loss;
mod optimiser;
mod parameters;
mod products;
mod weights;
