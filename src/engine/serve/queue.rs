//! What was asked and is not done yet.

use std::collections::{BTreeSet, VecDeque};

use run::link::ToRank;
use run::serve::Request;

use crate::link::Link;

/// Requests in the order in which they came, and which of them were cancelled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(u64, Request)>,
    /// Only ever the request at work: waiting ones are taken out at once.
    cancelled: BTreeSet<u64>,
}

impl Queue {
    /// Takes in what came meanwhile; gives the numbers of waiting requests that were cancelled by it.
    pub fn take_in(&mut self, link: &Link, at_work: Option<u64>) -> Vec<u64> {
        let mut taken_out = Vec::new();
        while let Some(line) = link.request() {
            taken_out.extend(self.hear(line, at_work));
        }
        taken_out
    }

    fn hear(&mut self, line: ToRank, at_work: Option<u64>) -> Option<u64> {
        let ToRank::Serve { id, request } = line else { return None };
        let Request::Cancel { id: victim } = request else {
            self.waiting.push_back((id, request));
            return None;
        };
        if at_work == Some(victim) {
            self.cancelled.insert(victim);
            return None;
        }
        let at = self.waiting.iter().position(|(id, _)| *id == victim)?;
        self.waiting.remove(at).map(|(id, _)| id)
    }

    /// The next request; waits for one. `None` when none can come any more.
    pub fn next(&mut self, link: &Link) -> Option<(u64, Request)> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Some(next);
            }
            let line = link.next()?;
            // Nothing is at work and nothing waits: a cancellation comes too late.
            let _ = self.hear(line, None);
        }
    }

    /// Whether a request was cancelled.
    pub fn cancelled(&self, id: u64) -> bool {
        self.cancelled.contains(&id)
    }

    /// A request is done.
    pub fn over(&mut self, id: u64) {
        self.cancelled.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(id: u64) -> ToRank {
        let request = Request::Embed { images: vec![], texts: vec![], out: "x".into(), batch: 1 };
        ToRank::Serve { id, request }
    }

    fn cancel(id: u64) -> ToRank {
        ToRank::Serve { id: 99, request: Request::Cancel { id } }
    }

    #[test]
    fn waiting_ones_are_taken_out_and_the_one_at_work_is_marked() {
        let mut queue = Queue::default();
        for id in 1..4 {
            assert_eq!(queue.hear(ask(id), None), None);
        }
        assert_eq!(queue.waiting.pop_front().unwrap().0, 1);
        assert_eq!(queue.hear(cancel(2), Some(1)), Some(2));
        assert_eq!(queue.hear(cancel(7), Some(1)), None);
        assert_eq!(queue.hear(cancel(1), Some(1)), None);
        assert!(queue.cancelled(1) && !queue.cancelled(3));
        queue.over(1);
        assert!(!queue.cancelled(1));
        assert_eq!(queue.waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3]);
    }
}
