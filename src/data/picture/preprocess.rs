//! From a decoded picture to the numbers that the image tower takes.

use std::borrow::Cow;

use rand::RngExt;

use super::decode::Picture;
use super::resample::{View, resize};
use crate::random::Rng;

/// Mean of each channel that CLIP's models are normalised by.
pub const CLIP_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Standard deviation of each channel that CLIP's models are normalised by.
pub const CLIP_STD: [f32; 3] = [0.26862954, 0.261_302_6, 0.275_777_1];

/// What part of a training picture is shown: a random one of nearly the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropOptions {
    /// Least and most share of the picture's area.
    pub scale: [f64; 2],
    /// Least and most ratio of width to height.
    pub ratio: [f64; 2],
}

impl Default for CropOptions {
    fn default() -> Self {
        Self { scale: [0.9, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// Turns pictures into normalised planes: `[3, side, side]` float32, channel by channel.
#[derive(Debug, Clone)]
pub struct Preprocess {
    side: usize,
    /// The normalised number of each byte value, for each channel.
    numbers: [[f32; 256]; 3],
}

impl Preprocess {
    /// Pictures of `side` x `side` pixels, normalised by `mean` and `std` (both of values from 0 to 1).
    pub fn new(side: usize, mean: [f32; 3], std: [f32; 3]) -> Self {
        let numbers = std::array::from_fn(|channel| {
            std::array::from_fn(|value| (value as f32 / 255.0 - mean[channel]) / std[channel])
        });
        Self { side, numbers }
    }

    /// Width and height of the result.
    pub fn side(&self) -> usize {
        self.side
    }

    /// How many numbers a picture becomes: 3 x side x side.
    pub fn numbers(&self) -> usize {
        3 * self.side * self.side
    }

    /// The whole picture, its shorter side resized, then cut to its middle; into `out` of [`Self::numbers`].
    pub fn evaluate(&self, picture: &Picture, out: &mut [f32]) {
        self.normalise(&self.middle(picture), out);
    }

    /// A random part of the picture, resized to the square; into `out` of [`Self::numbers`].
    pub fn augment(&self, picture: &Picture, crop: &CropOptions, rng: &mut Rng, out: &mut [f32]) {
        self.normalise(&self.part(picture, draw_crop(picture, crop, rng)), out);
    }

    /// The pixels that [`Self::evaluate`] shows the model: `side` x `side` x 3 bytes.
    pub fn middle<'a>(&self, picture: &'a Picture) -> Cow<'a, [u8]> {
        let (width, height, side) = (picture.width(), picture.height(), self.side);
        if width == side && height == side {
            return Cow::Borrowed(picture.rgb());
        }
        // The longer side is cut off towards zero, as torchvision does.
        let long = |long: usize, short: usize| (side * long) / short;
        let (wide, high) =
            if width <= height { (side, long(height, width)) } else { (long(width, height), side) };
        let left = half_rounded_to_even(wide - side);
        let top = half_rounded_to_even(high - side);
        Cow::Owned(resize(whole(picture), (wide, high), left..left + side, top..top + side))
    }

    /// The pixels of a crop, resized to `side` x `side` x 3 bytes.
    pub(super) fn part<'a>(&self, picture: &'a Picture, crop: Crop) -> Cow<'a, [u8]> {
        let side = self.side;
        if (crop.width, crop.height, picture.width(), picture.height()) == (side, side, side, side) {
            return Cow::Borrowed(picture.rgb());
        }
        let all = whole(picture);
        let from = crop.top * all.stride + crop.left * 3;
        let view = View { pixels: &all.pixels[from..], width: crop.width, height: crop.height, ..all };
        Cow::Owned(resize(view, (side, side), 0..side, 0..side))
    }

    fn normalise(&self, rgb: &[u8], out: &mut [f32]) {
        let plane = (self.side * self.side).max(1);
        for (channel, (plane, numbers)) in out.chunks_exact_mut(plane).zip(&self.numbers).enumerate() {
            for (number, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
                *number = numbers[usize::from(pixel[channel])];
            }
        }
    }
}

fn whole(picture: &Picture) -> View<'_> {
    View {
        pixels: picture.rgb(),
        stride: picture.width() * 3,
        width: picture.width(),
        height: picture.height(),
    }
}

/// Half of `excess`, halves going to the even neighbour, as Python's `round` does.
fn half_rounded_to_even(excess: usize) -> usize {
    let half = excess / 2;
    if excess % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crop {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// A random crop, as torchvision's RandomResizedCrop draws it; its middle when ten attempts do not fit.
pub(super) fn draw_crop(picture: &Picture, options: &CropOptions, rng: &mut Rng) -> Crop {
    let (width, height) = (picture.width(), picture.height());
    let area = (width * height) as f64;
    let between = |range: [f64; 2], rng: &mut Rng| range[0] + (range[1] - range[0]) * rng.random::<f64>();
    for _ in 0..10 {
        let target = area * between(options.scale, rng);
        let ratio = between(options.ratio.map(f64::ln), rng).exp();
        let w = (target * ratio).sqrt().round_ties_even() as usize;
        let h = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let left = rng.random_range(0..=width - w);
            let top = rng.random_range(0..=height - h);
            return Crop { left, top, width: w, height: h };
        }
    }
    let own = width as f64 / height as f64;
    let (w, h) = if own < options.ratio[0] {
        (width, ((width as f64 / options.ratio[0]).round_ties_even() as usize).clamp(1, height))
    } else if own > options.ratio[1] {
        (((height as f64 * options.ratio[1]).round_ties_even() as usize).clamp(1, width), height)
    } else {
        (width, height)
    };
    Crop { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}
