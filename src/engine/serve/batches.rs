//! Batches that become smaller when memory runs out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use run::serve::Reply;
use tch::{Device, Tensor};

use super::error::ServeError;
use super::{Onward, Work};
use crate::train::words;

/// Pictures `[b,3,side,side]` on `device`.
pub(super) fn tensor(pictures: &[&[f32]], side: usize, device: Device) -> Result<Tensor, tch::TchError> {
    let numbers = pictures.concat();
    let side = side as i64;
    Tensor::f_from_slice(&numbers)?.f_view([pictures.len() as i64, 3, side, side])?.f_to_device(device)
}

/// Does `f` on `0..count` in ranges of at most `size`; halves `size`, for good, while libtorch runs out of memory.
///
/// # Errors
/// What `f` says; out of memory with a single item.
pub(super) fn in_pieces(
    count: usize,
    size: &mut usize,
    work: &mut Work,
    mut f: impl FnMut(std::ops::Range<usize>, &mut Work) -> Result<Onward, ServeError>,
) -> Result<Onward, ServeError> {
    let mut from = 0;
    while from < count {
        if work.look() == Onward::Cancelled {
            return Ok(Onward::Cancelled);
        }
        let to = count.min(from + (*size).max(1));
        let piece = catch_unwind(AssertUnwindSafe(|| f(from..to, work)));
        match piece.unwrap_or_else(|panic| Err(ServeError::Panic(words(&*panic)))) {
            Ok(Onward::Cancelled) => return Ok(Onward::Cancelled),
            Ok(Onward::Go) => from = to,
            Err(e) if e.out_of_memory() && to - from > 1 => {
                *size = (to - from) / 2;
                let message = format!("memory ran out: goes on with a batch of {}", *size);
                work.say(Reply::Note { message });
            }
            Err(e) if e.out_of_memory() => {
                return Err(ServeError::Memory { message: e.to_string(), halved: true });
            }
            Err(e) => return Err(e),
        }
    }
    Ok(Onward::Go)
}
