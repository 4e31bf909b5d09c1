//! How the workbench looks and listens: colours, mouse, the panes' share.

use crate::tui::action::Action;
use crate::tui::layout::{Border, Layout};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;

/// Percent by which a key moves a border.
const NUDGE: i16 = 4;

/// Carries out an action; none when it is another's.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    match (action, model.page) {
        (Action::Theme, _) => {
            model.theme.looks = model.theme.looks.next();
            let text = format!("colours: {}; theme in workbench.toml keeps them", model.theme.looks.name());
            model.notes.add(model.now, Kind::Info, text);
        }
        (Action::Mouse, _) => {
            model.mouse = !model.mouse;
            let text = if model.mouse { "the mouse is listened to" } else { "the mouse is the terminal's" };
            model.notes.add(model.now, Kind::Info, text);
            return Some(vec![Command::Mouse(model.mouse)]);
        }
        (Action::Taller, Page::Run) => return Some(nudge(model, Border::Below, NUDGE)),
        (Action::Shorter, Page::Run) => return Some(nudge(model, Border::Below, -NUDGE)),
        (Action::Wider, Page::Run) => return Some(nudge(model, Border::Between, NUDGE)),
        (Action::Narrower, Page::Run) => return Some(nudge(model, Border::Between, -NUDGE)),
        (Action::ResetPanes, _) => {
            model.layout = Layout::default();
            return Some(keep_layout(model));
        }
        _ => return None,
    }
    Some(Vec::new())
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
