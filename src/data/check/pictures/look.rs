//! What a picture shows, measured: brightness, edges, a perceptual hash. Whether that is a finding, the limits say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use super::super::finding::Kind;
use super::super::options::Thresholds;
use crate::picture::{DecodeError, Picture, decode};

/// What decoding a picture's bytes gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Look {
    /// Why there is nothing to see.
    pub problem: Option<(Kind, String)>,
    /// What there is to see; none for a picture too large to be taken.
    pub sight: Option<Sight>,
}

/// What a picture is like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sight {
    /// The whole picture has one colour.
    blank: bool,
    /// Mean brightness [0, 255], and that of the darkest and brightest twentieth.
    brightness: [f32; 3],
    /// How strong the sharpest edges are; none where there is too little to judge by.
    edge: Option<f32>,
    /// A perceptual hash: which of two neighbouring places is brighter. None where there is too little to see.
    pub hash: Option<u64>,
    /// Mean colours on a grid of [`COARSE`] a side, rounded.
    coarse: Vec<u8>,
}

/// Cells a side of a coarse look.
const COARSE: usize = 8;

impl Look {
    /// Decodes a picture and looks at it.
    pub fn at(bytes: &[u8]) -> Self {
        let cut = cut_off(bytes);
        let problem = |kind, message: String| Self { problem: Some((kind, message)), sight: None };
        match decoded(bytes) {
            Ok(_) if cut => problem(
                Kind::TruncatedPicture,
                "the picture's file ends before the picture: get it again".into(),
            ),
            Ok(picture) => Self { problem: None, sight: Some(Sight::of(&picture)) },
            // The header has said so.
            Err(Some(DecodeError::TooLarge { .. })) => Self { problem: None, sight: None },
            Err(Some(error)) if cut => problem(Kind::TruncatedPicture, format!("{error}: get it again")),
            Err(Some(error)) => problem(Kind::CorruptPicture, format!("{error}: get it again")),
            Err(None) => {
                problem(Kind::CorruptPicture, "damaged picture: the decoder gave up: get it again".into())
            }
        }
    }

    /// What is wrong with it.
    pub fn judge(&self, limits: &Thresholds) -> Option<(Kind, String)> {
        self.problem.clone().or_else(|| self.sight.as_ref()?.judge(limits))
    }
}

impl Sight {
    fn of(picture: &Picture) -> Self {
        let (mut least, mut most) = ([255u8; 3], [0u8; 3]);
        for pixel in picture.rgb().as_chunks::<3>().0 {
            for channel in 0..3 {
                least[channel] = least[channel].min(pixel[channel]);
                most[channel] = most[channel].max(pixel[channel]);
            }
        }
        let blank = (0..3).all(|channel| most[channel] - least[channel] <= 3);
        let grey = Grey::of(picture, 256);
        let mut all = grey.pixels.clone();
        let mut part = |share: f64| {
            let at = (all.len().saturating_sub(1) as f64 * share) as usize;
            if all.is_empty() { 0.0 } else { *all.select_nth_unstable_by(at, f32::total_cmp).1 }
        };
        let (dark, bright) = (part(0.05), part(0.95));
        let mean = grey.pixels.iter().sum::<f32>() / grey.pixels.len().max(1) as f32;
        let coarse = means(picture, COARSE.min(picture.width()), COARSE.min(picture.height()));
        let coarse = coarse.iter().flatten().map(|mean| mean.round() as u8).collect();
        let enough = grey.width >= 24 && grey.height >= 24 && bright - dark > 12.0;
        let edge = enough.then(|| grey.edge());
        Self { blank, brightness: [mean, dark, bright], edge, hash: grey.hash(), coarse }
    }

    /// Whether the mean difference on the coarse grid [0, 255] is at most `limit`: it is no more than on a finer grid, but
    /// for rounding. A row at a time: most pairs differ early.
    pub fn is_near(&self, other: &Self, limit: f64) -> bool {
        const ROW: usize = COARSE * 3;
        let most = limit * self.coarse.len().max(1) as f64;
        let rows = self.coarse.chunks(ROW).zip(other.coarse.chunks(ROW));
        let differ =
            |(a, b): (&[u8], &[u8])| -> u32 { a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum() };
        let mut sum = 0;
        for row in rows {
            sum += differ(row);
            if f64::from(sum) > most {
                return false;
            }
        }
        true
    }

    fn judge(&self, limits: &Thresholds) -> Option<(Kind, String)> {
        if self.blank {
            let message = "the whole picture has one colour: there is nothing to describe".into();
            return Some((Kind::Blank, message));
        }
        let [mean, dark, bright] = self.brightness.map(f64::from);
        let look = "look whether it shows anything";
        if mean < limits.dark && bright < limits.dark * 3.0 {
            return Some((Kind::Dark, format!("very dark: mean brightness {mean:.0} of 255; {look}")));
        }
        if mean > limits.bright && dark > limits.bright - 20.0 {
            return Some((Kind::Bright, format!("very bright: mean brightness {mean:.0} of 255; {look}")));
        }
        let edge = self.edge.map(f64::from).filter(|edge| *edge < limits.blur)?;
        let message = format!(
            "blurred: its sharpest edges measure {edge:.1}, a sharp picture has more than {:.0}",
            limits.blur
        );
        Some((Kind::Blurred, message))
    }
}

/// None where the decoder panicked.
fn decoded(bytes: &[u8]) -> Result<Picture, Option<DecodeError>> {
    match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        Ok(result) => result.map_err(Some),
        Err(_) => Err(None),
    }
}

/// Whether a file lacks the end that its format wants.
fn cut_off(bytes: &[u8]) -> bool {
    let last = |mark: &[u8]| memchr::memmem::rfind(bytes, mark);
    if bytes.starts_with(b"\xff\xd8") {
        // Within coded data no other marker can stand: an end before the last scan is that of a preview.
        return last(b"\xff\xda").is_none_or(|scan| last(b"\xff\xd9").is_none_or(|end| end < scan));
    }
    if bytes.starts_with(b"\x89PNG") {
        return last(b"IEND").is_none();
    }
    if bytes.starts_with(b"RIFF") {
        let size = bytes.get(4..8).and_then(|size| size.try_into().ok()).map_or(0, u32::from_le_bytes);
        return bytes.len() < (size as usize).saturating_add(8);
    }
    false
}

/// A picture's brightness, made small by means of areas.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
}

/// Means over a grid of at most `side` cells a side: rows of three channels.
fn means(picture: &Picture, columns: usize, rows: usize) -> Vec<[f32; 3]> {
    let (width, height) = (picture.width(), picture.height());
    let mut sums = vec![[0u64; 4]; columns * rows];
    for (y, row) in picture.rgb().chunks_exact(width * 3).enumerate() {
        let first = y * rows / height * columns;
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            if let Some(sum) = sums.get_mut(first + x * columns / width) {
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += u64::from(*value);
                }
                sum[3] += 1;
            }
        }
    }
    sums.iter().map(|sum| [0, 1, 2].map(|channel| sum[channel] as f32 / sum[3].max(1) as f32)).collect()
}

impl Grey {
    fn of(picture: &Picture, side: usize) -> Self {
        let long = picture.width().max(picture.height()).max(side);
        let (width, height) =
            ((picture.width() * side / long).max(1), (picture.height() * side / long).max(1));
        let (width, height) = (width.min(picture.width()), height.min(picture.height()));
        let bright = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        let pixels = means(picture, width, height).into_iter().map(bright).collect();
        Self { width, height, pixels }
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        self.pixels.get(y * self.width + x).copied().unwrap_or(0.0)
    }

    /// How strong the sharpest edges are: nearly the greatest second difference.
    fn edge(&self) -> f32 {
        let mut all = Vec::with_capacity(self.pixels.len());
        for y in 1..self.height.saturating_sub(1) {
            for x in 1..self.width.saturating_sub(1) {
                let around = self.at(x - 1, y) + self.at(x + 1, y) + self.at(x, y - 1) + self.at(x, y + 1);
                all.push((4.0 * self.at(x, y) - around).abs());
            }
        }
        let place = all.len().saturating_sub(1) * 995 / 1000;
        if all.is_empty() { 0.0 } else { *all.select_nth_unstable_by(place, f32::total_cmp).1 }
    }

    /// Whether each of 8x8 places is darker than the one on its right.
    fn hash(&self) -> Option<u64> {
        let mut cells = [[(0.0f32, 0u32); 9]; 8];
        for y in 0..self.height {
            for x in 0..self.width {
                let cell = &mut cells[y * 8 / self.height][x * 9 / self.width];
                cell.0 += self.at(x, y);
                cell.1 += 1;
            }
        }
        if self.width < 9 || self.height < 8 {
            return None;
        }
        let (mut hash, mut clear) = (0u64, 0);
        for row in cells {
            let mean = row.map(|(sum, count)| sum / count.max(1) as f32);
            for pair in mean.windows(2) {
                // Within a plain area the order is chance: a margin keeps it out of the hash.
                let rise = pair[1] - pair[0];
                hash = hash << 1 | u64::from(rise > 2.0);
                clear += u32::from(rise.abs() > 2.0);
            }
        }
        (clear >= 4).then_some(hash)
    }
}

/// How much two pictures differ: mean and nearly greatest difference of their pixels (0 to 255), on a grid as
/// fine as the smaller one allows. None when one cannot be decoded, or they have different shapes.
pub(super) fn difference(a: &[u8], b: &[u8]) -> Option<(f64, f64)> {
    let (a, b) = (decoded(a).ok()?, decoded(b).ok()?);
    let ratio = |picture: &Picture| picture.width() as f64 / picture.height() as f64;
    if (ratio(&a) / ratio(&b)).ln().abs() > 0.05 {
        return None;
    }
    let columns = a.width().min(b.width()).min(64);
    let rows = a.height().min(b.height()).min(64);
    let (a, b) = (means(&a, columns, rows), means(&b, columns, rows));
    let mut all: Vec<f64> = Vec::with_capacity(a.len() * 3);
    for (a, b) in a.iter().zip(&b) {
        all.extend(a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
    }
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    all.sort_by(f64::total_cmp);
    Some((mean, all.get(all.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(0.0)))
}
