//! `cocaptain data fetch`: a known dataset, into PaddleMIX's folder.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::fetch::{KNOWN, Known, Options, Phase, fetch, known};

use super::super::{Done, Failure, print};
use super::read;
use crate::tui::format::{bytes, span};

/// The environment variable that names a mirror.
const MIRROR: &str = "COCAPTAIN_COCO_URL";

/// The command.
pub fn command() -> Command {
    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    let about: String = KNOWN.iter().map(|k| format!("{}: {}\n", k.name, k.about)).collect();
    Command::new("fetch")
        .about("Fetch a known dataset; goes on where it was cut off")
        .arg(Arg::new("NAME").required(true).value_parser(names).help("Which dataset"))
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .help(format!("The archive's address on a mirror [env: {MIRROR}]")),
        )
        .arg(
            Arg::new("md5")
                .long("md5")
                .value_name("SUM")
                .help("The archive's MD5, where a mirror packed it anew"),
        )
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Folder of datasets [default: $PPMIX_HOME/datasets, else ~/.paddlemix/datasets]"),
        )
        .arg(
            Arg::new("keep_archive")
                .long("keep_archive")
                .alias("keep-archive")
                .action(ArgAction::SetTrue)
                .help("Keep the archive when it is unpacked"),
        )
        .after_help(about)
}

/// Carries it out.
pub fn run(m: &ArgMatches) -> Done {
    let name = m.get_one::<String>("NAME").map_or("", String::as_str);
    let known: &Known = known(name).ok_or_else(|| Failure::Usage(format!("'{name}' is no known dataset")))?;
    let folder =
        m.get_one::<PathBuf>("dir").cloned().or_else(run::settings::seed_datasets).ok_or_else(|| {
            Failure::Failed("neither PPMIX_HOME nor HOME is set: name a folder by --dir".to_owned())
        })?;
    let mirror = std::env::var(MIRROR).ok().filter(|url| !url.is_empty());
    let cancel = read::cancelled_by_signals()?;
    let bar = Bar::new();
    let options = Options {
        url: m.get_one::<String>("url").cloned().or(mirror).unwrap_or_else(|| known.url.to_owned()),
        md5: m.get_one::<String>("md5").cloned().unwrap_or_else(|| known.md5.to_owned()),
        folder,
        keep_archive: m.get_flag("keep_archive"),
        free: &run::dir::free_bytes,
        progress: &|phase, done, total| bar.tell(phase, done, total),
        cancel: &cancel,
    };
    let place = fetch(known, &options);
    bar.end();
    let place = place.map_err(Failure::failed)?;
    print(&format!("{}\n", run::escape::line(&place.display().to_string())))
}

/// How far it is: a bar on a terminal, else a line for each tenth.
struct Bar {
    terminal: bool,
    state: Mutex<Option<State>>,
}

struct State {
    phase: Phase,
    began: Instant,
    /// Bytes that were there when this phase began.
    first: u64,
    step: u64,
    drawn: Instant,
}

impl Bar {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), state: Mutex::new(None) }
    }

    #[allow(clippy::cast_precision_loss)]
    fn tell(&self, phase: Phase, done: u64, total: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        let now = Instant::now();
        if state.as_ref().is_none_or(|state| state.phase != phase) {
            *state = Some(State { phase, began: now, first: done, step: u64::MAX, drawn: now });
        }
        let Some(state) = state.as_mut() else { return };
        let percent = (done * 100).checked_div(total).unwrap_or(0);
        let step = if self.terminal { percent } else { percent / 10 };
        let due = self.terminal && now.duration_since(state.drawn).as_millis() > 200;
        if state.step == step && !due {
            return;
        }
        (state.step, state.drawn) = (step, now);
        let seconds = now.duration_since(state.began).as_secs_f64();
        let rate = if seconds > 0.5 { (done - state.first.min(done)) as f64 / seconds } else { 0.0 };
        // At first there is no rate yet.
        let rest = if rate > 0.0 {
            let left = span(total.saturating_sub(done) as f64 / rate);
            format!("  {}/s  {left} left", bytes(rate as u64))
        } else {
            String::new()
        };
        let text = format!(
            "{} {percent:>3} %  {} of {}{rest}",
            phase.name(),
            bytes(done),
            if total == 0 { "?".to_owned() } else { bytes(total) },
        );
        let mut err = std::io::stderr();
        let _ = if self.terminal {
            let full = usize::try_from(percent / 5).unwrap_or(20).min(20);
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(20 - full));
            write!(err, "\r\x1b[2K{bar} {text}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{text}")
        };
    }

    fn end(&self) {
        if self.terminal && self.state.lock().is_ok_and(|state| state.is_some()) {
            let _ = writeln!(std::io::stderr());
        }
    }
}
