//! The Evaluate tab: the queue, the table, the form, an opened result, prompts that are edited.

mod form;
mod prompts;
mod result;

use super::actions::moved;
use crate::evaluations::queue::Phase;
use crate::evaluations::results::Sort;
use crate::tui::action::Action;
use crate::tui::evaluate::{Effect, News, Pane, Popup as Own, SLOT, View};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::picture;
use crate::tui::popup::Popup;
use run::dir::RunDir;
use tui_input::Input;

pub use form::{accept, choose_model, popup_key};
pub use prompts::{on_reply, paste, typing_key};

/// Seconds between two looks while the tab is on the screen.
const LOOK_SECONDS: f64 = 1.0;

/// Opens the tab.
pub fn open(model: &mut Model) -> Vec<Command> {
    model.page = Page::Evaluate;
    look(model)
}

fn look(model: &mut Model) -> Vec<Command> {
    model.evaluate.looking = true;
    model.evaluate.looked = model.now;
    vec![Command::Evaluate(Effect::Look { root: model.root.clone() })]
}

/// Looks again when it is time.
pub fn on_tick(model: &mut Model) -> Vec<Command> {
    let due = model.now - model.evaluate.looked >= LOOK_SECONDS && !model.evaluate.looking;
    if model.page == Page::Evaluate && due { look(model) } else { Vec::new() }
}

fn warn(model: &mut Model, why: impl Into<String>) -> Vec<Command> {
    model.notes.add(model.now, Kind::Warning, why);
    Vec::new()
}

/// Takes what came of an effect.
pub fn on_news(model: &mut Model, news: News) -> Vec<Command> {
    match news {
        News::Seen { entries, outcomes } => {
            announce(model, &entries);
            let tab = &mut model.evaluate;
            tab.looking = false;
            tab.seen = true;
            tab.entries = entries;
            tab.outcomes = outcomes;
            tab.tabulate();
            if tab.table.rows.is_empty() && !tab.entries.is_empty() {
                tab.pane = Pane::Queue;
            }
        }
        News::Checked { generation, check } => {
            let Some(Popup::Evaluate(Own::Form(form))) = form::form_of(model) else { return Vec::new() };
            if form.generation != generation {
                return Vec::new();
            }
            form.seen = Some(check);
            if form.start {
                return form::start(model);
            }
        }
        News::Done(result) => {
            let (kind, text) = result.map_or_else(|e| (Kind::Error, e), |text| (Kind::Good, text));
            model.notes.add(model.now, kind, text);
            return look(model);
        }
        News::Log { id, lines } => {
            if let Some(Popup::Evaluate(Own::Log { id: shown, lines: old, .. })) = model.popups.last_mut()
                && *shown == id
            {
                *old = lines;
            } else {
                let scroll = usize::MAX / 2;
                model.popups.push(Popup::Evaluate(Own::Log { id, lines, scroll }));
            }
        }
        News::Opened(Ok(opened)) => model.evaluate.view = Some(View::new(opened)),
        News::Opened(Err(e)) => model.notes.add(model.now, Kind::Error, e),
    }
    Vec::new()
}

/// Says what ended since the last look.
fn announce(model: &mut Model, entries: &[crate::evaluations::queue::Entry]) {
    for entry in entries.iter().filter(|e| e.state.phase.is_over()) {
        let id = entry.item.id;
        let before = model.evaluate.entries.iter().find(|e| e.item.id == id);
        if before.is_none_or(|e| e.state.phase.is_over()) {
            continue;
        }
        let (kind, text) = match (entry.state.phase, &entry.state.message) {
            (Phase::Done, _) => (Kind::Good, format!("item {id}: there is a result")),
            (Phase::Failed, Some(why)) => (Kind::Error, format!("item {id} failed: {why}")),
            (phase, _) => (Kind::Info, format!("item {id}: {}", phase.word())),
        };
        model.notes.add(model.now, kind, text);
    }
}

/// Carries out an action on the tab.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    if model.evaluate.prompts.is_some() {
        return prompts::act(model, action);
    }
    if model.evaluate.view.is_some() {
        return result::act(model, action);
    }
    let root = model.root.clone();
    let page = model.regions.rows;
    let tab = &mut model.evaluate;
    match (tab.pane, action) {
        (_, Action::NewEvaluation) => return form::new(model),
        (_, Action::SortResults) => {
            tab.sort = match tab.sort {
                Sort::Newest => Sort::Column(tab.column),
                Sort::Column(at) if at != tab.column => Sort::Column(tab.column),
                Sort::Column(_) => Sort::Name,
                Sort::Name => Sort::Newest,
            };
            tab.tabulate();
            tab.row = 0;
        }
        (_, Action::Export) => {
            if tab.outcomes.is_empty() {
                return warn(model, "there are no results yet");
            }
            let input = Input::new("results.md".to_owned());
            model.popups.push(Popup::Evaluate(Own::Export { input }));
        }
        (_, Action::EvaluationLog) => {
            return match tab.chosen_item() {
                Some(entry) => vec![Command::Evaluate(Effect::Log { root, id: entry.item.id })],
                None => warn(model, "nothing is in the queue"),
            };
        }
        (_, Action::CancelEvaluation) => {
            return match tab.chosen_item().map(|e| (e.item.id, e.state.phase.is_over())) {
                Some((id, false)) => vec![Command::Evaluate(Effect::Cancel { root, id })],
                Some((id, true)) => vec![Command::Evaluate(Effect::Remove { root, id })],
                None => warn(model, "nothing is in the queue"),
            };
        }
        (Pane::Queue, Action::Enter) => {
            let Some(entry) = tab.chosen_item() else { return Vec::new() };
            return match (&entry.state.folder, entry.state.phase) {
                (Some(folder), Phase::Done) => {
                    vec![Command::Evaluate(Effect::Open { folder: folder.clone() })]
                }
                _ => vec![Command::Evaluate(Effect::Log { root, id: entry.item.id })],
            };
        }
        (Pane::Queue, _) => tab.item = moved(tab.item, action, tab.entries.len(), page),
        (Pane::Results, Action::Left) => tab.column = tab.column.saturating_sub(1),
        (Pane::Results, Action::Right) => {
            tab.column = (tab.column + 1).min(tab.table.columns.len().saturating_sub(1));
        }
        (Pane::Results, Action::Enter) => {
            return match tab.chosen_outcome() {
                Some(outcome) => {
                    vec![Command::Evaluate(Effect::Open { folder: outcome.folder.clone() })]
                }
                None => warn(model, "there is no result at this place of the table"),
            };
        }
        (Pane::Results, _) => tab.row = moved(tab.row, action, tab.table.rows.len(), page),
    }
    Vec::new()
}

/// The next pane, or the next part of an opened result.
pub fn next_pane(model: &mut Model, forward: bool) {
    let tab = &mut model.evaluate;
    match &mut tab.view {
        Some(view) => view.turn(forward),
        None => tab.pane = if tab.pane == Pane::Queue { Pane::Results } else { Pane::Queue },
    }
}

/// One level up; says whether there was one within the tab.
pub fn back(model: &mut Model) -> bool {
    let tab = &mut model.evaluate;
    if tab.prompts.take().is_some() {
        return true;
    }
    let Some(view) = &mut tab.view else { return false };
    if view.large {
        view.large = false;
    } else if !view.filter.value().is_empty() {
        view.filter.reset();
        view.arrange();
    } else {
        tab.view = None;
    }
    true
}

/// What is left behind when prompts are no longer edited: the model's memory.
pub fn unneeded(model: &Model, before: bool) -> Option<Command> {
    (before && model.evaluate.prompts.is_none()).then_some(Command::Unload { slot: SLOT })
}

/// Asks for the picture that belongs on the screen, unless it is there or on its way.
pub fn want_picture(model: &mut Model) -> Option<Command> {
    let area = model.regions.picture.filter(|_| model.page == Page::Evaluate)?;
    let view = model.evaluate.view.as_mut()?;
    let path = view.picture()?.to_owned();
    let folder = RunDir::at(&view.opened.outcome.data);
    let wanted = picture::Wanted::new(&path.to_string_lossy(), &folder, area, &model.pictures)?;
    if view.wanted.as_ref() == Some(&wanted) {
        return None;
    }
    view.wanted = Some(wanted.clone());
    Some(Command::LoadPicture(wanted))
}

/// Takes a picture that was asked for here; gives it back when it was not.
pub fn on_picture(model: &mut Model, loaded: picture::Loaded) -> Option<picture::Loaded> {
    match &mut model.evaluate.view {
        Some(view) if view.wanted.as_ref() == Some(loaded.wanted()) => {
            view.shown = Some(loaded);
            None
        }
        _ => Some(loaded),
    }
}
