//! AdamW, its parameter groups, gradient clipping and the learning-rate schedule.

mod adamw;
mod groups;
mod scale;
mod schedule;

use tch::Tensor;

use crate::model::Parameters;
use crate::shim::{self, TorchError};

pub use adamw::{AdamW, AdamWConfig, Trained};
pub use groups::{Rates, Tower, decays, layers_above};
pub use scale::LossScale;
pub use schedule::Schedule;

/// ln 100: the logit scale's upper bound.
pub const LOGIT_SCALE_MAX: f64 = 4.605_170_185_988_092;

/// Why an update or a state is refused.
#[derive(Debug, thiserror::Error)]
pub enum OptimiserError {
    /// A state lacks a tensor.
    #[error("the optimiser state has no tensor {0:?}; it belongs to another model")]
    MissingState(String),
    /// A state has a tensor that no parameter asks for.
    #[error("the optimiser state has a tensor {0:?} that the model has no parameter for")]
    UnknownState(String),
    /// A tensor of a state has another shape.
    #[error("optimiser state {name:?} has shape {found:?}, the model needs {expected:?}")]
    StateShape {
        /// The tensor.
        name: String,
        /// The parameter's shape.
        expected: Vec<i64>,
        /// The state's shape.
        found: Vec<i64>,
    },
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// libtorch refused an operation (through tch).
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
    /// A parameter is missing.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
}

/// Scales `gradients` in place so that their norm is at most `max_norm`, as
/// torch.nn.utils.clip_grad_norm_ does, and returns the norm before: a float32 scalar on the device, read
/// when somebody wants to know. With no `max_norm` it only measures.
pub fn clip_gradient_norm(gradients: &[Tensor], max_norm: Option<f64>) -> Result<Tensor, OptimiserError> {
    let norm = shim::gradient_norm(gradients)?;
    if let Some(max_norm) = max_norm {
        shim::clip_gradients(gradients, &norm, max_norm)?;
    }
    Ok(norm)
}

/// Keeps the logit scale within [0, ln 100], as open_clip does after every step.
pub fn clamp_logit_scale(parameters: &Parameters) -> Result<(), OptimiserError> {
    let mut scale = parameters.get("logit_scale")?;
    tch::no_grad(|| scale.f_clamp_(0.0, LOGIT_SCALE_MAX).map(drop))?;
    Ok(())
}
