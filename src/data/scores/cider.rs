//! CIDEr-D (Vedantam et al. 2015) with document frequencies from the references of the set itself, as pycocoevalcap's
//! "CIDEr".

use std::collections::{HashMap, HashSet};

use super::Scored;
use super::ngrams::{LONGEST, counts};

/// Width of the Gaussian that punishes a difference in length.
const SIGMA: f64 = 6.0;

/// Runs of words, weighted by how rare they are.
struct Weighted<'a> {
    weights: HashMap<&'a [String], f64>,
    norms: [f64; LONGEST],
    /// Pairs of words: what the length penalty compares.
    pairs: i64,
}

/// CIDEr-D of each picture, 0..10.
#[allow(clippy::cast_precision_loss)]
pub(super) fn cider(set: &[Scored]) -> Vec<f64> {
    let mut pictures_with: HashMap<&[String], u32> = HashMap::new();
    for scored in set {
        let runs: HashSet<&[String]> = scored.references.iter().flat_map(|r| counts(r).into_keys()).collect();
        for run in runs {
            *pictures_with.entry(run).or_default() += 1;
        }
    }
    let log_pictures = (set.len() as f64).ln();
    let rarity = |run: &[String]| {
        let pictures = pictures_with.get(run).copied().unwrap_or(0);
        log_pictures - f64::from(pictures.max(1)).ln()
    };
    let each = |scored: &Scored| {
        if scored.references.is_empty() {
            return 0.0;
        }
        let caption = Weighted::new(&scored.caption, rarity);
        let sum: f64 =
            scored.references.iter().map(|r| similarity(&caption, &Weighted::new(r, rarity))).sum();
        10.0 * sum / scored.references.len() as f64
    };
    set.iter().map(each).collect()
}

impl<'a> Weighted<'a> {
    fn new(words: &'a [String], rarity: impl Fn(&[String]) -> f64) -> Self {
        let mut norms = [0.0; LONGEST];
        let mut weights = HashMap::new();
        for (run, count) in counts(words) {
            let weight = f64::from(count) * rarity(run);
            norms[run.len() - 1] += weight * weight;
            weights.insert(run, weight);
        }
        let pairs = i64::try_from(words.len()).unwrap_or(i64::MAX).saturating_sub(1).max(0);
        Self { weights, norms: norms.map(f64::sqrt), pairs }
    }
}

/// Mean over the lengths of runs of the clipped cosine, times the length penalty.
#[allow(clippy::cast_precision_loss)]
fn similarity(caption: &Weighted, reference: &Weighted) -> f64 {
    let mut dots = [0.0; LONGEST];
    for (run, weight) in &caption.weights {
        if let Some(other) = reference.weights.get(run) {
            dots[run.len() - 1] += weight.min(*other) * other;
        }
    }
    for (n, dot) in dots.iter_mut().enumerate() {
        let norm = caption.norms[n] * reference.norms[n];
        if norm != 0.0 {
            *dot /= norm;
        }
    }
    let delta = (caption.pairs - reference.pairs) as f64;
    let penalty = (-delta * delta / (2.0 * SIGMA * SIGMA)).exp();
    dots.iter().sum::<f64>() / LONGEST as f64 * penalty
}
