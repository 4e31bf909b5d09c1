//! CoCa's loss: contrastive + captioning, in open_clip's plain form and in the form that training uses.
//!
//! The two are equal (a property test holds them together). The training form never pays for padding: the
//! text towers run on the columns that matter ([`TextBatch`]), and the vocabulary projection with its
//! cross-entropy only on positions that have a label, a chunk of rows at a time.
//!
//! Chunks and gradients. Autograd would keep every chunk's logits until backward. Instead, the gradients of
//! the mean cross-entropy to the hidden rows and to the projection are computed chunk by chunk in the
//! forward pass, while the chunk's logits are at hand (softmax minus one-hot), and attached to the value.
//! That is the work of an ordinary backward pass, done earlier; one chunk of logits is resident at a time.

use tch::{Device, Kind, Reduction, Tensor};

use crate::model::{CoCa, ModelError, Split, TextBatch, sums_over_vocabulary};
use crate::shim::{self, TorchError};

/// What the two losses count for. A weight of 0 skips that part: nothing of it is computed, and parameters
/// that only it trains get no gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Of the contrastive loss.
    pub contrastive: f64,
    /// Of the captioning loss.
    pub caption: f64,
}

impl Default for LossWeights {
    /// open_clip's: 1 and 2.
    fn default() -> Self {
        Self { contrastive: 1.0, caption: 2.0 }
    }
}

/// A batch's loss; scalars on the model's device, each part with its weight applied.
#[derive(Debug)]
pub struct Losses {
    /// The sum of the parts: what backward starts from.
    pub total: Tensor,
    /// Weighted; 0 where the weight is.
    pub contrastive: Tensor,
    /// Weighted; 0 where the weight is.
    pub caption: Tensor,
}

/// Why there is no loss.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// Nothing to predict: the mean over labels does not exist.
    #[error("every label of the batch is padding: no caption has a token after its first")]
    NoLabels,
    /// Both weights are 0.
    #[error("both loss weights are 0: there is nothing to train")]
    NoWeight,
    /// Images and texts are not pairs.
    #[error("a batch of {images} images and {texts} texts")]
    Unpaired {
        /// Images given.
        images: i64,
        /// Texts given.
        texts: i64,
    },
    /// The model refused the batch.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Features of all ranks, for contrast against more than the own batch.
#[derive(Debug)]
pub struct Gathered {
    /// Images of all ranks in rank order, `[n,d]`.
    pub image_nd: Tensor,
    /// Texts of all ranks in rank order, `[n,d]`.
    pub text_nd: Tensor,
    /// Where this rank's rows begin.
    pub first_row: i64,
    /// The loss is that of all rows, instead of this rank's alone.
    pub whole_loss: bool,
}

/// Makes this rank's (image, text) features known to all ranks, and returns everybody's.
pub type Gather<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Gathered, LossError> + 'a;

/// ClipLoss of these rows against all rows: the mean of both directions' cross-entropies. On one process
/// "all" are these rows themselves; on several this is open_clip's `local_loss`.
pub fn contrastive_loss(
    image_bd: &Tensor,
    text_bd: &Tensor,
    logit_scale: &Tensor,
    all: Option<&Gathered>,
) -> Tensor {
    if let Some(all) = all.filter(|all| all.whole_loss) {
        return contrastive_loss(&all.image_nd, &all.text_nd, logit_scale, None);
    }
    let (all_image_nd, all_text_nd, first) = match all {
        Some(all) => (&all.image_nd, &all.text_nd, all.first_row),
        None => (image_bd, text_bd, 0),
    };
    let rows = image_bd.size()[0];
    let labels_b = Tensor::arange_start(first, first + rows, (Kind::Int64, image_bd.device()));
    let image_logits_bn = (logit_scale * image_bd).matmul(&all_text_nd.tr());
    let text_logits_bn = match all {
        Some(_) => (logit_scale * text_bd).matmul(&all_image_nd.tr()),
        None => image_logits_bn.tr(),
    };
    let cross_entropy = |logits: Tensor| {
        logits.to_kind(Kind::Float).cross_entropy_loss(&labels_b, None::<&Tensor>, Reduction::Mean, -100, 0.0)
    };
    (cross_entropy(image_logits_bn) + cross_entropy(text_logits_bn)) / 2.0
}

/// What part of a bigger batch a loss is taken of; see [`coca_loss`].
#[derive(Clone, Copy, Default)]
pub struct Share<'a> {
    /// Gives all ranks' features.
    pub gather: Option<&'a Gather<'a>>,
    /// Into how many parts the contrastive loss is divided: ranks. 0 counts as 1.
    pub parts: i64,
    /// Over how many labels the caption loss is the mean; none: this batch's own.
    pub labels: Option<f64>,
    /// The contrastive loss's gradients to this batch's (image, text) features, `[b,d]`, its weight included, where
    /// they are known: its value is not computed again then, and counts as 0.
    pub known: Option<(&'a Tensor, &'a Tensor)>,
}

/// open_clip's CoCaLoss in its plain form, on everything that [`CoCa::forward`] returns: `logits_btv`
/// against `labels_bt`, `pad_id` ignored.
pub fn plain_loss(
    output: &crate::model::Output,
    labels_bt: &Tensor,
    pad_id: i64,
    weights: LossWeights,
) -> Result<Losses, LossError> {
    let mut parts = Parts::new(weights, output.logits_btv.device())?;
    if weights.contrastive != 0.0 {
        let (image, text) = (&output.image_features_bd, &output.text_features_bd);
        parts.contrastive = Some(contrastive_loss(image, text, &output.logit_scale, None));
    }
    if weights.caption != 0.0 {
        let rows_rv = output.logits_btv.flatten(0, 1).to_kind(Kind::Float);
        let labels_r = labels_bt.flatten(0, 1);
        let none = None::<&Tensor>;
        parts.caption = Some(rows_rv.cross_entropy_loss(&labels_r, none, Reduction::Mean, pad_id, 0.0));
    }
    Ok(parts.sum())
}

/// The training form: the loss of pairs of images `[b,3,h,w]` and texts, ready for backward. With a `share` it is this
/// rank's or micro-step's part of a bigger batch's loss: the parts' sum is the loss, their gradients' sum its gradient.
pub fn coca_loss(
    model: &CoCa,
    image_bchw: &Tensor,
    text: &TextBatch,
    weights: LossWeights,
    share: Option<&Share>,
) -> Result<Losses, LossError> {
    let whole = Share::default();
    let share = share.unwrap_or(&whole);
    let images = image_bchw.size().first().copied().unwrap_or(0);
    if images != text.len() {
        return Err(LossError::Unpaired { images, texts: text.len() });
    }
    let labels = share.labels.unwrap_or(text.label_count() as f64);
    if weights.caption != 0.0 && labels == 0.0 {
        return Err(LossError::NoLabels);
    }
    let columns = text.decoder_columns.max(1);
    let mut surrogate = None;
    let mut parts = Parts::new(weights, model.device())?;
    let image = model.visual.forward(image_bchw)?;
    let tokens_btw = match weights.contrastive != 0.0 {
        true => {
            let (text_bd, tokens_btw) = model.text.forward(text);
            match share.known {
                Some((image_grad_bd, text_grad_bd)) => {
                    let pull = |features: &Tensor, grad: &Tensor| (features * grad).sum(Kind::Float);
                    surrogate = Some(pull(&image.features_bd, image_grad_bd) + pull(&text_bd, text_grad_bd));
                }
                None => {
                    let all = share.gather.map(|gather| gather(&image.features_bd, &text_bd)).transpose()?;
                    let scale = model.logit_scale();
                    let loss = contrastive_loss(&image.features_bd, &text_bd, &scale, all.as_ref());
                    parts.contrastive = Some(if share.parts > 1 { loss / share.parts as f64 } else { loss });
                }
            }
            tokens_btw.narrow(1, 0, columns)
        }
        false => model.text.tokens(text, columns),
    };
    // A rank's own rows may have no label although the batch has: it computes along, as others may wait for it.
    if weights.caption != 0.0 {
        let hidden_btw = model.decoder.hidden(&image.tokens_bnw, &tokens_btw);
        let labelled_rw = hidden_btw.flatten(0, 1).index_select(0, &text.label_rows_r);
        let mut hidden_rw = model.decoder.normalise(&labelled_rw);
        let (head_wv, split) = (model.decoder.text_projection(), model.decoder.split());
        if let Some((split, _)) = split {
            hidden_rw = split.enter(&hidden_rw);
        }
        let ids = split.map_or(head_wv.size()[1], |(split, ids)| ids / split.group().size() as i64 + 1);
        let chunk = chunk_rows(ids, head_wv.device());
        parts.caption = Some(cross_entropy_over(&hidden_rw, head_wv, &text.labels_r, chunk, labels, split)?);
    }
    let mut losses = parts.sum();
    if let Some(surrogate) = surrogate {
        losses.total = &losses.total + surrogate;
    }
    Ok(losses)
}

/// Rows whose logits fit in 64 MiB on the CPU, in 512 MiB on a GPU.
fn chunk_rows(vocabulary: i64, device: Device) -> i64 {
    let logits = if device.is_cuda() { 1 << 27 } else { 1 << 24 };
    (logits / vocabulary.max(1)).max(1)
}

/// The mean cross-entropy of `hidden_rw` times `head_wv` against `labels_r`, a float32 scalar, with at most
/// `chunk_rows` rows of logits resident. Its gradients are attached, not recorded: backward works once.
pub fn vocabulary_cross_entropy(
    hidden_rw: &Tensor,
    head_wv: &Tensor,
    labels_r: &Tensor,
    chunk_rows: i64,
) -> Result<Tensor, TorchError> {
    let rows = hidden_rw.size().first().copied().unwrap_or(0);
    cross_entropy_over(hidden_rw, head_wv, labels_r, chunk_rows, rows as f64, None)
}

/// The sum of the rows' cross-entropies over `divisor`, which is more than the rows where they are a part of a batch.
/// Where the vocabulary is split, `head_wv` is this rank's ids of it, and every rank gets the same value.
fn cross_entropy_over(
    hidden_rw: &Tensor,
    head_wv: &Tensor,
    labels_r: &Tensor,
    chunk_rows: i64,
    divisor: f64,
    split: Option<(&Split, i64)>,
) -> Result<Tensor, TorchError> {
    // A view records no gradient where none is wanted (under no_grad, or nothing requires one).
    let wants = |t: &Tensor| t.alias().requires_grad();
    let (wants_hidden, wants_head) = (wants(hidden_rw), wants(head_wv));
    let made = tch::no_grad(|| -> Result<_, TorchError> {
        let kind = hidden_rw.kind();
        let head = head_wv.to_kind(kind);
        let rows = hidden_rw.size()[0];
        let log_divisor = divisor.ln();
        let mut value = Tensor::zeros([], (Kind::Float, hidden_rw.device()));
        let mut hidden_grads = Vec::new();
        let mut head_grad: Option<Tensor> = None;
        let mut at = 0;
        while at < rows {
            let n = chunk_rows.max(1).min(rows - at);
            let hidden_nw = hidden_rw.narrow(0, at, n);
            let label_n1 = labels_r.narrow(0, at, n).unsqueeze(1);
            at += n;
            let mut logits_nv = shim::product(&hidden_nw, &head)?.to_kind(Kind::Float);
            let mut share = Tensor::full([n, 1], -1.0 / divisor, (Kind::Float, label_n1.device()));
            let (labels_n1, log_sum_n1, own_n1) = match split {
                None => {
                    let own_n1 = logits_nv.gather(1, &label_n1, false);
                    (label_n1, logits_nv.logsumexp([1], true), own_n1)
                }
                Some((split, vocabulary)) => {
                    let (first, count) = split.share(vocabulary);
                    let here_n1 = label_n1.ge(first).logical_and(&label_n1.lt(first + count));
                    let labels_n1 = (label_n1 - first).clamp(0, (count - 1).max(0));
                    share *= here_n1.to_kind(Kind::Float);
                    let (log_sum_n1, own_n1) = sums_over_vocabulary(split, &logits_nv, &labels_n1, &here_n1)?;
                    (labels_n1, log_sum_n1, own_n1)
                }
            };
            let _ = value.g_add_(&(&log_sum_n1 - own_n1).sum(Kind::Float));
            if !(wants_hidden || wants_head) {
                continue;
            }
            // softmax / divisor, in place; then the label's own share off.
            let _ = logits_nv.g_sub_(&(log_sum_n1 + log_divisor)).exp_();
            let d_logits_nv = logits_nv.scatter_add_(1, &labels_n1, &share).to_kind(kind);
            if wants_hidden {
                hidden_grads.push(shim::linear(&d_logits_nv, &head, None)?);
            }
            if wants_head {
                let hidden_wn = hidden_nw.tr();
                head_grad = Some(match head_grad {
                    None => shim::product(&hidden_wn, &d_logits_nv)?.to_kind(head_wv.kind()),
                    Some(mut sum) if kind == head_wv.kind() => sum.addmm_(&hidden_wn, &d_logits_nv),
                    Some(mut sum) => sum.g_add_(&hidden_wn.matmul(&d_logits_nv).to_kind(head_wv.kind())),
                });
            }
        }
        let hidden_grad = wants_hidden.then(|| match hidden_grads.is_empty() {
            true => hidden_rw.zeros_like(),
            false => Tensor::cat(&hidden_grads, 0),
        });
        Ok((value / divisor, hidden_grad, head_grad))
    });
    let (value, hidden_grad, head_grad) = made?;
    let (mut inputs, mut gradients) = (Vec::new(), Vec::new());
    for (input, gradient) in [(hidden_rw, hidden_grad), (head_wv, head_grad)] {
        if let Some(gradient) = gradient {
            inputs.push(input.shallow_clone());
            gradients.push(gradient);
        }
    }
    if inputs.is_empty() { Ok(value) } else { shim::with_gradients(&value, &inputs, gradients) }
}

/// The parts of a loss before their weights.
struct Parts {
    weights: LossWeights,
    device: Device,
    contrastive: Option<Tensor>,
    caption: Option<Tensor>,
}

impl Parts {
    fn new(weights: LossWeights, device: Device) -> Result<Self, LossError> {
        if weights.contrastive == 0.0 && weights.caption == 0.0 {
            return Err(LossError::NoWeight);
        }
        Ok(Self { weights, device, contrastive: None, caption: None })
    }

    fn sum(self) -> Losses {
        let weigh = |part: Option<Tensor>, weight: f64| match part {
            Some(part) if weight == 1.0 => part,
            Some(part) => part * weight,
            None => Tensor::zeros([], (Kind::Float, self.device)),
        };
        let contrastive = weigh(self.contrastive, self.weights.contrastive);
        let caption = weigh(self.caption, self.weights.caption);
        Losses { total: &contrastive + &caption, contrastive, caption }
    }
}
