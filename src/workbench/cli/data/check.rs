//! `cocaptain data check`: says what is wrong with a dataset.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::check::{Finding, Kind, Options, Report, Severity, Stage, Tokens, Watch};
use run::settings::{SettingError, Settings};

use super::super::{Done, Failure, flags, print};
use super::read;

/// Findings of a kind that are printed for people, without --all.
const SHOWN: usize = 10;

/// The settings that have a say in a check.
const SETTINGS: [&str; 14] = [
    "image_root",
    "data_format",
    "csv_img_key",
    "csv_caption_key",
    "csv_separator",
    "check_min_side",
    "check_max_aspect",
    "check_dark",
    "check_bright",
    "check_blur",
    "check_near_bits",
    "check_near_difference",
    "check_repeated_images",
    "check_repeated_share",
];

/// The command.
pub fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    let command = Command::new("check")
        .about("Say what is wrong with a dataset, where, and what to do")
        .arg(
            Arg::new("PATH")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, tar shards, file list, or dataset folder; see docs/datasets.md"),
        )
        .arg(
            Arg::new("stage")
                .long("stage")
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
        .arg(
            switch("no_cache", "Neither read nor write what earlier checks have found out").alias("no-cache"),
        )
        .arg(path("fix", "OUT", "Write a cleaned copy, and a list of what it leaves out"))
        .arg(path("config", "FILE", "Take the settings below from a config file"));
    let command = read::token_flags(command);
    // The thresholds have short names here too.
    let short = |flag: Arg| match flag.get_id().as_str().strip_prefix("check_") {
        Some(short) => {
            let names = [short.to_owned(), short.replace('_', "-")];
            flag.aliases(names)
        }
        None => flag,
    };
    let command = flags::some(command, &SETTINGS);
    SETTINGS.iter().fold(command, |command, name| command.mut_arg(name, short))
}

fn options(m: &ArgMatches, path: &Path) -> Result<Options, Failure> {
    let mut settings = match m.get_one::<PathBuf>("config") {
        Some(file) => Settings::load(file).map_err(Failure::failed)?,
        None => Settings::default(),
    };
    let usage = |error: SettingError| Failure::Usage(error.to_string());
    flags::assign_some(&mut settings, m, &SETTINGS).map_err(usage)?;
    settings.validate().map_err(usage)?;
    let mut options = Options::from(&settings);
    let own = || crate::datasets::own_tokenizer(path);
    let tokenizer = m.get_one::<PathBuf>("tokenizer").cloned().or_else(own);
    options.tokens = tokenizer.map_or(Tokens::Clip, Tokens::File);
    options.upto = match m.get_one::<String>("stage").map(String::as_str) {
        Some("schema") => Stage::Schema,
        Some("files") => Stage::Files,
        _ => Stage::Content,
    };
    options.context_length = m.get_one::<u64>("context_length").map_or(76, |n| *n as usize);
    if m.get_flag("no_cache") {
        options.cache = None;
    }
    Ok(options)
}

/// Carries it out.
pub fn check(m: &ArgMatches) -> Done {
    let Some(path) = m.get_one::<PathBuf>("PATH") else { return Ok(()) };
    let shards = path.to_str().is_some_and(|path| path.contains('{') || path.contains("::"));
    let gone = |path: &Path| path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    if !shards && gone(path) {
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
        written(|out| data::check::json(&report, out))?;
    } else if m.get_flag("sarif") {
        written(|out| data::check::sarif(&report, run::VERSION, out))?;
    } else if m.get_flag("csv") {
        written(|out| data::check::csv(&report, out))?;
    } else {
        print(&people(&report, if m.get_flag("all") { usize::MAX } else { SHOWN }))?;
    }
    if report.cancelled {
        let (stage, done, all) = report.reached.unwrap_or((Stage::Schema, 0, 0));
        let stage = format!("stage {} of 3, {}", stage as usize + 1, stage.name());
        let message = format!("stopped in {stage}, at {done} of {all}: there may be more findings");
        return Err(Failure::Failed(message));
    }
    if let Some(out) = out {
        let fixed = data::check::fix(path, &options.read, &report, out).map_err(Failure::failed)?;
        let told = format!(
            "{}: {} kept; {} left out, named in {}",
            out.display(),
            entries(fixed.kept),
            fixed.left_out,
            fixed.list.display()
        );
        let _ = writeln!(std::io::stderr(), "{}", run::escape::line(&told));
    }
    let bad =
        report.count(Severity::Error) > 0 || (m.get_flag("strict") && report.count(Severity::Warning) > 0);
    if bad { Err(Failure::Silent) } else { Ok(()) }
}

/// Writes to stdout as it goes; a reader that has gone (`| head`) is no error.
fn written(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Done {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(e)),
        _ => Ok(()),
    }
}

fn entries(n: usize) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") }
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
        entries(report.entries),
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
