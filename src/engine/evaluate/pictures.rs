//! Pictures from disk to a batch that the image tower takes, decoded while the model computes on those before.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use data::picture::Preprocess;
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

/// A picture as numbers, or why it cannot be read.
pub type Decoded = Result<Vec<f32>, String>;

/// Pictures decoded ahead.
const AHEAD: usize = 2;

/// Decodes `paths` in order, in groups of `batch`, `AHEAD` groups ahead of who receives them. A receiver that is
/// dropped ends it.
pub fn ahead(paths: Vec<PathBuf>, preprocess: Preprocess, batch: usize) -> Receiver<Vec<Decoded>> {
    let (tx, rx) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        for group in paths.chunks(batch.max(1)) {
            if tx.send(decode_all(group, &preprocess)).is_err() {
                return;
            }
        }
    });
    rx
}

fn decode_all(paths: &[PathBuf], preprocess: &Preprocess) -> Vec<Decoded> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(paths.len()).max(1);
    if workers == 1 {
        return paths.iter().map(|path| decode(path, preprocess)).collect();
    }
    let share = paths.len().div_ceil(workers);
    std::thread::scope(|scope| {
        let work = |part: &'_ [PathBuf]| part.iter().map(|p| decode(p, preprocess)).collect::<Vec<_>>();
        let parts: Vec<_> = paths.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        let join = |(part, of): (std::thread::ScopedJoinHandle<Vec<Decoded>>, &[PathBuf])| {
            // A decoder that panics has damaged nothing but its own part.
            part.join().unwrap_or_else(|_| vec![Err("the decoder gave up on it".to_owned()); of.len()])
        };
        parts.into_iter().zip(paths.chunks(share)).flat_map(join).collect()
    })
}

fn decode(path: &Path, preprocess: &Preprocess) -> Decoded {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let mut numbers = vec![0.0; preprocess.numbers()];
    preprocess.evaluate_file(&bytes, &mut numbers).map_err(|e| e.to_string())?;
    Ok(numbers)
}

/// Pictures `[b,3,side,side]`, float32, on `device`.
///
/// # Errors
/// What libtorch said.
pub fn tensor(pictures: &[&[f32]], side: usize, device: Device) -> Result<Tensor, tch::TchError> {
    let numbers = pictures.concat();
    let side = side as i64;
    Tensor::f_from_slice(&numbers)?.f_view([pictures.len() as i64, 3, side, side])?.f_to_device(device)
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
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    let (mut pictures, mut read, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (decoded, path)) in decode_all(&paths, preprocess).into_iter().zip(&paths).enumerate() {
        match decoded {
            Ok(numbers) => {
                pictures.push(numbers);
                read.push(index);
            }
            Err(why) => unreadable.push(Unreadable { path: path.clone(), why }),
        }
    }
    if read.is_empty() {
        return Ok((None, read, unreadable));
    }
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    Ok((Some(tensor(&pictures, preprocess.side(), device)?), read, unreadable))
}
