//! Zero-shot classification: the class whose prompts are closest to a picture.
//!
//! As open_clip does it: every class name goes through every template, the normalised text features are averaged
//! over the templates and normalised again; logits are 100 times the cosine to the image features.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data::Tokenizer;
use data::picture::Preprocess;
use data::scores::classes::ClassScores;
use data::zero_shot::ClassFolders;
use tch::{Device, Kind, Tensor};

use super::{Towers, Unreadable, pictures};
use crate::model::{CoCa, ModelError, TextBatch, l2_normalise};
use crate::parallel::Mesh;

/// open_clip's fixed factor of zero-shot logits.
const LOGIT_FACTOR: f64 = 100.0;

/// Classes of a picture that are looked at: top-5 needs so many.
const TOP: i64 = 5;

/// Text rows in one pass through the text tower.
const TEXT_ROWS: usize = 512;

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct ZeroShot {
    /// The answers, counted.
    pub scores: ClassScores,
    /// Pictures that could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl ZeroShot {
    /// As figures of an event: "top1" and "top5", shares 0..1, and "n", the pictures counted.
    #[allow(clippy::cast_precision_loss)]
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let total = self.scores.total();
        BTreeMap::from([
            ("top1".to_owned(), total.top1()),
            ("top5".to_owned(), total.top5()),
            ("n".to_owned(), total.n as f64),
        ])
    }
}

/// The zero-shot classifier's weights `[d,classes]`, from the prompts of each class. `hear` is told how many prompts of
/// all are done, and may say false to give up (then there is none).
///
/// Prompts of like length go together, so that hardly a padding column is computed. The ranks of `mesh` share them, and
/// all have the whole classifier in the end.
///
/// # Errors
/// What model or libtorch said; a prompt that the tokenizer refuses; a class without prompts.
pub fn classifier(
    towers: Towers,
    tokenizer: &Tokenizer,
    prompts: &[Vec<String>],
    mesh: &Mesh,
    mut hear: impl FnMut(usize, usize) -> bool,
) -> Result<Option<Tensor>, ModelError> {
    let model = towers.model;
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
    let shape = [prompts.len() as i64, model.config.embed_dim];
    let mut sums_cd = Tensor::f_zeros(shape, (Kind::Float, model.device()))?;
    let mut done = 0;
    // Where several share them, each has some of every length.
    let rows_at_once = TEXT_ROWS.min(rows.len().div_ceil(mesh.size()));
    for (at, rows_of_batch) in rows.chunks(rows_at_once).enumerate() {
        if at % mesh.size() != mesh.rank() {
            continue;
        }
        let ids: Vec<i64> = rows_of_batch.iter().flat_map(|(.., ids)| ids.iter().copied()).collect();
        let classes: Vec<i64> = rows_of_batch.iter().map(|(_, class, _)| *class).collect();
        let ids_bs = Tensor::f_from_slice(&ids)?.f_view([-1, context as i64])?;
        let text = TextBatch::trimmed(&ids_bs, &model.config, model.device())?;
        let features_bd = towers.texts(&text)?;
        let classes_b = Tensor::f_from_slice(&classes)?.f_to_device(model.device())?;
        sums_cd = sums_cd.f_index_add(0, &classes_b, &features_bd)?;
        done += rows_of_batch.len();
        if !hear(done, rows.len()) {
            return Ok(None);
        }
    }
    mesh.sum(&mut sums_cd).map_err(|e| ModelError::Tokens(e.to_string()))?;
    // The mean and the sum have the same direction.
    Ok(Some(l2_normalise(&sums_cd).f_tr()?))
}

/// Logits of image features `[b,d]` for a classifier `[d,classes]`: `[b,classes]`.
///
/// # Errors
/// What libtorch said.
pub fn logits(features_bd: &Tensor, weights_dc: &Tensor) -> Result<Tensor, tch::TchError> {
    Ok(features_bd.f_to_kind(Kind::Float)?.f_matmul(weights_dc)? * LOGIT_FACTOR)
}

/// The `keep` likeliest classes of image features `[b,d]`, the likeliest first, with their logits.
///
/// # Errors
/// What libtorch said.
pub fn likeliest(
    features_bd: &Tensor,
    weights_dc: &Tensor,
    keep: i64,
) -> Result<Vec<Vec<(u32, f32)>>, tch::TchError> {
    let classes = weights_dc.size().last().copied().unwrap_or(0);
    let (logits_bk, classes_bk) =
        logits(features_bd, weights_dc)?.f_topk(keep.clamp(1, classes.max(1)), 1, true, true)?;
    let logits = <Vec<Vec<f32>>>::try_from(&logits_bk.f_to_device(Device::Cpu)?)?;
    let classes = <Vec<Vec<i64>>>::try_from(&classes_bk.f_to_device(Device::Cpu)?)?;
    let number = |class: i64| u32::try_from(class).unwrap_or(u32::MAX);
    let pairs = classes.into_iter().zip(logits);
    Ok(pairs.map(|(classes, logits)| classes.into_iter().map(number).zip(logits).collect()).collect())
}

/// Classifies every picture. `hear` is told (done, total) after each batch and may say false to end early.
///
/// # Errors
/// What model or libtorch said.
pub fn evaluate(
    model: &CoCa,
    tokenizer: &Tokenizer,
    preprocess: &Preprocess,
    set: &ClassFolders,
    batch: usize,
    mut hear: impl FnMut(usize, usize) -> bool,
) -> Result<ZeroShot, ModelError> {
    let mut result = ZeroShot { scores: ClassScores::new(set.classes.len()), unreadable: Vec::new() };
    let total = set.images.len();
    let towers = Towers { model, precision: None };
    let Some(weights_dc) =
        classifier(towers, tokenizer, &set.all_prompts(), &Mesh::alone(), |_, _| hear(0, total))?
    else {
        return Ok(result);
    };
    let paths: Vec<PathBuf> = set.images.iter().map(|(name, _)| set.image(name)).collect();
    let mut done = 0;
    for group in pictures::ahead(paths, preprocess.clone(), batch) {
        let (mut right, mut readable) = (Vec::new(), Vec::new());
        for (decoded, (name, class)) in group.iter().zip(set.images.iter().skip(done)) {
            match decoded {
                Ok(numbers) => {
                    right.push(u32::try_from(*class).unwrap_or(u32::MAX));
                    readable.push(numbers.as_slice());
                }
                Err(why) => {
                    result.unreadable.push(Unreadable { path: set.image(name), why: why.clone() });
                }
            }
        }
        if !readable.is_empty() {
            let image_bchw = pictures::tensor(&readable, preprocess.side(), model.device())?;
            let features_bd = towers.images(&image_bchw)?;
            for (class, top) in right.into_iter().zip(likeliest(&features_bd, &weights_dc, TOP)?) {
                result.scores.add(class, top.into_iter().map(|(class, _)| class));
            }
        }
        done += group.len();
        if !hear(done, total) {
            break;
        }
    }
    Ok(result)
}
