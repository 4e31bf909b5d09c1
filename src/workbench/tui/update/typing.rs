//! Lines that are typed on a page: filters and searches.

use super::{actions, choose_named, datasets, type_into};
use crate::tui::action::Action;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crossterm::event::{KeyCode, KeyEvent};
use tui_input::{Input, InputRequest};

/// A line that leaves some of what the page lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Of the devices tab.
    Tensors,
    Settings,
    Captions,
    Data,
    /// Of an opened result.
    Result,
    Charts,
    /// Of the log pane.
    Log,
    Runs,
}

impl Line {
    /// The one that keys go to, when one is typed.
    pub fn of(model: &Model) -> Option<Self> {
        let evaluate = &model.evaluate;
        let (line, typed) = match model.page {
            Page::Devices => (Self::Tensors, model.devices.filtering),
            Page::Settings => (Self::Settings, model.form.searching),
            Page::Caption => (Self::Captions, model.captions.filtering),
            Page::Data => (Self::Data, model.datasets.filtering),
            Page::Evaluate => {
                let filtering = evaluate.view.as_ref().is_some_and(|view| view.filtering);
                (Self::Result, filtering && evaluate.prompts.is_none())
            }
            Page::Run if model.log.searching => (Self::Log, true),
            Page::Run => (Self::Charts, model.charts.filtering),
            Page::Runs => (Self::Runs, model.runs.filtering),
        };
        typed.then_some(line)
    }

    /// What is typed, and whether it still is.
    fn state(self, model: &mut Model) -> Option<(&mut Input, &mut bool)> {
        Some(match self {
            Self::Tensors => (&mut model.devices.filter, &mut model.devices.filtering),
            Self::Settings => (&mut model.form.search, &mut model.form.searching),
            Self::Captions => (&mut model.captions.filter, &mut model.captions.filtering),
            Self::Data => (&mut model.datasets.filter, &mut model.datasets.filtering),
            Self::Result => {
                let view = model.evaluate.view.as_mut()?;
                (&mut view.filter, &mut view.filtering)
            }
            Self::Charts => (&mut model.charts.filter, &mut model.charts.filtering),
            Self::Log => (&mut model.log.search, &mut model.log.searching),
            Self::Runs => (&mut model.runs.filter, &mut model.runs.filtering),
        })
    }

    fn stop(self, model: &mut Model) {
        if let Some((_, typed)) = self.state(model) {
            *typed = false;
        }
    }

    /// Changes the line by `change`; what follows from that, when it says something else now.
    fn edit(self, model: &mut Model, change: impl FnOnce(&mut Input)) -> Vec<Command> {
        let Some((input, _)) = self.state(model) else { return Vec::new() };
        let before = input.value().to_owned();
        change(input);
        if input.value() == before {
            return Vec::new();
        }
        match self {
            Self::Tensors => model.devices.tensor = 0,
            Self::Settings => choose_named(model),
            Self::Captions => model.captions.selected = 0,
            Self::Data => return datasets::on_filter(model),
            Self::Result => arrange(model),
            Self::Charts => model.charts.selected = 0,
            Self::Log => super::log::typed(model),
            Self::Runs => model.runs.selected = 0,
        }
        Vec::new()
    }

    /// Takes the words away: all is listed again, and what is chosen stays chosen where that is known.
    fn clear(self, model: &mut Model) -> Vec<Command> {
        if let Some((input, _)) = self.state(model) {
            input.reset();
        }
        match self {
            Self::Data => return datasets::list_anew(model),
            Self::Result => arrange(model),
            Self::Log => super::log::cleared(model),
            _ => {}
        }
        Vec::new()
    }

    /// Takes a key.
    pub fn on_key(self, model: &mut Model, key: &KeyEvent) -> Vec<Command> {
        match key.code {
            KeyCode::Enter | KeyCode::Esc | KeyCode::Up | KeyCode::Down => self.stop(model),
            _ => return self.edit(model, |input| type_into(input, key)),
        }
        match key.code {
            KeyCode::Esc => self.clear(model),
            KeyCode::Up => actions::act(model, Action::Up),
            KeyCode::Down => actions::act(model, Action::Down),
            _ => Vec::new(),
        }
    }

    /// Takes text that was pasted.
    pub fn paste(self, model: &mut Model, text: &str) -> Vec<Command> {
        self.edit(model, |input| put(input, text))
    }
}

fn arrange(model: &mut Model) {
    if let Some(view) = &mut model.evaluate.view {
        view.arrange();
    }
}

/// Puts text into a line where its cursor is.
pub fn put(input: &mut Input, text: &str) {
    for c in text.chars() {
        input.handle(InputRequest::InsertChar(c));
    }
}
