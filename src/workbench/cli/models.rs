//! `cocaptain models list | fetch | inspect` and `cocaptain convert`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use ::models::{CoCaConfig, Dtype, KNOWN, WeightsFile, parameter_specs};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Done, Failure, print};

/// `models` with its commands.
pub fn command() -> Command {
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    Command::new("models")
        .about("Models on disk: known ones, fetching, what is in a file")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list").about("List known models, and which are on this machine").arg(json()),
        )
        .subcommand(
            Command::new("fetch")
                .about(
                    "Fetch a known model into the Hugging Face cache (HF_HOME); goes on where it was cut off",
                )
                .arg(Arg::new("NAME").required(true).help("A name of `models list`")),
        )
        .subcommand(
            Command::new("inspect")
                .about("Print a weights file's tensors, and which config they fit")
                .arg(
                    Arg::new("FILE")
                        .required(true)
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("A weights file of any format, or a model folder"),
                )
                .arg(config_argument())
                .arg(json()),
        )
}

/// `convert`.
pub fn convert_command() -> Command {
    Command::new("convert")
        .about("Write a model anew: to a folder that open_clip loads, or to one .safetensors file")
        .arg(Arg::new("IN").required(true).help("A known name, a folder, a weights file or a run"))
        .arg(
            Arg::new("OUT")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("A folder, or a file that ends in .safetensors"),
        )
        .arg(config_argument())
        .arg(
            Arg::new("dtype")
                .long("dtype")
                .value_parser(["f32", "f16", "bf16"])
                .help("Type of the numbers [default: as they are stored]"),
        )
        .arg(super::output_dir())
}

fn config_argument() -> Arg {
    Arg::new("model_config")
        .long("model_config")
        .alias("model-config")
        .value_name("NAME|FILE")
        .help("Config of the model, where none lies beside the weights")
}

/// Does it.
pub fn models(m: &ArgMatches) -> Done {
    match m.subcommand() {
        Some(("list", m)) => list(m.get_flag("json")),
        Some(("fetch", m)) => fetch(m.get_one::<String>("NAME").map_or("", String::as_str)),
        Some(("inspect", m)) => {
            let Some(path) = m.get_one::<PathBuf>("FILE") else { return Ok(()) };
            let config = m.get_one::<String>("model_config").map(String::as_str);
            inspect(path, config, m.get_flag("json"))
        }
        _ => Ok(()),
    }
}

fn list(json: bool) -> Done {
    let mut out = String::new();
    for model in &KNOWN {
        let at = ::models::hub::fetched(model);
        if json {
            let (name, config, repository) = (model.name, model.config, model.repository);
            let line = serde_json::json!({
                "name": name, "config": config, "repository": repository, "about": model.about, "path": at,
            });
            out += &format!("{line}\n");
        } else {
            let place = at.map_or_else(|| "not fetched".to_owned(), |p| p.display().to_string());
            let place = run::escape::line(&place);
            out += &format!("{:<50} {:<14} {}\n    {place}\n", model.name, model.config, model.about);
        }
    }
    print(&out)
}

fn fetch(name: &str) -> Done {
    let model = ::models::known(name).ok_or_else(|| {
        let names: Vec<&str> = KNOWN.iter().map(|m| m.name).collect();
        Failure::Usage(format!("'{name}' is no known model; known are\n{}", names.join("\n")))
    })?;
    let terminal = std::io::stderr().is_terminal();
    let mut shown = None;
    let mut tell = |file: &str, done: u64, total: u64| {
        let percent = (done * 100).checked_div(total).unwrap_or(100);
        // A line for each tenth where nobody watches, for each percent where somebody does.
        let step = if terminal { percent } else { percent / 10 };
        if shown.as_ref() == Some(&(file.to_owned(), step)) {
            return;
        }
        shown = Some((file.to_owned(), step));
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let text = format!("{file}  {percent:>3} %  {:.1} of {:.1} MiB", mib(done), mib(total));
        let text = run::escape::line(&text);
        let mut err = std::io::stderr();
        let _ = if terminal {
            let full = usize::try_from(percent / 5).unwrap_or(20).min(20);
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(20 - full));
            let end = if done >= total { "\n" } else { "" };
            write!(err, "\r\x1b[2K{bar} {text}{end}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{text}")
        };
    };
    let folder = ::models::hub::fetch(model, &mut tell).map_err(Failure::failed)?;
    print(&format!("{}\n", run::escape::line(&folder.display().to_string())))
}

/// The weights that a path names, and the config that lies beside them or is given.
fn weights_of(path: &Path, config: Option<&str>) -> Result<(PathBuf, Option<CoCaConfig>), Failure> {
    if path.is_dir() {
        let name = path.display().to_string();
        let found = ::models::find(&name, config, Path::new("./runs")).map_err(Failure::failed)?;
        return found
            .weights
            .map(|weights| (weights, Some(found.config)))
            .ok_or_else(|| Failure::Failed(format!("{name}: no weights")));
    }
    if let Some(name) = config {
        let config = ::models::source::named_config(name).map_err(Failure::failed)?;
        return Ok((path.to_owned(), Some(config)));
    }
    let beside = ::models::find(&path.display().to_string(), None, Path::new("./runs")).ok();
    Ok((path.to_owned(), beside.map(|found| found.config)))
}

fn inspect(path: &Path, config: Option<&str>, json: bool) -> Done {
    let (weights, config) = weights_of(path, config)?;
    let file = WeightsFile::open(&weights).map_err(Failure::failed)?;
    let fits = |config: &CoCaConfig| file.differences_from_model(&parameter_specs(config));
    let named: Vec<&str> = CoCaConfig::names()
        .into_iter()
        .filter(|name| CoCaConfig::named(name).is_ok_and(|config| fits(&config).is_empty()))
        .collect();
    let differences = config.as_ref().map(fits);
    let numbers: usize = file.tensors().iter().map(|t| t.numel()).sum();
    let bytes: usize = file.tensors().iter().map(|t| t.size()).sum();
    if json {
        let tensors: Vec<_> = file
            .tensors()
            .iter()
            .map(|t| {
                let (name, shape) = (&t.name, &t.shape);
                serde_json::json!({ "name": name, "dtype": t.dtype.name(), "shape": shape, "bytes": t.size() })
            })
            .collect();
        let differences = differences
            .map(|d| serde_json::json!({ "missing": d.missing, "extra": d.extra, "misshaped": d.misshaped }));
        let whole = serde_json::json!({
            "file": weights, "format": file.format().name(), "tensors": tensors, "numbers": numbers,
            "bytes": bytes, "fits": named, "differences": differences,
        });
        return print(&format!("{whole}\n"));
    }
    let width = file.tensors().iter().map(|t| t.name.chars().count()).max().unwrap_or(0).min(70);
    let mut out = String::new();
    for tensor in file.tensors() {
        let name = run::escape::line(&tensor.name);
        out += &format!("{name:<width$}  {:<4}  {:?}\n", tensor.dtype.name(), tensor.shape);
    }
    out += &format!(
        "{} tensors, {numbers} numbers, {bytes} bytes; {}\n",
        file.tensors().len(),
        file.format().name()
    );
    match (&differences, named.as_slice()) {
        (Some(d), _) if !d.is_empty() => {
            let lines: Vec<_> = d.to_string().lines().map(|l| run::escape::line(l).into_owned()).collect();
            out += &format!("{} differences from the config:\n{}\n", d.len(), lines.join("\n"));
        }
        (_, [_, ..]) => out += &format!("fits {}\n", named.join(", ")),
        (Some(_), []) => out += "fits the config that is given or lies beside it\n",
        (None, []) => {
            out += "fits no config that comes with the program: give --model_config to see what differs\n"
        }
    }
    print(&out)?;
    if differences.is_some_and(|d| !d.is_empty()) { Err(Failure::Silent) } else { Ok(()) }
}

/// Does it.
pub fn convert(m: &ArgMatches) -> Done {
    let (Some(from), Some(to)) = (m.get_one::<String>("IN"), m.get_one::<PathBuf>("OUT")) else {
        return Ok(());
    };
    let dtype = match m.get_one::<String>("dtype").map(String::as_str) {
        Some("f16") => Some(Dtype::F16),
        Some("bf16") => Some(Dtype::BF16),
        Some(_) => Some(Dtype::F32),
        None => None,
    };
    let config = m.get_one::<String>("model_config").map(String::as_str);
    let is_file = to.extension().is_some_and(|e| e == "safetensors");
    if !is_file
        && (to.is_file() || to.extension().is_some_and(|e| e == "pt" || e == "bin" || e == "pdparams"))
    {
        let to = to.display();
        return Err(Failure::Usage(format!(
            "{to}: OUT must be a folder, or a file that ends in .safetensors"
        )));
    }
    let source = ::models::find(from, config, &super::root_of(m)).map_err(Failure::failed)?;
    ::models::convert(&source, to, dtype).map_err(Failure::failed)?;
    print(&format!("{}\n", run::escape::line(&to.display().to_string())))
}
