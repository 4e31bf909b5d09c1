//! libtorch: model, loss, optimiser, checkpoints, generation, training, evaluation.

pub mod device;
pub mod generate;
pub mod loss;
pub mod model;
pub mod optimiser;
pub mod shim;
pub mod weights;
