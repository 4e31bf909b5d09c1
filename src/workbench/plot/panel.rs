//! What one panel shows: lines in its units, their range, the ticks.

use run::curve::Curve;

use super::{Options, Run, view};
use crate::tui::chart::{Axis, Smoother, robust_range, scale};

/// Columns to which a line is reduced, its extremes kept.
const COLUMNS: f64 = 1400.0;

/// A line of a panel.
#[derive(Debug)]
pub struct Line {
    /// Which run.
    pub run: usize,
    /// Whether it is few, exact points: a held-out figure.
    pub dots: bool,
    /// Pieces without gaps, x and y in scaled units.
    pub raw: Vec<Vec<(f64, f64)>>,
    /// The same, smoothed; empty without smoothing.
    pub smooth: Vec<Vec<(f64, f64)>>,
}

/// An axis: its ends in scaled units, its ticks and their labels.
#[derive(Debug)]
pub struct Scale {
    /// Its ends.
    pub ends: (f64, f64),
    /// Ticks in scaled units, with labels.
    pub ticks: Vec<(f64, String)>,
    log: bool,
}

/// A panel.
#[derive(Debug)]
pub struct Panel {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The x axis.
    pub x: Scale,
    /// The y axis.
    pub y: Scale,
    /// Points beyond the robust range.
    pub clipped: usize,
}

fn scaled(v: f64, log: bool) -> f64 {
    if log { v.log10() } else { v }
}

impl Panel {
    /// The panel of a curve.
    pub fn of(runs: &[Run], metric: &str, options: &Options) -> Self {
        let held_out = format!("held_out.{metric}");
        let mut lines = Vec::new();
        let (mut values, mut ends) = (Vec::new(), (f64::INFINITY, f64::NEG_INFINITY));
        for (at, run) in runs.iter().enumerate() {
            for (name, dots) in
                [(metric, metric.contains('.') || metric.starts_with("val/")), (&held_out, true)]
            {
                let Some(curve) = run.history.curves.get(name) else { continue };
                let view = view(&run.history, options.axis);
                let factor = view.factor();
                let x = |i: usize| view.unit(curve, i).map_or(f64::NAN, |u| u * factor);
                let inside = |i: &usize| {
                    let x = x(*i);
                    x >= options.range.0.unwrap_or(f64::NEG_INFINITY)
                        && x <= options.range.1.unwrap_or(f64::INFINITY)
                        && (!options.log_x || x > 0.0)
                };
                let points: Vec<usize> = (0..curve.values.len()).filter(inside).collect();
                let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else {
                    continue;
                };
                ends = (ends.0.min(x(first)), ends.1.max(x(last)));
                let smoothed = if options.smoothing > 0.0 && !dots {
                    Smoother::run(options.smoothing, curve, first..last + 1)
                } else {
                    Vec::new()
                };
                values.extend(points.iter().filter_map(|i| curve.values.get(*i).copied()));
                let span = (x(first), x(last));
                let of = |values: &dyn Fn(usize) -> f64| pieces(&points, &x, values, span, options);
                lines.push(Line {
                    run: at,
                    dots,
                    raw: of(&|i| value(curve, i)),
                    smooth: if smoothed.is_empty() {
                        Vec::new()
                    } else {
                        of(&|i| smoothed.get(i - first).copied().unwrap_or(f64::NAN))
                    },
                });
            }
        }
        let y = y_scale(&values, options);
        let beyond = |v: &&f64| {
            let s = scaled(**v, options.log_y);
            v.is_finite() && s.is_finite() && (s < y.ends.0 || s > y.ends.1)
        };
        let clipped = values.iter().filter(beyond).count();
        let from = options.range.0.unwrap_or(if ends.0 > 0.0 && ends.0 < 0.05 * ends.1 && !options.log_x {
            0.0
        } else {
            ends.0
        });
        let x = x_scale((from, options.range.1.unwrap_or(ends.1)), options);
        Self { lines, x, y, clipped }
    }
}

/// Panels of one paper have one x axis, so that what happened at a step stands at the same place in all.
pub fn share_x(panels: &mut [Panel], options: &Options) {
    let drawn = panels.iter().filter(|p| !p.lines.is_empty()).map(|p| p.x.ends);
    let Some((from, to)) = drawn.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return };
    let plain = |v: f64| if options.log_x { 10f64.powf(v) } else { v };
    for panel in panels {
        panel.x = x_scale((plain(from), plain(to)), options);
    }
}

fn value(curve: &Curve, i: usize) -> f64 {
    curve.values.get(i).copied().unwrap_or(f64::NAN)
}

/// The line without its gaps, of each column the first, lowest, highest and last point.
fn pieces(
    points: &[usize],
    x: &dyn Fn(usize) -> f64,
    y: &dyn Fn(usize) -> f64,
    span: (f64, f64),
    options: &Options,
) -> Vec<Vec<(f64, f64)>> {
    let width = (scaled(span.1, options.log_x) - scaled(span.0, options.log_x)).max(1e-300);
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = Vec::new();
    let mut column: Vec<(f64, f64)> = Vec::new();
    let mut at = 0.0;
    let flush = |column: &mut Vec<(f64, f64)>, piece: &mut Vec<(f64, f64)>| {
        let ends = |less: bool| {
            let by = |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
            let all = column.iter().enumerate();
            if less { all.min_by(by) } else { all.max_by(by) }.map(|(i, _)| i)
        };
        let last = column.len().checked_sub(1);
        let mut keep: Vec<usize> = [Some(0), ends(true), ends(false), last].into_iter().flatten().collect();
        keep.sort_unstable();
        keep.dedup();
        piece.extend(keep.into_iter().filter_map(|i| column.get(i).copied()));
        column.clear();
    };
    for i in points {
        let (px, py) = (scaled(x(*i), options.log_x), scaled(y(*i), options.log_y));
        if !py.is_finite() {
            flush(&mut column, &mut piece);
            pieces.push(std::mem::take(&mut piece));
            continue;
        }
        let here = ((px - scaled(span.0, options.log_x)) / width * COLUMNS).floor();
        if here != at {
            flush(&mut column, &mut piece);
            at = here;
        }
        column.push((px, py));
    }
    flush(&mut column, &mut piece);
    pieces.push(piece);
    pieces.retain(|p| !p.is_empty());
    pieces
}

fn y_scale(values: &[f64], options: &Options) -> Scale {
    let log = options.log_y;
    let placed = values.iter().copied().filter(|v| v.is_finite() && (!log || *v > 0.0));
    let all =
        placed.fold(None, |e: Option<(f64, f64)>, v| Some(e.map_or((v, v), |(a, b)| (a.min(v), b.max(v)))));
    let ends = if options.robust { robust_range(values, log).or(all) } else { all };
    let (low, high) = ends.unwrap_or((0.1, 1.0));
    let (low, high) = (scaled(low, log), scaled(high, log));
    let margin = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.1 };
    let bottom = if !log && low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
    let mut scale = Scale { ends: (bottom, high + margin), ticks: Vec::new(), log };
    scale.ticks = scale.number_ticks(6);
    scale
}

fn x_scale((from, to): (f64, f64), options: &Options) -> Scale {
    let to = if to > from { to } else { from + 1.0 };
    let log = options.log_x;
    let mut scale = Scale { ends: (scaled(from, log), scaled(to, log)), ticks: Vec::new(), log };
    scale.ticks = if options.axis == Axis::Time && !log {
        scale::duration_ticks(from, to, 7).into_iter().map(|t| (t, scale::duration(t))).collect()
    } else {
        scale.number_ticks(7)
    };
    scale
}

impl Scale {
    fn number_ticks(&self, count: u16) -> Vec<(f64, String)> {
        let (low, high) = self.ends;
        if self.log {
            let ticks = scale::log_ticks(10f64.powf(low), 10f64.powf(high), count);
            let labels: Vec<String> = ticks.iter().map(|t| scale::significant(*t, 2)).collect();
            return ticks.into_iter().map(f64::log10).zip(labels).collect();
        }
        let ticks = scale::ticks(low, high, count);
        let labels = scale::tick_labels(&ticks);
        ticks.into_iter().zip(labels).collect()
    }

    /// Where a scaled value lies between the ends, 0 to 1.
    pub fn share(&self, v: f64) -> f64 {
        (v - self.ends.0) / (self.ends.1 - self.ends.0)
    }
}
