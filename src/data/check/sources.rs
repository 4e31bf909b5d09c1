//! What is checked: an annotation file and the splits beside it, or all splits of a folder.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::notes::unreadable;
use crate::reader::{Format, ReadError, ReadOptions, Reader, Split, find, has_split};

/// A reader, and whether its findings are wanted; a sibling is only there to be compared with.
pub(super) type Source = (Box<dyn Reader>, bool);

/// The readers of what `path` names.
pub(super) fn of(path: &Path, options: &ReadOptions) -> Result<Vec<Source>, Box<Finding>> {
    let told = |error: ReadError| told(path, &error);
    if !path.is_dir() {
        let reader = find(path, Split::Train, options).map_err(told)?;
        let one_file = matches!(reader.format(), Format::Karpathy | Format::JsonLines | Format::Table);
        let mut sources = vec![(reader, true)];
        let siblings = siblings(path).into_iter().filter(|file| one_file && file.is_file());
        sources.extend(siblings.filter_map(|file| Some((find(&file, Split::Train, options).ok()?, false))));
        return Ok(sources);
    }
    let splits = [Split::Train, Split::Val, Split::Test];
    let mut there: Vec<Split> = splits.into_iter().filter(|split| has_split(path, *split)).collect();
    if there.is_empty() {
        there.push(Split::Train);
    }
    let mut sources: Vec<Source> = Vec::new();
    for split in there {
        let reader = find(path, split, options).map_err(told)?;
        // A file that stands for every split is one.
        if sources.iter().all(|(other, _)| other.path() != reader.path()) {
            sources.push((reader, true));
        }
    }
    Ok(sources)
}

/// A finding that says why something cannot be read.
fn told(path: &Path, error: &ReadError) -> Box<Finding> {
    match error {
        ReadError::Annotation { path, line, column, problem } => {
            let mut finding = unreadable(path, problem.clone());
            (finding.line, finding.column) = (*line, *column);
            finding
        }
        ReadError::Io { path, .. } => unreadable(path, error.problem()),
        other => unreadable(path, other.problem()),
    }
}

/// The files that hold the other splits, by their names.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let splits = ["train", "val", "test"];
    let Some(own) = splits.into_iter().find(|split| name.contains(split)) else { return Vec::new() };
    let at = name.rfind(own).unwrap_or(0);
    let (before, after) = (&name[..at], &name[at + own.len()..]);
    let others = splits.into_iter().filter(|split| *split != own);
    others.map(|split| path.with_file_name(format!("{before}{split}{after}"))).collect()
}
