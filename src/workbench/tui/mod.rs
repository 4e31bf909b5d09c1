//! The workbench: a terminal that watches and steers runs, and owns none of them.
//!
//! The Elm shape: [`update::update`] folds a message into the [`model::Model`] and names effects, [`view::view`] draws
//! the model, [`effects`] does the work and answers with messages. [`app`] is the one loop that joins them. Everything
//! on the screen is read from run directories; requests go through the runs' control sockets.

pub mod abilities;
pub mod action;
mod alerts;
mod app;
mod ascii;
mod captions;
pub mod chart;
mod datasets;
mod devices;
mod effects;
mod evaluate;
pub mod format;
pub mod key;
mod layout;
mod memory;
mod message;
mod model;
mod notes;
pub mod options;
pub mod picture;
mod popup;
mod regions;
mod runs_query;
pub mod settings_form;
mod tabs;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod update;
mod view;
mod what_if;

pub use picture::VARIABLE as PICTURES_VARIABLE;
pub use view::SMALLEST;

use run::dir::RunDir;
use std::io::IsTerminal;
use std::path::PathBuf;
use thiserror::Error;

/// What the workbench opens with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The folder of runs.
    pub root: PathBuf,
    /// The run to watch; without one the newest live run is opened, else the list of runs.
    pub run: Option<RunDir>,
    /// A dataset to browse: the data tab is opened on it.
    pub data: Option<Browse>,
    /// Folders whose runs are listed instead of those of `root`: TensorBoard's event files, open_clip's logs, our own.
    pub opened: Vec<PathBuf>,
    /// Whether nothing may be asked of runs, changed or deleted.
    pub read_only: bool,
}

/// A dataset to browse.
#[derive(Clone, Debug)]
pub struct Browse {
    /// An annotation file, shards, a folder.
    pub path: PathBuf,
    /// Which split of a folder.
    pub split: data::Split,
    /// How it is read.
    pub read: data::ReadOptions,
    /// A tokenizer.json.
    pub tokenizer: Option<PathBuf>,
    /// Tokens that the model reads.
    pub context: usize,
}

/// Why the workbench could not be opened or had to end.
#[derive(Debug, Error)]
pub enum TuiError {
    /// Not a terminal.
    #[error(
        "the workbench needs a terminal; without one: cocaptain runs, stop, set and the rest do the same"
    )]
    NoTerminal,
    /// The terminal does not do what it should.
    #[error("the terminal failed: {0}")]
    Terminal(std::io::Error),
}

/// Opens the workbench and returns when the person leaves it; runs go on.
///
/// # Errors
/// [`TuiError`]; the terminal is as before then.
pub fn open(options: OpenOptions) -> Result<(), TuiError> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(TuiError::NoTerminal);
    }
    memory::one_heap();
    let model = app::run(options)?;
    if let Some(watched) = model.watched.filter(model::Watched::is_alive) {
        let name = watched.run.name();
        println!("{name} goes on in the background. Watch it again: cocaptain attach {name}");
    }
    Ok(())
}
