//! An attempt: its ranks are started from the newest sound checkpoint, and when none of them lives any more it was the last
//! one, or another follows.

use std::time::{Duration, Instant};

use run::checkpoint;
use run::events::{Body, Outcome, State};
use run::history::History;
use run::link::{Job, Joint, Rendezvous, ToRank, TrainJob};

use super::ranks::Rank;
use super::{End, Phase, Supervisor};

/// Longest wait before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Whether an error is of ranks that other supervisors have.
fn is_elsewhere(kind: &str) -> bool {
    matches!(kind, "rank_gone" | "rank_hung" | "rendezvous")
}

impl Supervisor {
    /// Starts the ranks from the newest sound checkpoint.
    pub(super) fn attempt(&mut self) -> Option<Outcome> {
        self.generation += 1;
        self.end = None;
        self.ended_at = None;
        self.waits_for_room = None;
        self.left_alone_at = None;
        self.journal.set_tensorboard(&self.run, self.settings.tensorboard);
        let job = match self.plan() {
            Ok(job) => job,
            Err(message) => return Some(self.finish(Outcome::Failed, Some(message))),
        };
        self.state = State::Starting;
        self.phase = Phase::Attempt;
        self.ranks.clear();
        let devices = self.settings.devices.clone();
        let meeting = match self.seat.meeting(&self.settings) {
            Ok(meeting) => meeting,
            Err(message) => return Some(self.finish(Outcome::Failed, Some(message))),
        };
        for index in 0..self.seat.ranks {
            let rank = self.seat.first + index;
            let key = (self.generation, rank);
            let listener = meeting.listener.as_ref().filter(|_| rank == 0);
            match Rank::start(&self.engine, &self.run, devices.as_deref(), key, listener, &self.to_loop) {
                Ok((started, listener)) => {
                    let rendezvous = (job.world_size > 1).then(|| Rendezvous {
                        host: meeting.host.clone(),
                        port: meeting.port,
                        interface: meeting.interface.clone(),
                        generation: self.generation,
                        listener,
                        timeout: self.settings.collective_timeout,
                        joint: self.joint(),
                    });
                    let local_rank = self.seat.local_first + index;
                    let job = TrainJob { rank, local_rank, leads: index == 0, rendezvous, ..job.clone() };
                    started.tell(ToRank::Job(Box::new(Job::Train(job))));
                    self.ranks.push(started);
                }
                Err(e) => {
                    self.ranks.iter().for_each(Rank::kill);
                    let message = format!("the engine cannot be started: {}: {e}", self.engine.display());
                    return Some(self.finish(Outcome::Failed, Some(message)));
                }
            }
        }
        while let Some((request, answer)) = self.queued.pop_front() {
            self.request(request, answer);
        }
        None
    }

    fn plan(&mut self) -> Result<TrainJob, String> {
        let history =
            History::read(&self.run).map_err(|e| format!("{}: {e}", self.run.events().display()))?;
        let (from, step) = match checkpoint::newest(&self.run) {
            Ok((path, manifest, damaged)) => {
                for e in damaged {
                    self.journal
                        .append(Body::warning("damaged_checkpoint", format!("{e}; an older one is used")));
                }
                (Some(path), manifest.step)
            }
            Err(checkpoint::CheckpointError::None(_)) => (None, 0),
            Err(e) => return Err(format!("{e}; there is no sound checkpoint to go on from")),
        };
        self.step = step;
        let (settings, edits) = history.plan_resume(&self.settings, step);
        Ok(TrainJob {
            run: self.run.path().to_owned(),
            edits,
            checkpoint: from,
            attempt: self.journal.attempt(),
            rank: 0,
            rendezvous: None,
            world_size: self.seat.world,
            node: self.seat.node,
            local_rank: 0,
            leads: true,
            settings,
        })
    }

    /// How our ranks find those of other supervisors; none where all are ours.
    fn joint(&self) -> Option<Joint> {
        (self.seat.ranks < self.seat.world).then(|| Joint {
            machine: run::lock::host(),
            supervisor: format!("{} {}", run::lock::host(), self.run.path().display()),
            prefix: self.seat.prefix(),
            patience: self.settings.rendezvous_timeout,
            over: self.joined.clone(),
        })
    }

    /// No rank lives any more: the end, or another attempt.
    pub(super) fn attempt_over(&mut self) -> Option<Outcome> {
        let (kind, message, step, retry) = match self.end.take() {
            Some(End::Work { completed, message }) => {
                let outcome = if completed { Outcome::Completed } else { Outcome::Stopped };
                return Some(self.finish(outcome, message));
            }
            Some(End::Now) | None => {
                let message = "ended at once; steps after the last checkpoint are not kept".to_owned();
                return Some(self.finish(Outcome::Stopped, Some(message)));
            }
            Some(End::Failed { kind, message, step, retry }) => (kind, message, step, retry),
        };
        if !retry {
            return Some(self.finish(Outcome::Failed, Some(message)));
        }
        // Somebody who kills a rank twice at the same step is no reason to give up; an error of its own is.
        let failure = (kind, step);
        // Nor is what happened elsewhere: whose own it is gives up.
        let own = failure.0 != "killed" && !(is_elsewhere(&failure.0) && self.seat.ranks < self.seat.world);
        if own && self.last_failure.as_ref() == Some(&failure) {
            let message = format!("the same error came at step {step} again: {message}");
            return Some(self.finish(Outcome::Failed, Some(message)));
        }
        self.last_failure = Some(failure);
        if self.restarts >= self.settings.max_restarts {
            let message =
                format!("given up after {} restarts without a new checkpoint: {message}", self.restarts);
            return Some(self.finish(Outcome::Failed, Some(message)));
        }
        let wait = Duration::from_secs(1 << self.restarts.min(5)).min(LONGEST_BACKOFF);
        self.restarts += 1;
        self.state = State::Restarting;
        let message = format!(
            "restart {} of {} in {} s, from the last checkpoint",
            self.restarts,
            self.settings.max_restarts,
            wait.as_secs()
        );
        self.journal.append(Body::State {
            state: State::Restarting,
            step: self.step,
            message: Some(message),
        });
        self.journal.next_attempt();
        self.phase = Phase::Backoff(Instant::now() + wait);
        self.ask_again();
        None
    }
}
