//! Retrieval of pictures by texts and of texts by pictures.

use std::path::PathBuf;

use run::serve::Reply;
use tch::{Kind, Tensor};

use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, batches, embed, pictures};
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
    let total = (images.len() + texts.len()) as u64;
    let batch = (batch as usize).max(1);
    let (mut first, mut size) = (0, batch);
    let (mut features, mut read) = (Vec::new(), vec![false; images.len()]);
    for group in pictures::ahead(images, served.preprocess.clone(), batch) {
        let readable = pictures::readable(&group, first, work);
        for (index, _) in &readable {
            if let Some(read) = read.get_mut(*index as usize) {
                *read = true;
            }
        }
        let onward = batches::in_pieces(readable.len(), &mut size, work, |range, _| {
            let numbers: Vec<&[f32]> = readable[range].iter().map(|(_, numbers)| *numbers).collect();
            let image_bchw = batches::tensor(&numbers, served.preprocess.side(), served.model.device())?;
            let encoded = tch::no_grad(|| served.model.encode_image(&image_bchw))?;
            features.push(encoded.features_bd.f_to_kind(Kind::Float)?);
            Ok(Onward::Go)
        })?;
        if onward == Onward::Cancelled {
            return Ok(onward);
        }
        first += group.len() as u64;
        work.say(Reply::Progress { done: first, total });
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
    let Some(texts_md) = embed::texts(served, &kept, batch, work, first, total)? else {
        return Ok(Onward::Cancelled);
    };
    let ranks = retrieval::ranks(&images_nd, &texts_md, &owners, |_, _| work.look() == Onward::Go)?;
    let Some(ranks) = ranks else { return Ok(Onward::Cancelled) };
    work.say(Reply::Retrieved { figures: ranks.figures() });
    Ok(Onward::Go)
}
