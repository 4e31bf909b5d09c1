//! Brings a component to the picture's size as libjpeg does ("fancy" for factors of two), and turns colours.

use std::ops::Range;

use multiversion::multiversion;

/// How a component's rows and columns become the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// They are the picture's.
    Same,
    /// Columns doubled, each a mean of neighbours.
    Wide,
    /// Rows doubled so.
    High,
    /// Both doubled so.
    Both,
    /// Every sample repeated so many times across and down.
    Repeat(usize, usize),
}

impl Way {
    /// What libjpeg chooses for a component of `width` samples; none where the factors are no whole numbers.
    pub(super) fn new((h, v): (usize, usize), (max_h, max_v): (usize, usize), width: usize) -> Option<Self> {
        if (h, v) == (max_h, max_v) {
            return Some(Self::Same);
        }
        if h * 2 == max_h && v == max_v && width > 2 {
            return Some(Self::Wide);
        }
        if h == max_h && v * 2 == max_v {
            return Some(Self::High);
        }
        if h * 2 == max_h && v * 2 == max_v && width > 2 {
            return Some(Self::Both);
        }
        (max_h.is_multiple_of(h) && max_v.is_multiple_of(v)).then(|| Self::Repeat(max_h / h, max_v / v))
    }

    /// The columns of a component of `width` samples that columns of the picture come from.
    pub(super) fn columns(self, wanted: &Range<usize>, width: usize) -> Range<usize> {
        let Range { start, end } = *wanted;
        match self {
            Self::Same | Self::High => start..end,
            // With their neighbours: without one, a sample would be taken for the row's first or last one.
            Self::Wide | Self::Both => (start / 2).saturating_sub(1)..(end.div_ceil(2) + 1).min(width),
            Self::Repeat(across, _) => start / across..end.div_ceil(across).min(width),
        }
    }
}

/// The samples of a component: `height` rows of `width`, at a distance of `stride`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    pub samples: &'a [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// The wanted columns of a row.
    fn row(&self, row: usize, columns: &Range<usize>) -> &'a [u8] {
        let from = row.min(self.height.saturating_sub(1)) * self.stride;
        self.samples.get(from + columns.start..from + columns.end).unwrap_or(&[])
    }
}

/// The wanted columns of row `row` of the picture from a component, in `out` (with room for the picture's width and more)
/// or where they lie already.
pub(super) fn row<'a>(
    plane: Plane<'a>,
    way: Way,
    row: usize,
    wanted: Range<usize>,
    out: &'a mut [u8],
    sums: &mut [u16],
) -> &'a [u8] {
    let columns = way.columns(&wanted, plane.width);
    let near = |row: usize| {
        let other = if row.is_multiple_of(2) { (row / 2).saturating_sub(1) } else { row / 2 + 1 };
        (plane.row(row / 2, &columns), plane.row(other, &columns))
    };
    let across = match way {
        Way::Same => return plane.row(row, &columns),
        Way::Wide => {
            wide(plane.row(row, &columns), out);
            2
        }
        Way::High => {
            let (this, other) = near(row);
            high(this, other, 1 + (row % 2) as u16, out);
            1
        }
        Way::Both => {
            let (this, other) = near(row);
            both(this, other, sums, out);
            2
        }
        Way::Repeat(across, down) => {
            for (out, sample) in out.chunks_mut(across).zip(plane.row(row / down, &columns)) {
                out.fill(*sample);
            }
            across
        }
    };
    let from = wanted.start - columns.start * across;
    out.get(from..from + wanted.len()).unwrap_or(&[])
}

#[multiversion(targets("x86_64+avx2"))]
fn wide(row: &[u8], out: &mut [u8]) {
    let n = row.len();
    let (Some(first), Some(last), Some(out)) = (row.first(), row.last(), out.get_mut(..2 * n)) else {
        return;
    };
    out[0] = *first;
    out[2 * n - 1] = *last;
    // Pairs of neighbours make the two samples between them.
    let between = &mut out[1..2 * n - 1];
    for ((pair, left), right) in between.as_chunks_mut::<2>().0.iter_mut().zip(row).zip(&row[1..]) {
        let (left, right) = (u16::from(*left), u16::from(*right));
        pair[0] = (left.wrapping_mul(3).wrapping_add(right).wrapping_add(2) >> 2) as u8;
        pair[1] = (right.wrapping_mul(3).wrapping_add(left).wrapping_add(1) >> 2) as u8;
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn high(this: &[u8], other: &[u8], bias: u16, out: &mut [u8]) {
    for ((out, this), other) in out.iter_mut().zip(this).zip(other) {
        *out =
            (u16::from(*this).wrapping_mul(3).wrapping_add(u16::from(*other)).wrapping_add(bias) >> 2) as u8;
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn both(this: &[u8], other: &[u8], sums: &mut [u16], out: &mut [u8]) {
    let n = this.len();
    for ((sum, this), other) in sums.iter_mut().zip(this).zip(other) {
        *sum = u16::from(*this).wrapping_mul(3).wrapping_add(u16::from(*other));
    }
    let Some(sums) = sums.get(..n) else { return };
    let (Some(first), Some(last), Some(out)) = (sums.first(), sums.last(), out.get_mut(..2 * n)) else {
        return;
    };
    out[0] = (first.wrapping_mul(4).wrapping_add(8) >> 4) as u8;
    out[2 * n - 1] = (last.wrapping_mul(4).wrapping_add(7) >> 4) as u8;
    let between = &mut out[1..2 * n - 1];
    for ((pair, left), right) in between.as_chunks_mut::<2>().0.iter_mut().zip(sums).zip(&sums[1..]) {
        pair[0] = (left.wrapping_mul(3).wrapping_add(*right).wrapping_add(7) >> 4) as u8;
        pair[1] = (right.wrapping_mul(3).wrapping_add(*left).wrapping_add(8) >> 4) as u8;
    }
}

const HALF: i32 = 1 << 15;

/// Red, green and blue of a luma and two chromas, as libjpeg's tables give them.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb).wrapping_sub(128), i32::from(cr).wrapping_sub(128));
    let red = y.wrapping_add(cr.wrapping_mul(91881).wrapping_add(HALF) >> 16);
    let green = cb.wrapping_mul(-22554).wrapping_add(cr.wrapping_mul(-46802)).wrapping_add(HALF) >> 16;
    let blue = y.wrapping_add(cb.wrapping_mul(116130).wrapping_add(HALF) >> 16);
    [red, y.wrapping_add(green), blue].map(|value| value.clamp(0, 255) as u8)
}

/// A row of YCbCr to RGB.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn ycc_to_rgb(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    for (((out, y), cb), cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(y).zip(cb).zip(cr) {
        *out = rgb(*y, *cb, *cr);
    }
}

/// A row of YCCK to CMYK.
pub(super) fn ycck_to_cmyk(rows: [&[u8]; 4], out: &mut [u8]) {
    let [y, cb, cr, k] = rows;
    for ((((out, y), cb), cr), k) in out.as_chunks_mut::<4>().0.iter_mut().zip(y).zip(cb).zip(cr).zip(k) {
        let [red, green, blue] = rgb(*y, *cb, *cr);
        *out = [255 - red, 255 - green, 255 - blue, *k];
    }
}
