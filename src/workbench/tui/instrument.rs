//! The instrument's popups and effects: runs on the charts, their differences, labels of runs, exports, the layout.

use super::layout::Layout;
use crate::labels::Labels;
use run::dir::RunDir;
use run::history::History;
use std::path::PathBuf;
use tui_input::Input;

/// A popup of the instrument.
#[derive(Debug)]
pub enum Popup {
    /// The runs on the charts.
    Compared { selected: usize },
    /// Settings in which they differ.
    Differences { scroll: usize },
    /// Tags of a run.
    Tags { run: RunDir, input: Input },
    /// The line on a run.
    Note { run: RunDir, input: Input },
    /// Whether to delete a run.
    Delete { run: RunDir, label: String },
    /// A folder to open.
    Open { input: Input },
    /// Where the curves are written to.
    Export { input: Input },
}

impl Popup {
    /// The line of text that it has.
    pub fn input(&mut self) -> Option<&mut Input> {
        match self {
            Self::Tags { input, .. }
            | Self::Note { input, .. }
            | Self::Open { input }
            | Self::Export { input } => Some(input),
            _ => None,
        }
    }
}

/// An effect of the instrument.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write on a run; nothing is said when it went well.
    Label { run: RunDir, labels: Labels },
    /// Delete a run.
    Delete { run: RunDir },
    /// Keep the layout.
    KeepLayout(Layout),
    /// Keep what was folded of a run's events up to this byte.
    KeepHistory { run: RunDir, history: Box<History>, position: u64 },
    /// Write curves: of these runs, with this view.
    Export { runs: Vec<(RunDir, String)>, options: Box<Export>, out: PathBuf },
    /// Listen to the mouse, or don't.
    Mouse(bool),
}

/// Which curves are written, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Their names; none for the usual ones.
    pub metrics: Vec<String>,
    /// What the x axis counts.
    pub axis: super::chart::Axis,
    /// Whether the axes are logarithmic.
    pub log: (bool, bool),
    /// Weight of the past in the smoothed line.
    pub smoothing: f64,
    /// Whether outliers are left out of the y range.
    pub robust: bool,
}
