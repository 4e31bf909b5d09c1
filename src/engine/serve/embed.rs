//! Features of pictures and texts, in one file.

use std::path::{Path, PathBuf};

use run::serve::Reply;
use tch::{Device, Kind, Tensor};

use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, batches, pictures};
use crate::model::TextBatch;

/// Writes `image_features` `[n,d]` and `text_features` `[m,d]`, float32, of length 1, whichever were asked for.
pub(super) fn embed(
    served: &Served,
    images: Vec<PathBuf>,
    texts: &[String],
    out: &Path,
    batch: u32,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    if images.is_empty() && texts.is_empty() {
        return Err(ServeError::Nothing);
    }
    let total = (images.len() + texts.len()) as u64;
    let batch = (batch as usize).max(1);
    let (mut size, mut done) = (batch, 0);
    let mut features = Vec::new();
    let names = images.clone();
    for group in pictures::ahead(images, served.preprocess.clone(), batch) {
        let mut readable: Vec<&[f32]> = Vec::with_capacity(group.len());
        for (i, decoded) in group.iter().enumerate() {
            let path = || names.get(done + i).cloned().unwrap_or_default();
            match decoded {
                Ok(numbers) => readable.push(numbers),
                Err(why) => return Err(ServeError::Picture { path: path(), why: why.clone() }),
            }
        }
        let onward = batches::in_pieces(readable.len(), &mut size, work, |range, _| {
            let image_bchw =
                batches::tensor(&readable[range], served.preprocess.side(), served.model.device())?;
            let encoded = tch::no_grad(|| served.model.encode_image(&image_bchw))?;
            features.push(encoded.features_bd.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?);
            Ok(Onward::Go)
        })?;
        if onward == Onward::Cancelled {
            return Ok(onward);
        }
        done += group.len();
        work.say(Reply::Progress { done: done as u64, total });
    }
    let mut tensors = Vec::new();
    if !features.is_empty() {
        tensors.push(("image_features".to_owned(), Tensor::f_cat(&features, 0)?));
    }
    features.clear();
    let context = served.model.config.text.context_length;
    let mut size = batch;
    for group in texts.chunks(batch) {
        let onward = batches::in_pieces(group.len(), &mut size, work, |range, _| {
            let mut ids = Vec::new();
            for text in &group[range] {
                ids.extend(served.tokenizer.encode(text, usize::try_from(context).unwrap_or(1))?);
            }
            let ids_bs = Tensor::f_from_slice(&ids)?.f_view([-1, context])?;
            let text = TextBatch::trimmed(&ids_bs, &served.model.config, served.model.device())?;
            let encoded = tch::no_grad(|| served.model.encode_text(&text));
            features.push(encoded.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?);
            Ok(Onward::Go)
        })?;
        if onward == Onward::Cancelled {
            return Ok(onward);
        }
        done += group.len();
        work.say(Reply::Progress { done: done as u64, total });
    }
    if !features.is_empty() {
        tensors.push(("text_features".to_owned(), Tensor::f_cat(&features, 0)?));
    }
    crate::weights::write(out, tensors)?;
    Ok(Onward::Go)
}
