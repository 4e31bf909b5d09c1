//! BLEU (Papineni et al. 2002) with the closest reference length, as pycocoevalcap has it.

use super::Scored;
use super::ngrams::{Counts, LONGEST, counts};

/// Keep divisions and products from zero; pycocoevalcap's.
const SMALL: f64 = 1e-9;
const TINY: f64 = 1e-15;

/// What BLEU is made of: lengths, and runs of words that the caption has and that a reference has too.
#[derive(Clone, Copy, Default)]
struct Parts {
    length: usize,
    reference_length: usize,
    guessed: [usize; LONGEST],
    right: [usize; LONGEST],
}

/// BLEU-1..4 of the set, and of each picture.
pub(super) fn bleu(set: &[Scored]) -> ([f64; LONGEST], Vec<[f64; LONGEST]>) {
    let mut all = Parts::default();
    let mut each = Vec::with_capacity(set.len());
    for scored in set {
        let parts = Parts::of(scored);
        each.push(parts.score());
        all.length += parts.length;
        all.reference_length += parts.reference_length;
        for n in 0..LONGEST {
            all.guessed[n] += parts.guessed[n];
            all.right[n] += parts.right[n];
        }
    }
    (if set.is_empty() { [0.0; LONGEST] } else { all.score() }, each)
}

impl Parts {
    fn of(scored: &Scored) -> Self {
        let length = scored.caption.len();
        let lengths = scored.references.iter().map(Vec::len);
        let closest = lengths.min_by_key(|other| (other.abs_diff(length), *other)).unwrap_or(0);
        let mut most = Counts::new();
        for reference in &scored.references {
            for (run, count) in counts(reference) {
                let slot = most.entry(run).or_default();
                *slot = (*slot).max(count);
            }
        }
        let mut parts = Self {
            length,
            reference_length: closest,
            guessed: std::array::from_fn(|n| length.saturating_sub(n)),
            right: [0; LONGEST],
        };
        for (run, count) in counts(&scored.caption) {
            let right = count.min(most.get(run).copied().unwrap_or(0));
            parts.right[run.len() - 1] += right as usize;
        }
        parts
    }

    #[allow(clippy::cast_precision_loss)]
    fn score(&self) -> [f64; LONGEST] {
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|n| {
            product *= (self.right[n] as f64 + TINY) / (self.guessed[n] as f64 + SMALL);
            f64::powf(product, 1.0 / (n as f64 + 1.0)) * brevity
        })
    }
}
