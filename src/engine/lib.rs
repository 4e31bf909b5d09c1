//! libtorch: model, loss, optimiser, checkpoints, generation, training, evaluation.
