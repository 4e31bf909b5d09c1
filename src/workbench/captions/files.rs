//! Files, folders and globs to pictures, in a stable order.

use std::path::{Path, PathBuf};

/// Endings of files that are taken for pictures in folders; a file that is named is taken whatever it is called.
const ENDINGS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Whether a file of a folder is taken for a picture, by its name.
pub fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e))
}

/// The pictures that the words name: files as they are, folders with all below them sorted by name, and patterns
/// with `*`, `?` and `[…]`. A picture that is named twice is taken once.
///
/// # Errors
/// The first word that names nothing.
pub fn expand(words: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for path in words {
        let word = path.display();
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']) && !path.exists());
        if path.is_dir() {
            let before = all.len();
            below(path, &mut all).map_err(|e| format!("{word}: {e}"))?;
            if all.len() == before {
                return Err(format!("{word}: there is no picture in this folder ({})", ENDINGS.join(", ")));
            }
        } else if let Some(pattern) = pattern {
            let found = glob::glob(pattern).map_err(|e| format!("{word}: not a pattern: {e}"))?;
            let mut found: Vec<PathBuf> = found.flatten().filter(|p| p.is_file()).collect();
            found.sort();
            if found.is_empty() {
                return Err(format!("{word}: no file is called so"));
            }
            all.extend(found);
        } else {
            // One that is not there is an unreadable picture: the others are done.
            all.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|path| seen.insert(path.clone()));
    Ok(all)
}

/// Adds the pictures below a folder, sorted. Links to folders are not followed: they may lead in a circle.
fn below(folder: &Path, all: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            // A folder that may not be read hides its pictures, and no others.
            let _ = below(&path, all);
        } else if is_picture(&path) && path.is_file() {
            all.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_patterns_and_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c.jpg", "a.PNG", "b/x.webp", "notes.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let at = |name: &str| dir.path().join(name);

        assert_eq!(expand(&[at("")]).unwrap(), [at("a.PNG"), at("b/x.webp"), at("c.jpg")]);
        assert_eq!(expand(&[at("*.jpg"), at("c.jpg")]).unwrap(), [at("c.jpg")]);
        assert_eq!(expand(&[at("gone.jpg")]).unwrap(), [at("gone.jpg")]);
        assert!(expand(&[at("*.gif")]).unwrap_err().contains("no file"));
    }
}
