//! Curves of runs on paper: SVG or PNG, by plotters.

mod draw;
mod panel;

use std::path::Path;
use std::sync::OnceLock;

use plotters::prelude::*;
use run::history::History;

use crate::tui::chart::{Axis, ChartView, Units};

/// A run that is drawn.
#[derive(Debug)]
pub struct Run {
    /// Its name in the legend.
    pub name: String,
    /// Its curves.
    pub history: History,
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
const USUAL: [&str; 6] =
    ["loss", "contrastive_loss", "caption_loss", "learning_rate", "grad_norm", "logit_scale"];

/// Most panels of one picture when none is named.
const MOST: usize = 12;

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
    font()?;
    let metrics = chosen(runs, &options.metrics)?;
    let size = options.size.unwrap_or_else(|| draw::size(metrics.len(), runs.len(), options.title.is_some()));
    let fail = |e: String| format!("{}: {e}", out.display());
    if u64::from(size.0) * u64::from(size.1) > 8_000_000 && out.extension().is_some_and(|e| e == "png") {
        let what =
            format!("{} panels are too many for one PNG: name fewer curves, or write .svg", metrics.len());
        return Err(fail(what));
    }
    // Drawn finer than it is: plotters knows whole pixels only, and draws lines without half tones.
    let fine = (size.0.saturating_mul(draw::FINE), size.1.saturating_mul(draw::FINE));
    match out.extension().and_then(|end| end.to_str()) {
        Some("svg") => {
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
        Some("png") => {
            let mut pixels = vec![255; fine.0 as usize * fine.1 as usize * 3];
            let area = BitMapBackend::with_buffer(&mut pixels, fine).into_drawing_area();
            draw::draw(&area, runs, &metrics, options, false).map_err(fail)?;
            drop(area);
            let whole = image::RgbImage::from_raw(fine.0, fine.1, pixels).unwrap_or_default();
            let twice = (size.0 * 2, size.1 * 2);
            image::imageops::thumbnail(&whole, twice.0, twice.1).save(out).map_err(|e| fail(e.to_string()))
        }
        _ => Err(format!("{}: a plot's name ends in .svg or .png", out.display())),
    }
}

/// The font is in the program: a machine without fonts draws too.
fn font() -> Result<(), String> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let plain = include_bytes!("../../../assets/fonts/DejaVuSansMono.ttf");
        let bold = include_bytes!("../../../assets/fonts/DejaVuSansMono-Bold.ttf");
        plotters::style::register_font("sans-serif", FontStyle::Normal, plain).is_ok()
            && plotters::style::register_font("sans-serif", FontStyle::Bold, bold).is_ok()
    });
    if *done { Ok(()) } else { Err("the built-in font cannot be read".to_owned()) }
}

#[cfg(test)]
mod tests;
