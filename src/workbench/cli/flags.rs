//! Settings as command-line flags, made from their one declaration.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use run::settings::{Kind, Setting, SettingError, Settings, Value};

/// Adds a flag for every setting: `--learning_rate`, `--learning-rate`, `--learning_rate=1e-4`; a bare boolean is true.
pub fn add(command: Command) -> Command {
    Settings::ALL.iter().fold(command, |command, setting| command.arg(flag(setting)))
}

/// Adds the flags of some settings, where the command has none of that name yet.
pub fn some(command: Command, names: &[&str]) -> Command {
    let wanted =
        |s: &&Setting| names.contains(&s.name) && !command.get_arguments().any(|a| a.get_id() == s.name);
    let settings: Vec<&'static Setting> = Settings::ALL.iter().filter(wanted).collect();
    settings.into_iter().fold(command, |command, setting| command.arg(flag(setting)))
}

fn flag(setting: &'static Setting) -> Arg {
    let default = Settings::default().get(setting.name).unwrap_or(Value::Unset);
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" [{}]", setting.unit) };
    let flag = Arg::new(setting.name)
        .long(setting.name)
        .help(format!("{}{unit} (default {default})", setting.doc))
        .help_heading(setting.group)
        .value_name(value_name(setting.kind))
        // PaddleNLP writes -1 for "not given".
        .allow_negative_numbers(true);
    let flag = match setting.name.contains('_') {
        true => flag.alias(setting.name.replace('_', "-")),
        false => flag,
    };
    match setting.kind {
        Kind::Bool => flag.num_args(0..=1).default_missing_value("true"),
        _ => flag,
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "BOOL",
        Kind::Integer(..) => "N",
        Kind::Real(..) => "X",
        Kind::Text => "TEXT",
        Kind::Path => "PATH",
        Kind::Choice(_) => "WORD",
    }
}

/// Puts the flags that were given into `settings`; says which ones.
///
/// # Errors
/// The first flag whose value breaks its setting's rule.
pub fn assign(settings: &mut Settings, m: &ArgMatches) -> Result<Vec<&'static Setting>, SettingError> {
    let names: Vec<&str> = Settings::ALL.iter().map(|s| s.name).collect();
    assign_some(settings, m, &names)
}

/// As [`assign`], of these settings alone: a command that has no other flags.
///
/// # Errors
/// As [`assign`].
pub fn assign_some(
    settings: &mut Settings,
    m: &ArgMatches,
    names: &[&str],
) -> Result<Vec<&'static Setting>, SettingError> {
    let mut given = Vec::new();
    for setting in Settings::ALL.iter().filter(|s| names.contains(&s.name)) {
        if m.value_source(setting.name) != Some(ValueSource::CommandLine) {
            continue;
        }
        if let Some(text) = m.get_one::<String>(setting.name) {
            settings.assign(setting.name, text)?;
            given.push(setting);
        }
    }
    Ok(given)
}

/// Makes every path in `settings` absolute: the run's processes work from another folder, and a resume from any.
pub fn make_absolute(settings: &mut Settings) {
    for setting in Settings::ALL {
        let Some(Value::Text(text)) = settings.get(setting.name) else { continue };
        // A model, its config or a tokenizer is a name or a file.
        let may_be_file =
            matches!(setting.name, "model" | "model_config" | "tokenizer") && Path::new(&text).exists();
        // The data may be named in the seed's way; a list of shards is made absolute one by one.
        let may_be_data = setting.name == "task_name" && Path::new(&text).exists();
        if setting.kind != Kind::Path && !may_be_file && !may_be_data {
            continue;
        }
        if text.contains("::") && matches!(setting.name, "train_data" | "val_data") {
            let each = text.split("::").filter(|one| !one.is_empty());
            let each: Vec<String> = each
                .map(|one| {
                    std::path::absolute(one).map_or(one.to_owned(), |p| p.to_string_lossy().into_owned())
                })
                .collect();
            let _ = settings.put(setting, Value::Text(each.join("::")));
            continue;
        }
        if let Ok(path) = std::path::absolute(&text) {
            // A path stays a path: the setting's rule holds for it.
            let _ = settings.put(setting, Value::Text(path.to_string_lossy().into_owned()));
        }
    }
}
