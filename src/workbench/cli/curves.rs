//! `cocaptain plot` and `cocaptain export`: curves of any runs, ours and other programs', on paper and as tables.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use run::dir::RunDir;
use serde_json::json;

use super::{Done, Failure, output_dir, print};
use crate::foreign;
use crate::plot::{self, Options, Run};
use crate::tui::chart::Axis;

fn runs() -> Arg {
    Arg::new("RUNS").required(true).num_args(1..).value_name("RUN").help(
        "Name or directory of a run; a folder with TensorBoard's event files or open_clip's logs, or with several",
    )
}

fn metrics() -> Arg {
    Arg::new("metrics")
        .long("metrics")
        .short('m')
        .value_name("NAMES")
        .value_delimiter(',')
        .help("Curves by name, with commas between; 'all' for every one")
}

/// `cocaptain plot`.
pub fn plot_command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").value_parser(clap::value_parser!(f64)).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("plot")
        .about("Draw curves of runs into a file")
        .arg(runs())
        .arg(
            Arg::new("out")
                .short('o')
                .long("out")
                .required(true)
                .value_name("FILE.svg|png")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where to"),
        )
        .arg(metrics())
        .arg(
            Arg::new("x")
                .long("x")
                .value_name("AXIS")
                .value_parser(["step", "epoch", "time", "samples"])
                .default_value("step")
                .help("What the x axis counts"),
        )
        .arg(number(
            "smooth",
            "Weight of the past in the smoothed line, 0 to below 1; the raw one stays behind",
        ))
        .arg(flag("log_x", "Logarithmic x axis").alias("log-x"))
        .arg(flag("log_y", "Logarithmic y axis").alias("log-y"))
        .arg(flag("robust", "Leave outliers out of the y range; how many are beyond is told"))
        .arg(number("from", "Begin here on the x axis"))
        .arg(number("to", "End here on the x axis"))
        .arg(Arg::new("title").long("title").value_name("TEXT").help("Above everything"))
        .arg(Arg::new("size").long("size").value_name("WIDTHxHEIGHT").help("Size in pixels"))
        .arg(output_dir())
}

/// `cocaptain export`.
pub fn export_command() -> Command {
    Command::new("export")
        .about("Write curves of runs as CSV or JSON")
        .arg(runs())
        .arg(metrics())
        .arg(
            Arg::new("out")
                .short('o')
                .long("out")
                .value_name("FILE.csv|json")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where to; stdout without it"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("JSON instead of CSV"))
        .arg(output_dir())
}

/// The runs that are named, whole.
fn read(m: &ArgMatches) -> Result<Vec<Run>, Failure> {
    let root = super::root_of(m);
    let mut all: Vec<(PathBuf, Run)> = Vec::new();
    for name in m.get_many::<String>("RUNS").into_iter().flatten() {
        let folders = match RunDir::find(name, &root) {
            Ok(run) => vec![run.path().to_owned()],
            Err(e) => {
                let found = foreign::find(&[PathBuf::from(name)]);
                if found.is_empty() {
                    return Err(Failure::Failed(format!("{e}; nor are there event files or logs in it")));
                }
                found
            }
        };
        for folder in folders {
            if all.iter().any(|(known, _)| *known == folder) {
                continue;
            }
            let base = PathBuf::from(name).canonicalize().ok();
            let label = base.and_then(|b| folder.strip_prefix(b).ok().map(|p| p.display().to_string()));
            let label = label.filter(|l| !l.is_empty()).unwrap_or_else(|| RunDir::at(&folder).name());
            let run = Run::read(&folder, label).map_err(Failure::Failed)?;
            all.push((folder, run));
        }
    }
    Ok(all.into_iter().map(|(_, run)| run).collect())
}

fn wanted(m: &ArgMatches) -> Vec<String> {
    m.get_many::<String>("metrics").into_iter().flatten().cloned().collect()
}

/// Draws.
pub fn plot(m: &ArgMatches) -> Done {
    let Some(out) = m.get_one::<PathBuf>("out") else { return Ok(()) };
    let smoothing = m.get_one::<f64>("smooth").copied().unwrap_or(0.0);
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Failure::Usage(format!("--smooth {smoothing}: from 0 to below 1")));
    }
    let size = m.get_one::<String>("size").map(|text| {
        let (w, h) = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))?;
        ((200..=4000).contains(&w) && (150..=4000).contains(&h)).then_some((w, h))
    });
    if size == Some(None) {
        return Err(Failure::Usage("--size: WIDTHxHEIGHT in pixels, such as 1200x800".to_owned()));
    }
    let axis = match m.get_one::<String>("x").map(String::as_str) {
        Some("epoch") => Axis::Epoch,
        Some("time") => Axis::Time,
        Some("samples") => Axis::Samples,
        _ => Axis::Step,
    };
    let options = Options {
        metrics: wanted(m),
        axis,
        log_x: m.get_flag("log_x"),
        log_y: m.get_flag("log_y"),
        smoothing,
        robust: m.get_flag("robust"),
        range: (m.get_one("from").copied(), m.get_one("to").copied()),
        title: m.get_one::<String>("title").cloned(),
        size: size.flatten(),
    };
    plot::write(&read(m)?, &options, out).map_err(Failure::Failed)
}

/// Exports.
pub fn export(m: &ArgMatches) -> Done {
    let out = m.get_one::<PathBuf>("out");
    let as_json = m.get_flag("json")
        || out.is_some_and(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")));
    let runs = read(m)?;
    let wanted = wanted(m);
    let metrics = if wanted.is_empty() {
        plot::curves(&runs)
    } else {
        plot::chosen(&runs, &wanted).map_err(Failure::Failed)?
    };
    let text = if as_json { as_json_text(&runs, &metrics) } else { csv(&runs, &metrics) };
    match out {
        Some(path) => run::dir::replace_file(path, text.as_bytes())
            .map_err(|e| Failure::Failed(format!("{}: {e}", path.display()))),
        None => print(&text),
    }
}

/// One line a point; an empty value is one that was not finite.
pub fn csv(runs: &[Run], metrics: &[String]) -> String {
    let cell = |text: &str| run::escape::csv(&run::escape::line(text)).into_owned();
    let mut text = "run,metric,step,time,value\n".to_owned();
    for (run, metric) in runs.iter().flat_map(|r| metrics.iter().map(move |m| (r, m))) {
        let Some(curve) = run.history.curves.get(metric) else { continue };
        let (run, metric) = (cell(&run.name), cell(metric));
        for ((step, time), value) in curve.steps.iter().zip(&curve.times).zip(&curve.values) {
            let value = if value.is_finite() { value.to_string() } else { String::new() };
            let _ = writeln!(text, "{run},{metric},{step},{time},{value}");
        }
    }
    text
}

/// A list of curves; `null` is a value that was not finite.
pub fn as_json_text(runs: &[Run], metrics: &[String]) -> String {
    let all: Vec<_> = runs
        .iter()
        .flat_map(|run| {
            metrics.iter().filter_map(move |metric| {
                let c = run.history.curves.get(metric)?;
                Some(json!({
                    "run": run.name, "metric": metric, "steps": c.steps, "times": c.times, "values": c.values,
                }))
            })
        })
        .collect();
    format!("{}\n", serde_json::Value::from(all))
}
