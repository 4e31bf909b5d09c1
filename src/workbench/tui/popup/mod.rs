//! What lies over the page and takes the keys: help, palette, questions, forms.

mod captions;
mod charts;
mod datasets;
mod draw;
mod evaluate;
mod palette;
mod runs;

use super::captions::DecodingForm;
use super::message::RestartPlan;
use run::settings::{Changes, Kind, Setting, Settings, Value};
use tui_input::Input;

pub use captions::models_found;
pub use charts::ChartsPopup;
pub use draw::{draw, typed};
pub use palette::find;
pub use runs::RunsPopup;

/// A popup.
#[derive(Debug)]
pub enum Popup {
    /// All keys.
    Help { scroll: usize },
    /// Find an action.
    Palette { input: Input, selected: usize },
    /// Messages so far.
    Notices { scroll: usize },
    /// How to stop.
    Stop { selected: usize },
    /// Edit a setting.
    Edit(Edit),
    /// Send edits to the run.
    Apply { changes: Changes },
    /// Restart with edits.
    Restart { plan: RestartPlan },
    /// A path to go to.
    GoTo { input: Input },
    /// Where marked entries are written to.
    Export { input: Input },
    /// Choose a model for a slot.
    Models { slot: usize, input: Input, selected: usize },
    /// How captions are written.
    Decoding(DecodingForm),
    /// One of the charts.
    Charts(ChartsPopup),
    /// One of the runs list.
    Runs(RunsPopup),
    /// One of the Evaluate tab.
    Evaluate(super::evaluate::Popup),
    /// Name of a new run.
    NewRun { input: Input, settings: Box<Settings> },
}

/// The ways to stop, in the popup's order.
pub const STOPS: [(&str, &str); 3] = [
    ("Finish the step, save, stop", "Nothing is lost; `cocaptain train --resume` goes on from there."),
    ("Stop at once", "Steps since the last checkpoint are lost."),
    ("Cancel", "The run goes on."),
];

/// A setting that is edited.
#[derive(Debug)]
pub struct Edit {
    /// Which.
    pub setting: &'static Setting,
    /// What is typed.
    pub input: Input,
    /// The value in effect.
    pub current: Value,
}

impl Edit {
    /// Starts with the value that stands there.
    pub fn new(setting: &'static Setting, current: Value, edited: Option<&Value>) -> Self {
        let text = match edited.unwrap_or(&current) {
            Value::Unset => String::new(),
            value => value.to_string(),
        };
        Self { setting, input: Input::new(text), current }
    }

    /// What the typed text means, or the rule that it breaks.
    pub fn value(&self) -> Result<Value, String> {
        let text = self.input.value();
        if self.setting.optional && text.trim().is_empty() {
            return Ok(Value::Unset);
        }
        self.setting.parse(text).map_err(|e| e.to_string())
    }

    /// The words to choose from, when the setting has some.
    pub fn choices(&self) -> Vec<&'static str> {
        let mut words = match self.setting.kind {
            Kind::Bool => vec!["true", "false"],
            Kind::Choice(words) => words.to_vec(),
            _ => return Vec::new(),
        };
        if self.setting.optional {
            words.push("unset");
        }
        words
    }

    /// Which choice is typed.
    pub fn choice(&self) -> Option<usize> {
        let text = self.input.value().trim();
        let text = if text.is_empty() { "unset" } else { text };
        self.choices().iter().position(|w| *w == text)
    }

    /// Goes on to another choice; `forward` or back.
    pub fn turn(&mut self, forward: bool) {
        let words = self.choices();
        if words.is_empty() {
            return;
        }
        let next = match (self.choice(), forward) {
            (None, _) => 0,
            (Some(i), true) => (i + 1) % words.len(),
            (Some(i), false) => (i + words.len() - 1) % words.len(),
        };
        if let Some(word) = words.get(next) {
            self.input = Input::new((*word).to_owned());
        }
    }
}

/// What a new run's name breaks, if anything.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("letters, digits, '.', '_' and '-'".to_owned());
    }
    run::dir::check_name(name).err().map(|e| e.to_string())
}
