//! Bicubic resampling with antialiasing, equal to Pillow's to the bit.
//!
//! Pillow works in two passes, one over columns and one over rows, and rounds to 8 bits between them. The
//! weights are fixed-point numbers of 22 fractional bits. Only the wanted part of the result is computed.

use std::ops::Range;

/// Fractional bits of a weight: 32 less 8 of the value and 2 for overshoot.
const PRECISION: u32 = 32 - 8 - 2;
/// Reach of the bicubic kernel at scale 1.
const SUPPORT: f64 = 2.0;
const CHANNELS: usize = 3;

/// A rectangle of RGB pixels within a larger picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// The bytes from the rectangle's first pixel on.
    pub pixels: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Width of the rectangle in pixels.
    pub width: usize,
    /// Height of the rectangle in pixels.
    pub height: usize,
}

impl<'a> View<'a> {
    fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.width * CHANNELS;
        self.pixels.chunks(self.stride.max(1)).take(self.height).map(move |row| &row[..bytes])
    }

    fn part(&self, columns: Range<usize>, rows: Range<usize>) -> Self {
        let from = rows.start * self.stride + columns.start * CHANNELS;
        Self { pixels: &self.pixels[from..], stride: self.stride, width: columns.len(), height: rows.len() }
    }
}

/// What one output position takes from the input: the first input position and its weights.
struct Taps {
    first: usize,
    weights: Range<usize>,
}

/// The taps of a range of output positions; all weights in one array.
struct Kernel {
    /// The inputs that the positions need altogether; the taps count from its start.
    span: Range<usize>,
    taps: Vec<Taps>,
    weights: Vec<i32>,
}

/// Keys' cubic with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The weights that take `input` positions to `output` ones, for the positions `wanted`.
fn kernel(input: usize, output: usize, wanted: Range<usize>) -> Kernel {
    let scale = input as f64 / output as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    let step = 1.0 / filter_scale;
    let mut kernel = Kernel { span: 0..0, taps: Vec::with_capacity(wanted.len()), weights: Vec::new() };
    let mut exact = Vec::new();
    for position in wanted {
        let centre = (position as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);
        exact.clear();
        exact.extend((first..end).map(|at| bicubic((at as f64 - centre + 0.5) * step)));
        let sum: f64 = exact.iter().sum();
        let from = kernel.weights.len();
        kernel.weights.extend(exact.iter().map(|weight| {
            let share = if sum == 0.0 { *weight } else { weight / sum };
            let fixed = share * f64::from(1u32 << PRECISION);
            // Rounded half away from zero.
            (fixed + if fixed < 0.0 { -0.5 } else { 0.5 }) as i32
        }));
        // Both ends rise with the position: the first one starts the span, the last one ends it.
        let start = if kernel.taps.is_empty() { first } else { kernel.span.start };
        kernel.span = start..end;
        kernel.taps.push(Taps { first: first - start, weights: from..kernel.weights.len() });
    }
    kernel
}

/// A fixed-point sum as an 8-bit value.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// Resizes `source` to `width` x `height` and gives the part `columns` x `rows` of the result, tightly packed.
pub(super) fn resize(
    source: View<'_>,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    let across = (width != source.width).then(|| kernel(source.width, width, columns.clone()));
    let down = (height != source.height).then(|| kernel(source.height, height, rows.clone()));
    let needed_columns = across.as_ref().map_or(columns, |kernel| kernel.span.clone());
    let needed_rows = down.as_ref().map_or(rows, |kernel| kernel.span.clone());
    let needed = source.part(needed_columns, needed_rows);
    // Pillow 13 begins with the rows where those shrink by more than twice as many pixels as the
    // columns. The order shows in the last bit, and more where the first pass clips.
    let fewer = |from: usize, to: usize| from as i64 - to as i64;
    let rows_first =
        fewer(source.height, height) > 0 && fewer(source.height, height) > 2 * fewer(source.width, width);
    match (across, down) {
        (None, None) => needed.rows().flatten().copied().collect(),
        (Some(across), None) => resize_columns(needed, &across),
        (None, Some(down)) => resize_rows(needed, &down),
        (Some(across), Some(down)) if rows_first => {
            let short = resize_rows(needed, &down);
            resize_columns(packed(&short, needed.width, down.taps.len()), &across)
        }
        (Some(across), Some(down)) => {
            let narrow = resize_columns(needed, &across);
            resize_rows(packed(&narrow, across.taps.len(), needed.height), &down)
        }
    }
}

fn packed(pixels: &[u8], width: usize, height: usize) -> View<'_> {
    View { pixels, stride: width * CHANNELS, width, height }
}

/// The horizontal pass: every pixel is a weighted sum of neighbours in its row.
fn resize_columns(source: View<'_>, kernel: &Kernel) -> Vec<u8> {
    let mut out = vec![0u8; source.height * kernel.taps.len() * CHANNELS];
    let row_bytes = (kernel.taps.len() * CHANNELS).max(1);
    for (row, out) in source.rows().zip(out.chunks_exact_mut(row_bytes)) {
        for (tap, pixel) in kernel.taps.iter().zip(out.chunks_exact_mut(CHANNELS)) {
            let weights = &kernel.weights[tap.weights.clone()];
            let inputs = &row[tap.first * CHANNELS..(tap.first + weights.len()) * CHANNELS];
            let mut sums = [HALF; CHANNELS];
            for (input, weight) in inputs.chunks_exact(CHANNELS).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(input) {
                    *sum = sum.wrapping_add(i32::from(*value).wrapping_mul(*weight));
                }
            }
            for (value, sum) in pixel.iter_mut().zip(sums) {
                *value = to_byte(sum);
            }
        }
    }
    out
}

/// The vertical pass: every row is a weighted sum of rows.
fn resize_rows(source: View<'_>, kernel: &Kernel) -> Vec<u8> {
    let row_bytes = (source.width * CHANNELS).max(1);
    let mut out = vec![0u8; kernel.taps.len() * row_bytes];
    let mut sums = vec![HALF; row_bytes];
    for (tap, out) in kernel.taps.iter().zip(out.chunks_exact_mut(row_bytes)) {
        sums.fill(HALF);
        let weights = &kernel.weights[tap.weights.clone()];
        let needed = source.part(0..source.width, tap.first..tap.first + weights.len());
        for (row, weight) in needed.rows().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(*value).wrapping_mul(*weight));
            }
        }
        for (value, sum) in out.iter_mut().zip(&sums) {
            *value = to_byte(*sum);
        }
    }
    out
}
