//! A rank that does what a script says instead of training. This test program is started again as the engine: the
//! wrapper that [`crate::support::Bench`] writes runs the ignored test below.
//!
//! The script is a JSON file named by `SCRIPT`; see [`Script`].

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use run::checkpoint::Draft;
use run::control::Request;
use run::dir::RunDir;
use run::events::{Body, Metrics, Started, State};
use run::link::{Edit, FromRank, Job, ToRank, TrainJob};
use run::settings::Settings;
use serde::{Deserialize, Serialize};

/// What the rank does. Steps count from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// Steps in all.
    pub total: u64,
    /// Milliseconds of a step.
    pub step_ms: u64,
    /// A checkpoint every so many steps.
    pub save_every: u64,
    /// What it says as its build.
    pub build: Option<String>,
    /// Kills itself with this signal after this step, in attempts below `bad_attempts`.
    pub die_at: Option<(u64, i32)>,
    /// Reports a failure (kind, may be tried again) after this step, in attempts below `bad_attempts`.
    pub fail_at: Option<(u64, String, bool)>,
    /// Attempts in which the faults happen.
    pub bad_attempts: u32,
    /// Does not exit when it said its end.
    pub linger: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            total: 10,
            step_ms: 5,
            save_every: 0,
            build: None,
            die_at: None,
            fail_at: None,
            bad_attempts: 1,
            linger: false,
        }
    }
}

#[test]
#[ignore = "the scripted rank, not a test: other tests start it as the engine"]
fn scripted_rank() {
    let script = std::env::var("SCRIPT").expect("started by hand");
    let script: Script = serde_json::from_slice(&std::fs::read(script).unwrap()).unwrap();
    let fd: i32 = std::env::var(run::link::DESCRIPTOR).unwrap().parse().unwrap();
    // SAFETY: inherited for this purpose, and nothing else here owns it.
    let line = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let told = listen(line.try_clone().unwrap());
    let build = script.build.clone().unwrap_or_else(|| run::BUILD_ID.to_owned());
    let mut rank =
        Rank { line, script, told, settings: Settings::default(), step: 0, attempt: 0, paused: false };
    rank.say(FromRank::Hello { build });
    let Ok(ToRank::Job(job)) = rank.told.recv() else { panic!("the first line is no job") };
    let Job::Train(job) = *job else { panic!("{job:?}") };
    let status = rank.work(job);
    std::process::exit(status);
}

/// Reads what the supervisor says; its end is the end of this process.
fn listen(line: UnixStream) -> Receiver<ToRank> {
    let (to, from) = channel();
    std::thread::spawn(move || {
        for text in BufReader::new(line).lines() {
            let Ok(text) = text else { break };
            to.send(serde_json::from_str(&text).unwrap()).unwrap();
        }
        std::process::exit(9);
    });
    from
}

struct Rank {
    line: UnixStream,
    script: Script,
    told: Receiver<ToRank>,
    settings: Settings,
    step: u64,
    attempt: u32,
    paused: bool,
}

impl Rank {
    fn say(&mut self, what: FromRank) {
        let mut text = serde_json::to_string(&what).unwrap();
        text.push('\n');
        self.line.write_all(text.as_bytes()).unwrap();
    }

    fn event(&mut self, body: Body) {
        self.say(FromRank::Event { body });
    }

    fn state(&mut self, state: State) {
        let step = self.step;
        self.event(Body::State { state, step, message: None });
    }

    fn work(&mut self, job: TrainJob) -> i32 {
        let run = RunDir::at(&job.run);
        self.attempt = job.attempt;
        self.settings = job.settings.clone();
        if let Some(path) = &job.checkpoint {
            self.step = run::checkpoint::manifest(path).unwrap().step;
        }
        if job.attempt > 0 {
            let from_step = self.step;
            self.event(Body::Resumed { from_step });
        }
        let total_steps = self.script.total;
        self.event(Body::Started(Started { total_steps, ..Started::default() }));
        self.state(State::Running);
        eprintln!("\x1b[31mlast words of attempt {}", self.attempt);
        let mut edits = job.edits;
        loop {
            edits.retain(|edit| !self.made_again(edit));
            while let Some(status) = self.boundary(&run) {
                if let Some(status) = status {
                    return status;
                }
            }
            if self.step >= self.script.total {
                self.save(&run);
                return self.end(true);
            }
            std::thread::sleep(Duration::from_millis(self.script.step_ms));
            self.step += 1;
            let (step, learning_rate) = (self.step, self.settings.learning_rate);
            self.say(FromRank::Step { step });
            self.event(Body::Metrics(Metrics { step, learning_rate, loss: 1.0, ..Metrics::default() }));
            if self.script.save_every > 0 && step.is_multiple_of(self.script.save_every) {
                self.save(&run);
            }
            if self.attempt < self.script.bad_attempts {
                if let Some((at, signal)) = self.script.die_at.filter(|(at, _)| *at == step) {
                    assert_eq!(at, step);
                    let me = rustix::process::getpid();
                    let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
                    rustix::process::kill_process(me, signal).unwrap();
                    std::thread::sleep(Duration::from_secs(60));
                }
                if let Some((_, kind, retry)) = self.script.fail_at.clone().filter(|(at, ..)| *at == step) {
                    let message = format!("{kind} at {step}");
                    self.say(FromRank::Failed { kind, message, step, retry });
                    return run::link::FAILED_STATUS;
                }
            }
        }
    }

    /// Makes an edit of an earlier attempt again when its step has come.
    fn made_again(&mut self, edit: &Edit) -> bool {
        let due = edit.applied_at <= self.step;
        if due {
            self.settings.apply_live(&edit.changes).unwrap();
        }
        due
    }

    /// One request: none left, carried out, or the end with a status.
    fn boundary(&mut self, run: &RunDir) -> Option<Option<i32>> {
        let told = if self.paused { self.told.recv().ok()? } else { self.told.try_recv().ok()? };
        let ToRank::Request { id, requested, request } = told else { panic!("a second job") };
        let mut end = None;
        match request {
            Request::Stop { .. } => {
                self.save(run);
                end = Some(0);
            }
            Request::Pause => {
                self.paused = true;
                self.state(State::Paused);
            }
            Request::Resume => {
                self.paused = false;
                self.state(State::Running);
            }
            Request::Save => self.save(run),
            Request::Set { changes } => {
                let previous = self.settings.apply_live(&changes).unwrap();
                let applied_at = self.step;
                self.event(Body::SettingChanged { changes, previous, requested, applied_at });
            }
            Request::Status => panic!("status is the supervisor's"),
        }
        let step = self.step;
        self.say(FromRank::Done { id, step, message: None });
        if end.is_some() {
            self.end(false);
        }
        Some(end)
    }

    fn end(&mut self, completed: bool) -> i32 {
        let step = self.step;
        self.say(FromRank::End { completed, step, message: None });
        if self.script.linger {
            std::thread::sleep(Duration::from_secs(600));
        }
        0
    }

    fn save(&mut self, run: &RunDir) {
        let draft = Draft::begin(run, self.step, 0).unwrap();
        std::fs::write(draft.path().join("trainer.json"), "{}").unwrap();
        let (path, manifest) = draft.commit(None).unwrap();
        let path = path.strip_prefix(run.path()).unwrap().display().to_string();
        let (step, bytes) = (self.step, manifest.bytes());
        self.event(Body::Checkpoint { step, path, bytes, seconds: 0.0, best: false });
    }
}
