//! An engine's process with its private line: how ranks and serving engines alike are started.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use run::link::{FromRank, ToRank};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What is heard of a process.
#[derive(Debug)]
pub enum Heard {
    /// It said something.
    Said(Box<FromRank>),
    /// It ended; nothing more comes.
    Ended(ExitStatus),
}

/// One process of the engine. Dropping it closes its line, which ends it.
#[derive(Debug)]
pub struct Process {
    /// What it is told goes through a thread of its own: a process that does not read holds up nobody.
    to_it: Sender<ToRank>,
    /// Names the process even after its number was given to another one.
    process: OwnedFd,
}

/// How long OpenMP's threads spin before they sleep, in rounds. The default, some milliseconds, assumes that nobody else
/// computes: two processes of two threads on two cores take thirty times as long a step then, with this no longer than
/// their share, and one alone is no slower (docs/parallel.md).
const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "1000");

/// Held from the moment that a line's end may be inherited until its process is started: no other one gets it.
static STARTING: Mutex<()> = Mutex::new(());

impl Process {
    /// Starts an engine whose fd 1 and 2 are `log`. Its words and its end reach `heard`, on a thread of their own.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(
        engine: &Path,
        log: File,
        devices: Option<&str>,
        mut heard: impl FnMut(Heard) + Send + 'static,
    ) -> std::io::Result<Self> {
        let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, theirs) = UnixStream::pair()?;
        // Inherited on purpose; our own end stays close-on-exec, so that no other process holds it open.
        rustix::io::fcntl_setfd(theirs.as_fd(), rustix::io::FdFlags::empty())?;
        let mut notes = log.try_clone()?;
        let mut command = Command::new(engine);
        command
            .env(run::link::DESCRIPTOR, theirs.as_raw_fd().to_string())
            .stdin(Stdio::null())
            // Ctrl-C is for whoever started it, who then ends it in order.
            .process_group(0)
            .stdout(log.try_clone()?)
            .stderr(log);
        // Read when OpenMP is loaded: the process itself comes too late.
        if std::env::var_os(SPINS.0).is_none() && std::env::var_os("OMP_WAIT_POLICY").is_none() {
            command.env(SPINS.0, SPINS.1);
        }
        if let Some(devices) = devices {
            command.env("CUDA_VISIBLE_DEVICES", devices);
        }
        let mut child = command.spawn()?;
        drop(theirs);
        drop(starting);
        let process = pidfd_open(rustix::process::Pid::from_child(&child), PidfdFlags::empty())?;

        let (to_it, lines) = channel::<ToRank>();
        let (reading, mut writing) = (ours.try_clone()?, ours);
        std::thread::spawn(move || {
            for line in BufReader::new(reading).lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str::<FromRank>(&line) {
                    Ok(said) => heard(Heard::Said(Box::new(said))),
                    // Our own stderr may be a screen.
                    Err(e) => drop(writeln!(notes, "the engine says what makes no sense ({e}): {line}")),
                }
            }
            // All that it said comes before its end.
            if let Ok(status) = child.wait() {
                heard(Heard::Ended(status));
            }
        });
        std::thread::spawn(move || {
            for said in lines {
                let line = serde_json::to_vec(&said).map(|mut line| {
                    line.push(b'\n');
                    line
                });
                if !line.is_ok_and(|line| writing.write_all(&line).is_ok()) {
                    break;
                }
            }
            // Nobody will tell it anything any more, or it cannot be told: it sees the end of its line.
            let _ = writing.shutdown(std::net::Shutdown::Write);
        });
        Ok(Self { to_it, process })
    }

    /// Tells it something; a dead one does not mind.
    pub fn tell(&self, what: ToRank) {
        let _ = self.to_it.send(what);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        // A process that has ended is what was wanted.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}
