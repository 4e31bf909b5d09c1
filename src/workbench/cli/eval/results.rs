//! `cocaptain eval results`: every result below a folder of runs, as a table or a file.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use crate::cli::{Done, Failure, output_dir, print, root_of};
use crate::evaluations::export;
use crate::evaluations::results::Outcome;

/// The command.
pub fn command() -> Command {
    Command::new("results")
        .about("All results: checkpoint by data set")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(
            Arg::new("out")
                .short('o')
                .value_name("F")
                .value_parser(value_parser!(PathBuf))
                .help("Write them to a file: .csv, .md, .svg or .png"),
        )
        .arg(output_dir())
}

/// Carries it out.
pub fn results(m: &ArgMatches) -> Done {
    let all = Outcome::all(&root_of(m));
    if let Some(file) = m.get_one::<PathBuf>("out") {
        return export::write(&all, file).map_err(Failure::Failed);
    }
    if m.get_flag("json") {
        let one = |o: &Outcome| {
            json!({
                "task": o.task, "model": o.model, "data": o.data, "how": o.how, "figures": o.figures,
                "folder": o.folder, "t": o.t,
            })
        };
        return print(&format!("{}\n", Value::from(all.iter().map(one).collect::<Vec<_>>())));
    }
    if all.is_empty() {
        return print("there are no results yet\n");
    }
    print(&export::markdown(&all))
}
