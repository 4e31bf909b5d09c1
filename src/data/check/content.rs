//! The third stage: every picture decoded and looked at.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::finding::Kind;
use super::options::Thresholds;
use crate::picture::{DecodeError, Picture, decode};

/// The largest picture file that is read.
const MAX_FILE: u64 = 1 << 30;

/// What a picture is like.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// A hash of the file's bytes.
    pub bytes: u128,
    /// A perceptual hash: which of two neighbouring places is brighter. None where there is too little to see.
    pub hash: Option<u64>,
    pub found: Vec<(Kind, String)>,
}

/// Reads and decodes a picture and looks at it.
pub(super) fn look(path: &Path, limits: &Thresholds) -> Look {
    let mut look = Look { bytes: 0, hash: None, found: Vec::new() };
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(message) => {
            look.found.push((Kind::Unreadable, message));
            return look;
        }
    };
    look.bytes = hash(&bytes);
    let cut = cut_off(&bytes);
    match decoded(&bytes) {
        Ok(_) if cut => {
            look.found.push((
                Kind::TruncatedPicture,
                "the picture's file ends before the picture: get it again".into(),
            ));
        }
        Ok(picture) => {
            let grey = Grey::of(&picture, 256);
            look.found.extend(grey.judge(&picture, limits));
            look.hash = grey.hash();
        }
        Err(error) => {
            let (kind, message) = match error {
                Some(DecodeError::TooLarge { .. }) => return look,
                Some(error) if cut => (Kind::TruncatedPicture, error.to_string()),
                Some(error) => (Kind::CorruptPicture, error.to_string()),
                None => (Kind::CorruptPicture, "damaged picture: the decoder gave up".into()),
            };
            look.found.push((kind, format!("{message}: get it again")));
        }
    }
    look
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        Err(format!("{}: larger than 1 GiB", path.display()))
    } else {
        Ok(bytes)
    }
}

/// None where the decoder panicked.
fn decoded(bytes: &[u8]) -> Result<Picture, Option<DecodeError>> {
    match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        Ok(result) => result.map_err(Some),
        Err(_) => Err(None),
    }
}

/// A hash of a file's bytes, to find equal ones.
pub(super) fn hash_file(path: &Path) -> Option<u128> {
    read(path).ok().map(|bytes| hash(&bytes))
}

fn hash(bytes: &[u8]) -> u128 {
    let (mut one, mut two) = (DefaultHasher::new(), DefaultHasher::new());
    two.write_u8(1);
    one.write(bytes);
    two.write(bytes);
    u128::from(one.finish()) << 64 | u128::from(two.finish())
}

/// Whether a file lacks the end that its format wants.
fn cut_off(bytes: &[u8]) -> bool {
    let last = |mark: &[u8]| bytes.windows(mark.len()).rposition(|window| window == mark);
    if bytes.starts_with(b"\xff\xd8") {
        // Within coded data no other marker can stand: an end before the last scan is that of a preview.
        return last(b"\xff\xda").is_none_or(|scan| last(b"\xff\xd9").is_none_or(|end| end < scan));
    }
    if bytes.starts_with(b"\x89PNG") {
        return last(b"IEND").is_none();
    }
    if bytes.starts_with(b"RIFF") {
        let size = bytes.get(4..8).and_then(|size| size.try_into().ok()).map_or(0, u32::from_le_bytes);
        return bytes.len() < size as usize + 8;
    }
    false
}

/// A picture's brightness, made small by means of areas.
pub(super) struct Grey {
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

    fn judge(&self, picture: &Picture, limits: &Thresholds) -> Option<(Kind, String)> {
        let (mut least, mut most) = ([255u8; 3], [0u8; 3]);
        for pixel in picture.rgb().chunks_exact(3) {
            for channel in 0..3 {
                least[channel] = least[channel].min(pixel[channel]);
                most[channel] = most[channel].max(pixel[channel]);
            }
        }
        if (0..3).all(|channel| most[channel] - least[channel] <= 3) {
            let message = "the whole picture has one colour: there is nothing to describe".into();
            return Some((Kind::Blank, message));
        }
        let mut sorted = self.pixels.clone();
        sorted.sort_by(f32::total_cmp);
        let part =
            |share: f64| sorted.get(((sorted.len() - 1) as f64 * share) as usize).copied().unwrap_or(0.0);
        let mean = f64::from(self.pixels.iter().sum::<f32>()) / self.pixels.len() as f64;
        if mean < limits.dark && f64::from(part(0.95)) < limits.dark * 3.0 {
            return Some((
                Kind::Dark,
                format!("very dark: mean brightness {mean:.0} of 255; look whether it shows anything"),
            ));
        }
        if mean > limits.bright && f64::from(part(0.05)) > limits.bright - 20.0 {
            return Some((
                Kind::Bright,
                format!("very bright: mean brightness {mean:.0} of 255; look whether it shows anything"),
            ));
        }
        let edge = self.edge();
        let enough = self.width >= 24 && self.height >= 24 && part(0.95) - part(0.05) > 12.0;
        (enough && edge < limits.blur).then(|| {
            (
                Kind::Blurred,
                format!(
                    "blurred: its sharpest edges measure {edge:.1}, a sharp picture has more than {:.0}",
                    limits.blur
                ),
            )
        })
    }

    /// How strong the sharpest edges are: nearly the greatest second difference.
    fn edge(&self) -> f64 {
        let mut all = Vec::with_capacity(self.pixels.len());
        for y in 1..self.height.saturating_sub(1) {
            for x in 1..self.width.saturating_sub(1) {
                let around = self.at(x - 1, y) + self.at(x + 1, y) + self.at(x, y - 1) + self.at(x, y + 1);
                all.push((4.0 * self.at(x, y) - around).abs());
            }
        }
        all.sort_by(f32::total_cmp);
        all.get((all.len().saturating_sub(1)) * 995 / 1000).copied().map_or(0.0, f64::from)
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
/// fine as the smaller one allows. None when one cannot be read, or they have different shapes.
pub(super) fn difference(a: &Path, b: &Path) -> Option<(f64, f64)> {
    let (a, b) = (decoded(&read(a).ok()?).ok()?, decoded(&read(b).ok()?).ok()?);
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
