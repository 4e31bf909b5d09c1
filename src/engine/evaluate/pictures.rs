//! Pictures from disk to a batch that the image tower takes.

use std::path::{Path, PathBuf};

use data::picture::{self, Preprocess};
use tch::{Device, Tensor};
use thiserror::Error;

/// A picture that could not be read, and why.
#[derive(Clone, Debug, Error)]
#[error("{}: {why}", path.display())]
pub struct Unreadable {
    /// The picture.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Reads pictures as evaluation sees them: `[b,3,side,side]` float32 of those that can be read, with their indices.
///
/// # Errors
/// Only what libtorch says; unreadable pictures are the last value.
#[allow(clippy::type_complexity)]
pub fn read_pictures<P: AsRef<Path>>(
    paths: &[P],
    preprocess: &Preprocess,
    device: Device,
) -> Result<(Option<Tensor>, Vec<usize>, Vec<Unreadable>), tch::TchError> {
    let (mut numbers, mut read, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, path) in paths.iter().map(AsRef::as_ref).enumerate() {
        let decoded = std::fs::read(path)
            .map_err(|e| e.to_string())
            .and_then(|bytes| picture::decode(&bytes).map_err(|e| e.to_string()));
        match decoded {
            Ok(picture) => {
                let from = numbers.len();
                numbers.resize(from + preprocess.numbers(), 0.0);
                preprocess.evaluate(&picture, &mut numbers[from..]);
                read.push(index);
            }
            Err(why) => unreadable.push(Unreadable { path: path.to_owned(), why }),
        }
    }
    if read.is_empty() {
        return Ok((None, read, unreadable));
    }
    let side = preprocess.side() as i64;
    let image_bchw = Tensor::f_from_slice(&numbers)?.f_view([read.len() as i64, 3, side, side])?;
    Ok((Some(image_bchw.f_to_device(device)?), read, unreadable))
}
