//! `cocaptain config`: the settings' defaults, checking a file.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};
use run::settings::Settings;

use super::{Done, Failure, print};

/// The command.
pub fn command() -> Command {
    let file = Arg::new("FILE").required(true).value_parser(clap::value_parser!(PathBuf));
    Command::new("config")
        .about("Settings: print the defaults, check a file")
        .subcommand_required(true)
        .subcommand(Command::new("default").about("Print every setting with its default, as TOML"))
        .subcommand(Command::new("check").about("Check a config file").arg(file))
        .subcommand(
            Command::new("workbench")
                .about("Print the workbench's options and all keys, as workbench.toml has them"),
        )
        .subcommand(Command::new("path").about("Print where state and cache are kept"))
}

/// Carries it out.
pub fn config(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("check", m)) => {
            let Some(file) = m.get_one::<PathBuf>("FILE") else { return Ok(()) };
            let settings = Settings::load(file).map_err(Failure::failed)?;
            let changed = settings.differences(&Settings::default());
            let mut text =
                format!("{}: good; {} settings differ from the defaults\n", file.display(), changed.len());
            for (setting, value, default) in changed {
                text += &format!("  {} = {value} (default {default})\n", setting.name);
            }
            print(&text)
        }
        Some(("workbench", _)) => print(&crate::tui::options::template()),
        Some(("path", _)) => {
            let show = |p: Option<PathBuf>| {
                p.map_or_else(|| "unknown: HOME is not set".into(), |p| p.display().to_string())
            };
            print(&format!(
                "config {}\nstate  {}\ncache  {}\n",
                show(run::dir::config_folder()),
                show(run::dir::state_folder()),
                show(run::dir::cache_folder())
            ))
        }
        _ => print(&Settings::default().to_toml()),
    }
}
