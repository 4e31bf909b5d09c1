//! `cocaptain data convert`: a dataset in another format, or divided into splits.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::convert::{Captions, Group, Options, Pictures, Plan, convert, format_of};
use data::progress::Progress;
use data::reader::Format;

use super::super::{Done, Failure, print};
use super::read;

/// Entries left out that are named for people.
const SHOWN: usize = 10;

/// The command.
pub fn command() -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    let command = Command::new("convert")
        .about("Write a dataset in another format, divided into splits, with its pictures copied or linked")
        .arg(path("IN", "Annotation file, shards or folder; see docs/datasets.md"))
        .arg(path("OUT", "File ending in .json .jsonl .csv .tsv .filelist .tar, or a new folder"))
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FORMAT")
                .value_parser(Format::ALL.map(Format::name))
                .help("Format to write; else the one that OUT's name tells"),
        )
        .arg(
            Arg::new("pictures")
                .long("pictures")
                .value_name("HOW")
                .value_parser(["keep", "copy", "link"])
                .help("keep: they stay where they are (annotation files); copy; link: hard links"),
        )
        .arg(
            Arg::new("captions")
                .long("captions")
                .value_name("HOW")
                .value_parser(["keep", "each", "join"])
                .help("keep: as the entries have them; each: an entry a caption; join: an entry a picture"),
        )
        .arg(
            Arg::new("splits")
                .long("splits")
                .value_name("SHARES")
                .help("Divide: train=0.8,val=0.1,test=0.1; no picture stands in two splits"),
        )
        .arg(
            Arg::new("group")
                .long("group")
                .value_name("BY")
                .value_parser(["picture", "id", "content"])
                .default_value("content")
                .help("What stays in one split: entries of a picture, also of an id, also of equal files (which reads them all)"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("42")
                .help("Seed of the division"),
        )
        .arg(
            Arg::new("shard")
                .long("shard")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("1000")
                .help("Samples of a tar shard or laion part, in a folder of them"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print what was written as JSON"));
    read::flags(command).after_help(
        "OUT must not be there: nothing is overwritten. Exit status 1 when entries had to be left out (they are named).",
    )
}

/// Carries it out.
pub fn run(m: &ArgMatches) -> Done {
    let Some(out) = m.get_one::<PathBuf>("OUT") else { return Ok(()) };
    let named = m.get_one::<String>("to").and_then(|name| Format::named(name));
    let format = named.or_else(|| format_of(out)).ok_or_else(|| {
        let formats = Format::ALL.map(Format::name).join(", ");
        Failure::Usage(format!("{}: its name tells no format: give --to, one of {formats}", out.display()))
    })?;
    let group = match m.get_one::<String>("group").map(String::as_str) {
        Some("id") => Group::Id,
        Some("picture") => Group::Picture,
        _ => Group::Content,
    };
    let seed = m.get_one::<u64>("seed").copied().unwrap_or(42);
    let plan = m.get_one::<String>("splits").map(|text| Plan::parse(text, seed, group)).transpose();
    let options = Options {
        captions: m.get_one::<String>("captions").map(|how| match how.as_str() {
            "each" => Captions::Each,
            "join" => Captions::Join,
            _ => Captions::Keep,
        }),
        pictures: m.get_one::<String>("pictures").map(|how| match how.as_str() {
            "copy" => Pictures::Copy,
            "link" => Pictures::Link,
            _ => Pictures::Keep,
        }),
        shard: m.get_one::<u64>("shard").map_or(1000, |n| usize::try_from(*n).unwrap_or(usize::MAX)),
        plan: plan.map_err(|e| Failure::Usage(format!("--splits {e}")))?,
        ..Options::new(format)
    };
    let cancel = read::cancelled_by_signals()?;
    let dataset = read::open(m, "IN")?;
    let bar = read::Bar::new("writing");
    let tell = |done, all| bar.tell(done, all);
    let done = convert(&dataset, None, out, &options, &Progress { tell: &tell, cancel: &cancel });
    bar.end();
    let done = done.map_err(Failure::failed)?;
    if m.get_flag("json") {
        let text = serde_json::to_string(&done).map_err(Failure::failed)?;
        print(&format!("{text}\n"))?;
    } else {
        let entries = match (&options.plan, done.entries.as_slice()) {
            (Some(plan), sizes) => {
                let each =
                    plan.shares.iter().zip(sizes).map(|((split, _), n)| format!("{} {n}", split.name()));
                format!("entries: {}", each.collect::<Vec<_>>().join(", "))
            }
            (None, sizes) => format!("{} entries", sizes.iter().sum::<usize>()),
        };
        let mut told = format!("{}: {entries}, {} pictures written", out.display(), done.pictures);
        if done.reencoded > 0 {
            told += &format!(" ({} of them encoded anew as PNG)", done.reencoded);
        }
        print(&format!("{}\n", run::escape::line(&told)))?;
    }
    let complain = |text: String| drop(writeln!(std::io::stderr(), "{}", run::escape::line(&text)));
    if let Some(root) = &done.image_root {
        complain(format!("the pictures stay where they are: read it with --image_root {}", root.display()));
    }
    if dataset.broken_count() > 0 {
        complain(format!(
            "{} entries are no samples and were passed over: see data check",
            dataset.broken_count()
        ));
    }
    for left in done.left_out.iter().take(SHOWN) {
        complain(format!("left out: entry {}, {}: {}", left.entry, left.image, left.reason));
    }
    match done.left_out_count {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} entries were left out, the rest is written"))),
    }
}
