//! Retrieval: how high the right text stands among all texts of a picture, and the right picture among all pictures of
//! a text.
//!
//! The definition is CLIP_benchmark's: R@k of pictures is the share of pictures with at least one of their texts among
//! the first k. Ranks count what scores strictly higher. Scores are computed in blocks, so that memory grows with the
//! number of pictures and texts, not with their product.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::parallel::Mesh;
use crate::{device, shim};

/// Scores that are held at once.
const BLOCK: usize = 1 << 24;

/// Ranks of both directions, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// For each picture, how many texts stand before its best one.
    pub of_images: Vec<i64>,
    /// For each text, how many pictures stand before its own.
    pub of_texts: Vec<i64>,
}

/// Why ranks cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// The numbers do not fit together.
    #[error("retrieval: {0}")]
    Shape(String),
    /// The processes that share the work cannot reach one another.
    #[error(transparent)]
    Parallel(#[from] crate::parallel::ParallelError),
    /// libtorch refused a product.
    #[error(transparent)]
    Torch(#[from] shim::TorchError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// Ranks for image features `[n,d]` and text features `[m,d]` on one device, where text j belongs to image
/// `image_of_text[j]`. The ranks of `mesh` share the rows, and all have all ranks in the end. `hear` is told rows done of
/// all, and may say false to give up (then there are none).
///
/// # Errors
/// [`RetrievalError::Shape`] when a text belongs to no image, or an image has no text; what libtorch said.
pub fn ranks(
    images_nd: &Tensor,
    texts_md: &Tensor,
    image_of_text: &[u32],
    mesh: &Mesh,
    mut hear: impl FnMut(usize, usize) -> bool,
) -> Result<Option<Ranks>, RetrievalError> {
    let (n, m) = (rows(images_nd), rows(texts_md));
    let shape = |said: String| Err(RetrievalError::Shape(said));
    if image_of_text.len() != m {
        return shape(format!("{} texts and {m} rows of features", image_of_text.len()));
    }
    let mut texts_of: Vec<Vec<i64>> = vec![Vec::new(); n];
    for (text, image) in image_of_text.iter().enumerate() {
        match texts_of.get_mut(*image as usize) {
            Some(texts) => texts.push(text as i64),
            None => return shape(format!("text {text} belongs to image {image}, and there are {n}")),
        }
    }
    if let Some(image) = texts_of.iter().position(Vec::is_empty) {
        return shape(format!("image {image} has no text"));
    }
    let device = images_nd.device();
    let index = |of: &[i64]| Tensor::f_from_slice(of)?.f_to_device(device);
    let mut ranks = Ranks::default();

    let block = (BLOCK / m.max(1)).max(1);
    for (at, from) in (0..n).step_by(block).enumerate() {
        let to = n.min(from + block);
        if at % mesh.size() != mesh.rank() {
            ranks.of_images.resize(to, 0);
            continue;
        }
        let some_bd = images_nd.f_narrow(0, from as i64, (to - from) as i64)?;
        let scores_bm = shim::linear(&some_bd, texts_md, None)?;
        let own = &texts_of[from..to];
        let of_row: Vec<i64> =
            (0i64..).zip(own).flat_map(|(row, texts)| texts.iter().map(move |_| row)).collect();
        let of_column: Vec<i64> = own.iter().flatten().copied().collect();
        let of_row = index(&of_row)?;
        let right_k = scores_bm.f_index(&[Some(&of_row), Some(&index(&of_column)?)])?;
        let lowest_b = Tensor::f_full([(to - from) as i64], f64::NEG_INFINITY, (Kind::Float, device))?;
        let best_b = lowest_b.f_index_reduce(0, &of_row, &right_k, "amax", true)?;
        ranks.of_images.extend(higher(&scores_bm, &best_b)?);
        if !hear(to, n + m) {
            return Ok(None);
        }
    }

    let own: Vec<i64> = image_of_text.iter().map(|image| i64::from(*image)).collect();
    let block = (BLOCK / n.max(1)).max(1);
    for (at, from) in (0..m).step_by(block).enumerate() {
        let to = m.min(from + block);
        if at % mesh.size() != mesh.rank() {
            ranks.of_texts.resize(to, 0);
            continue;
        }
        let some_bd = texts_md.f_narrow(0, from as i64, (to - from) as i64)?;
        let scores_bn = shim::linear(&some_bd, images_nd, None)?;
        let right_b =
            scores_bn.f_gather(1, &index(&own[from..to])?.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
        ranks.of_texts.extend(higher(&scores_bn, &right_b)?);
        if !hear(n + to, n + m) {
            return Ok(None);
        }
    }
    for ranks in [&mut ranks.of_images, &mut ranks.of_texts] {
        let mut all = Tensor::f_from_slice(ranks)?;
        mesh.sum(&mut all)?;
        *ranks = Vec::try_from(&all)?;
    }
    Ok(Some(ranks))
}

/// What some of the queries `[n,d]` find among `[m,d]`: for each of `rows` the `keep` that stand first, with their scores.
///
/// # Errors
/// What libtorch said.
pub fn first(
    queries_nd: &Tensor,
    among_md: &Tensor,
    rows: &[i64],
    keep: i64,
) -> Result<Vec<Vec<(i64, f32)>>, RetrievalError> {
    let m = self::rows(among_md).max(1);
    let keep = keep.clamp(1, m as i64);
    let mut all = Vec::with_capacity(rows.len());
    for some in rows.chunks((BLOCK / m).max(1)) {
        let some_b = Tensor::f_from_slice(some)?.f_to_device(queries_nd.device())?;
        // The same product as the ranks have, so that both agree where scores are nearly equal.
        let scores_bm = shim::linear(&queries_nd.f_index_select(0, &some_b)?, among_md, None)?;
        let (scores_bk, which_bk) = scores_bm.f_topk(keep, 1, true, true)?;
        let scores = <Vec<Vec<f32>>>::try_from(&scores_bk.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?)?;
        let which = <Vec<Vec<i64>>>::try_from(&which_bk.f_to_device(Device::Cpu)?)?;
        all.extend(which.into_iter().zip(scores).map(|(which, s)| which.into_iter().zip(s).collect()));
    }
    Ok(all)
}

impl Ranks {
    /// As figures: `image_to_text_R@1` and so on.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (way, ranks) in [("image_to_text", &self.of_images), ("text_to_image", &self.of_texts)] {
            for k in [1, 5, 10] {
                let among = ranks.iter().filter(|rank| **rank < k).count();
                figures.insert(format!("{way}_R@{k}"), share(among as f64, ranks.len()));
            }
            let sum: f64 = ranks.iter().map(|rank| (*rank + 1) as f64).sum();
            figures.insert(format!("{way}_mean_rank"), share(sum, ranks.len()));
            figures.insert(format!("{way}_median_rank"), median(ranks));
        }
        figures.insert("images".to_owned(), self.of_images.len() as f64);
        figures.insert("texts".to_owned(), self.of_texts.len() as f64);
        figures
    }
}

fn share(part: f64, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part / of as f64 }
}

/// The median rank from 1, rounded down as open_clip does.
fn median(ranks: &[i64]) -> f64 {
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match (sorted.get(middle.saturating_sub(1)), sorted.get(middle)) {
        (Some(a), Some(b)) if sorted.len().is_multiple_of(2) => ((a + b) / 2 + 1) as f64,
        (_, Some(b)) => (b + 1) as f64,
        _ => 0.0,
    }
}

fn rows(features: &Tensor) -> usize {
    usize::try_from(features.size().first().copied().unwrap_or(0)).unwrap_or(0)
}

/// For each row of `[b,k]`, how many scores are above `[b]`.
fn higher(scores_bk: &Tensor, than_b: &Tensor) -> Result<Vec<i64>, tch::TchError> {
    if scores_bk.device() == Device::Cpu && scores_bk.kind() == Kind::Float {
        let mut scores = vec![0f32; scores_bk.numel()];
        scores_bk.f_copy_data(&mut scores, scores_bk.numel())?;
        return Ok(count(&scores, &<Vec<f32>>::try_from(than_b)?));
    }
    let above = scores_bk.f_gt_tensor(&than_b.f_unsqueeze(1)?)?;
    let counts = above.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)?;
    Vec::try_from(&counts.f_to_device(Device::Cpu)?)
}

/// The same for numbers in memory: libtorch goes over a block three times, with sums of 64 bits, and takes longer for
/// it than for the scores.
fn count(scores_bk: &[f32], than_b: &[f32]) -> Vec<i64> {
    let columns = (scores_bk.len() / than_b.len().max(1)).max(1);
    let row = |(scores, than): (&[f32], &f32)| {
        // Sums that one row cannot fill.
        let sum: u32 = scores.iter().map(|score| u32::from(score > than)).sum();
        i64::from(sum)
    };
    let some = |scores: &[f32], than: &[f32]| scores.chunks(columns).zip(than).map(row).collect::<Vec<_>>();
    let share = than_b.len().div_ceil(device::num_threads()).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = scores_bk
            .chunks(share * columns)
            .zip(than_b.chunks(share))
            .map(|(scores, than)| (scope.spawn(move || some(scores, than)), scores, than))
            .collect();
        let join = |(part, scores, than): (std::thread::ScopedJoinHandle<_>, _, _)| {
            part.join().unwrap_or_else(|_| some(scores, than))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ranks by sorting everything, one query at a time.
    fn plain(images: &[Vec<f32>], texts: &[Vec<f32>], image_of_text: &[u32]) -> Ranks {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let of_images = images.iter().enumerate().map(|(i, image)| {
            let own = |j: usize| image_of_text[j] as usize == i;
            let best =
                (0..texts.len()).filter(|j| own(*j)).map(|j| dot(image, &texts[j])).fold(f32::MIN, f32::max);
            texts.iter().filter(|text| dot(image, text) > best).count() as i64
        });
        let of_texts = texts.iter().zip(image_of_text).map(|(text, own)| {
            let right = dot(&images[*own as usize], text);
            images.iter().filter(|image| dot(image, text) > right).count() as i64
        });
        Ranks { of_images: of_images.collect(), of_texts: of_texts.collect() }
    }

    proptest! {
        #[test]
        fn blocks_give_what_sorting_gives(
            captions in prop::collection::vec(1usize..4, 1..9),
            seed in prop::collection::vec(-8i8..8, 300),
        ) {
            // Whole numbers: sums are exact whatever their order.
            let mut numbers = seed.iter().cycle();
            let mut row = || (0..5).map(|_| f32::from(*numbers.next().unwrap())).collect::<Vec<f32>>();
            let images: Vec<Vec<f32>> = captions.iter().map(|_| row()).collect();
            let image_of_text: Vec<u32> =
                (0u32..).zip(&captions).flat_map(|(i, n)| std::iter::repeat_n(i, *n)).collect();
            let texts: Vec<Vec<f32>> = image_of_text.iter().map(|_| row()).collect();
            let tensor = |rows: &[Vec<f32>]| Tensor::from_slice(&rows.concat()).view([-1, 5]);
            let found = ranks(&tensor(&images), &tensor(&texts), &image_of_text, &Mesh::alone(), |_, _| true).unwrap().unwrap();
            prop_assert_eq!(&found, &plain(&images, &texts, &image_of_text));
            // What a picture finds first scores as high as its rank says.
            let rows: Vec<i64> = (0..images.len() as i64).collect();
            let all = first(&tensor(&images), &tensor(&texts), &rows, texts.len() as i64).unwrap();
            for (i, (top, rank)) in all.iter().zip(&found.of_images).enumerate() {
                prop_assert!(top.windows(2).all(|two| two[0].1 >= two[1].1) && top.len() == texts.len());
                let best = top.iter().find(|(text, _)| image_of_text[*text as usize] as usize == i).unwrap().1;
                prop_assert_eq!(top.iter().filter(|(_, score)| *score > best).count() as i64, *rank);
            }
        }
    }

    #[test]
    fn figures_and_faults() {
        let found = Ranks { of_images: vec![0, 3, 9, 20], of_texts: vec![0, 0, 7] };
        let figures = found.figures();
        assert_eq!((figures["image_to_text_R@1"], figures["image_to_text_R@5"]), (0.25, 0.5));
        assert_eq!((figures["image_to_text_R@10"], figures["image_to_text_mean_rank"]), (0.75, 9.0));
        assert_eq!((figures["image_to_text_median_rank"], figures["text_to_image_median_rank"]), (7.0, 1.0));
        let eye = Tensor::eye(2, (Kind::Float, Device::Cpu));
        let none = |of: &[u32]| ranks(&eye, &eye, of, &Mesh::alone(), |_, _| true).unwrap_err().to_string();
        assert!(none(&[0, 0]).contains("image 1 has no text"));
        assert!(none(&[0, 2]).contains("belongs to image 2"));
        assert!(ranks(&eye, &eye, &[0, 1], &Mesh::alone(), |_, _| false).unwrap().is_none());
    }
}
