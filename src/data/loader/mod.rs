//! Batches for training and evaluation, made ahead by worker threads.
//!
//! What a batch holds depends on seed, epoch and its number alone, never on rank, worker or timing: every mesh
//! and every resumed run sees the same ones.

mod batch;
mod order;
mod pictures;
mod seen;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use batch::Batch;
use batch::BatchMaker;
pub use seen::{View, caption_of, seen};

use crate::dataset::Dataset;
use crate::picture::{CropOptions, Preprocess};
use crate::tokenizer::Tokenizer;

/// A place in the sequence of batches.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch within it, from 0.
    pub batch: u64,
}

/// A sample that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the dataset.
    pub index: usize,
    /// Its picture, as the annotations name it.
    pub image: String,
    /// What is wrong.
    pub reason: String,
}

/// What batches are made of, and how.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// Samples of a global batch, over all ranks.
    pub batch_size: usize,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Training: a new order and another caption each epoch, and a broken sample is replaced by another, so that
    /// a batch is always full. Otherwise: annotation order, first caption, a broken sample leaves a gap.
    pub shuffle: bool,
    /// Size and normalisation of the pictures.
    pub preprocess: Preprocess,
    /// Show a random part of each picture; else its middle.
    pub augment: Option<CropOptions>,
    /// Makes ids of captions.
    pub tokenizer: Tokenizer,
    /// Ids of a text row.
    pub context_length: usize,
    /// Leave out the last batch of an epoch when it is not full.
    pub drop_last: bool,
    /// This rank, below `world_size`.
    pub rank: usize,
    /// Ranks that share a global batch; `batch_size` is a multiple of it.
    pub world_size: usize,
    /// Threads that make batches ahead; 0 makes them when asked.
    pub workers: usize,
    /// Batches made ahead at most (at least 1).
    pub prefetch: usize,
    /// Keep decoded pictures when all of them fit in about so many bytes; 0 keeps none.
    pub cache_bytes: usize,
    /// The first batch.
    pub start: Position,
    /// End after so many epochs, counted from epoch 0; none goes on for ever.
    pub epochs: Option<u64>,
    /// More broken samples one after the other are an error.
    pub max_skipped_in_a_row: usize,
}

impl LoaderOptions {
    /// Options for one pass over a dataset on one rank, in order and without augmentation.
    pub fn evaluation(
        batch_size: usize,
        preprocess: Preprocess,
        tokenizer: Tokenizer,
        context_length: usize,
    ) -> Self {
        Self {
            batch_size,
            seed: 0,
            shuffle: false,
            preprocess,
            augment: None,
            tokenizer,
            context_length,
            drop_last: false,
            rank: 0,
            world_size: 1,
            workers: 1,
            prefetch: 2,
            cache_bytes: 0,
            start: Position::default(),
            epochs: Some(1),
            max_skipped_in_a_row: 32,
        }
    }

    fn check(&self, dataset: &Dataset) -> Result<(), LoadError> {
        let Self { batch_size, rank, world_size, drop_last, .. } = *self;
        if dataset.is_empty() {
            return Err(LoadError::Empty);
        }
        if world_size == 0 || rank >= world_size {
            return Err(LoadError::Rank { rank, world_size });
        }
        if batch_size == 0 || batch_size % world_size != 0 {
            return Err(LoadError::Uneven { batch_size, world_size });
        }
        if drop_last && dataset.len() < batch_size {
            return Err(LoadError::TooFew { samples: dataset.len(), batch_size });
        }
        Ok(())
    }
}

/// Why batches cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// There is nothing to load.
    #[error("the dataset has no samples")]
    Empty,
    /// There is not one full batch.
    #[error("the dataset has {samples} samples, fewer than one batch of {batch_size}; use smaller batches")]
    TooFew {
        /// Samples that there are.
        samples: usize,
        /// Samples of a global batch.
        batch_size: usize,
    },
    /// The ranks' shares would differ.
    #[error("a global batch of {batch_size} cannot be shared evenly by {world_size} ranks")]
    Uneven {
        /// Samples of a global batch.
        batch_size: usize,
        /// Ranks that share it.
        world_size: usize,
    },
    /// There is no such rank.
    #[error("rank {rank} of {world_size} does not exist")]
    Rank {
        /// The rank.
        rank: usize,
        /// How many there are.
        world_size: usize,
    },
    /// The place to go on from is not in this dataset.
    #[error(
        "cannot go on at batch {} of epoch {}: an epoch has {per_epoch} batches; is it another dataset or batch size?",
        position.batch, position.epoch
    )]
    Position {
        /// The place.
        position: Position,
        /// Batches of an epoch.
        per_epoch: u64,
    },
    /// The dataset is broken rather than a few of its samples.
    #[error("{count} broken samples one after the other, the last one {}: {}", last.image, last.reason)]
    TooManySkipped {
        /// How many.
        count: usize,
        /// The last of them.
        last: Skipped,
    },
    /// A worker thread could not be started.
    #[error("cannot start a loader thread: {0}")]
    Thread(String),
    /// A worker died of a fault in this program.
    #[error("a loader thread failed: this is a fault of cocaptain, see the rank's log")]
    Panicked,
}

/// Gives the batches of one rank, in order.
///
/// As an iterator it ends after the last epoch, or after an error.
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
    failed: bool,
}

struct Shared {
    maker: BatchMaker,
    /// The number of the first batch that there is not.
    end: u64,
    /// Batches made ahead at most.
    prefetch: u64,
    state: Mutex<State>,
    /// Told when a batch is ready.
    ready: Condvar,
    /// Told when a batch was taken, or all shall end.
    room: Condvar,
}

struct State {
    next_to_make: u64,
    next_to_take: u64,
    made: BTreeMap<u64, Result<Batch, LoadError>>,
    /// Memory of batches that were given back.
    spare: Vec<Batch>,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, number: u64, mut batch: Batch) -> Result<Batch, LoadError> {
        match catch_unwind(AssertUnwindSafe(|| self.maker.make(number, &mut batch))) {
            Ok(result) => result.map(|()| batch),
            Err(_) => Err(LoadError::Panicked),
        }
    }

    /// Makes batches until there are no more to make.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            while !state.stop && state.next_to_make >= state.next_to_take.saturating_add(self.prefetch) {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop || state.next_to_make >= self.end {
                return;
            }
            let number = state.next_to_make;
            state.next_to_make += 1;
            let batch = state.spare.pop().unwrap_or_default();
            drop(state);
            let result = self.make(number, batch);
            self.lock().made.insert(number, result);
            self.ready.notify_all();
        }
    }
}

impl Loader {
    /// A loader over `dataset`; its workers start at once.
    ///
    /// # Errors
    /// When the options do not fit the dataset or one another, or no thread can be started.
    pub fn new(dataset: Arc<Dataset>, options: LoaderOptions) -> Result<Self, LoadError> {
        let maker = BatchMaker::new(dataset, options)?;
        let start = maker.number(maker.options().start);
        let end = maker.options().epochs.map_or(u64::MAX, |epochs| epochs.saturating_mul(maker.per_epoch()));
        let (workers, prefetch) = (maker.options().workers, maker.options().prefetch.max(1) as u64);
        let state = State {
            next_to_make: start,
            next_to_take: start,
            made: BTreeMap::new(),
            spare: Vec::new(),
            stop: false,
        };
        let shared = Arc::new(Shared {
            maker,
            end,
            prefetch,
            state: Mutex::new(state),
            ready: Condvar::new(),
            room: Condvar::new(),
        });
        // If one thread cannot be started, dropping the loader ends those that were.
        let mut loader = Self { shared, workers: Vec::new(), waited: Duration::ZERO, failed: false };
        for number in 0..workers {
            let shared = loader.shared.clone();
            let worker = std::thread::Builder::new()
                .name(format!("loader-{number}"))
                .spawn(move || shared.work())
                .map_err(|error| LoadError::Thread(error.to_string()))?;
            loader.workers.push(worker);
        }
        Ok(loader)
    }

    /// Batches of an epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.shared.maker.per_epoch()
    }

    /// How long the callers of `next` have waited for batches, altogether.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Takes a used batch back, so that a later one needs no new memory.
    pub fn recycle(&self, batch: Batch) {
        let mut state = self.shared.lock();
        if (state.spare.len() as u64) <= self.shared.prefetch {
            state.spare.push(batch);
        }
    }

    fn take_next(&self) -> Option<Result<Batch, LoadError>> {
        let mut state = self.shared.lock();
        let number = state.next_to_take;
        if number >= self.shared.end {
            return None;
        }
        if self.workers.is_empty() {
            state.next_to_take += 1;
            let batch = state.spare.pop().unwrap_or_default();
            drop(state);
            return Some(self.shared.make(number, batch));
        }
        loop {
            if let Some(result) = state.made.remove(&number) {
                state.next_to_take += 1;
                drop(state);
                self.shared.room.notify_all();
                return Some(result);
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let began = Instant::now();
        let result = self.take_next();
        self.waited += began.elapsed();
        self.failed = matches!(result, Some(Err(_)));
        result
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // What went wrong in it was told with its batch.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
