//! Gradients of a step: of all micro-steps, of all ranks.
//!
//! The loss is that of the whole batch, however it is divided. Contrastive: every rank computes its own rows against
//! all ranks' features, and gradients flow back through these. With several micro-steps the features of all come first,
//! without a graph; the loss's gradients to them are then pushed through one micro-step's graph after the other. Logits
//! are never kept, and the sum is the gradient of the whole batch to rounding. Caption: the mean over the labels of all
//! micro-steps and ranks.

use tch::{Kind, Tensor};

use super::{TrainError, Trainer};
use crate::loss::{Gathered, LossError, LossWeights, Losses, Share, coca_loss, contrastive_loss};
use crate::model::TextBatch;
use crate::shim::{self, Autocast};

/// The rows of one micro-step.
#[derive(Debug)]
pub(super) struct Micro {
    /// `[b,3,h,w]`
    pub image_bchw: Tensor,
    /// `b` texts.
    pub text: TextBatch,
}

/// The contrastive loss's part that is known before the micro-steps run.
struct Contrast {
    value: Tensor,
    /// Gradients to the features of all own rows, `[rows,d]`.
    image_rd: Tensor,
    text_rd: Tensor,
}

impl Trainer<'_> {
    /// Leaves the gradient of the whole batch's loss in the parameters, on every rank; gives the whole batch's losses.
    pub(super) fn gradients(&mut self, micros: &[Micro]) -> Result<Losses, TrainError> {
        let weights = LossWeights {
            contrastive: self.settings.coca_contrastive_loss_weight,
            caption: self.settings.coca_caption_loss_weight,
        };
        self.holding.begin(&self.parameters)?;
        let losses = self.backward(micros, weights)?;
        self.holding.finish(&self.mesh)?;
        Ok(losses)
    }

    fn backward(&self, micros: &[Micro], weights: LossWeights) -> Result<Losses, TrainError> {
        let (_, parts) = self.mesh.data_part();
        let labels = self.labels(micros)?;
        let gather = |image: &Tensor, text: &Tensor| self.gather(image, text);
        let share =
            Share { gather: (parts > 1).then_some(&gather), parts: parts as i64, labels, known: None };
        let contrast = match micros {
            [] | [_] => None,
            _ if weights.contrastive == 0.0 => None,
            _ => Some(self.contrast(micros, weights, &share)?),
        };
        let mut sums: Option<[Tensor; 2]> =
            contrast.as_ref().map(|c| [c.value.shallow_clone(), c.value.zeros_like()]);
        let mut first_row = 0;
        for (index, micro) in micros.iter().enumerate() {
            let rows = micro.text.len();
            let known = contrast
                .as_ref()
                .map(|c| (c.image_rd.narrow(0, first_row, rows), c.text_rd.narrow(0, first_row, rows)));
            let known = known.as_ref().map(|(image, text)| (image, text));
            let share = Share { known, ..share };
            first_row += rows;
            let losses = {
                let _lower = self.lower_precision()?;
                coca_loss(&self.model, &micro.image_bchw, &micro.text, weights, Some(&share))?
            };
            if index + 1 == micros.len() {
                self.reducer.as_ref().map_or(Ok(()), |r| r.arm())?;
            }
            match self.loss_scale {
                Some(scale) => (&losses.total * scale.factor()).f_backward()?,
                None => losses.total.f_backward()?,
            }
            if micros.len() == 1 && parts == 1 {
                return Ok(losses);
            }
            let own = [losses.contrastive.detach(), losses.caption.detach()];
            sums = Some(match sums {
                None => own,
                Some([a, b]) => [a + &own[0], b + &own[1]],
            });
        }
        if let Some(reducer) = &self.reducer {
            reducer.finish()?;
        }
        let Some([contrastive, caption]) = sums else {
            return Err(TrainError::Internal("a step without rows".to_owned()));
        };
        let mut both = Tensor::f_stack(&[contrastive, caption], 0)?;
        self.mesh.sum(&mut both)?;
        let (contrastive, caption) = (both.get(0), both.get(1));
        Ok(Losses { total: &contrastive + &caption, contrastive, caption })
    }

    /// Autocast for as long as the guard lives, where the settings want it.
    fn lower_precision(&self) -> Result<Option<Autocast>, TrainError> {
        let kind = match (self.settings.bf16, self.settings.fp16) {
            (true, _) => Some(Kind::BFloat16),
            (false, true) => Some(Kind::Half),
            (false, false) => None,
        };
        Ok(kind.map(|kind| Autocast::enter(self.compute.device, kind)).transpose()?)
    }

    /// Over how many labels the caption loss is the mean; none: those of the one batch there is.
    #[allow(clippy::cast_precision_loss)]
    fn labels(&self, micros: &[Micro]) -> Result<Option<f64>, TrainError> {
        let (_, parts) = self.mesh.data_part();
        if micros.len() == 1 && parts == 1 {
            return Ok(None);
        }
        let own = micros.iter().map(|m| m.text.label_count() as f64).sum::<f64>();
        if self.settings.caption_loss_rank_mean {
            return Ok(Some(own * parts as f64));
        }
        let mut all = Tensor::from(own);
        self.mesh.sum(&mut all)?;
        Ok(Some(all.f_double_value(&[])?))
    }

    /// All ranks' features, with a way back to each rank's own.
    fn gather(&self, image_bd: &Tensor, text_bd: &Tensor) -> Result<Gathered, LossError> {
        let rows = image_bd.size().first().copied().unwrap_or(0);
        Ok(Gathered {
            image_nd: self.mesh.gather_rows(image_bd)?,
            text_nd: self.mesh.gather_rows(text_bd)?,
            first_row: self.mesh.data_part().0 as i64 * rows,
        })
    }

    /// The contrastive loss over the rows of all micro-steps, and its gradients to their features; the logit scale gets
    /// its own at once.
    fn contrast(
        &self,
        micros: &[Micro],
        weights: LossWeights,
        share: &Share,
    ) -> Result<Contrast, TrainError> {
        let (mut images, mut texts) = (Vec::new(), Vec::new());
        tch::no_grad(|| -> Result<(), TrainError> {
            for micro in micros {
                let _lower = self.lower_precision()?;
                images.push(self.model.encode_image(&micro.image_bchw)?.features_bd);
                texts.push(self.model.encode_text(&micro.text));
            }
            Ok(())
        })?;
        let leaf = |parts: &[Tensor]| Tensor::f_cat(parts, 0)?.f_detach()?.f_set_requires_grad(true);
        let (image_rd, text_rd) = (leaf(&images)?, leaf(&texts)?);
        let all = share.gather.map(|gather| gather(&image_rd, &text_rd)).transpose()?;
        let loss = contrastive_loss(&image_rd, &text_rd, &self.model.logit_scale(), all.as_ref());
        let value = loss * (weights.contrastive / share.parts.max(1) as f64);
        let factor = self.loss_scale.map_or(1.0, |scale| scale.factor());
        (&value * factor).f_backward()?;
        let mut found = shim::gradients(&[image_rd, text_rd])?.into_iter();
        let (Some(Some(image_rd)), Some(Some(text_rd))) = (found.next(), found.next()) else {
            return Err(TrainError::Internal("the features got no gradient".to_owned()));
        };
        // The logit scale keeps its scaled gradient; these are scaled again with the loss that they enter.
        let (image_rd, text_rd) = match factor == 1.0 {
            true => (image_rd, text_rd),
            false => (image_rd / factor, text_rd / factor),
        };
        Ok(Contrast { value: value.detach(), image_rd, text_rd })
    }
}
