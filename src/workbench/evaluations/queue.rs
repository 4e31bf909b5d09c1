//! The queue of evaluations: `evaluations/queue/` below the folder of runs.
//!
//! An item is a folder `<number>/`: `item.json` (what is asked; it is there whole or not at all), `state.json` (where it
//! is; written by the runner alone), `progress.json` (written by the evaluation), `log` (what it said), and `cancel`, an
//! empty file by which anybody asks for its end. Whoever adds an item makes sure that a runner lives
//! ([`super::runner`]); the lock says whether one does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use run::dir::RunDir;
use run::lock::{Lock, LockError};
use run::settings::EvaluationSettings;
use serde::{Deserialize, Serialize};

use super::progress::Progress;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its number; counts from 1.
    pub id: u64,
    /// When it was asked for: seconds since the Unix epoch.
    pub asked: f64,
    /// Where it was asked for: relative paths are meant from there.
    pub from: PathBuf,
    /// What to evaluate.
    pub settings: EvaluationSettings,
}

/// Where an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// At work; interrupted when no runner lives.
    Running,
    /// There is a result.
    Done,
    /// There is none.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl Phase {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// What the runner says of an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// Since when: seconds since the Unix epoch.
    pub since: f64,
    /// How often it was begun.
    pub attempts: u32,
    /// Its last words, where it failed.
    pub message: Option<String>,
    /// The folder with its result.
    pub folder: Option<PathBuf>,
}

/// An item with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What is asked.
    pub item: Item,
    /// Where it is.
    pub state: State,
    /// How far it is, while it is at work.
    pub progress: Option<Progress>,
    /// Whether its end was asked for.
    pub cancelling: bool,
}

/// The queue below one folder of runs.
#[derive(Clone, Debug)]
pub struct Queue {
    folder: PathBuf,
}

impl Queue {
    /// The queue below `root`, which need not exist.
    pub fn of(root: &Path) -> Self {
        Self { folder: super::folder(root).join("queue") }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An item's folder.
    pub fn place(&self, id: u64) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// What an item said.
    pub fn log(&self, id: u64) -> PathBuf {
        self.place(id).join("log")
    }

    /// The file that tells how far an item is.
    pub fn progress(&self, id: u64) -> PathBuf {
        self.place(id).join("progress.json")
    }

    /// Adds an evaluation; gives its number.
    ///
    /// # Errors
    /// Where it could not be written, and why.
    pub fn add(&self, settings: &EvaluationSettings, from: &Path) -> Result<u64, String> {
        let io = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        let mut id = self.ids().last().copied().unwrap_or(0) + 1;
        loop {
            // Its folder is made by one caller only; without item.json it is no item yet.
            match std::fs::create_dir(self.place(id)) {
                Ok(()) => break,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => id += 1,
                Err(e) => return Err(io(e)),
            }
        }
        let item = Item { id, asked: run::now(), from: from.to_owned(), settings: settings.clone() };
        let text = serde_json::to_vec_pretty(&item).map_err(|e| e.to_string())?;
        run::dir::replace_file(&self.place(id).join("item.json"), &text).map_err(io)?;
        Ok(id)
    }

    /// Everything in it, the oldest first; items that cannot be read are passed over.
    pub fn entries(&self) -> Vec<Entry> {
        self.ids().into_iter().filter_map(|id| self.entry(id)).collect()
    }

    /// One item.
    pub fn entry(&self, id: u64) -> Option<Entry> {
        let place = self.place(id);
        let item: Item = serde_json::from_slice(&std::fs::read(place.join("item.json")).ok()?).ok()?;
        let state = std::fs::read(place.join("state.json")).ok();
        let state: State = state.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let progress = (state.phase == Phase::Running).then(|| Progress::read(&self.progress(id))).flatten();
        let cancelling = !state.phase.is_over() && place.join("cancel").exists();
        Some(Entry { item, state, progress, cancelling })
    }

    /// Asks for an item's end. One that is over does not mind.
    ///
    /// # Errors
    /// There is no such item, or what the system said.
    pub fn cancel(&self, id: u64) -> Result<(), String> {
        if self.entry(id).is_none() {
            return Err(format!("the queue has no item {id}"));
        }
        let place = self.place(id).join("cancel");
        std::fs::write(&place, "").map_err(|e| format!("{}: {e}", place.display()))
    }

    /// Takes an item that is over out of the list; its result stays.
    ///
    /// # Errors
    /// It is not over, or what the system said.
    pub fn remove(&self, id: u64) -> Result<(), String> {
        match self.entry(id) {
            Some(entry) if entry.state.phase.is_over() => {
                let place = self.place(id);
                std::fs::remove_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))
            }
            Some(_) => Err(format!("item {id} is not over: cancel it first")),
            None => Err(format!("the queue has no item {id}")),
        }
    }

    /// The runner's word on an item.
    pub(super) fn set(&self, id: u64, state: &State) -> Result<(), String> {
        let place = self.place(id).join("state.json");
        let text = serde_json::to_vec(state).map_err(|e| e.to_string())?;
        run::dir::replace_file(&place, &text).map_err(|e| format!("{}: {e}", place.display()))
    }

    /// Becomes the one runner.
    pub(super) fn lock(&self, patience: Duration) -> Result<Lock, LockError> {
        Lock::take(&RunDir::at(&self.folder), patience)
    }

    /// Whether a runner lives.
    pub fn is_running(&self) -> bool {
        run::lock::is_taken(&RunDir::at(&self.folder))
    }

    /// Whether there is work and nobody does it.
    pub fn is_stuck(&self) -> bool {
        self.entries().iter().any(|e| !e.state.phase.is_over()) && !self.is_running()
    }

    fn ids(&self) -> Vec<u64> {
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut ids: Vec<u64> = names.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_added_cancelled_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let queue = Queue::of(root.path());
        assert!(queue.entries().is_empty() && !queue.is_stuck());
        let settings = EvaluationSettings { task: "caption".into(), ..EvaluationSettings::default() };
        assert_eq!(queue.add(&settings, Path::new("/here")), Ok(1));
        assert_eq!(queue.add(&EvaluationSettings::default(), Path::new("/here")), Ok(2));
        // What somebody is still writing, and rubbish, are no items.
        std::fs::create_dir(queue.place(3)).unwrap();
        std::fs::create_dir_all(queue.folder().join("x")).unwrap();
        let entries = queue.entries();
        assert_eq!(entries.iter().map(|e| e.item.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((&entries[0].item.settings, entries[0].state.phase), (&settings, Phase::Waiting));
        assert!(queue.is_stuck());
        assert!(queue.remove(1).unwrap_err().contains("cancel it first"));
        queue.cancel(1).unwrap();
        assert!(queue.entry(1).unwrap().cancelling);
        queue.set(1, &State { phase: Phase::Cancelled, ..State::default() }).unwrap();
        queue.remove(1).unwrap();
        assert!(queue.entry(1).is_none() && queue.cancel(1).is_err());
        let lock = queue.lock(Duration::ZERO).unwrap();
        assert!(!queue.is_stuck() && queue.lock(Duration::ZERO).is_err());
        drop(lock);
        // Numbers are never given twice while a later one stands.
        assert_eq!(queue.add(&settings, Path::new("/")), Ok(4));
    }
}
