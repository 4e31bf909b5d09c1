//! `cocaptain data`: datasets on the command line.

mod check;
pub mod demo;

use clap::{ArgMatches, Command};

use super::Done;

/// The command.
pub fn command() -> Command {
    Command::new("data")
        .about("Datasets")
        .subcommand_required(true)
        .subcommand(check::command())
        .subcommand(demo::command())
}

/// Carries it out.
pub fn data(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("check", m)) => check::check(m),
        Some(("demo", m)) => demo::demo(m),
        _ => Ok(()),
    }
}
