//! What a person does with the log pane: scroll, follow, search.

use crate::tui::action::Action;
use crate::tui::model::Model;
use crate::tui::notes::Kind;
use crate::tui::tabs::run::{LogLines, log_lines};

/// Carries out an action on the log.
pub fn act(model: &mut Model, action: Action) {
    let Some(lines) = log_lines(model) else { return };
    let page = model.regions.log_rows;
    let most = lines.count().saturating_sub(page);
    let log = &mut model.log;
    let above = log.above_end.min(most);
    log.above_end = match action {
        Action::Up => (above + 1).min(most),
        Action::Down => above.saturating_sub(1),
        Action::PageUp => (above + page.max(1)).min(most),
        Action::PageDown => above.saturating_sub(page.max(1)),
        Action::First => most,
        Action::Last => 0,
        Action::Follow if above == 0 => 1.min(most),
        Action::Follow => 0,
        _ => above,
    };
    match action {
        Action::NextSource => {
            let names = model.watched.as_ref().map(|w| w.sources()).unwrap_or_default();
            let next =
                names.iter().position(|n| *n == log.source).map_or(0, |here| (here + 1) % names.len().max(1));
            log.source = names.get(next).copied().unwrap_or_default().to_owned();
            (log.above_end, log.found) = (0, None);
        }
        Action::Enter => model.maximised = !model.maximised,
        Action::Search => log.searching = true,
        Action::Wrap => log.wrap = !log.wrap,
        Action::Older | Action::Newer | Action::OnlyFound if log.search.value().is_empty() => {
            model.notes.add(model.now, Kind::Info, "nothing is searched for: / does");
        }
        Action::OnlyFound => {
            log.only = !log.only;
            log.above_end = 0;
            show(model);
        }
        Action::Older => step(model, &lines, true),
        Action::Newer => step(model, &lines, false),
        _ => {}
    }
}

/// What is searched for has changed: the newest line that has it is shown.
pub fn typed(model: &mut Model) {
    (model.log.found, model.log.above_end) = (None, 0);
    let Some(lines) = log_lines(model) else { return };
    model.log.found = lines.found.last().copied();
    show(model);
}

/// Nothing is searched for any more.
pub fn cleared(model: &mut Model) {
    (model.log.found, model.log.only) = (None, false);
}

/// Takes the search away; says whether there was one.
pub fn back(model: &mut Model) -> bool {
    if model.log.search.value().is_empty() {
        return false;
    }
    model.log.search.reset();
    cleared(model);
    true
}

/// Goes to the next line that has what is searched for.
fn step(model: &mut Model, lines: &LogLines, older: bool) {
    let here = model.log.found;
    let next = if older {
        lines.found.iter().rev().find(|i| here.is_none_or(|here| **i < here))
    } else {
        lines.found.iter().find(|i| here.is_none_or(|here| **i > here))
    };
    match next {
        Some(next) => {
            model.log.found = Some(*next);
            show(model);
        }
        None => {
            let text = match (lines.found.is_empty(), older) {
                (true, _) => "no line has that",
                (false, true) => "no line above has that",
                (false, false) => "no line below has that",
            };
            model.notes.add(model.now, Kind::Info, text);
        }
    }
}

/// Scrolls so that the found line is in sight, in the middle where it was not.
fn show(model: &mut Model) {
    let Some(lines) = log_lines(model) else { return };
    let Some(at) = model.log.found.and_then(|found| lines.place(found)) else { return };
    let (count, rows) = (lines.count(), model.regions.log_rows.max(1));
    let end = count - model.log.above_end.min(count.saturating_sub(rows));
    if at >= end || at < end.saturating_sub(rows) {
        let below = count.saturating_sub(at + 1 + rows / 2);
        model.log.above_end = below.min(count.saturating_sub(rows));
    }
}
