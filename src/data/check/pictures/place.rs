//! Where a picture named by annotations lies: its file, or why there is none.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::finding::Kind;
use super::spot::Stamp;
use crate::reader::is_picture;

/// Names in a folder by their lower-case form.
type Listing = Arc<HashMap<String, String>>;

/// Finds pictures; remembers the folders that it had to list.
#[derive(Default)]
pub(super) struct Finder {
    listings: Mutex<HashMap<PathBuf, Listing>>,
}

impl Finder {
    /// Looks for picture `name` in `roots`; an absolute one is right where `anywhere`.
    pub fn find(
        &self,
        name: &str,
        roots: &[PathBuf],
        anywhere: bool,
    ) -> Result<(PathBuf, Stamp), (Kind, String)> {
        if name.contains('\0') {
            let message = "the path holds a NUL byte: no file can have that name".into();
            return Err((Kind::MissingFile, message));
        }
        if let Some(message) = escapes(name).filter(|_| !(anywhere && Path::new(name).is_absolute())) {
            return Err((Kind::PathEscape, message));
        }
        let mut denied = None;
        for root in roots {
            let path = root.join(name);
            match std::fs::metadata(&path) {
                Ok(about) if about.is_file() => return Ok((path, Stamp::of(&about))),
                Ok(_) => denied = denied.or_else(|| Some(format!("{} is no plain file", path.display()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // A link that leads to itself, a name too long, a folder closed to us.
                Err(error) => denied = denied.or_else(|| Some(format!("{}: {error}", path.display()))),
            }
        }
        Err(match (denied, self.other_case(name, roots)) {
            (_, Some(real)) => (
                Kind::CaseMismatch,
                format!("the file is called '{real}': write it so, upper and lower case alike"),
            ),
            (Some(message), None) => (Kind::Unreadable, message),
            (None, None) => {
                let looked: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
                let message = format!(
                    "no picture '{name}' in {}: correct the path or give --image_root",
                    looked.join(", ")
                );
                (Kind::MissingFile, message)
            }
        })
    }

    /// The name that differs from `name` in case alone, if there is one.
    fn other_case(&self, name: &str, roots: &[PathBuf]) -> Option<String> {
        roots.iter().find_map(|root| {
            let mut real = PathBuf::new();
            for part in Path::new(name).components() {
                let Component::Normal(part) = part else { continue };
                let listing = self.listing(&root.join(&real));
                real.push(listing.get(&part.to_str()?.to_lowercase())?);
            }
            root.join(&real).is_file().then(|| real.to_string_lossy().into_owned())
        })
    }

    fn listing(&self, folder: &Path) -> Listing {
        let lock = || self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(folder) {
            return known.clone();
        }
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let listing: Listing = Arc::new(names.map(|name| (name.to_lowercase(), name)).collect());
        lock().insert(folder.to_path_buf(), listing.clone());
        listing
    }
}

/// Why a picture's path leaves its folder, if it does.
fn escapes(name: &str) -> Option<String> {
    if Path::new(name).is_absolute() || name.contains(":\\") {
        return Some(format!(
            "'{name}' is an absolute path: write it relative to the folder of the pictures"
        ));
    }
    let mut depth = 0i64;
    for part in Path::new(name).components() {
        depth += match part {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        };
        if depth < 0 {
            return Some(format!("'{name}' leaves the folder of the pictures: move the picture into it"));
        }
    }
    None
}

/// Pictures in `folders` that are not among `named`.
pub(super) fn unused(named: &BTreeSet<PathBuf>, folders: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_picture(&path) && !named.contains(&path) && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
