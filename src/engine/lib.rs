//! libtorch: model, loss, optimiser, checkpoints, generation, training, evaluation.

pub mod bench;
pub mod device;
pub mod evaluate;
pub mod generate;
pub mod gpu_id;
pub mod link;
pub mod loss;
pub mod model;
pub mod optimiser;
pub mod parallel;
pub mod serve;
pub mod shim;
pub mod train;
pub mod weights;

/// Where a model comes from.
pub use models::source;

/// The libtorch that this engine is built for.
pub const LIBTORCH_VERSION: &str = "2.11.0";
