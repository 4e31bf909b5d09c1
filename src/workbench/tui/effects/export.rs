//! Writes curves to a file.

use crate::cli::curves::{as_json_text, csv};
use crate::foreign;
use crate::plot::{self, Options, Run};
use crate::tui::message::CurvesExport;
use run::dir::RunDir;
use run::history::History;
use std::path::Path;

/// Writes the curves of these runs; says where.
///
/// # Errors
/// What cannot be read or written.
pub fn export(runs: Vec<(RunDir, String)>, options: &CurvesExport, out: &Path) -> Result<String, String> {
    let read = |(run, name): (RunDir, String)| {
        let history = if foreign::is_foreign(run.path()) {
            foreign::read(run.path(), None).map(|(h, _)| h)
        } else {
            History::read(&run)
        };
        history.map(|history| Run { name, history }).map_err(|e| format!("{}: {e}", run.path().display()))
    };
    let runs = runs.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let out = super::home(out);
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
