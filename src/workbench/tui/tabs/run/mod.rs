//! The run tab: curves, sample captions, logs.

mod charts;
mod detail;
mod log;
mod samples;
mod specs;

use crate::tui::layout::Border;
use crate::tui::model::{Model, Pane, Watched};
use crate::tui::regions::{Hit, Regions};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

pub use charts::{badge, domain};
pub use detail::{covers, fine, runs_in_sight};
pub use log::{Lines as LogLines, lines as log_lines};
pub use samples::{axes as sample_axes, chosen as chosen_sample};
pub use specs::{colours, specs};

/// Width from which samples and log stand side by side.
const WIDE: u16 = 120;

/// Draws the tab.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    regions.tab = area;
    let pane = |pane: Pane, frame: &mut Frame, area: Rect, regions: &mut Regions| match pane {
        Pane::Charts => charts::draw(model, watched, frame, area, regions),
        Pane::Samples => samples::draw(model, watched, frame, area, regions),
        Pane::Log => log::draw(model, watched, frame, area, regions),
    };
    if model.maximised {
        pane(model.pane, frame, area, regions);
        return;
    }
    let below = model.layout.below(area.height);
    let [above, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(below)]).areas(area);
    pane(Pane::Charts, frame, above, regions);
    let wide = area.width >= WIDE;
    if wide {
        let halves = Layout::horizontal([Constraint::Percentage(model.layout.left()), Constraint::Min(1)]);
        let [left, right] = halves.areas(below);
        pane(Pane::Samples, frame, left, regions);
        pane(Pane::Log, frame, right, regions);
        regions.add(
            Rect { width: 1, y: right.y + 1, height: right.height.saturating_sub(1), ..right },
            Hit::Border(Border::Between),
        );
    } else {
        let log =
            model.pane == Pane::Log || (model.pane == Pane::Charts && watched.history.samples.is_empty());
        pane(if log { Pane::Log } else { Pane::Samples }, frame, below, regions);
    }
    // The titles in it are clicked as before; only dragging moves it.
    regions.add(Rect { height: 1, ..below }, Hit::Border(Border::Below));
}

/// Whether samples and log share one place, so that their titles name both.
fn stacked(frame: &Frame, model: &Model) -> bool {
    !model.maximised && frame.area().width < WIDE
}
