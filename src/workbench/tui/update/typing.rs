//! Lines that are typed on a page.

use super::{actions, type_into};
use crate::tui::action::Action;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crossterm::event::{KeyCode, KeyEvent};
use tui_input::Input;

/// The line that is typed on the page, when one is.
pub fn typed(model: &mut Model) -> Option<&mut Input> {
    match model.page {
        Page::Run if model.charts.filtering => Some(&mut model.charts.filter),
        Page::Runs if model.runs.filtering => Some(&mut model.runs.filter),
        _ => None,
    }
}

/// Takes a key for that line; none when none is typed.
pub fn typing_key(model: &mut Model, key: &KeyEvent) -> Option<Vec<Command>> {
    let input = typed(model)?;
    let done = match key.code {
        KeyCode::Enter => true,
        KeyCode::Esc => {
            input.reset();
            true
        }
        KeyCode::Up | KeyCode::Down => true,
        _ => {
            type_into(input, key);
            false
        }
    };
    if done {
        model.charts.filtering = false;
        model.runs.filtering = false;
    } else {
        model.charts.selected = 0;
        model.runs.selected = 0;
    }
    Some(match key.code {
        KeyCode::Up => actions::act(model, Action::Up),
        KeyCode::Down => actions::act(model, Action::Down),
        _ => Vec::new(),
    })
}
