//! The engine's processes of one attempt.

use std::fs::File;
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
}

impl Rank {
    /// Starts a rank. Its words and its end reach `to_loop` marked with `generation` and `rank`.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(
        engine: &Path,
        run: &RunDir,
        devices: Option<&str>,
        (generation, rank): (u32, u32),
        to_loop: &Sender<Input>,
    ) -> std::io::Result<Self> {
        let log = File::options().create(true).append(true).open(run.rank_log(rank))?;
        let to_loop = to_loop.clone();
        let heard = move |heard| {
            let _ = to_loop.send(match heard {
                Heard::Said(said) => Input::Said { generation, rank, said },
                Heard::Ended(status) => Input::Ended { generation, rank, status },
            });
        };
        Ok(Self { process: Process::start(engine, log, devices, heard)?, ended: None })
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
