//! Captions that are reported while they grow: greedy and drawn, several rows an image, with a prompt and scores.

use run::decoding::{Decoding as Wish, Method};
use tch::{Kind, Tensor};

use super::{Decoding, GenerateError, Sampler, Sampling};
use crate::model::{CoCa, ImageTokens};

/// One text: SOT first, then prompt and ids up to EOT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The ids so far.
    pub ids: Vec<i64>,
    /// Sum of the log-probabilities of the ids that were chosen.
    pub log_probability: f64,
    /// How many ids were chosen.
    pub chosen: u32,
    done: bool,
}

impl Row {
    /// Mean log-probability of the chosen ids.
    pub fn score(&self) -> Option<f64> {
        (self.chosen > 0).then(|| self.log_probability / f64::from(self.chosen))
    }
}

/// The ids that mean something, and those that every text begins with.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Start of text.
    pub sot: i64,
    /// End of text.
    pub eot: i64,
    /// Ids between SOT and the first chosen one.
    pub prompt: Vec<i64>,
}

/// Writes `wish.captions` rows for each image of `image`; row `i * captions + c` is caption c of image i.
///
/// `each` sees all rows after every step, and ends the writing by saying false: the rows are then as far as they came.
///
/// # Errors
/// Options that do not fit the model; a method that this function does not do; what libtorch said.
pub fn write(
    model: &CoCa,
    image: &ImageTokens,
    wish: &Wish,
    frame: &Frame,
    mut each: impl FnMut(&[Row]) -> bool,
) -> Result<Vec<Row>, GenerateError> {
    let options = |said: String| GenerateError::Options(said);
    let mut sampler = match wish.method {
        Method::Greedy => None,
        Method::Sample { top_k, top_p } => {
            let by = Sampling { top_k: top_k.map(i64::from), top_p, temperature: wish.temperature };
            Some(Sampler::new(by, wish.seed)?)
        }
        Method::Beam { .. } => {
            return Err(options("beam search is not available here yet: use greedy, top_k or top_p".into()));
        }
    };
    if wish.compat.is_some() {
        return Err(options("compat is not available here yet: leave it out".into()));
    }
    let text = &model.config.text;
    let rows_per_image = if sampler.is_some() { i64::from(wish.captions) } else { 1 };
    let max_len = i64::from(wish.max_len).min(text.context_length + 1);
    let begin = frame.prompt.len() as i64 + 1;
    if begin >= max_len {
        let said =
            format!("the prompt has {begin} ids with the start of text: max_len {max_len} leaves no room");
        return Err(options(said));
    }
    let mut decoding = Decoding::new(model, image, rows_per_image, max_len - 1)?;
    let device = decoding.device();
    let count = decoding.rows();
    let mut first = vec![frame.sot];
    first.extend(&frame.prompt);
    let mut rows = vec![Row { ids: first.clone(), ..Row::default() }; usize::try_from(count).unwrap_or(0)];
    let mut ids_rt =
        Tensor::f_from_slice(&first)?.f_to_device(device)?.f_unsqueeze(0)?.f_repeat([count, 1])?;
    for length in begin..max_len {
        let mut logits_rv = penalised(decoding.advance(&ids_rt)?, &rows, wish.repetition_penalty)?;
        if length < i64::from(wish.min_len) {
            let eot = Tensor::f_from_slice(&[frame.eot])?.f_to_device(device)?;
            logits_rv = logits_rv.f_index_fill(1, &eot, f64::NEG_INFINITY)?;
        }
        let chosen_r = if length + 1 == max_len {
            // The last id of a text that reaches the end is EOT, as in open_clip.
            Tensor::f_full([count], frame.eot, (Kind::Int64, device))?
        } else if let Some(sampler) = &mut sampler {
            sampler.pick(&logits_rv)?.f_to_device(device)?
        } else {
            logits_rv.f_argmax(-1, false)?
        };
        let log_r =
            logits_rv.f_log_softmax(-1, Kind::Float)?.f_gather(1, &chosen_r.f_unsqueeze(1)?, false)?;
        let logs = Vec::<f32>::try_from(log_r.f_flatten(0, -1)?.f_to_kind(Kind::Float)?)?;
        let chosen = Vec::<i64>::try_from(&chosen_r)?;
        let mut next = vec![text.pad_id; rows.len()];
        for (((row, next), id), log) in rows.iter_mut().zip(&mut next).zip(chosen).zip(logs) {
            if row.done {
                continue;
            }
            row.ids.push(id);
            // A forced EOT was not chosen: it may be as unlikely as it likes.
            if length + 1 < max_len {
                row.log_probability += f64::from(log);
                row.chosen += 1;
            }
            *next = id;
            row.done = id == frame.eot || id == text.pad_id;
        }
        if !each(&rows) || rows.iter().all(|row| row.done) {
            break;
        }
        ids_rt = Tensor::f_from_slice(&next)?.f_view([count, 1])?.f_to_device(device)?;
    }
    Ok(rows)
}

/// Logits of ids that are in a row already, made less likely.
fn penalised(logits_rv: Tensor, rows: &[Row], penalty: f64) -> Result<Tensor, GenerateError> {
    if (penalty - 1.0).abs() < f64::EPSILON {
        return Ok(logits_rv);
    }
    for (r, row) in rows.iter().enumerate() {
        let ids = Tensor::f_from_slice(&row.ids)?.f_to_device(logits_rv.device())?;
        let mut logits_v = logits_rv.f_get(r as i64)?;
        let old = logits_v.f_index_select(0, &ids)?;
        let new = (&old / penalty).f_where_self(&old.f_ge(0.0)?, &(&old * penalty))?;
        let _ = logits_v.f_index_copy_(0, &ids, &new)?;
    }
    Ok(logits_rv)
}
