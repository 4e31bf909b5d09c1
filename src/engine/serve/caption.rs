//! Captions of pictures.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use run::decoding::Decoding;
use run::serve::{Reply, Written};

use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, batches, pictures};
use crate::generate::{GenerateError, Generated, Progress, SpecialIds, generate};

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
    let prompt: Vec<i64> = match decoding.prompt.as_deref().filter(|p| !p.trim().is_empty()) {
        Some(prompt) => served.tokenizer.encode_ids(prompt)?.into_iter().map(i64::from).collect(),
        None => Vec::new(),
    };
    // A model of a short context writes what it can; the default length is a long one's.
    let longest = u32::try_from(served.model.config.text.context_length + 1).unwrap_or(u32::MAX);
    let max_len = decoding.max_len.min(longest);
    let min_len = decoding.min_len.min(max_len.saturating_sub(1));
    let decoding = &Decoding { max_len, min_len, ..decoding.clone() };
    let total = images.len() as u64;
    let batch = (batch as usize).max(1);
    let (mut first, mut size) = (0, batch);
    for group in pictures::ahead(images, served.preprocess.clone(), batch) {
        let mut readable = Vec::with_capacity(group.len());
        for (i, decoded) in group.iter().enumerate() {
            match decoded {
                Ok(numbers) => readable.push((first + i as u64, numbers.as_slice())),
                Err(why) => work.say(Reply::Unreadable { index: first + i as u64, why: why.clone() }),
            }
        }
        let onward = batches::in_pieces(readable.len(), &mut size, work, |range, work| {
            piece(served, &readable[range], decoding, &prompt, stream, work)
        })?;
        if onward == Onward::Cancelled {
            return Ok(onward);
        }
        first += group.len() as u64;
        work.say(Reply::Progress { done: first, total });
    }
    Ok(Onward::Go)
}

fn piece(
    served: &Served,
    pictures: &[(u64, &[f32])],
    decoding: &Decoding,
    prompt: &[i64],
    stream: bool,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    let start = Instant::now();
    let numbers: Vec<&[f32]> = pictures.iter().map(|(_, n)| *n).collect();
    let image_bchw = batches::tensor(&numbers, served.preprocess.side(), served.model.device())?;
    let tokens = tch::no_grad(|| served.model.encode_image(&image_bchw))?;
    let special = SpecialIds { sot: served.tokenizer.sot(), eot: served.tokenizer.eot() };
    let mut told = vec![String::new(); if stream { pictures.len() } else { 0 }];
    let mut on_step = |progress: &Progress| {
        for ((ids, told), (index, _)) in progress.best.iter().zip(&mut told).zip(pictures) {
            let text = served.tokenizer.decode(ids);
            if text != *told {
                told.clone_from(&text);
                work.say(Reply::Token { index: *index, caption: 0, text });
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
    let seconds = start.elapsed().as_secs_f64() / pictures.len().max(1) as f64;
    for ((index, _), texts) in pictures.iter().zip(texts) {
        let captions = texts.into_iter().map(|text| written(served, text)).collect();
        work.say(Reply::Caption { index: *index, captions, seconds });
    }
    Ok(Onward::Go)
}

fn written(served: &Served, text: Generated) -> Written {
    Written { text: served.tokenizer.decode(&text.ids), ids: text.ids, score: Some(text.score) }
}
