//! cocaptain: the command line, the supervisor of runs and the workbench on the terminal.

mod captions;
mod cli;
mod datasets;
mod engine;
mod evaluations;
mod inline;
mod launch;
#[cfg(test)]
mod reference;
mod supervise;
mod tensorboard;
mod tui;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
