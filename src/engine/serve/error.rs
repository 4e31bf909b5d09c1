//! Why a request cannot be answered.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be served, or a request not be answered.
#[derive(Debug, Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    #[error("'{0}' names a model without weights: give --model (a run, a model folder, a weights file)")]
    NoWeights(String),
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    #[error(transparent)]
    Device(#[from] crate::train::TrainError),
    #[error("float16 needs a GPU, and this computes on the CPU: take bfloat16 or float32")]
    Half,
    #[error(transparent)]
    Tokenizer(#[from] data::tokenizer::TokenizerError),
    #[error("the tokenizer has {ids} ids, the model {model}: use the tokenizer that belongs to the model")]
    Vocabulary { ids: i64, model: i64 },
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    #[error(transparent)]
    Decoding(#[from] run::decoding::DecodingError),
    #[error(transparent)]
    Retrieval(#[from] crate::evaluate::retrieval::RetrievalError),
    #[error(transparent)]
    Parallel(#[from] crate::parallel::ParallelError),
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    #[error("{}: {why}; no file was written, because every picture must have its row", path.display())]
    Picture { path: PathBuf, why: String },
    #[error("there is neither a picture nor a text")]
    Nothing,
    #[error("{message}{}", if *halved { " (with a single picture at a time; use a smaller model or --device cpu)" } else { "" })]
    Memory { message: String, halved: bool },
    #[error("the engine gave up: {0}")]
    Panic(String),
}

impl ServeError {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Source(_) | Self::NoWeights(_) => "model_source",
            Self::Weights(_) => "weights",
            Self::Model(_) | Self::Generate(_) => "model",
            Self::Device(_) | Self::Half => "device",
            Self::Tokenizer(_) | Self::Vocabulary { .. } => "tokenizer",
            Self::Decoding(_) => "decoding",
            Self::Picture { .. } => "picture",
            Self::Nothing => "nothing",
            Self::Retrieval(_) => "retrieval",
            Self::Memory { .. } => "out_of_memory",
            Self::Parallel(_) => "parallel",
            Self::Torch(_) | Self::Panic(_) => "libtorch",
        }
    }

    /// Whether libtorch ran out of memory.
    pub fn out_of_memory(&self) -> bool {
        let text = self.to_string();
        text.contains("out of memory") || text.contains("can't allocate memory")
    }
}
