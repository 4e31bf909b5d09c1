//! The Evaluate tab: the queue over the table of results, or an opened result, or its prompts.

mod prompts;
mod queue;
mod result;
mod table;

use crate::tui::model::Model;
use crate::tui::regions::Regions;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

/// Draws the tab.
pub fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let tab = &model.evaluate;
    match (&tab.prompts, &tab.view) {
        (Some(prompts), _) => prompts::draw(model, prompts, frame, area, regions),
        (None, Some(view)) => result::draw(model, view, frame, area, regions),
        (None, None) => {
            // The queue has what it needs, up to two fifths; a row for its hint when it is empty.
            let rows = u16::try_from(tab.entries.len().max(1)).unwrap_or(u16::MAX).saturating_add(2);
            let [above, below] =
                Layout::vertical([Constraint::Length(rows.min(area.height * 2 / 5)), Constraint::Min(3)])
                    .areas(area);
            queue::draw(model, frame, above, regions);
            table::draw(model, frame, below, regions);
        }
    }
}

/// A share with one decimal: `63.2 %`.
fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", 100.0 * share) } else { "n/a".to_owned() }
}
