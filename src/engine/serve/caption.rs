//! Captions of pictures.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use run::decoding::Decoding;
use run::serve::{Reply, Written};
use tch::Tensor;

use super::batches::{self, Pictures};
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work};
use crate::generate::{GenerateError, Generated, Progress, SpecialIds, fitting, generate};

/// Captions `images`, batch after batch.
pub(super) fn caption(
    served: &Served,
    images: Vec<PathBuf>,
    decoding: &Decoding,
    batch: u32,
    stream: bool,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    decoding.validate()?;
    served.model.lay_out_for_captions()?;
    let prompt: Vec<i64> = match decoding.prompt.as_deref().filter(|p| !p.trim().is_empty()) {
        Some(prompt) => served.tokenizer.encode_ids(prompt)?.into_iter().map(i64::from).collect(),
        None => Vec::new(),
    };
    let decoding = &fitting(decoding, &served.model);
    let pictures = Pictures { images, batch, more: 0, all: false };
    batches::each(served, pictures, work, |indices, image_bchw, work| {
        piece(served, indices, image_bchw, decoding, &prompt, stream, work)
    })
}

fn piece(
    served: &Served,
    indices: &[u64],
    image_bchw: &Tensor,
    decoding: &Decoding,
    prompt: &[i64],
    stream: bool,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    let start = Instant::now();
    let tokens = tch::no_grad(|| served.model.encode_image(image_bchw))?;
    let special = SpecialIds { sot: served.tokenizer.sot(), eot: served.tokenizer.eot() };
    let each = decoding.captions as usize;
    let mut told = vec![vec![String::new(); each]; if stream { indices.len() } else { 0 }];
    let mut on_step = |progress: &Progress| {
        for ((texts, told), index) in progress.texts.iter().zip(&mut told).zip(indices) {
            for ((caption, ids), told) in (0u32..).zip(texts).zip(told) {
                let text = served.tokenizer.decode(ids);
                if text != *told {
                    told.clone_from(&text);
                    work.say(Reply::Token { index: *index, caption, text });
                }
            }
        }
        match work.look() {
            Onward::Go => ControlFlow::Continue(()),
            Onward::Cancelled => ControlFlow::Break(()),
        }
    };
    let texts = match generate(&served.model, &tokens, special, prompt, decoding, &mut on_step) {
        Err(GenerateError::Cancelled) => return Ok(Onward::Cancelled),
        other => other?,
    };
    #[allow(clippy::cast_precision_loss)]
    let seconds = start.elapsed().as_secs_f64() / indices.len().max(1) as f64;
    for (index, texts) in indices.iter().zip(texts) {
        let captions = texts.into_iter().map(|text| written(served, text)).collect();
        work.say(Reply::Caption { index: *index, captions, seconds });
    }
    Ok(Onward::Go)
}

fn written(served: &Served, text: Generated) -> Written {
    Written { text: served.tokenizer.decode(&text.ids), ids: text.ids, score: Some(text.score) }
}
