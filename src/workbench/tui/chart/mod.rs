//! Charts of a run's curves. Pure: no I/O, no clock.
//!
//! A [`Chart`] draws some [`Series`] into a box: the title with the newest values on the top border, the x axis on the
//! bottom border, the y labels in a gutter of fixed width, so that charts of one width line up. The window, crosshair,
//! scale and smoothing are in one [`ChartView`] for all charts of a tab:
//!
//! ```ignore
//! let domain = Domain::of(history.curves.values(), &view);
//! let series = [Series::line("train", &history.curves["loss"], style), Series::dots("held out", &held_out, other)];
//! frame.render_widget(Chart::new("loss", &series, &view, domain).marks(&marks).focused(true), area);
//! // A wheel turn over it:
//! if let Some(fraction) = Chart::fraction(area, mouse.column) { view.zoom_at(fraction, 0.8, domain) }
//! ```

mod draw;
mod grid;
mod reduce;
pub mod scale;
mod title;
mod view;

#[cfg(test)]
mod tests;

use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use run::curve::Curve;

pub use reduce::Smoother;
pub use view::{Axis, ChartView, Domain, Units};

/// The weight by which the newest loss is smoothed in lists.
const LISTED: f64 = 0.9;

/// The newest value of a curve, smoothed; none when there is no finite one.
pub fn smoothed(curve: &Curve) -> Option<f64> {
    let last = curve.values.iter().rposition(|v| v.is_finite())?;
    Smoother::at(LISTED, curve, last).filter(|v| v.is_finite())
}

/// What of a curve a window shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// From its first step to its last one, and one point more on either side.
    pub steps: std::ops::RangeInclusive<u64>,
    /// How many points.
    pub points: usize,
    /// Whether some stand for others that were left out.
    pub thinned: bool,
}

/// What of a curve the view's window shows; none without a point.
pub fn sight(curve: &Curve, view: &ChartView, units: Units, domain: Domain) -> Option<Sight> {
    let (from, to) = view.window(domain);
    let points = reduce::in_sight(curve, view, units, from, to);
    let steps = curve.steps.get(points.start).zip(curve.steps.get(points.end.checked_sub(1)?));
    let (first, last) = steps?;
    let thinned = points.clone().any(|i| curve.stands.get(i).is_some_and(|s| s.count > 1));
    Some(Sight { steps: *first..=*last, points: points.len(), thinned })
}

/// The extremes of some values without outliers, as the robust y range takes them.
pub fn robust_range(values: &[f64], log: bool) -> Option<(f64, f64)> {
    reduce::robust(&[values], log)
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line, smoothed when the view says so.
    Line,
    /// A dot for each point, joined faintly: few, exact values such as a held-out loss. Never smoothed. Where dots
    /// would hide the lines, a line over them.
    Dots,
}

/// One curve of a chart.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Its name in the title line.
    pub name: &'a str,
    /// Its points.
    pub curve: &'a Curve,
    /// The same in more detail, where the window is: what is drawn then.
    near: Option<&'a Curve>,
    /// Its colour.
    pub style: Style,
    /// How it is drawn.
    pub kind: Kind,
    /// What a step of its run is worth, when that is not the view's own: runs laid over one another differ.
    units: Option<Units>,
    /// The run's number, written at the line's end: colours alone would not do.
    number: Option<usize>,
}

impl<'a> Series<'a> {
    /// A series drawn as a line.
    pub fn line(name: &'a str, curve: &'a Curve, style: Style) -> Self {
        Self { name, curve, near: None, style, kind: Kind::Line, units: None, number: None }
    }

    /// A series drawn as dots.
    pub fn dots(name: &'a str, curve: &'a Curve, style: Style) -> Self {
        Self { name, curve, near: None, style, kind: Kind::Dots, units: None, number: None }
    }

    /// What a step of its run is worth.
    #[must_use]
    pub fn units(mut self, units: Option<Units>) -> Self {
        self.units = units;
        self
    }

    /// More detail for the window; none where the curve itself has all that can be seen.
    #[must_use]
    pub fn near(mut self, near: Option<&'a Curve>) -> Self {
        self.near = near;
        self
    }

    /// The points that are drawn.
    fn drawn(&self) -> &'a Curve {
        self.near.unwrap_or(self.curve)
    }

    /// The run's number.
    #[must_use]
    pub fn number(mut self, number: Option<usize>) -> Self {
        self.number = number;
        self
    }

    /// What a step of its run is worth.
    fn units_in(&self, view: &ChartView) -> Units {
        self.units.unwrap_or(view.units())
    }

    /// The unit of a point that is drawn.
    fn unit(&self, view: &ChartView, i: usize) -> Option<f64> {
        view.unit_of(self.drawn(), i, self.units_in(view))
    }
}

/// What happened at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A setting changed.
    Setting,
    /// A checkpoint was written: a tick on the axis, without a label.
    Checkpoint,
    /// The run was restarted.
    Restart,
    /// An evaluation: a tick on the axis, without a label.
    Evaluation,
    /// Something stood out: a sign on the axis, without a label.
    Alert,
}

/// Something that happened at a step, drawn as a labelled vertical tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartMark {
    /// Optimiser steps done then.
    pub step: u64,
    /// What happened.
    pub kind: MarkKind,
    /// A few words, such as "learning_rate 3e-4"; left out where there is no room.
    pub label: String,
}

/// Colours of the parts that are not a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChartStyle {
    /// Border and ticks.
    pub border: Style,
    /// Border of the focused chart.
    pub focus: Style,
    /// Title.
    pub title: Style,
    /// Labels of the axes, smoothing's raw line, marks of checkpoints.
    pub dim: Style,
    /// Setting changes and restarts.
    pub mark: Style,
    /// Values that are not finite.
    pub error: Style,
    /// Badges such as "log" and "clipped 3".
    pub badge: Style,
}

impl Default for ChartStyle {
    fn default() -> Self {
        let color = |c| Style::new().fg(c);
        Self {
            border: color(Color::DarkGray),
            focus: color(Color::Cyan),
            title: Style::new().bold(),
            dim: color(Color::DarkGray),
            mark: color(Color::Yellow),
            error: color(Color::Red).bold(),
            badge: color(Color::Yellow),
        }
    }
}

/// A widget that draws series over a shared x axis.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'a> {
    title: &'a str,
    series: &'a [Series<'a>],
    view: &'a ChartView,
    domain: Domain,
    marks: &'a [ChartMark],
    focused: bool,
    style: ChartStyle,
    best: Option<bool>,
}

impl<'a> Chart<'a> {
    /// A chart of `series`; `domain` is that of all charts that share the view.
    pub fn new(title: &'a str, series: &'a [Series<'a>], view: &'a ChartView, domain: Domain) -> Self {
        Self {
            title,
            series,
            view,
            domain,
            marks: &[],
            focused: false,
            style: ChartStyle::default(),
            best: None,
        }
    }

    /// What happened when.
    #[must_use]
    pub fn marks(mut self, marks: &'a [ChartMark]) -> Self {
        self.marks = marks;
        self
    }

    /// Whether keys go to this chart.
    #[must_use]
    pub fn focused(mut self, focused: bool) -> Self {
        self.focused = focused;
        self
    }

    /// Whether lower (or higher) is better: then the best point so far stands in the title.
    #[must_use]
    pub fn best(mut self, lower: Option<bool>) -> Self {
        self.best = lower;
        self
    }

    /// The colours.
    #[must_use]
    pub fn style(mut self, style: ChartStyle) -> Self {
        self.style = style;
        self
    }

    /// Where the lines are drawn when the chart has this area; none when it is too small to draw any.
    pub fn plot_area(area: Rect) -> Option<Rect> {
        let gutter = match area.width {
            0..12 => return None,
            12..24 => 6,
            _ => 8,
        };
        (area.height >= 3).then(|| Rect {
            x: area.x + gutter,
            y: area.y + 1,
            width: area.width - gutter - 1,
            height: area.height - 2,
        })
    }

    /// Where a column of the screen lies in the plot, 0 left to 1 right; none outside.
    pub fn fraction(area: Rect, column: u16) -> Option<f64> {
        let plot = Self::plot_area(area)?;
        let x = column.checked_sub(plot.x).filter(|x| *x < plot.width)?;
        Some((f64::from(x) + 0.5) / f64::from(plot.width))
    }

    /// The share of the window that one column of the plot shows: how far an arrow key moves the crosshair.
    pub fn column(area: Rect) -> f64 {
        Self::plot_area(area).map_or(0.02, |plot| 1.0 / f64::from(plot.width.max(1)))
    }
}
