//! Pictures are decoded while the model computes on those before.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use data::picture::{self, Preprocess};

/// A picture as numbers, or why it cannot be read.
pub(super) type Decoded = Result<Vec<f32>, String>;

/// Pictures decoded ahead.
const AHEAD: usize = 2;

/// Decodes `paths` in order, in groups of `batch`, `AHEAD` groups ahead of who receives them. A receiver that is
/// dropped ends it.
pub(super) fn ahead(paths: Vec<PathBuf>, preprocess: Preprocess, batch: usize) -> Receiver<Vec<Decoded>> {
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
    let picture = picture::decode(&bytes).map_err(|e| e.to_string())?;
    let mut numbers = vec![0.0; preprocess.numbers()];
    preprocess.evaluate(&picture, &mut numbers);
    Ok(numbers)
}
