//! The engine, seen from the workbench: where it is, its processes, and a loaded model that answers requests.

pub mod path;
pub mod process;

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use run::link::Rendezvous;
use run::link::{FromRank, Job, ToRank};
use run::serve::{LOADING, Reply, Request, ServeJob, Share};
use run::settings::Settings;

use crate::supervise::death;
use process::{Heard, Process};

/// Where processes of this machine meet.
const LOOPBACK: &str = "127.0.0.1";

/// The log of serving engines is begun anew when it is longer than this.
const LONGEST_LOG: u64 = 1 << 20;

/// An engine that has loaded a model, or is about to. Dropping it ends it.
#[derive(Debug)]
pub struct Engine {
    process: Process,
    last_id: AtomicU64,
}

impl Engine {
    /// Starts an engine that loads a model. Replies reach `heard`, with the number of their request, on a thread of
    /// their own; the first ones are about loading ([`LOADING`]). An end that nobody asked for is a
    /// [`Reply::Failed`] of [`LOADING`], and nothing comes after it.
    ///
    /// # Errors
    /// Where the engine was looked for, or why it cannot be started.
    pub fn start(job: ServeJob, heard: impl FnMut(u64, Reply) + Send + 'static) -> Result<Self, String> {
        Self::start_as(job, None, heard)
    }

    /// Starts one that shares requests with others; the one that serves their rendezvous inherits the listener.
    fn start_as(
        mut job: ServeJob,
        listener: Option<&TcpListener>,
        mut heard: impl FnMut(u64, Reply) + Send + 'static,
    ) -> Result<Self, String> {
        // A copy that this process alone inherits: it is closed again before the next one is started.
        let inherited = listener.map(rustix::io::dup).transpose().map_err(|e| e.to_string())?;
        if let Some(share) = &mut job.share {
            share.rendezvous.listener = inherited.as_ref().map(AsRawFd::as_raw_fd);
        }
        let engine = path::find()?;
        let (log, log_path) = log()?;
        let mut failed = false;
        let oom_kills = death::oom_kills();
        let process = Process::start(&engine, log, None, move |what| match what {
            Heard::Said(said) => match *said {
                FromRank::Serve { id, reply } => {
                    failed |= id == LOADING && matches!(reply, Reply::Failed { .. });
                    heard(id, reply);
                }
                FromRank::Hello { build } if build != run::BUILD_ID => {
                    failed = true;
                    let message = "the engine was built from other sources than cocaptain: run `make build`";
                    heard(LOADING, Reply::Failed { kind: "build".to_owned(), message: message.to_owned() });
                }
                _ => {}
            },
            Heard::Ended(_) if failed => {}
            Heard::Ended(status) => {
                let (kind, how) = death::describe(status, (oom_kills, death::oom_kills()));
                let words = death::last_words(&log_path);
                let quoted =
                    if words.is_empty() { String::new() } else { format!(". Its last words: {words}") };
                let message = format!("the engine {how}{quoted}");
                heard(LOADING, Reply::Failed { kind: kind.to_owned(), message });
            }
        });
        let process = process.map_err(|e| format!("{}: cannot be started: {e}", engine.display()))?;
        process.tell(ToRank::Job(Box::new(Job::Serve(job))));
        Ok(Self { process, last_id: AtomicU64::new(LOADING) })
    }

    /// Starts so many engines that share every request: each is to be asked for the same, and answers for its own part.
    /// Replies reach `heard` with the number of the process.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_several(
        settings: &Settings,
        count: u32,
        heard: impl Fn(u32, u64, Reply) + Clone + Send + 'static,
    ) -> Result<Vec<Self>, String> {
        let one = |rank: u32| {
            let heard = heard.clone();
            move |id, reply| heard(rank, id, reply)
        };
        if count < 2 {
            let job = ServeJob { settings: settings.clone(), share: None };
            return Ok(vec![Self::start(job, one(0))?]);
        }
        let listener = TcpListener::bind((LOOPBACK, 0)).and_then(|l| Ok((l.local_addr()?.port(), l)));
        let (port, listener) =
            listener.map_err(|e| format!("no port on {LOOPBACK} for the processes to meet: {e}"))?;
        let start = |rank| {
            let rendezvous = Rendezvous {
                host: LOOPBACK.to_owned(),
                port,
                interface: LOOPBACK.to_owned(),
                generation: 1,
                listener: None,
                timeout: settings.collective_timeout,
                joint: None,
            };
            let share = Some(Share { rank, world_size: count, rendezvous });
            let job = ServeJob { settings: settings.clone(), share };
            Self::start_as(job, (rank == 0).then_some(&listener), one(rank))
        };
        (0..count).map(start).collect()
    }

    /// Asks for something; the number that its replies will carry.
    pub fn ask(&self, request: Request) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.process.tell(ToRank::Serve { id, request });
        id
    }

    /// Asks under a number of the caller's, which must not come twice.
    pub fn ask_as(&self, id: u64, request: Request) {
        self.process.tell(ToRank::Serve { id, request });
    }

    /// Ends a request.
    pub fn cancel(&self, id: u64) {
        self.ask(Request::Cancel { id });
    }
}

impl Drop for Engine {
    /// At once: there is nothing to save, and libtorch's exit handlers may take their time.
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// Where serving engines write what libtorch says: never to the terminal.
fn log() -> Result<(File, PathBuf), String> {
    let folder = run::dir::state_folder().unwrap_or_else(std::env::temp_dir);
    let path = folder.join("engine.log");
    let io = |e: std::io::Error| format!("{}: the engine's log cannot be written: {e}", path.display());
    std::fs::create_dir_all(&folder).map_err(io)?;
    let long = std::fs::metadata(&path).is_ok_and(|m| m.len() > LONGEST_LOG);
    let mut options = File::options();
    let options = if long { options.write(true).truncate(true) } else { options.append(true) };
    let file = options.create(true).open(&path).map_err(io)?;
    Ok((file, path))
}
