//! The run's events, written even when the disk is full for a while.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use run::dir::RunDir;
use run::events::Body;
use run::log::Writer;

/// Events kept in memory while nothing can be written; older ones go first, and their number is told.
const MOST_WAITING: usize = 10_000;

/// Pause between two tries to write.
const RETRY: Duration = Duration::from_secs(1);

/// The run's one writer of events.
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    /// When it happened, in which attempt, and what.
    waiting: VecDeque<(f64, u32, Body)>,
    dropped: u64,
    last: Instant,
    /// When writing failed last; it is tried again after [`RETRY`].
    failed: Option<Instant>,
    tensorboard: Option<crate::tensorboard::Sink>,
}

impl Journal {
    /// Opens a run's events, repairing a torn end.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(run: &RunDir) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::open(run)?,
            waiting: VecDeque::new(),
            dropped: 0,
            last: Instant::now(),
            failed: None,
            tensorboard: None,
        })
    }

    /// Whether TensorBoard's event files are written, too, from here on.
    pub fn set_tensorboard(&mut self, run: &RunDir, on: bool) {
        match (on, &self.tensorboard) {
            (true, None) => self.tensorboard = Some(crate::tensorboard::Sink::open(run)),
            (true, Some(_)) => {}
            (false, _) => self.tensorboard = None,
        }
    }

    /// The attempt that events belong to.
    pub fn attempt(&self) -> u32 {
        self.writer.attempt
    }

    /// What follows belongs to the next attempt.
    pub fn next_attempt(&mut self) {
        self.writer.attempt += 1;
    }

    /// Appends an event, or keeps it until the disk takes it.
    pub fn append(&mut self, body: Body) {
        // fd 2 is logs/supervisor.log. Sample captions have their own place on the screen.
        if let Some(words) = crate::words::of(&body).filter(|_| !matches!(body, Body::Sample(_))) {
            run::note!("{} {}", jiff::Zoned::now().strftime("%F %T"), run::escape::line(&words));
        }
        let now = run::now();
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.take(now, &body);
        }
        self.waiting.push_back((now, self.writer.attempt, body));
        self.drain();
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// Tries to write what waits; says whether nothing waits any more.
    pub fn drain(&mut self) -> bool {
        if self.failed.is_some_and(|at| at.elapsed() < RETRY) {
            return false;
        }
        while let Some((t, attempt, body)) = self.waiting.front() {
            if let Err(e) = self.writer.append_of(*t, *attempt, body.clone()) {
                if self.failed.is_none() {
                    // The log may be on the same full disk.
                    run::note!("events.jsonl cannot be written, tried again every second: {e}");
                }
                self.failed = Some(Instant::now());
                return false;
            }
            self.failed = None;
            self.waiting.pop_front();
            self.last = Instant::now();
        }
        if self.dropped > 0 {
            let message =
                format!("{} events were lost while events.jsonl could not be written", self.dropped);
            self.dropped = 0;
            self.waiting.push_back((run::now(), self.writer.attempt, Body::warning("events_lost", message)));
            return self.drain();
        }
        true
    }

    /// Whether somebody deleted the events' file.
    pub fn is_deleted(&self) -> bool {
        self.writer.is_deleted()
    }

    /// Whether nothing was written for so long.
    pub fn silent_for(&self, time: Duration) -> bool {
        self.last.elapsed() >= time
    }

    /// Waits until all is on the disk.
    pub fn sync(&self) {
        if let Err(e) = self.writer.sync() {
            run::note!("events.jsonl cannot be synced: {e}");
        }
    }
}
