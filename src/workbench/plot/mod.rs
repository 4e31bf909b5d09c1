//! Curves of runs on paper: SVG or PNG, by plotters.

mod draw;
mod panel;
pub mod paper;

use std::path::Path;

use paper::Kind;
use plotters::prelude::*;
use run::dir::RunDir;
use run::history::History;

use crate::foreign;
use crate::tui::chart::{Axis, ChartView, Units};

/// A run that is drawn.
#[derive(Debug)]
pub struct Run {
    /// Its name in the legend.
    pub name: String,
    /// Its curves.
    pub history: History,
}

impl Run {
    /// Reads a run whole: one of ours, or another program's.
    ///
    /// # Errors
    /// In words: the folder, and what the system said.
    pub fn read(path: &Path, name: String) -> Result<Self, String> {
        let history = if foreign::is_foreign(path) {
            foreign::read(path, None).map(|(history, _)| history)
        } else {
            History::read(&RunDir::at(path))
        };
        history.map(|history| Self { name, history }).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// How they are drawn.
#[derive(Clone, Debug)]
pub struct Options {
    /// The curves, a panel for each; none for the usual ones.
    pub metrics: Vec<String>,
    /// What the x axis counts.
    pub axis: Axis,
    /// A logarithmic x axis.
    pub log_x: bool,
    /// A logarithmic y axis.
    pub log_y: bool,
    /// Weight of the past in the smoothed line; 0 for none.
    pub smoothing: f64,
    /// Leave outliers out of the y range.
    pub robust: bool,
    /// The part of the x axis, in its own units.
    pub range: (Option<f64>, Option<f64>),
    /// Above everything.
    pub title: Option<String>,
    /// Width and height; a PNG has twice as many pixels, for sharp print.
    pub size: Option<(u32, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            axis: Axis::Step,
            log_x: false,
            log_y: false,
            smoothing: 0.0,
            robust: false,
            range: (None, None),
            title: None,
            size: None,
        }
    }
}

/// Curves that are drawn when none is named, as far as there are any.
pub const USUAL: [&str; 6] =
    ["loss", "contrastive_loss", "caption_loss", "learning_rate", "grad_norm", "logit_scale"];

/// Most panels of one picture when none is named.
const MOST: usize = 12;

/// Most pixels of a PNG, before it is drawn finer.
const MOST_PIXELS: u64 = 8_000_000;

/// What the x axis of this run's history counts, and what a step is worth.
#[allow(clippy::cast_precision_loss)]
pub fn units(history: &History) -> Units {
    let started = history.started.as_ref();
    Units {
        began: history.first_time.unwrap_or(0.0),
        epochs_per_step: started.map_or(1.0, |s| s.batch_size as f64 / s.samples.max(1) as f64),
        samples_per_step: started.map_or(1.0, |s| s.batch_size as f64),
    }
}

/// A view of the whole run on this axis.
fn view(history: &History, axis: Axis) -> ChartView {
    let mut view = ChartView::default();
    view.set_units(units(history));
    while view.axis() != axis {
        view.cycle_axis();
    }
    view
}

/// Names of all curves that any of the runs has.
pub fn curves(runs: &[Run]) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> =
        runs.iter().flat_map(|r| r.history.curves.keys()).collect();
    all.into_iter().cloned().collect()
}

/// The curves that are asked for, each being there.
///
/// # Errors
/// The name that no run has, with those that there are.
pub fn chosen(runs: &[Run], wanted: &[String]) -> Result<Vec<String>, String> {
    let all = curves(runs);
    if all.is_empty() {
        return Err("there is no curve yet".to_owned());
    }
    if wanted.iter().any(|w| w == "all") {
        return Ok(all);
    }
    if let Some(name) = wanted.iter().find(|w| !all.contains(w)) {
        return Err(format!("there is no curve '{name}'; there are: {}", all.join(", ")));
    }
    if !wanted.is_empty() {
        return Ok(wanted.to_vec());
    }
    let usual: Vec<String> = USUAL.iter().map(|n| (*n).to_owned()).filter(|n| all.contains(n)).collect();
    let mut chosen = if usual.is_empty() { all } else { usual };
    chosen.truncate(MOST);
    Ok(chosen)
}

/// Draws the runs into a file, whose name ends in .svg or .png.
///
/// # Errors
/// What is not there, or could not be written, and why.
pub fn write(runs: &[Run], options: &Options, out: &Path) -> Result<(), String> {
    paper::register()?;
    let metrics = chosen(runs, &options.metrics)?;
    let size = options.size.unwrap_or_else(|| draw::size(metrics.len(), runs.len(), options.title.is_some()));
    let fail = |e: String| format!("{}: {e}", out.display());
    let kind = Kind::of(out)?;
    if kind == Kind::Png && u64::from(size.0) * u64::from(size.1) > MOST_PIXELS {
        return Err(fail(match options.size {
            Some((width, height)) => format!(
                "{width}x{height} is too large for a PNG, which has at most {} million pixels: a smaller size, or write .svg",
                MOST_PIXELS / 1_000_000
            ),
            None => {
                format!("{} panels are too many for one PNG: name fewer curves, or write .svg", metrics.len())
            }
        }));
    }
    // Drawn finer than it is: plotters knows whole pixels only, and draws lines without half tones.
    let fine = (size.0.saturating_mul(draw::FINE), size.1.saturating_mul(draw::FINE));
    match kind {
        Kind::Svg => {
            let mut text = String::new();
            let area = SVGBackend::with_string(&mut text, fine).into_drawing_area();
            draw::draw(&area, runs, &metrics, options, true).map_err(fail)?;
            drop(area);
            let (was, is) = (
                format!("<svg width=\"{}\" height=\"{}\"", fine.0, fine.1),
                format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1),
            );
            std::fs::write(out, text.replacen(&was, &is, 1)).map_err(|e| fail(e.to_string()))
        }
        Kind::Png => {
            let mut pixels = vec![255; fine.0 as usize * fine.1 as usize * 3];
            let area = BitMapBackend::with_buffer(&mut pixels, fine).into_drawing_area();
            draw::draw(&area, runs, &metrics, options, false).map_err(fail)?;
            drop(area);
            let whole = image::RgbImage::from_raw(fine.0, fine.1, pixels).unwrap_or_default();
            let twice = (size.0 * 2, size.1 * 2);
            image::imageops::thumbnail(&whole, twice.0, twice.1).save(out).map_err(|e| fail(e.to_string()))
        }
    }
}

#[cfg(test)]
mod tests;
