//! Models on disk: the names that are known, model configs and parameter shapes, weight files of every format behind
//! one interface ([`WeightsFile`]), conversion, the hub. No libtorch, no terminal.

pub mod activations;
mod config;
mod dtype;
mod file;
mod fit;
pub mod hub;
mod known;
mod paddlemix;
mod parameters;
mod pieces;
mod preprocess;
mod resize;
pub mod shard;
pub mod source;
mod write;

pub use config::{CoCaConfig, ConfigError, DecoderConfig, TextConfig, VisionConfig};
pub use dtype::Dtype;
pub use file::{Data, Format, StoredTensor, WeightsError, WeightsFile};
pub use fit::Differences;
pub use known::{KNOWN, KnownModel, known};
pub use parameters::{Init, LOGIT_SCALE_START, ParameterSpec, parameter_specs};
pub use pieces::Pieces;
pub use preprocess::Preprocess;
pub use resize::{resize_image_positions, resize_text_positions};
pub use source::{ModelSource, SourceError, find};
pub use write::{convert, write_safetensors};
