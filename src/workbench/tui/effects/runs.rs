//! Summaries of runs, from the first and the last events only: a run may have hundreds of megabytes of them.

use crate::tui::message::RunSummary;
use run::dir::RunDir;
use run::events::Event;
use run::history::History;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read from a file's start (the model, the number of steps) and from its end (where the run is).
const HEAD: u64 = 64 << 10;
const TAIL: u64 = 256 << 10;

/// Every run below `root` and the roots used before, newest first.
pub fn list(root: &Path) -> Vec<RunSummary> {
    run::dir::list(root).into_iter().map(summary).collect()
}

/// What a list says of a run.
pub fn summary(run: RunDir) -> RunSummary {
    // A file that cannot be read tells as little as an empty one.
    let history = ends(&run).unwrap_or_default();
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

fn ends(run: &RunDir) -> io::Result<History> {
    let mut file = File::open(run.events())?;
    let len = file.metadata()?.len();
    let mut history = History::default();
    let mut take = |from: u64, bytes: u64| -> io::Result<()> {
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(bytes).read_to_end(&mut part)?;
        // Lines that were cut in two are no events, and left out.
        let events = part.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice::<Event>(l).ok());
        events.for_each(|e| history.apply(e));
        Ok(())
    };
    if len <= HEAD + TAIL {
        take(0, len)?;
    } else {
        take(0, HEAD)?;
        take(len - TAIL, TAIL)?;
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::events::{Body, Metrics, Started};
    use run::log::Writer;

    #[test]
    fn a_long_run_is_summed_up_from_its_ends() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        std::fs::write(run.config(), "").unwrap();
        let mut w = Writer::open(&run).unwrap();
        w.append(Body::Started(Started { total_steps: 9000, model: "m".into(), ..Started::default() }))
            .unwrap();
        for step in 1..=5000 {
            w.append(Body::Metrics(Metrics { step, loss: 1.5, ..Metrics::default() })).unwrap();
        }
        assert!(std::fs::metadata(run.events()).unwrap().len() > HEAD + TAIL);
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
