//! `cocaptain bench`: how fast this machine does a piece of the work, measured as shared/peer.py measures open_clip.

mod engine;
mod loading;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command};
use data::Tokenizer;
use data::picture::{CLIP_MEAN, CLIP_STD, Preprocess};

use super::tokenize::{CONTEXT, lines_of};
use super::{Done, Failure, print};

/// What is tokenised and trained on where no file is given: peer.py's captions.
const CAPTIONS: [&str; 4] = [
    "A woman wearing a net on her head cutting a cake. ",
    "A man riding a wave on top of a surfboard.",
    "Two dogs playing with a red frisbee in the grass.",
    "A close up of a plate of food with broccoli and rice.",
];
/// Times that a measurement is made; the median is told.
const ROUNDS: usize = 9;
/// Pictures of one measurement.
const PICTURES: usize = 100;

pub fn command() -> Command {
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(clap::value_parser!(PathBuf)).help(help)
    };
    Command::new("bench")
        .about("Measure how fast this machine works")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("preprocess")
                .about("Decode, resize, crop and normalise a picture, on one thread")
                .arg(file("image", "The picture").required(true))
                .arg(json()),
        )
        .subcommand(
            Command::new("tokenize")
                .about("Turn captions into ids, on one thread")
                .after_help("--json prints captions_per_second, and the ids of a file's texts.")
                .arg(file("texts_file", "A text on each line [default: four captions]").alias("texts-file"))
                .arg(json()),
        )
        .subcommand(loading::command())
        .subcommands(engine::commands())
}

pub fn bench(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("preprocess", m)) => preprocess(m),
        Some(("tokenize", m)) => tokenize(m),
        Some(("data", m)) => loading::bench(m),
        Some((what, m)) => engine::bench(what, m),
        None => Err(Failure::Usage("what to measure? See cocaptain bench --help".into())),
    }
}

/// How many pieces a second `work` does, the median of several rounds after one that warms up.
fn rate(pieces: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    work()?;
    let mut seconds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        work()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(pieces as f64 / seconds[ROUNDS / 2].max(f64::MIN_POSITIVE))
}

fn tell(m: &ArgMatches, key: &str, what: &str, rate: f64, ids: Option<Vec<&[i64]>>) -> Done {
    if m.get_flag("json") {
        let mut line = serde_json::json!({ key: rate });
        if let Some(ids) = ids {
            line["ids"] = serde_json::json!(ids);
        }
        return print(&format!("{line}\n"));
    }
    print(&format!("{rate:.0} {what} a second (median of {ROUNDS} rounds, one thread)\n"))
}

fn preprocess(m: &ArgMatches) -> Done {
    let Some(file) = m.get_one::<PathBuf>("image") else { return Ok(()) };
    let fail = |e: &dyn std::fmt::Display| Failure::Failed(format!("{}: {e}", file.display()));
    let bytes = std::fs::read(file).map_err(|e| fail(&e))?;
    let preprocess = Preprocess::new(224, CLIP_MEAN, CLIP_STD);
    let mut out = vec![0.0; preprocess.numbers()];
    let images = rate(PICTURES, || {
        for _ in 0..PICTURES {
            preprocess.evaluate_file(&bytes, &mut out).map_err(|e| fail(&e))?;
            std::hint::black_box(&out);
        }
        Ok(())
    })?;
    tell(m, "images_per_second", "pictures", images, None)
}

fn tokenize(m: &ArgMatches) -> Done {
    let texts = match m.get_one::<PathBuf>("texts_file") {
        Some(file) => lines_of(file)?,
        None => CAPTIONS.iter().cycle().take(4000).map(|text| text.to_string()).collect(),
    };
    if texts.is_empty() {
        return Err(Failure::Failed("there is no line in the file".into()));
    }
    let clip = Tokenizer::clip().map_err(Failure::failed)?;
    let mut ids = vec![0; texts.len() * CONTEXT];
    let captions = rate(texts.len(), || {
        for (text, row) in texts.iter().zip(ids.chunks_exact_mut(CONTEXT)) {
            clip.encode_into(text, row).map_err(Failure::failed)?;
        }
        std::hint::black_box(&ids);
        Ok(())
    })?;
    let given = m.contains_id("texts_file");
    tell(m, "captions_per_second", "captions", captions, given.then(|| ids.chunks_exact(CONTEXT).collect()))
}
