//! cocaptain: the command line, the supervisor of runs and the workbench on the terminal.

mod captions;
mod cli;
mod datasets;
mod delete;
mod engine;
mod evaluations;
mod forecast;
mod foreign;
mod inline;
mod labels;
mod launch;
mod plot;
#[cfg(test)]
mod reference;
mod run_colours;
mod supervise;
mod tensorboard;
mod tui;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
