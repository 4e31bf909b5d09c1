//! From a decoded picture to the numbers that the image tower takes.

use std::borrow::Cow;
use std::ops::Range;

use rand::RngExt;

use super::decode::{DecodeError, decode_columns};
use super::picture::{Mode, Picture, cmyk_to_rgb, grey16_to_rgb, share};
use super::resample::{View, nearest, resize, resize16, span};
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
        let crop = Crop::draw((picture.width(), picture.height()), crop, rng);
        self.normalise(&self.part(picture, crop), out);
    }

    /// What [`Self::evaluate`] makes of the picture in a file's bytes.
    ///
    /// # Errors
    /// As [`Self::middle_of_file`].
    pub fn evaluate_file(&self, bytes: &[u8], out: &mut [f32]) -> Result<(), DecodeError> {
        self.normalise(&self.middle_of_file(bytes)?, out);
        Ok(())
    }

    /// What [`Self::middle`] makes of the picture in a file's bytes. Faster than to decode it whole: columns of a JPEG that
    /// the middle is not made of are left out.
    ///
    /// # Errors
    /// When the bytes are no picture, or a damaged or an absurdly large one.
    pub fn middle_of_file(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let picture = decode_columns(bytes, &|width, height| {
            let ((wide, _), columns, _) = self.place((width, height));
            span(width, wide, columns)
        })?;
        Ok(self.middle(&picture).into_owned())
    }

    /// The pixels that [`Self::evaluate`] shows the model: `side` x `side` x 3 bytes.
    pub fn middle<'a>(&self, picture: &'a Picture) -> Cow<'a, [u8]> {
        let (width, height) = (picture.width(), picture.height());
        let (size, columns, rows) = self.place((width, height));
        shown(picture, Crop { left: 0, top: 0, width, height }, size, columns, rows)
    }

    /// The size to which a picture of (width, height) is resized, and the columns and rows of it that are its middle.
    fn place(&self, (width, height): (usize, usize)) -> ((usize, usize), Range<usize>, Range<usize>) {
        let side = self.side;
        // The longer side is cut off towards zero, as torchvision does.
        let long = |long: usize, short: usize| (side * long) / short;
        let (wide, high) =
            if width <= height { (side, long(height, width)) } else { (long(width, height), side) };
        let left = half_rounded_to_even(wide - side);
        let top = half_rounded_to_even(high - side);
        ((wide, high), left..left + side, top..top + side)
    }

    /// The pixels of a crop that lies within the picture, resized to `side` x `side` x 3 bytes.
    pub fn part<'a>(&self, picture: &'a Picture, crop: Crop) -> Cow<'a, [u8]> {
        shown(picture, crop, (self.side, self.side), 0..self.side, 0..self.side)
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

/// A part of pixels that belong to `picture`.
fn view<'a>(picture: &Picture, pixels: &'a [u8], channels: usize, part: Crop) -> View<'a> {
    let stride = picture.width() * channels;
    let from = part.top * stride + part.left * channels;
    View { pixels: &pixels[from..], stride, width: part.width, height: part.height, channels }
}

/// A part of `picture`, resized to `size`, and of that the wanted columns and rows as RGB. As in open_clip the resizing
/// comes first, on what Pillow holds the picture as, and then the colours are turned.
fn shown(
    picture: &Picture,
    part: Crop,
    size: (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Cow<'_, [u8]> {
    let wanted = (columns.len(), rows.len());
    if size == (part.width, part.height) && wanted == (picture.width(), picture.height()) {
        return Cow::Borrowed(picture.rgb());
    }
    let same = size == (part.width, part.height);
    Cow::Owned(match picture.mode() {
        Mode::Nearest => nearest(view(picture, picture.rgb(), 3, part), size, columns, rows),
        Mode::Alpha(alpha) if !same => {
            let weighed: Vec<u8> = picture
                .rgb()
                .as_chunks::<3>()
                .0
                .iter()
                .zip(alpha)
                .flat_map(|([r, g, b], a)| [share(*r, *a), share(*g, *a), share(*b, *a), *a])
                .collect();
            let mixed = resize(view(picture, &weighed, 4, part), size, columns, rows);
            let plain = |value: u8, alpha: u8| match alpha {
                0 | 255 => value,
                _ => (255 * u32::from(value) / u32::from(alpha)).min(255) as u8,
            };
            mixed
                .as_chunks::<4>()
                .0
                .iter()
                .flat_map(|[r, g, b, a]| [r, g, b].map(|value| plain(*value, *a)))
                .collect()
        }
        Mode::Cmyk(inks) => cmyk_to_rgb(&resize(view(picture, inks, 4, part), size, columns, rows)),
        Mode::Grey16(greys) if !same => {
            let from = part.top * picture.width() + part.left;
            let held = (part.width, part.height);
            grey16_to_rgb(&resize16(&greys[from..], picture.width(), held, size, columns, rows))
        }
        Mode::Plain | Mode::Alpha(_) | Mode::Grey16(_) => {
            resize(view(picture, picture.rgb(), 3, part), size, columns, rows)
        }
    })
}

/// Half of `excess`, halves going to the even neighbour, as Python's `round` does.
fn half_rounded_to_even(excess: usize) -> usize {
    let half = excess / 2;
    if excess % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

/// A rectangle within a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Columns left of it.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Columns of it, at least 1.
    pub width: usize,
    /// Rows of it, at least 1.
    pub height: usize,
}

impl Crop {
    /// A random crop of a picture of (width, height), as torchvision's RandomResizedCrop draws it; its middle when ten
    /// attempts do not fit.
    pub fn draw((width, height): (usize, usize), options: &CropOptions, rng: &mut Rng) -> Self {
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
                return Self { left, top, width: w, height: h };
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
        Self { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }
}
