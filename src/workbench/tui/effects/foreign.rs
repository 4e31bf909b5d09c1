//! Follows a run of another program on a thread of its own, and sums such runs up for the list.

use super::logs::Logs;
use super::waker::{self, Handle, Waker};
use crate::foreign::{self, Follower, Item};
use crate::tui::message::{Msg, News, RunSummary};
use notify::{RecursiveMode, Watcher};
use run::dir::RunDir;
use run::history::{History, Status};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Time between two looks when the system tells nothing.
const POLL: Duration = Duration::from_secs(2);

/// Points of a curve and bytes of the files that a summary takes in at once: more are taken in at the next listing.
const POINTS: usize = 256;
const SLICES: usize = 32;

/// How long a walk through folders is good for.
const FRESH: Duration = Duration::from_secs(10);

/// Starts to follow.
pub fn start(run: RunDir, generation: u64, tx: mpsc::Sender<Msg>) -> Handle {
    let (handle, waker) = waker::pair();
    std::thread::spawn(move || {
        let send = |news| tx.blocking_send(Msg::Watch { generation, news }).ok();
        // Nobody wants news any more: nothing to do but end.
        let _ = follow(&run, &waker, &send);
    });
    handle
}

fn follow(run: &RunDir, waker: &Waker, send: &dyn Fn(News) -> Option<()>) -> Option<()> {
    let mut follower = Follower::new(run.path());
    let mut logs = Logs::default();
    let mut notifier = waker.notifier();
    if let Some(n) = &mut notifier {
        // Without it, the slow look is enough.
        let _ = n.watch(run.path(), RecursiveMode::Recursive);
    }
    let (mut status, mut trouble) = (None, String::new());
    loop {
        loop {
            if waker.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return None;
            }
            match follower.poll() {
                Ok(Some(items)) => {
                    send(News::Items { items, read: follower.read, total: follower.total })?;
                    trouble.clear();
                }
                Ok(None) => break,
                Err(e) => {
                    // A folder that was taken away stays on the screen as it was.
                    let text = format!("{}: {e}", run.path().display());
                    if trouble != text {
                        send(News::Trouble(text.clone()))?;
                        trouble = text;
                    }
                    break;
                }
            }
        }
        let now = foreign::status(follower.changed, run::now());
        if status.replace(now) != Some(now) {
            if status.is_some() {
                send(News::Items {
                    items: Vec::new(),
                    read: follower.read,
                    total: follower.total.min(follower.read),
                })?;
            }
            send(News::Status(now))?;
        }
        for news in logs.poll(run.path()) {
            send(news)?;
        }
        waker.wait(POLL)?;
    }
}

type Kept = HashMap<PathBuf, (Follower, History, Option<String>)>;

/// What a list says of such a run; what was read once is not read again.
pub fn summary(run: RunDir) -> RunSummary {
    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    let (follower, history, model) = kept.entry(run.path().to_owned()).or_insert_with(|| {
        let history = History { most_points: Some(POINTS), ..History::default() };
        (Follower::new(run.path()), history, None)
    });
    for _ in 0..SLICES {
        // A folder that cannot be read now says what it said before.
        let Ok(Some(items)) = follower.poll() else { break };
        for item in items {
            if let Item::Sample(_) = item {
                continue;
            }
            if let Some(name) = foreign::take(history, item).and_then(|p| p.get("model").cloned()) {
                *model = Some(name);
            }
        }
    }
    let status = if run.path().is_dir() {
        foreign::status(follower.changed, run::now())
    } else {
        Status::Foreign { growing: false }
    };
    let loss = history.curves.iter().find(|(name, _)| name.to_lowercase().contains("loss"));
    RunSummary {
        step: history.step,
        total: history.started.as_ref().map(|s| s.total_steps).filter(|t| *t > 0),
        loss: loss.and_then(|(_, c)| c.last()),
        smoothed: loss.and_then(|(_, c)| crate::tui::chart::smoothed(c)),
        best: loss.and_then(|(_, c)| c.best(true)),
        model: model.clone(),
        last_time: history.last_time,
        labels: crate::labels::Labels::of(&run),
        ..RunSummary::new(run, status)
    }
}

/// The runs below these folders; folders are walked through every few seconds only.
pub fn found(folders: &[PathBuf]) -> Vec<PathBuf> {
    type Walk = (Vec<PathBuf>, Instant, Vec<PathBuf>);
    static LAST: Mutex<Option<Walk>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, when, found)) = last.as_ref()
        && of == folders
        && when.elapsed() < FRESH
    {
        return found.clone();
    }
    let found = foreign::find(folders);
    *last = Some((folders.to_vec(), Instant::now(), found.clone()));
    found
}

/// A run's name among those that were opened with it: its place below the folder.
pub fn label(path: &Path, folders: &[PathBuf]) -> Option<String> {
    let below = folders.iter().filter_map(|f| {
        let folder = f.canonicalize().ok()?;
        let rest = path.strip_prefix(&folder).ok()?;
        (!rest.as_os_str().is_empty()).then(|| rest.display().to_string())
    });
    below.min_by_key(String::len)
}
