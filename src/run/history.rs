//! Folds a run's events into what a person looks at: curves, samples, notices, the state.
//!
//! A later attempt supersedes every point of a step after its `from_step`.

use crate::curve::Curve;
use crate::dir::RunDir;
use crate::events::{
    Body, Evaluation, Event, Layout, Memory, Metrics, Notice, Outcome, Sample, Started, State,
};
use crate::link::Edit;
use crate::lock::{self, Supervisor};
use crate::settings::{Changes, Settings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seconds without an event after which a run on another machine counts as stale.
pub const STALE_SECONDS: f64 = 60.0;

/// Bytes that [`History::read_ends`] takes from a file's start (the model, the number of steps) and from its end (where
/// the run is).
const HEAD: u64 = 64 << 10;
const TAIL: u64 = 256 << 10;

/// Most notices, memory reports kept for the screen; all are on the disk.
const KEEP: usize = 2000;

/// An edit of settings, as a mark on the curves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Steps done when it took effect.
    pub step: u64,
    /// The new values.
    pub changes: Changes,
    /// The values before.
    pub previous: Changes,
}

/// A warning or an error, with when it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// When: seconds since the Unix epoch.
    pub t: f64,
    /// Whether it is an error.
    pub error: bool,
    /// What it says.
    pub notice: Notice,
}

/// All that a run's events say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Curves by name: "loss", "contrastive_loss", "caption_loss", "learning_rate", "learning_rate.visual",
    /// "grad_norm", "logit_scale", "samples_per_second", "data_seconds", "step_seconds", "held_out.loss",
    /// "zero_shot.top1" and so on.
    #[serde(skip)]
    pub curves: BTreeMap<String, Curve>,
    /// Sample captions, by step and index.
    #[serde(skip)]
    pub samples: BTreeMap<(u64, u32), Sample>,
    /// Edits of settings.
    pub marks: Vec<Mark>,
    /// Warnings and errors, oldest first.
    pub notices: Vec<Noted>,
    /// Newest memory report of each rank.
    pub memory: BTreeMap<u32, Memory>,
    /// Resident or allocated bytes of each rank over time: (seconds since the Unix epoch, bytes).
    pub memory_course: BTreeMap<u32, Vec<(f64, u64)>>,
    /// How parameters lie on the ranks.
    pub layout: Option<Layout>,
    /// What the newest attempt began with.
    pub started: Option<Started>,
    /// When the run's first event came.
    pub first_time: Option<f64>,
    /// The newest event's time.
    pub last_time: Option<f64>,
    /// The newest event's number.
    pub last_seq: Option<u64>,
    /// The newest attempt.
    pub attempt: u32,
    /// The newest state and why.
    pub state: Option<(State, Option<String>)>,
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the data.
    pub epoch: f64,
    /// How it ended; gone when a later attempt goes on.
    pub finished: Option<(Outcome, Option<String>)>,
    /// Steps with checkpoints, as the events tell.
    pub checkpoints: Vec<u64>,
    /// Steps from which later attempts went on.
    pub resumes: Vec<u64>,
    /// When the newest attempt began to go on.
    pub resumed_at: Option<f64>,
    /// The newest progress or result of each evaluation task.
    pub evaluations: BTreeMap<String, Evaluation>,
    /// The newest point of the curves.
    pub metrics: Option<Metrics>,
    /// Most points that a curve keeps, so that a screen's memory stays bounded; all while there is none.
    pub most_points: Option<usize>,
}

/// What a viewer says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Alive, in this state.
    Alive(State),
    /// Ended.
    Ended(Outcome),
    /// Not ended, and no process of it lives.
    Crashed,
    /// On another machine, silent for over a minute.
    Stale,
    /// Made, never started.
    New,
    /// What another program wrote: all that can be told is whether it still writes.
    Foreign {
        /// Whether something came within the last minute.
        growing: bool,
    },
}

impl Status {
    /// The word for people and `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive(state) => state.word(),
            Self::Ended(Outcome::Completed) => "completed",
            Self::Ended(Outcome::Stopped) => "stopped",
            Self::Ended(Outcome::Failed) => "failed",
            Self::Crashed => "crashed",
            Self::Stale => "stale",
            Self::New => "new",
            Self::Foreign { growing: true } => "growing",
            Self::Foreign { growing: false } => "log",
        }
    }

    /// Whether a process works on it.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Alive(_))
    }
}

impl History {
    /// Reads all events that a run has so far.
    ///
    /// # Errors
    /// What the system said.
    pub fn read(run: &RunDir) -> std::io::Result<Self> {
        let mut history = Self::default();
        let mut follower = crate::log::Follower::new(run.events());
        while let Some(events) = follower.poll()? {
            events.into_iter().for_each(|e| history.apply(e));
        }
        Ok(history)
    }

    /// Reads a run's first and last events only, enough to say in a list what it is and where it stands: a run may have
    /// hundreds of megabytes of them. Curves have a gap between the two parts.
    ///
    /// # Errors
    /// What the system said; a run without events is no error.
    pub fn read_ends(run: &RunDir) -> std::io::Result<Self> {
        use std::io::{ErrorKind, Read, Seek, SeekFrom};
        let mut history = Self::default();
        let mut file = match std::fs::File::open(run.events()) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(history),
            Err(e) => return Err(e),
        };
        let len = file.metadata()?.len();
        let parts = if len <= HEAD + TAIL { [(0, len), (len, 0)] } else { [(0, HEAD), (len - TAIL, TAIL)] };
        for (from, bytes) in parts {
            let mut part = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&mut file).take(bytes).read_to_end(&mut part)?;
            // Lines that were cut in two are no events, and left out.
            let events = part.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice::<Event>(l).ok());
            events.for_each(|e| history.apply(e));
        }
        Ok(history)
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: Event) {
        let Event { t, seq, attempt, body, .. } = event;
        self.first_time.get_or_insert(t);
        self.last_time = Some(t);
        self.last_seq = Some(seq);
        self.attempt = self.attempt.max(attempt);
        match body {
            Body::Started(started) => {
                self.finished = None;
                self.started = Some(started);
            }
            Body::Resumed { from_step } => {
                self.resumed_at = Some(t);
                self.rewind(from_step);
            }
            Body::Heartbeat { step } => self.step = step,
            Body::State { state, step, message } => {
                self.step = step;
                self.finished = None;
                self.state = Some((state, message));
            }
            Body::Metrics(m) => self.take_metrics(t, m),
            Body::Memory(m) => {
                if let Some(bytes) = m.allocated.or(m.resident) {
                    let course = self.memory_course.entry(m.rank).or_default();
                    course.push((t, bytes));
                    if course.len() > KEEP {
                        course.drain(..KEEP / 2);
                    }
                }
                self.memory.insert(m.rank, m);
            }
            Body::Layout(l) => self.layout = Some(l),
            Body::Sample(s) => drop(self.samples.insert((s.step, s.index), s)),
            Body::Evaluation(e) => {
                for (name, value) in e.result.iter().flatten() {
                    self.push(&format!("{}.{name}", e.task), e.step, t, *value);
                }
                self.evaluations.insert(e.task.clone(), e);
            }
            Body::SettingChanged { changes, previous, applied_at, .. } => {
                self.marks.push(Mark { step: applied_at, changes, previous });
            }
            Body::Checkpoint { step, .. } => {
                self.checkpoints.retain(|s| *s != step);
                self.checkpoints.push(step);
            }
            Body::Warning(notice) => self.note(t, false, notice),
            Body::Error(notice) => self.note(t, true, notice),
            Body::Finished { outcome, step, message } => {
                self.step = step;
                self.finished = Some((outcome, message));
            }
            Body::Unknown => {}
        }
    }

    fn push(&mut self, name: &str, step: u64, t: f64, value: f64) {
        let curve = match self.curves.get_mut(name) {
            Some(curve) => curve,
            None => self.curves.entry(name.to_owned()).or_default(),
        };
        curve.push(step, t, value);
        if let Some(most) = self.most_points {
            curve.thin(most);
        }
    }

    /// Takes in a point that is no event of ours, as other programs' logs have them.
    pub fn point(&mut self, name: &str, step: u64, t: f64, value: f64) {
        self.first_time = Some(self.first_time.map_or(t, |first| first.min(t)));
        self.last_time = Some(self.last_time.map_or(t, |last| last.max(t)));
        self.step = self.step.max(step);
        self.push(name, step, t, value);
    }

    fn note(&mut self, t: f64, error: bool, notice: Notice) {
        self.notices.push(Noted { t, error, notice });
        if self.notices.len() > KEEP {
            self.notices.drain(..KEEP / 2);
        }
    }

    fn take_metrics(&mut self, t: f64, m: Metrics) {
        self.step = m.step;
        self.epoch = m.epoch;
        for (name, value) in m.curves() {
            self.push(&name, m.step, t, value);
        }
        self.metrics = Some(m);
    }

    /// A new attempt goes on from `step`: what was said of later steps is void.
    pub fn rewind(&mut self, step: u64) {
        if step < self.step {
            // The next metrics tell the epoch to the digit; until then no later one must stand there.
            self.epoch *= step as f64 / self.step as f64;
            self.metrics = self.metrics.take().filter(|m| m.step <= step);
        }
        self.step = step;
        self.finished = None;
        self.curves.values_mut().for_each(|c| c.truncate_after(step));
        self.samples.retain(|(s, _), _| *s <= step);
        self.checkpoints.retain(|s| *s <= step);
        self.resumes.retain(|s| *s < step);
        self.resumes.push(step);
    }

    /// What to say of the run now. Looks at the lock; on another machine's run, at the age of its newest event.
    pub fn status(&self, run: &RunDir) -> Status {
        if let Some((outcome, _)) = self.finished {
            return Status::Ended(outcome);
        }
        let state = self.state.as_ref().map_or(State::Starting, |(s, _)| *s);
        match Supervisor::of(run) {
            Some(s) if s.host != lock::host() => {
                let age = crate::now() - self.last_time.unwrap_or(s.started);
                if age > STALE_SECONDS { Status::Stale } else { Status::Alive(state) }
            }
            _ if lock::is_taken(run) => Status::Alive(state),
            None if self.last_seq.is_none() => Status::New,
            _ => Status::Crashed,
        }
    }

    /// How a new attempt goes on from `step`, given `config.toml`: the settings to begin with, and the acknowledged
    /// edits to make again at their own steps.
    ///
    /// `config.toml` always has the newest values, those of live edits included (the supervisor writes them there).
    /// So edits at or after `step` are taken back first; an edit at that very step may or may not be in the
    /// checkpoint, and making it again changes nothing. A value that somebody changed in `config.toml` since its last
    /// edit wins over that edit, from the first step on.
    pub fn plan_resume(&self, config: &Settings, step: u64) -> (Settings, Vec<Edit>) {
        let mut begin = config.clone();
        let mut newest = Changes::new();
        for mark in &self.marks {
            newest.extend(mark.changes.clone());
        }
        let stands = |name: &String| config.get(name).as_ref() == newest.get(name);
        let mut later: Vec<&Mark> = self.marks.iter().filter(|m| m.step >= step).collect();
        later.sort_by_key(|m| m.step);
        for (name, value) in later.iter().rev().flat_map(|m| &m.previous).filter(|(name, _)| stands(name)) {
            if let Ok(setting) = Settings::setting(name) {
                // A value that an older program allowed and this one does not stays as config.toml has it.
                let _ = begin.put(setting, value.clone());
            }
        }
        let kept = |m: &&Mark| {
            let changes = m.changes.iter().filter(|(name, _)| stands(name));
            Edit { applied_at: m.step, changes: changes.map(|(n, v)| (n.clone(), v.clone())).collect() }
        };
        (begin, later.iter().map(kept).filter(|e| !e.changes.is_empty()).collect())
    }

    /// Seconds until the last step at the present speed.
    #[allow(clippy::cast_precision_loss)]
    pub fn remaining_seconds(&self) -> Option<f64> {
        let left = self.started.as_ref()?.total_steps.checked_sub(self.step)?;
        let per_step = self.metrics.as_ref()?.step_seconds;
        (per_step.is_finite() && per_step > 0.0).then_some(left as f64 * per_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    fn fold(bodies: Vec<Body>) -> History {
        let mut h = History::default();
        for (i, body) in bodies.into_iter().enumerate() {
            #[allow(clippy::cast_precision_loss)]
            h.apply(Event { v: 1, t: i as f64, seq: i as u64, attempt: 0, body });
        }
        h
    }

    fn loss(step: u64, loss: f64) -> Body {
        Body::Metrics(Metrics { step, loss, ..Metrics::default() })
    }

    #[test]
    fn a_later_attempt_supersedes() {
        let h = fold(vec![
            loss(1, 5.0),
            loss(2, 4.0),
            loss(3, 3.0),
            Body::Finished { outcome: Outcome::Failed, step: 3, message: None },
            Body::Resumed { from_step: 1 },
            loss(2, 4.5),
        ]);
        assert_eq!(h.curves["loss"].steps, [1, 2]);
        assert_eq!(h.curves["loss"].values, [5.0, 4.5]);
        assert_eq!(h.resumes, [1]);
        assert!(h.finished.is_none());
    }

    #[test]
    fn a_step_back_takes_epoch_and_metrics_back() {
        let metrics = |step, epoch| Body::Metrics(Metrics { step, epoch, ..Metrics::default() });
        let mut h = fold(vec![metrics(10, 1.0), metrics(40, 4.0), Body::Resumed { from_step: 10 }]);
        assert_eq!((h.step, h.epoch), (10, 1.0));
        assert!(h.metrics.is_none());
        h = fold(vec![metrics(10, 1.0), Body::Resumed { from_step: 10 }]);
        assert_eq!((h.epoch, h.metrics.map(|m| m.step)), (1.0, Some(10)));
    }

    #[test]
    fn a_run_on_another_host_is_judged_by_the_age_of_its_newest_event() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut history = History::default();
        let mut at = |t: f64| {
            history.apply(Event { v: 1, t, seq: 0, attempt: 0, body: Body::Heartbeat { step: 3 } });
            history.status(&run)
        };
        // Nobody holds the lock here: a run of this host has crashed.
        Supervisor::this().write(&run).unwrap();
        assert_eq!(at(crate::now()), Status::Crashed);
        // Nothing here can be said about a process there, whatever its number.
        Supervisor { host: "elsewhere".to_owned(), ..Supervisor::this() }.write(&run).unwrap();
        assert_eq!(at(crate::now() - STALE_SECONDS / 2.0), Status::Alive(State::Starting));
        assert_eq!(at(crate::now() - STALE_SECONDS - 5.0), Status::Stale);
    }

    #[test]
    fn the_ends_of_a_long_run_say_what_a_list_needs() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        assert!(History::read_ends(&run).unwrap().last_seq.is_none());
        let mut w = crate::log::Writer::open(&run).unwrap();
        w.append(Body::Started(Started { total_steps: 9000, model: "m".into(), ..Started::default() }))
            .unwrap();
        for step in 1..=5000 {
            w.append(loss(step, 1.5)).unwrap();
        }
        assert!(std::fs::metadata(run.events()).unwrap().len() > HEAD + TAIL);
        let (ends, whole) = (History::read_ends(&run).unwrap(), History::read(&run).unwrap());
        assert_eq!((ends.step, ends.last_seq, &ends.started), (5000, whole.last_seq, &whole.started));
        assert!(ends.curves["loss"].steps.len() < 5000, "it read everything");
        assert_eq!(ends.metrics.unwrap().loss, 1.5);
    }

    fn edit(applied_at: u64, name: &str, previous: f64, value: f64) -> Body {
        let one = |v| Changes::from([(name.to_owned(), Value::Real(v))]);
        Body::SettingChanged { changes: one(value), previous: one(previous), requested: 0.0, applied_at }
    }

    #[test]
    fn edits_are_taken_back_and_made_again() {
        let h = fold(vec![
            edit(4, "learning_rate", 0.1, 0.2),
            edit(10, "learning_rate", 0.2, 0.3),
            edit(10, "learning_rate", 0.3, 0.4),
            edit(12, "weight_decay", 0.05, 0.5),
        ]);
        let config = Settings { learning_rate: 0.4, weight_decay: 0.5, ..Settings::default() };
        let (begin, edits) = h.plan_resume(&config, 10);
        assert_eq!((begin.learning_rate, begin.weight_decay), (0.2, 0.05));
        assert_eq!(edits.iter().map(|e| e.applied_at).collect::<Vec<_>>(), [10, 10, 12]);
        let (begin, edits) = h.plan_resume(&config, 0);
        assert_eq!((begin.learning_rate, edits.len()), (0.1, 4));
        let (begin, edits) = h.plan_resume(&config, 13);
        assert_eq!((begin, edits.len()), (config, 0));
    }

    #[test]
    fn an_edit_of_the_file_wins() {
        let h = fold(vec![edit(4, "learning_rate", 0.1, 0.2), edit(4, "weight_decay", 0.05, 0.5)]);
        let config = Settings { learning_rate: 0.7, weight_decay: 0.5, ..Settings::default() };
        let (begin, edits) = h.plan_resume(&config, 2);
        assert_eq!((begin.learning_rate, begin.weight_decay), (0.7, 0.05));
        assert_eq!(edits[0].changes.len() + edits.get(1).map_or(0, |e| e.changes.len()), 1);
    }
}
