//! One optimiser step.

use std::collections::BTreeMap;
use std::time::Instant;

use run::events::Body;
use run::link::FromRank;
use tch::{Kind, Tensor};

use super::gradients::Micro;
use super::{TrainError, Trainer, meter};
use crate::model::TextBatch;
use crate::optimiser::Rates;
use crate::shim;

impl Trainer<'_> {
    /// Next batch, loss, gradients, update. Nothing waits for the device but the reading of the step before.
    pub(super) fn one_step(&mut self) -> Result<(), TrainError> {
        if self.last_end.is_none() {
            self.busy.mark();
        }
        let start = self.last_end.unwrap_or_else(Instant::now);
        let asked = Instant::now();
        let batch = self.loader.next().ok_or_else(|| TrainError::Internal("the data ended".to_owned()))??;
        let data = asked.elapsed();
        for skipped in &batch.skipped {
            let message = format!("training picture left out: {}: {}", skipped.image, skipped.reason);
            self.link.event(Body::warning("broken_record", message));
        }
        let device = self.compute.device;
        let (b, side) = (batch.len() as i64, self.model.config.vision.image_size);
        let image_bchw = Tensor::f_from_slice(&batch.images)?.f_view([b, 3, side, side])?;
        let ids_bs = Tensor::f_from_slice(&batch.texts)?.f_view([b, -1])?;
        let rows = i64::try_from(self.settings.per_device_train_batch_size).unwrap_or(b).clamp(1, b.max(1));
        let mut micros = Vec::new();
        for at in (0..b).step_by(usize::try_from(rows).unwrap_or(1)) {
            let n = rows.min(b - at);
            micros.push(Micro {
                image_bchw: crate::device::carry(&image_bchw.f_narrow(0, at, n)?, device)?,
                text: TextBatch::trimmed(&ids_bs.f_narrow(0, at, n)?, &self.model.config, device)?,
            });
        }
        let rates = self.rates();
        let (losses, norm, skip) = match self.settings.updates_early() {
            true => {
                let losses = self.gradients(&micros, Some(&rates))?;
                let norm = self.optimiser.finish_early()?;
                let skip = not_finite(&losses.total, &norm)?;
                (losses, norm, skip)
            }
            false => {
                let losses = self.gradients(&micros, None)?;
                let (norm, skip) = self.update(&losses.total, &rates)?;
                (losses, norm, skip)
            }
        };
        self.holding.clamp_logit_scale()?;
        self.holding.publish()?;
        let logit_scale = self.holding.scalar(&self.mesh, "logit_scale")?;
        let logit_scale = logit_scale.ok_or_else(|| TrainError::Internal("no logit scale".to_owned()))?;

        let numbers = meter::stack(&[
            &losses.total,
            &losses.contrastive,
            &losses.caption,
            &norm,
            &logit_scale.f_exp()?,
            &skip,
        ])?;
        let learning_rate = self.schedule.rate(self.step, self.settings.learning_rate);
        self.step += 1;
        self.position = batch.next;
        self.held_out_loss = None;
        let end = Instant::now();
        let pending = meter::Pending {
            step: self.step,
            epoch: self.epochs_done(),
            numbers: shim::Fetch::begin(&numbers)?,
            learning_rate,
            learning_rates: self.own_rates(&rates),
            samples: (batch.len() * self.mesh.data_part().1) as u64,
            data,
            whole: end.duration_since(start),
        };
        self.last_end = Some(end);
        self.busy.step(end.duration_since(start));
        self.loader.recycle(batch);
        if let Some(before) = self.pending.replace(pending) {
            self.take(&before)?;
        }
        self.link.say(FromRank::Step { step: self.step });
        Ok(())
    }

    /// Updates by the gradients that the parameters hold: gives their norm, and 1 where the update was left out.
    fn update(&mut self, loss: &Tensor, rates: &Rates) -> Result<(Tensor, Tensor), TrainError> {
        let gradients = self.holding.gradients(&self.parameters)?;
        if let Some(scale) = self.loss_scale {
            for gradient in gradients.iter().flatten() {
                let _ = gradient.shallow_clone().f_mul_scalar_(1.0 / scale.factor())?;
            }
        }
        let norm = self.holding.gradient_norm(&self.mesh, &gradients)?;
        if self.settings.max_grad_norm > 0.0 {
            let here: Vec<Tensor> = gradients.iter().flatten().map(Tensor::shallow_clone).collect();
            // A rank's shards may all be of what nothing trains.
            if !here.is_empty() {
                shim::clip_gradients(&here, &norm, self.settings.max_grad_norm)?;
            }
        }
        // Where loss or gradient is not finite, the update leaves everything alone; the choice is the device's.
        let skip = not_finite(loss, &norm)?;
        self.optimiser.step_by(gradients, rates, Some(&skip))?;
        Ok((norm, skip))
    }

    /// Waits for the last step's numbers.
    pub(super) fn flush(&mut self) -> Result<(), TrainError> {
        match self.pending.take() {
            Some(pending) => self.take(&pending),
            None => Ok(()),
        }
    }

    fn take(&mut self, pending: &meter::Pending) -> Result<(), TrainError> {
        let (point, bad) = self.meter.take(pending, self.settings.logging_steps)?;
        if let Some(point) = point {
            self.link.event(Body::Metrics(point));
        }
        let Some(scale) = &mut self.loss_scale else {
            return bad.map_or(Ok(()), |bad| Err(TrainError::NonFinite { step: bad.step, rank: self.rank }));
        };
        let may_help = scale.update(bad.is_some());
        match bad {
            Some(bad) if may_help => {
                let message = format!(
                    "float16 overflowed at step {}: that update was skipped, the loss scale is {} now",
                    bad.step,
                    scale.factor()
                );
                self.link.event(Body::warning("step_skipped", message));
                Ok(())
            }
            Some(bad) => Err(TrainError::NonFinite { step: bad.step, rank: self.rank }),
            None => Ok(()),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn epochs_done(&self) -> f64 {
        self.position.epoch as f64
            + self.position.batch as f64 / self.loader.batches_per_epoch().max(1) as f64
    }

    /// What happens between two steps is not the next step's time.
    pub(super) fn forget_time(&mut self) {
        self.last_end = None;
    }

    /// Rates of this step; unset ones follow learning_rate and weight_decay.
    fn rates(&self) -> Rates {
        let s = &self.settings;
        let rate = |own: Option<f64>| self.schedule.rate(self.step, own.unwrap_or(s.learning_rate));
        Rates {
            visual_lr: rate(s.visual_lr),
            visual_wd: s.visual_wd.unwrap_or(s.weight_decay),
            text_lr: rate(s.text_lr),
            text_wd: s.text_wd.unwrap_or(s.weight_decay),
            logit_scale_lr: rate(None),
        }
    }

    /// Rates to show beside the common one.
    fn own_rates(&self, rates: &Rates) -> BTreeMap<String, f64> {
        let own = [
            ("visual", self.settings.visual_lr.map(|_| rates.visual_lr)),
            ("text", self.settings.text_lr.map(|_| rates.text_lr)),
        ];
        own.into_iter().filter_map(|(name, rate)| Some((name.to_owned(), rate?))).collect()
    }
}

/// 1 where the sum is not finite, else 0: a float32 scalar on the device.
fn not_finite(loss: &Tensor, norm: &Tensor) -> Result<Tensor, TrainError> {
    Ok(tch::no_grad(|| (loss + norm).f_isfinite()?.f_logical_not()?.f_to_kind(Kind::Float))?)
}
