//! `cocaptain data browse`: the workbench with its data tab open on a dataset.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::super::{Done, Failure, output_dir, root_of};
use super::read;
use crate::tui::{Browse, OpenOptions, open};

/// The command.
pub fn command() -> Command {
    let command = Command::new("browse")
        .about("Open the workbench on a dataset: browse, filter, check, mark and export its entries")
        .arg(
            Arg::new("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, shards or folder; see docs/datasets.md"),
        )
        .arg(output_dir());
    read::flags(read::token_flags(command))
}

/// Carries it out.
pub fn browse(m: &ArgMatches) -> Done {
    let data = Browse {
        path: m.get_one::<PathBuf>("FILE").cloned().unwrap_or_default(),
        split: read::split(m),
        read: read::options(m)?,
        tokenizer: m.get_one::<PathBuf>("tokenizer").cloned(),
        context: read::context_length(m),
    };
    open(OpenOptions { root: root_of(m), run: None, data: Some(data), opened: Vec::new(), read_only: false })
        .map_err(Failure::failed)
}
