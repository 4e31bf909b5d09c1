//! Captions from images: greedy, drawn and beam-searched decoding on key/value caches.

mod beam;
mod cache;
mod hypotheses;
mod processors;
mod rows;
mod sampling;

use std::ops::ControlFlow;

use run::decoding::{Compat, Decoding, DecodingError, Method};

use crate::model::{CoCa, ImageTokens, ModelError};
use crate::shim::TorchError;

pub use cache::Incremental;

/// The ids that a text starts and ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// Start of text.
    pub sot: i64,
    /// End of text.
    pub eot: i64,
}

/// A text that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// SOT first, the prompt, then ids up to and including EOT where it came; nothing behind it.
    pub ids: Vec<i64>,
    /// Greedy and drawn: the mean log-probability that the model gives to the ids behind the prompt. Beams:
    /// their score (the summed log-probability over length^length_penalty; the same mean when that is 1).
    /// Beams of `openclip-3.3`: summed raw logits over the length, SOT counted.
    pub score: f64,
}

/// How far a generation is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Ids of the longest text so far, SOT counted.
    pub length: usize,
    /// The texts of each image so far, of the same form as [`Generated::ids`], at most as many as are asked for: draws in
    /// their own order, beams the best first.
    pub texts: &'a [Vec<Vec<i64>>],
}

/// Why no text was written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A setting that breaks its rule.
    #[error("generation: {0}")]
    Setting(#[from] DecodingError),
    /// Options that do not fit the model.
    #[error("generation: {0}")]
    Options(String),
    /// The caller asked to stop.
    #[error("generation was cancelled")]
    Cancelled,
    /// The model gave no number that could be ranked.
    #[error(
        "generation: the model's logits are not finite; its weights are damaged or its training diverged"
    )]
    NotFinite,
    /// The model refused its input.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// libtorch refused an operation (through tch).
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// Who hears of each step, and may stop.
pub type OnStep<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Captions for encoded images: for each image its texts, best first (`decoding.captions` of them; beam
/// search may give fewer, since equal texts are given once). `prompt_ids` stand behind SOT, without EOT.
/// Draws of one image depend on the seed alone, not on the images beside it.
///
/// # Errors
/// Settings that do not fit each other or the model, a cancelled generation, what libtorch said.
pub fn generate(
    model: &CoCa,
    image: &ImageTokens,
    special: SpecialIds,
    prompt_ids: &[i64],
    decoding: &Decoding,
    on_step: OnStep,
) -> Result<Vec<Vec<Generated>>, GenerateError> {
    let plan = Plan::new(model, special, prompt_ids, decoding)?;
    match decoding.method {
        Method::Beam { .. } => beam::search(model, image, &plan, on_step),
        Method::Greedy | Method::Sample { .. } => rows::write(model, image, &plan, on_step),
    }
}

/// The settings with lengths that the model can write: the default length is that of a model with a long context.
pub fn fitting(decoding: &Decoding, model: &CoCa) -> Decoding {
    let longest = u32::try_from(model.config.text.context_length + 1).unwrap_or(u32::MAX);
    let max_len = decoding.max_len.min(longest);
    let min_len = decoding.min_len.min(max_len.saturating_sub(1));
    Decoding { max_len, min_len, ..decoding.clone() }
}

/// The rows of one tensor, as open_clip returns it: the first text of each image, padded to the longest.
pub fn padded(texts: &[Vec<Generated>], pad: i64) -> Vec<Vec<i64>> {
    let firsts = || texts.iter().map(|of_image| of_image.first().map_or(&[][..], |text| &text.ids));
    let longest = firsts().map(<[i64]>::len).max().unwrap_or(0);
    let pad_behind = |ids: &[i64]| {
        let mut row = ids.to_vec();
        row.resize(longest, pad);
        row
    };
    firsts().map(pad_behind).collect()
}

/// A generation whose settings were checked against the model.
struct Plan<'a> {
    special: SpecialIds,
    /// SOT and the prompt.
    start: Vec<i64>,
    decoding: &'a Decoding,
    /// The id that fills rows, and is masked.
    pad: i64,
    min_len: usize,
    max_len: usize,
    compat: bool,
}

impl<'a> Plan<'a> {
    fn new(
        model: &CoCa,
        special: SpecialIds,
        prompt_ids: &[i64],
        decoding: &'a Decoding,
    ) -> Result<Self, GenerateError> {
        decoding.validate()?;
        let text = &model.config.text;
        let options = |said: String| Err(GenerateError::Options(said));
        let compat = decoding.compat == Some(Compat::OpenClip33);
        let (min_len, max_len) = (decoding.min_len as usize, decoding.max_len as usize);
        let longest = usize::try_from(text.context_length).unwrap_or(0) + 1;
        if max_len > longest {
            return options(format!("max_len = {max_len}, but the model writes at most {longest} ids"));
        }
        for (name, id) in [("sot", special.sot), ("eot", special.eot)] {
            if !(0..text.vocab_size).contains(&id) {
                let vocab = text.vocab_size;
                return options(format!("{name} = {id} is outside the model's vocabulary of {vocab}"));
            }
        }
        // open_clip's beam search does not look at the prompt.
        let beams = matches!(decoding.method, Method::Beam { .. });
        let prompt_ids = if compat && beams { &[] } else { prompt_ids };
        if let Some(id) = prompt_ids.iter().find(|id| !(0..text.vocab_size).contains(*id)) {
            return options(format!(
                "prompt id {id} is outside the model's vocabulary of {}",
                text.vocab_size
            ));
        }
        if prompt_ids.contains(&special.eot) {
            return options("the prompt ends the text".to_owned());
        }
        if prompt_ids.len() + 2 > max_len {
            let (prompt, fits) = (prompt_ids.len(), max_len - 2);
            return options(format!("a prompt of {prompt} ids; with max_len = {max_len} at most {fits} fit"));
        }
        let start = [&[special.sot], prompt_ids].concat();
        Ok(Self { special, start, decoding, pad: text.pad_id, min_len, max_len, compat })
    }
}

/// Tells of a step, and stops where the listener says so.
fn tell(on_step: &mut OnStep, length: usize, texts: &[Vec<Vec<i64>>]) -> Result<(), GenerateError> {
    match on_step(&Progress { length, texts }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(GenerateError::Cancelled),
    }
}
