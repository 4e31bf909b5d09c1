//! What the flags of an evaluation ask for, as the settings of an evaluation.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use run::settings::{EvaluationSettings, Kind, Setting, Settings, Value};

use crate::cli::Failure;
use crate::cli::caption::decoding;

/// Flags that every evaluation has, from their one declaration.
const FLAGS: [&str; 2] = ["precision", "nproc_per_node"];

/// Settings whose flags have the same name and hold the same text.
const FROM_FLAGS: [&str; 9] = [
    "model",
    "model_config",
    "image_root",
    "tokenizer",
    "templates",
    "device",
    "threads",
    "precision",
    "nproc_per_node",
];

/// Adds them.
pub fn flags(command: Command) -> Command {
    let wanted = EvaluationSettings::ALL.iter().filter(|s| FLAGS.contains(&s.name));
    wanted.fold(command, |command, setting| {
        let name = match setting.kind {
            Kind::Choice(_) => "WORD",
            _ => "N",
        };
        let flag = Arg::new(setting.name).long(setting.name).value_name(name).help(setting.doc);
        command.arg(if setting.name.contains('_') {
            flag.alias(setting.name.replace('_', "-"))
        } else {
            flag
        })
    })
}

/// What is asked.
///
/// # Errors
/// The flag whose value breaks its rule.
pub fn read(task: &str, m: &ArgMatches) -> Result<EvaluationSettings, Failure> {
    let mut asked = EvaluationSettings { task: task.to_owned(), ..EvaluationSettings::default() };
    let text = |name: &str| m.try_get_one::<String>(name).ok().flatten().cloned();
    let given = |name: &str| {
        let known = m.try_contains_id(name).unwrap_or(false);
        known && m.value_source(name) == Some(ValueSource::CommandLine)
    };
    let data = if task == "zero-shot" { "classification_eval" } else { "data" };
    let mut put = |name: &str, value: Option<String>| match value {
        Some(value) => asked.assign(name, &value).map(drop).map_err(|e| Failure::Usage(e.to_string())),
        None => Ok(()),
    };
    for name in FROM_FLAGS {
        put(name, text(name))?;
    }
    put("data", text(data))?;
    let batch = m.get_one::<u32>("batch").map(u32::to_string);
    let of_seed = text("per_device_eval_batch_size").filter(|_| given("per_device_eval_batch_size"));
    put("batch", batch.or(of_seed))?;
    // PaddleMIX's words for the precision.
    let mut words = Settings::default();
    for name in ["bf16", "fp16"] {
        if let Some(value) = text(name).filter(|_| given(name)) {
            words.assign(name, &value).map_err(|e| Failure::Usage(e.to_string()))?;
        }
    }
    if text("precision").is_none() && (words.fp16 || words.bf16) {
        put("precision", Some(if words.fp16 { "float16" } else { "bfloat16" }.to_owned()))?;
    }
    if task == "caption" {
        if asked.precision != "float32" {
            return Err(Failure::Usage("captions are written in float32: leave out --precision".to_owned()));
        }
        asked.write_as(&decoding::read(m)?).map_err(|e| Failure::Usage(e.to_string()))?;
    }
    Ok(asked)
}

/// The engine's settings in the precision that is asked for.
pub fn precise(settings: Settings, asked: &EvaluationSettings) -> Settings {
    Settings { bf16: asked.precision == "bfloat16", fp16: asked.precision == "float16", ..settings }
}

/// What tells the result from others of the same model and data, in words: what is not the usual.
pub fn how(asked: &EvaluationSettings) -> String {
    let usual = EvaluationSettings::default();
    let of_task = |task: &str| asked.task == task;
    let mut words = Vec::new();
    if of_task("zero-shot") && asked.templates != usual.templates {
        words.push(asked.templates.clone());
    }
    if of_task("caption") {
        words.extend(decoded(asked, &usual));
    }
    if asked.precision != usual.precision {
        words.push(asked.precision.clone());
    }
    words.join(", ")
}

/// What is unusual of the way captions are written: `greedy`, `beams 4`, `prompt a photo of`.
fn decoded(asked: &EvaluationSettings, usual: &EvaluationSettings) -> Vec<String> {
    let group = EvaluationSettings::setting("method").map_or("", |s| s.group);
    let of_group = EvaluationSettings::ALL.iter().filter(|s| s.group == group);
    let matters = of_group.filter(|s| EvaluationSettings::matters(&asked.task, &asked.method, s.name));
    let word = |s: &Setting| {
        let value = asked.get(s.name).filter(|v| usual.get(s.name).as_ref() != Some(v))?;
        // A draw from all ids is told by the flag that leaves none out.
        if s.name == "top_p" && value == Value::Real(1.0) {
            return None;
        }
        Some(if s.name == "method" { value.to_string() } else { format!("{} {value}", s.name) })
    };
    matters.filter_map(word).collect()
}

/// Processes that share the work.
pub fn processes(asked: &EvaluationSettings) -> u32 {
    u32::try_from(asked.nproc_per_node).unwrap_or(1)
}
