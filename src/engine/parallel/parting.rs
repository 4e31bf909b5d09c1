//! What ranks of several supervisors tell one another when something failed, so that the one that is the cause is named.
//!
//! Each leaves its last words in the store where all met and calls the others; every rank but 0, which serves the store,
//! has a thread of its own that answers such a call even while its work waits for ranks that are gone. Who neither speaks
//! nor answers is gone. Rank 0 stays until its own words were read: the store ends with it.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use run::link::{Joint, Rendezvous};
use serde::{Deserialize, Serialize};

use super::Cause;
use super::meeting::{Member, named, store_at};
use crate::shim::TorchError;
use crate::shim::c10d::Store;

/// Pause between two looks.
const TICK: Duration = Duration::from_millis(50);
/// How long a rank that lives may take to answer a call.
const ANSWER: Duration = Duration::from_millis(500);
/// How long the words of the others are awaited after a failure.
const WORDS: Duration = Duration::from_millis(2500);
/// How long rank 0 stays for its words to be read.
const STAY: Duration = Duration::from_secs(1);
/// How often a rank looks whether its attempt still goes on, and how long it is given to notice itself.
const LOOKS: Duration = Duration::from_secs(10);
const OVER: Duration = Duration::from_secs(45);
/// Somebody wants to know who is there.
const CALL: &str = "call";

/// What a rank leaves when it cannot go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LastWords {
    /// It only lost others.
    left_alone: bool,
    message: String,
    retry: bool,
}

/// The last words of others that this rank's own thread has read, by rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<BTreeMap<u32, LastWords>>>);

impl Heard {
    fn add(&self, rank: u32, words: LastWords) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(rank, words);
    }

    fn all(&self) -> BTreeMap<u32, LastWords> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A rank among the others of its attempt.
#[derive(Clone, Debug)]
pub(super) struct Parting {
    /// The attempt's part of the store.
    pub here: Arc<Store>,
    pub rank: u32,
    pub members: Vec<Member>,
    /// Seconds after which a call between ranks fails.
    pub timeout: u64,
    pub heard: Heard,
}

fn words_key(rank: u32) -> String {
    format!("failed/{rank}")
}

fn lives_key(rank: u32) -> String {
    format!("lives/{rank}")
}

/// Reads the words that others have left.
fn read(here: &Store, ranks: usize, heard: &Heard) -> Result<(), TorchError> {
    for rank in 0..u32::try_from(ranks).unwrap_or(u32::MAX) {
        if let Some(text) = here.get(&words_key(rank))? {
            drop(serde_json::from_slice(&text).map(|words| heard.add(rank, words)));
        }
    }
    Ok(())
}

impl Parting {
    /// Leaves this rank's last words; gives those of the whole where they name others: what to report in its own place,
    /// and whether starting again may help.
    pub fn part(&self, lost: Option<Cause>, message: &str, retry: bool) -> Option<(String, bool)> {
        let words = LastWords { left_alone: lost.is_some(), message: message.to_owned(), retry };
        let (tell, told) = channel();
        let parting = self.clone();
        // A store whose process hangs holds up whoever reads it: that is not us.
        std::thread::spawn(move || tell.send(parting.talk(lost, words)));
        match told.recv_timeout(WORDS * 2) {
            Ok(found) => found,
            Err(_) => lost.map(|_| (format!("{} does not answer", self.named(&[0])), true)),
        }
    }

    fn talk(&self, lost: Option<Cause>, words: LastWords) -> Option<(String, bool)> {
        let own = words.message.clone();
        let _ = serde_json::to_vec(&words).map(|text| self.here.set(&words_key(self.rank), &text));
        let _ = self.here.set(CALL, b"1");
        let start = Instant::now();
        let Some(lost) = lost else {
            // Nobody else can read them once rank 0 is gone.
            while self.rank == 0
                && start.elapsed() < STAY
                && !self.unanswered().is_ok_and(|all| all.is_empty())
            {
                std::thread::sleep(TICK);
            }
            return None;
        };
        self.heard.add(self.rank, words);
        loop {
            let read = read(&self.here, self.members.len(), &self.heard);
            let heard = self.heard.all();
            if let Some((rank, words)) = heard.iter().find(|(_, words)| !words.left_alone) {
                let message = format!("rank {rank} of {}: {}", self.named(&[*rank]), words.message);
                return Some((message, words.retry));
            }
            // Rank 0 serves the store.
            let Ok(unanswered) = read.and_then(|()| self.unanswered()) else {
                return Some((format!("{} is gone", self.named(&[0])), true));
            };
            let ranks = 0..u32::try_from(self.members.len()).unwrap_or(u32::MAX);
            let silent: Vec<u32> = ranks.filter(|rank| !heard.contains_key(rank)).collect();
            if silent.is_empty() {
                return Some((format!("the ranks lost one another: {own}"), true));
            }
            let gone: Vec<u32> = unanswered.into_iter().filter(|rank| silent.contains(rank)).collect();
            if lost == Cause::Gone && !gone.is_empty() && start.elapsed() > ANSWER {
                return Some((format!("{} is gone", self.named(&gone)), true));
            }
            if start.elapsed() > WORDS {
                let how = match lost {
                    Cause::Silence => format!("does not answer for {} s (collective_timeout)", self.timeout),
                    Cause::Gone => "is gone".to_owned(),
                };
                return Some((format!("{} {how}", self.named(&silent)), true));
            }
            std::thread::sleep(TICK);
        }
    }

    /// Ranks but 0 and this one that have not answered a call.
    fn unanswered(&self) -> Result<Vec<u32>, TorchError> {
        let mut all = Vec::new();
        for rank in (1..u32::try_from(self.members.len()).unwrap_or(u32::MAX)).filter(|r| *r != self.rank) {
            if self.here.get(&lives_key(rank))?.is_none() {
                all.push(rank);
            }
        }
        Ok(all)
    }

    /// Ranks by their machines: "node 1 (b: ranks 2, 3)".
    fn named(&self, ranks: &[u32]) -> String {
        named(ranks, |rank| self.members.get(rank as usize).cloned())
    }

    /// Answers calls, on a thread of its own. Ends this process when the others have given its attempt up and it does not
    /// notice: it hangs, on a GPU or a disk. Its own supervisor cannot see that, rank 0's cannot reach it.
    pub fn answer(&self, at: Rendezvous, joint: Joint, attempt: String) {
        let (rank, ranks, heard) = (self.rank, self.members.len(), self.heard.clone());
        std::thread::spawn(move || {
            let mut store: Option<(Store, Store)> = None;
            let mut looked: Option<Instant> = None;
            let mut over_since = None;
            loop {
                let here = store.as_ref().map(|(_, here)| here.get(CALL));
                match (here, &store) {
                    (Some(Ok(Some(_))), Some((_, here))) => {
                        // Read before it is said: rank 0 may go then.
                        let answered =
                            read(here, ranks, &heard).and_then(|()| here.set(&lives_key(rank), b"1"));
                        if answered.is_err() {
                            store = None;
                        }
                    }
                    (Some(Err(_)), _) => store = None,
                    _ => {}
                }
                if looked.is_none_or(|at| at.elapsed() >= LOOKS) {
                    looked = Some(Instant::now());
                    if store.is_none() {
                        store = store_at(&at, &joint, LOOKS)
                            .and_then(|store| store.under(&attempt).ok().map(|here| (store, here)));
                    }
                    let now = store.as_ref().map(|(store, _)| store.get("attempt"));
                    let goes_on = matches!(now, Some(Ok(Some(now))) if now == attempt.as_bytes());
                    match over_since {
                        _ if goes_on => over_since = None,
                        None => over_since = Some(Instant::now()),
                        Some(since) if since.elapsed() < OVER => {}
                        Some(_) => end(),
                    }
                }
                std::thread::sleep(TICK * 2);
            }
        });
    }
}

/// Ends this process without the exit handlers of libtorch, which may wait for what hangs.
fn end() {
    run::note!("the others went on without this rank, which hangs: it ends");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::ABORT);
}
