//! Beam search, with groups.

use tch::{Kind, Tensor};

use run::decoding::Method;

use super::hypotheses::{Beam, Candidate, Group, Scoring};
use super::processors::{forbid, numbers, penalise_chosen, penalise_repetition};
use super::{GenerateError, Generated, Incremental, OnStep, Plan, tell};
use crate::model::{CoCa, ImageTokens};

/// The settings of one search.
struct Search<'a> {
    plan: &'a Plan<'a>,
    /// Beams of a group.
    size: usize,
    /// Groups that are computed.
    groups: usize,
    diversity_penalty: f64,
    scoring: Scoring,
}

impl<'a> Search<'a> {
    fn new(plan: &'a Plan<'a>, vocab: usize) -> Result<Self, GenerateError> {
        let Method::Beam { beams, groups, diversity_penalty, length_penalty } = plan.decoding.method else {
            return Err(GenerateError::Options("not a beam search".to_owned()));
        };
        let size = (beams / groups.max(1)) as usize;
        if plan.compat && (beams < 2 || diversity_penalty != 0.0 || length_penalty != 1.0) {
            let said =
                "open_clip 3.3.0 searches with 2 beams or more, no diversity penalty, length penalty 1";
            return Err(GenerateError::Options(said.to_owned()));
        }
        if 2 * size > vocab {
            let said = format!("{size} beams in a group need a vocabulary of {}; it is {vocab}", 2 * size);
            return Err(GenerateError::Options(said));
        }
        // Without a penalty nothing tells the groups apart: each would search the same.
        let groups = if diversity_penalty == 0.0 { 1 } else { groups as usize };
        let not_counted = if plan.compat { 0 } else { plan.start.len() };
        Ok(Self { plan, size, groups, diversity_penalty, scoring: Scoring { length_penalty, not_counted } })
    }

    /// The best 2 * size ways to go on for each image's group, given logits `[images * beams, v]` and what
    /// the groups before it chose now.
    fn candidates(
        &self,
        scores_rv: &Tensor,
        beams: &[&[Beam]],
        chosen: &[Vec<i64>],
    ) -> Result<Vec<Vec<Candidate>>, GenerateError> {
        let plan = self.plan;
        let texts: Vec<&[i64]> =
            beams.iter().flat_map(|b| b.iter().map(|beam| beam.ids.as_slice())).collect();
        let length = texts.first().map_or(0, |ids| ids.len());
        let each = beams.first().map_or(1, |b| b.len());
        let chosen: Vec<Vec<i64>> =
            chosen.iter().flat_map(|ids| std::iter::repeat_n(ids.clone(), each)).collect();
        let mut scores = penalise_chosen(scores_rv, &chosen, self.diversity_penalty)?;
        // transformers puts the repetition penalty before the least length, open_clip behind it; an id that
        // is forbidden stays so either way.
        scores = penalise_repetition(&scores, &texts, plan.decoding.repetition_penalty)?;
        if length < plan.min_len {
            scores = forbid(&scores, plan.special.eot)?;
        }
        let sums: Vec<f32> = beams.iter().flat_map(|b| b.iter().map(|beam| beam.sum)).collect();
        let sums_r1 = Tensor::f_from_slice(&sums)?.f_view([-1, 1])?.f_to_device(scores.device())?;
        let vocab = scores.size().last().copied().unwrap_or(1);
        let scores = scores.f_add(&sums_r1)?.f_view([beams.len() as i64, each as i64 * vocab])?;
        let (best, at) = scores.f_topk(2 * self.size as i64, -1, true, true)?;
        let (best, at) = (numbers::<f32>(&best)?, numbers::<i64>(&at)?);
        let candidate = |(sum, at): (&f32, &i64)| Candidate {
            sum: *sum,
            parent: usize::try_from(at / vocab).unwrap_or(usize::MAX),
            id: at % vocab,
        };
        let of_group = |(best, at): (&[f32], &[i64])| best.iter().zip(at).map(candidate).collect();
        Ok(best.chunks(2 * self.size).zip(at.chunks(2 * self.size)).map(of_group).collect())
    }
}

/// The texts of each image, best first.
pub(super) fn search(
    model: &CoCa,
    image: &ImageTokens,
    plan: &Plan,
    mut on_step: OnStep,
) -> Result<Vec<Vec<Generated>>, GenerateError> {
    let vocab = usize::try_from(model.config.text.vocab_size).unwrap_or(0);
    let search = Search::new(plan, vocab)?;
    let mut cache = Incremental::new(model, image, plan.max_len - 1)?;
    let mut groups: Vec<Vec<Group>> = (0..cache.rows())
        .map(|_| (0..search.groups).map(|_| Group::new(search.size, &plan.start, search.scoring)).collect())
        .collect();
    // Images that are searched still; their rows in the cache are in this order.
    let mut live: Vec<usize> = (0..groups.len()).collect();
    let mut so_far: Vec<Vec<Vec<i64>>> = vec![vec![plan.start.clone()]; groups.len()];
    let mut feed: Vec<i64> = live.iter().flat_map(|_| plan.start.iter().copied()).collect();
    let beams = search.groups * search.size;

    for length in plan.start.len()..plan.max_len {
        let logits_rv = cache.advance(&feed)?;
        let scores_rv = if plan.compat { logits_rv } else { logits_rv.f_log_softmax(-1, Kind::Float)? };
        // All groups start from the one row that an image has at first.
        let first = length == plan.start.len();
        let rows = if first { 1 } else { beams };
        let (mut parents, mut chosen) = (vec![0; live.len() * beams], vec![Vec::new(); live.len()]);
        for g in 0..search.groups {
            let scores_rv = of_group(&scores_rv, live.len(), if first { 1 } else { search.groups }, g)?;
            let open: Vec<&[Beam]> =
                live.iter().map(|i| groups[*i].get(g).map_or(&[][..], |group| &group.beams)).collect();
            let candidates = search.candidates(&scores_rv, &open, &chosen)?;
            for (at, (i, candidates)) in live.iter().zip(&candidates).enumerate() {
                let Some(group) = groups[*i].get_mut(g) else { continue };
                let from = group.step(candidates, plan.special, plan.pad)?;
                for (k, parent) in from.iter().enumerate() {
                    let offset = if first { 0 } else { g * search.size + parent };
                    parents[at * beams + g * search.size + k] = at * rows + offset;
                }
                chosen[at].extend(group.beams.iter().filter_map(|beam| beam.ids.last()));
            }
        }
        for i in &live {
            so_far[*i] = best_texts(&groups[*i], plan.decoding.captions as usize);
        }
        tell(&mut on_step, length + 1, &so_far)?;
        let going: Vec<bool> = live.iter().map(|i| groups[*i].iter().any(|group| !group.done)).collect();
        let keep = |at: usize| going.get(at).copied().unwrap_or(false);
        parents = parents
            .chunks(beams)
            .enumerate()
            .filter(|(at, _)| keep(*at))
            .flat_map(|(_, p)| p.to_vec())
            .collect();
        live = live.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, i)| *i).collect();
        if live.is_empty() || length + 1 == plan.max_len {
            break;
        }
        cache.follow(&parents, beams)?;
        let lasts = live.iter().flat_map(|i| groups[*i].iter().flat_map(|group| &group.beams));
        feed = lasts.filter_map(|beam| beam.ids.last().copied()).collect();
    }
    Ok(groups.into_iter().map(|of_image| finished(of_image, plan)).collect())
}

/// The rows of group g: `[images * beams_of_a_group, v]`.
fn of_group(scores_rv: &Tensor, images: usize, groups: usize, g: usize) -> Result<Tensor, GenerateError> {
    if groups == 1 {
        return Ok(scores_rv.shallow_clone());
    }
    let vocab = scores_rv.size().last().copied().unwrap_or(1);
    let apart = scores_rv.f_view([images as i64, groups as i64, -1, vocab])?;
    Ok(apart.f_select(1, g as i64)?.f_reshape([-1, vocab])?)
}

/// The best texts of one image so far, equal ones once.
fn best_texts(groups: &[Group], most: usize) -> Vec<Vec<i64>> {
    let mut all: Vec<(f64, &[i64])> = groups.iter().flat_map(Group::texts).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut texts: Vec<Vec<i64>> = Vec::with_capacity(most);
    for (_, ids) in all {
        if texts.len() < most && texts.iter().all(|text| text != ids) {
            texts.push(ids.to_vec());
        }
    }
    texts
}

/// Texts of one image, best first, equal ones once, EOT behind those that have room for it.
fn finished(mut groups: Vec<Group>, plan: &Plan) -> Vec<Generated> {
    groups.iter_mut().for_each(Group::close);
    let mut all: Vec<(f64, Vec<i64>)> = groups.into_iter().flat_map(|group| group.finished).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut texts: Vec<Generated> = Vec::new();
    while let Some((score, mut ids)) = all.pop() {
        if ids.len() < plan.max_len {
            ids.push(plan.special.eot);
        }
        if texts.len() < plan.decoding.captions as usize && texts.iter().all(|text| text.ids != ids) {
            texts.push(Generated { ids, score });
        }
    }
    texts
}
