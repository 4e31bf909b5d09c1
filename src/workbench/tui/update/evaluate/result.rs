//! An opened result.

use super::{prompts, warn};
use crate::tui::action::Action;
use crate::tui::evaluate::{Part, View};
use crate::tui::message::Command;
use crate::tui::model::Model;
use crate::tui::update::actions::moved;

/// Carries out an action on it.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = model.regions.rows;
    let Some(view) = &mut model.evaluate.view else { return Vec::new() };
    match action {
        Action::Left | Action::Right => view.turn(action == Action::Right),
        Action::SortResults => {
            view.order = view.order.next();
            view.arrange();
        }
        Action::Search => view.filtering = true,
        Action::Enlarge => view.large = !view.large,
        Action::EditPrompts => return prompts::edit(model),
        Action::Enter => match view.part {
            Part::Classes | Part::Pairs | Part::Wrong => return prompts::edit(model),
            Part::Images | Part::Texts => view.jump(),
            Part::Captions => view.large = !view.large,
            Part::Unreadable => return unreadable(model),
        },
        _ => {
            let row = moved(view.chosen(view.part), action, view.rows(view.part), page);
            view.choose(row);
        }
    }
    Vec::new()
}

/// A line has little room for what is wrong.
fn unreadable(model: &mut Model) -> Vec<Command> {
    let text = |view: &View| {
        let (name, why) = view.opened.unreadable.get(view.chosen_at(Part::Unreadable)?)?;
        Some(format!("{name}: {why}"))
    };
    match model.evaluate.view.as_ref().and_then(text) {
        Some(text) => warn(model, text),
        None => Vec::new(),
    }
}
