//! Retrieval of pictures by texts and of texts by pictures.

use std::path::PathBuf;

use run::serve::Reply;
use tch::Tensor;

use super::batches::{self, Pictures};
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, embed};
use crate::evaluate::retrieval;

/// Reports how well `texts` and `images` find each other.
pub(super) fn retrieve(
    served: &Served,
    images: Vec<PathBuf>,
    texts: &[String],
    image_of_text: &[u32],
    batch: u32,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    let (n, m) = (images.len(), texts.len());
    let (mut features, mut read) = (Vec::new(), vec![false; n]);
    let pictures = Pictures { images, batch, more: m, all: false };
    let onward = batches::each(served, pictures, work, |indices, image_bchw, _| {
        features.push(served.towers().images(image_bchw)?);
        for index in indices {
            if let Some(read) = read.get_mut(*index as usize) {
                *read = true;
            }
        }
        Ok(Onward::Go)
    })?;
    if onward == Onward::Cancelled {
        return Ok(onward);
    }

    // Pictures that cannot be read leave with their texts; those without a text leave too.
    let mut wanted = vec![false; read.len()];
    for image in image_of_text {
        if let Some(wanted) = wanted.get_mut(*image as usize) {
            *wanted = true;
        }
    }
    let (mut new_number, mut rows) = (vec![None; read.len()], Vec::new());
    let mut row = 0i64;
    for (image, read) in read.iter().enumerate() {
        if *read {
            if wanted[image] {
                new_number[image] = Some(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                rows.push(row);
            }
            row += 1;
        }
    }
    let (mut kept, mut owners) = (Vec::new(), Vec::new());
    for (text, image) in texts.iter().zip(image_of_text) {
        if let Some(number) = new_number.get(*image as usize).copied().flatten() {
            kept.push(text.clone());
            owners.push(number);
        }
    }
    if kept.is_empty() {
        return Err(ServeError::Nothing);
    }
    let rows = Tensor::f_from_slice(&rows)?.f_to_device(served.model.device())?;
    let images_nd = Tensor::f_cat(&features, 0)?.f_index_select(0, &rows)?;
    drop(features);
    let Some(texts_md) = embed::texts(served, &kept, batch, work, n as u64, (n + m) as u64)? else {
        return Ok(Onward::Cancelled);
    };
    let ranks = retrieval::ranks(&images_nd, &texts_md, &owners, |_, _| work.look() == Onward::Go)?;
    let Some(ranks) = ranks else { return Ok(Onward::Cancelled) };
    work.say(Reply::Retrieved { figures: ranks.figures() });
    Ok(Onward::Go)
}
