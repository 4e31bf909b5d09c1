//! The engine, seen from the workbench: where it is, its processes, and a loaded model that answers requests.

pub mod path;
pub mod process;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use run::link::{FromRank, Job, ToRank};
use run::serve::{LOADING, Reply, Request, ServeJob};

use crate::supervise::death;
use process::{Heard, Process};

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
    pub fn start(job: ServeJob, mut heard: impl FnMut(u64, Reply) + Send + 'static) -> Result<Self, String> {
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
