//! Why training cannot go on.

use std::path::PathBuf;

use thiserror::Error;

use crate::parallel::{Cause, ParallelError};

/// Why training cannot go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// No model.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// The weights do not fit, or cannot be read.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// The model refused.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// No loss.
    #[error(transparent)]
    Loss(#[from] crate::loss::LossError),
    /// No captions.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    /// The optimiser refused.
    #[error(transparent)]
    Optimiser(#[from] crate::optimiser::OptimiserError),
    /// No such device.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] data::reader::ReadError),
    /// Too many records in a row are broken.
    #[error(transparent)]
    Load(#[from] data::loader::LoadError),
    /// The zero-shot set cannot be read.
    #[error(transparent)]
    ZeroShot(#[from] data::zero_shot::ZeroShotError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] data::tokenizer::TokenizerError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// libtorch refused (through the shim).
    #[error("libtorch: {0}")]
    Shim(#[from] crate::shim::TorchError),
    /// Other ranks are gone or silent.
    #[error(transparent)]
    Parallel(#[from] crate::parallel::ParallelError),
    /// Ranks under other supervisors do not come, or do not fit.
    #[error(transparent)]
    Meeting(#[from] crate::parallel::MeetingError),
    /// A checkpoint cannot be sent between machines.
    #[error(transparent)]
    Parcel(#[from] crate::parallel::ParcelError),
    /// The checkpoint cannot be written or read.
    #[error(transparent)]
    Save(#[from] run::checkpoint::CheckpointError),
    /// A checkpoint's file cannot be used.
    #[error("{}: {why}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Loss or gradient became NaN or infinite; the update was not made.
    #[error(
        "loss or gradient became NaN or infinite at step {step} on rank {rank}; that update was not made. \
         Go on from the last checkpoint with a lower learning_rate or max_grad_norm: cocaptain train --resume RUN --learning_rate X"
    )]
    NonFinite {
        /// The step.
        step: u64,
        /// The rank.
        rank: u32,
    },
    /// A setting that this version does not do.
    #[error("{0}")]
    Unavailable(String),
    /// libtorch refused in the middle of a step.
    #[error("the engine gave up in the middle of a step: {0}")]
    Panic(String),
    /// A mistake of ours.
    #[error("{0} (a bug in cocaptain: please report it)")]
    Internal(String),
}

impl TrainError {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self.cause() {
            Some(Cause::Silence) => return run::link::RANK_SILENT,
            Some(Cause::Gone) => return run::link::RANK_GONE,
            None => {}
        }
        match self {
            Self::Parallel(ParallelError::Devices { .. }) => "device",
            Self::Parallel(_) => "parallel",
            Self::Meeting(crate::parallel::MeetingError::Refused(_)) => "node_refused",
            Self::Meeting(_) => "rendezvous",
            Self::Parcel(_) => "checkpoint",
            Self::Source(_) => "model_source",
            Self::Weights(_) => "weights",
            Self::Model(_) | Self::Loss(_) | Self::Generate(_) | Self::Optimiser(_) => "model",
            Self::Device(_) => "device",
            Self::Read(_) | Self::Load(_) | Self::ZeroShot(_) | Self::Tokenizer(_) => "data",
            Self::Panic(words) if words.contains("out of memory") => "out_of_memory",
            Self::Torch(_) | Self::Shim(_) | Self::Panic(_) => "libtorch",
            Self::Save(_) | Self::Checkpoint { .. } => "checkpoint",
            Self::NonFinite { .. } => "non_finite_loss",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// What a failed call between ranks says of the others; backward's come through libtorch.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Parallel(_)
            | Self::Parcel(_)
            | Self::Torch(_)
            | Self::Shim(_)
            | Self::Loss(_)
            | Self::Panic(_) => crate::parallel::cause(&self.to_string()),
            _ => None,
        }
    }

    /// Whether starting again from the last checkpoint may help.
    pub fn may_pass(&self) -> bool {
        if matches!(self, Self::Parallel(ParallelError::Devices { .. })) {
            return false;
        }
        matches!(
            self,
            Self::Panic(_)
                | Self::Parallel(_)
                | Self::Parcel(_)
                | Self::Torch(_)
                | Self::Shim(_)
                | Self::Save(_)
                | Self::Loss(_)
                | Self::Optimiser(_)
        )
    }
}
