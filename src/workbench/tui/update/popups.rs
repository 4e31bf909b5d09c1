//! Keys while a popup is open.

use super::{ask, begin, type_into};
use crate::tui::evaluate::{Popup as Own, SLOT};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::options::form::is_option;
use crate::tui::popup::{ChartsPopup, Popup, STOPS, find, models_found, name_problem};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::control::Request;
use tui_input::Input;

/// The line of text that a popup has.
pub fn input_of(popup: &mut Popup) -> Option<&mut Input> {
    match popup {
        Popup::Palette { input, .. }
        | Popup::NewRun { input, .. }
        | Popup::GoTo { input }
        | Popup::Export { input }
        | Popup::Models { input, .. } => Some(input),
        Popup::Decoding(form) => form.inputs.get_mut(form.selected),
        Popup::Evaluate(Own::Export { input }) => Some(input),
        Popup::Evaluate(Own::Form(form)) => {
            let (at, _) = form.chosen()?;
            form.inputs.get_mut(at)
        }
        Popup::Edit(edit) if edit.choices().is_empty() => Some(&mut edit.input),
        Popup::Charts(ChartsPopup::Export { input }) => Some(input),
        Popup::Runs(popup) => popup.input(),
        _ => None,
    }
}

/// Takes a key for the topmost popup.
pub fn on_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    match key.code {
        KeyCode::Esc => {
            model.popups.pop();
            return Vec::new();
        }
        KeyCode::Enter => return accept(model),
        _ => {}
    }
    let page = model.regions.popup_rows.max(1);
    let places = model.places();
    let Some(popup) = model.popups.last_mut() else { return Vec::new() };
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match popup {
        Popup::Help { scroll } | Popup::Notices { scroll } => match key.code {
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(page),
            KeyCode::Home => *scroll = 0,
            KeyCode::End => *scroll = usize::MAX / 2,
            KeyCode::Char('q' | '?' | 'N') if plain => drop(model.popups.pop()),
            _ => {}
        },
        Popup::Palette { input, selected } => {
            let last = find(input.value(), &places).len().saturating_sub(1);
            search_key(input, selected, key, (page, last));
        }
        Popup::Stop { selected } => match key.code {
            KeyCode::Up | KeyCode::Char('k') => *selected = selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab | KeyCode::Char('j') => {
                *selected = (*selected + 1).min(STOPS.len() - 1)
            }
            KeyCode::Char('q') if plain => drop(model.popups.pop()),
            _ => {}
        },
        Popup::Edit(edit) if !edit.choices().is_empty() => match key.code {
            KeyCode::Left | KeyCode::Up | KeyCode::Char('h' | 'k') => edit.turn(false),
            KeyCode::Right | KeyCode::Down | KeyCode::Tab | KeyCode::Char('l' | 'j' | ' ') => edit.turn(true),
            KeyCode::Char(c) if plain => {
                // The first letter of a word chooses it.
                let word = edit.choices().into_iter().find(|w| w.starts_with(c));
                edit.input = word.map_or_else(|| edit.input.clone(), |w| Input::new(w.to_owned()));
            }
            _ => {}
        },
        Popup::Edit(edit) => type_into(&mut edit.input, key),
        Popup::NewRun { input, .. } | Popup::GoTo { input } | Popup::Export { input } => {
            type_into(input, key)
        }
        Popup::Models { slot, input, selected } => {
            let last = models_found(&model.captions.choices, *slot, input.value()).len().saturating_sub(1);
            search_key(input, selected, key, (page, last));
        }
        Popup::Decoding(form) => match key.code {
            KeyCode::Up | KeyCode::BackTab => form.selected = form.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => form.selected = (form.selected + 1).min(form.inputs.len() - 1),
            _ => {
                if let Some(input) = form.inputs.get_mut(form.selected) {
                    type_into(input, key);
                }
            }
        },
        Popup::Evaluate(_) => return super::evaluate::popup_key(model, key),
        Popup::Charts(_) => return super::charts::popup_key(model, key),
        Popup::Runs(_) => return super::runs::popup_key(model, key),
        Popup::Apply { .. } | Popup::Restart { .. } => match key.code {
            KeyCode::Char('y') if plain => return accept(model),
            KeyCode::Char('n' | 'q') if plain => drop(model.popups.pop()),
            _ => {}
        },
    }
    Vec::new()
}

/// Enter: does what the topmost popup offers and closes it, unless what it holds is not right.
pub fn accept(model: &mut Model) -> Vec<Command> {
    let places = model.places();
    let Some(popup) = model.popups.pop() else { return Vec::new() };
    match popup {
        Popup::Help { .. } | Popup::Notices { .. } => Vec::new(),
        Popup::Palette { input, selected } => match find(input.value(), &places).get(selected) {
            Some(found) => super::actions::act(model, found.entry.action),
            None => {
                model.popups.push(Popup::Palette { input, selected });
                Vec::new()
            }
        },
        Popup::Stop { selected: 0 } => ask(model, Request::Stop { now: false }, "stop"),
        Popup::Stop { selected: 1 } => ask(model, Request::Stop { now: true }, "stop at once"),
        Popup::Stop { .. } => Vec::new(),
        Popup::Edit(edit) => {
            if let (true, Ok(value)) = (is_option(edit.setting), edit.value()) {
                return super::looks::set(model, edit.setting.name, value);
            }
            let current = model.watched.as_ref().and_then(|w| w.settings());
            match (edit.value(), current) {
                (Ok(value), Some(current)) => model.form.edit(edit.setting, value, &current),
                // The rule stands in the popup, which stays.
                (Err(_), _) => model.popups.push(Popup::Edit(edit)),
                (Ok(_), None) => {}
            }
            Vec::new()
        }
        Popup::Apply { changes } => {
            let what = match changes.len() {
                1 => format!("set {}", changes.keys().next().map_or("", String::as_str)),
                n => format!("set {n} settings"),
            };
            ask(model, Request::Set { changes }, &what)
        }
        Popup::Restart { plan } => {
            let id = begin(model, "restart with edits", None);
            vec![Command::Restart { id, plan }]
        }
        Popup::GoTo { input } if model.page == Page::Data => super::datasets::go_to(model, input.value()),
        Popup::GoTo { input } => super::captions::go_to(model, input.value()),
        Popup::Export { input } => super::datasets::export_to(model, input.value()),
        Popup::Models { slot, input, selected } => {
            let found = models_found(&model.captions.choices, slot, input.value());
            match found.into_iter().nth(selected) {
                Some(choice) if slot == SLOT => super::evaluate::choose_model(model, &choice.model),
                Some(choice) => super::captions::choose(model, slot, &choice.model),
                None => {
                    model.popups.push(Popup::Models { slot, input, selected });
                    Vec::new()
                }
            }
        }
        Popup::Decoding(form) => {
            match form.read() {
                Ok(decoding) => model.captions.decoding = Some(decoding),
                // The rule stands in the popup, which stays.
                Err(_) => model.popups.push(Popup::Decoding(form)),
            }
            Vec::new()
        }
        Popup::Evaluate(popup) => super::evaluate::accept(model, popup),
        Popup::Charts(popup) => super::charts::accept(model, popup),
        Popup::Runs(popup) => super::runs::accept(model, popup),
        Popup::NewRun { input, settings } => {
            let name = input.value().trim().to_owned();
            if name_problem(&name).is_some() {
                model.popups.push(Popup::NewRun { input, settings });
                return Vec::new();
            }
            let root = model
                .watched
                .as_ref()
                .and_then(|w| w.run.path().parent().map(std::path::Path::to_owned))
                .unwrap_or_else(|| model.root.clone());
            let id = begin(model, &format!("start {name}"), None);
            vec![Command::NewRun { id, root, name, settings }]
        }
    }
}

/// Scrolls the topmost popup, by lines; negative up.
pub fn scroll(model: &mut Model, lines: isize) {
    let key = KeyEvent::from(if lines < 0 { KeyCode::Up } else { KeyCode::Down });
    for _ in 0..lines.unsigned_abs() {
        // These keys only move; there is nothing to do for them.
        let _ = on_key(model, &key);
    }
}

/// Chooses a row of the topmost popup; says whether it was chosen already.
pub fn choose(model: &mut Model, row: usize) -> bool {
    match model.popups.last_mut() {
        Some(Popup::Palette { selected, .. } | Popup::Stop { selected } | Popup::Models { selected, .. }) => {
            let same = *selected == row;
            *selected = row;
            same
        }
        Some(Popup::Charts(ChartsPopup::Compared { selected })) => std::mem::replace(selected, row) == row,
        Some(Popup::Edit(edit)) => {
            let same = edit.choice() == Some(row);
            if let Some(word) = edit.choices().get(row) {
                edit.input = Input::new((*word).to_owned());
            }
            same
        }
        _ => false,
    }
}

/// Clicked outside of it: a popup without anything to lose closes.
pub fn click_outside(model: &mut Model) {
    if let Some(Popup::Help { .. } | Popup::Notices { .. } | Popup::Palette { .. }) = model.popups.last() {
        model.popups.pop();
    }
}

/// A key in a popup that lists what a typed line leaves: it moves within the list, or changes the line.
fn search_key(input: &mut Input, selected: &mut usize, key: &KeyEvent, (page, last): (usize, usize)) {
    match key.code {
        KeyCode::Up => *selected = selected.saturating_sub(1),
        KeyCode::Down | KeyCode::Tab => *selected = (*selected + 1).min(last),
        KeyCode::PageUp => *selected = selected.saturating_sub(page),
        KeyCode::PageDown => *selected = (*selected + page).min(last),
        _ => {
            type_into(input, key);
            *selected = 0;
        }
    }
}
