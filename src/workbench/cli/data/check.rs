//! `cocaptain data check`: says what is wrong with a dataset.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::check::{Finding, Kind, Options, Report, Severity, Stage, Thresholds, Tokens, Watch};

use super::super::{Done, Failure, print};

/// Findings of a kind that are printed for people, without --all.
const SHOWN: usize = 10;

/// The command.
pub fn command() -> Command {
    let limits = Thresholds::default();
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let long = |name: &'static str| {
        let flag = Arg::new(name).long(name);
        if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag }
    };
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    let real = |name: &'static str, help: &str, default: f64| {
        let flag = long(name).value_name("X").value_parser(value_parser!(f64)).help_heading("Thresholds");
        flag.help(format!("{help} (default {default})"))
    };
    Command::new("check")
        .about("Say what is wrong with a dataset, where, and what to do")
        .arg(
            Arg::new("PATH")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, or dataset folder with annotations/coco_karpathy_*.json"),
        )
        .arg(path(
            "image_root",
            "DIR",
            "Folder of the pictures; else the file's folder, its images/, ../images",
        ))
        .arg(
            long("stage")
                .value_name("STAGE")
                .default_value("content")
                .value_parser(["schema", "files", "content"])
                .help("Last stage: annotations alone, files and headers, every picture decoded"),
        )
        .arg(switch("json", "Print JSON").conflicts_with_all(["sarif", "csv"]))
        .arg(switch("sarif", "Print SARIF 2.1.0").conflicts_with("csv"))
        .arg(switch("csv", "Print CSV"))
        .arg(switch("strict", "Exit with 1 for warnings too"))
        .arg(switch("all", "Print every finding, not the first of each kind"))
        .arg(path("fix", "OUT", "Write a cleaned copy, and a list of what it leaves out"))
        .arg(path(
            "tokenizer",
            "FILE",
            "tokenizer.json to count tokens by; else CLIP's, or the dataset's own",
        ))
        .arg(
            long("context_length")
                .value_name("N")
                .default_value("76")
                .value_parser(value_parser!(u64).range(4..=4096))
                .help("Tokens that the model reads"),
        )
        .arg(real("min_side", "Shorter sides are outliers [pixels]", f64::from(limits.min_side)))
        .arg(real("max_aspect", "Longer side by shorter side of outliers", limits.max_aspect))
        .arg(real("dark", "Mean brightness below it is dark [0-255]", limits.dark))
        .arg(real("bright", "Mean brightness above it is bright [0-255]", limits.bright))
        .arg(real("blur", "Weaker sharpest edges are blurred; 0 turns it off", limits.blur))
        .arg(real("near_difference", "Mean difference of near duplicates [0-255]", limits.near_difference))
        .arg(real("repeated_share", "Share of pictures that makes a caption repeated", limits.repeated_share))
        .arg(
            long("repeated_images")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help_heading("Thresholds")
                .help(format!(
                    "Pictures that a repeated caption has at least (default {})",
                    limits.repeated_images
                )),
        )
}

fn options(m: &ArgMatches, path: &Path) -> Result<Options, Failure> {
    let mut limits = Thresholds::default();
    for (name, place) in [
        ("max_aspect", &mut limits.max_aspect),
        ("dark", &mut limits.dark),
        ("bright", &mut limits.bright),
        ("blur", &mut limits.blur),
        ("near_difference", &mut limits.near_difference),
        ("repeated_share", &mut limits.repeated_share),
    ] {
        if let Some(given) = m.get_one::<f64>(name) {
            if !given.is_finite() || *given < 0.0 {
                return Err(Failure::Usage(format!("--{name} {given}: it takes a number from 0")));
            }
            *place = *given;
        }
    }
    if let Some(side) = m.get_one::<f64>("min_side") {
        limits.min_side = side.clamp(0.0, 1e6) as u32;
    }
    if let Some(images) = m.get_one::<usize>("repeated_images") {
        limits.repeated_images = (*images).max(2);
    }
    // The demo brings its own tokenizer, beside annotations/ and images/.
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let own = [folder.join("tokenizer.json"), folder.join("../tokenizer.json")];
    let file =
        m.get_one::<PathBuf>("tokenizer").cloned().or_else(|| own.into_iter().find(|file| file.is_file()));
    let tokens = file.map_or(Tokens::Clip, Tokens::File);
    let upto = match m.get_one::<String>("stage").map(String::as_str) {
        Some("schema") => Stage::Schema,
        Some("files") => Stage::Files,
        _ => Stage::Content,
    };
    Ok(Options {
        read: data::ReadOptions::with_image_root(m.get_one::<PathBuf>("image_root").map(PathBuf::as_path)),
        upto,
        thresholds: limits,
        tokens,
        cache: run::dir::cache_folder().map(|folder| folder.join("checks")),
        context_length: m.get_one::<u64>("context_length").map_or(76, |n| *n as usize),
    })
}

/// Carries it out.
pub fn check(m: &ArgMatches) -> Done {
    let Some(path) = m.get_one::<PathBuf>("PATH") else { return Ok(()) };
    if !path.exists() {
        return Err(Failure::Usage(format!("{}: no such file or folder", path.display())));
    }
    let out = m.get_one::<PathBuf>("fix");
    if out.is_some() && path.is_dir() {
        return Err(Failure::Usage("--fix takes one annotation file: name it instead of the folder".into()));
    }
    let options = options(m, path)?;
    let cancel = Arc::new(AtomicBool::new(false));
    // Once it was asked to stop it says what it has; the second Ctrl-C ends it at once.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.clone())
            .map_err(Failure::failed)?;
        signal_hook::flag::register(signal, cancel.clone()).map_err(Failure::failed)?;
    }
    let progress = Progress::new();
    let tell = |stage: Stage, done: usize, all: usize| progress.tell(stage, done, all);
    let report =
        data::check::check(path, &options, &Watch { progress: &tell, found: &|_| (), cancel: &cancel });
    progress.end();
    if m.get_flag("json") {
        print(&format!("{}\n", data::check::json(&report)))?;
    } else if m.get_flag("sarif") {
        print(&format!("{:#}\n", data::check::sarif(&report, run::VERSION)))?;
    } else if m.get_flag("csv") {
        print(&data::check::csv(&report))?;
    } else {
        print(&people(&report, if m.get_flag("all") { usize::MAX } else { SHOWN }))?;
    }
    if report.cancelled {
        return Err(Failure::Failed("stopped before the end: there may be more findings".into()));
    }
    if let Some(out) = out {
        let fixed = data::check::fix(path, &report, out).map_err(Failure::failed)?;
        let told = format!(
            "{}: {} entries kept; {} left out, named in {}",
            out.display(),
            fixed.kept,
            fixed.left_out,
            fixed.list.display()
        );
        let _ = writeln!(std::io::stderr(), "{}", run::escape::line(&told));
    }
    let bad =
        report.count(Severity::Error) > 0 || (m.get_flag("strict") && report.count(Severity::Warning) > 0);
    if bad { Err(Failure::Silent) } else { Ok(()) }
}

/// The report for people: findings by kind, the grave ones first, then how many.
fn people(report: &Report, shown: usize) -> String {
    let mut kinds: BTreeMap<(Severity, Kind), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        kinds.entry((finding.severity(), finding.kind)).or_default().push(finding);
    }
    let mut text = String::new();
    for ((severity, kind), findings) in &kinds {
        let head = format!("{} {} ({}): {}\n", severity.name(), kind.name(), findings.len(), kind.doc());
        text.push_str(&head);
        for finding in findings.iter().take(shown) {
            let place = match finding.line {
                0 => String::new(),
                line => format!(":{line}:{}", finding.column),
            };
            let entry = finding.entry.map_or(String::new(), |entry| format!(" entry {entry}:"));
            let line = format!("{}{place}:{entry} {}", finding.file.display(), finding.message);
            text.push_str("  ");
            text.push_str(&run::escape::line(&line));
            text.push('\n');
        }
        if findings.len() > shown {
            text.push_str(&format!("  and {} more: --all prints them\n", findings.len() - shown));
        }
    }
    let count = |severity: Severity, one: &str, many: &str| {
        let count = report.count(severity);
        format!("{count} {}", if count == 1 { one } else { many })
    };
    text.push_str(&format!(
        "{}: {}, {}, {}\n",
        if report.entries == 1 { "1 entry".into() } else { format!("{} entries", report.entries) },
        count(Severity::Error, "error", "errors"),
        count(Severity::Warning, "warning", "warnings"),
        count(Severity::Info, "note", "notes"),
    ));
    text
}

/// One line on a terminal's stderr that says how far it is.
struct Progress {
    terminal: bool,
    last: AtomicUsize,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: AtomicUsize::new(usize::MAX) }
    }

    fn tell(&self, stage: Stage, done: usize, all: usize) {
        if !self.terminal {
            return;
        }
        let now = stage as usize * 1000 + done * 100 / all.max(1);
        if self.last.swap(now, Ordering::Relaxed) != now {
            let number = stage as usize + 1;
            let _ =
                write!(std::io::stderr(), "\r\x1b[Kstage {number} of 3, {}: {done} of {all}", stage.name());
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
