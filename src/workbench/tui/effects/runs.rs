//! Summaries of runs, from the first and the last events only.

use crate::tui::message::RunSummary;
use run::dir::RunDir;
use run::history::History;
use run::settings::Settings;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Every run below `root` and the roots used before, newest first; then those below the folders that were opened.
pub fn list(root: Option<&Path>, opened: &[PathBuf]) -> Vec<RunSummary> {
    let opened: Vec<PathBuf> = opened.iter().map(|folder| super::home(folder)).collect();
    let mut runs = root.map(run::dir::list).unwrap_or_default();
    let known = runs.len();
    for path in super::foreign::found(&opened) {
        if runs.iter().take(known).all(|r| r.path() != path) {
            runs.push(RunDir::at(path));
        }
    }
    let summed = runs.into_iter().map(|run| {
        let label = super::foreign::label(run.path(), &opened);
        let summary =
            if crate::foreign::is_foreign(run.path()) { super::foreign::summary(run) } else { summary(run) };
        RunSummary { label: label.unwrap_or_else(|| summary.run.name()), ..summary }
    });
    summed.collect()
}

/// What a list says of a run.
pub fn summary(run: RunDir) -> RunSummary {
    // A file that cannot be read tells as little as an empty one.
    let history = History::read_ends(&run).unwrap_or_default();
    let status = history.status(&run);
    RunSummary {
        step: history.step,
        total: history.started.as_ref().map(|s| s.total_steps),
        loss: history.metrics.as_ref().map(|m| m.loss),
        smoothed: history.curves.get("loss").and_then(crate::tui::chart::smoothed),
        model: history.started.as_ref().map(|s| s.model.clone()),
        best: best(&run),
        settings: settings(&run),
        labels: crate::labels::Labels::of(&run),
        last_time: history.last_time,
        ..RunSummary::new(run, status)
    }
}

/// Bytes of one run's events that are looked through for its best loss at once; the rest is at the next listing.
const LOOK: u64 = 64 << 20;

/// The lowest held-out loss so far. Events are looked
/// through once, and only what came since then at a later listing.
fn best(run: &RunDir) -> Option<(u64, f64)> {
    type Known = HashMap<PathBuf, (u64, Option<(u64, f64)>)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (position, best) = known.get_or_insert_default().entry(run.path().to_owned()).or_default();
    let len = std::fs::metadata(run.events()).map_or(0, |m| m.len());
    if len < *position {
        (*position, *best) = (0, None);
    }
    // A list is no reason to read hundreds of megabytes at once.
    let mut left = LOOK.min(len - *position);
    let Ok(mut file) = std::fs::File::open(run.events()) else { return *best };
    while left > 0 {
        let mut bytes = Vec::new();
        let slice = left.min(1 << 20);
        if file.seek(SeekFrom::Start(*position)).is_err()
            || (&mut file).take(slice).read_to_end(&mut bytes).is_err()
        {
            break;
        }
        let Some(whole) = bytes.iter().rposition(|b| *b == b'\n').map(|i| i + 1) else { break };
        for line in bytes.get(..whole).unwrap_or_default().split(|b| *b == b'\n') {
            if !line.windows(10).any(|w| w == b"\"held_out\"") {
                continue;
            }
            let Ok(event) = serde_json::from_slice::<run::events::Event>(line) else { continue };
            let run::events::Body::Evaluation(e) = event.body else { continue };
            let loss = e.result.as_ref().and_then(|r| r.get("loss")).copied().filter(|v| v.is_finite());
            if let Some(loss) = loss.filter(|v| best.is_none_or(|(_, b)| *v < b)) {
                *best = Some((e.step, loss));
            }
        }
        *position += whole as u64;
        left = left.saturating_sub(whole as u64);
    }
    *best
}

/// The settings that differ from the defaults, as the run's config.toml says; read again only when it changed.
fn settings(run: &RunDir) -> BTreeMap<String, String> {
    type Known = HashMap<PathBuf, (SystemTime, BTreeMap<String, String>)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let changed =
        std::fs::metadata(run.config()).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some((of, settings)) = known.get(run.path())
        && *of == changed
    {
        return settings.clone();
    }
    let settings = Settings::load(&run.config()).map_or_else(
        |_| BTreeMap::new(),
        |s| {
            s.differences(&Settings::default())
                .into_iter()
                .map(|(s, v, _)| (s.name.to_owned(), v.to_string()))
                .collect()
        },
    );
    known.insert(run.path().to_owned(), (changed, settings));
    known.get(run.path()).map(|(_, s)| s.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::events::{Body, Metrics, Started};
    use run::log::Writer;

    #[test]
    fn a_run_is_summed_up() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        std::fs::write(run.config(), "").unwrap();
        let mut w = Writer::open(&run).unwrap();
        w.append(Body::Started(Started { total_steps: 9000, model: "m".into(), ..Started::default() }))
            .unwrap();
        w.append(Body::Metrics(Metrics { step: 4999, loss: 2.5, ..Metrics::default() })).unwrap();
        w.append(Body::Metrics(Metrics { step: 5000, loss: 1.5, ..Metrics::default() })).unwrap();
        let s = summary(run);
        // (0.9 * 2.5 + 1.5) / 1.9
        assert!((s.smoothed.unwrap() - 1.973_684).abs() < 1e-6, "{:?}", s.smoothed);
        assert_eq!((s.step, s.total, s.loss, s.model.as_deref()), (5000, Some(9000), Some(1.5), Some("m")));
        assert_eq!(s.status, run::history::Status::Crashed);
        assert_eq!(
            list(Some(root.path()), &[])
                .iter()
                .filter(|r| r.run.path().starts_with(root.path().canonicalize().unwrap()))
                .count(),
            1
        );
    }
}
