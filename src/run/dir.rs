//! Names and places of a run's files.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a run could not be found or made.
#[derive(Debug, Error)]
pub enum DirError {
    /// The name has characters that a run's name must not have.
    #[error("'{0}' is no name for a run: use letters, digits, '.', '_' and '-' (and not '.' first)")]
    Name(String),
    /// There is a run of that name already.
    #[error("{}: there is a run of this name already; choose another --name, or go on with it: cocaptain train --resume {}", .0.display(), .0.display())]
    Exists(PathBuf),
    /// There is no such run.
    #[error("there is no run '{name}' in {}; `cocaptain runs` lists them", places.join(", "))]
    Missing {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        places: Vec<String>,
    },
    /// The system refused.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl DirError {
    pub(crate) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}

/// Checks a run's name: `[A-Za-z0-9._-]+`, no leading dot.
///
/// # Errors
/// [`DirError::Name`].
pub fn check_name(name: &str) -> Result<(), DirError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(DirError::Name(name.to_owned()));
    }
    Ok(())
}

/// A run directory. The paths are where files belong, not a promise that they exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run directory at `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the directory of a new run, with its empty folders.
    ///
    /// # Errors
    /// A bad name, a run of that name, or what the system said.
    pub fn create(root: &Path, name: &str) -> Result<Self, DirError> {
        check_name(name)?;
        std::fs::create_dir_all(root).map_err(DirError::io(root, "the folder for runs cannot be made"))?;
        let root = root.canonicalize().map_err(DirError::io(root, "the folder for runs cannot be read"))?;
        let path = root.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(DirError::Exists(path)),
            Err(e) => return Err(DirError::io(&path, "the run directory cannot be made")(e)),
        }
        let dir = Self(path);
        for folder in [dir.logs(), dir.checkpoints()] {
            std::fs::create_dir_all(&folder).map_err(DirError::io(&folder, "cannot be made"))?;
        }
        Ok(dir)
    }

    /// Finds a run by path, or by name in `root` and then in the roots used before.
    ///
    /// # Errors
    /// [`DirError::Missing`], naming where it looked.
    pub fn find(run: &str, root: &Path) -> Result<Self, DirError> {
        let direct = Path::new(run);
        if direct.join("config.toml").is_file() {
            return Ok(Self(direct.canonicalize().unwrap_or_else(|_| direct.to_owned())));
        }
        let places = roots(root);
        for place in &places {
            let path = place.join(run);
            if check_name(run).is_ok() && path.join("config.toml").is_file() {
                return Ok(Self(path));
            }
        }
        let places = places.iter().map(|p| p.display().to_string()).collect();
        Err(DirError::Missing { name: run.to_owned(), places })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run's name.
    pub fn name(&self) -> String {
        self.0.file_name().map_or_else(|| self.0.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// The settings it really runs with.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The source of truth.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// Who supervises it.
    pub fn supervisor(&self) -> PathBuf {
        self.0.join("supervisor.json")
    }

    /// Held while any process of the run lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Link to the control socket.
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// Logs of supervisor and ranks.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// What fd 1 and 2 of a rank say.
    pub fn rank_log(&self, rank: u32) -> PathBuf {
        self.logs().join(format!("rank-{rank}.log"))
    }

    /// What the supervisor says.
    pub fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }

    /// Checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// TensorBoard's event files, where they are asked for.
    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tensorboard")
    }

    /// Captions of the held-out pictures at the run's end.
    pub fn predictions(&self) -> PathBuf {
        self.0.join("predictions.jsonl")
    }
}

/// Every run below `root` and the roots used before, newest events first.
pub fn list(root: &Path) -> Vec<RunDir> {
    let mut found: Vec<(std::time::SystemTime, RunDir)> = roots(root)
        .iter()
        .filter_map(|r| std::fs::read_dir(r).ok())
        .flat_map(|entries| entries.flatten().map(|e| RunDir(e.path())))
        .filter(|run| run.config().is_file())
        .map(|run| {
            let of = |p: PathBuf| std::fs::metadata(p).and_then(|m| m.modified()).ok();
            let changed = of(run.events()).or_else(|| of(run.config()));
            (changed.unwrap_or(std::time::UNIX_EPOCH), run)
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().map(|(_, run)| run).collect()
}

/// `root` first, then the roots that were used before and still exist.
pub fn roots(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.canonicalize().unwrap_or_else(|_| root.to_owned())];
    let known = remembered().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    for known in known.lines().map(PathBuf::from) {
        if known.is_dir() && !all.contains(&known) {
            all.push(known);
        }
    }
    all
}

/// Remembers a root, so that `runs` and `attach` find its runs from anywhere. Failing to is no error: it is a comfort.
pub fn remember(root: &Path) {
    let (Some(file), Ok(root)) = (remembered(), root.canonicalize()) else { return };
    let mut text = std::fs::read_to_string(&file).unwrap_or_default();
    let line = root.to_string_lossy().into_owned();
    if text.lines().any(|l| l == line) {
        return;
    }
    text += &line;
    text.push('\n');
    let _ = file.parent().map(std::fs::create_dir_all);
    let _ = replace_file(&file, text.as_bytes());
}

fn remembered() -> Option<PathBuf> {
    state_folder().map(|d| d.join("roots"))
}

/// The user's state folder: `$XDG_STATE_HOME/cocaptain`, else `~/.local/state/cocaptain`.
pub fn state_folder() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}

/// The user's cache folder: `$XDG_CACHE_HOME/cocaptain`, else `~/.cache/cocaptain`.
pub fn cache_folder() -> Option<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache")
}

/// The user's config folder: `$XDG_CONFIG_HOME/cocaptain`, else `~/.config/cocaptain`.
pub fn config_folder() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config")
}

fn xdg(variable: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |v: std::ffi::OsString| Some(PathBuf::from(v)).filter(|p| p.is_absolute());
    let base = std::env::var_os(variable)
        .and_then(absolute)
        .or_else(|| std::env::var_os("HOME").and_then(absolute).map(|home| home.join(fallback)))?;
    Some(base.join("cocaptain"))
}

/// Replaces a file in one step: written beside it, synced, renamed.
///
/// # Errors
/// What the system said; the old file is untouched then.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

/// Bytes that the file system of `path` still takes from this user.
///
/// # Errors
/// What the system said.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let s = rustix::fs::statvfs(path)?;
    Ok(s.f_bavail.saturating_mul(s.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(check_name("demo-1.a_b").is_ok());
        for bad in ["", "a/b", "..", ".a", "a b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn create_find_list() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        std::fs::write(run.config(), "").unwrap();
        assert!(matches!(RunDir::create(root.path(), "a"), Err(DirError::Exists(_))));
        assert_eq!(RunDir::find("a", root.path()).unwrap(), run);
        assert_eq!(RunDir::find(run.path().to_str().unwrap(), Path::new("/nowhere")).unwrap(), run);
        // A name that none of the user's own runs has: they are found from anywhere.
        let e = RunDir::find("no-such-run-9c41", root.path()).unwrap_err().to_string();
        assert!(e.contains("no run 'no-such-run-9c41'"), "{e}");
        assert!(list(root.path()).contains(&run));
    }
}
