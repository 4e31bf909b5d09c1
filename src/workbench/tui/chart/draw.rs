//! Draws a chart: border and axes, lines, marks, crosshair.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::symbols::border;
use ratatui::widgets::{Block, Widget};

use super::grid::Grid;
use super::reduce::{self, Bucket, Column, Smoother};
use super::view::steps;
use super::{Axis, Chart, Kind, MarkKind, Series, scale, title};

/// A series with what of it is in sight.
struct Seen<'a> {
    series: &'a Series<'a>,
    /// Its points in the window and one on either side.
    points: Range<usize>,
    /// Its points in the window.
    inside: Range<usize>,
    /// Smoothed values of `points`; empty without smoothing.
    smooth: Vec<f64>,
}

impl Seen<'_> {
    fn values(&self) -> &[f64] {
        let inside = if self.inside.is_empty() { &self.points } else { &self.inside };
        self.series.drawn().values.get(inside.clone()).unwrap_or_default()
    }

    /// Whether dots would stand so close that they hide the lines: then they are a line too.
    fn is_dense(&self, plot: Rect) -> bool {
        self.inside.len() > usize::from(plot.width / 3)
    }
}

/// Values that are in the window but cannot be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unseen {
    /// Beyond the robust range.
    pub clipped: usize,
    /// Not positive, on a logarithmic axis.
    pub not_positive: usize,
    /// NaN or infinite.
    pub not_finite: usize,
}

impl Unseen {
    fn count(&mut self, values: &[f64], y: &YScale) {
        let seen = values.iter().filter(|v| **v >= y.low && **v <= y.high).count();
        if seen == values.len() {
            return;
        }
        let finite = values.iter().filter(|v| v.is_finite()).count();
        let placed = values.iter().filter(|v| v.is_finite() && !(y.log && **v <= 0.0)).count();
        self.not_finite += values.len() - finite;
        self.not_positive += finite - placed;
        self.clipped += placed - seen;
    }
}

/// From values to rows of dots.
struct YScale {
    low: f64,
    high: f64,
    log: bool,
    dots: i32,
}

impl YScale {
    /// The row of a value, outside 0..dots when it is beyond the range; none when it has no place on the axis.
    fn row(&self, value: f64) -> Option<i32> {
        let scaled = |v: f64| if self.log { v.ln() } else { v };
        if !value.is_finite() || self.log && value <= 0.0 {
            return None;
        }
        // Halved, so that the span of the largest numbers stays finite.
        let (low, high) = (scaled(self.low) / 2.0, scaled(self.high) / 2.0);
        let share = (high - scaled(value) / 2.0) / (high - low);
        Some((share * f64::from(self.dots - 1)).round().clamp(-1e6, 1e6) as i32)
    }
}

impl Widget for Chart<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let Some(plot) = Self::plot_area(area) else {
            title::draw(&self, &Unseen::default(), area, buf);
            return;
        };
        let border = if self.focused { self.style.focus } else { self.style.border };
        Block::bordered().border_set(border::ROUNDED).border_style(border).render(area, buf);
        let (from, to) = self.view.window(self.domain);
        let seen: Vec<Seen> = self.series.iter().map(|s| self.see(s, from, to)).collect();
        let y = self.y_scale(&seen, plot);
        let mut grid = Grid::new(plot.width, plot.height);
        let last = f64::from(grid.dots_x() - 1);
        let column = |unit: f64| (self.view.share(unit, (from, to)) * last).round().clamp(-1e6, 1e6) as i32;
        let unit = |s: &Seen, i: usize| s.series.unit(self.view, i).unwrap_or(f64::NAN);
        let mut unseen = Unseen::default();
        let mut broken = Vec::new();
        for s in &seen {
            let buckets = reduce::buckets(s.points.clone(), |i| column(unit(s, i)));
            for bucket in reduce::buckets(s.inside.clone(), |i| column(unit(s, i))) {
                let values = s.series.drawn().values.get(bucket.points).unwrap_or_default();
                let before = unseen.not_finite;
                unseen.count(values, &y);
                if unseen.not_finite > before {
                    broken.push(bucket.x);
                }
            }
            let (rank, style) = match s.series.kind {
                Kind::Line if s.smooth.is_empty() => (2, s.series.style),
                Kind::Dots if s.is_dense(plot) => (3, s.series.style),
                _ => (1, s.series.style.add_modifier(Modifier::DIM)),
            };
            grid.layer(rank, style);
            draw_line(&mut grid, &buckets, &s.series.drawn().values, 0, &y);
            if !s.smooth.is_empty() {
                grid.layer(2, s.series.style);
                draw_line(&mut grid, &buckets, &s.smooth, s.points.start, &y);
            }
        }
        grid.write(plot, buf);
        for s in seen.iter().filter(|s| s.series.kind == Kind::Dots && !s.is_dense(plot)) {
            for i in s.inside.clone() {
                let value = s.series.drawn().values.get(i).copied().unwrap_or(f64::NAN);
                let place = s.series.unit(self.view, i).map(column).zip(y.row(value));
                if let Some((x, row)) = place.filter(|(_, row)| (0..y.dots).contains(row)) {
                    put(buf, plot, x / 2, row / 4, "●", s.series.style);
                }
            }
        }
        let crosshair = self.view.crosshair().filter(|x| (from..=to).contains(x));
        for mark in self.marks {
            if let Some(x) = self.mark_unit(mark.step).filter(|x| (from..=to).contains(x)) {
                self.draw_mark(column(x) / 2, mark.kind, plot, buf);
            }
        }
        if let Some(x) = crosshair.map(column) {
            for row in 0..i32::from(plot.height) {
                put_blank(buf, plot, x / 2, row, "│", Style::new().add_modifier(Modifier::DIM));
            }
        }
        for mark in self.marks.iter().rev().filter(|m| !m.label.is_empty()) {
            if let Some(x) = self.mark_unit(mark.step).filter(|x| (from..=to).contains(x)) {
                label_mark(column(x) / 2, &mark.label, plot, buf, self.style.mark);
            }
        }
        for s in seen.iter().filter(|s| s.series.kind == Kind::Line) {
            // The last point in sight that lies in the plot.
            let (values, start) =
                if s.smooth.is_empty() { (&s.series.drawn().values, 0) } else { (&s.smooth, s.points.start) };
            let end = s.inside.clone().rev().find_map(|i| {
                let row = y.row(*values.get(i.checked_sub(start)?)?).filter(|r| (0..y.dots).contains(r))?;
                Some((column(unit(s, i)), row))
            });
            if let (Some(number), Some((x, row))) = (s.series.number, end) {
                let (text, style) = (number.to_string(), s.series.style.add_modifier(Modifier::BOLD));
                // A cell for each figure, none of them on the border.
                let start = (x / 2).min(i32::from(plot.width) - text.len() as i32);
                for (at, figure) in (start..).zip(text.chars()) {
                    put(buf, plot, at, row / 4, figure.encode_utf8(&mut [0; 4]), style);
                }
            }
        }
        for x in broken {
            put(buf, plot, x / 2, i32::from(plot.height) - 1, "✕", self.style.error);
        }
        if seen.iter().all(|s| s.inside.is_empty()) && grid_is_empty(&seen) {
            let text = if self.series.iter().all(|s| s.curve.values.is_empty()) {
                "no data yet"
            } else {
                "no data here"
            };
            center(text, plot, buf, self.style.dim);
        } else {
            self.draw_y_axis(&y, area.x, plot, buf);
        }
        self.draw_x_axis(from, to, crosshair, plot, buf);
        title::draw(&self, &unseen, area, buf);
    }
}

fn grid_is_empty(seen: &[Seen]) -> bool {
    seen.iter().all(|s| s.points.len() < 2)
}

impl Chart<'_> {
    fn see<'a>(&self, series: &'a Series<'a>, from: f64, to: f64) -> Seen<'a> {
        let points = reduce::in_sight(series.drawn(), self.view, series.units_in(self.view), from, to);
        let outside = |i: usize| series.unit(self.view, i).is_none_or(|x| x < from || x > to);
        let mut inside = points.clone();
        if !inside.is_empty() && outside(inside.start) {
            inside.start += 1;
        }
        if !inside.is_empty() && outside(inside.end - 1) {
            inside.end -= 1;
        }
        let weight = self.view.smoothing();
        let smooth = if series.kind == Kind::Line && weight > 0.0 {
            Smoother::run(weight, series.drawn(), points.clone())
        } else {
            Vec::new()
        };
        Seen { series, points, inside, smooth }
    }

    fn y_scale(&self, seen: &[Seen], plot: Rect) -> YScale {
        let log = self.view.is_log();
        let slices: Vec<&[f64]> = seen.iter().map(Seen::values).collect();
        let ends = if self.view.is_robust() {
            reduce::robust(&slices, log)
        } else {
            let smooth = seen.iter().map(|s| s.smooth.as_slice());
            let all = slices.iter().copied().chain(smooth).filter_map(|s| reduce::extremes(s, log));
            all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        };
        let (low, high) = ends.unwrap_or(if log { (0.1, 1.0) } else { (0.0, 1.0) });
        let (low, high) = if log { pad_log(low, high) } else { pad(low, high) };
        YScale { low, high, log, dots: i32::from(plot.height) * 4 }
    }

    /// The unit of a step: on the time axis that of the nearest point of the longest series.
    fn mark_unit(&self, step: u64) -> Option<f64> {
        if self.view.axis() != Axis::Time {
            return Some(steps(step));
        }
        let curve = self.series.iter().map(|s| s.curve).max_by_key(|c| c.values.len())?;
        let i = curve.steps.partition_point(|s| *s < step).min(curve.steps.len().saturating_sub(1));
        self.view.unit(curve, i)
    }

    fn draw_mark(&self, x: i32, kind: MarkKind, plot: Rect, buf: &mut Buffer) {
        let bottom = i32::from(plot.height);
        let (glyph, style) = match kind {
            MarkKind::Setting => ("▲", self.style.mark),
            MarkKind::Restart => ("↻", self.style.mark),
            MarkKind::Checkpoint => ("◆", self.style.dim),
            MarkKind::Evaluation => ("◇", self.style.dim),
            MarkKind::Alert => ("!", self.style.error),
        };
        put(buf, plot, x, bottom, glyph, style);
        if matches!(kind, MarkKind::Setting | MarkKind::Restart) {
            for row in 0..bottom {
                put_blank(buf, plot, x, row, "┊", self.style.mark.add_modifier(Modifier::DIM));
            }
        }
    }

    fn draw_y_axis(&self, y: &YScale, left: u16, plot: Rect, buf: &mut Buffer) {
        let count = plot.height.div_ceil(2);
        let ticks =
            if y.log { scale::log_ticks(y.low, y.high, count) } else { scale::ticks(y.low, y.high, count) };
        let labels = scale::tick_labels(&ticks);
        let room = usize::from(plot.x.saturating_sub(left + 2));
        let mut last = i32::MAX;
        for (tick, label) in ticks.iter().zip(&labels) {
            let Some(row) = y.row(*tick).map(|r| r.div_euclid(4)) else { continue };
            if row >= last || row < 0 || row >= i32::from(plot.height) {
                continue;
            }
            last = row;
            let width = label.chars().count();
            // Half a number would be another number.
            if width <= room {
                let at = plot.x.saturating_sub(width as u16 + 1);
                buf.set_string(at, plot.y + row as u16, label, self.style.dim);
            }
        }
    }

    fn draw_x_axis(&self, from: f64, to: f64, crosshair: Option<f64>, plot: Rect, buf: &mut Buffer) {
        let (line, factor) = (plot.y + plot.height, self.view.factor());
        let count = (plot.width / 12).max(2);
        let (ticks, labels): (Vec<f64>, Vec<String>) = if self.view.is_log_x() {
            let ticks = scale::log_ticks(from * factor, to * factor, count);
            let label = |t: &f64| {
                if self.view.axis() == Axis::Time { scale::duration(*t) } else { scale::number(*t) }
            };
            let labels = ticks.iter().map(label).collect();
            (ticks.into_iter().map(|t| t / factor).collect(), labels)
        } else if self.view.axis() == Axis::Time {
            let ticks = scale::duration_ticks(from, to, count);
            let labels = ticks.iter().map(|t| scale::duration(*t)).collect();
            (ticks, labels)
        } else {
            let ticks = scale::ticks(from * factor, to * factor, count);
            let labels = scale::tick_labels(&ticks);
            (ticks.into_iter().map(|t| t / factor).collect(), labels)
        };
        let cell = |unit: f64| (self.view.share(unit, (from, to)) * f64::from(plot.width - 1)).round() as u16;
        // Columns that are taken, left to right; the crosshair's label comes first.
        let mut taken: Vec<(u16, u16)> = Vec::new();
        let mut put = |unit: f64, label: &str, style: Style, taken: &mut Vec<(u16, u16)>| {
            let width = label.chars().count() as u16;
            if width > plot.width {
                return;
            }
            let start = cell(unit).saturating_sub(width / 2).min(plot.width - width);
            let span = (start, start + width);
            if taken.iter().all(|t| span.1 < t.0 || span.0 > t.1) {
                buf.set_string(plot.x + start, line, label, style);
                taken.push(span);
            }
        };
        if let Some(x) = crosshair {
            put(
                x,
                &format!(" {} ", self.view.label(x)),
                Style::new().add_modifier(Modifier::REVERSED),
                &mut taken,
            );
        }
        for (tick, label) in ticks.iter().zip(&labels) {
            put(*tick, label, self.style.dim, &mut taken);
        }
    }
}

/// A line through values that begin with point `start`; values without a row are gaps.
fn draw_line(grid: &mut Grid, buckets: &[Bucket], values: &[f64], start: usize, y: &YScale) {
    let mut previous: Option<(i32, i32)> = None;
    let each = |column: Option<Column>| {
        if let Some(c) = column {
            grid.line((c.x, c.top), (c.x, c.bottom));
            if let Some(from) = previous {
                grid.line(from, (c.x, c.first));
            }
        }
        previous = column.map(|c| (c.x, c.last));
    };
    reduce::columns(buckets, values, start, |v| y.row(v), each);
}

/// Some room above and below, never across 0; a span of zero is widened.
fn pad(low: f64, high: f64) -> (f64, f64) {
    let margin = if high > low {
        // Halved first: the span of the largest numbers is not finite.
        (high / 2.0 - low / 2.0) * 0.1
    } else if low == 0.0 {
        1.0
    } else {
        low.abs() * 0.1
    };
    let padded = (low - margin, high + margin);
    let low = if low >= 0.0 { padded.0.max(0.0) } else { padded.0 };
    if low.is_finite() && padded.1.is_finite() && padded.1 > low {
        (low, padded.1)
    } else {
        (f64::MIN, f64::MAX)
    }
}

/// As [`pad`], by a factor.
fn pad_log(low: f64, high: f64) -> (f64, f64) {
    let factor = if high > low { ((high.ln() - low.ln()) * 0.05).exp() } else { 2.0 };
    ((low / factor).max(f64::MIN_POSITIVE), (high * factor).min(f64::MAX))
}

/// Writes into a cell of the plot; row `plot.height` is the bottom border.
fn put(buf: &mut Buffer, plot: Rect, x: i32, row: i32, symbol: &str, style: Style) {
    if let Some(at) = place(plot, x, row)
        && let Some(cell) = buf.cell_mut(at)
    {
        cell.reset();
        cell.set_symbol(symbol).set_style(style);
    }
}

/// Writes into a cell of the plot that is blank.
fn put_blank(buf: &mut Buffer, plot: Rect, x: i32, row: i32, symbol: &str, style: Style) {
    if let Some(at) = place(plot, x, row)
        && let Some(cell) = buf.cell_mut(at).filter(|c| matches!(c.symbol(), " " | "┊"))
    {
        cell.set_symbol(symbol).set_style(style);
    }
}

fn place(plot: Rect, x: i32, row: i32) -> Option<Position> {
    let (x, row) = (u16::try_from(x).ok()?, u16::try_from(row).ok()?);
    (x < plot.width && row <= plot.height).then(|| Position::new(plot.x + x, plot.y + row))
}

/// Writes a mark's label beside its line, in the first row where it covers nothing; leaves it out when there is none.
fn label_mark(x: i32, label: &str, plot: Rect, buf: &mut Buffer, style: Style) {
    let label = run::escape::line(label);
    let width = unicode_width::UnicodeWidthStr::width(&*label) as i32;
    if width == 0 {
        return;
    }
    let blank = |x: i32, row: i32| {
        place(plot, x, row).and_then(|at| buf.cell(at)).is_some_and(|cell| cell.symbol() == " ")
    };
    let rows = 0..i32::from(plot.height);
    let starts = |row: i32| [(x + 1, row), (x - width, row)];
    // One blank cell more on the far side keeps neighbouring labels apart, but for the edge of the plot.
    let free = |(start, row): &(i32, i32)| (*start..start + width).all(|x| blank(x, *row));
    if let Some(at) = rows.flat_map(starts).find(free).and_then(|(start, row)| place(plot, start, row)) {
        buf.set_string(at.x, at.y, &*label, style);
    }
}

fn center(text: &str, plot: Rect, buf: &mut Buffer, style: Style) {
    let width = text.chars().count() as u16;
    if width <= plot.width {
        let x = plot.x + (plot.width - width) / 2;
        buf.set_string(x, plot.y + plot.height.saturating_sub(1) / 2, text, style);
    }
}
