//! What a person does with the runs of the list: tags, notes, putting away, deleting, opening folders, order and filter.

use super::{compare, list_runs, type_into};
use crate::tui::action::Action;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::popup::{Popup, RunsPopup};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::dir::RunDir;
use tui_input::Input;

/// Carries out an action on the list; none when it is another's.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    match (action, model.page) {
        (Action::Search, Page::Runs) => model.runs.filtering = true,
        (Action::OpenFolder, _) => {
            model.popups.push(Popup::Runs(RunsPopup::Open { input: Input::default() }));
        }
        (Action::SortRuns, Page::Runs) => {
            model.runs.order = model.runs.order.word().1;
            model.runs.selected = 0;
        }
        (Action::Overlay | Action::Tag | Action::Annotate | Action::Archive | Action::Delete, Page::Runs) => {
            return Some(on_run(model, action));
        }
        _ => return None,
    }
    Some(Vec::new())
}

fn on_run(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(row) = model.runs.chosen().cloned() else { return Vec::new() };
    let popup = match action {
        Action::Overlay => {
            if model.watched.is_none() {
                let text = "watch a run first (Enter); then Space lays others over it";
                model.notes.add(model.now, Kind::Info, text);
                return Vec::new();
            }
            return compare::toggle(model, &row.run, row.label);
        }
        Action::Tag => RunsPopup::Tags { run: row.run, input: Input::new(row.labels.tags.join(" ")) },
        Action::Annotate => RunsPopup::Note { run: row.run, input: Input::new(row.labels.note) },
        Action::Archive => {
            let archived = !row.labels.archived;
            let text = if archived {
                "is put away; `archived` in the filter finds it"
            } else {
                "is in the list again"
            };
            model.notes.add(model.now, Kind::Info, format!("{} {text}", row.label));
            return label(model, &row.run, |labels| labels.archived = archived);
        }
        _ if row.status.is_alive() => {
            model.notes.add(model.now, Kind::Warning, format!("{} is alive: stop it first", row.label));
            return Vec::new();
        }
        _ if matches!(row.status, run::history::Status::Foreign { .. }) => {
            let text = format!("{} is another program's: its files are never touched", row.label);
            model.notes.add(model.now, Kind::Warning, text);
            return Vec::new();
        }
        _ => RunsPopup::Delete { run: row.run, label: row.label },
    };
    model.popups.push(Popup::Runs(popup));
    Vec::new()
}

/// Changes what stands on a run, on the list at once and on the disk.
fn label(model: &mut Model, run: &RunDir, change: impl FnOnce(&mut crate::labels::Labels)) -> Vec<Command> {
    let Some(row) = model.runs.rows.iter_mut().flatten().find(|r| r.run == *run) else { return Vec::new() };
    change(&mut row.labels);
    vec![Command::Label { run: run.clone(), labels: row.labels.clone() }]
}

/// Takes a key for the topmost popup, which is one of the list's.
pub fn popup_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let Some(Popup::Runs(popup)) = model.popups.last_mut() else { return Vec::new() };
    if let Some(input) = popup.input() {
        type_into(input, key);
        return Vec::new();
    }
    // Only the question before a run is deleted has no line.
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Char('y') if plain => {
            if let Some(Popup::Runs(RunsPopup::Delete { run, .. })) = model.popups.pop() {
                return delete(model, &run);
            }
        }
        KeyCode::Char('n' | 'q') if plain => drop(model.popups.pop()),
        _ => {}
    }
    Vec::new()
}

fn delete(model: &mut Model, run: &RunDir) -> Vec<Command> {
    let mut commands = Vec::new();
    if let Some(at) = model.others.iter().position(|o| o.watched.run == *run) {
        commands.extend(compare::remove(model, at));
    }
    if model.watched.as_ref().is_some_and(|w| w.run == *run) {
        model.watched = None;
        commands.push(Command::Forget { generation: model.generation });
        model.generation += 1;
    }
    if let Some(rows) = &mut model.runs.rows {
        rows.retain(|r| r.run != *run);
    }
    // The list is made anew once it is gone.
    model.runs.listed = model.now;
    commands.push(Command::DeleteRun { run: run.clone() });
    commands
}

/// Enter in a popup of the list, which was taken off the screen.
pub fn accept(model: &mut Model, popup: RunsPopup) -> Vec<Command> {
    match popup {
        // Enter alone deletes nothing.
        RunsPopup::Delete { .. } => model.popups.push(Popup::Runs(popup)),
        RunsPopup::Tags { run, input } => return label(model, &run, |labels| labels.set_tags(input.value())),
        RunsPopup::Note { run, input } => {
            let note = run::escape::line(input.value().trim()).into_owned();
            return label(model, &run, |labels| labels.note = note);
        }
        RunsPopup::Open { input } => {
            let path = input.value().trim();
            if path.is_empty() {
                return Vec::new();
            }
            // Whose home `~` is, the effect knows.
            model.opened.push(path.into());
            model.page = Page::Runs;
            model.runs.filter.reset();
            return list_runs(model);
        }
    }
    Vec::new()
}
