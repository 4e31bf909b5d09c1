//! How the ranks of several supervisors find one another: by a store that rank 0 serves, or a launcher.
//!
//! Rank 0 names the attempt. Every other rank says hello (who it is, which program, which settings) and keeps showing
//! that it lives; rank 0 answers each with its plan (from which checkpoint, with which settings) once all have come, or
//! with why it does not fit. A rank that comes too late for an attempt waits for the next one.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use run::events::{Body, State};
use run::link::{Edit, FromRank, Joint, Rendezvous, TrainJob};
use run::settings::{Applies, Kind, Settings};
use serde::{Deserialize, Serialize};

use super::parting::{Heard, Parting};
use super::{Cause, MEETING, ParallelError, listener};
use crate::link::Link;
use crate::shim::TorchError;
use crate::shim::c10d::Store;

/// Pause between two looks.
const TICK: Duration = Duration::from_millis(100);
/// A rank that has not shown for so long that it lives has gone again.
const LIVES: Duration = Duration::from_secs(5);
/// Settings that belong to one machine, or to nobody but it.
const OWN: [&str; 12] = [
    "node_rank",
    "name",
    "output_dir",
    "device",
    "devices",
    "threads",
    "dataloader_num_workers",
    "master_addr",
    "master_port",
    "rendezvous_timeout",
    "task_name",
    "max_restarts",
];

/// A rank as the others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its machine, from 0.
    pub node: u32,
    /// That machine's name.
    pub machine: String,
}

/// What a rank says first. A program of another version may say more or less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Hello {
    id: String,
    rank: u32,
    node: u32,
    machine: String,
    supervisor: String,
    version: String,
    build: String,
    libtorch: String,
    settings: BTreeMap<String, String>,
}

/// What rank 0 decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    attempt: u32,
    generation: u32,
    /// Settings that a person may edit while a run lives, as the checkpoint has them.
    live: BTreeMap<String, String>,
    edits: Vec<Edit>,
    /// Name of the checkpoint's folder.
    checkpoint: Option<String>,
    /// The same, where everybody can read it.
    checkpoint_path: Option<std::path::PathBuf>,
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Plan(Box<Plan>),
    Refused(String),
}

/// Why the ranks did not meet.
#[derive(Debug, thiserror::Error)]
pub enum MeetingError {
    /// Some did not come.
    #[error("{0}")]
    Late(String),
    /// Rank 0 refused this one, or it came twice.
    #[error("{0}")]
    Refused(String),
    /// What another rank said cannot be read.
    #[error("another rank says what makes no sense: {0}")]
    Words(#[from] serde_json::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ParallelError),
}

impl From<TorchError> for MeetingError {
    fn from(e: TorchError) -> Self {
        Self::Store(e.into())
    }
}

/// Ranks of several supervisors that have met.
#[derive(Debug)]
pub struct Meeting {
    /// Where they met; rank 0 serves it as long as it lives.
    pub store: Rc<Store>,
    /// Who they are, by rank.
    pub members: Vec<Member>,
    /// The name of the checkpoint to go on from, which machines without a shared file system are sent.
    pub checkpoint: Option<String>,
    parting: Parting,
}

impl Hello {
    fn of(job: &TrainJob, joint: &Joint) -> Self {
        Self {
            id: format!("{}-{}-{}", joint.machine, std::process::id(), nanoseconds()),
            rank: job.rank,
            node: job.node,
            machine: joint.machine.clone(),
            supervisor: joint.supervisor.clone(),
            version: run::VERSION.to_owned(),
            build: run::BUILD_ID.to_owned(),
            libtorch: crate::LIBTORCH_VERSION.to_owned(),
            settings: common(&job.settings),
        }
    }

    fn who(&self) -> String {
        format!("node {} ({})", self.node, self.machine)
    }

    /// Why this rank cannot work with `first`, rank 0.
    fn misfit(&self, first: &Self, later: bool) -> Option<String> {
        let program = |h: &Self| {
            format!("{} runs cocaptain {} (build {}, libtorch {})", h.who(), h.version, h.build, h.libtorch)
        };
        if (&self.version, &self.build, &self.libtorch) != (&first.version, &first.build, &first.libtorch) {
            return Some(format!("{}, {}: install the same on both", program(self), program(first)));
        }
        let names: std::collections::BTreeSet<&String> =
            self.settings.keys().chain(first.settings.keys()).collect();
        let unset = "unset".to_owned();
        let differs = names.into_iter().find_map(|name| {
            let live = Settings::setting(name).is_ok_and(|s| s.applies == Applies::Live);
            let value = |h: &Self| h.settings.get(name).unwrap_or(&unset).clone();
            let (own, of_first) = (value(self), value(first));
            // Once edits were made, rank 0's are what counts.
            (own != of_first && !(later && live)).then_some((name, own, of_first))
        });
        differs.map(|(name, own, of_first)| {
            format!(
                "{name} = {own} on {}, {of_first} on {}: give both the same settings",
                self.who(),
                first.who()
            )
        })
    }
}

/// What all machines must have alike, by name. Paths may differ: what they hold is compared when it was read.
fn common(settings: &Settings) -> BTreeMap<String, String> {
    let named = Settings::ALL.iter().filter(|s| s.kind != Kind::Path && !OWN.contains(&s.name));
    named.filter_map(|s| Some((s.name.to_owned(), settings.get(s.name)?.to_string()))).collect()
}

fn nanoseconds() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}

impl Meeting {
    /// Meets the other supervisors' ranks; what rank 0 decided is in `job` then.
    ///
    /// # Errors
    /// Ranks that do not come, or do not fit.
    pub fn attend(job: &mut TrainJob, link: &Link) -> Result<Option<Self>, MeetingError> {
        let Some((at, joint)) = job.rendezvous.clone().and_then(|at| at.joint.clone().map(|j| (at, j)))
        else {
            return Ok(None);
        };
        let patience = Duration::from_secs(joint.patience);
        let start = Instant::now();
        loop {
            let met = match job.rank {
                0 => host(job, &at, &joint, link, patience),
                _ => guest(job, &at, &joint, link, patience.saturating_sub(start.elapsed())),
            };
            match met {
                // Rank 0 went before all had come: its next attempt is awaited.
                Err(MeetingError::Store(e)) if job.rank > 0 && start.elapsed() < patience => {
                    run::note!("rank 0 went before all had come: {e}");
                    std::thread::sleep(TICK * 5);
                }
                other => {
                    let (meeting, attempt) = other?;
                    link.say(FromRank::Met { attempt: attempt.clone() });
                    if job.rank > 0 {
                        meeting.parting.answer(at, joint, attempt);
                    }
                    return Ok(Some(meeting));
                }
            }
        }
    }

    /// Leaves this rank's last words; gives those of the whole where they name others: what to report in its own place,
    /// and whether starting again may help.
    pub fn part(&self, lost: Option<Cause>, message: &str, retry: bool) -> Option<(String, bool)> {
        self.parting.part(lost, message, retry)
    }
}

/// Ranks by their machines: "node 1 (b: ranks 2, 3)".
pub(super) fn named(ranks: &[u32], member: impl Fn(u32) -> Option<Member>) -> String {
    let mut nodes: BTreeMap<(u32, String), Vec<String>> = BTreeMap::new();
    for rank in ranks {
        let Some(member) = member(*rank) else { continue };
        nodes.entry((member.node, member.machine)).or_default().push(rank.to_string());
    }
    let words = nodes.into_iter().map(|((node, machine), ranks)| {
        let machine = if machine.is_empty() { String::new() } else { format!("{machine}: ") };
        let s = if ranks.len() == 1 { "" } else { "s" };
        format!("node {node} ({machine}rank{s} {})", ranks.join(", "))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn waiting(link: &Link, message: String) {
    link.event(Body::State { state: State::Starting, step: 0, message: Some(message) });
}

/// Rank 0: waits until every other rank has come, answers them all.
fn host(
    job: &mut TrainJob,
    at: &Rendezvous,
    joint: &Joint,
    link: &Link,
    patience: Duration,
) -> Result<(Meeting, String), MeetingError> {
    let store = match at.listener {
        // SAFETY: the supervisor left this descriptor to this process for this purpose, and `listener` checks that it is
        // a socket; nothing else here owns it.
        Some(fd) => Store::serve(unsafe { listener(fd) }?, MEETING)?,
        None => join(at, joint, link, patience)?,
    };
    let own = Hello::of(job, joint);
    let attempt = own.id.clone();
    store.set("attempt", attempt.as_bytes())?;
    let here = store.under(&attempt)?;
    let start = Instant::now();
    // Who has come, and when it last showed that it lives.
    let mut came: BTreeMap<u32, (Hello, Vec<u8>, Instant)> = BTreeMap::new();
    let mut refused: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    let mut told = None;
    let per_node = job.settings.nproc_per_node.max(1);
    let guess = |rank: u32| {
        let node = u32::try_from(u64::from(rank) / per_node).unwrap_or(0);
        Some(Member { node, machine: String::new() })
    };
    let later = job.checkpoint.is_some() || !job.edits.is_empty();
    loop {
        for rank in 1..job.world_size {
            let Some(text) = here.get(&format!("hello/{rank}"))? else { continue };
            let hello: Hello = serde_json::from_slice(&text)?;
            if refused.contains(&hello.id) {
                continue;
            }
            let refuse = |why: &str| -> Result<(), MeetingError> {
                here.set(
                    &format!("answer/{}", hello.id),
                    &serde_json::to_vec(&Answer::Refused(why.to_owned()))?,
                )?;
                link.event(Body::warning("node_refused", format!("{} is refused: {why}", hello.who())));
                Ok(())
            };
            if let Some(why) = hello.misfit(&own, later) {
                refuse(&why)?;
                refused.insert(hello.id);
                continue;
            }
            let life = here.get(&format!("alive/{}", hello.id))?.unwrap_or_default();
            match came.get_mut(&rank) {
                Some((known, beat, seen)) if known.id == hello.id => {
                    if *beat != life {
                        (*beat, *seen) = (life, Instant::now());
                    }
                }
                Some((known, _, seen)) if known.supervisor != hello.supervisor && seen.elapsed() < LIVES => {
                    let why = format!(
                        "node_rank {} is given twice: {} is there already: give every machine its own",
                        hello.node,
                        known.who()
                    );
                    // The one that was first says hello again when it sees that it was overwritten.
                    refuse(&why)?;
                    refused.insert(hello.id);
                }
                _ => drop(came.insert(rank, (hello, life, Instant::now()))),
            }
        }
        came.retain(|_, (_, _, seen)| seen.elapsed() < LIVES);
        let missing: Vec<u32> = (1..job.world_size).filter(|rank| !came.contains_key(rank)).collect();
        if missing.is_empty() {
            break;
        }
        let words = named(&missing, guess);
        if start.elapsed() > patience {
            return Err(MeetingError::Late(format!(
                "{words} did not come within {} s (rendezvous_timeout): start it there, then go on with this run: \
                 cocaptain train --resume {}",
                patience.as_secs(),
                job.run.display()
            )));
        }
        if told.as_ref() != Some(&words) {
            let place = format!("{} port {}", at.host, at.port);
            waiting(link, format!("waiting at {place} for {words}"));
            told = Some(words);
        }
        std::thread::sleep(TICK);
    }
    let mut members = vec![Member { node: own.node, machine: own.machine.clone() }];
    members.extend(came.values().map(|(h, ..)| Member { node: h.node, machine: h.machine.clone() }));
    let live = Settings::ALL.iter().filter(|s| s.applies == Applies::Live);
    let plan = Plan {
        attempt: job.attempt,
        generation: at.generation,
        live: live.filter_map(|s| Some((s.name.to_owned(), job.settings.get(s.name)?.to_string()))).collect(),
        edits: job.edits.clone(),
        checkpoint: job.checkpoint.as_ref().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned())),
        checkpoint_path: job.checkpoint.clone(),
        members: members.clone(),
    };
    let checkpoint = plan.checkpoint.clone();
    let text = serde_json::to_vec(&Answer::Plan(Box::new(plan)))?;
    for (hello, ..) in came.values() {
        here.set(&format!("answer/{}", hello.id), &text)?;
    }
    let parting = Parting {
        here: Arc::new(here),
        rank: 0,
        members: members.clone(),
        timeout: at.timeout,
        heard: Heard::default(),
    };
    Ok((Meeting { store: Rc::new(store), members, checkpoint, parting }, attempt))
}

/// Every other rank: waits for rank 0, says hello, and does as it is told.
fn guest(
    job: &mut TrainJob,
    at: &Rendezvous,
    joint: &Joint,
    link: &Link,
    patience: Duration,
) -> Result<(Meeting, String), MeetingError> {
    let start = Instant::now();
    let late = || {
        MeetingError::Late(format!(
            "node 0 did not come to {} port {} within {} s (rendezvous_timeout): start it, or look at its log",
            at.host, at.port, joint.patience
        ))
    };
    let store = join(at, joint, link, patience)?;
    let mut told = false;
    let mut said: Option<(String, Hello, Store)> = None;
    let mut beat: u64 = 0;
    loop {
        if start.elapsed() > patience {
            return Err(late());
        }
        let attempt = store.get("attempt")?.map(|text| String::from_utf8_lossy(&text).into_owned());
        let attempt = attempt.filter(|a| joint.over.as_ref() != Some(a));
        match (attempt, &said) {
            (None, _) => {
                if !std::mem::replace(&mut told, true) {
                    waiting(link, format!("waiting for node 0 at {} port {}", at.host, at.port));
                }
                std::thread::sleep(TICK);
            }
            (Some(attempt), Some((known, hello, here))) if *known == attempt => {
                beat += 1;
                here.set(&format!("alive/{}", hello.id), beat.to_string().as_bytes())?;
                let Some(answer) = here.get(&format!("answer/{}", hello.id))? else {
                    // Another process with this rank may have overwritten it.
                    if beat.is_multiple_of(20) {
                        here.set(&format!("hello/{}", job.rank), &serde_json::to_vec(hello)?)?;
                    }
                    std::thread::sleep(TICK);
                    continue;
                };
                let plan = match serde_json::from_slice(&answer)? {
                    Answer::Refused(why) => return Err(MeetingError::Refused(why)),
                    Answer::Plan(plan) => plan,
                };
                return Ok((obey(job, *plan, store.under(&attempt)?, store, at), attempt));
            }
            (Some(attempt), _) => {
                let hello = Hello::of(job, joint);
                let here = store.under(&attempt)?;
                here.set(&format!("alive/{}", hello.id), b"0")?;
                here.set(&format!("hello/{}", job.rank), &serde_json::to_vec(&hello)?)?;
                waiting(link, format!("waiting with node 0 at {} port {} for all to come", at.host, at.port));
                said = Some((attempt, hello, here));
            }
        }
    }
}

/// Takes rank 0's decisions over.
fn obey(job: &mut TrainJob, plan: Plan, here: Store, store: Store, at: &Rendezvous) -> Meeting {
    for (name, value) in &plan.live {
        if let Err(e) = job.settings.assign(name, value) {
            run::note!("node 0's {name} = {value}: {e}");
        }
    }
    job.edits = plan.edits;
    job.attempt = plan.attempt;
    // On a shared file system all read it; else it is sent.
    let at_hand = plan.members.first() == plan.members.get(job.rank as usize) || job.settings.shared_output;
    job.checkpoint = plan.checkpoint_path.filter(|_| at_hand);
    if let Some(rendezvous) = &mut job.rendezvous {
        rendezvous.generation = plan.generation;
    }
    let parting = Parting {
        here: Arc::new(here),
        rank: job.rank,
        members: plan.members.clone(),
        timeout: at.timeout,
        heard: Heard::default(),
    };
    Meeting { store: Rc::new(store), members: plan.members, checkpoint: plan.checkpoint, parting }
}

/// Whether somebody serves the store now.
fn is_served(at: &Rendezvous) -> bool {
    let places = (at.host.as_str(), at.port).to_socket_addrs().into_iter().flatten();
    places.into_iter().any(|a| TcpStream::connect_timeout(&a, Duration::from_secs(3)).is_ok())
}

/// The store that is served, our keys in it.
fn open(at: &Rendezvous, joint: &Joint, timeout: Duration) -> Result<Store, TorchError> {
    let store = Store::join(&at.host, at.port, timeout)?;
    if joint.prefix.is_empty() { Ok(store) } else { store.under(&joint.prefix) }
}

/// The store, when somebody serves it now.
pub(super) fn store_at(at: &Rendezvous, joint: &Joint, timeout: Duration) -> Option<Store> {
    is_served(at).then(|| open(at, joint, timeout).ok())?
}

/// Waits until somebody serves the store, and joins it.
fn join(at: &Rendezvous, joint: &Joint, link: &Link, patience: Duration) -> Result<Store, MeetingError> {
    let start = Instant::now();
    let mut told = false;
    loop {
        if is_served(at) {
            return Ok(open(at, joint, MEETING)?);
        }
        if start.elapsed() > patience {
            let message = format!(
                "nobody answers at {} port {} within {} s (rendezvous_timeout): is node 0 started, and may its port be reached?",
                at.host, at.port, joint.patience
            );
            return Err(MeetingError::Late(message));
        }
        if !std::mem::replace(&mut told, true) {
            waiting(link, format!("waiting for node 0 at {} port {}", at.host, at.port));
        }
        std::thread::sleep(TICK * 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(node: u32, settings: &Settings) -> Hello {
        Hello {
            node,
            machine: format!("box{node}"),
            version: "1".to_owned(),
            settings: common(settings),
            ..Hello::default()
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_both_sides() {
        let settings = Settings::default();
        let first = hello(0, &settings);
        assert_eq!(hello(1, &settings).misfit(&first, false), None);
        let own = Settings { node_rank: 1, threads: Some(3), name: Some("x".to_owned()), ..settings.clone() };
        assert_eq!(hello(1, &own).misfit(&first, false), None, "what is a machine's own may differ");
        let other = Settings { learning_rate: 0.1, ..settings.clone() };
        let why = hello(1, &other).misfit(&first, false).unwrap();
        assert_eq!(
            why,
            "learning_rate = 0.1 on node 1 (box1), 5e-4 on node 0 (box0): give both the same settings"
        );
        assert_eq!(hello(1, &other).misfit(&first, true), None, "after an edit node 0's counts");
        let other = Settings { bf16: true, ..settings };
        assert!(hello(1, &other).misfit(&first, true).unwrap().contains("bf16 = true on node 1"));
        let newer = Hello { version: "2".to_owned(), ..first.clone() };
        let why = newer.misfit(&first, false).unwrap();
        assert!(why.contains("cocaptain 2") && why.contains("cocaptain 1"), "{why}");
    }

    #[test]
    fn ranks_are_named_by_their_machines() {
        let member = |rank: u32| Some(Member { node: rank / 2, machine: format!("m{}", rank / 2) });
        assert_eq!(named(&[1, 2, 3], member), "node 0 (m0: rank 1), node 1 (m1: ranks 2, 3)");
    }
}
