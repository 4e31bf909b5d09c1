//! The devices tab: the mesh as a grid, one rank in detail, and how any tensor lies on the ranks.

mod grid;
mod rank;
mod tensors;

use crate::tui::devices::{Focus, rows};
use crate::tui::model::{Model, Watched};
use crate::tui::regions::Regions;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

/// Width and height from which rank and tensors stand side by side below the grid.
const WIDE: u16 = 120;
const HIGH: u16 = 24;

/// Draws the tab.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let ranks = rows(&watched.history, watched.is_alive());
    let focus = model.devices.focus;
    // The grid has what it needs, and at most half.
    let need = view::cells(ranks.len().max(1)).saturating_add(4);
    let [top, below] =
        Layout::vertical([Constraint::Length(need.min(area.height / 2).max(6)), Constraint::Min(1)])
            .areas(area);
    grid::draw(model, watched, &ranks, frame, top, regions);
    let chosen = model.devices.rank.min(ranks.len().saturating_sub(1));
    if area.width >= WIDE && area.height >= HIGH {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(below);
        rank::draw(model, watched, chosen, frame, left);
        tensors::draw(model, watched, chosen, focus == Focus::Tensors, frame, right, regions);
        return;
    }
    match focus {
        Focus::Mesh => rank::draw(model, watched, chosen, frame, below),
        Focus::Tensors => tensors::draw(model, watched, chosen, true, frame, below, regions),
    }
}
