//! State of the Evaluate tab: the queue, the results, the form of a new evaluation, an opened result, edited prompts.

mod form;
mod prompts;
mod view;

use crate::evaluations::check::Check;
use crate::evaluations::opened::Opened;
use crate::evaluations::queue::Entry;
use crate::evaluations::results::{Outcome, Sort, Table};
use run::settings::EvaluationSettings;
use std::path::PathBuf;
use tui_input::Input;

pub use form::Form;
pub use prompts::{Prompts, Scope, Stand};
pub use view::{Part, View, file_name};

/// The number of the engine that serves this tab, behind those of captions.
pub const SLOT: usize = super::captions::SLOTS;

/// A pane of the tab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// What waits, is at work, is over.
    Queue,
    /// Checkpoint by data set.
    #[default]
    Results,
}

/// State of the tab.
#[derive(Debug, Default)]
pub struct Evaluate {
    /// The pane with the focus.
    pub pane: Pane,
    /// The queue.
    pub entries: Vec<Entry>,
    /// All results, the newest first.
    pub outcomes: Vec<Outcome>,
    /// They as a table.
    pub table: Table,
    /// How its rows stand.
    pub sort: Sort,
    /// Whether they were looked at once.
    pub seen: bool,
    /// When a look was asked for last: seconds since the Unix epoch.
    pub looked: f64,
    /// Whether a look is on its way.
    pub looking: bool,
    /// The chosen item of the queue.
    pub item: usize,
    /// The chosen row of the table.
    pub row: usize,
    /// The chosen column of the table.
    pub column: usize,
    /// What the form was left with.
    pub draft: Option<EvaluationSettings>,
    /// The opened result.
    pub view: Option<View>,
    /// Prompts that are being edited, of the opened result.
    pub prompts: Option<Prompts>,
}

impl Evaluate {
    /// Makes the table anew.
    pub fn tabulate(&mut self) {
        self.table = Table::of(&self.outcomes, self.sort);
        self.row = self.row.min(self.table.rows.len().saturating_sub(1));
        self.column = self.column.min(self.table.columns.len().saturating_sub(1));
        self.item = self.item.min(self.entries.len().saturating_sub(1));
    }

    /// The chosen item of the queue.
    pub fn chosen_item(&self) -> Option<&Entry> {
        self.entries.get(self.item.min(self.entries.len().saturating_sub(1)))
    }

    /// The result of the chosen cell.
    pub fn chosen_outcome(&self) -> Option<&Outcome> {
        self.outcomes.get(self.table.cell(self.row, self.column)?.outcome)
    }

    /// Whether a template is typed.
    pub fn is_typing(&self) -> bool {
        self.prompts.as_ref().is_some_and(|prompts| prompts.typing.is_some())
    }
}

/// A popup of the tab.
#[derive(Debug)]
pub enum Popup {
    /// A new evaluation.
    Form(Form),
    /// What an item of the queue said.
    Log { id: u64, lines: Vec<String>, scroll: usize },
    /// The file to write results to.
    Export { input: Input },
}

/// An effect of the tab.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Look at the queue and at the results.
    Look { root: PathBuf },
    /// Look at what a form names.
    Check { root: PathBuf, generation: u64, settings: EvaluationSettings },
    /// Add to the queue.
    Add { root: PathBuf, settings: EvaluationSettings },
    /// End an item of the queue.
    Cancel { root: PathBuf, id: u64 },
    /// Take an item that is over out of the list.
    Remove { root: PathBuf, id: u64 },
    /// Read what an item said.
    Log { root: PathBuf, id: u64 },
    /// Read a result.
    Open { folder: PathBuf },
    /// Write results to a file.
    Export { outcomes: Vec<Outcome>, file: PathBuf },
}

/// What came of an effect.
#[derive(Debug)]
pub enum News {
    /// The queue and the results.
    Seen { entries: Vec<Entry>, outcomes: Vec<Outcome> },
    /// What was seen of a form, of the check with this number.
    Checked { generation: u64, check: Check },
    /// Something is done, or why not; look again.
    Done(Result<String, String>),
    /// What an item said.
    Log { id: u64, lines: Vec<String> },
    /// A result.
    Opened(Result<Box<Opened>, String>),
}
