//! Turns steps into points of the curves, without making the device wait.
//!
//! A step's numbers stay in one small tensor on the device and are read when the next step is already under way.

use std::collections::BTreeMap;
use std::time::Duration;

use run::events::Metrics;
use tch::{Kind, Tensor};

use super::TrainError;
use crate::shim::Fetch;

/// A step's numbers, on their way here.
#[derive(Debug)]
pub struct Pending {
    /// Optimiser steps done, this one included.
    pub step: u64,
    /// Passes over the data.
    pub epoch: f64,
    /// float32 `[6]`: loss, contrastive loss, caption loss, gradient norm, logit scale, 1 when the update was skipped.
    pub numbers: Fetch,
    /// The schedule's learning rate.
    pub learning_rate: f64,
    /// The rates of groups that have their own.
    pub learning_rates: BTreeMap<String, f64>,
    /// Samples of all ranks.
    pub samples: u64,
    /// How long the step waited for data.
    pub data: Duration,
    /// How long it took, waiting included.
    pub whole: Duration,
}

/// Stacks a step's scalars into the tensor that [`Pending`] keeps.
///
/// # Errors
/// What libtorch said.
pub fn stack(scalars: &[&Tensor]) -> Result<Tensor, TrainError> {
    let flat: Result<Vec<Tensor>, _> =
        scalars.iter().map(|t| t.detach().f_to_kind(Kind::Float)?.f_reshape([])).collect();
    Ok(Tensor::f_stack(&flat?, 0)?)
}

/// A step whose loss or gradient was not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The step.
    pub step: u64,
}

/// Means over the steps since the last point.
#[derive(Debug, Default)]
pub struct Meter {
    steps: u64,
    sums: [f64; 3],
    samples: u64,
    data: Duration,
    whole: Duration,
}

impl Meter {
    /// Takes in a finished step; gives a point of the curves every `every` steps.
    ///
    /// # Errors
    /// What libtorch said. A step that was not finite is no error here: the second value tells.
    #[allow(clippy::cast_precision_loss)]
    pub fn take(
        &mut self,
        p: &Pending,
        every: u64,
    ) -> Result<(Option<Metrics>, Option<NonFinite>), TrainError> {
        let n = <Vec<f32>>::try_from(&p.numbers.end()?)?;
        let [loss, contrastive, caption, grad_norm, logit_scale, skipped] = n[..] else {
            return Err(TrainError::Internal(format!("a step gave {} numbers instead of 6", n.len())));
        };
        for (sum, x) in self.sums.iter_mut().zip([loss, contrastive, caption]) {
            *sum += f64::from(x);
        }
        self.steps += 1;
        self.samples += p.samples;
        self.data += p.data;
        self.whole += p.whole;
        let bad = (skipped != 0.0).then_some(NonFinite { step: p.step });
        if !p.step.is_multiple_of(every.max(1)) && bad.is_none() {
            return Ok((None, None));
        }
        let steps = self.steps as f64;
        let seconds = self.whole.as_secs_f64();
        let point = Metrics {
            step: p.step,
            epoch: p.epoch,
            loss: self.sums[0] / steps,
            contrastive_loss: self.sums[1] / steps,
            caption_loss: self.sums[2] / steps,
            learning_rate: p.learning_rate,
            learning_rates: p.learning_rates.clone(),
            logit_scale: f64::from(logit_scale),
            grad_norm: f64::from(grad_norm),
            samples_per_second: self.samples as f64 / seconds,
            data_seconds: self.data.as_secs_f64() / steps,
            step_seconds: seconds / steps,
        };
        *self = Self::default();
        Ok((Some(point), bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(step: u64, loss: f32, skipped: f32) -> Pending {
        Pending {
            step,
            epoch: 0.0,
            numbers: Fetch::begin(&Tensor::from_slice(&[loss, 1.0, 2.0, 3.0, 14.0, skipped])).unwrap(),
            learning_rate: 0.1,
            learning_rates: BTreeMap::new(),
            samples: 4,
            data: Duration::from_millis(100),
            whole: Duration::from_millis(500),
        }
    }

    #[test]
    fn points_are_means() {
        let mut meter = Meter::default();
        assert_eq!(meter.take(&pending(1, 2.0, 0.0), 2).unwrap(), (None, None));
        let (point, bad) = meter.take(&pending(2, 4.0, 0.0), 2).unwrap();
        let point = point.unwrap();
        assert_eq!((point.loss, point.samples_per_second, point.data_seconds, bad), (3.0, 8.0, 0.1, None));
    }

    #[test]
    fn a_skipped_step_is_told_at_once() {
        let (point, bad) = Meter::default().take(&pending(3, f32::NAN, 1.0), 10).unwrap();
        assert!(point.unwrap().loss.is_nan());
        assert_eq!(bad, Some(NonFinite { step: 3 }));
    }
}
