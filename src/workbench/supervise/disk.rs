//! A full disk: the run waits, says so, and goes on by itself when there is room.

use std::time::{Duration, Instant};

use run::control::Request;
use run::dir::free_bytes;
use run::events::{Body, State};

use super::{End, Phase, Supervisor};

/// With less than this free a run is paused: the rest is for the words about it.
const FLOOR: u64 = 4 << 20;
/// How much more must be free than when the run was paused, so that it does not go on and stop again at once.
const MORE: u64 = 8 << 20;
/// How often the disk is looked at.
const EVERY: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Pauses a run whose events cannot be written, or soon could not be; lets it go on when they can. `written` says
    /// whether no event waits to be written.
    pub(super) fn mind_the_disk(&mut self, written: bool) {
        if written && self.disk_seen.elapsed() < EVERY {
            return;
        }
        self.disk_seen = Instant::now();
        if self.journal.is_deleted() && self.end.is_none() && !self.orphaned {
            return self.orphan();
        }
        // Where free space cannot be told, writing is the only test.
        let free = free_bytes(self.run.path()).unwrap_or(u64::MAX);
        match self.waits_for_room {
            Some(room) if written && free >= room && self.state == State::Paused => {
                self.waits_for_room = None;
                let message = format!("there is room again ({}): the run goes on", mib(free));
                self.journal.append(Body::warning("disk_room", message));
                self.request(Request::Resume, None);
            }
            None if self.phase == Phase::Attempt && self.state == State::Running => {
                let why = if !written {
                    format!("{} could not be written", self.run.events().display())
                } else if free < FLOOR {
                    format!("{}: the disk is full ({} free)", self.run.path().display(), mib(free))
                } else {
                    return;
                };
                // A quota or a limit shows no free space: then writing again is enough.
                self.waits_for_room = Some(if free < FLOOR { free + MORE } else { 0 });
                let message = format!("{why}: the run is paused until there is room");
                run::note!("{message}");
                self.journal.append(Body::warning("disk_full", message));
                self.request(Request::Pause, None);
            }
            _ => {}
        }
    }

    /// Somebody deleted the run, or its events: what it does from now on would be lost, and nobody could ask it to stop.
    fn orphan(&mut self) {
        self.orphaned = true;
        let events = self.run.events();
        if self.run.path().is_dir() {
            run::note!("{} was deleted: the run saves and stops", events.display());
            return self.request(Request::Stop { now: false }, None);
        }
        let message = format!("{} was deleted: the run ends", self.run.path().display());
        run::note!("{message}");
        self.end = Some(End::Failed { kind: "deleted".to_owned(), message, step: self.step, retry: false });
        self.kill_all();
    }

    /// A rank's warning: one of a checkpoint that could not be written has paused the run.
    pub(super) fn heed(&mut self, kind: &str) {
        if matches!(kind, "disk_full" | "checkpoint") {
            let free = free_bytes(self.run.path()).unwrap_or(0);
            self.waits_for_room = Some(free + MORE);
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
