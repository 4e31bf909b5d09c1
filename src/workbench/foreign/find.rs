//! Finds runs below a folder: our own, other programs'.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::tensorboard::is_event_file;

/// How deep runs are looked for, and in how many folders at most.
const DEPTH: usize = 8;
const FOLDERS: usize = 20_000;

/// Names in a folder; none where it cannot be read.
fn names(folder: &Path) -> Vec<(String, bool)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|e| {
        let kind = e.file_type().ok()?;
        Some((e.file_name().into_string().ok()?, kind.is_dir()))
    });
    named.collect()
}

fn is_open_clip(names: &[(String, bool)]) -> bool {
    names.iter().any(|(n, dir)| !dir && n == "out.log")
}

fn has_events(names: &[(String, bool)]) -> bool {
    names.iter().any(|(n, dir)| !dir && is_event_file(n))
}

fn is_own(folder: &Path) -> bool {
    folder.join("config.toml").is_file() && folder.join("events.jsonl").is_file()
}

/// Whether the folder is a run of another program.
pub fn is_foreign(folder: &Path) -> bool {
    if is_own(folder) {
        return false;
    }
    let names = names(folder);
    is_open_clip(&names) || has_events(&names)
}

/// The folders of all runs at and below these: our own ones and other programs', each once, by path.
pub fn find(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left: Vec<(PathBuf, usize)> =
        folders.iter().map(|f| (f.canonicalize().unwrap_or_else(|_| f.clone()), 0)).collect();
    let mut seen = 0;
    while let Some((folder, depth)) = left.pop() {
        seen += 1;
        if seen > FOLDERS {
            break;
        }
        if is_own(&folder) {
            found.insert(folder);
            continue;
        }
        let names = names(&folder);
        let open_clip = is_open_clip(&names);
        if open_clip || has_events(&names) {
            found.insert(folder.clone());
        }
        // What lies below an open_clip run is part of it.
        if !open_clip && depth < DEPTH {
            let below = names.into_iter().filter(|(n, dir)| *dir && !n.starts_with('.'));
            left.extend(below.map(|(n, _)| (folder.join(n), depth + 1)));
        }
    }
    found.into_iter().collect()
}
