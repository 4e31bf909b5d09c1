//! Captions from images: greedy and sampled decoding on key/value caches.

mod cache;
mod sampling;

use tch::{Kind, Tensor};

use crate::model::{CoCa, ImageTokens, ModelError};
use crate::shim::TorchError;

pub use cache::Decoding;
pub use sampling::{Sampler, Sampling};

/// Ids and lengths of a text to be written. Lengths count the SOT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// The id that a text starts with.
    pub sot: i64,
    /// The id that ends it.
    pub eot: i64,
    /// EOT is forbidden while a text is shorter than this.
    pub min_len: i64,
    /// A text ends here at the latest; at most the model's context + 1.
    pub max_len: i64,
    /// Makes EOT the last id of a text that reaches `max_len`, as open_clip's sampling does.
    pub force_eot: bool,
}

/// Why no text was written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Options that do not fit the model.
    #[error("generation: {0}")]
    Options(String),
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

/// The likeliest next id at every step, for images `[b,3,size,size]`. One text an image: SOT first, then
/// ids up to and including EOT (or a pad id, which ends a text too), no padding behind.
pub fn greedy(
    model: &CoCa,
    image_bchw: &Tensor,
    options: &TextOptions,
) -> Result<Vec<Vec<i64>>, GenerateError> {
    let image = tch::no_grad(|| model.encode_image(image_bchw))?;
    greedy_from(model, &image, options)
}

/// [`greedy`] for images that are encoded already.
pub fn greedy_from(
    model: &CoCa,
    image: &ImageTokens,
    options: &TextOptions,
) -> Result<Vec<Vec<i64>>, GenerateError> {
    write_texts(model, image, options, |logits_rv| Ok(logits_rv.f_argmax(-1, false)?))
}

/// Ids drawn by `sampler`, in texts of the same form as [`greedy`]'s.
pub fn sample(
    model: &CoCa,
    image: &ImageTokens,
    options: &TextOptions,
    sampler: &mut Sampler,
) -> Result<Vec<Vec<i64>>, GenerateError> {
    write_texts(model, image, options, |logits_rv| sampler.pick(logits_rv))
}

/// The loop of all decoding with one row an image: `pick` chooses ids `[b]` by logits `[b,v]`.
fn write_texts(
    model: &CoCa,
    image: &ImageTokens,
    options: &TextOptions,
    mut pick: impl FnMut(&Tensor) -> Result<Tensor, GenerateError>,
) -> Result<Vec<Vec<i64>>, GenerateError> {
    check(model, options)?;
    let pad = model.config.text.pad_id;
    let mut decoding = Decoding::new(model, image, 1, options.max_len - 1)?;
    let device = decoding.device();
    let rows = usize::try_from(decoding.rows()).unwrap_or(0);
    let mut texts = vec![vec![options.sot]; rows];
    let mut done = vec![false; rows];
    let mut ids_r1 = Tensor::f_full([rows as i64, 1], options.sot, (Kind::Int64, device))?;
    for length in 1..options.max_len {
        let last = length + 1 == options.max_len;
        let chosen = if last && options.force_eot {
            vec![options.eot; rows]
        } else {
            let mut logits_rv = decoding.advance(&ids_r1)?;
            if length < options.min_len {
                logits_rv = logits_rv.f_index_fill(
                    1,
                    &Tensor::from_slice(&[options.eot]).to(device),
                    f64::NEG_INFINITY,
                )?;
            }
            Vec::<i64>::try_from(pick(&logits_rv)?)?
        };
        let mut next = vec![pad; rows];
        for (((text, done), next), id) in texts.iter_mut().zip(&mut done).zip(&mut next).zip(chosen) {
            if !*done {
                text.push(id);
                *next = id;
                *done = id == options.eot || id == pad;
            }
        }
        if done.iter().all(|done| *done) {
            break;
        }
        ids_r1 = Tensor::f_from_slice(&next)?.f_view([rows as i64, 1])?.f_to_device(device)?;
    }
    Ok(texts)
}

fn check(model: &CoCa, options: &TextOptions) -> Result<(), GenerateError> {
    let text = &model.config.text;
    let longest = text.context_length + 1;
    if !(2..=longest).contains(&options.max_len) {
        let said = format!("max_len = {} must be from 2 to {longest}, SOT counted", options.max_len);
        return Err(GenerateError::Options(said));
    }
    for (name, id) in [("sot", options.sot), ("eot", options.eot)] {
        if !(0..text.vocab_size).contains(&id) {
            let said = format!("{name} = {id} is outside the model's vocabulary of {}", text.vocab_size);
            return Err(GenerateError::Options(said));
        }
    }
    Ok(())
}
