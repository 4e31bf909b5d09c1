//! How long a rank's steps take, how much of that it waits for other ranks, and what forward leaves for backward.

use std::cell::Cell;
use std::time::Duration;

use tch::Device;

use crate::device::allocator_stats;
use crate::shim::c10d::waited;

/// Sums since the last report.
#[derive(Debug, Default)]
pub struct Busy {
    steps: u32,
    whole: Duration,
    waited: Duration,
    /// What had been waited when the step began.
    mark: Duration,
    /// Bytes in tensors before forward, gradients of earlier micro-steps among them.
    before: Cell<u64>,
    /// The most that forward left.
    activations: Cell<Option<u64>>,
}

impl Busy {
    /// A step begins that none came right before.
    pub fn mark(&mut self) {
        self.mark = waited();
    }

    /// A step took so long.
    pub fn step(&mut self, whole: Duration) {
        let now = waited();
        self.waited += now.saturating_sub(self.mark);
        self.mark = now;
        self.whole += whole;
        self.steps += 1;
    }

    /// Forward of a micro-step begins: what there is now is not its own.
    /// `coming` are parameters on their way, which are none of its doing.
    pub fn before_forward(&self, device: Device, coming: u64) {
        self.before.set(in_tensors(device).unwrap_or(0).saturating_sub(coming));
    }

    /// Backward begins.
    pub fn before_backward(&self, device: Device, coming: u64) {
        let left = in_tensors(device).map(|now| now.saturating_sub(coming + self.before.get()));
        self.activations.set(self.activations.get().max(left));
    }

    /// Bytes that forward left for backward at most, where they are counted.
    pub fn activations(&self) -> Option<u64> {
        self.activations.get()
    }

    /// Mean seconds of a step, and of these the ones without waiting, since the last call.
    pub fn take(&mut self) -> Option<(f64, f64)> {
        let steps = std::mem::take(&mut self.steps);
        let (whole, waited) = (std::mem::take(&mut self.whole), std::mem::take(&mut self.waited));
        let mean = |time: Duration| time.as_secs_f64() / f64::from(steps);
        (steps > 0).then(|| (mean(whole), mean(whole.saturating_sub(waited))))
    }
}

fn in_tensors(device: Device) -> Option<u64> {
    allocator_stats(device).ok()?.map(|stats| stats.allocated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_steps_since_the_last_report() {
        let mut busy = Busy::default();
        assert_eq!(busy.take(), None);
        busy.mark();
        busy.step(Duration::from_millis(100));
        busy.step(Duration::from_millis(300));
        assert_eq!(busy.take(), Some((0.2, 0.2)));
        assert_eq!(busy.take(), None);
    }
}
