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
use crate::optimiser::Rates;
use crate::parallel::Mesh;
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
    /// Leaves the gradient of the whole batch's loss in the parameters, on every rank; gives the whole batch's losses. With
    /// rates, the parameters are updated by it at once, and hold none.
    pub(super) fn gradients(
        &mut self,
        micros: &[Micro],
        update: Option<&Rates>,
    ) -> Result<Losses, TrainError> {
        let weights = LossWeights {
            contrastive: self.settings.coca_contrastive_loss_weight,
            caption: self.settings.coca_caption_loss_weight,
        };
        self.holding.begin(&self.parameters)?;
        let losses = self.backward(micros, weights, update)?;
        self.holding.finish(&self.mesh)?;
        Ok(losses)
    }

    fn backward(
        &self,
        micros: &[Micro],
        weights: LossWeights,
        update: Option<&Rates>,
    ) -> Result<Losses, TrainError> {
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
            self.busy.before_forward(self.compute.device, self.holding.coming());
            let losses = {
                let _lower = self.lower_precision()?;
                coca_loss(&self.model, &micro.image_bchw, &micro.text, weights, Some(&share))?
            };
            self.busy.before_backward(self.compute.device, self.holding.coming());
            if index + 1 == micros.len() {
                self.reducer.as_ref().map_or(Ok(()), |r| r.arm())?;
                if let Some(rates) = update {
                    self.optimiser.step_in_backward(rates, &losses.total)?;
                }
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
    fn labels(&self, micros: &[Micro]) -> Result<Option<f64>, TrainError> {
        if micros.len() == 1 && self.mesh.data_part().1 == 1 {
            return Ok(None);
        }
        let own = micros.iter().map(|m| m.text.label_count()).sum();
        Ok(Some(label_divisor(&self.mesh, own, self.settings.caption_loss_rank_mean)?))
    }

    /// All ranks' features, with a way back as the settings want it.
    fn gather(&self, image_bd: &Tensor, text_bd: &Tensor) -> Result<Gathered, LossError> {
        let form =
            Form { local_loss: self.settings.local_loss, gather_with_grad: self.settings.gather_with_grad };
        features_of_all(&self.mesh, form, image_bd, text_bd)
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

/// open_clip's two switches of the contrastive loss on several ranks.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// A rank computes its own rows alone.
    local_loss: bool,
    /// Backward reaches the other ranks' features.
    gather_with_grad: bool,
}

/// All ranks' features. With `gather_with_grad` every form has the value and the gradients of one process with the whole
/// batch, and the own rows are enough. Without, gradients are open_clip's: of the own rows' loss to the own rows as they
/// stand in it, or (`local_loss` off) of the whole loss to the own rows, the mean over ranks.
fn features_of_all(
    mesh: &Mesh,
    form: Form,
    image_bd: &Tensor,
    text_bd: &Tensor,
) -> Result<Gathered, LossError> {
    let rows = image_bd.size().first().copied().unwrap_or(0);
    let first_row = mesh.data_part().0 as i64 * rows;
    let whole_loss = !form.gather_with_grad && !form.local_loss;
    let all = |own_bd: &Tensor| -> Result<Tensor, LossError> {
        if form.gather_with_grad {
            return Ok(mesh.gather_rows(own_bd)?);
        }
        let all_nd = mesh.gather_rows(&own_bd.detach())?;
        if !whole_loss {
            return Ok(all_nd);
        }
        let behind = first_row + rows;
        let rest = all_nd.size().first().copied().unwrap_or(behind) - behind;
        Ok(Tensor::cat(&[&all_nd.narrow(0, 0, first_row), own_bd, &all_nd.narrow(0, behind, rest)], 0))
    };
    Ok(Gathered { image_nd: all(image_bd)?, text_nd: all(text_bd)?, first_row, whole_loss })
}

/// Over how many labels the sum of a rank's caption losses is taken, so that the ranks' sum is the mean over all labels, or
/// with `rank_mean` the mean of each rank's mean.
#[allow(clippy::cast_precision_loss)]
fn label_divisor(mesh: &Mesh, own: i64, rank_mean: bool) -> Result<f64, TrainError> {
    if rank_mean {
        return Ok(own as f64 * mesh.data_part().1 as f64);
    }
    let mut all = Tensor::from(own as f64);
    mesh.sum(&mut all)?;
    Ok(all.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::l2_normalise;
    use crate::parallel::tests::on_ranks;
    use tch::Device;

    const RANKS: i64 = 2;
    const ROWS: i64 = 3;

    /// Something like features: images, texts and the scale of a batch on all ranks, the same on each.
    fn features() -> [Tensor; 3] {
        let draw = |from: i64| {
            let numbers = Tensor::arange(RANKS * ROWS * 4, (Kind::Float, Device::Cpu)) + from;
            l2_normalise(&(numbers * 0.7).sin().view([RANKS * ROWS, 4])).set_requires_grad(true)
        };
        [draw(0), draw(5), Tensor::from(7.0f32).set_requires_grad(true)]
    }

    /// Each row against its own number among all.
    fn cross_entropy(logits: &Tensor, first: i64) -> Tensor {
        let rows = logits.size()[0];
        let labels = Tensor::arange_start(first, first + rows, (Kind::Int64, Device::Cpu));
        logits.cross_entropy_loss(&labels, None::<&Tensor>, tch::Reduction::Mean, -100, 0.0)
    }

    fn numbers(t: &Tensor) -> Vec<f32> {
        <Vec<f32>>::try_from(t.detach().flatten(0, -1)).unwrap()
    }

    /// open_clip's ClipLoss and gather_features, and DDP's mean over ranks, written down plainly for one process that plays
    /// all ranks: the mean of the losses, its gradients to all features and to the scale.
    fn reference(form: Form) -> Vec<Vec<f32>> {
        let [image, text, scale] = features();
        let mut total = Tensor::zeros([], (Kind::Float, Device::Cpu));
        for rank in 0..RANKS {
            let first = rank * ROWS;
            let own = |all: &Tensor| all.narrow(0, first, ROWS);
            let gathered = |all: &Tensor| match (form.gather_with_grad, form.local_loss) {
                (true, _) => all.shallow_clone(),
                (false, true) => all.detach(),
                (false, false) => {
                    let others = all.detach();
                    let rest = RANKS * ROWS - first - ROWS;
                    Tensor::cat(
                        &[others.narrow(0, 0, first), own(all), others.narrow(0, first + ROWS, rest)],
                        0,
                    )
                }
            };
            let (images, texts) = (gathered(&image), gathered(&text));
            let loss = match form.local_loss {
                true => {
                    cross_entropy(&(&scale * own(&image).matmul(&texts.tr())), first)
                        + cross_entropy(&(&scale * own(&text).matmul(&images.tr())), first)
                }
                false => {
                    let logits = &scale * images.matmul(&texts.tr());
                    cross_entropy(&logits, 0) + cross_entropy(&logits.tr(), 0)
                }
            };
            total += loss / 2.0 / RANKS as f64;
        }
        total.backward();
        [total.detach(), image.grad(), text.grad(), scale.grad()].iter().map(numbers).collect()
    }

    #[test]
    fn the_contrastive_loss_has_open_clips_value_and_gradients_in_every_form() {
        let mut seen = Vec::new();
        for (local_loss, gather_with_grad) in [(false, true), (true, true), (true, false), (false, false)] {
            let form = Form { local_loss, gather_with_grad };
            let expected = reference(form);
            let ranks = on_ranks(2, 60, |mesh| {
                let [image, text, scale] = features().map(|t| t.detach());
                let first = mesh.rank() as i64 * ROWS;
                let own = |t: &Tensor| t.narrow(0, first, ROWS).copy().set_requires_grad(true);
                let (image, text) = (own(&image), own(&text));
                let scale = scale.set_requires_grad(true);
                let all = features_of_all(&mesh, form, &image, &text).unwrap();
                let loss = contrastive_loss(&image, &text, &scale, Some(&all)) / RANKS as f64;
                loss.backward();
                // The parts' sum, as the trainer makes it.
                let mut sums = [loss.detach(), scale.grad()];
                sums.iter_mut().for_each(|sum| mesh.sum(sum).unwrap());
                let [loss, scale] = sums;
                [loss, image.grad(), text.grad(), scale].iter().map(numbers).collect::<Vec<_>>()
            });
            for (index, expected) in expected.iter().enumerate() {
                // Features: each rank has the gradients to its own rows.
                let found: Vec<f32> = match index {
                    1 | 2 => ranks.iter().flat_map(|rank| rank[index].clone()).collect(),
                    _ => ranks[1][index].clone(),
                };
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() < 1e-5, "{form:?}, {index}: {found:?} instead of {expected:?}");
                }
            }
            seen.push(expected);
        }
        assert_eq!(seen[0][0], seen[3][0], "the value is one process's in every form");
        assert_ne!(seen[1][1], seen[2][1], "the gradients are not");
        assert_ne!(seen[2][1], seen[3][1]);
    }

    #[test]
    fn caption_losses_are_divided_by_all_labels_or_by_each_ranks_own() {
        // Rank 0 has 3 labels, rank 1 has 5; a rank's part is the sum of its losses over its divisor.
        let sums = [6.0, 20.0];
        for (rank_mean, expected) in [(false, 26.0 / 8.0), (true, f64::midpoint(6.0 / 3.0, 20.0 / 5.0))] {
            let parts = on_ranks(2, 60, |mesh| {
                let own = [3, 5][mesh.rank()];
                sums[mesh.rank()] / label_divisor(&mesh, own, rank_mean).unwrap()
            });
            assert!((parts.iter().sum::<f64>() - expected).abs() < 1e-12, "{parts:?}");
        }
    }
}
