//! What is done to scores before an id is chosen, with the rules of transformers' processors of these names.

use tch::{Device, Tensor};

use super::GenerateError;

/// Forbids one id in every row of `[r,v]`.
pub(super) fn forbid(scores_rv: &Tensor, id: i64) -> Result<Tensor, GenerateError> {
    let id = Tensor::from_slice(&[id]).f_to_device(scores_rv.device())?;
    Ok(scores_rv.f_index_fill(1, &id, f64::NEG_INFINITY)?)
}

/// Makes ids that a row holds already less likely: a score above 0 is divided by `penalty`, one below
/// multiplied. `texts` are as many as rows, all of one length.
pub(super) fn penalise_repetition(
    scores_rv: &Tensor,
    texts: &[&[i64]],
    penalty: f64,
) -> Result<Tensor, GenerateError> {
    if penalty == 1.0 {
        return Ok(scores_rv.shallow_clone());
    }
    let ids_rt = Tensor::f_from_slice(&texts.concat())?.f_view([texts.len() as i64, -1])?;
    let ids_rt = ids_rt.f_to_device(scores_rv.device())?;
    let held = scores_rv.f_gather(1, &ids_rt, false)?;
    let less = held.f_mul_scalar(penalty)?.f_where_self(&held.f_lt(0.0)?, &held.f_div_scalar(penalty)?)?;
    Ok(scores_rv.f_scatter(1, &ids_rt, &less)?)
}

/// Subtracts `penalty` once for every time that an id is in `chosen[r]`: for what other groups of beams chose
/// at this step (the Hamming diversity of Diverse Beam Search).
pub(super) fn penalise_chosen(
    scores_rv: &Tensor,
    chosen: &[Vec<i64>],
    penalty: f64,
) -> Result<Tensor, GenerateError> {
    if penalty == 0.0 || chosen.iter().all(Vec::is_empty) {
        return Ok(scores_rv.shallow_clone());
    }
    let ids_rc = Tensor::f_from_slice(&chosen.concat())?.f_view([chosen.len() as i64, -1])?;
    let ids_rc = ids_rc.f_to_device(scores_rv.device())?;
    let less = Tensor::f_full(ids_rc.size(), -penalty, (scores_rv.kind(), scores_rv.device()))?;
    Ok(scores_rv.f_scatter_add(1, &ids_rc, &less)?)
}

/// A tensor's numbers, on this side.
pub(super) fn numbers<T: tch::kind::Element + Copy + Default>(t: &Tensor) -> Result<Vec<T>, GenerateError> {
    let t = t.f_to_device(Device::Cpu)?.f_to_kind(T::KIND)?.f_contiguous()?;
    let mut out = vec![T::default(); t.numel()];
    let count = out.len();
    t.f_copy_data(&mut out, count)?;
    Ok(out)
}
