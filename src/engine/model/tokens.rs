//! A batch of token ids, cut to the columns that can change a result.

use tch::{Device, Kind, Tensor};

use super::{CoCaConfig, ModelError};
use crate::device::carry;

/// Token ids of a batch, and which positions of the decoder are trained on them.
///
/// Cutting is exact. With n = 1 + the last column that holds anything but padding, the first n + 1 columns
/// decide every feature (open_clip's legacy mask lets CLS see the first pad), CLS keeps the position that it
/// has behind the whole text, and only the first n - 1 positions of the decoder have a label.
#[derive(Debug)]
pub struct TextBatch {
    /// Token ids int64 `[b,t]`, t <= the columns given.
    pub(super) ids_bt: Tensor,
    /// Columns given: the position of CLS.
    pub(super) cls_position: i64,
    /// Positions that the decoder must compute.
    pub(crate) decoder_columns: i64,
    /// Positions with a label, as indices into `[b * decoder_columns]`.
    pub(crate) label_rows_r: Tensor,
    /// Their labels.
    pub(crate) labels_r: Tensor,
    label_count: i64,
}

impl TextBatch {
    /// The training path: `ids_bs` (int64 on the CPU, SOT first, padded behind) cut, then moved to `device`.
    /// Errors: a wrong shape, an id outside the vocabulary.
    pub fn trimmed(ids_bs: &Tensor, config: &CoCaConfig, device: Device) -> Result<Self, ModelError> {
        Self::new(ids_bs, config, device, true)
    }

    /// The same, not cut.
    pub fn whole(ids_bs: &Tensor, config: &CoCaConfig, device: Device) -> Result<Self, ModelError> {
        Self::new(ids_bs, config, device, false)
    }

    fn new(ids_bs: &Tensor, config: &CoCaConfig, device: Device, trim: bool) -> Result<Self, ModelError> {
        let (batch, given) = check(ids_bs, config)?;
        let text = &config.text;
        let ids_bs = ids_bs.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64)?;
        let valid_bs = ids_bs.f_ne(text.pad_id)?;
        let used = if trim { used_columns(&valid_bs)? } else { given };
        let columns = given.min(used + 1);
        let decoder_columns = (used - 1).max(0);

        let next_bt =
            ids_bs.f_narrow(1, 1.min(given), decoder_columns)?.f_reshape([batch * decoder_columns])?;
        let label_rows_r = next_bt.f_ne(text.pad_id)?.f_nonzero()?.f_squeeze_dim(1)?;
        let labels_r = next_bt.f_index_select(0, &label_rows_r)?;
        let label_count = labels_r.numel() as i64;
        Ok(Self {
            ids_bt: carry(&ids_bs.f_narrow(1, 0, columns)?.f_contiguous()?, device)?,
            cls_position: given,
            decoder_columns,
            label_rows_r: carry(&label_rows_r, device)?,
            labels_r: carry(&labels_r, device)?,
            label_count,
        })
    }

    /// Texts.
    pub fn len(&self) -> i64 {
        self.ids_bt.size().first().copied().unwrap_or(0)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns that the text tower computes, CLS not counted.
    pub fn columns(&self) -> i64 {
        self.ids_bt.size().get(1).copied().unwrap_or(0)
    }

    /// Positions that have a label, over the batch: the caption loss is the mean over these.
    pub fn label_count(&self) -> i64 {
        self.label_count
    }
}

/// 1 + the last column that has a valid id in any row; 0 where none has.
fn used_columns(valid_bs: &Tensor) -> Result<i64, ModelError> {
    let columns = valid_bs.f_any_dim(0, false)?.f_nonzero()?;
    match columns.numel() {
        0 => Ok(0),
        _ => Ok(columns.f_max()?.f_int64_value(&[])? + 1),
    }
}

fn check(ids_bs: &Tensor, config: &CoCaConfig) -> Result<(i64, i64), ModelError> {
    let size = ids_bs.size();
    let context = config.text.context_length;
    let [batch, given] = size[..] else {
        return Err(ModelError::Tokens(format!("expected [batch, positions], got {size:?}")));
    };
    if batch == 0 || given == 0 || given > context {
        let expected = format!("[1 or more, 1 to {context}]");
        return Err(ModelError::Tokens(format!("expected {expected}, the model's context, got {size:?}")));
    }
    let (low, high) = (ids_bs.f_min()?.f_int64_value(&[])?, ids_bs.f_max()?.f_int64_value(&[])?);
    let vocab = config.text.vocab_size;
    if low < 0 || high >= vocab {
        let id = if low < 0 { low } else { high };
        return Err(ModelError::Tokens(format!(
            "id {id} is outside the model's vocabulary of {vocab}; use the tokenizer that belongs to the model"
        )));
    }
    Ok((batch, given))
}
