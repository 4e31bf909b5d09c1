//! CoCa: an image tower, a unimodal text tower and a multimodal decoder, as open_clip 3.3.0 computes them,
//! under its parameter names.
//!
//! Tensor names end in their axes: `b` batch, `s` or `t` text positions, `n` image tokens, `q` queries, `d`
//! the shared space, `w` a tower's width, `h` heads, `v` vocabulary, `r` selected rows.

mod coca;
mod decoder;
mod layers;
mod parameters;
mod plan;
mod text;
mod tokens;
mod vision;

pub use models::{
    CoCaConfig, ConfigError, DecoderConfig, Init, LOGIT_SCALE_START, ParameterSpec, TextConfig, VisionConfig,
    parameter_specs,
};

pub use coca::{CoCa, Output};
pub use decoder::Decoder;
pub use layers::{Attention, Block, CrossBlock, LayerNorm, Linear, Mask, Mlp, l2_normalise};
pub use parameters::Parameters;
pub(crate) use plan::sums_over_vocabulary;
pub use plan::{Plan, Split};
pub use text::TextTower;
pub use tokens::TextBatch;
pub use vision::{ImageTokens, ImageTower};

use crate::shim::TorchError;

/// Why a model cannot be built or fed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The store lacks a parameter that the config asks for.
    #[error("the weights have no tensor {0:?}, which the model config asks for")]
    MissingParameter(String),
    /// Two parameters of one name.
    #[error("two tensors are named {0:?}")]
    DuplicateParameter(String),
    /// A batch of token ids that the model cannot take.
    #[error("token ids: {0}")]
    Tokens(String),
    /// A batch of images that the model cannot take.
    #[error("images: {0}")]
    Images(String),
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// libtorch refused an operation (through tch).
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}
