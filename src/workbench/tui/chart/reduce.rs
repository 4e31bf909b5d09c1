//! From a curve to what its columns show: the points in sight, their range, smoothing, extremes of each column.

use std::ops::Range;

use run::history::Curve;

use super::view::{Axis, ChartView, steps};

/// The points whose unit lies in `from..=to`, and one more on either side, so that lines enter and leave the plot.
pub fn in_sight(curve: &Curve, view: &ChartView, from: f64, to: f64) -> Range<usize> {
    let below = |limit: f64, or_equal: bool| {
        let before = |x: f64| x < limit || or_equal && x == limit;
        match view.axis() {
            Axis::Time => curve.times.partition_point(|t| before(t - view.units().began)),
            _ => curve.steps.partition_point(|s| before(steps(*s))),
        }
    };
    let end = (below(to, true) + 1).min(length(curve));
    below(from, false).saturating_sub(1).min(end)..end
}

/// Points that have a step, a time and a value.
fn length(curve: &Curve) -> usize {
    curve.values.len().min(curve.steps.len()).min(curve.times.len())
}

/// The index of the point nearest to a unit.
pub fn nearest(curve: &Curve, view: &ChartView, unit: f64) -> Option<usize> {
    let close = |i: &usize| view.unit(curve, *i).map_or(f64::INFINITY, |x| (x - unit).abs());
    in_sight(curve, view, unit, unit).min_by(|a, b| close(a).total_cmp(&close(b)))
}

/// An exponential moving average without the bias of its start: a weighted mean of all values so far, a value's weight
/// shrinking by `weight` at each later one. Values that are not finite are passed over.
#[derive(Clone, Copy, Debug)]
pub struct Smoother {
    weight: f64,
    sum: f64,
    total: f64,
}

impl Smoother {
    /// With this weight of the past, 0 to below 1.
    pub fn new(weight: f64) -> Self {
        Self { weight, sum: 0.0, total: 0.0 }
    }

    /// Takes in a value and gives the mean; NaN for a value that is not finite.
    pub fn next(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return f64::NAN;
        }
        self.sum = self.weight * self.sum + value;
        self.total = self.weight * self.total + 1.0;
        self.sum / self.total
    }

    /// Points before the window whose weight is still felt in it: those before add less than a millionth.
    fn memory(weight: f64) -> usize {
        match weight {
            w if w <= 0.0 => 0,
            w => (1e-6f64.ln() / w.ln()).ceil().clamp(0.0, 1e5) as usize,
        }
    }

    /// A smoother that has seen what comes before point `start`.
    pub fn before(weight: f64, curve: &Curve, start: usize) -> Self {
        let mut smoother = Self::new(weight);
        let seen = curve.values.get(start.saturating_sub(Self::memory(weight))..start);
        for value in seen.unwrap_or_default() {
            smoother.next(*value);
        }
        smoother
    }

    /// The smoothed value at a point.
    pub fn at(weight: f64, curve: &Curve, i: usize) -> Option<f64> {
        let value = curve.values.get(i)?;
        Some(Self::before(weight, curve, i).next(*value))
    }
}

/// The finite extremes of some values; on a logarithmic axis of the positive ones only.
pub fn extremes(values: &[f64], log: bool) -> Option<(f64, f64)> {
    let mut ends = (f64::INFINITY, f64::NEG_INFINITY);
    for v in values.iter().filter(|v| v.is_finite() && !(log && **v <= 0.0)) {
        ends = (ends.0.min(*v), ends.1.max(*v));
    }
    (ends.0 <= ends.1).then_some(ends)
}

/// Values looked at for the robust range: enough for its quantiles.
const SAMPLE: usize = 20_000;

/// The extremes without outliers: at most the span of the middle 90 % beyond its ends.
pub fn robust(slices: &[&[f64]], log: bool) -> Option<(f64, f64)> {
    let all = slices.iter().filter_map(|s| extremes(s, log)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let count: usize = slices.iter().map(|s| s.len()).sum();
    let every = count.div_ceil(SAMPLE).max(1);
    let picked = slices.iter().flat_map(|s| s.iter().step_by(every)).copied();
    let scaled = |v: f64| if log { v.ln() } else { v };
    let mut picked: Vec<f64> = picked.filter(|v| v.is_finite() && !(log && *v <= 0.0)).map(scaled).collect();
    picked.sort_by(f64::total_cmp);
    let at = |share: f64| picked.get((picked.len().saturating_sub(1) as f64 * share).round() as usize).copied();
    let Some((low, high)) = at(0.05).zip(at(0.95)).filter(|(low, high)| high > low) else { return Some(all) };
    let (low, high) = (low - (high - low), high + (high - low));
    let (low, high) = if log { (low.exp(), high.exp()) } else { (low, high) };
    Some((all.0.max(low), all.1.min(high)))
}

/// What falls into one column of dots: rows of dots, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column.
    pub x: i32,
    /// Row of the first point in it.
    pub first: i32,
    /// Row of the last one.
    pub last: i32,
    /// The highest point's row.
    pub top: i32,
    /// The lowest point's row.
    pub bottom: i32,
}

/// Gathers points into columns. A row of none is a gap.
pub fn columns(points: impl Iterator<Item = (i32, Option<i32>)>, mut each: impl FnMut(Option<Column>)) {
    let mut open: Option<Column> = None;
    for (x, row) in points {
        match (row, &mut open) {
            (Some(row), Some(column)) if column.x == x => {
                column.last = row;
                column.top = column.top.min(row);
                column.bottom = column.bottom.max(row);
            }
            (Some(row), _) => {
                if let Some(done) = open.replace(Column { x, first: row, last: row, top: row, bottom: row }) {
                    each(Some(done));
                }
            }
            (None, _) => {
                if let Some(done) = open.take() {
                    each(Some(done));
                }
                each(None);
            }
        }
    }
    if let Some(done) = open {
        each(Some(done));
    }
}
