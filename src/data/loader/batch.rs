//! Makes one batch: which samples, and their pictures and captions as numbers.

use std::sync::{Arc, Mutex, PoisonError};

use super::order::order;
use super::pictures::Pictures;
use super::seen::draw;
use super::{LoadError, LoaderOptions, Position, Skipped};
use crate::dataset::Dataset;

/// One rank's part of a global batch, in plain memory.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Normalised pictures, `[len, 3, side, side]`.
    pub images: Vec<f32>,
    /// Ids of the captions, `[len, context_length]`.
    pub texts: Vec<i64>,
    /// The sample of each row, as its index in the dataset.
    pub indices: Vec<usize>,
    /// Which batch it is.
    pub position: Position,
    /// Where to go on after it: what a checkpoint stores.
    pub next: Position,
    /// Samples that could not be used, with the reason.
    pub skipped: Vec<Skipped>,
}

impl Batch {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether it has no row: a rank's share of a small last batch may be empty.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Makes batches by number, in any order and from any thread.
pub(super) struct BatchMaker {
    dataset: Arc<Dataset>,
    options: LoaderOptions,
    pictures: Pictures,
    per_epoch: u64,
    /// The orders of the epochs asked for last.
    orders: Mutex<Vec<(u64, Arc<Vec<u32>>)>>,
}

impl BatchMaker {
    pub(super) fn new(dataset: Arc<Dataset>, options: LoaderOptions) -> Result<Self, LoadError> {
        options.check(&dataset)?;
        let (samples, batch) = (dataset.len(), options.batch_size);
        let per_epoch = if options.drop_last { samples / batch } else { samples.div_ceil(batch) } as u64;
        if options.start.batch > per_epoch {
            return Err(LoadError::Position { position: options.start, per_epoch });
        }
        let pictures = Pictures::new(&dataset, options.cache_bytes);
        Ok(Self { dataset, options, pictures, per_epoch, orders: Mutex::new(Vec::new()) })
    }

    pub(super) fn options(&self) -> &LoaderOptions {
        &self.options
    }

    pub(super) fn per_epoch(&self) -> u64 {
        self.per_epoch
    }

    /// The number of a batch, counted from the first one of epoch 0.
    pub(super) fn number(&self, position: Position) -> u64 {
        position.epoch * self.per_epoch + position.batch
    }

    fn position(&self, number: u64) -> Position {
        Position { epoch: number / self.per_epoch, batch: number % self.per_epoch }
    }

    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = orders.iter().find(|(of, _)| *of == epoch) {
            return known.clone();
        }
        let LoaderOptions { seed, batch_size, shuffle, .. } = self.options;
        let made = Arc::new(order(&self.dataset, seed, epoch, batch_size, shuffle));
        // Workers are at most one epoch apart.
        if orders.len() >= 2 {
            orders.remove(0);
        }
        orders.push((epoch, made.clone()));
        made
    }

    /// Makes batch `number` into the memory of `batch`, whose content is replaced.
    pub(super) fn make(&self, number: u64, batch: &mut Batch) -> Result<(), LoadError> {
        let position = self.position(number);
        batch.position = position;
        batch.next = self.position(number + 1);
        batch.indices.clear();
        batch.skipped.clear();
        let order = self.order(position.epoch);
        let LoaderOptions { batch_size, rank, world_size, .. } = self.options;
        let start = position.batch as usize * batch_size;
        let whole = batch_size.min(order.len() - start);
        let share = |rank: usize| start + rank * whole / world_size;
        let places = share(rank)..share(rank + 1);
        batch.images.resize(places.len() * self.options.preprocess.numbers(), 0.0);
        batch.texts.resize(places.len() * self.options.context_length, 0);
        let mut in_a_row = 0;
        for place in places {
            self.fill(&order, place, position.epoch, batch, &mut in_a_row)?;
        }
        batch.images.truncate(batch.len() * self.options.preprocess.numbers());
        batch.texts.truncate(batch.len() * self.options.context_length);
        Ok(())
    }

    /// Fills the next row from `place` in the order; in training, from another place when that sample is broken.
    fn fill(
        &self,
        order: &[u32],
        place: usize,
        epoch: u64,
        batch: &mut Batch,
        in_a_row: &mut usize,
    ) -> Result<(), LoadError> {
        // A training step needs all of its rows. Who steps in depends on the place alone, not on the rank.
        let stride = if order.len() > self.options.batch_size { self.options.batch_size } else { 1 };
        let attempts = if self.options.shuffle { usize::MAX } else { 1 };
        for attempt in 0..attempts {
            let index = order[(place + attempt * stride) % order.len()] as usize;
            match self.row(index, epoch, batch) {
                Ok(()) => {
                    batch.indices.push(index);
                    *in_a_row = 0;
                    return Ok(());
                }
                Err(reason) => {
                    let image = self.dataset.image(index).map_or_else(String::new, |image| image.name);
                    batch.skipped.push(Skipped { index, image, reason });
                    *in_a_row += 1;
                    if *in_a_row > self.options.max_skipped_in_a_row {
                        let last = batch.skipped.last().cloned().unwrap_or_default();
                        return Err(LoadError::TooManySkipped { count: *in_a_row, last });
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes picture and caption of sample `index` behind the rows that there are.
    fn row(&self, index: usize, epoch: u64, batch: &mut Batch) -> Result<(), String> {
        let LoaderOptions { seed, context_length, augment, shuffle, .. } = &self.options;
        let row = batch.indices.len();
        let numbers = self.options.preprocess.numbers();
        let image =
            batch.images.get_mut(row * numbers..(row + 1) * numbers).ok_or("no room for the picture")?;
        let text = batch
            .texts
            .get_mut(row * context_length..(row + 1) * context_length)
            .ok_or("no room for the text")?;
        let mut captions = self.dataset.captions(index);
        let (chosen, mut rng) = draw(*seed, epoch, index, captions.len(), *shuffle);
        let caption = captions.nth(chosen).unwrap_or("");
        self.options.tokenizer.encode_into(caption, text).map_err(|error| error.to_string())?;
        let picture = self.pictures.get(&self.dataset, index)?;
        match augment {
            Some(crop) => self.options.preprocess.augment(&picture, crop, &mut rng, image),
            None => self.options.preprocess.evaluate(&picture, image),
        }
        Ok(())
    }
}
