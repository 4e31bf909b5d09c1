//! A curve: values by ascending step. A long one can be thinned, its extremes and its mean kept.

use serde::{Deserialize, Serialize};

/// What a point of a thinned curve stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stands {
    /// How many points.
    pub count: u32,
    /// Their mean.
    pub mean: f32,
}

/// Points of one curve, by ascending step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Optimiser steps done.
    pub steps: Vec<u64>,
    /// When: seconds since the Unix epoch.
    pub times: Vec<f64>,
    /// Values; NaN where a value was not finite.
    pub values: Vec<f64>,
    /// What the first points stand for. Points behind these stand for themselves; empty while every point is there.
    pub stands: Vec<Stands>,
}

impl Curve {
    /// Takes in a point. Steps ascend but for a restart: later steps are void then, and a repeated one is the newer's.
    pub fn push(&mut self, step: u64, time: f64, value: f64) {
        match step.checked_sub(1) {
            Some(before) => self.truncate_after(before),
            None => self.clear(),
        }
        self.steps.push(step);
        self.times.push(time);
        self.values.push(value);
    }

    fn clear(&mut self) {
        self.keep(0);
    }

    fn keep(&mut self, count: usize) {
        self.steps.truncate(count);
        self.times.truncate(count);
        self.values.truncate(count);
        self.stands.truncate(count);
    }

    /// Takes back the points of later steps.
    pub fn truncate_after(&mut self, step: u64) {
        if self.steps.last().is_some_and(|last| *last > step) {
            self.keep(self.steps.partition_point(|s| *s <= step));
        }
    }

    /// The last value.
    pub fn last(&self) -> Option<f64> {
        self.values.last().copied()
    }

    /// The lowest or the highest finite value, with its step.
    pub fn best(&self, lowest: bool) -> Option<(u64, f64)> {
        let points = self.steps.iter().copied().zip(self.values.iter().copied()).filter(|p| p.1.is_finite());
        points.reduce(|a, b| if (b.1 < a.1) == lowest && b.1 != a.1 { b } else { a })
    }

    /// What a point stands for: how many, and their mean.
    #[allow(clippy::cast_possible_truncation)]
    pub fn stands(&self, i: usize) -> (u32, f64) {
        match self.stands.get(i) {
            Some(s) => (s.count, f64::from(s.mean)),
            None => (1, self.values.get(i).copied().unwrap_or(f64::NAN)),
        }
    }

    /// Keeps at most about `most` points: of neighbours the lowest, the highest and one that is not finite stay, at their
    /// own steps, so that what happened for a single step is never lost. All stand for about equally many.
    pub fn thin(&mut self, most: usize) {
        if self.values.len() <= most.max(16) {
            return;
        }
        let mut each = self.stands.iter().map(|s| s.count).max().unwrap_or(1).max(1);
        loop {
            self.merge(each);
            if self.values.len() <= most.max(16) / 4 * 3 || each > u32::MAX / 4 {
                break;
            }
            each *= 2;
        }
        self.steps.shrink_to(most);
        self.times.shrink_to(most);
        self.values.shrink_to(most);
        self.stands.shrink_to(most);
    }

    /// One pass: neighbours that stand for at most `2 * each` points together become two or three.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn merge(&mut self, each: u32) {
        let len = self.values.len().min(self.steps.len()).min(self.times.len());
        let mut thinned = Self::default();
        let mut take = |from: &Self, i: usize, stands: Stands| {
            let (Some(step), Some(time), Some(value)) =
                (from.steps.get(i), from.times.get(i), from.values.get(i))
            else {
                return;
            };
            thinned.steps.push(*step);
            thinned.times.push(*time);
            thinned.values.push(*value);
            thinned.stands.push(stands);
        };
        let own = |i: usize| {
            let (count, mean) = self.stands(i);
            Stands { count, mean: mean as f32 }
        };
        let mut start = 0;
        while start < len {
            // The first and the last point say where the curve begins and ends.
            let (mut end, mut count) = (start + 1, own(start).count);
            while start > 0 && end + 1 < len && count.saturating_add(own(end).count) <= each.saturating_mul(2)
            {
                count += own(end).count;
                end += 1;
            }
            let value = |i: usize| self.values.get(i).copied().unwrap_or(f64::NAN);
            let finite = || (start..end).filter(|i| value(*i).is_finite());
            let low = finite().min_by(|a, b| value(*a).total_cmp(&value(*b)));
            let high = finite().max_by(|a, b| value(*a).total_cmp(&value(*b)));
            let broken = (start..end).find(|i| !value(*i).is_finite());
            let mut kept: Vec<usize> = [low, high, broken].into_iter().flatten().collect();
            kept.sort_unstable();
            kept.dedup();
            if end - start <= kept.len() {
                (start..end).for_each(|i| take(self, i, own(i)));
            } else {
                let weighed = finite().map(|i| (f64::from(own(i).count), self.stands(i).1));
                let (n, sum) = weighed
                    .filter(|(_, m)| m.is_finite())
                    .fold((0.0, 0.0), |a, (n, m)| (a.0 + n, a.1 + n * m));
                let share = (count / kept.len().max(1) as u32).max(1);
                for (at, i) in kept.iter().enumerate() {
                    let rest = if at == 0 { count.saturating_sub(share * kept.len() as u32) } else { 0 };
                    take(self, *i, Stands { count: share + rest, mean: (sum / n) as f32 });
                }
            }
            start = end;
        }
        *self = thinned;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Curve {
        let mut c = Curve::default();
        values.into_iter().enumerate().for_each(|(i, v)| c.push(i as u64 + 1, i as f64, v));
        c
    }

    #[test]
    fn a_spike_of_one_step_outlives_every_thinning() {
        let mut c = Curve::default();
        for step in 1..=300_000u64 {
            let value = match step {
                123_457 => 99.0,
                200_001 => -99.0,
                250_000 => f64::NAN,
                _ => (step % 7) as f64,
            };
            c.push(step, step as f64, value);
            c.thin(4096);
        }
        assert!(c.values.len() <= 4096, "{}", c.values.len());
        let at = |v: f64| c.values.iter().position(|x| *x == v).map(|i| c.steps[i]);
        assert_eq!((at(99.0), at(-99.0)), (Some(123_457), Some(200_001)));
        assert!(c.values.iter().any(|v| v.is_nan()));
        assert_eq!((c.steps[0], *c.steps.last().unwrap()), (1, 300_000));
        assert!(c.steps.windows(2).all(|w| w[0] < w[1]));
        // Everywhere equally dense: no gap is longer than a few times the mean distance.
        let widest = c.steps.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(widest < 8 * 300_000 / c.values.len() as u64, "{widest}");
    }

    #[test]
    fn the_mean_is_kept() {
        let mut c = curve((0..10_000).map(|i| if i % 100 == 0 { 50.0 } else { 1.0 }));
        c.thin(1000);
        let (n, sum) = (0..c.values.len())
            .map(|i| c.stands(i))
            .fold((0.0, 0.0), |a, (n, m)| (a.0 + f64::from(n), a.1 + f64::from(n) * m));
        assert!((n - 10_000.0).abs() < 1.0, "{n}");
        assert!((sum / n - 1.49).abs() < 0.01, "{}", sum / n);
    }

    #[test]
    fn the_best_point() {
        let c = curve([3.0, f64::NAN, 1.0, 1.0, 2.0]);
        assert_eq!((c.best(true), c.best(false)), (Some((3, 1.0)), Some((1, 3.0))));
        assert_eq!(Curve::default().best(true), None);
    }

    proptest! {
        #[test]
        fn extremes_ends_and_order_stay(values in proptest::collection::vec(-1e6..1e6f64, 1..800), most in 16..200usize) {
            let whole = curve(values);
            let mut c = whole.clone();
            c.thin(most);
            prop_assert!(c.values.len() <= most.max(whole.values.len().min(16)));
            let ends = |c: &Curve| (c.values.iter().copied().fold(f64::INFINITY, f64::min), c.values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            prop_assert_eq!(ends(&c), ends(&whole));
            prop_assert_eq!((c.steps.first(), c.steps.last()), (whole.steps.first(), whole.steps.last()));
            prop_assert!(c.steps.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
