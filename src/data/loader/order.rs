//! The order of samples in an epoch: a function of seed and epoch alone.

use std::collections::HashSet;

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::dataset::Dataset;
use crate::random::{Purpose, Rng, stream};

/// How many later places are looked at for a sample whose picture its batch has already.
const LATER: usize = 4096;
/// How many earlier places are tried at random when no later one is free.
const EARLIER: usize = 64;

/// The samples of an epoch in order; as the annotations have them when not shuffled.
pub(super) fn order(dataset: &Dataset, seed: u64, epoch: u64, batch: usize, shuffle: bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..dataset.len() as u32).collect();
    if shuffle {
        let mut rng = stream(seed, Purpose::Order, epoch, 0);
        order.shuffle(&mut rng);
        // With fewer pictures than a batch has rows, repeats cannot be avoided.
        if (batch..dataset.len()).contains(&dataset.images()) {
            spread(&mut order, batch, &mut rng, |sample| dataset.image_number(sample as usize));
        }
    }
    order
}

/// Exchanges samples so that no batch holds a picture twice, where that can be avoided.
fn spread<K: Eq + std::hash::Hash>(
    order: &mut [u32],
    batch: usize,
    rng: &mut Rng,
    picture: impl Fn(u32) -> K,
) {
    let batch = batch.max(1);
    let mut seen = HashSet::with_capacity(batch);
    for start in (0..order.len()).step_by(batch) {
        let end = (start + batch).min(order.len());
        seen.clear();
        for at in start..end {
            if seen.insert(picture(order[at])) {
                continue;
            }
            // A sample of a later batch takes its place, and it is dealt with there.
            let later = (end..order.len()).take(LATER).find(|later| !seen.contains(&picture(order[*later])));
            if let Some(later) = later {
                order.swap(at, later);
            } else {
                exchange_with_earlier(order, at, start..end, batch, rng, &picture);
            }
            seen.insert(picture(order[at]));
        }
    }
}

/// Exchanges the sample `at` of the batch `own` with one of an earlier batch, if that keeps both free of pictures
/// that occur twice.
fn exchange_with_earlier<K: Eq>(
    order: &mut [u32],
    at: usize,
    own: std::ops::Range<usize>,
    batch: usize,
    rng: &mut Rng,
    picture: impl Fn(u32) -> K,
) {
    if own.start == 0 {
        return;
    }
    let has = |order: &[u32], range: std::ops::Range<usize>, sample: u32| {
        order[range].iter().any(|other| picture(*other) == picture(sample))
    };
    for _ in 0..EARLIER {
        let other = rng.random_range(0..own.start);
        let theirs = other / batch * batch;
        if !has(order, own.clone(), order[other]) && !has(order, theirs..theirs + batch, order[at]) {
            order.swap(at, other);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(len: u32) -> (Vec<u32>, Rng) {
        let mut rng = stream(4, Purpose::Order, 2, 0);
        let mut order: Vec<u32> = (0..len).collect();
        order.shuffle(&mut rng);
        (order, rng)
    }

    /// How many samples share their picture with an earlier one of their batch.
    fn repeats(order: &[u32], batch: usize, captions: u32) -> usize {
        order
            .chunks(batch)
            .map(|chunk| chunk.len() - chunk.iter().map(|s| s / captions).collect::<HashSet<_>>().len())
            .sum()
    }

    #[test]
    fn no_batch_holds_a_picture_twice() {
        for (len, batch) in [(5000, 256), (1000, 100), (505, 100), (640, 128)] {
            let (mut order, mut rng) = shuffled(len);
            assert!(repeats(&order, batch, 5) > 0);
            spread(&mut order, batch, &mut rng, |sample| sample / 5);
            assert_eq!(repeats(&order, batch, 5), 0, "{len} in batches of {batch}");
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..len), "every sample occurs once");
        }
    }

    #[test]
    fn what_cannot_be_avoided_is_left() {
        let (mut order, mut rng) = shuffled(100);
        spread(&mut order, 50, &mut rng, |_| 0);
        assert_eq!(order.len(), 100);
    }
}
