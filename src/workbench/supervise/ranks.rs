//! The engine's processes of one attempt.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};

use run::dir::RunDir;
use run::link::{FromRank, ToRank};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Input;

/// One process of the engine.
#[derive(Debug)]
pub struct Rank {
    /// What it is told goes through a thread of its own: a rank that does not read holds up nobody.
    to_rank: Sender<ToRank>,
    /// Names the process even after its number was given to another one.
    process: OwnedFd,
    /// How it ended.
    pub ended: Option<ExitStatus>,
    /// It reported the end of its work: its exit is no death.
    pub done: bool,
    /// It reported that its calls to the others fail: it is not the one that is wrong.
    pub left_alone: bool,
}

impl Rank {
    /// Starts a rank, which inherits the listener of the rendezvous where it is to serve it; says under which number.
    /// Its words and its end reach `to_loop` marked with `generation` and `rank`.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(
        engine: &Path,
        run: &RunDir,
        devices: Option<&str>,
        (generation, rank): (u32, u32),
        listener: Option<&TcpListener>,
        to_loop: &Sender<Input>,
    ) -> std::io::Result<(Self, Option<i32>)> {
        // A copy that this rank alone inherits: it is closed again before the next one is started.
        let listener = listener.map(rustix::io::dup).transpose()?;
        let (ours, theirs) = UnixStream::pair()?;
        // Inherited on purpose; our own end stays close-on-exec, so that no other rank holds it open.
        rustix::io::fcntl_setfd(theirs.as_fd(), rustix::io::FdFlags::empty())?;
        let log = File::options().create(true).append(true).open(run.rank_log(rank))?;
        let mut command = Command::new(engine);
        command
            .env(run::link::DESCRIPTOR, theirs.as_raw_fd().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some(devices) = devices {
            command.env("CUDA_VISIBLE_DEVICES", devices);
        }
        let mut child = command.spawn()?;
        drop(theirs);
        let pid = rustix::process::Pid::from_child(&child);
        let process = pidfd_open(pid, PidfdFlags::empty())?;

        let reading = ours.try_clone()?;
        let words = to_loop.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(reading).lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str::<FromRank>(&line) {
                    Ok(said) => drop(words.send(Input::Said { generation, rank, said: Box::new(said) })),
                    Err(e) => eprintln!("rank {rank} says what makes no sense ({e}): {line}"),
                }
            }
        });
        let end = to_loop.clone();
        std::thread::spawn(move || {
            let status = child.wait();
            // All that it said comes before its end.
            let _ = reader.join();
            if let Ok(status) = status {
                let _ = end.send(Input::Ended { generation, rank, status });
            }
        });
        let (to_rank, lines) = channel::<ToRank>();
        std::thread::spawn(move || {
            let mut writing = ours;
            for said in lines {
                let line = serde_json::to_vec(&said).map(|mut line| {
                    line.push(b'\n');
                    line
                });
                if !line.is_ok_and(|line| writing.write_all(&line).is_ok()) {
                    return;
                }
            }
        });
        Ok((
            Self { to_rank, process, ended: None, done: false, left_alone: false },
            listener.map(|l| l.as_raw_fd()),
        ))
    }

    /// Tells it something; a dead rank does not mind.
    pub fn tell(&self, what: ToRank) {
        let _ = self.to_rank.send(what);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if self.ended.is_none() {
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
        }
    }
}
