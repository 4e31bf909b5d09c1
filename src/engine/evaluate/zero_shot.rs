//! Zero-shot classification: the class whose prompts are closest to a picture.
//!
//! As open_clip does it: every class name goes through every template, the normalised text features are averaged
//! over the templates and normalised again; logits are 100 times the cosine to the image features.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data::Tokenizer;
use data::picture::Preprocess;
use data::zero_shot::ClassFolders;
use tch::{Kind, Tensor};

use super::{Unreadable, read_pictures};
use crate::model::{CoCa, ModelError, TextBatch, l2_normalise};

/// open_clip's fixed factor of zero-shot logits.
const LOGIT_FACTOR: f64 = 100.0;

/// Text rows in one pass through the text tower.
const TEXT_ROWS: usize = 512;

/// What came out. Shares are 0..1.
#[derive(Clone, Debug, Default)]
pub struct ZeroShot {
    /// Share of pictures whose class came first.
    pub top1: f64,
    /// Share of pictures whose class was among the first five.
    pub top5: f64,
    /// Pictures counted.
    pub n: usize,
    /// Pictures that could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl ZeroShot {
    /// As figures of an event.
    #[allow(clippy::cast_precision_loss)]
    pub fn figures(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([
            ("top1".to_owned(), self.top1),
            ("top5".to_owned(), self.top5),
            ("n".to_owned(), self.n as f64),
        ])
    }
}

/// The zero-shot classifier's weights `[d,classes]`.
///
/// # Errors
/// What model or libtorch said; a prompt that the tokenizer refuses.
pub fn classifier(model: &CoCa, tokenizer: &Tokenizer, set: &ClassFolders) -> Result<Tensor, ModelError> {
    let context = usize::try_from(model.config.text.context_length).unwrap_or(1);
    let templates = set.templates.len().max(1);
    let all: Vec<usize> = (0..set.classes.len()).collect();
    let mut columns = Vec::with_capacity(all.len());
    for classes in all.chunks((TEXT_ROWS / templates).max(1)) {
        let mut ids = Vec::with_capacity(classes.len() * templates * context);
        for prompt in classes.iter().flat_map(|class| set.prompts(*class)) {
            ids.extend(tokenizer.encode(&prompt, context).map_err(|e| ModelError::Tokens(e.to_string()))?);
        }
        let ids_bs = Tensor::f_from_slice(&ids)?.f_view([-1, context as i64])?;
        let features_bd = model.encode_text(&TextBatch::trimmed(&ids_bs, &model.config, model.device())?);
        let by_class = features_bd.f_view([classes.len() as i64, templates as i64, -1])?;
        columns.push(l2_normalise(&by_class.f_mean_dim([1i64].as_slice(), false, Kind::Float)?));
    }
    Ok(Tensor::f_cat(&columns, 0)?.f_tr()?)
}

/// Classifies every picture. `progress` hears (done, total) after each batch and may say false to end early.
///
/// # Errors
/// What model or libtorch said.
#[allow(clippy::cast_precision_loss)]
pub fn evaluate(
    model: &CoCa,
    tokenizer: &Tokenizer,
    preprocess: &Preprocess,
    set: &ClassFolders,
    batch: usize,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<ZeroShot, ModelError> {
    let weights_dc = classifier(model, tokenizer, set)?;
    let (mut first, mut among_five, mut done) = (0, 0, 0);
    let mut result = ZeroShot::default();
    for pictures in set.images.chunks(batch.max(1)) {
        let paths: Vec<PathBuf> = pictures.iter().map(|(name, _)| set.image(name)).collect();
        let (images, read, unreadable) = read_pictures(&paths, preprocess, model.device())?;
        result.unreadable.extend(unreadable);
        if let Some(image_bchw) = images {
            let features_bd = model.encode_image(&image_bchw)?.features_bd;
            let logits_bc = features_bd.f_matmul(&weights_dc)? * LOGIT_FACTOR;
            let k = (set.classes.len() as i64).min(5);
            let top_bk = logits_bc.f_topk(k, 1, true, true)?.1.f_to_device(tch::Device::Cpu)?;
            let top = <Vec<Vec<i64>>>::try_from(&top_bk)?;
            for (index, top) in read.into_iter().zip(top) {
                let class = pictures[index].1 as i64;
                first += usize::from(top.first() == Some(&class));
                among_five += usize::from(top.contains(&class));
                result.n += 1;
            }
        }
        done += pictures.len();
        if !progress(done, set.images.len()) {
            break;
        }
    }
    if result.n > 0 {
        result.top1 = f64::from(u32::try_from(first).unwrap_or(u32::MAX)) / result.n as f64;
        result.top5 = f64::from(u32::try_from(among_five).unwrap_or(u32::MAX)) / result.n as f64;
    }
    Ok(result)
}
