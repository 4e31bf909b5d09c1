//! `cocaptain eval`: what a model can do, measured.
//!
//! Every evaluation keeps a folder `evaluations/<task>-<model>-<key>/` below --output_dir: `request.json` (what was
//! asked, and of which weights), `answers.jsonl` (an answer a line, as they come) and `result.json`. The same evaluation
//! asked again goes on where it was interrupted.

mod caption;
mod record;
mod retrieval;
mod zero_shot;

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use data::{Dataset, ReadOptions, Split};

use super::{Done, Failure, flags, serving};

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
    let common = |command: Command| {
        serving::flags(command)
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
            .arg(
                Arg::new("fresh")
                    .long("fresh")
                    .action(ArgAction::SetTrue)
                    .help("Begin anew instead of going on with answers of an interrupted evaluation"),
            )
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
        .about("Evaluate a model: zero-shot classification, retrieval, captions")
        .subcommand_required(true)
        .subcommand(flags::some(common(zero_shot::command()), SETTINGS))
        .subcommand(common(data(retrieval::command())))
        .subcommand(common(data(caption::command())))
}

/// Carries it out.
pub fn eval(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("zero-shot", m)) => zero_shot::evaluate(m),
        Some(("retrieval", m)) => retrieval::evaluate(m),
        Some(("caption", m)) => caption::evaluate(m),
        _ => Ok(()),
    }
}

/// The test split of the data that a command names, else of the data that the model's run was trained on.
fn test_data(m: &ArgMatches, model: Option<&str>, root: &Path) -> Result<Dataset, Failure> {
    // A run's data are read as the run reads them.
    let mut settings = model.and_then(|model| run_settings(model, root)).unwrap_or_default();
    if let Some(named) = m.get_one::<String>("data") {
        settings = run::settings::Settings { train_data: Some(named.clone()), ..Default::default() };
    }
    if let Some(image_root) = m.get_one::<String>("image_root") {
        settings.image_root = Some(image_root.clone());
    }
    let Some(data) = &settings.train_data else {
        return Err(Failure::Usage(
            "which data? Give --data: annotations, or the folder of a data set".to_owned(),
        ));
    };
    Dataset::open(Path::new(data), Split::Test, &ReadOptions::from(&settings)).map_err(Failure::failed)
}

/// The settings of the run that a model's name stands for, where it stands for one.
fn run_settings(model: &str, root: &Path) -> Option<run::settings::Settings> {
    let run = run::dir::RunDir::find(model, root).ok()?;
    run::settings::Settings::load(&run.config()).ok()
}
