//! The one loop over a request's pictures: decoded ahead, in batches that become smaller when memory runs out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use run::serve::Reply;
use tch::Tensor;

use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work};
use crate::evaluate::pictures;
use crate::train::words;

/// The pictures of a request, and how they are gone through.
pub(super) struct Pictures {
    /// In the order of the request.
    pub images: Vec<PathBuf>,
    /// Pictures at a time.
    pub batch: u32,
    /// What else the request's progress counts behind the pictures.
    pub more: usize,
    /// Whether one picture that cannot be read is the end; else it is reported and left out.
    pub all: bool,
}

/// Hands batches of this process's share of the pictures, `[b,3,side,side]`, with their numbers in the request, to
/// `compute`, in order. Reports progress.
///
/// # Errors
/// What `compute` says; out of memory with a single picture; a picture that cannot be read where all are wanted.
pub(super) fn each(
    served: &Served,
    pictures: Pictures,
    work: &mut Work,
    mut compute: impl FnMut(&[u64], &Tensor, &mut Work) -> Result<Onward, ServeError>,
) -> Result<Onward, ServeError> {
    let Pictures { images, batch, more, all } = pictures;
    let total = (images.len() + more) as u64;
    let mut size = (batch as usize).max(1);
    // Batch by batch in turn, so that all are done at about the same time.
    let (rank, ranks) = (served.mesh.rank(), served.mesh.size());
    let own = images.into_iter().enumerate().filter(|(i, _)| (i / size) % ranks == rank);
    let (own, paths): (Vec<u64>, Vec<PathBuf>) = own.map(|(i, path)| (i as u64, path)).unzip();
    let names = if all { paths.clone() } else { Vec::new() };
    let mut done = 0;
    for group in pictures::ahead(paths, served.preprocess.clone(), size) {
        let (mut numbers, mut readable) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for ((at, index), decoded) in own.iter().copied().enumerate().skip(done).zip(&group) {
            match decoded {
                Ok(picture) => {
                    numbers.push(index);
                    readable.push(picture.as_slice());
                }
                Err(why) if all => {
                    let path = names.get(at).cloned().unwrap_or_default();
                    return Err(ServeError::Picture { path, why: why.clone() });
                }
                Err(why) => work.say(Reply::Unreadable { index, why: why.clone() }),
            }
        }
        let onward = in_pieces(readable.len(), &mut size, work, |range, work| {
            let (side, device) = (served.preprocess.side(), served.model.device());
            let image_bchw = pictures::tensor(&readable[range.clone()], side, device)?;
            compute(&numbers[range], &image_bchw, work)
        })?;
        if onward == Onward::Cancelled {
            return Ok(onward);
        }
        done += group.len();
        work.say(Reply::Progress { done: done as u64, total });
    }
    Ok(Onward::Go)
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
