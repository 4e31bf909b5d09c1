//! Retrieval of pictures by texts and of texts by pictures.

use std::collections::HashMap;
use std::path::PathBuf;

use run::serve::{Reply, Way};
use tch::{Kind, Tensor};

use super::batches::{self, Pictures};
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work, embed};
use crate::evaluate::retrieval;

/// Pictures, and texts, whose ranks are worst: of so many is told what they find.
const WORST: usize = 2000;

/// How much of what they find.
const FIRST: i64 = 5;

/// Ranks in one line to whoever asked.
const LINE: usize = 8192;

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
    let (d, device) = (served.model.config.embed_dim, served.model.device());
    let mut images_nd = Tensor::f_zeros([n as i64, d], (Kind::Float, device))?;
    let mut read = vec![0i64; n];
    let pictures = Pictures { images, batch, more: m, all: false };
    let onward = batches::each(served, pictures, work, |indices, image_bchw, _| {
        let features_bd = served.towers().images(image_bchw)?;
        let rows: Vec<i64> = indices.iter().filter_map(|i| i64::try_from(*i).ok()).collect();
        let rows_b = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
        let _ = images_nd.f_index_copy_(0, &rows_b, &features_bd)?;
        for index in indices {
            if let Some(read) = read.get_mut(*index as usize) {
                *read = 1;
            }
        }
        Ok(Onward::Go)
    })?;
    if onward == Onward::Cancelled {
        return Ok(onward);
    }

    // Each process has its own rows, and zeros elsewhere.
    served.mesh.sum(&mut images_nd)?;
    let mut all_read = Tensor::f_from_slice(&read)?;
    served.mesh.sum(&mut all_read)?;
    let read = Vec::<i64>::try_from(&all_read)?;

    // Pictures that cannot be read leave with their texts; those without a text leave too.
    let mut wanted = vec![false; n];
    for image in image_of_text {
        if let Some(wanted) = wanted.get_mut(*image as usize) {
            *wanted = true;
        }
    }
    let (mut new_number, mut rows) = (vec![None; n], Vec::new());
    for (image, (read, wanted)) in read.iter().zip(wanted).enumerate() {
        if *read > 0 && wanted {
            new_number[image] = Some(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            rows.push(image as i64);
        }
    }
    let (mut kept, mut owners, mut of_texts) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (text, image)) in texts.iter().zip(image_of_text).enumerate() {
        if let Some(number) = new_number.get(*image as usize).copied().flatten() {
            kept.push(text.clone());
            owners.push(number);
            of_texts.push(at as i64);
        }
    }
    if kept.is_empty() {
        return Err(ServeError::Nothing);
    }
    let images_nd = images_nd.f_index_select(0, &Tensor::f_from_slice(&rows)?.f_to_device(device)?)?;
    let Some(texts_md) = texts_of(served, &kept, batch, work, (n, m))? else {
        return Ok(Onward::Cancelled);
    };
    let mesh = &served.mesh;
    let ranks = retrieval::ranks(&images_nd, &texts_md, &owners, mesh, |_, _| work.look() == Onward::Go)?;
    let Some(ranks) = ranks else { return Ok(Onward::Cancelled) };
    if mesh.is_first() {
        let (images, texts) = ((&images_nd, &rows[..]), (&texts_md, &of_texts[..]));
        tell(Way::Image, &ranks.of_images, images, texts, work)?;
        tell(Way::Text, &ranks.of_texts, texts, images, work)?;
        work.say(Reply::Retrieved { figures: ranks.figures() });
    }
    Ok(Onward::Go)
}

/// Tells all ranks of one way, and what the worst find. Features go with their numbers in the request.
fn tell(
    of: Way,
    ranks: &[i64],
    (own_nd, own): (&Tensor, &[i64]),
    (among_md, among): (&Tensor, &[i64]),
    work: &mut Work,
) -> Result<(), retrieval::RetrievalError> {
    let number = |of: &[i64], at: i64| {
        usize::try_from(at).ok().and_then(|at| of.get(at)).and_then(|n| u64::try_from(*n).ok()).unwrap_or(0)
    };
    let rank = |rank: &i64| u64::try_from(rank + 1).unwrap_or(0);
    for (ranks, own) in ranks.chunks(LINE).zip(own.chunks(LINE)) {
        let ranks = own.iter().map(|n| u64::try_from(*n).unwrap_or(0)).zip(ranks.iter().map(rank)).collect();
        work.say(Reply::Ranks { of, ranks });
    }
    let mut worst: Vec<i64> = (0..ranks.len() as i64).collect();
    worst.sort_by_key(|at| std::cmp::Reverse(usize::try_from(*at).ok().and_then(|at| ranks.get(at))));
    worst.truncate(WORST);
    for (at, top) in worst.iter().zip(retrieval::first(own_nd, among_md, &worst, FIRST)?) {
        let top = top.into_iter().map(|(which, score)| (number(among, which), score)).collect();
        work.say(Reply::Found { of, index: number(own, *at), top });
    }
    Ok(())
}

/// Features of all texts `[m,d]`; each process computes its own part. The same text is computed once, so that it scores the
/// same wherever it stands; texts of like length go together, so that hardly a padding column is computed.
fn texts_of(
    served: &Served,
    texts: &[String],
    batch: u32,
    work: &mut Work,
    (images, total): (usize, usize),
) -> Result<Option<Tensor>, ServeError> {
    let mut numbers: HashMap<&str, i64> = HashMap::new();
    let (mut distinct, mut rows) = (Vec::new(), Vec::with_capacity(texts.len()));
    for text in texts {
        rows.push(*numbers.entry(text).or_insert_with(|| {
            distinct.push(text);
            distinct.len() as i64 - 1
        }));
    }
    let (rank, ranks) = (served.mesh.rank(), served.mesh.size());
    let mut order: Vec<(usize, &String)> = distinct.into_iter().enumerate().collect();
    let count = order.len() as i64;
    order.sort_by_key(|(i, text)| (text.len(), *i));
    let own = order.into_iter().skip(rank).step_by(ranks);
    let (own, own_texts): (Vec<i64>, Vec<String>) = own.map(|(i, text)| (i as i64, text.clone())).unzip();
    let (d, device) = (served.model.config.embed_dim, served.model.device());
    let mut distinct_kd = Tensor::f_zeros([count, d], (Kind::Float, device))?;
    if !own.is_empty() {
        let (done, total) = ((images / ranks) as u64, (images + total) as u64);
        let Some(features_bd) = embed::texts(served, &own_texts, batch, work, done, total)? else {
            return Ok(None);
        };
        let own_b = Tensor::f_from_slice(&own)?.f_to_device(device)?;
        let _ = distinct_kd.f_index_copy_(0, &own_b, &features_bd)?;
    }
    served.mesh.sum(&mut distinct_kd)?;
    Ok(Some(distinct_kd.f_index_select(0, &Tensor::f_from_slice(&rows)?.f_to_device(device)?)?))
}
