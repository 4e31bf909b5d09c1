//! `cocaptain data`: datasets on the command line.

mod browse;
mod check;
mod convert;
pub mod demo;
mod fetch;
mod plot;
pub mod read;
mod show;
mod stats;

use clap::{ArgMatches, Command};

use super::Done;

/// The command.
pub fn command() -> Command {
    Command::new("data")
        .about("Datasets")
        .subcommand_required(true)
        .subcommand(browse::command())
        .subcommand(check::command())
        .subcommand(show::command())
        .subcommand(stats::command())
        .subcommand(convert::command())
        .subcommand(demo::command())
        .subcommand(fetch::command())
}

/// Carries it out.
pub fn data(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("browse", m)) => browse::browse(m),
        Some(("check", m)) => check::check(m),
        Some(("show", m)) => show::show(m),
        Some(("stats", m)) => stats::run(m),
        Some(("convert", m)) => convert::run(m),
        Some(("demo", m)) => demo::demo(m),
        Some(("fetch", m)) => fetch::run(m),
        _ => Ok(()),
    }
}
