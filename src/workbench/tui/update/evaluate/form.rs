//! The tab's popups: the form of a new evaluation, an item's log, the file of an export.

use crate::tui::evaluate::{Effect, Form, Pane, Popup as Own, SLOT};
use crate::tui::message::Command;
use crate::tui::model::Model;
use crate::tui::popup::Popup;
use crate::tui::update::type_into;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::settings::EvaluationSettings;
use std::path::PathBuf;
use tui_input::Input;

/// The newest form that is open.
pub(super) fn form_of(model: &mut Model) -> Option<&mut Popup> {
    model.popups.iter_mut().rev().find(|p| matches!(p, Popup::Evaluate(Own::Form(_))))
}

/// Opens the form.
pub(super) fn new(model: &mut Model) -> Vec<Command> {
    let usual = || {
        let run = model.watched.as_ref().map(|w| w.run.path().to_string_lossy().into_owned());
        EvaluationSettings { model: run, ..EvaluationSettings::default() }
    };
    let form = Form::new(&model.evaluate.draft.clone().unwrap_or_else(usual));
    model.popups.push(Popup::Evaluate(Own::Form(form)));
    let mut commands = vec![Command::ListModels { root: model.root.clone() }];
    commands.extend(changed(model));
    commands
}

/// The form says something else now: looks at what it names.
fn changed(model: &mut Model) -> Vec<Command> {
    let root = model.root.clone();
    let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) else { return Vec::new() };
    form.generation += 1;
    form.seen = None;
    form.start = false;
    match form.read() {
        Ok(settings) => {
            vec![Command::Evaluate(Effect::Check { root, generation: form.generation, settings })]
        }
        Err(_) => Vec::new(),
    }
}

/// Starts what the form says, when nothing is wrong with it.
pub(super) fn start(model: &mut Model) -> Vec<Command> {
    let root = model.root.clone();
    let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) else { return Vec::new() };
    let lines = form.lines();
    // The first line that is wrong is shown.
    if let Some(at) = lines.iter().position(|(_, s)| form.problem(s).is_some()) {
        form.selected = at;
        form.start = false;
        return Vec::new();
    }
    let (Some(_), Ok(settings)) = (&form.seen, form.read()) else {
        form.start = true;
        return Vec::new();
    };
    model.popups.retain(|p| !matches!(p, Popup::Evaluate(Own::Form(_))));
    model.evaluate.draft = Some(settings.clone());
    model.evaluate.pane = Pane::Queue;
    model.evaluate.item = model.evaluate.entries.len();
    vec![Command::Evaluate(Effect::Add { root, settings })]
}

/// A model was chosen for the form.
pub fn choose_model(model: &mut Model, name: &str) -> Vec<Command> {
    if let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) {
        form.put("model", name);
    }
    changed(model)
}

/// Keys of the tab's popups but Enter and Esc.
pub fn popup_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let page = model.regions.popup_rows.max(1);
    let root = model.root.clone();
    let Some(Popup::Evaluate(popup)) = model.popups.last_mut() else { return Vec::new() };
    match popup {
        Own::Export { input } => type_into(input, key),
        Own::Log { id, lines, scroll } => {
            let last = lines.len().saturating_sub(page);
            let here = (*scroll).min(last);
            *scroll = match key.code {
                KeyCode::Up | KeyCode::Char('k') => here.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => here + 1,
                KeyCode::PageUp => here.saturating_sub(page),
                KeyCode::PageDown | KeyCode::Char(' ') => here + page,
                KeyCode::Home => 0,
                KeyCode::End => usize::MAX / 2,
                KeyCode::Char('r') => return vec![Command::Evaluate(Effect::Log { root, id: *id })],
                _ => here,
            };
            if key.code == KeyCode::Char('q') {
                model.popups.pop();
            }
        }
        Own::Form(_) => return form_key(model, key).unwrap_or_default(),
    }
    Vec::new()
}

fn form_key(model: &mut Model, key: &KeyEvent) -> Option<Vec<Command>> {
    let Some(Popup::Evaluate(Own::Form(form))) = model.popups.last_mut() else { return None };
    let last = form.lines().len().saturating_sub(1);
    let (at, setting) = form.chosen()?;
    let words = Form::words(setting);
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Up | KeyCode::BackTab => form.selected = form.selected.min(last).saturating_sub(1),
        KeyCode::Down | KeyCode::Tab => form.selected = (form.selected + 1).min(last),
        KeyCode::Char('o') if !plain => {
            model.popups.push(Popup::Models { slot: SLOT, input: Input::default(), selected: 0 });
            return Some(vec![Command::ListModels { root: model.root.clone() }]);
        }
        KeyCode::Left | KeyCode::Right if !words.is_empty() => {
            form.turn(key.code == KeyCode::Right);
            return Some(changed(model));
        }
        KeyCode::Char(c) if !words.is_empty() && plain => {
            if c == ' ' {
                form.turn(true);
            } else if let Some(word) = words.iter().find(|w| w.starts_with(c)).copied() {
                // The first letter of a word chooses it.
                form.put(setting.name, word);
            }
            return Some(changed(model));
        }
        _ if words.is_empty() => {
            let input = form.inputs.get_mut(at)?;
            let before = input.value().to_owned();
            type_into(input, key);
            if input.value() != before {
                return Some(changed(model));
            }
        }
        _ => {}
    }
    Some(Vec::new())
}

/// Enter in one of the tab's popups, which was taken off.
pub fn accept(model: &mut Model, popup: Own) -> Vec<Command> {
    match popup {
        Own::Form(form) => {
            model.popups.push(Popup::Evaluate(Own::Form(form)));
            start(model)
        }
        Own::Log { .. } => Vec::new(),
        Own::Export { input } => {
            let text = input.value().trim().to_owned();
            if text.is_empty() {
                model.popups.push(Popup::Evaluate(Own::Export { input }));
                return Vec::new();
            }
            let outcomes = model.evaluate.outcomes.clone();
            vec![Command::Evaluate(Effect::Export { outcomes, file: PathBuf::from(text) })]
        }
    }
}
