//! Where an evaluation is, told to whoever started it by a small file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The variable that names the file; without it nothing is told.
pub const VARIABLE: &str = "COCAPTAIN_PROGRESS";

/// The variable that says which process started it, and without which it is not to live.
pub const STARTED_BY: &str = "COCAPTAIN_STARTED_BY";

/// Shortest time between two words.
const INTERVAL: Duration = Duration::from_millis(500);

/// Where an evaluation is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// What is being counted: "classifier", "pictures" and so on; empty while the model is loaded.
    pub what: String,
    /// Done.
    pub done: u64,
    /// In all.
    pub total: u64,
    /// A second.
    pub rate: f64,
    /// Seconds left, once they can be told.
    pub left: Option<f64>,
    /// The folder that the evaluation keeps.
    pub folder: Option<PathBuf>,
}

impl Progress {
    /// Reads a file of progress; none when there is none that can be read.
    pub fn read(file: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        Some(Self {
            what: value.get("what").and_then(Value::as_str).unwrap_or_default().to_owned(),
            done: number("done"),
            total: number("total"),
            rate: value.get("rate").and_then(Value::as_f64).unwrap_or(0.0),
            left: value.get("left").and_then(Value::as_f64),
            folder: value.get("folder").and_then(Value::as_str).map(PathBuf::from),
        })
    }

    fn write(&self, file: &Path) {
        let value = json!({
            "what": self.what, "done": self.done, "total": self.total, "rate": self.rate, "left": self.left,
            "folder": self.folder,
        });
        // Not told is no harm: the result is what counts.
        let beside = file.with_extension("tmp");
        let _ = std::fs::write(&beside, value.to_string()).and_then(|()| std::fs::rename(&beside, file));
    }
}

static TOLD: Mutex<Option<(Progress, Option<Instant>)>> = Mutex::new(None);

/// Changes what is told, and tells it; at once where `now`, else when it is time.
pub fn tell(now: bool, change: impl FnOnce(&mut Progress)) {
    let Some(file) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let (progress, at) = told.get_or_insert_with(Default::default);
    change(progress);
    if now || at.is_none_or(|at| at.elapsed() >= INTERVAL) {
        *at = Some(Instant::now());
        progress.write(&file);
    }
}

/// Lets this process end with the one that started it, where one says so: a runner that was killed leaves nothing
/// behind that works on the same files as its successor.
///
/// # Errors
/// That process is gone already.
pub fn live_with_starter() -> Result<(), String> {
    let Some(starter) = std::env::var(STARTED_BY).ok().and_then(|pid| pid.parse::<i32>().ok()) else {
        return Ok(());
    };
    // Where the system refuses, the evaluation goes on to its end all the same.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent == starter { Ok(()) } else { Err("the queue's runner is gone".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("progress.json");
        assert_eq!(Progress::read(&file), None);
        let progress = Progress {
            what: "pictures".into(),
            done: 3,
            total: 9,
            rate: 1.5,
            left: Some(4.0),
            folder: Some("/x y".into()),
        };
        progress.write(&file);
        assert_eq!(Progress::read(&file), Some(progress));
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Progress::read(&file), None);
    }
}
