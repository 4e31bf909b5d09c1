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

/// The zero-shot classifier's weights `[d,classes]`, from the prompts of each class. `hear` is told how many prompts of
/// all are done, and may say false to give up (then there is none).
///
/// Prompts of like length go together, so that hardly a padding column is computed.
///
/// # Errors
/// What model or libtorch said; a prompt that the tokenizer refuses; a class without prompts.
pub fn classifier(
    model: &CoCa,
    tokenizer: &Tokenizer,
    prompts: &[Vec<String>],
    mut hear: impl FnMut(usize, usize) -> bool,
) -> Result<Option<Tensor>, ModelError> {
    let context = usize::try_from(model.config.text.context_length).unwrap_or(1);
    let mut rows = Vec::new();
    for (class, prompts) in prompts.iter().enumerate() {
        if prompts.is_empty() {
            return Err(ModelError::Tokens(format!("class {class} has no prompt")));
        }
        for prompt in prompts {
            let mut ids = vec![0; context];
            let length =
                tokenizer.encode_into(prompt, &mut ids).map_err(|e| ModelError::Tokens(e.to_string()))?;
            rows.push((length.min(context), class as i64, ids));
        }
    }
    if rows.is_empty() {
        return Err(ModelError::Tokens("there is no class".to_owned()));
    }
    rows.sort_by_key(|(length, class, _)| (*length, *class));
    let mut sums_cd: Option<Tensor> = None;
    let mut done = 0;
    for rows_of_batch in rows.chunks(TEXT_ROWS) {
        let ids: Vec<i64> = rows_of_batch.iter().flat_map(|(.., ids)| ids.iter().copied()).collect();
        let classes: Vec<i64> = rows_of_batch.iter().map(|(_, class, _)| *class).collect();
        let ids_bs = Tensor::f_from_slice(&ids)?.f_view([-1, context as i64])?;
        let text = TextBatch::trimmed(&ids_bs, &model.config, model.device())?;
        let features_bd = tch::no_grad(|| model.encode_text(&text)).f_to_kind(Kind::Float)?;
        let sums = match sums_cd.take() {
            Some(sums) => sums,
            None => {
                let d = features_bd.size().last().copied().unwrap_or(0);
                Tensor::f_zeros([prompts.len() as i64, d], (Kind::Float, model.device()))?
            }
        };
        let classes_b = Tensor::f_from_slice(&classes)?.f_to_device(model.device())?;
        sums_cd = Some(sums.f_index_add(0, &classes_b, &features_bd)?);
        done += rows_of_batch.len();
        if !hear(done, rows.len()) {
            return Ok(None);
        }
    }
    // The mean and the sum have the same direction.
    sums_cd.map(|sums| Ok(l2_normalise(&sums).f_tr()?)).transpose()
}

/// Logits of image features `[b,d]` for a classifier `[d,classes]`: `[b,classes]`.
///
/// # Errors
/// What libtorch said.
pub fn logits(features_bd: &Tensor, weights_dc: &Tensor) -> Result<Tensor, tch::TchError> {
    Ok(features_bd.f_to_kind(Kind::Float)?.f_matmul(weights_dc)? * LOGIT_FACTOR)
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
    let prompts: Vec<Vec<String>> =
        (0..set.classes.len()).map(|class| set.prompts(class).collect()).collect();
    let Some(weights_dc) = classifier(model, tokenizer, &prompts, |_, _| true)? else {
        return Ok(ZeroShot::default());
    };
    let (mut first, mut among_five, mut done) = (0, 0, 0);
    let mut result = ZeroShot::default();
    for pictures in set.images.chunks(batch.max(1)) {
        let paths: Vec<PathBuf> = pictures.iter().map(|(name, _)| set.image(name)).collect();
        let (images, read, unreadable) = read_pictures(&paths, preprocess, model.device())?;
        result.unreadable.extend(unreadable);
        if let Some(image_bchw) = images {
            let features_bd = model.encode_image(&image_bchw)?.features_bd;
            let logits_bc = logits(&features_bd, &weights_dc)?;
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
