//! ROUGE-L (Lin 2004): the longest common subsequence, with pycocoevalcap's weight of recall.

use super::Scored;

/// How much more recall counts than precision.
const BETA: f64 = 1.2;

/// ROUGE-L of one picture: the best precision and the best recall over its references.
#[allow(clippy::cast_precision_loss)]
pub(super) fn rouge_l(scored: &Scored) -> f64 {
    let share = |common: usize, of: usize| common as f64 / of.max(1) as f64;
    let (mut precision, mut recall) = (0.0f64, 0.0f64);
    for reference in &scored.references {
        let common = longest_common(&scored.caption, reference);
        precision = precision.max(share(common, scored.caption.len()));
        recall = recall.max(share(common, reference.len()));
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// Length of the longest subsequence that both have.
fn longest_common(a: &[String], b: &[String]) -> usize {
    // lengths[j]: of the words of `a` so far and the first j of `b`.
    let mut lengths = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = lengths[j + 1];
            lengths[j + 1] = if word == other { diagonal + 1 } else { above.max(lengths[j]) };
            diagonal = above;
        }
    }
    lengths.last().copied().unwrap_or(0)
}
