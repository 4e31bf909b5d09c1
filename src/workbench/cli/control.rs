//! `stop`, `pause`, `resume`, `save`, `set`: the keys of the workbench as commands.

use std::time::Duration;

use clap::ArgMatches;
use run::control::{Reply, Request};
use run::settings::{Changes, Settings};

use super::{Done, Failure, find, print};

/// How long a step, an evaluation or a save may be in the way of an answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// Asks a run what the command of this name means.
pub fn ask(name: &str, m: &ArgMatches) -> Done {
    let run = find(m)?;
    let request = match name {
        "stop" => Request::Stop { now: m.get_flag("now") },
        "pause" => Request::Pause,
        "resume" => Request::Resume,
        "save" => Request::Save,
        _ => Request::Set { changes: changes(m)? },
    };
    let reply = run::control::ask(&run, request, PATIENCE).map_err(Failure::failed)?;
    let Reply::Done { step, message } = reply else { return Err(Failure::Silent) };
    let what = match name {
        "stop" => "stopped",
        "pause" => "paused",
        "resume" => "resumed",
        "save" => "saved",
        _ => "applied",
    };
    let more = message.map_or_else(String::new, |m| format!(" ({})", run::escape::line(&m)));
    print(&format!("{}: {what} at step {step}{more}\n", run.name()))
}

fn changes(m: &ArgMatches) -> Result<Changes, Failure> {
    let mut changes = Changes::new();
    for text in m.get_many::<String>("CHANGES").into_iter().flatten() {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::Usage(format!("'{text}' is no key=value")));
        };
        let usage = |e: run::settings::SettingError| Failure::Usage(e.to_string());
        let setting = Settings::setting(name.trim()).map_err(usage)?;
        changes.insert(setting.name.to_owned(), setting.parse(value).map_err(usage)?);
    }
    Ok(changes)
}
