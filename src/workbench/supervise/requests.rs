//! What people ask: answered here, or agreed by rank 0 at a step's end.

use std::sync::mpsc::Sender;

use run::control::{Reply, Request};
use run::events::{Outcome, State};
use run::link::ToRank;

use super::socket::refused;
use super::{End, Phase, Supervisor};

impl Supervisor {
    /// Takes a request; `answer` is where its caller waits, if there is one.
    pub(super) fn request(&mut self, request: Request, answer: Option<Sender<Reply>>) {
        match &request {
            Request::Status => {
                let message = Some(self.state.word().to_owned());
                return send(answer, Reply::Done { step: self.step, message });
            }
            Request::Stop { now: true } => return self.stop_now(answer),
            // Rank 0 decides for all.
            _ if !self.seat.is_first() => {
                let message = format!(
                    "this is node {} of the run: ask where node 0 is, it decides for all; `stop --now` ends this node alone",
                    self.seat.node
                );
                return send(answer, refused(message));
            }
            // A person decides: from now on the run waits for nobody else, or is looked at anew.
            Request::Pause | Request::Resume if answer.is_some() => self.waits_for_room = None,
            Request::Set { changes } => {
                if let Err(e) = self.settings.clone().apply_live(changes) {
                    return send(answer, refused(e.to_string()));
                }
            }
            _ => {}
        }
        match (&self.phase, &request) {
            // Nothing computes: there is nothing newer to save than the last checkpoint.
            (Phase::Backoff(_), Request::Stop { .. }) => self.stop_now(answer),
            (Phase::Attempt, _) if self.end.is_none() => self.forward(request, answer),
            _ => self.queued.push_back((request, answer)),
        }
    }

    fn forward(&mut self, request: Request, answer: Option<Sender<Reply>>) {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(first) = self.ranks.first() {
            first.tell(ToRank::Request { id, requested: run::now(), request: request.clone() });
        }
        self.asked.insert(id, (request, answer));
    }

    fn stop_now(&mut self, answer: Option<Sender<Reply>>) {
        self.end = Some(End::Now);
        self.state = State::Stopping;
        self.kill_all();
        // Answered when the end is written: whoever asked may rely on it.
        self.queued.push_back((Request::Stop { now: true }, answer));
    }

    pub(super) fn answer(&mut self, id: u64, reply: Reply) {
        if let Some((_, answer)) = self.asked.remove(&id) {
            send(answer, reply);
        }
    }

    /// Requests that a dead rank did not answer go to the next one, in their order.
    pub(super) fn ask_again(&mut self) {
        let mut unanswered: Vec<_> = self.asked.drain().collect();
        unanswered.sort_by_key(|(id, _)| *id);
        for (_, (request, answer)) in unanswered.into_iter().rev() {
            self.queued.push_front((request, answer));
        }
        if let Some(at) = self.queued.iter().position(|(request, _)| matches!(request, Request::Stop { .. }))
        {
            // Who wanted it stopped does not want it restarted.
            if let Some((_, answer)) = self.queued.remove(at) {
                self.stop_now(answer);
            }
        }
    }

    /// The run is over: nobody is left waiting.
    pub(super) fn answer_all(&mut self, outcome: Outcome) {
        let waiting = self.asked.drain().map(|(_, waiting)| waiting).chain(self.queued.drain(..));
        for (request, answer) in waiting {
            let reply = match (request, outcome) {
                (Request::Stop { now }, _) => {
                    let how = if now { "ended at once, without saving" } else { "the run has ended" };
                    Reply::Done { step: self.step, message: Some(how.to_owned()) }
                }
                (request, _) => refused(format!("the run ended before it could {}", request.verb())),
            };
            send(answer, reply);
        }
        self.state = State::Stopping;
    }
}

fn send(answer: Option<Sender<Reply>>, reply: Reply) {
    if let Some(answer) = answer {
        // The caller may have gone.
        let _ = answer.send(reply);
    }
}
