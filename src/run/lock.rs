//! Who owns a run, and whether it is alive.
//!
//! The owner is whoever holds an flock on `lock`. Supervisor and ranks share one open file description of it (ranks
//! inherit the descriptor), so it is free only when the last of them is gone. `supervisor.json` says who took it:
//! pid, boot id and start time together name a process; a pid alone never does.

use crate::dir::RunDir;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use thiserror::Error;

/// What `supervisor.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supervisor {
    /// Its process.
    pub pid: i32,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Clock ticks after boot at which the process started (field 22 of /proc/PID/stat).
    pub start_time: u64,
    /// Seconds since the Unix epoch.
    pub started: f64,
    /// The machine's name.
    pub host: String,
    /// "cocaptain" and what else matters.
    pub versions: BTreeMap<String, String>,
    /// Compute threads of each rank, once known.
    pub threads: Option<u64>,
}

impl Supervisor {
    /// This process.
    pub fn this() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self {
            pid,
            boot_id: boot_id(),
            start_time: start_time(pid).unwrap_or(0),
            started: crate::now(),
            host: host(),
            versions: BTreeMap::from([
                ("cocaptain".to_owned(), crate::VERSION.to_owned()),
                ("build".to_owned(), crate::BUILD_ID.to_owned()),
            ]),
            threads: None,
        }
    }

    /// Reads a run's `supervisor.json`; `None` when there is none that can be read.
    pub fn of(run: &RunDir) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(run.supervisor()).ok()?).ok()
    }

    /// Writes it as a run's `supervisor.json`.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, run: &RunDir) -> io::Result<()> {
        crate::dir::replace_file(&run.supervisor(), &serde_json::to_vec_pretty(self)?)
    }

    /// Whether that very process lives on this machine.
    pub fn lives_here(&self) -> bool {
        self.boot_id == boot_id() && self.start_time != 0 && start_time(self.pid) == Some(self.start_time)
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name in parentheses, may hold anything; count from its end.
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(19)?.parse().ok()
}

/// Why a run could not be taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another supervisor or its ranks live.
    #[error(
        "run '{run}' is alive already (supervisor {pid} on {host}); watch it: cocaptain attach {run}, or end it: cocaptain stop {run}"
    )]
    Taken {
        /// The run.
        run: String,
        /// Its supervisor.
        pid: i32,
        /// Its machine.
        host: String,
    },
    /// The lock file cannot be used.
    #[error("{path}: the run cannot be locked: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A taken run; the lock is released when this is dropped and no rank holds the descriptor any more.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes a run, waiting at most `patience` for readers that test it and for ranks that are about to end.
    ///
    /// # Errors
    /// [`LockError::Taken`] when it has an owner.
    pub fn take(run: &RunDir, patience: Duration) -> Result<Self, LockError> {
        let path = run.lock();
        let fail = |source| LockError::Io { path: path.display().to_string(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let owner = Supervisor::of(run).unwrap_or_default();
                    return Err(LockError::Taken { run: run.name(), pid: owner.pid, host: owner.host });
                }
                Err(e) => return Err(fail(e.into())),
            }
        }
    }

    /// Lets children inherit the lock's descriptor: the run stays taken until the last of them is gone.
    ///
    /// # Errors
    /// What the system said.
    pub fn share_with_children(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(self.0.as_fd(), rustix::io::FdFlags::empty())?)
    }
}

/// Whether some process on this machine owns the run.
pub fn is_taken(run: &RunDir) -> bool {
    let Ok(file) = File::open(run.lock()) else { return false };
    // A shared lock, so that any number of viewers may ask at once; closing the file gives it back.
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (tempfile::TempDir, RunDir) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        (root, run)
    }

    #[test]
    fn one_owner_at_a_time() {
        let (_root, run) = run();
        assert!(!is_taken(&run));
        let lock = Lock::take(&run, Duration::ZERO).unwrap();
        assert!(is_taken(&run));
        assert!(matches!(Lock::take(&run, Duration::from_millis(60)), Err(LockError::Taken { .. })));
        drop(lock);
        assert!(!is_taken(&run));
    }

    #[test]
    fn free_only_when_the_last_heir_is_gone() {
        let (_root, run) = run();
        let lock = Lock::take(&run, Duration::ZERO).unwrap();
        lock.share_with_children().unwrap();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        drop(lock);
        assert!(is_taken(&run));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_taken(&run));
    }

    #[test]
    fn a_pid_alone_is_nobody() {
        let mut me = Supervisor::this();
        assert!(me.lives_here());
        me.start_time += 1;
        assert!(!me.lives_here());
        me = Supervisor { boot_id: "another boot".to_owned(), ..Supervisor::this() };
        assert!(!me.lives_here());
    }
}
