//! What commands on datasets share: how a dataset is named and read, its tokenizer, progress on the terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::{Arg, ArgMatches, Command, value_parser};
use data::{Dataset, ReadOptions, Split, Tokenizer};
use run::settings::Settings;

use super::super::{Failure, flags};

/// The settings that say how data is read.
const READING: [&str; 5] = ["image_root", "data_format", "csv_img_key", "csv_caption_key", "csv_separator"];

/// Adds what says how a dataset is read.
pub fn flags(command: Command) -> Command {
    let command = command.arg(
        Arg::new("split")
            .long("split")
            .value_name("SPLIT")
            .value_parser(["train", "val", "test"])
            .default_value("train")
            .help("Which split of a dataset folder"),
    );
    flags::some(command, &READING)
}

/// Adds the tokenizer and the length of texts.
pub fn token_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("tokenizer")
                .long("tokenizer")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("tokenizer.json to count tokens by; else CLIP's, or the dataset's own"),
        )
        .arg(
            Arg::new("context_length")
                .long("context_length")
                .alias("context-length")
                .value_name("N")
                .default_value("76")
                .value_parser(value_parser!(u64).range(4..=4096))
                .help("Tokens that the model reads"),
        )
}

/// How the dataset is to be read.
pub fn options(m: &ArgMatches) -> Result<ReadOptions, Failure> {
    let mut settings = Settings::default();
    flags::assign_some(&mut settings, m, &READING).map_err(|e| Failure::Usage(e.to_string()))?;
    settings.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(ReadOptions::from(&settings))
}

/// The split that is meant.
pub fn split(m: &ArgMatches) -> Split {
    match m.get_one::<String>("split").map(String::as_str) {
        Some("val") => Split::Val,
        Some("test") => Split::Test,
        _ => Split::Train,
    }
}

/// Opens the dataset that the argument `name` names.
pub fn open(m: &ArgMatches, name: &str) -> Result<Dataset, Failure> {
    let path = m.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    Dataset::open(&path, split(m), &options(m)?).map_err(Failure::failed)
}

/// The tokenizer that is named, else the dataset's own, else CLIP's.
pub fn tokenizer(m: &ArgMatches, path: &Path) -> Result<Tokenizer, Failure> {
    let named = m.get_one::<PathBuf>("tokenizer").cloned();
    match named.or_else(|| crate::datasets::own_tokenizer(path)) {
        Some(file) => Tokenizer::from_file(&file).map_err(Failure::failed),
        None => Tokenizer::clip().map_err(Failure::failed),
    }
}

/// Tokens that the model reads.
pub fn context_length(m: &ArgMatches) -> usize {
    m.get_one::<u64>("context_length").map_or(76, |n| usize::try_from(*n).unwrap_or(76))
}

/// Set by Ctrl-C; the second one ends the program.
pub fn cancelled_by_signals() -> Result<Arc<AtomicBool>, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.clone())
            .map_err(Failure::failed)?;
        signal_hook::flag::register(signal, cancel.clone()).map_err(Failure::failed)?;
    }
    Ok(cancel)
}

/// One line on a terminal's stderr that says how far work is.
pub struct Bar {
    what: &'static str,
    terminal: bool,
    last: AtomicUsize,
}

impl Bar {
    /// For work called so.
    pub fn new(what: &'static str) -> Self {
        Self { what, terminal: std::io::stderr().is_terminal(), last: AtomicUsize::new(usize::MAX) }
    }

    /// How far it is.
    pub fn tell(&self, done: usize, all: usize) {
        let percent = done * 100 / all.max(1);
        if self.terminal && self.last.swap(percent, Ordering::Relaxed) != percent {
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {done} of {all} ({percent} %)", self.what);
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
