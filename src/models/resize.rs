//! Learned positions for pictures or texts of another size, as open_clip resizes them: `F.interpolate`, bicubic with
//! antialias over the grid of patches, linear over the positions of tokens.

use std::ops::Range;

/// One output's inputs: where they begin, and the weight of each.
type Taps = Vec<(Range<usize>, Vec<f32>)>;

/// A table `[1 + old², width]` (class token first) as `[1 + grid², width]`: the class token's row is kept, the grid is
/// resized bicubically with antialias, columns first as PyTorch does.
pub fn resize_image_positions(old: &[f32], width: usize, grid: usize) -> Vec<f32> {
    let (class, patches) = old.split_at_checked(width).unwrap_or((old, &[]));
    let side = (patches.len() / width.max(1)).isqrt();
    let taps = bicubic(side, grid);
    let across = resample(patches, side, side * width, width, &taps);
    let down = resample(&across, 1, 0, grid * width, &taps);
    [class, &down].concat()
}

/// A table `[old, width]` as `[rows, width]`, linearly.
pub fn resize_text_positions(old: &[f32], width: usize, rows: usize) -> Vec<f32> {
    let from = old.len() / width.max(1);
    resample(old, 1, 0, width, &linear(from, rows))
}

/// For each of `lines` lines, `pitch` numbers apart: sums of its groups of `group` numbers, weighted by the taps.
fn resample(from: &[f32], lines: usize, pitch: usize, group: usize, taps: &Taps) -> Vec<f32> {
    let mut out = Vec::with_capacity(lines * taps.len() * group);
    for line in 0..lines {
        let line = from.get(line * pitch..).unwrap_or_default();
        for (range, weights) in taps {
            let mut sum = vec![0f32; group];
            for (at, weight) in range.clone().zip(weights) {
                let Some(numbers) = line.get(at * group..(at + 1) * group) else { continue };
                for (s, x) in sum.iter_mut().zip(numbers) {
                    *s += weight * x;
                }
            }
            out.extend(sum);
        }
    }
    out
}

/// PyTorch's antialiased bicubic (a = -0.5, as Pillow's): the filter widens with the scale when it shrinks.
fn bicubic(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    (0..to)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5);
            let begin = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (begin..end).map(|j| cubic((j as f64 - centre + 0.5) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            (begin..end, weights.into_iter().map(|w| (w / total) as f32).collect())
        })
        .collect()
}

/// The cubic convolution kernel with a = -0.5.
fn cubic(x: f64) -> f64 {
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

/// PyTorch's linear interpolation with align_corners=False: no antialias, ends held.
fn linear(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let at = (scale * (i as f64 + 0.5) - 0.5).max(0.0);
            let low = (at as usize).min(from.saturating_sub(1));
            let share = (at - low as f64) as f32;
            if low + 1 < from { (low..low + 2, vec![1.0 - share, share]) } else { (low..low + 1, vec![1.0]) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_the_same() {
        let old: Vec<f32> = (0..(1 + 16) * 3).map(|i| (i as f32).sin()).collect();
        for (a, b) in resize_image_positions(&old, 3, 4).iter().zip(&old) {
            assert!((a - b).abs() < 1e-6);
        }
        assert_eq!(resize_text_positions(&old, 3, 17), old);
    }

    #[test]
    fn a_constant_stays_one() {
        for grid in [1, 3, 7, 16] {
            let new = resize_image_positions(&vec![2.5; (1 + 49) * 2], 2, grid);
            assert_eq!(new.len(), (1 + grid * grid) * 2);
            assert!(new.iter().all(|x| (x - 2.5).abs() < 1e-5));
        }
    }
}
