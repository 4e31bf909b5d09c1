//! `cocaptain data demo`: draws the demo dataset.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Arg, ArgMatches, Command, value_parser};
use data::demo::{DemoOptions, DemoSummary};

use super::super::{Done, Failure, print};

/// The command.
pub fn command() -> Command {
    let default = DemoOptions::default();
    let number = |name: &'static str, help: &str, default: usize| {
        let flag = Arg::new(name).long(name).value_name("N").value_parser(value_parser!(usize));
        let flag = if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag };
        flag.help(format!("{help} (default {default})"))
    };
    Command::new("demo")
        .about("Draw the demo dataset: coloured shapes with captions, in coco_karpathy layout")
        .arg(Arg::new("DIR").required(true).value_parser(value_parser!(PathBuf)).help("Folder to make"))
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help(format!("Seed of everything drawn (default {})", default.seed)),
        )
        .arg(number("train_pictures", "Pictures for training", default.train))
        .arg(number("val_pictures", "Held-out pictures to watch", default.val))
        .arg(number("test_pictures", "Held-out pictures for the end", default.test))
        .arg(number("zero_shot_pictures", "Pictures of each zero-shot class", default.zero_shot_per_class))
        .arg(number("side", "Width and height in pixels", default.side))
}

/// Carries it out.
pub fn demo(m: &ArgMatches) -> Done {
    let Some(dir) = m.get_one::<PathBuf>("DIR") else { return Ok(()) };
    let default = DemoOptions::default();
    let number = |name: &str, default: usize| m.get_one::<usize>(name).copied().unwrap_or(default);
    let options = DemoOptions {
        seed: m.get_one::<u64>("seed").copied().unwrap_or(default.seed),
        train: number("train_pictures", default.train),
        val: number("val_pictures", default.val),
        test: number("test_pictures", default.test),
        zero_shot_per_class: number("zero_shot_pictures", default.zero_shot_per_class),
        side: number("side", default.side),
    };
    let summary = draw(dir, &options)?;
    print(&format!("{}: {} pictures, {} token ids\n", dir.display(), summary.pictures, summary.vocabulary))
}

/// Draws it, with progress on a terminal's stderr; one that is there already is left as it is.
pub fn draw(dir: &Path, options: &DemoOptions) -> Result<DemoSummary, Failure> {
    let shown = AtomicUsize::new(0);
    let terminal = std::io::stderr().is_terminal();
    let progress = |done: usize, all: usize| {
        let percent = done * 100 / all.max(1);
        if terminal && shown.fetch_max(percent, Ordering::Relaxed) < percent {
            let end = if done == all { "\n" } else { "" };
            let _ = write!(std::io::stderr(), "\rdrawing the demo dataset: {percent:3} %{end}");
        }
    };
    data::demo::draw(dir, options, &progress).map_err(Failure::failed)
}
