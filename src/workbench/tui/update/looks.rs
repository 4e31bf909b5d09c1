//! How the workbench looks and listens: its own options, the panes' share.

use crate::tui::action::Action;
use crate::tui::layout::{Border, Layout};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::theme::Looks;
use run::settings::Value;

/// Percent by which a key moves a border.
const NUDGE: i16 = 4;

/// Carries out an action; none when it is another's.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    Some(match (action, model.page) {
        (Action::Theme, _) => {
            let next = model.theme.looks.next().name().to_owned();
            set(model, "theme", Value::Text(next))
        }
        (Action::Pictures, _) => {
            let next = model.pictures.mode().next().name().to_owned();
            set(model, "images", Value::Text(next))
        }
        (Action::Mouse, _) => {
            model.mouse = !model.mouse;
            let text = if model.mouse { "the mouse is listened to" } else { "the mouse is the terminal's" };
            model.notes.add(model.now, Kind::Info, text);
            vec![Command::Mouse(model.mouse)]
        }
        (Action::Taller, Page::Run) => nudge(model, Border::Below, NUDGE),
        (Action::Shorter, Page::Run) => nudge(model, Border::Below, -NUDGE),
        (Action::Wider, Page::Run) => nudge(model, Border::Between, NUDGE),
        (Action::Narrower, Page::Run) => nudge(model, Border::Between, -NUDGE),
        (Action::ResetPanes, _) => {
            model.layout = Layout::default();
            keep_layout(model)
        }
        _ => return None,
    })
}

/// Changes an option of the workbench's own: at once, and for the next time.
pub fn set(model: &mut Model, name: &'static str, value: Value) -> Vec<Command> {
    let mut commands = Vec::new();
    match (name, &value) {
        ("images", Value::Text(text)) => {
            let Ok(mode) = text.parse() else { return Vec::new() };
            model.pictures = model.pictures.by(mode);
            // What another protocol has put on the screen is not a cell's that would be drawn over.
            commands.push(Command::Redraw);
        }
        ("theme", Value::Text(text)) => {
            let chosen = Looks::named(text);
            model.fixed_looks = chosen.is_some();
            model.theme.looks = chosen.unwrap_or(model.fitting_looks);
        }
        ("mouse", Value::Bool(on)) => {
            model.mouse = *on;
            commands.push(Command::Mouse(*on));
        }
        ("ascii", Value::Bool(on)) => model.theme.ascii = *on,
        ("bell", Value::Bool(on)) => model.bell = *on,
        _ => return Vec::new(),
    }
    model.last_id += 1;
    commands.push(Command::KeepOption { order: model.last_id, name, value });
    commands
}

fn nudge(model: &mut Model, border: Border, by: i16) -> Vec<Command> {
    // The tab is what header and footer leave; its height is that of the last frame.
    model.layout.nudge(border, by, model.regions.tab.height.max(8));
    keep_layout(model)
}

/// Keeps the layout for the next time.
pub fn keep_layout(model: &Model) -> Vec<Command> {
    vec![Command::KeepLayout(model.layout)]
}
