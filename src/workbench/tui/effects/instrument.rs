//! Writes on runs, deletes them, exports curves, keeps what is worth keeping.

use crate::cli::curves::{as_json_text, csv};
use crate::foreign;
use crate::plot::{self, Options, Run};
use crate::tui::instrument::{Effect, Export};
use run::dir::RunDir;
use run::history::History;
use std::path::{Path, PathBuf};

/// Carries it out; what to say, when there is something.
pub fn carry_out(effect: Effect) -> Option<Result<String, String>> {
    match effect {
        Effect::Label { run, labels } => {
            labels.write(&run).err().map(|e| Err(format!("{}: cannot be written on: {e}", run.name())))
        }
        Effect::Delete { run } => Some(delete(&run)),
        Effect::KeepLayout(layout) => {
            crate::tui::layout::keep(layout);
            None
        }
        Effect::KeepHistory { run, history, position } => {
            // A cache that cannot be written is none.
            let _ = run::index::keep(&run, &history, position);
            None
        }
        Effect::Export { runs, options, out } => Some(export(runs, &options, &out)),
        // The loop's own.
        Effect::Mouse(_) => None,
    }
}

fn delete(run: &RunDir) -> Result<String, String> {
    if foreign::is_foreign(run.path()) || !run.config().is_file() {
        return Err(format!("{}: is not a run of ours", run.path().display()));
    }
    if run::lock::is_taken(run) {
        return Err(format!("{} is alive: stop it first", run.name()));
    }
    std::fs::remove_dir_all(run.path())
        .map_err(|e| format!("{}: cannot be deleted whole: {e}", run.path().display()))?;
    Ok(format!("{} is deleted", run.name()))
}

fn export(runs: Vec<(RunDir, String)>, options: &Export, out: &Path) -> Result<String, String> {
    let read = |(run, name): (RunDir, String)| {
        let history = if foreign::is_foreign(run.path()) {
            foreign::read(run.path(), None).map(|(h, _)| h)
        } else {
            History::read(&run)
        };
        history.map(|history| Run { name, history }).map_err(|e| format!("{}: {e}", run.path().display()))
    };
    let runs = runs.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let out = expanded(out);
    match out.extension().and_then(|e| e.to_str()) {
        Some(end @ ("csv" | "json")) => {
            let metrics =
                if options.metrics.is_empty() { plot::curves(&runs) } else { options.metrics.clone() };
            let text = if end == "csv" { csv(&runs, &metrics) } else { as_json_text(&runs, &metrics) };
            run::dir::replace_file(&out, text.as_bytes()).map_err(|e| format!("{}: {e}", out.display()))?;
        }
        Some("svg" | "png") => {
            let paper = Options {
                metrics: options.metrics.clone(),
                axis: options.axis,
                log_x: options.log.0,
                log_y: options.log.1,
                smoothing: options.smoothing,
                robust: options.robust,
                ..Options::default()
            };
            plot::write(&runs, &paper, &out)?;
        }
        _ => return Err(format!("{}: the name ends in .svg, .png, .csv or .json", out.display())),
    }
    Ok(format!("written: {}", out.display()))
}

/// `~` is the person's home.
fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}
