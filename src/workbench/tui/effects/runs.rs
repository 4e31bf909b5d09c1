//! Summaries of runs, from the first and the last events only.

use crate::tui::message::RunSummary;
use run::dir::RunDir;
use run::history::History;
use std::path::Path;

/// Every run below `root` and the roots used before, newest first.
pub fn list(root: &Path) -> Vec<RunSummary> {
    run::dir::list(root).into_iter().map(summary).collect()
}

/// What a list says of a run.
pub fn summary(run: RunDir) -> RunSummary {
    // A file that cannot be read tells as little as an empty one.
    let history = History::read_ends(&run).unwrap_or_default();
    RunSummary {
        status: history.status(&run),
        step: history.step,
        total: history.started.as_ref().map(|s| s.total_steps),
        loss: history.metrics.as_ref().map(|m| m.loss),
        model: history.started.as_ref().map(|s| s.model.clone()),
        last_time: history.last_time,
        run,
    }
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
        w.append(Body::Metrics(Metrics { step: 5000, loss: 1.5, ..Metrics::default() })).unwrap();
        let s = summary(run);
        assert_eq!((s.step, s.total, s.loss, s.model.as_deref()), (5000, Some(9000), Some(1.5), Some("m")));
        assert_eq!(s.status, run::history::Status::Crashed);
        assert_eq!(
            list(root.path())
                .iter()
                .filter(|r| r.run.path().starts_with(root.path().canonicalize().unwrap()))
                .count(),
            1
        );
    }
}
