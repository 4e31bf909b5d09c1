//! Checkpoints that are complete or absent.
//!
//! A checkpoint is written into a temporary folder, every file synced, a manifest with sizes and checksums written
//! last, then the folder is renamed to `step-<n>` and `latest` pointed at it. Whatever dies on the way leaves at most
//! a temporary folder, which the next run removes.

use crate::dir::{DirError, RunDir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

const MANIFEST: &str = "manifest.json";
const TEMPORARY: &str = ".tmp-";

/// What a complete checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version.
    pub v: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Held-out loss at that step, when it was measured.
    pub held_out_loss: Option<f64>,
    /// Every file but the manifest.
    pub files: BTreeMap<String, FileEntry>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its size.
    pub bytes: u64,
    /// XXH3 (64 bit) of its content, hexadecimal.
    pub xxh3: String,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|f| f.bytes).sum()
    }
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// There is none.
    #[error("run '{0}' has no complete checkpoint to go on from; start a new run instead")]
    None(String),
    /// A file is absent, or not what the manifest says.
    #[error("{}: damaged checkpoint: {what}", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The disk is (nearly) full.
    #[error("{}: {need} bytes are needed for a checkpoint, {free} are free: free some space", path.display())]
    Full {
        /// The checkpoints' folder.
        path: PathBuf,
        /// Bytes needed.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// The system refused.
    #[error(transparent)]
    Dir(#[from] DirError),
}

/// A checkpoint being written: fill [`Draft::path`], then [`Draft::commit`]. Dropped before, it vanishes.
#[derive(Debug)]
pub struct Draft {
    run: RunDir,
    step: u64,
    path: PathBuf,
}

impl Draft {
    /// Begins a checkpoint of about `need` bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Full`] when the disk has less than that and a reserve, or what the system said.
    pub fn begin(run: &RunDir, step: u64, need: u64) -> Result<Self, CheckpointError> {
        let parent = run.checkpoints();
        std::fs::create_dir_all(&parent).map_err(DirError::io(&parent, "cannot be made"))?;
        let free =
            crate::dir::free_bytes(&parent).map_err(DirError::io(&parent, "free space cannot be told"))?;
        // Events and logs must go on after it.
        let need = need.saturating_add(16 << 20);
        if free < need {
            return Err(CheckpointError::Full { path: parent, need, free });
        }
        let path = parent.join(format!("{TEMPORARY}step-{step}"));
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(DirError::io(&path, "cannot be removed"))?;
        }
        std::fs::create_dir(&path).map_err(DirError::io(&path, "cannot be made"))?;
        Ok(Self { run: run.clone(), step, path })
    }

    /// Where the files belong.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the checkpoint real and `latest`; says where it is and what it holds.
    ///
    /// # Errors
    /// What the system said; there is no checkpoint then.
    pub fn commit(self, held_out_loss: Option<f64>) -> Result<(PathBuf, Manifest), CheckpointError> {
        let mut files = BTreeMap::new();
        let read = DirError::io(&self.path, "cannot be read");
        for entry in std::fs::read_dir(&self.path).map_err(read)?.flatten() {
            let path = entry.path();
            let (bytes, xxh3) = digest(&path, true).map_err(DirError::io(&path, "cannot be synced"))?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), FileEntry { bytes, xxh3 });
        }
        let manifest = Manifest { v: 1, step: self.step, held_out_loss, files };
        let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from);
        let file = self.path.join(MANIFEST);
        text.and_then(|t| crate::dir::replace_file(&file, &t))
            .map_err(DirError::io(&file, "cannot be written"))?;
        let parent = self.run.checkpoints();
        let home = folder(&self.run, self.step);
        let rename = || -> io::Result<()> {
            sync_dir(&self.path)?;
            put_in_place(&self.path, &home, &parent.join(format!("{TEMPORARY}old-{}", self.step)))?;
            sync_dir(&parent)?;
            let link = parent.join(format!("{TEMPORARY}latest"));
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(format!("step-{}", self.step), &link)?;
            std::fs::rename(&link, parent.join("latest"))?;
            sync_dir(&parent)
        };
        rename().map_err(DirError::io(&home, "the checkpoint cannot be put in place"))?;
        sweep(&self.run);
        Ok((home, manifest))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.path.exists() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Renames a whole checkpoint to its own name. Where the same step was saved before (a `save` twice), the two change
/// places in one step, so that there is no moment without either; file systems that cannot do that move the old one
/// aside first.
fn put_in_place(new: &Path, home: &Path, aside: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if !home.exists() {
        return std::fs::rename(new, home);
    }
    if renameat_with(CWD, new, CWD, home, RenameFlags::EXCHANGE).is_err() {
        std::fs::rename(home, aside)?;
        std::fs::rename(new, home)?;
    }
    Ok(())
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn digest(path: &Path, sync: bool) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Xxh3::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
    if sync {
        file.sync_all()?;
    }
    Ok((bytes, format!("{:016x}", hash.digest())))
}

/// The folder of a step's checkpoint.
pub fn folder(run: &RunDir, step: u64) -> PathBuf {
    run.checkpoints().join(format!("step-{step}"))
}

/// Reads a checkpoint's manifest; cheap, the files are not looked at.
///
/// # Errors
/// [`CheckpointError::Damaged`] when there is none that can be read.
pub fn manifest(path: &Path) -> Result<Manifest, CheckpointError> {
    let damaged = |what: String| CheckpointError::Damaged { path: path.to_owned(), what };
    let bytes = std::fs::read(path.join(MANIFEST)).map_err(|e| damaged(format!("its manifest: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(format!("its manifest: {e}")))
}

/// Reads every file of a checkpoint and compares it with the manifest.
///
/// # Errors
/// [`CheckpointError::Damaged`], naming the first file that differs.
pub fn verify(path: &Path) -> Result<Manifest, CheckpointError> {
    let manifest = manifest(path)?;
    for (name, entry) in &manifest.files {
        let file = path.join(name);
        let damaged = |what: String| CheckpointError::Damaged { path: file.clone(), what };
        let (bytes, xxh3) = digest(&file, false).map_err(|e| damaged(e.to_string()))?;
        if bytes != entry.bytes {
            return Err(damaged(format!("{bytes} bytes instead of {}", entry.bytes)));
        }
        if xxh3 != entry.xxh3 {
            return Err(damaged("its checksum differs from the manifest's".to_owned()));
        }
    }
    Ok(manifest)
}

/// Steps that have a checkpoint, ascending.
pub fn steps(run: &RunDir) -> Vec<u64> {
    let entries = std::fs::read_dir(run.checkpoints()).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = entries
        .filter(|e| e.path().join(MANIFEST).is_file())
        .filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// The newest checkpoint whose files are all what its manifest says, and what was wrong with newer ones.
///
/// # Errors
/// [`CheckpointError::None`] when there is no sound one.
pub fn newest(run: &RunDir) -> Result<(PathBuf, Manifest, Vec<CheckpointError>), CheckpointError> {
    let mut damaged = Vec::new();
    for step in steps(run).into_iter().rev() {
        let path = folder(run, step);
        match verify(&path) {
            Ok(manifest) => return Ok((path, manifest, damaged)),
            Err(e) => damaged.push(e),
        }
    }
    Err(damaged.into_iter().next().unwrap_or_else(|| CheckpointError::None(run.name())))
}

/// The step with the lowest held-out loss among the checkpoints.
pub fn best(run: &RunDir) -> Option<u64> {
    let loss = |step: u64| {
        manifest(&folder(run, step)).ok()?.held_out_loss.filter(|l| l.is_finite()).map(|l| (l, step))
    };
    steps(run).into_iter().filter_map(loss).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step)
}

/// Removes checkpoints beyond the `keep` newest ones, but never the best; says which steps went.
pub fn prune(run: &RunDir, keep: usize) -> Vec<u64> {
    let steps = steps(run);
    let best = best(run);
    let surplus = steps.len().saturating_sub(keep.max(1));
    let gone: Vec<u64> = steps[..surplus].iter().copied().filter(|s| Some(*s) != best).collect();
    for step in &gone {
        // Renamed first: a removal that is cut short leaves no half checkpoint under a good name.
        let hidden = run.checkpoints().join(format!("{TEMPORARY}gone-{step}"));
        if std::fs::rename(folder(run, *step), &hidden).is_ok() {
            let _ = std::fs::remove_dir_all(&hidden);
        }
    }
    gone
}

/// Removes what an interrupted save left behind. Only the run's owner may call it.
pub fn sweep(run: &RunDir) {
    for entry in std::fs::read_dir(run.checkpoints()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(run: &RunDir, step: u64, loss: Option<f64>) -> PathBuf {
        let draft = Draft::begin(run, step, 0).unwrap();
        std::fs::write(draft.path().join("model.safetensors"), format!("weights {step}")).unwrap();
        std::fs::write(draft.path().join("trainer.json"), "{}").unwrap();
        draft.commit(loss).unwrap().0
    }

    fn run() -> (tempfile::TempDir, RunDir) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        (root, run)
    }

    #[test]
    fn committed_or_absent() {
        let (_root, run) = run();
        assert!(matches!(newest(&run), Err(CheckpointError::None(_))));
        drop(Draft::begin(&run, 1, 0).unwrap());
        assert_eq!(std::fs::read_dir(run.checkpoints()).unwrap().count(), 0);
        let path = save(&run, 5, None);
        assert_eq!(run.checkpoints().join("latest").canonicalize().unwrap(), path.canonicalize().unwrap());
        assert_eq!(newest(&run).unwrap().1.step, 5);
        save(&run, 5, None);
        assert_eq!(steps(&run), [5]);
    }

    #[test]
    fn damage_is_found_and_an_older_one_taken() {
        let (_root, run) = run();
        save(&run, 1, None);
        let second = save(&run, 2, None);
        std::fs::write(second.join("model.safetensors"), "weights X").unwrap();
        let (path, manifest, damaged) = newest(&run).unwrap();
        assert_eq!((manifest.step, damaged.len()), (1, 1));
        assert!(damaged[0].to_string().contains("checksum"), "{}", damaged[0]);
        std::fs::remove_file(path.join("trainer.json")).unwrap();
        assert!(newest(&run).is_err());
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let (_root, run) = run();
        for (step, loss) in [(1, Some(0.1)), (2, Some(0.5)), (3, Some(f64::NAN)), (4, None), (5, Some(0.3))] {
            save(&run, step, loss);
        }
        assert_eq!(best(&run), Some(1));
        assert_eq!(prune(&run, 2), [2, 3]);
        assert_eq!(steps(&run), [1, 4, 5]);
    }

    #[test]
    fn too_little_space_is_said_before() {
        let (_root, run) = run();
        assert!(matches!(Draft::begin(&run, 1, u64::MAX), Err(CheckpointError::Full { .. })));
    }
}
