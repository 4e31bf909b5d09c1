//! Carries out what a person asks, between two steps.

use std::time::Duration;

use run::control::Request;
use run::events::{Body, State};
use run::link::{FromRank, ToRank};
use run::settings::Changes;

use super::{TrainError, Trainer};

/// How long a paused rank sleeps before it looks whether a memory report is due.
const PAUSED_TICK: Duration = Duration::from_secs(1);

/// Whether training goes on after a step boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// The next step.
    Step,
    /// A stop was carried out: everything is saved.
    Stop,
}

impl Trainer<'_> {
    /// A step boundary: makes the edits that belong here again, carries out requests, waits while paused.
    ///
    /// # Errors
    /// What the device said of the step before.
    pub(super) fn boundary(&mut self) -> Result<Onward, TrainError> {
        self.repeat_edits();
        loop {
            let was_paused = self.paused;
            let asked = if self.mesh.is_first() { self.asked() } else { Vec::new() };
            // Every rank carries out what rank 0 was asked, in the same order and at the same step.
            let due = self.memory.is_due();
            let (asked, report) = self.mesh.agree((asked, due), was_paused)?;
            if report {
                self.report_memory()?;
            }
            if asked.is_empty() && !was_paused {
                return Ok(Onward::Step);
            }
            for said in asked {
                if let ToRank::Request { id, requested, request } = said {
                    self.carry_out(id, requested, request)?;
                }
                if self.stopped {
                    return Ok(Onward::Stop);
                }
            }
        }
    }

    /// What came since the last step; while paused, at most one, waited for a little.
    fn asked(&self) -> Vec<ToRank> {
        match self.paused {
            true => self.link.wait(PAUSED_TICK).into_iter().collect(),
            false => std::iter::from_fn(|| self.link.request()).collect(),
        }
    }

    /// Edits that an earlier attempt acknowledged after the checkpoint, each at its own step.
    fn repeat_edits(&mut self) {
        while let Some(edit) = self.edits.front().filter(|e| e.applied_at <= self.step) {
            // They were checked when they were first made; only another version could refuse one now.
            if let Err(e) = self.settings.apply_live(&edit.changes) {
                let message = format!("an edit of step {} is not made again: {e}", edit.applied_at);
                self.link.event(Body::warning("edit_refused", message));
            }
            self.edits.pop_front();
            self.replan();
        }
    }

    fn carry_out(&mut self, id: u64, requested: f64, request: Request) -> Result<(), TrainError> {
        match request {
            Request::Set { changes } => self.edit(id, requested, &changes),
            Request::Pause => {
                self.flush()?;
                self.paused = true;
                self.state(State::Paused, None);
                self.done(id, None);
            }
            Request::Resume => {
                self.paused = false;
                self.forget_time();
                if self.owed {
                    self.save_or_pause()?;
                }
                if self.paused {
                    self.refuse(id, "there is still no room for the checkpoint that is due".to_owned());
                } else {
                    self.state(State::Running, None);
                    self.done(id, None);
                }
            }
            Request::Save => {
                self.flush()?;
                match self.save()? {
                    Ok(path) => self.done(id, Some(format!("saved {path}"))),
                    Err(e) => self.refuse(id, format!("not saved: {e}")),
                }
                self.state(if self.paused { State::Paused } else { State::Running }, None);
            }
            Request::Stop { .. } => {
                self.flush()?;
                self.state(State::Stopping, None);
                match self.save()? {
                    Ok(path) => {
                        self.done(id, Some(format!("saved {path}")));
                        self.stopped = true;
                    }
                    Err(e) => {
                        let words = "`stop --now` ends it without saving";
                        self.refuse(id, format!("not stopped, because nothing could be saved: {e}. {words}"));
                        self.paused = true;
                        self.state(State::Paused, Some(format!("not saved: {e}")));
                    }
                }
            }
            Request::Status => self.done(id, None),
        }
        Ok(())
    }

    fn edit(&mut self, id: u64, requested: f64, changes: &Changes) {
        match self.settings.apply_live(changes) {
            Ok(previous) => {
                self.replan();
                let body = Body::SettingChanged {
                    changes: changes.clone(),
                    previous,
                    requested,
                    applied_at: self.step,
                };
                // The event first: who has the acknowledgement can rely on its being written.
                self.link.event(body);
                self.done(id, None);
            }
            Err(e) => self.refuse(id, e.to_string()),
        }
    }

    fn done(&self, id: u64, message: Option<String>) {
        self.link.say(FromRank::Done { id, step: self.step, message });
    }

    fn refuse(&self, id: u64, message: String) {
        self.link.say(FromRank::Refused { id, message });
    }

    pub(super) fn state(&self, state: State, message: Option<String>) {
        self.link.event(Body::State { state, step: self.step, message });
    }
}
