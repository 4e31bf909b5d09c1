//! What a checkpoint says besides weights and optimiser state.

use std::path::Path;

use run::settings::Settings;
use serde::{Deserialize, Serialize};

use super::TrainError;

/// `trainer.json` of a checkpoint.
///
/// The only randomness of training is order, augmentation and initialisation, all functions of the seed and a
/// position: seed and position are the whole random state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// The format's version.
    pub v: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Position in the data: whole passes done.
    pub epoch: u64,
    /// Position in the data: batches of this pass done.
    pub batch: u64,
    /// Training samples in one pass, to notice that the data changed.
    pub samples: u64,
    /// Seed of order, augmentation and initialisation.
    pub seed: u64,
    /// Compute threads: another number adds in another order.
    pub threads: u64,
    /// Degrees of (data parallel, sharding, tensor parallel), for people: a checkpoint is whole, and goes on on any mesh.
    pub mesh: (u32, u32, u32),
    /// Settings in effect.
    pub settings: Settings,
}

/// Its file in a checkpoint.
pub const FILE: &str = "trainer.json";

impl TrainerState {
    /// Reads it from a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`], naming the file.
    pub fn load(checkpoint: &Path) -> Result<Self, TrainError> {
        let path = checkpoint.join(FILE);
        let bad = |why: String| TrainError::Checkpoint { path: path.clone(), why };
        let bytes = std::fs::read(&path).map_err(|e| bad(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))
    }

    /// Where the data go on, over as many samples and in batches as big as now: an epoch over changed data begins
    /// anew, one in other batches goes on at the last whole one.
    pub fn position(&self, samples: u64, batch_size: u64) -> data::Position {
        let done = self.batch * self.settings.global_batch_size() / batch_size.max(1);
        let batch = if samples == self.samples { done } else { 0 };
        data::Position { epoch: self.epoch, batch }
    }

    /// Writes it into a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`], naming the file.
    pub fn save(&self, checkpoint: &Path) -> Result<(), TrainError> {
        let path = checkpoint.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        text.and_then(|t| std::fs::write(&path, t))
            .map_err(|e| TrainError::Checkpoint { path, why: e.to_string() })
    }
}
