//! Writes checkpoints, and goes on from them.

use std::path::Path;
use std::time::Instant;

use run::checkpoint::{self, CheckpointError, Draft};
use run::events::{Body, State};
use tch::Kind;

use super::state::TrainerState;
use super::{TrainError, Trainer, layout};
use crate::source::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};
use crate::weights::{self, WeightsFile};

/// Optimiser state of one rank in a checkpoint.
///
/// Data-parallel ranks all hold the same, and rank 0 writes it: it loads on any number of them.
fn optimiser_file() -> String {
    "optimizer.rank-0.safetensors".to_owned()
}

impl Trainer<'_> {
    /// Writes a checkpoint of this step; says where, relative to the run directory.
    pub(super) fn save(&mut self) -> Result<String, TrainError> {
        let start = Instant::now();
        self.state(State::Saving, None);
        let need = self.parameters.tensors().iter().map(layout::bytes).sum::<u64>()
            + self.optimiser.state_bytes() as u64;
        let draft = Draft::begin(&self.run, self.step, need + (need >> 6) + (1 << 20))?;
        let at = draft.path();
        let named = self.parameters.iter().map(|(name, t)| (name.to_owned(), t.shallow_clone()));
        weights::write(&at.join(WEIGHTS_FILE), named)?;
        weights::write(&at.join(optimiser_file()), self.optimiser.state())?;
        self.write_text(at)?;
        let (path, manifest) = draft.commit(self.held_out_loss)?;
        self.owed = false;
        let gone = checkpoint::prune(
            &self.run,
            usize::try_from(self.settings.save_total_limit).unwrap_or(usize::MAX),
        );
        if !gone.is_empty() {
            run::note!("checkpoints of steps {gone:?} went beyond save_total_limit");
        }
        let relative = path.strip_prefix(self.run.path()).unwrap_or(&path).display().to_string();
        self.link.event(Body::Checkpoint {
            step: self.step,
            path: relative.clone(),
            bytes: manifest.bytes(),
            seconds: start.elapsed().as_secs_f64(),
            best: checkpoint::best(&self.run) == Some(self.step),
        });
        self.forget_time();
        Ok(relative)
    }

    /// Config, tokenizer and trainer's state: what makes the checkpoint a model folder that training can go on from.
    fn write_text(&self, at: &Path) -> Result<(), TrainError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| TrainError::Checkpoint { path, why: e.to_string() }
        };
        let config = at.join(CONFIG_FILE);
        let json = self.model.config.to_json().map_err(|e| TrainError::Internal(e.to_string()))?;
        std::fs::write(&config, format!("{{\"model_cfg\": {json}}}\n")).map_err(io(&config))?;
        if let Some(tokenizer) = &self.tokenizer_file {
            std::fs::copy(tokenizer, at.join(TOKENIZER_FILE)).map_err(io(tokenizer))?;
        }
        let state = TrainerState {
            v: 1,
            step: self.step,
            epoch: self.position.epoch,
            batch: self.position.batch,
            samples: self.samples,
            seed: self.settings.seed,
            threads: crate::device::num_threads() as u64,
            mesh: self.settings.mesh().map_err(|e| TrainError::Internal(e.to_string()))?,
            settings: self.settings.clone(),
        };
        state.save(at)
    }

    /// Saves; where the disk is full, pauses the run and says so.
    pub(super) fn save_or_pause(&mut self) {
        let Err(e) = self.save() else { return };
        let kind = match &e {
            TrainError::Save(CheckpointError::Full { .. }) => "disk_full",
            _ => "checkpoint",
        };
        let message =
            format!("no checkpoint of step {}: {e}. The run is paused until there is room", self.step);
        self.link.event(Body::warning(kind, message));
        self.owed = true;
        self.paused = true;
        self.state(State::Paused, Some("no checkpoint could be written".to_owned()));
    }

    /// Takes optimiser state and step from a checkpoint; weights and position in the data are taken already.
    pub(super) fn go_on_from(&mut self, at: &Path, state: &TrainerState) -> Result<(), TrainError> {
        let file = WeightsFile::open(&at.join(optimiser_file()))?;
        let wanted = self.optimiser.state_shapes();
        self.optimiser.load_state(file.exactly(&wanted, Kind::Float, self.compute.device)?)?;
        self.step = state.step;
        if state.samples != self.samples {
            let message = format!(
                "the training data has {} samples now, {} when the checkpoint was written: this epoch begins anew",
                self.samples, state.samples
            );
            self.link.event(Body::warning("data_changed", message));
        }
        let threads = crate::device::num_threads() as u64;
        if state.threads != threads && !self.compute.device.is_cuda() {
            let message = format!(
                "{threads} compute threads now, {} when the checkpoint was written: sums round differently, so the \
                 curve will not equal an uninterrupted one to the bit (--threads {} would)",
                state.threads, state.threads
            );
            self.link.event(Body::warning("threads_changed", message));
        }
        self.link.event(Body::Resumed { from_step: self.step });
        Ok(())
    }
}
