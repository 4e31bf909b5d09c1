//! `cocaptain demo`: the whole way through the house in one command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use data::demo::DemoOptions;
use run::settings::Settings;

use super::data::demo as dataset;
use super::{Done, Failure, flags, headless, train, workbench};

/// The settings of the demo.
const CONFIG: &str = include_str!("../../../configs/demo.toml");

/// The command.
pub fn command() -> Command {
    let command = Command::new("demo")
        .about("Draw the demo dataset, train a small CoCa on it, open the workbench")
        .args_override_self(true)
        .arg(
            Arg::new("demo_seed")
                .long("demo_seed")
                .alias("demo-seed")
                .value_name("N")
                .value_parser(clap::value_parser!(u64))
                .help("Seed of the drawn dataset"),
        );
    flags::add(train::watching(command))
}

/// Carries it out.
pub fn demo(m: &ArgMatches) -> Done {
    let mut settings =
        Settings::from_toml(CONFIG, Path::new("configs/demo.toml")).map_err(Failure::failed)?;
    flags::assign(&mut settings, m).map_err(|e| Failure::Usage(e.to_string()))?;
    if settings.train_data.is_none() {
        let mut options = DemoOptions::default();
        options.seed = m.get_one::<u64>("demo_seed").copied().unwrap_or(options.seed);
        let dir = cache(&options)?;
        dataset::draw(&dir, &options)?;
        if settings.classification_eval.is_none() {
            let zero_shot = dir.join("zero_shot");
            settings.classification_eval =
                zero_shot.is_dir().then(|| zero_shot.to_string_lossy().into_owned());
        }
        settings.train_data = Some(dir.to_string_lossy().into_owned());
    }
    if settings.name.is_none() {
        settings.name = Some(format!("demo-{}", headless::stamp()));
    }
    flags::make_absolute(&mut settings);
    train::check(&settings)?;
    let run = train::begin(settings)?;
    let watched = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if m.get_flag("headless") || !(watched || m.get_flag("attach")) {
        return headless::follow(&run);
    }
    workbench(run.path().parent().unwrap_or(Path::new(".")), Some(run.clone()), false)
}

/// Where the dataset of these options is kept.
fn cache(options: &DemoOptions) -> Result<PathBuf, Failure> {
    let cache = run::dir::cache_folder().ok_or_else(|| {
        Failure::Failed("neither XDG_CACHE_HOME nor HOME is set: name a dataset by --train_data".to_owned())
    })?;
    Ok(cache.join("demo").join(options.key()))
}
