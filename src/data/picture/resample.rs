//! Bicubic resampling with antialiasing, equal to Pillow's to the bit.
//!
//! Pillow works in two passes, one over columns and one over rows, and rounds to 8 bits between them. The
//! weights are fixed-point numbers of 22 fractional bits. Only the wanted part of the result is computed.

use std::ops::Range;

use multiversion::multiversion;

use super::turn::turn;

/// Fractional bits of a weight: 32 less 8 of the value and 2 for overshoot.
const PRECISION: u32 = 32 - 8 - 2;
/// Reach of the bicubic kernel at scale 1.
const SUPPORT: f64 = 2.0;
/// A rectangle of pixels within a larger picture.
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
    /// Bytes of a pixel, at most 4.
    pub channels: usize,
}

impl<'a> View<'a> {
    fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.width * self.channels;
        self.pixels.chunks(self.stride.max(1)).take(self.height).map(move |row| &row[..bytes])
    }

    fn part(&self, columns: Range<usize>, rows: Range<usize>) -> Self {
        let from = rows.start * self.stride + columns.start * self.channels;
        Self { pixels: &self.pixels[from..], width: columns.len(), height: rows.len(), ..*self }
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
    /// The same before they were rounded.
    exact: Vec<f64>,
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

/// The input positions that output position `position` is a sum of, and the middle of them.
fn reach(input: usize, output: usize, position: usize) -> (Range<usize>, f64) {
    let scale = input as f64 / output as f64;
    let support = SUPPORT * scale.max(1.0);
    let centre = (position as f64 + 0.5) * scale;
    let first = (centre - support + 0.5).max(0.0) as usize;
    (first..((centre + support + 0.5) as usize).min(input), centre)
}

/// The input positions that some output positions are made of.
pub(super) fn span(input: usize, output: usize, wanted: Range<usize>) -> Range<usize> {
    if input == output || wanted.is_empty() {
        return wanted;
    }
    reach(input, output, wanted.start).0.start..reach(input, output, wanted.end - 1).0.end
}

/// The weights that take `input` positions to `output` ones, for the positions `wanted`.
fn kernel(input: usize, output: usize, wanted: Range<usize>) -> Kernel {
    let step = 1.0 / (input as f64 / output as f64).max(1.0);
    let mut kernel =
        Kernel { span: 0..0, taps: Vec::with_capacity(wanted.len()), weights: Vec::new(), exact: Vec::new() };
    let mut exact = Vec::new();
    for position in wanted {
        let (Range { start: first, end }, centre) = reach(input, output, position);
        exact.clear();
        exact.extend((first..end).map(|at| bicubic((at as f64 - centre + 0.5) * step)));
        let sum: f64 = exact.iter().sum();
        let from = kernel.weights.len();
        kernel.exact.extend(exact.iter().map(|weight| if sum == 0.0 { *weight } else { weight / sum }));
        kernel.weights.extend(kernel.exact[from..].iter().map(|share| {
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
#[inline(always)]
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
            resize_columns(packed(&short, needed, needed.width, down.taps.len()), &across)
        }
        (Some(across), Some(down)) => {
            let narrow = resize_columns(needed, &across);
            resize_rows(packed(&narrow, needed, across.taps.len(), needed.height), &down)
        }
    }
}

fn packed<'a>(pixels: &'a [u8], like: View<'_>, width: usize, height: usize) -> View<'a> {
    View { pixels, stride: width * like.channels, width, height, channels: like.channels }
}

/// Rows that the horizontal pass works on at a time.
const STRIP: usize = 32;

/// The horizontal pass: every pixel is a weighted sum of neighbours in its row.
///
/// Some rows at a time are turned, so that columns lie in memory as rows do, summed up as the vertical pass sums rows,
/// and turned back: sums of whole vectors are many times faster than sums within a row.
fn resize_columns(source: View<'_>, kernel: &Kernel) -> Vec<u8> {
    let (bytes, row_bytes) = (source.width * source.channels, kernel.taps.len() * source.channels);
    let mut out = vec![0u8; source.height * row_bytes];
    let mut turned = vec![0u8; bytes * STRIP];
    let mut sums = vec![0u8; row_bytes * STRIP];
    let column = source.channels * STRIP;
    for (number, out) in out.chunks_mut((STRIP * row_bytes).max(1)).enumerate() {
        let strip = source.pixels.get(number * STRIP * source.stride..).unwrap_or(&[]);
        let rows = STRIP.min(source.height - number * STRIP);
        turn_in(strip, source.stride, (bytes, rows), &mut turned);
        for (tap, sums) in kernel.taps.iter().zip(sums.chunks_exact_mut(column)) {
            let from = turned.get(tap.first * column..).unwrap_or(&[]);
            sum_of_rows(from, column, &kernel.weights[tap.weights.clone()], sums);
        }
        turn_out(&sums, row_bytes, rows, out);
    }
    out
}

/// `rows` rows of `bytes` bytes (at a distance of `stride`) to columns of [`STRIP`] bytes; what is beyond the rows is
/// of no consequence.
fn turn_in(strip: &[u8], stride: usize, (bytes, rows): (usize, usize), columns: &mut [u8]) {
    for eight in (0..rows).step_by(8) {
        // The last rows stand in for those that are not there.
        let row = |k: usize| {
            let from = (eight + k).min(rows - 1) * stride;
            strip.get(from..from + bytes).unwrap_or(&[])
        };
        let all: [&[u8]; 8] = std::array::from_fn(row);
        let whole = all.map(|row| row.as_chunks::<8>().0);
        let (blocks, rest) = columns.split_at_mut((bytes / 8 * 8 * STRIP).min(columns.len()));
        for (at, block) in blocks.chunks_exact_mut(8 * STRIP).enumerate() {
            let words = whole.map(|row| row.get(at).map_or(0, |word| u64::from_le_bytes(*word)));
            for (column, word) in block.chunks_exact_mut(STRIP).zip(turn(words)) {
                column[eight..eight + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        for (at, column) in rest.chunks_exact_mut(STRIP).enumerate() {
            for (k, row) in all.iter().enumerate() {
                column[eight + k] = row.get(bytes / 8 * 8 + at).copied().unwrap_or(0);
            }
        }
    }
}

/// Columns of [`STRIP`] bytes to the first `rows` rows of `bytes` bytes.
fn turn_out(columns: &[u8], bytes: usize, rows: usize, out: &mut [u8]) {
    for eight in (0..rows).step_by(8) {
        let here = 8.min(rows - eight);
        let Some(out) = out.get_mut(eight * bytes..(eight + here) * bytes) else { return };
        let (blocks, rest) = columns.split_at((bytes / 8 * 8 * STRIP).min(columns.len()));
        for (at, block) in blocks.chunks_exact(8 * STRIP).enumerate() {
            let mut words = [0; 8];
            for (word, column) in words.iter_mut().zip(block.chunks_exact(STRIP)) {
                *word = column[eight..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            }
            for (row, word) in out.chunks_exact_mut(bytes).zip(turn(words)) {
                row[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        for (at, column) in rest.chunks_exact(STRIP).enumerate() {
            for (row, byte) in out.chunks_exact_mut(bytes).zip(&column[eight..]) {
                row[bytes / 8 * 8 + at] = *byte;
            }
        }
    }
}

/// Columns that the vertical pass sums up together.
const TOGETHER: usize = 32;

/// The vertical pass: every row is a weighted sum of rows.
fn resize_rows(source: View<'_>, kernel: &Kernel) -> Vec<u8> {
    let row_bytes = (source.width * source.channels).max(1);
    let mut out = vec![0u8; kernel.taps.len() * row_bytes];
    for (tap, out) in kernel.taps.iter().zip(out.chunks_exact_mut(row_bytes)) {
        let from = source.pixels.get(tap.first * source.stride..).unwrap_or(&[]);
        sum_of_rows(from, source.stride, &kernel.weights[tap.weights.clone()], out);
    }
    out
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn sum_of_rows(pixels: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    let (blocks, rest) = out.as_chunks_mut::<TOGETHER>();
    let mut column = 0usize;
    for out in blocks {
        let mut sums = [HALF; TOGETHER];
        let mut at = column;
        for weight in weights {
            if let Some(row) = pixels.get(at..).and_then(|row| row.first_chunk::<TOGETHER>()) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum = sum.wrapping_add(i32::from(*value).wrapping_mul(*weight));
                }
            }
            at = at.wrapping_add(stride);
        }
        // No `map`: it is not always inlined, and then not made of vectors.
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out = to_byte(*sum);
        }
        column = column.wrapping_add(TOGETHER);
    }
    for (more, out) in rest.iter_mut().enumerate() {
        let mut sum = HALF;
        for (row, weight) in weights.iter().enumerate() {
            let value = pixels.get(column + more + row * stride).copied().unwrap_or(0);
            sum = sum.wrapping_add(i32::from(value).wrapping_mul(*weight));
        }
        *out = to_byte(sum);
    }
}

/// The nearest pixel of `source` for each pixel of the wanted part, as Pillow's nearest filter takes it.
pub(super) fn nearest(
    source: View<'_>,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    let places = |input: usize, output: usize, wanted: Range<usize>| -> Vec<usize> {
        let scale = input as f64 / output as f64;
        // Pillow adds the scale up, so that the rounding of each sum counts.
        let mut at = scale * 0.5;
        let mut all = Vec::with_capacity(wanted.end);
        for _ in 0..wanted.end {
            all.push((at as usize).min(input.saturating_sub(1)));
            at += scale;
        }
        all.split_off(wanted.start)
    };
    let across = places(source.width, width, columns);
    let mut out = Vec::with_capacity(across.len() * rows.len() * source.channels);
    for y in places(source.height, height, rows) {
        for x in &across {
            let from = y * source.stride + x * source.channels;
            out.extend_from_slice(&source.pixels[from..from + source.channels]);
        }
    }
    out
}

/// Resizes a picture of 16-bit greys (rows of `stride`): Pillow does that in floating point.
pub(super) fn resize16(
    greys: &[u16],
    stride: usize,
    (source_width, source_height): (usize, usize),
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u16> {
    let across = kernel(source_width, width, columns);
    let down = kernel(source_height, height, rows);
    // Each byte is held to its own bounds.
    let grey = |sum: f64| {
        let whole = if sum >= 0.0 { (sum + 0.5) as i32 } else { -(0.5 - sum).floor() as i32 };
        ((whole >> 8).clamp(0, 255) as u16) << 8 | (whole % 256).clamp(0, 255) as u16
    };
    let mut narrow = Vec::with_capacity(down.span.len() * across.taps.len());
    for y in down.span.clone() {
        for tap in &across.taps {
            let from = y * stride + across.span.start + tap.first;
            let sum = across.exact[tap.weights.clone()].iter().zip(&greys[from..]);
            narrow.push(grey(sum.map(|(weight, grey)| weight * f64::from(*grey)).sum()));
        }
    }
    let count = across.taps.len();
    let mut out = Vec::with_capacity(down.taps.len() * count);
    for tap in &down.taps {
        for x in 0..count {
            let column = narrow[tap.first * count + x..].iter().step_by(count.max(1));
            let sum = down.exact[tap.weights.clone()].iter().zip(column);
            out.push(grey(sum.map(|(weight, grey)| weight * f64::from(*grey)).sum()));
        }
    }
    out
}
