//! Greedy and drawn decoding: every row is written by itself.

use tch::Tensor;

use run::decoding::Method;

use super::processors::{forbid, numbers, penalise_repetition};
use super::sampling::{Sampler, Sampling};
use super::{GenerateError, Generated, Incremental, OnStep, Plan, tell};
use crate::model::{CoCa, ImageTokens};

/// A text being written.
struct Row {
    ids: Vec<i64>,
    /// Log-probability of what was written.
    sum: f64,
    done: bool,
}

impl Row {
    fn generated(self, start: usize) -> Generated {
        let written = self.ids.len().saturating_sub(start).max(1);
        Generated { score: self.sum / written as f64, ids: self.ids }
    }
}

/// How ids are chosen.
enum Pick {
    Likeliest,
    /// A source for each of an image's rows: what is beside an image does not matter.
    Draw(Vec<Sampler>),
    /// One source for all rows that are not done, as open_clip draws.
    DrawTogether(Box<Sampler>),
}

/// The texts of each image, best first.
pub(super) fn write(
    model: &CoCa,
    image: &ImageTokens,
    plan: &Plan,
    mut on_step: OnStep,
) -> Result<Vec<Vec<Generated>>, GenerateError> {
    let each = plan.decoding.captions as usize;
    let mut cache = Incremental::new(model, image, plan.max_len - 1)?;
    let images = cache.rows();
    let mut pick = Pick::new(plan, images * each)?;
    let start = |_| Row { ids: plan.start.clone(), sum: 0.0, done: false };
    let mut texts: Vec<Row> = (0..images * each).map(start).collect();
    // Rows of images that have one to write still; this is their order in the cache.
    let mut live: Vec<usize> = (0..images * each).collect();
    let mut so_far: Vec<Vec<Vec<i64>>> = vec![vec![plan.start.clone(); each]; images];
    let feed: Vec<i64> = (0..images).flat_map(|_| plan.start.iter().copied()).collect();
    let mut logits_rv = cache.advance(&feed)?;
    if each > 1 {
        let parents: Vec<usize> = (0..images * each).map(|row| row / each).collect();
        cache.follow(&parents, each)?;
        logits_rv = logits_rv.f_repeat_interleave_self_int(each as i64, 0, None)?;
    }
    for length in plan.start.len()..plan.max_len {
        let open: Vec<(usize, usize)> =
            live.iter().copied().enumerate().filter(|(_, row)| !texts[*row].done).collect();
        if open.len() < live.len() {
            let at: Vec<i64> = open.iter().map(|(at, _)| *at as i64).collect();
            logits_rv = logits_rv.f_index_select(0, &Tensor::from_slice(&at).to_device(model.device()))?;
        }
        let rows: Vec<usize> = open.iter().map(|(_, row)| *row).collect();
        let force = plan.compat && length + 1 == plan.max_len;
        let chosen = pick.ids(&logits_rv, &texts, &rows, plan, force)?;
        let log_probabilities = log_probabilities(&logits_rv, &chosen)?;
        for ((row, id), log_p) in rows.iter().zip(&chosen).zip(log_probabilities) {
            let text = &mut texts[*row];
            text.ids.push(*id);
            text.sum += f64::from(log_p);
            text.done = *id == plan.special.eot || *id == plan.pad;
        }
        for (so_far, text) in so_far.iter_mut().flatten().zip(&texts) {
            so_far.clone_from(&text.ids);
        }
        tell(&mut on_step, length + 1, &so_far)?;

        // Images that are written whole leave the batch.
        let going = |chunk: &(usize, &[usize])| chunk.1.iter().any(|row| !texts[*row].done);
        let kept: Vec<(usize, &[usize])> = live.chunks(each).enumerate().filter(going).collect();
        if kept.is_empty() || length + 1 == plan.max_len {
            break;
        }
        if kept.len() * each < live.len() {
            let parents: Vec<usize> = kept.iter().flat_map(|(at, _)| at * each..(at + 1) * each).collect();
            let rows = kept.iter().flat_map(|(_, rows)| rows.to_vec()).collect();
            cache.follow(&parents, each)?;
            live = rows;
        }
        let next = |row: &usize| match &texts[*row] {
            text if text.ids.len() == length + 1 => text.ids.last().copied().unwrap_or(plan.pad),
            _ => plan.pad,
        };
        logits_rv = cache.advance(&live.iter().map(next).collect::<Vec<_>>())?;
    }
    let mut rows = texts.into_iter().map(|row| row.generated(plan.start.len()));
    let image_texts = |_| {
        let mut of_image: Vec<Generated> = rows.by_ref().take(each).collect();
        of_image.sort_by(|a, b| b.score.total_cmp(&a.score));
        of_image
    };
    Ok((0..images).map(image_texts).collect())
}

impl Pick {
    fn new(plan: &Plan, rows: usize) -> Result<Self, GenerateError> {
        let Method::Sample { top_k, top_p } = plan.decoding.method else {
            return Ok(Self::Likeliest);
        };
        let (temperature, seed) = (plan.decoding.temperature, plan.decoding.seed);
        let by = Sampling { top_k: top_k.map(i64::from), top_p, temperature };
        if plan.compat {
            return Ok(Self::DrawTogether(Box::new(Sampler::new(by, seed)?)));
        }
        // Spread apart, so that seeds next to each other do not share streams.
        let of_row = |row: usize| seed.wrapping_add((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let each = plan.decoding.captions as usize;
        let samplers = (0..rows).map(|row| Sampler::new(by, of_row(row % each)));
        Ok(Self::Draw(samplers.collect::<Result<_, _>>()?))
    }

    /// The next id of each of `rows`, by their logits `[rows,v]`.
    fn ids(
        &mut self,
        logits_rv: &Tensor,
        texts: &[Row],
        rows: &[usize],
        plan: &Plan,
        force_eot: bool,
    ) -> Result<Vec<i64>, GenerateError> {
        let held: Vec<&[i64]> = rows.iter().map(|row| texts[*row].ids.as_slice()).collect();
        if force_eot {
            return Ok(vec![plan.special.eot; rows.len()]);
        }
        let mut scores_rv = logits_rv.shallow_clone();
        if held.first().is_some_and(|ids| ids.len() < plan.min_len) {
            scores_rv = forbid(&scores_rv, plan.special.eot)?;
        }
        scores_rv = penalise_repetition(&scores_rv, &held, plan.decoding.repetition_penalty)?;
        match self {
            Self::Likeliest => numbers::<i64>(&scores_rv.f_argmax(-1, false)?),
            Self::DrawTogether(sampler) => numbers::<i64>(&sampler.pick(&scores_rv)?),
            Self::Draw(samplers) => {
                let mut ids = Vec::with_capacity(rows.len());
                for (at, row) in rows.iter().enumerate() {
                    let sampler = samplers.get_mut(*row).ok_or(GenerateError::NotFinite)?;
                    ids.extend(numbers::<i64>(&sampler.pick(&scores_rv.f_narrow(0, at as i64, 1)?)?)?);
                }
                Ok(ids)
            }
        }
    }
}

/// What the model gives to each chosen id.
fn log_probabilities(logits_rv: &Tensor, chosen: &[i64]) -> Result<Vec<f32>, GenerateError> {
    let ids_r1 = Tensor::f_from_slice(chosen)?.f_view([-1, 1])?.f_to_device(logits_rv.device())?;
    let chosen_r = logits_rv.f_gather(1, &ids_r1, false)?.f_squeeze_dim(1)?;
    let out = numbers::<f32>(&chosen_r.f_sub(&logits_rv.f_logsumexp([-1i64].as_slice(), false)?)?)?;
    match out.iter().any(|p| p.is_nan()) {
        true => Err(GenerateError::NotFinite),
        false => Ok(out),
    }
}
