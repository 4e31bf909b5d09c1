//! What a model is really given of a sample in an epoch: which caption, and which part of the picture.

use rand::RngExt;

use crate::dataset::Dataset;
use crate::picture::{CropOptions, Picture, Preprocess, decode};
use crate::random::{Purpose, Rng, stream};

/// What an epoch draws for a sample: which of its captions, and the generator that its crop comes from next.
pub(super) fn draw(seed: u64, epoch: u64, index: usize, captions: usize, training: bool) -> (usize, Rng) {
    let mut rng = stream(seed, Purpose::Augment, epoch, index as u64);
    // Every epoch shows another of several captions.
    let chosen = if training && captions > 1 { rng.random_range(0..captions) } else { 0 };
    (chosen, rng)
}

/// How a model is given samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Width and height that it takes, in pixels.
    pub side: usize,
    /// The part of a picture that training shows; none is the middle of it, as in an evaluation.
    pub crop: Option<CropOptions>,
    /// Seed of the augmentation.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
}

impl Default for View {
    fn default() -> Self {
        Self { side: 224, crop: Some(CropOptions::default()), seed: 42, epoch: 0 }
    }
}

/// Which caption of sample `index` is shown in that epoch.
pub fn caption_of(dataset: &Dataset, index: usize, view: &View) -> usize {
    draw(view.seed, view.epoch, index, dataset.captions(index).len(), view.crop.is_some()).0
}

/// The pixels that the model is given of sample `index` (before they are normalised) and which caption goes with
/// them: the very functions that make batches make it.
///
/// # Errors
/// What is wrong with the picture, in words.
pub fn seen(dataset: &Dataset, index: usize, view: &View) -> Result<(Picture, usize), String> {
    let image = dataset.image(index).ok_or("there is no such sample")?;
    let bytes = image.read().map_err(|error| error.to_string())?;
    let picture = decode(&bytes).map_err(|error| error.to_string())?;
    let captions = dataset.captions(index).len();
    let (caption, mut rng) = draw(view.seed, view.epoch, index, captions, view.crop.is_some());
    // Normalised by nothing, numbers are pixels by 255.
    let preprocess = Preprocess::new(view.side.max(1), [0.0; 3], [1.0; 3]);
    let mut planes = vec![0.0f32; preprocess.numbers()];
    match &view.crop {
        Some(crop) => preprocess.augment(&picture, crop, &mut rng, &mut planes),
        None => preprocess.evaluate(&picture, &mut planes),
    }
    let (side, plane) = (preprocess.side(), preprocess.side() * preprocess.side());
    let byte = |number: f32| (number * 255.0).round().clamp(0.0, 255.0) as u8;
    let pixel =
        |at: usize| [0, 1, 2].map(|channel| planes.get(channel * plane + at).copied().map_or(0, byte));
    let rgb: Vec<u8> = (0..plane).flat_map(pixel).collect();
    Picture::new(side, side, rgb).map(|picture| (picture, caption)).ok_or_else(|| "no room for it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::loader::{Loader, LoaderOptions};
    use crate::reader::{ReadOptions, Split};

    /// The loader's own batch and what is shown of the same samples in the same epoch are the same.
    #[test]
    fn what_is_shown_is_what_the_loader_makes() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::demo::DemoOptions { train: 6, val: 3, test: 2, side: 40, ..Default::default() };
        crate::demo::draw(dir.path(), &options, &|_, _| {}).unwrap();
        // The held-out split has several captions a picture.
        for split in [Split::Train, Split::Val] {
            let dataset = Arc::new(Dataset::open(dir.path(), split, &ReadOptions::default()).unwrap());
            let crop = CropOptions { scale: [0.5, 1.0], ..CropOptions::default() };
            let preprocess = Preprocess::new(32, [0.0; 3], [1.0; 3]);
            let tokenizer = crate::Tokenizer::clip().unwrap();
            let mut options = LoaderOptions::evaluation(3, preprocess, tokenizer.clone(), 76);
            (options.seed, options.shuffle, options.augment) = (7, true, Some(crop));
            let batch = Loader::new(dataset.clone(), options).unwrap().next().unwrap().unwrap();
            let view = View { side: 32, crop: Some(crop), seed: 7, epoch: 0 };
            for (row, index) in batch.indices.iter().enumerate() {
                let (shown, caption) = seen(&dataset, *index, &view).unwrap();
                let ids = tokenizer.encode(dataset.captions(*index).nth(caption).unwrap(), 76).unwrap();
                assert_eq!(batch.texts[row * 76..(row + 1) * 76], ids);
                for (at, pixel) in shown.rgb().chunks_exact(3).enumerate() {
                    for (channel, value) in pixel.iter().enumerate() {
                        let number = batch.images[(row * 3 + channel) * 1024 + at];
                        assert_eq!(*value, (number * 255.0).round() as u8);
                    }
                }
            }
        }
    }
}
