//! `cocaptain runs`: what runs there are, and how they are.

use std::path::Path;

use run::history::History;
use serde_json::json;

use super::{Done, Failure, print};

/// Lists the runs below `root` and the roots used before.
pub fn list(root: &Path, as_json: bool) -> Done {
    let mut rows = Vec::new();
    for run in run::dir::list(root) {
        let history = History::read_ends(&run)
            .map_err(|e| Failure::Failed(format!("{}: {e}", run.events().display())))?;
        let status = history.status(&run);
        rows.push((run, history, status));
    }
    if as_json {
        let all: Vec<_> = rows
            .iter()
            .map(|(run, h, status)| {
                let (m, labels) = (h.metrics.as_ref(), crate::labels::Labels::of(run));
                json!({
                    "name": run.name(),
                    "path": run.path(),
                    "status": status.word(),
                    "alive": status.is_alive(),
                    "step": h.step,
                    "total_steps": h.started.as_ref().map(|s| s.total_steps),
                    "epoch": h.epoch,
                    "loss": m.map(|m| m.loss),
                    "learning_rate": m.map(|m| m.learning_rate),
                    "samples_per_second": m.map(|m| m.samples_per_second),
                    "attempt": h.attempt,
                    "last_event": h.last_time,
                    "tags": labels.tags,
                    "note": labels.note,
                    "archived": labels.archived,
                    "message": h.finished.as_ref().and_then(|(_, m)| m.clone()),
                })
            })
            .collect();
        return print(&format!("{}\n", serde_json::Value::from(all)));
    }
    if rows.is_empty() {
        return print(&format!("no runs in {}; `cocaptain demo` starts one\n", root.display()));
    }
    let mut text = format!("{:<24} {:<10} {:>15} {:>9}  {}\n", "NAME", "STATUS", "STEP", "LOSS", "DIRECTORY");
    for (run, h, status) in rows {
        let total = h.started.as_ref().map_or_else(|| "?".to_owned(), |s| s.total_steps.to_string());
        let loss = h.metrics.as_ref().map_or_else(|| "-".to_owned(), |m| format!("{:.4}", m.loss));
        let steps = format!("{}/{total}", h.step);
        let name = run.name();
        let path = run.path().display();
        text += &format!("{name:<24} {:<10} {steps:>15} {loss:>9}  {path}\n", status.word());
    }
    print(&text)
}
