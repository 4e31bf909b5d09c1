//! Gets decoded pictures, from memory where a whole dataset fits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use crate::dataset::Dataset;
use crate::picture::{Picture, decode};
use crate::reader::Format;

/// Smaller laion pictures are passed over.
const MIN_LAION_SIDE: usize = 5;

/// The pictures of a dataset.
#[derive(Debug)]
pub(super) struct Pictures {
    budget: usize,
    /// Whether all pictures will fit the budget, judged by the first one decoded.
    keeps: OnceLock<bool>,
    kept: Vec<OnceLock<Arc<Picture>>>,
}

impl Pictures {
    /// Keeps up to about `budget` bytes of decoded pictures.
    pub(super) fn new(dataset: &Dataset, budget: usize) -> Self {
        // At three bytes a pixel: a dataset that cannot fit needs no places.
        let places = if dataset.images() <= budget / 3 { dataset.images() } else { 0 };
        Self { budget, keeps: OnceLock::new(), kept: (0..places).map(|_| OnceLock::new()).collect() }
    }

    /// The picture of sample `index`.
    ///
    /// # Errors
    /// What is wrong with it, in words: the caller skips it and says so.
    pub(super) fn get(&self, dataset: &Dataset, index: usize) -> Result<Arc<Picture>, String> {
        let place = dataset.image_number(index).and_then(|number| self.kept.get(number));
        if let Some(picture) = place.and_then(OnceLock::get) {
            return Ok(picture.clone());
        }
        let image = dataset.image(index).ok_or("no such sample")?;
        let bytes = image.read().map_err(|error| error.to_string())?;
        // A decoder that panics on a hostile file must not take the run with it.
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&bytes)));
        let picture = match decoded {
            Ok(result) => Arc::new(result.map_err(|error| error.to_string())?),
            Err(_) => return Err("damaged picture: the decoder gave up".into()),
        };
        // As the seed's laion reader does.
        if dataset.format() == Format::Laion && picture.width().min(picture.height()) < MIN_LAION_SIDE {
            return Err(format!("{}x{} pixels is too small", picture.width(), picture.height()));
        }
        let size = picture.rgb().len();
        let keeps = *self.keeps.get_or_init(|| size.saturating_mul(dataset.images()) <= self.budget);
        // A picture much larger than the first one would break the estimate.
        if let Some(place) = place.filter(|_| keeps && size <= self.budget / self.kept.len().max(1) * 2) {
            // Another thread may have been faster: then its equal picture stays.
            let _ = place.set(picture.clone());
        }
        Ok(picture)
    }
}
