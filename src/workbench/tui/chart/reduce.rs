//! From a curve to what its columns show: the points in sight, their range, smoothing, extremes of each column.

use std::ops::Range;

use run::curve::Curve;

use super::view::{ChartView, Units};

/// The points whose unit lies in `from..=to`, and one more on either side, so that lines enter and leave the plot.
pub fn in_sight(curve: &Curve, view: &ChartView, units: Units, from: f64, to: f64) -> Range<usize> {
    let below = |limit: f64, or_equal: bool| {
        let before = |x: f64| x < limit || or_equal && x == limit;
        let (mut low, mut high) = (0, length(curve));
        while low < high {
            let middle = low + (high - low) / 2;
            if view.unit_of(curve, middle, units).is_some_and(before) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    };
    let end = (below(to, true) + 1).min(length(curve));
    below(from, false).saturating_sub(1).min(end)..end
}

/// Points that have a step, a time and a value.
fn length(curve: &Curve) -> usize {
    curve.values.len().min(curve.steps.len()).min(curve.times.len())
}

/// The index of the point nearest to a unit.
pub fn nearest(curve: &Curve, view: &ChartView, units: Units, unit: f64) -> Option<usize> {
    let close = |i: &usize| view.unit_of(curve, *i, units).map_or(f64::INFINITY, |x| (x - unit).abs());
    in_sight(curve, view, units, unit, unit).min_by(|a, b| close(a).total_cmp(&close(b)))
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

    /// Takes in a point, as many equal values as it stands for, and gives the mean; NaN for a value that is not finite.
    fn next_of(&mut self, value: f64, (count, mean): (u32, f64)) -> f64 {
        if !value.is_finite() || !mean.is_finite() {
            return f64::NAN;
        }
        let past = self.weight.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let own = if self.weight > 0.0 { (1.0 - past) / (1.0 - self.weight) } else { 1.0 };
        self.sum = past * self.sum + own * mean;
        self.total = past * self.total + own;
        self.sum / self.total
    }

    /// The smoothed values of some points.
    pub fn run(weight: f64, curve: &Curve, points: Range<usize>) -> Vec<f64> {
        let mut smoother = Self::before(weight, curve, points.start);
        points.map(|i| smoother.point(curve, i)).collect()
    }

    fn point(&mut self, curve: &Curve, i: usize) -> f64 {
        let value = curve.values.get(i).copied().unwrap_or(f64::NAN);
        self.next_of(value, curve.stands(i))
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
        for i in start.saturating_sub(Self::memory(weight))..start {
            smoother.point(curve, i);
        }
        smoother
    }

    /// The smoothed value at a point.
    pub fn at(weight: f64, curve: &Curve, i: usize) -> Option<f64> {
        curve.values.get(i)?;
        Some(Self::before(weight, curve, i).point(curve, i))
    }
}

/// The lowest and the highest of the values that are finite and not below `least`, and whether all are; the lowest is
/// above the highest when none is.
fn ends(values: &[f64], least: f64) -> (f64, f64, bool) {
    // Lanes without branches, so that the compiler does several values at once: a million take about a millisecond.
    let (mut low, mut high, mut all) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8], [true; 8]);
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks.chain(std::iter::once(rest)) {
        for (((v, low), high), all) in chunk.iter().zip(&mut low).zip(&mut high).zip(&mut all) {
            let fits = *v >= least && *v <= f64::MAX;
            *low = if fits && *v < *low { *v } else { *low };
            *high = if fits && *v > *high { *v } else { *high };
            *all &= fits;
        }
    }
    (
        low.into_iter().fold(f64::INFINITY, f64::min),
        high.into_iter().fold(f64::NEG_INFINITY, f64::max),
        all == [true; 8],
    )
}

/// The lowest value that has a place on the axis.
fn least(log: bool) -> f64 {
    if log { f64::MIN_POSITIVE } else { f64::MIN }
}

/// The finite extremes of some values; on a logarithmic axis of the positive ones only.
pub fn extremes(values: &[f64], log: bool) -> Option<(f64, f64)> {
    let (low, high, _) = ends(values, least(log));
    (low <= high).then_some((low, high))
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
    let at =
        |share: f64| picked.get((picked.len().saturating_sub(1) as f64 * share).round() as usize).copied();
    let Some((low, high)) = at(0.05).zip(at(0.95)).filter(|(low, high)| high > low) else { return Some(all) };
    let (low, high) = (low - (high - low), high + (high - low));
    let (low, high) = if log { (low.exp(), high.exp()) } else { (low, high) };
    Some((all.0.max(low), all.1.min(high)))
}

/// Neighbouring points in one column of dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The column.
    pub x: i32,
    /// The points.
    pub points: Range<usize>,
}

/// Puts points into columns. `column` tells a point's; it does not fall from point to point, so that the ends of the
/// columns are found by bisection, without a look at every point.
pub fn buckets(points: Range<usize>, column: impl Fn(usize) -> i32) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut start = points.start;
    while start < points.end {
        let x = column(start);
        let (mut inside, mut outside) = (start, points.end);
        while outside - inside > 1 {
            let middle = inside + (outside - inside) / 2;
            if column(middle) <= x { inside = middle } else { outside = middle }
        }
        buckets.push(Bucket { x, points: start..outside });
        start = outside;
    }
    buckets
}

/// What a line shows in one column: rows of dots, from the top.
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

/// Reduces values to columns, their extremes kept; `row` tells the row of a value, none being a gap. `values` begin
/// with point `start`.
pub fn columns(
    buckets: &[Bucket],
    values: &[f64],
    start: usize,
    row: impl Fn(f64) -> Option<i32>,
    mut each: impl FnMut(Option<Column>),
) {
    // Of values that all have a row.
    let column = |x: i32, run: &[f64]| {
        let (low, high, all) = ends(run, f64::MIN);
        if !all {
            return None;
        }
        Some(Column {
            x,
            first: row(*run.first()?)?,
            last: row(*run.last()?)?,
            top: row(high)?,
            bottom: row(low)?,
        })
    };
    for bucket in buckets {
        let span = bucket.points.start.saturating_sub(start)..bucket.points.end.saturating_sub(start);
        let values = values.get(span).unwrap_or_default();
        if let Some(column) = column(bucket.x, values) {
            each(Some(column));
            continue;
        }
        for (i, run) in values.split(|v| row(*v).is_none()).enumerate() {
            if i > 0 {
                each(None);
            }
            if let Some(column) = column(bucket.x, run) {
                each(Some(column));
            }
        }
    }
}
