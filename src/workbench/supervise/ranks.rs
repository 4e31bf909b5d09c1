//! The engine's processes of one attempt.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::Sender;

use run::dir::RunDir;
use run::link::ToRank;

use super::Input;
use crate::engine::process::{Heard, Process};

/// One process of the engine.
#[derive(Debug)]
pub struct Rank {
    process: Process,
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
        let log = File::options().create(true).append(true).open(run.rank_log(rank))?;
        let to_loop = to_loop.clone();
        let heard = move |heard| {
            let _ = to_loop.send(match heard {
                Heard::Said(said) => Input::Said { generation, rank, said },
                Heard::Ended(status) => Input::Ended { generation, rank, status },
            });
        };
        let process = Process::start(engine, log, devices, heard)?;
        let rank = Self { process, ended: None, done: false, left_alone: false };
        Ok((rank, listener.map(|l| l.as_raw_fd())))
    }

    /// Tells it something; a dead rank does not mind.
    pub fn tell(&self, what: ToRank) {
        self.process.tell(what);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if self.ended.is_none() {
            self.process.kill();
        }
    }
}
