//! State of the Evaluate tab: the queue, the results, the form of a new evaluation, an opened result, edited prompts.

mod form;
mod prompts;

use super::picture;
use crate::evaluations::check::Check;
use crate::evaluations::opened::Opened;
use crate::evaluations::queue::Entry;
use crate::evaluations::results::{Outcome, Sort, Table};
use run::settings::EvaluationSettings;
use std::path::PathBuf;
use tui_input::Input;

pub use form::Form;
pub use prompts::{Prompts, Scope, Stand};

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

/// A part of an opened result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Classes with their bars.
    #[default]
    Classes,
    /// What is taken for what.
    Pairs,
    /// Pictures whose class did not come first.
    Wrong,
}

impl Part {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Classes, Self::Pairs, Self::Wrong];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Pairs => "confused pairs",
            Self::Wrong => "wrong pictures",
        }
    }
}

/// An opened result as it is looked at.
#[derive(Debug)]
pub struct View {
    /// The result.
    pub opened: Box<Opened>,
    /// The part with the focus.
    pub part: Part,
    /// The chosen row of each part.
    pub selected: [usize; 3],
    /// Classes in the order of the screen.
    pub order: Vec<usize>,
    /// Whether classes stand by name instead of the worst first.
    pub by_name: bool,
    /// The picture as it can be drawn.
    pub shown: Option<picture::Loaded>,
    /// What was asked for last.
    pub wanted: Option<picture::Wanted>,
}

impl View {
    /// The worst classes first.
    pub fn new(opened: Box<Opened>) -> Self {
        let mut view = Self {
            opened,
            part: Part::default(),
            selected: [0; 3],
            order: Vec::new(),
            by_name: false,
            shown: None,
            wanted: None,
        };
        view.sort();
        view
    }

    /// Puts the classes in order.
    pub fn sort(&mut self) {
        let classes = &self.opened.classes;
        let mut order: Vec<usize> = (0..classes.len()).collect();
        if self.by_name {
            order.sort_by(|a, b| classes[*a].name.cmp(&classes[*b].name));
        } else {
            order.sort_by(|a, b| classes[*a].top1.total_cmp(&classes[*b].top1));
        }
        self.order = order;
    }

    /// Rows of a part.
    pub fn rows(&self, part: Part) -> usize {
        match part {
            Part::Classes => self.order.len(),
            Part::Pairs => self.opened.pairs.len(),
            Part::Wrong => self.opened.wrong.len(),
        }
    }

    /// The chosen row of a part.
    pub fn chosen(&self, part: Part) -> usize {
        let at = self.selected.get(part as usize).copied().unwrap_or(0);
        at.min(self.rows(part).saturating_sub(1))
    }

    /// The class that the chosen row is about.
    pub fn class(&self) -> Option<u32> {
        let named = |name: &str| self.opened.classes.iter().position(|c| c.name == name);
        let class = match self.part {
            Part::Classes => self.order.get(self.chosen(Part::Classes)).copied(),
            Part::Pairs => self.opened.pairs.get(self.chosen(Part::Pairs)).and_then(|p| named(&p.class)),
            Part::Wrong => self.opened.wrong.get(self.chosen(Part::Wrong)).map(|w| w.class as usize),
        };
        class.and_then(|class| u32::try_from(class).ok())
    }

    /// The picture to show: the chosen wrong one, or the first wrong one of the chosen class or pair.
    pub fn picture(&self) -> Option<&crate::evaluations::opened::Wrong> {
        let wrong = &self.opened.wrong;
        match self.part {
            Part::Wrong => wrong.get(self.chosen(Part::Wrong)),
            Part::Classes => {
                let class = self.class()?;
                wrong.iter().find(|w| w.class == class)
            }
            Part::Pairs => {
                let pair = self.opened.pairs.get(self.chosen(Part::Pairs))?;
                wrong.iter().find(|w| {
                    let first = w.top.first().map_or("?", |(class, _)| self.opened.class(*class));
                    self.opened.class(w.class) == pair.class && first == pair.taken_for
                })
            }
        }
    }
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

    /// Whether keys are typed into a line of the tab.
    pub fn is_typing(&self) -> bool {
        self.prompts.as_ref().is_some_and(|p| p.typing.is_some())
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
