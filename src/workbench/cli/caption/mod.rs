//! `cocaptain caption`: captions for files, folders and patterns.

pub mod decoding;
mod show;

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use run::serve::{Reply, Request};

use super::serving::{self, End, Progress, Serving};
use super::{Done, Failure};
use crate::captions::{files, keep};
use keep::{Annotations, Keeper};
use show::Show;

/// The command.
pub fn command() -> Command {
    let on = |name: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
        if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag }
    };
    let command = Command::new("caption")
        .about("Caption pictures: files, folders with all below them, patterns")
        .arg(
            Arg::new("IMAGE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Files, folders, patterns such as 'in/*.jpg'"),
        )
        .arg(on("json", "Print a JSON object for each picture: image, caption, ids, seconds"))
        .arg(on("sidecar", "Write picture.txt beside each picture"))
        .arg(
            Arg::new("annotations")
                .long("annotations")
                .value_name("OUT.json")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("sidecar")
                .help("Write one annotation file in coco_karpathy form; one that is there is extended"),
        )
        .arg(on("resume", "Skip pictures that have their caption in the sidecar or the annotation file"))
        .arg(on("no_picture", "Don't show the pictures on the terminal"));
    serving::flags(decoding::flags(command))
        .after_help("Exit status 1 when a picture could not be captioned; all others are done.")
}

/// Carries it out.
pub fn caption(m: &ArgMatches) -> Done {
    let decoding = decoding::read(m)?;
    let mut keeper = match m.get_one::<PathBuf>("annotations") {
        Some(path) => Some(Keeper::Annotations(Annotations::open(path).map_err(Failure::Failed)?)),
        None => m.get_flag("sidecar").then_some(Keeper::Sidecars),
    };
    let words: Vec<PathBuf> = m.get_many("IMAGE").into_iter().flatten().cloned().collect();
    let mut images = files::expand(&words).map_err(Failure::Failed)?;
    if let (Some(Keeper::Sidecars), Some((a, b))) = (&keeper, keep::shared_sidecar(&images)) {
        let shared = keep::sidecar(a);
        return Err(Failure::Usage(format!(
            "{} and {} would share {}: use --annotations, or caption them one by one",
            a.display(),
            b.display(),
            shared.display()
        )));
    }
    if m.get_flag("resume") {
        let Some(keeper) = &keeper else {
            return Err(Failure::Usage(
                "--resume needs --sidecar or --annotations: they tell what is done".to_owned(),
            ));
        };
        let before = images.len();
        images.retain(|image| !keeper.has(image));
        eprintln!("{} of {before} pictures have their caption already", before - images.len());
        if images.is_empty() {
            return Ok(());
        }
    }
    let settings = serving::settings(m)?;
    let mut show = Show::new(m.get_flag("json"), m.get_flag("no_picture"), images.len(), decoding.captions);
    let serving = Serving::start(settings)?;
    let mut progress = Progress::new("captioning");
    let (mut failed, mut done) = (0, 0);
    let total = images.len() as u64;
    let request = Request::Caption {
        images: images.clone(),
        decoding,
        batch: serving::batch(m),
        stream: show.streams(),
    };
    let end = serving.ask(request, |reply| {
        match reply {
            Reply::Token { index, text, .. } => {
                if let Some(image) = image_of(&images, index) {
                    show.token(image, &text)?;
                }
            }
            Reply::Caption { index, captions, seconds } => {
                let Some(image) = image_of(&images, index) else { return Ok(()) };
                let texts: Vec<String> = captions.iter().map(|c| c.text.clone()).collect();
                if let Some(keeper) = &mut keeper {
                    keeper.keep(image, &texts).map_err(Failure::Failed)?;
                }
                show.caption(image, &captions, seconds)?;
                done += 1;
                progress.below(done + failed, total);
            }
            Reply::Unreadable { index, why } => {
                failed += 1;
                if let Some(image) = image_of(&images, index) {
                    show.unreadable(image, &why)?;
                }
                progress.below(done + failed, total);
            }
            _ => {}
        }
        Ok(())
    });
    serving::clear();
    // What is done is kept, however it ended.
    keeper.as_mut().map_or(Ok(()), Keeper::finish).map_err(Failure::Failed)?;
    match end? {
        End::Cancelled => Err(Failure::Failed(format!(
            "stopped: {done} of {total} pictures are done{}",
            if keeper.is_some() { "; --resume goes on from here" } else { "" }
        ))),
        End::Done if failed > 0 => {
            Err(Failure::Failed(format!("{failed} of {total} pictures could not be captioned")))
        }
        End::Done => Ok(()),
    }
}

fn image_of(images: &[PathBuf], index: u64) -> Option<&PathBuf> {
    images.get(usize::try_from(index).ok()?)
}
