//! Follows one run's directory on a thread of its own: events, status, config, logs.
//!
//! The system tells of changes; a slow poll stands in where it cannot (network file systems) and looks at the lock,
//! of which nobody tells.

use super::logs::Logs;
use super::waker::{self, Handle};
use crate::tui::message::{Msg, News};
use notify::{RecursiveMode, Watcher};
use run::dir::RunDir;
use run::events::{Body, Event};
use run::history::{History, Status};
use run::log::Follower;
use run::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Time between two looks when the system tells nothing.
const POLL: Duration = Duration::from_secs(2);

/// Bytes of events that are taken in at once: several runs may be read at the same time, and what is on its way to the
/// screen takes memory.
const SLICE: u64 = 128 << 10;

/// Starts to follow a run, whose curves shall have as many points.
pub fn start(run: RunDir, generation: u64, points: usize, tx: mpsc::Sender<Msg>) -> Handle {
    if crate::foreign::is_foreign(run.path()) {
        return super::foreign::start(run, generation, tx);
    }
    let (handle, waker) = waker::pair();
    let stop = waker.stop.clone();
    let mut watch = Watch {
        run,
        generation,
        tx,
        stop,
        brief: History::default(),
        status: None,
        config: None,
        told: Told::default(),
    };
    std::thread::spawn(move || {
        let mut follower = Follower::new(watch.run.events());
        follower.slice = SLICE;
        let mut logs = Logs::default();
        // What was folded before is on the screen at once; only what came since then is read.
        let restored = run::index::restore(&watch.run);
        // What was thinned more than is wanted now is read anew.
        let fine = |h: &History| h.most_points.is_none_or(|most| most >= points);
        if let Some((history, position)) = restored.filter(|(h, _)| fine(h)) {
            follower.position = position;
            watch.brief = brief(&history);
            let total = std::fs::metadata(watch.run.events()).map_or(position, |m| m.len());
            let _ = watch.send(News::Restored { history: Box::new(history), read: position, total });
        }
        // The status of a long run is known before its events are read.
        let status = History::read_ends(&watch.run).unwrap_or_default().status(&watch.run);
        let _ = watch.status(status);
        let mut notifier = waker.notifier();
        if let Some(n) = &mut notifier {
            // Without it, the poll is enough.
            let _ = n.watch(watch.run.path(), RecursiveMode::NonRecursive);
            let _ = n.watch(&watch.run.logs(), RecursiveMode::NonRecursive);
        }
        let mut first = true;
        while watch.look(&mut follower, &mut logs, first).is_some() {
            first = false;
            if waker.wait(POLL).is_none() {
                break;
            }
        }
    });
    handle
}

struct Watch {
    run: RunDir,
    generation: u64,
    tx: mpsc::Sender<Msg>,
    stop: Arc<AtomicBool>,
    /// Only what the status depends on.
    brief: History,
    status: Option<Status>,
    config: Option<Option<SystemTime>>,
    told: Told,
}

/// What was said of the events' file, so that it is not said again at every look.
#[derive(Default)]
struct Told {
    trouble: String,
    damaged: u64,
    newer: Option<u32>,
}

impl Watch {
    /// Sends news; `None` when nobody wants them any more.
    fn send(&self, news: News) -> Option<()> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.tx.blocking_send(Msg::Watch { generation: self.generation, news }).ok()
    }

    fn status(&mut self, status: Status) -> Option<()> {
        if self.status.replace(status) == Some(status) { Some(()) } else { self.send(News::Status(status)) }
    }

    /// One look at everything; `None` when nobody wants news any more.
    fn look(&mut self, follower: &mut Follower, logs: &mut Logs, first: bool) -> Option<()> {
        self.config()?;
        let mut any = false;
        loop {
            match follower.poll() {
                Ok(Some(events)) => {
                    any = true;
                    events.iter().for_each(|e| self.brief.apply(told(e)));
                    let total = std::fs::metadata(self.run.events()).map_or(0, |m| m.len());
                    self.send(News::Events { events, read: follower.position, total })?;
                }
                Ok(None) => match follower.is_same() {
                    Ok(true) => {
                        self.told.trouble.clear();
                        break;
                    }
                    // Another file has taken its place, or it was cut: what was read is void.
                    Ok(false) => {
                        *follower = Follower::new(self.run.events());
                        follower.slice = SLICE;
                        (self.brief, self.told) = (History::default(), Told::default());
                        self.send(News::Anew)?;
                    }
                    Err(e) => {
                        self.trouble(&format!("{e}; what was read of it stays on the screen"))?;
                        break;
                    }
                },
                Err(e) => {
                    self.trouble(&e.to_string())?;
                    break;
                }
            }
        }
        if first && !any {
            self.send(News::Events { events: Vec::new(), read: 0, total: 0 })?;
        }
        self.odd(follower)?;
        // Of a folder that is gone nobody can say more than what was known.
        if self.run.path().is_dir() {
            let status = self.brief.status(&self.run);
            self.status(status)?;
        }
        for news in logs.poll(&self.run.logs()) {
            self.send(news)?;
        }
        self.send_nothing()
    }

    /// Says once what is wrong with the events' file.
    fn trouble(&mut self, what: &str) -> Option<()> {
        let text = format!("{}: {what}", self.run.events().display());
        if self.told.trouble == text {
            return Some(());
        }
        self.told.trouble.clone_from(&text);
        self.send(News::Trouble(text))
    }

    /// Says what in the file this program does not understand: once, and again when there is twice as much of it.
    fn odd(&mut self, follower: &Follower) -> Option<()> {
        let place = self.run.events().display().to_string();
        if let Some(version) = follower.newer.filter(|v| self.told.newer.is_none_or(|told| *v > told)) {
            self.told.newer = Some(version);
            self.send(News::Odd(format!(
                "{place}: written by a newer cocaptain (events of version {version}, this one knows {}): \
                 what it does not know is left out",
                run::events::VERSION
            )))?;
        }
        if follower.damaged > 2 * self.told.damaged {
            self.told.damaged = follower.damaged;
            let (lines, were) = if follower.damaged == 1 { ("line", "was") } else { ("lines", "were") };
            self.send(News::Odd(format!(
                "{place}: {} {lines} that {were} no event passed over: torn, or written by something else",
                follower.damaged
            )))?;
        }
        Some(())
    }

    fn send_nothing(&self) -> Option<()> {
        (!self.stop.load(Ordering::Relaxed) && !self.tx.is_closed()).then_some(())
    }

    fn config(&mut self) -> Option<()> {
        let path = self.run.config();
        let changed = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        if self.config == Some(changed) {
            return Some(());
        }
        self.config = Some(changed);
        let config = Settings::load(&path).map(Box::new).map_err(|e| e.to_string());
        self.send(News::Config(config))
    }
}

/// A history as far as the status depends on it.
fn brief(history: &History) -> History {
    History {
        finished: history.finished.clone(),
        state: history.state.clone(),
        first_time: history.first_time,
        last_time: history.last_time,
        last_seq: history.last_seq,
        step: history.step,
        attempt: history.attempt,
        ..History::default()
    }
}

/// The event as far as the status depends on it: of most, only the time by which a run elsewhere counts as stale.
fn told(event: &Event) -> Event {
    let matters = matches!(
        event.body,
        Body::Started(_) | Body::Resumed { .. } | Body::State { .. } | Body::Finished { .. }
    );
    let body = if matters { event.body.clone() } else { Body::Unknown };
    Event { v: event.v, t: event.t, seq: event.seq, attempt: event.attempt, body }
}
