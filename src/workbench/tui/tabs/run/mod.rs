//! The run tab: curves, sample captions, logs.

mod charts;
mod log;
mod samples;

use crate::tui::model::{Model, Pane, Watched};
use crate::tui::regions::Regions;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

pub use charts::{badge, domain, specs};
pub use log::length as log_length;
pub use samples::{axes as sample_axes, chosen as chosen_sample};

/// Width from which samples and log stand side by side.
const WIDE: u16 = 120;

/// Draws the tab.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let mut pane = |pane: Pane, frame: &mut Frame, area: Rect| match pane {
        Pane::Charts => charts::draw(model, watched, frame, area, regions),
        Pane::Samples => samples::draw(model, watched, frame, area, regions),
        Pane::Log => log::draw(model, watched, frame, area, regions),
    };
    if model.maximised {
        pane(model.pane, frame, area);
        return;
    }
    let below = if area.height >= 34 { (area.height * 2 / 5).min(18) } else { (area.height * 2 / 5).min(9) };
    let [above, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(below)]).areas(area);
    pane(Pane::Charts, frame, above);
    if area.width >= WIDE {
        let halves = Layout::horizontal([Constraint::Percentage(52), Constraint::Min(1)]);
        let [left, right] = halves.areas(below);
        pane(Pane::Samples, frame, left);
        pane(Pane::Log, frame, right);
    } else {
        let log =
            model.pane == Pane::Log || (model.pane == Pane::Charts && watched.history.samples.is_empty());
        pane(if log { Pane::Log } else { Pane::Samples }, frame, below);
    }
}

/// Whether samples and log share one place, so that their titles name both.
fn stacked(frame: &Frame, model: &Model) -> bool {
    !model.maximised && frame.area().width < WIDE
}
