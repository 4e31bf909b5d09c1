//! Features of pictures and texts, in one file.

use std::path::{Path, PathBuf};

use run::serve::Reply;
use tch::{Device, Tensor};

use super::batches::{self, Pictures};
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work};
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
    let (done, total) = (images.len() as u64, (images.len() + texts.len()) as u64);
    let mut features = Vec::new();
    let pictures = Pictures { images, batch, more: texts.len(), all: true };
    let onward = batches::each(served, pictures, work, |_, image_bchw, _| {
        features.push(served.towers().images(image_bchw)?.f_to_device(Device::Cpu)?);
        Ok(Onward::Go)
    })?;
    if onward == Onward::Cancelled {
        return Ok(onward);
    }
    let mut tensors = Vec::new();
    if !features.is_empty() {
        tensors.push(("image_features".to_owned(), Tensor::f_cat(&features, 0)?));
    }
    if !texts.is_empty() {
        let Some(found) = self::texts(served, texts, batch, work, done, total)? else {
            return Ok(Onward::Cancelled);
        };
        tensors.push(("text_features".to_owned(), found.f_to_device(Device::Cpu)?));
    }
    crate::weights::write(out, tensors)?;
    Ok(Onward::Go)
}

/// Features of texts, float32 `[m,d]` on the model's device, for one text at least; none when it was cancelled. Progress
/// counts from `done` of `total`.
pub(super) fn texts(
    served: &Served,
    texts: &[String],
    batch: u32,
    work: &mut Work,
    mut done: u64,
    total: u64,
) -> Result<Option<Tensor>, ServeError> {
    let context = served.model.config.text.context_length;
    let mut size = (batch as usize).max(1);
    let mut features = Vec::new();
    for group in texts.chunks(size) {
        let onward = batches::in_pieces(group.len(), &mut size, work, |range, _| {
            let mut ids = Vec::new();
            for text in &group[range] {
                ids.extend(served.tokenizer.encode(text, usize::try_from(context).unwrap_or(1))?);
            }
            let ids_bs = Tensor::f_from_slice(&ids)?.f_view([-1, context])?;
            let text = TextBatch::trimmed(&ids_bs, &served.model.config, served.model.device())?;
            features.push(served.towers().texts(&text)?);
            Ok(Onward::Go)
        })?;
        if onward == Onward::Cancelled {
            return Ok(None);
        }
        done += group.len() as u64;
        work.say(Reply::Progress { done, total });
    }
    Ok(Some(Tensor::f_cat(&features, 0)?))
}
