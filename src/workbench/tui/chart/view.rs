//! What all charts of a tab share: the window on the x axis, the crosshair, the scale, the smoothing.
//!
//! Pure state. The window and the crosshair are kept in steps (axes step, epoch and samples, which differ by a factor
//! only) or in seconds since the run began (axis time), called *units* here.

use run::curve::Curve;

use super::scale;

/// What the x axis counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Optimiser steps.
    #[default]
    Step,
    /// Passes over the data.
    Epoch,
    /// Seconds since the run began.
    Time,
    /// Samples seen.
    Samples,
}

impl Axis {
    /// Its name on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Epoch => "epoch",
            Self::Time => "time",
            Self::Samples => "samples",
        }
    }
}

/// What one step is worth on the other axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// When the run began: seconds since the Unix epoch.
    pub began: f64,
    /// Passes over the data per step.
    pub epochs_per_step: f64,
    /// Samples per step: the global batch.
    pub samples_per_step: f64,
}

impl Default for Units {
    fn default() -> Self {
        Self { began: 0.0, epochs_per_step: 1.0, samples_per_step: 1.0 }
    }
}

/// The first and the last unit of all data of a tab, so that all its charts show the same window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Domain {
    /// The first unit.
    pub first: f64,
    /// The last unit.
    pub last: f64,
}

impl Domain {
    /// The domain of these curves on the axis of `view`; 0 to 0 when they are empty.
    #[cfg(test)]
    pub fn of<'a>(curves: impl IntoIterator<Item = &'a Curve>, view: &ChartView) -> Self {
        Self::of_units(curves, view, view.units()).unwrap_or_default()
    }

    /// The same for curves of a run whose steps are worth this much; none when they are empty.
    pub fn of_units<'a>(
        curves: impl IntoIterator<Item = &'a Curve>,
        view: &ChartView,
        units: Units,
    ) -> Option<Self> {
        let ends = curves.into_iter().filter_map(|curve| {
            let [first, last] =
                [0, curve.values.len().saturating_sub(1)].map(|i| view.unit_of(curve, i, units));
            Some(Self { first: first?, last: last? })
        });
        ends.reduce(Self::and)
    }

    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// The window that shows everything: from 0 where that wastes little, to a round end.
    fn whole(self) -> (f64, f64) {
        let first = if self.first <= (0.25 * self.last).max(10.0) { self.first.min(0.0) } else { self.first };
        let width = (self.last - first).max(10.0);
        let grain = scale::nice_step(width / 20.0);
        (first, first + (width / grain).ceil() * grain)
    }
}

/// The part of the x axis that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Window {
    /// Everything; grows with the run.
    #[default]
    All,
    /// The newest so many units; moves with the run.
    Tail(f64),
    /// From, to; new data never moves it.
    Frozen(f64, f64),
}

/// The smoothing weights that [`ChartView::cycle_smoothing`] goes through.
pub const SMOOTHING: [f64; 4] = [0.0, 0.6, 0.9, 0.99];

/// Fewest units that a zoom leaves in sight.
const MIN_WIDTH: f64 = 5.0;

/// State that all charts of a tab share, so that they stay in step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartView {
    axis: Axis,
    units: Units,
    window: Window,
    log: bool,
    log_x: bool,
    robust: bool,
    smoothing: usize,
    crosshair: Option<f64>,
}

impl ChartView {
    /// Sets what a step is worth on the other axes.
    pub fn set_units(&mut self, units: Units) {
        self.units = units;
    }

    /// What the x axis counts.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// What a step is worth on the other axes.
    pub fn units(&self) -> Units {
        self.units
    }

    /// Step, epoch, time, samples, step. The window and the crosshair are kept, but for time, where all is shown.
    pub fn cycle_axis(&mut self) {
        let next = match self.axis {
            Axis::Step => Axis::Epoch,
            Axis::Epoch => Axis::Time,
            Axis::Time => Axis::Samples,
            Axis::Samples => Axis::Step,
        };
        if (next == Axis::Time) != (self.axis == Axis::Time) {
            self.window = Window::All;
            self.crosshair = None;
        }
        self.axis = next;
    }

    /// Whether the y axis is logarithmic.
    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Linear or logarithmic y axis.
    pub fn toggle_log(&mut self) {
        self.log = !self.log;
    }

    /// Whether the x axis is logarithmic.
    pub fn is_log_x(&self) -> bool {
        self.log_x
    }

    /// Linear or logarithmic x axis.
    pub fn toggle_log_x(&mut self) {
        self.log_x = !self.log_x;
    }

    /// A place on the axis as the axis lies: its logarithm on a logarithmic one.
    fn lie(&self, x: f64) -> f64 {
        if self.log_x { x.max(f64::MIN_POSITIVE).ln() } else { x }
    }

    fn stand(&self, x: f64) -> f64 {
        if self.log_x { x.exp() } else { x }
    }

    /// Where a place lies in a window, 0 left to 1 right.
    pub fn share(&self, x: f64, (from, to): (f64, f64)) -> f64 {
        (self.lie(x) - self.lie(from)) / (self.lie(to) - self.lie(from))
    }

    /// The place at a share of a window.
    pub fn at_share(&self, share: f64, (from, to): (f64, f64)) -> f64 {
        self.stand(self.lie(from) + share * (self.lie(to) - self.lie(from)))
    }

    /// Whether outliers are left out of the y range.
    pub fn is_robust(&self) -> bool {
        self.robust
    }

    /// Whole or robust y range.
    pub fn toggle_robust(&mut self) {
        self.robust = !self.robust;
    }

    /// Weight of the past in the smoothed line, 0 (none) to 0.99.
    pub fn smoothing(&self) -> f64 {
        SMOOTHING.get(self.smoothing).copied().unwrap_or_default()
    }

    /// The next smoothing weight.
    pub fn cycle_smoothing(&mut self) {
        self.smoothing = (self.smoothing + 1) % SMOOTHING.len();
    }

    /// The shown units: from, to (to > from).
    pub fn window(&self, domain: Domain) -> (f64, f64) {
        let (first, end) = self.whole(domain);
        match self.window {
            Window::All => (first, end),
            Window::Tail(width) if domain.last - width > first => (domain.last - width, domain.last),
            Window::Tail(width) => (first, first + width),
            Window::Frozen(from, to) => (from, to),
        }
    }

    /// The window that shows everything; a logarithmic axis has no place for 0.
    fn whole(&self, domain: Domain) -> (f64, f64) {
        let (first, end) = domain.whole();
        if !self.log_x {
            return (first, end);
        }
        let first =
            domain.first.max(domain.last.abs() * 1e-9).max(if self.axis == Axis::Time { 1e-3 } else { 1.0 });
        (first, domain.last.max(first * 2.0))
    }

    /// Zooms about the point at `fraction` (0 left, 1 right) of the plot: the width is multiplied by `factor`, which
    /// is below 1 to see less. Zooming out past everything shows everything.
    pub fn zoom_at(&mut self, fraction: f64, factor: f64, domain: Domain) {
        let (from, to) = self.window(domain);
        if !(factor.is_finite() && factor > 0.0) {
            return;
        }
        if self.log_x {
            let whole = self.whole(domain);
            let (low, high) = (self.lie(from), self.lie(to));
            let new = ((high - low) * factor).max(0.05);
            let low = low + fraction.clamp(0.0, 1.0) * (high - low - new);
            let (from, to) = (self.stand(low).max(whole.0), self.stand(low + new).min(whole.1));
            self.window =
                if from <= whole.0 && to >= whole.1 { Window::All } else { Window::Frozen(from, to) };
            return;
        }
        let (width, whole) = (to - from, domain.whole());
        let new = (width * factor).max(MIN_WIDTH);
        if new >= whole.1 - whole.0 {
            self.window = Window::All;
            return;
        }
        let from = from + fraction.clamp(0.0, 1.0) * (width - new);
        self.settle(from, new, domain);
    }

    /// Moves the window by `fraction` of its width, to the right when positive.
    pub fn pan(&mut self, fraction: f64, domain: Domain) {
        let (from, to) = self.window(domain);
        if self.window == Window::All || !fraction.is_finite() {
            return;
        }
        if self.log_x {
            let whole = self.whole(domain);
            let (low, high) = (self.lie(from), self.lie(to));
            let room = (self.lie(whole.0) - low, self.lie(whole.1) - high);
            let by = (fraction * (high - low)).max(room.0).min(room.1.max(room.0));
            self.window = Window::Frozen(self.stand(low + by), self.stand(high + by));
            return;
        }
        self.settle(from + fraction * (to - from), to - from, domain);
    }

    /// A window that reaches the newest data follows it; any other stands still.
    fn settle(&mut self, from: f64, width: f64, domain: Domain) {
        let (first, end) = domain.whole();
        let from = from.clamp(first, (end - width).max(first));
        self.window = if from + width >= domain.last {
            Window::Tail(width)
        } else {
            Window::Frozen(from, from + width)
        };
    }

    /// Moves a window that is narrower than everything so that a place stands in its middle.
    pub fn show(&mut self, x: f64, domain: Domain) {
        let (from, to) = self.window(domain);
        if self.window != Window::All && !(from..=to).contains(&x) {
            let share = self.share(x, (from, to)) - 0.5;
            self.pan(share, domain);
        }
    }

    /// Shows everything again.
    pub fn reset(&mut self) {
        self.window = Window::All;
    }

    /// Follows the newest data again, as wide as now.
    pub fn follow(&mut self) {
        if let Window::Frozen(from, to) = self.window {
            self.window = Window::Tail(to - from);
        }
    }

    /// Holds the window still where it is.
    pub fn freeze(&mut self, domain: Domain) {
        let (from, to) = self.window(domain);
        self.window = Window::Frozen(from, to);
    }

    /// Whether new data leaves the window as it is.
    pub fn is_frozen(&self) -> bool {
        matches!(self.window, Window::Frozen(..))
    }

    /// "ALL", "LIVE 500" (the newest so many), or "FROZEN at 1200" (its right end).
    pub fn badge(&self) -> String {
        match self.window {
            Window::All => "ALL".to_owned(),
            Window::Tail(width) => format!("LIVE {}", self.label(width)),
            Window::Frozen(_, to) => format!("FROZEN at {}", self.label(to)),
        }
    }

    /// Where the crosshair is, in units.
    pub fn crosshair(&self) -> Option<f64> {
        self.crosshair
    }

    /// Puts the crosshair at `fraction` of the plot's width, as a mouse does.
    pub fn set_crosshair(&mut self, fraction: f64, domain: Domain) {
        let window = self.window(domain);
        self.crosshair = Some(self.at_share(fraction.clamp(0.0, 1.0), window));
    }

    /// Puts the crosshair on a step, as scrubbing samples does. On the time axis there is none.
    pub fn set_crosshair_step(&mut self, step: u64) {
        if self.axis != Axis::Time {
            self.crosshair = Some(steps(step));
        }
    }

    /// Moves the crosshair by `fraction` of the window; the first move shows it at the newest data in sight.
    pub fn move_crosshair(&mut self, fraction: f64, domain: Domain) {
        let (from, to) = self.window(domain);
        let x = match self.crosshair {
            Some(x) => self.at_share(self.share(x, (from, to)) + fraction, (from, to)),
            None => domain.last,
        };
        self.crosshair = Some(x.clamp(from, to.min(domain.last).max(from)));
    }

    /// Takes the crosshair away; says whether there was one.
    pub fn clear_crosshair(&mut self) -> bool {
        self.crosshair.take().is_some()
    }

    /// The unit of a point of the watched run's curve.
    pub fn unit(&self, curve: &Curve, i: usize) -> Option<f64> {
        self.unit_of(curve, i, self.units)
    }

    /// The unit of a point of a curve whose steps are worth this much. On the axes of epochs and samples units are steps
    /// of the watched run, so those of another run are converted.
    pub fn unit_of(&self, curve: &Curve, i: usize, units: Units) -> Option<f64> {
        let ratio = |own: f64| {
            let ratio = own / self.factor();
            if ratio.is_finite() && ratio > 0.0 { ratio } else { 1.0 }
        };
        let step = curve.steps.get(i).map(|s| steps(*s));
        match self.axis {
            Axis::Time => curve.times.get(i).map(|t| t - units.began),
            Axis::Step => step,
            Axis::Epoch => step.map(|s| s * ratio(units.epochs_per_step)),
            Axis::Samples => step.map(|s| s * ratio(units.samples_per_step)),
        }
    }

    /// Steps or seconds to what the axis counts.
    pub fn factor(&self) -> f64 {
        let factor = match self.axis {
            Axis::Step | Axis::Time => 1.0,
            Axis::Epoch => self.units.epochs_per_step,
            Axis::Samples => self.units.samples_per_step,
        };
        if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
    }

    /// A place on the axis as text: "1200", "0.35", "1m30s", "12.3k".
    pub fn label(&self, unit: f64) -> String {
        match self.axis {
            Axis::Time => scale::duration(unit),
            Axis::Step => scale::number(unit.round()),
            Axis::Samples => scale::number((unit * self.factor()).round()),
            Axis::Epoch => scale::number(unit * self.factor()),
        }
    }
}

/// A step as a number on the axis.
#[allow(clippy::cast_precision_loss)]
pub(super) fn steps(step: u64) -> f64 {
    step as f64
}
