//! Captions of pictures.

use std::path::PathBuf;
use std::time::Instant;

use run::decoding::Decoding;
use run::serve::{Reply, Written};

use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, batches, pictures};
use crate::generate::stream::{self, Frame, Row};

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
    let prompt = match decoding.prompt.as_deref().filter(|p| !p.trim().is_empty()) {
        Some(prompt) => served.tokenizer.encode_ids(prompt)?.into_iter().map(i64::from).collect(),
        None => Vec::new(),
    };
    let frame = Frame { sot: served.tokenizer.sot(), eot: served.tokenizer.eot(), prompt };
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
            piece(served, &readable[range], decoding, &frame, stream, work)
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
    frame: &Frame,
    stream: bool,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    let start = Instant::now();
    let numbers: Vec<&[f32]> = pictures.iter().map(|(_, n)| *n).collect();
    let image_bchw = batches::tensor(&numbers, served.preprocess.side(), served.model.device())?;
    let tokens = tch::no_grad(|| served.model.encode_image(&image_bchw))?;
    let mut cancelled = false;
    let mut told = vec![String::new(); if stream { pictures.len() * per_picture(decoding) } else { 0 }];
    let rows = stream::write(&served.model, &tokens, decoding, frame, |rows| {
        let captions = (rows.len() / pictures.len().max(1)).max(1);
        for ((r, row), told) in rows.iter().enumerate().zip(&mut told) {
            let text = served.tokenizer.decode(&row.ids);
            if text != *told {
                let index = pictures.get(r / captions).map_or(0, |(index, _)| *index);
                told.clone_from(&text);
                work.say(Reply::Token { index, caption: u32::try_from(r % captions).unwrap_or(0), text });
            }
        }
        cancelled = work.look() == Onward::Cancelled;
        !cancelled
    })?;
    if cancelled {
        return Ok(Onward::Cancelled);
    }
    #[allow(clippy::cast_precision_loss)]
    let seconds = start.elapsed().as_secs_f64() / pictures.len().max(1) as f64;
    let captions = (rows.len() / pictures.len().max(1)).max(1);
    for ((index, _), rows) in pictures.iter().zip(rows.chunks(captions)) {
        let mut written: Vec<Written> = rows.iter().map(|row| self::written(served, row)).collect();
        written.sort_by(|a, b| b.score.unwrap_or(f64::MIN).total_cmp(&a.score.unwrap_or(f64::MIN)));
        work.say(Reply::Caption { index: *index, captions: written, seconds });
    }
    Ok(Onward::Go)
}

fn per_picture(decoding: &Decoding) -> usize {
    decoding.captions.max(1) as usize
}

fn written(served: &Served, row: &Row) -> Written {
    Written { text: served.tokenizer.decode(&row.ids), ids: row.ids.clone(), score: row.score() }
}
