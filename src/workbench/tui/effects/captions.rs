//! Folders, models to choose from, keeping captions.

use crate::captions::files::is_picture;
use crate::captions::keep::{Annotations, Keeper};
use crate::tui::captions::{Choice, Entry, Folder};
use run::dir::RunDir;
use std::path::{Path, PathBuf};

/// Checkpoints of a run that are offered.
const CHECKPOINTS: usize = 8;

/// Looks into a folder; a file's folder with the file selected.
///
/// # Errors
/// What the system said.
pub fn browse(path: &Path) -> Result<Folder, String> {
    let io = |e: std::io::Error| format!("{}: {e}", path.display());
    let whole = super::home(path).canonicalize().map_err(io)?;
    let (folder, select) = match (whole.is_dir(), whole.parent()) {
        (false, Some(parent)) => (parent.to_owned(), whole.file_name()),
        _ => (whole.clone(), None),
    };
    let mut entries: Vec<Entry> = std::fs::read_dir(&folder)
        .map_err(io)?
        .flatten()
        .filter_map(|entry| {
            let is_folder = entry.path().is_dir();
            // A name that is no text cannot be typed or kept either.
            let name = entry.file_name().into_string().ok()?;
            (is_folder || is_picture(Path::new(&name)) || Some(name.as_ref()) == select)
                .then_some(Entry { name, folder: is_folder })
        })
        .collect();
    entries.sort_by(|a, b| (!a.folder, &a.name).cmp(&(!b.folder, &b.name)));
    let select = select.map(|name| name.to_string_lossy().into_owned());
    Ok(Folder { path: folder, entries, select })
}

/// The checkpoints of the runs there are: runs with the newest events first, newest checkpoints first.
pub fn models(root: &Path) -> Vec<Choice> {
    run::dir::list(root).iter().flat_map(checkpoints).collect()
}

fn checkpoints(run: &RunDir) -> Vec<Choice> {
    let steps = run::checkpoint::steps(run).into_iter().rev().take(CHECKPOINTS);
    let choice = |step: u64| Choice {
        label: format!("{}  step {step}", run.name()),
        model: run::checkpoint::folder(run, step).to_string_lossy().into_owned(),
    };
    steps.map(choice).collect()
}

/// Keeps captions; says where.
///
/// # Errors
/// Where it could not be written, and why.
pub fn keep(file: Option<&Path>, captions: &[(PathBuf, Vec<String>)]) -> Result<String, String> {
    let mut keeper = match file {
        Some(file) => Keeper::Annotations(Annotations::open(file)?),
        None => Keeper::Sidecars,
    };
    for (picture, captions) in captions {
        keeper.keep(picture, captions)?;
    }
    keeper.finish()?;
    let beside = captions.first().map(|(picture, _)| crate::captions::keep::sidecar(picture));
    let place = file.map(Path::to_owned).or(beside).unwrap_or_default();
    Ok(format!(
        "{} kept in {}",
        if captions.len() == 1 { "caption".to_owned() } else { format!("{} captions", captions.len()) },
        place.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_first_and_a_file_selects_itself() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("z")).unwrap();
        for name in ["b.jpg", "a.png", "no.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let folder = browse(&dir.path().join("b.jpg")).unwrap();
        let names: Vec<&str> = folder.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!((names, folder.select.as_deref()), (vec!["z", "a.png", "b.jpg"], Some("b.jpg")));
        assert!(browse(&dir.path().join("gone")).unwrap_err().contains("gone"));
    }
}
