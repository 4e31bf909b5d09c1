//! `cocaptain embed`: features of pictures and texts into a safetensors file.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use run::serve::{Reply, Request};

use super::serving::{self, End, Progress, Serving};
use super::{Done, Failure, print};
use crate::captions::files;

/// The command.
pub fn command() -> Command {
    let command = Command::new("embed")
        .about("Write features of pictures and texts: image_features [N,D], text_features [M,D], float32, of length 1")
        .arg(
            Arg::new("images")
                .long("images")
                .value_name("F")
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Pictures: files, folders, patterns; their order is the order of the rows"),
        )
        .arg(
            Arg::new("texts_file")
                .long("texts_file")
                .alias("texts-file")
                .value_name("F")
                .value_parser(value_parser!(PathBuf))
                .help("A text a line; their order is the order of the rows"),
        )
        .arg(
            Arg::new("out")
                .short('o')
                .long("out")
                .value_name("OUT.safetensors")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The file to write"),
        );
    serving::flags(command)
}

/// Carries it out.
pub fn embed(m: &ArgMatches) -> Done {
    let words: Vec<PathBuf> = m.get_many("images").into_iter().flatten().cloned().collect();
    let images = files::expand(&words).map_err(Failure::Failed)?;
    let texts = match m.get_one::<PathBuf>("texts_file") {
        None => Vec::new(),
        Some(path) => super::tokenize::lines_of(path)?,
    };
    if images.is_empty() && texts.is_empty() {
        return Err(Failure::Usage("there is nothing to embed: give --images or --texts_file".to_owned()));
    }
    let Some(out) = m.get_one::<PathBuf>("out").cloned() else { return Ok(()) };
    // Told before the work, not after it.
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failure::Failed(format!("{}: there is no such folder: make it first", folder.display())));
    }
    let counts = (images.len(), texts.len());
    let serving = Serving::start(serving::settings(m)?)?;
    let mut progress = Progress::new("embedding");
    let request = Request::Embed { images, texts, out: out.clone(), batch: serving::batch(m) };
    let end = serving.ask(request, |reply| {
        if let Reply::Progress { done, total } = reply {
            progress.say(done, total);
        }
        Ok(())
    })?;
    serving::clear();
    if end == End::Cancelled {
        return Err(Failure::Failed("stopped; no file was written".to_owned()));
    }
    let name = out.display().to_string();
    print(&format!("{}: {} pictures, {} texts\n", run::escape::line(&name), counts.0, counts.1))
}
