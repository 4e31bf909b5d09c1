//! `cocaptain eval`: what a model can do, measured.
//!
//! Every evaluation keeps a folder `evaluations/<task>-<model>-<key>/` below --output_dir: `request.json` (what was
//! asked, and of which weights), `answers.jsonl` (an answer a line, as they come) and `result.json`; retrieval besides
//! `images.jsonl` and `texts.jsonl` (ranks, and what the worst find), captions `results.json` (COCO's form) and
//! `pictures.jsonl` (captions with references and scores). The same evaluation
//! asked again goes on where it was interrupted. With --queue it is done later, by a runner in the background.

mod asked;
mod caption;
mod queue;
mod record;
mod results;
mod retrieval;
mod zero_shot;

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use data::Dataset;
use run::settings::{EvaluationSettings, Settings};

use super::{Done, Failure, flags, serving};
use crate::evaluations::{check, progress};

/// Flags that PaddleMIX's zero-shot command line has and the others share; settings of their own.
const SETTINGS: &[&str] = &[
    "pretrained_text_model",
    "classification_eval",
    "per_device_eval_batch_size",
    "dataloader_num_workers",
    "fp16",
    "bf16",
    "disable_tqdm",
];

/// The command.
pub fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let common = |command: Command| {
        asked::flags(serving::flags(command))
            .arg(switch("json", "Print JSON"))
            .arg(switch("fresh", "Begin anew instead of going on with answers of an interrupted evaluation"))
            .arg(switch(
                "queue",
                "Put it into the queue, where a runner does it in the background, and return",
            ))
    };
    let data =
        |command: Command| {
            command
                .arg(Arg::new("data").long("data").value_name("DIR|F").help(
                    "Annotations with pictures, the test split of a folder; without it the run's own data",
                ))
                .arg(
                    Arg::new("image_root")
                        .long("image_root")
                        .alias("image-root")
                        .value_name("DIR")
                        .help("Folder that image paths are relative to"),
                )
        };
    Command::new("eval")
        .about("Evaluate a model: zero-shot classification, retrieval, captions; the queue and all results")
        .subcommand_required(true)
        .subcommand(flags::some(common(zero_shot::command()), SETTINGS))
        .subcommand(common(data(retrieval::command())))
        .subcommand(common(data(caption::command())))
        .subcommand(queue::command())
        .subcommand(results::command())
        .subcommand(queue::runner_command())
}

/// Carries it out.
pub fn eval(m: &ArgMatches) -> Done {
    progress::live_with_starter().map_err(Failure::Failed)?;
    match m.subcommand() {
        Some(("queue", m)) => queue::queue(m),
        Some(("results", m)) => results::results(m),
        Some(("run-queue", m)) => queue::run(m),
        Some((task, m)) if m.get_flag("queue") => queue::add(task, m),
        Some(("zero-shot", m)) => zero_shot::evaluate(m),
        Some(("retrieval", m)) => retrieval::evaluate(m),
        Some(("caption", m)) => caption::evaluate(m),
        _ => Ok(()),
    }
}

/// What to say where no picture could be read: there is no result then.
fn nothing_read(unreadable: &BTreeMap<String, String>) -> Failure {
    let first = unreadable.first_key_value().map_or(String::new(), |(name, why)| format!("; {name}: {why}"));
    Failure::Failed(format!("no picture could be read{first}"))
}

/// Says where memory will not do beside a run that is at work on the GPU.
fn warn_of_memory(asked: &EvaluationSettings, settings: &Settings, root: &Path) {
    if let Some(warning) = check::memory_warning(root, asked, settings.model.as_deref()) {
        eprintln!("cocaptain: {}", run::escape::line(&warning));
    }
}

/// The test split of the data that a command names, else of the data that the model's run was trained on.
fn test_data(m: &ArgMatches, model: Option<&str>, root: &Path) -> Result<Dataset, Failure> {
    let text = |name: &str| m.get_one::<String>(name).map(String::as_str);
    if text("data").is_none() && model.is_none() {
        return Err(Failure::Usage(
            "which data? Give --data: annotations, or the folder of a data set".to_owned(),
        ));
    }
    check::test_data(text("data"), text("image_root"), model, root).map_err(Failure::Failed)
}
