//! The learning rate over the steps.

use std::f64::consts::PI;

/// Linear warm-up, then half a cosine down to 0, as open_clip's `cosine_lr`. The peak is not part of it, so
/// that one schedule serves groups with different rates, and an edited rate is the new peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Steps of warm-up, w.
    pub warmup: u64,
    /// Steps in all, T.
    pub total: u64,
}

impl Schedule {
    /// The share of the peak at `step` (the first is 0): (step + 1) / w while warming up, then
    /// (1 + cos(pi (step - w) / (T - w))) / 2; 0 from T on.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        if step >= self.total {
            return 0.0;
        }
        let done = (step - self.warmup) as f64 / (self.total - self.warmup) as f64;
        0.5 * (1.0 + (PI * done).cos())
    }

    /// The rate at `step` for a group whose peak is `peak`.
    pub fn rate(&self, step: u64, peak: f64) -> f64 {
        peak * self.factor(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_open_clip() {
        let schedule = Schedule { warmup: 4, total: 12 };
        let by_hand = [
            (0, 0.25e-3),
            (3, 1e-3),
            (4, 1e-3),
            (6, 0.5 * (1.0 + (PI * 0.25).cos()) * 1e-3),
            (8, 0.5e-3),
            (12, 0.0),
            (99, 0.0),
        ];
        for (step, rate) in by_hand {
            assert!((schedule.rate(step, 1e-3) - rate).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn odd_lengths_stay_finite() {
        for (warmup, total) in [(0, 0), (0, 1), (5, 5), (9, 4), (1, 1)] {
            let schedule = Schedule { warmup, total };
            for step in 0..12 {
                let factor = schedule.factor(step);
                assert!((0.0..=1.0).contains(&factor), "{warmup} {total} {step}: {factor}");
            }
        }
    }
}
