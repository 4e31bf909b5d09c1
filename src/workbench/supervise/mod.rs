//! `cocaptain supervise RUN`: owns a run from its start to its end, detached from every terminal.
//!
//! One loop on one channel: what ranks say, what people ask, signals, time. Everything that could wait for somebody
//! else (a rank that does not read, a caller that does not listen) has a thread of its own.

mod attempt;
pub mod death;
mod disk;
mod journal;
mod ranks;
mod requests;
pub mod seat;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use run::checkpoint;
use run::control::{Reply, Request};
use run::dir::RunDir;
use run::events::{Body, Notice, Outcome, State};
use run::link::FromRank;
use run::lock::{Lock, Supervisor as Owner};
use run::settings::Settings;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use journal::Journal;
use ranks::Rank;
use seat::Seat;
use socket::Socket;

/// Longest silence in `events.jsonl` while the run lives.
const HEARTBEAT: Duration = Duration::from_secs(9);
/// How often the loop looks at the clock.
const TICK: Duration = Duration::from_millis(500);
/// How long a starting supervisor waits for the lock: readers test it for an instant, dying ranks hold it a little.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How long a rank that reported its end may take to exit; libtorch's exit handlers wait for its threads.
const EXIT_PATIENCE: Duration = Duration::from_secs(30);
/// How long the others' words are awaited, when a rank says that one does not answer.
const NAMING_PATIENCE: Duration = Duration::from_millis(500);
/// How long a supervisor that does not decide waits for the one of rank 0 to stop the run.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What reaches the loop.
#[derive(Debug)]
enum Input {
    /// A rank said something.
    Said { generation: u32, rank: u32, said: Box<FromRank> },
    /// A rank's process ended.
    Ended { generation: u32, rank: u32, status: ExitStatus },
    /// A person asked for something.
    Request { request: Request, answer: Sender<Reply> },
    /// A signal came.
    Signal(i32),
}

/// What the attempt is at.
#[derive(Debug, PartialEq)]
enum Phase {
    /// Ranks live.
    Attempt,
    /// Ranks were told to end, or are dying: the rest is reaped.
    Reaping,
    /// All ranks are gone; a new attempt comes at this time.
    Backoff(Instant),
}

/// How the present attempt came to its end, as far as ranks have said.
#[derive(Debug)]
enum End {
    /// A rank reported the end of its work.
    Work { completed: bool, message: Option<String> },
    /// A rank reported that it cannot go on.
    Failed { kind: String, message: String, step: u64, retry: bool },
    /// Somebody wants it ended at once.
    Now,
}

struct Supervisor {
    run: RunDir,
    engine: PathBuf,
    /// As in `config.toml`: live edits included.
    settings: Settings,
    journal: Journal,
    to_loop: Sender<Input>,
    /// Which ranks are ours.
    seat: Seat,
    ranks: Vec<Rank>,
    /// The attempt of all supervisors' ranks that ours had a part in last.
    joined: Option<String>,
    /// When somebody asked a supervisor that does not decide to stop.
    asked_to_stop: Option<Instant>,
    generation: u32,
    phase: Phase,
    end: Option<End>,
    /// When a rank reported its end.
    ended_at: Option<Instant>,
    /// When a rank first said that another does not answer, and in which of the two ways.
    left_alone_at: Option<Instant>,
    left_alone_by: String,
    /// What the ranks found out of those elsewhere.
    others: Option<String>,
    /// Optimiser steps done, as far as is known.
    step: u64,
    state: State,
    /// Restarts since the last new checkpoint.
    restarts: u64,
    /// Kind and step of the last failure.
    last_failure: Option<(String, u64)>,
    /// Requests told to rank 0 and not answered yet.
    asked: HashMap<u64, (Request, Option<Sender<Reply>>)>,
    /// Requests that wait for the next attempt.
    queued: VecDeque<(Request, Option<Sender<Reply>>)>,
    next_id: u64,
    oom_kills: Option<u64>,
    /// The run waits for room on the disk: the bytes that must be free before it goes on.
    waits_for_room: Option<u64>,
    /// When the disk was looked at last.
    disk_seen: Instant,
    /// Whether the run's files were deleted under it.
    orphaned: bool,
    /// SIGTERM or SIGINT came once.
    terminated: bool,
}

fn is_about_others(kind: &str) -> bool {
    kind == run::link::RANK_SILENT || kind == run::link::RANK_GONE
}

/// Supervises a run to its end; says how it ended.
///
/// # Errors
/// Words for `logs/supervisor.log` and for whoever started it: the run is taken, or its files cannot be used.
pub fn supervise(path: &Path) -> Result<Outcome, String> {
    let run = RunDir::at(path);
    let settings = Settings::load(&run.config()).map_err(|e| e.to_string())?;
    let given = Seat::given()?;
    if given.is_some() {
        // A launcher ends what it started: this must end, too. It is asked to, as a person would.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let seat = given.unwrap_or_else(|| Seat::of(&settings));
    let engine = crate::engine::path::find()?;
    let lock = Lock::take(&run, LOCK_PATIENCE).map_err(|e| e.to_string())?;
    lock.share_with_children().map_err(|e| format!("the lock cannot be shared: {e}"))?;
    let journal = Journal::open(&run).map_err(|e| format!("{}: {e}", run.events().display()))?;
    let (to_loop, inputs) = channel();
    let socket = Socket::open(&run, to_loop.clone()).map_err(|e| e.to_string())?;
    watch_signals(to_loop.clone())?;
    // Last: whoever started this takes it as the word that nothing is in the way any more.
    let mut owner = Owner::this();
    owner.threads = settings.threads;
    owner.write(&run).map_err(|e| format!("{}: {e}", run.supervisor().display()))?;
    let supervisor = Supervisor::new(run, engine, settings, seat, journal, to_loop);
    let outcome = supervisor.work(&inputs);
    socket.drain();
    Ok(outcome)
}

fn watch_signals(to_loop: Sender<Input>) -> Result<(), String> {
    // SIGHUP is taken and ignored: the end of an ssh session is not the end of a run.
    // A limit on file sizes is an error of the write that meets it (SIGXFSZ is taken, too), not the end of the run.
    let signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ]);
    let mut signals = signals.map_err(|e| format!("signals cannot be watched: {e}"))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _ = to_loop.send(Input::Signal(signal));
        }
    });
    Ok(())
}

impl Supervisor {
    fn new(
        run: RunDir,
        engine: PathBuf,
        settings: Settings,
        seat: Seat,
        journal: Journal,
        to_loop: Sender<Input>,
    ) -> Self {
        Self {
            run,
            engine,
            settings,
            journal,
            to_loop,
            seat,
            ranks: Vec::new(),
            joined: None,
            asked_to_stop: None,
            generation: 0,
            phase: Phase::Backoff(Instant::now()),
            end: None,
            ended_at: None,
            left_alone_at: None,
            left_alone_by: String::new(),
            others: None,
            step: 0,
            state: State::Starting,
            restarts: 0,
            last_failure: None,
            asked: HashMap::new(),
            queued: VecDeque::new(),
            next_id: 0,
            oom_kills: death::oom_kills(),
            waits_for_room: None,
            disk_seen: Instant::now(),
            orphaned: false,
            terminated: false,
        }
    }

    fn work(mut self, inputs: &Receiver<Input>) -> Outcome {
        checkpoint::sweep(&self.run);
        loop {
            match inputs.recv_timeout(TICK) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                // We hold a sender ourselves: this cannot be.
                Err(RecvTimeoutError::Disconnected) => return Outcome::Failed,
            }
            if let Some(outcome) = self.go_on() {
                self.journal.sync();
                return outcome;
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            // A rank of an earlier generation has nothing to say any more.
            Input::Said { generation, rank, said } if generation == self.generation => self.hear(rank, *said),
            Input::Ended { generation, rank, status } if generation == self.generation => {
                self.bury(rank, status);
            }
            Input::Said { .. } | Input::Ended { .. } => {}
            Input::Request { request, answer } => self.request(request, Some(answer)),
            Input::Signal(SIGHUP | SIGXFSZ) => {}
            Input::Signal(_) if !self.seat.is_first() && !self.terminated => self.wait_for_stop(),
            Input::Signal(_) => {
                let now = std::mem::replace(&mut self.terminated, true);
                self.request(Request::Stop { now }, None);
            }
        }
    }

    /// What time brings: heartbeats, a new attempt, the end. Gives the outcome when the run is over.
    fn go_on(&mut self) -> Option<Outcome> {
        let written = self.journal.drain();
        self.mind_the_disk(written);
        if self.journal.silent_for(HEARTBEAT) {
            self.journal.append(Body::Heartbeat { step: self.step });
        }
        if self.phase == Phase::Attempt && self.ended_at.is_some_and(|at| at.elapsed() > EXIT_PATIENCE) {
            self.kill_all();
        }
        self.name_the_silent();
        if self.asked_to_stop.is_some_and(|at| at.elapsed() > STOP_PATIENCE) {
            self.asked_to_stop = None;
            self.request(Request::Stop { now: true }, None);
        }
        match self.phase {
            Phase::Attempt | Phase::Reaping if self.ranks.iter().all(|r| r.ended.is_some()) => {
                self.attempt_over()
            }
            Phase::Backoff(until) if Instant::now() >= until => self.attempt(),
            _ => None,
        }
    }

    /// A rank of ours, by its number among all.
    fn own(&mut self, rank: u32) -> Option<&mut Rank> {
        self.ranks.get_mut(rank.checked_sub(self.seat.first)? as usize)
    }

    /// A signal to a supervisor that does not decide: the one of rank 0 got it as well, as launchers do it, or we end.
    fn wait_for_stop(&mut self) {
        self.terminated = true;
        self.asked_to_stop = Some(Instant::now());
        run::note!(
            "asked to stop: waiting {} s for node 0 to do it; once more ends at once",
            STOP_PATIENCE.as_secs()
        );
    }

    fn hear(&mut self, rank: u32, said: FromRank) {
        match said {
            FromRank::Hello { build } if build != run::BUILD_ID => {
                let message = format!(
                    "{} was built from other sources than cocaptain: run `make build`",
                    self.engine.display()
                );
                let step = self.step;
                self.journal.append(Body::error("build", message.clone()));
                self.end = Some(End::Failed { kind: "build".to_owned(), message, step, retry: false });
                self.kill_all();
            }
            // Ranks train; none serves.
            FromRank::Hello { .. } | FromRank::Serve { .. } => {}
            FromRank::Met { attempt } => self.joined = Some(attempt),
            FromRank::Saved => self.restarts = 0,
            FromRank::Step { step } if rank == self.seat.first => self.step = step,
            FromRank::Step { .. } => {}
            FromRank::Event { body } => self.relay(body),
            FromRank::Done { id, step, message } => {
                self.step = step;
                self.answer(id, Reply::Done { step, message });
            }
            FromRank::Refused { id, message } => self.answer(id, socket::refused(message)),
            FromRank::End { completed, step, message } => {
                if let Some(it) = self.own(rank) {
                    it.done = true;
                }
                // The others end with rank 0, which has more to do.
                if rank > self.seat.first {
                    return;
                }
                self.step = step;
                self.end.get_or_insert(End::Work { completed, message });
                self.ended_at = Some(Instant::now());
            }
            FromRank::Failed { kind, message, .. } if is_about_others(&kind) && self.seat.world > 1 => {
                run::note!("rank {rank}: {message}");
                if let Some(it) = self.own(rank) {
                    it.left_alone = true;
                }
                self.others = Some(message);
                self.left_alone_at.get_or_insert_with(Instant::now);
                self.left_alone_by = kind;
            }
            FromRank::Failed { kind, message, step, retry } => {
                self.journal.append(Body::Error(Notice {
                    kind: kind.clone(),
                    message: message.clone(),
                    rank: Some(rank),
                    step: Some(step),
                }));
                self.end.get_or_insert(End::Failed { kind, message, step, retry });
                self.ended_at = Some(Instant::now());
            }
        }
    }

    /// Writes a rank's event, after taking from it what the supervisor itself must know.
    fn relay(&mut self, body: Body) {
        let mut sync = false;
        match &body {
            Body::State { state, .. } => self.state = *state,
            Body::Warning(notice) => self.heed(&notice.kind),
            Body::Checkpoint { .. } => {
                self.restarts = 0;
                sync = true;
            }
            Body::SettingChanged { changes, .. } => match self.settings.apply_live(changes) {
                // config.toml always has what the run really runs with.
                Ok(_) => {
                    let text = self.settings.to_toml();
                    if let Err(e) = run::dir::replace_file(&self.run.config(), text.as_bytes()) {
                        let message = format!("config.toml still has the old values: {e}");
                        self.journal.append(Body::warning("config", message));
                    }
                }
                Err(e) => run::note!("an edit that the engine took is refused here: {e}"),
            },
            _ => {}
        }
        self.journal.append(body);
        if sync {
            self.journal.sync();
        }
    }

    /// A rank's process ended: the others of its attempt have nothing to live for.
    fn bury(&mut self, rank: u32, status: ExitStatus) {
        let Some(dead) = self.own(rank) else { return };
        dead.ended = Some(status);
        let (done, left_alone) = (dead.done, dead.left_alone);
        if done && status.success() {
            return;
        }
        if left_alone && self.end.is_none() {
            // Another rank is the cause: its end is awaited, or its silence seen, in `name_the_silent`.
            return;
        }
        if self.end.is_none() {
            let oom_kills = death::oom_kills();
            let (kind, how) = death::describe(status, (self.oom_kills, oom_kills));
            self.oom_kills = oom_kills;
            let words = death::last_words(&self.run.rank_log(rank));
            let quoted = if words.is_empty() { String::new() } else { format!(". Its last words: {words}") };
            let message = format!("rank {rank} {how} after step {}{quoted}", self.step);
            self.journal.append(Body::Error(Notice {
                kind: "rank_died".to_owned(),
                message: message.clone(),
                rank: Some(rank),
                step: Some(self.step),
            }));
            self.end = Some(End::Failed { kind: kind.to_owned(), message, step: self.step, retry: true });
        }
        self.kill_all();
    }

    /// Ranks said that another does not answer: when none has died meanwhile, those that say nothing hang.
    fn name_the_silent(&mut self) {
        // Once the ranks are ending, or gone, what they said of one another is settled.
        let settled = self.end.is_some() || self.phase != Phase::Attempt;
        let Some(since) = self.left_alone_at.filter(|_| !settled) else { return };
        // Where each of ours has spoken nothing more will be heard here.
        let unheard = |r: &Rank| !r.left_alone && !r.done && r.ended.is_none();
        if since.elapsed() < NAMING_PATIENCE && self.ranks.iter().any(unheard) {
            return;
        }
        let silent = (self.seat.first..).zip(&self.ranks).filter(|(_, r)| !r.left_alone && !r.done);
        let silent: Vec<String> = silent.map(|(rank, _)| rank.to_string()).collect();
        let first = silent.first().and_then(|rank| rank.parse().ok());
        let elsewhere = self.others.take().filter(|_| self.seat.ranks < self.seat.world);
        let message = match silent.is_empty() {
            true if elsewhere.is_some() => {
                format!("{} after step {}", elsewhere.unwrap_or_default(), self.step)
            }
            true => format!("the ranks lost one another after step {}", self.step),
            false => format!(
                "rank {} did not answer the others for {} s after step {}: it hangs. All start again \
                 (collective_timeout sets the patience)",
                silent.join(", "),
                self.settings.collective_timeout,
                self.step
            ),
        };
        let kind = if self.left_alone_by == run::link::RANK_SILENT { "rank_hung" } else { "rank_gone" };
        self.journal.append(Body::Error(Notice {
            kind: kind.to_owned(),
            message: message.clone(),
            rank: first,
            step: Some(self.step),
        }));
        self.end = Some(End::Failed { kind: kind.to_owned(), message, step: self.step, retry: true });
        self.kill_all();
    }

    fn kill_all(&mut self) {
        self.phase = Phase::Reaping;
        self.ranks.iter().for_each(Rank::kill);
    }

    /// Writes the last event and answers everybody who still waits.
    fn finish(&mut self, outcome: Outcome, message: Option<String>) -> Outcome {
        if outcome == Outcome::Failed {
            run::note!("the run failed: {}", message.as_deref().unwrap_or("without a word"));
        }
        self.journal.append(Body::Finished { outcome, step: self.step, message });
        self.answer_all(outcome);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor of a run without ranks; the folder and the inputs live as long as it is used.
    fn supervisor() -> (Supervisor, tempfile::TempDir, Receiver<Input>) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let journal = Journal::open(&run).unwrap();
        let (to_loop, inputs) = channel();
        let engine = PathBuf::from("/nowhere");
        let settings = Settings::default();
        let seat = Seat::of(&settings);
        (Supervisor::new(run, engine, settings, seat, journal, to_loop), root, inputs)
    }

    #[test]
    fn a_rank_of_an_older_generation_has_no_say() {
        let (mut supervisor, _root, _inputs) = supervisor();
        supervisor.generation = 2;
        let mut say = |generation, step| {
            let said = Box::new(FromRank::Step { step });
            supervisor.take(Input::Said { generation, rank: 0, said });
            supervisor.step
        };
        assert_eq!(say(2, 7), 7);
        assert_eq!(say(1, 99), 7);
        let said = Box::new(FromRank::End { completed: true, step: 99, message: None });
        supervisor.take(Input::Said { generation: 1, rank: 0, said });
        supervisor.take(Input::Ended { generation: 1, rank: 0, status: ExitStatus::default() });
        assert!(supervisor.end.is_none() && supervisor.phase != Phase::Reaping);
    }

    #[test]
    fn a_hung_rank_is_named_once_and_its_run_starts_again() {
        let (mut supervisor, _root, _inputs) = supervisor();
        supervisor.phase = Phase::Attempt;
        supervisor.left_alone_at = Instant::now().checked_sub(NAMING_PATIENCE * 2);
        supervisor.left_alone_by = run::link::RANK_SILENT.to_owned();
        // No process lives any more: the first look names it and plans a restart, the second must not name it again.
        assert!(supervisor.go_on().is_none());
        assert!(matches!(supervisor.phase, Phase::Backoff(_)) && supervisor.end.is_none());
        assert!(supervisor.go_on().is_none());
        assert!(matches!(supervisor.phase, Phase::Backoff(_)) && supervisor.end.is_none());
    }
}
