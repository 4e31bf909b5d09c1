//! The popups of the runs list: tags, note, the question before a run is deleted, a folder to open.

use super::draw::{line, open};
use crate::tui::format::{cut, safe};
use crate::tui::model::Model;
use crate::tui::regions::Regions;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use run::dir::RunDir;
use tui_input::Input;

/// A popup of the runs list.
#[derive(Debug)]
pub enum RunsPopup {
    /// Tags of a run.
    Tags { run: RunDir, input: Input },
    /// The line on a run.
    Note { run: RunDir, input: Input },
    /// Whether to delete a run.
    Delete { run: RunDir, label: String },
    /// A folder to open.
    Open { input: Input },
}

impl RunsPopup {
    /// The line of text that it has.
    pub fn input(&mut self) -> Option<&mut Input> {
        match self {
            Self::Tags { input, .. } | Self::Note { input, .. } | Self::Open { input } => Some(input),
            Self::Delete { .. } => None,
        }
    }
}

/// What the footer says while it is open.
pub(super) fn hint(popup: &RunsPopup) -> &'static str {
    match popup {
        RunsPopup::Tags { .. } => "type words   Enter keep   Esc cancel",
        RunsPopup::Note { .. } => "type a line   Enter keep   Esc cancel",
        RunsPopup::Delete { .. } => "y delete   Esc cancel",
        RunsPopup::Open { .. } => "type or paste a folder   Enter open   Esc cancel",
    }
}

/// Draws one.
pub(super) fn draw(model: &Model, popup: &RunsPopup, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    match popup {
        RunsPopup::Tags { run, input } => {
            let title = format!("tags of {}", run.name());
            let text = "Words to find the run by: tag:WORD in the list's filter.";
            line(model, &title, text, input, frame, body, regions);
        }
        RunsPopup::Note { run, input } => {
            let title = format!("note on {}", run.name());
            line(model, &title, "A line that stands on the run in the list.", input, frame, body, regions);
        }
        RunsPopup::Open { input } => {
            let text = "A folder with TensorBoard's event files, open_clip's logs or runs of ours, at any depth. It is watched, never written to.";
            line(model, "open a folder", text, input, frame, body, regions);
        }
        RunsPopup::Delete { run, label } => {
            let theme = model.theme;
            let lines = vec![
                Line::from(vec![
                    Span::raw("Delete "),
                    Span::styled(safe(label).into_owned(), theme.strong()),
                    Span::raw(" with its events, logs and checkpoints?"),
                ]),
                Line::from(Span::styled(cut(&run.path().display().to_string(), 70), theme.dim())),
                Line::from(""),
                Line::from(Span::styled("Nothing brings it back.", theme.bad())),
            ];
            let inner =
                open(theme, "delete this run?", (76, view::cells(lines.len() + 2)), frame, body, regions);
            frame.render_widget(Paragraph::new(lines), inner);
        }
    }
}
