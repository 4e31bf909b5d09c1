//! The measurements that the engine makes: loading, captions, a training step.

use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use run::decoding::{Compat, Decoding, Method};
use serde_json::{Value, json};

use super::CAPTIONS;
use crate::cli::tokenize::lines_of;
use crate::cli::{Done, Failure, output_dir, print};

/// open_clip's default: six beams in three groups, which its search keeps alike.
const BEAMS: u32 = 6;
const GROUPS: u32 = 3;

/// The commands.
pub fn commands() -> [Command; 3] {
    let whole = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u32).range(1..)).help(help)
    };
    let model = |command: Command| {
        let flag = |name: &'static str, value: &'static str, help: &'static str| {
            let flag = Arg::new(name).long(name).value_name(value).help(help);
            if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag }
        };
        command
            .arg(flag("model", "M", "A run, a model folder, a weights file with --model_config, or a known name [default: random weights]"))
            .arg(flag("model_config", "NAME|F", "The model's shape: a known name or a JSON file [default: coca_ViT-B-32]"))
            .arg(whole("threads", "Compute threads [default: all cores]"))
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
            .arg(output_dir())
    };
    let rounds = |command: Command| {
        command
            .arg(whole("batch", "Pictures [default: 8]"))
            .arg(whole("repeat", "Timed rounds, after one that warms up; the median is told [default: 3]"))
            .arg(
                Arg::new("pixels")
                    .long("pixels")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Prepared pictures: the tensor `pixels` [b,3,size,size] of a safetensors file [default: random numbers]"),
            )
    };
    let caption = Command::new("caption")
        .about("Encode a batch of pictures and write a caption of each, as open_clip 3.3.0 does, in float32 on the CPU")
        .after_help("--json prints seconds (median), all (each round), encode_seconds, and ids: a row for each picture, as open_clip pads them.")
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_name("MODE")
                .value_parser(["greedy", "beam"])
                .default_value("greedy")
                .help("How captions are written"),
        )
        .arg(whole("beams", "Beams [default: 6]"))
        .arg(whole("groups", "Groups of beams [default: 3]"));
    let step = Command::new("train-step")
        .about("One optimiser step (forward, both losses, backward, AdamW) in float32 on the CPU")
        .after_help("--json prints seconds (median), all (each round), losses, and peak_anonymous_bytes of the process.")
        .arg(
            Arg::new("texts_file")
                .long("texts_file")
                .alias("texts-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("A text on each line, repeated until the batch is full [default: four captions]"),
        )
        .arg(
            Arg::new("adam_moments")
                .long("adam_moments")
                .alias("adam-moments")
                .value_name("FORMAT")
                .value_parser(["float32", "bfloat16"])
                .default_value("float32")
                .help("How AdamW keeps its two means"),
        );
    let load = Command::new("load")
        .about("Read a model's weights; tells the anonymous memory that it takes at most")
        .after_help(
            "--json prints seconds, weights_bytes, and anonymous memory before (bare) and at most (peak).",
        );
    [model(rounds(caption)), model(rounds(step)), model(load)]
}

/// Carries one out: `what` is its name.
pub fn bench(what: &str, m: &ArgMatches) -> Done {
    let report = measure(&request(what, m)?)?;
    if m.get_flag("json") {
        return print(&format!("{report}\n"));
    }
    print(&words(what, &report))
}

fn request(what: &str, m: &ArgMatches) -> Result<Value, Failure> {
    let has = |name: &str| m.try_contains_id(name).unwrap_or(false);
    let whole = |name: &str| if has(name) { m.get_one::<u32>(name).copied() } else { None };
    let mut request = json!({ "what": what, "output_dir": crate::cli::root_of(m) });
    for name in ["model", "model_config"] {
        if let Some(text) = m.get_one::<String>(name) {
            request[name] = json!(text);
        }
    }
    for name in ["threads", "batch", "repeat"] {
        if let Some(number) = whole(name) {
            request[name] = json!(number);
        }
    }
    if let Some(file) = has("pixels").then(|| m.get_one::<PathBuf>("pixels")).flatten() {
        request["pixels"] = json!(file);
    }
    match what {
        "caption" => {
            let method = match m.get_one::<String>("mode").map(String::as_str) {
                Some("beam") => Method::Beam {
                    beams: whole("beams").unwrap_or(BEAMS),
                    groups: whole("groups").unwrap_or(GROUPS),
                    diversity_penalty: 0.0,
                    length_penalty: 1.0,
                },
                _ if whole("beams").is_some() || whole("groups").is_some() => {
                    return Err(Failure::Usage("--beams and --groups go with --mode beam".into()));
                }
                _ => Method::Greedy,
            };
            let decoding = Decoding { method, compat: Some(Compat::OpenClip33), ..Decoding::default() };
            decoding.validate().map_err(|e| Failure::Usage(e.to_string()))?;
            request["decoding"] = json!(decoding);
        }
        "train-step" => {
            let texts = match m.get_one::<PathBuf>("texts_file") {
                Some(file) => lines_of(file)?,
                None => CAPTIONS.map(str::to_owned).to_vec(),
            };
            if texts.is_empty() {
                return Err(Failure::Failed("there is no line in the file".into()));
            }
            request["texts"] = json!(texts);
            let moments = m.get_one::<String>("adam_moments");
            request["half_moments"] = json!(moments.is_some_and(|format| format == "bfloat16"));
        }
        _ => {}
    }
    Ok(request)
}

/// Lets the engine do it.
fn measure(request: &Value) -> Result<Value, Failure> {
    let engine = crate::engine::path::find().map_err(Failure::Failed)?;
    let output = Process::new(&engine)
        .args(["bench", &request.to_string()])
        .env_remove(run::link::DESCRIPTOR)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::Failed(format!("{}: cannot be started: {e}", engine.display())))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let said = said.trim().trim_start_matches("cocaptain-engine: ");
        let said =
            if said.is_empty() { format!("the engine ended ({})", output.status) } else { said.to_owned() };
        return Err(Failure::Failed(said));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| Failure::Failed(format!("the engine says what makes no sense ({e})")))
}

fn words(what: &str, report: &Value) -> String {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    let mib = |key: &str| number(key) / f64::from(1 << 20);
    let rounds = report["all"].as_array().map_or(0, Vec::len);
    match what {
        "caption" => format!(
            "{:.3} s for {} captions, {:.3} s of it for the pictures (median of {rounds} rounds)\n",
            number("seconds"),
            report["ids"].as_array().map_or(0, Vec::len),
            number("encode_seconds"),
        ),
        "train-step" => format!(
            "{:.3} s a step (median of {rounds} rounds), {:.0} MiB of anonymous memory at most\n",
            number("seconds"),
            mib("peak_anonymous_bytes"),
        ),
        _ => format!(
            "{:.3} s; {:.0} MiB of weights, {:.0} MiB of anonymous memory before, {:.0} MiB at most\n",
            number("seconds"),
            mib("weights_bytes"),
            mib("bare_anonymous_bytes"),
            mib("peak_anonymous_bytes"),
        ),
    }
}
