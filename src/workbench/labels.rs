//! What a person writes on a run: tags, a note, whether it is put away. Our runs carry it in their directory; what was
//! written on another program's run is kept in the user's state folder, for its folder is not ours.

use std::io;
use std::path::PathBuf;

use run::dir::RunDir;
use serde::{Deserialize, Serialize};

/// The file in a run's directory.
const FILE: &str = "labels.json";

/// What stands on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// Words to find it by.
    pub tags: Vec<String>,
    /// A line for people.
    pub note: String,
    /// Whether lists leave it out.
    pub archived: bool,
}

fn place(run: &RunDir) -> Option<PathBuf> {
    if run.config().is_file() {
        return Some(run.path().join(FILE));
    }
    // The same folder by another path is the same run.
    let path = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
    let name = xxhash_rust::xxh3::xxh3_64(path.to_string_lossy().as_bytes());
    Some(run::dir::state_folder()?.join("labels").join(format!("{name:016x}.json")))
}

impl Labels {
    /// What stands on a run; nothing where that cannot be read.
    pub fn of(run: &RunDir) -> Self {
        let bytes = place(run).and_then(|p| std::fs::read(p).ok());
        bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, run: &RunDir) -> io::Result<()> {
        let path = place(run).ok_or_else(|| io::Error::other("there is no home folder to keep it in"))?;
        if *self == Self::default() {
            return match std::fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        }
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        run::dir::replace_file(&path, &serde_json::to_vec_pretty(self)?)
    }

    /// Tags as they are typed: words, with spaces or commas between.
    pub fn set_tags(&mut self, text: &str) {
        let words = text.split([' ', ',']).filter(|w| !w.is_empty());
        self.tags = words.map(|w| run::escape::line(w).into_owned()).collect();
        self.tags.sort();
        self.tags.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_path_to_a_foreign_run_leads_to_its_labels() {
        let root = tempfile::tempdir().unwrap();
        let (folder, link) = (root.path().join("a"), root.path().join("b"));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert_eq!(place(&RunDir::at(link)), place(&RunDir::at(folder)));
    }

    #[test]
    fn written_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        std::fs::write(run.config(), "").unwrap();
        let mut labels = Labels { note: "the good one".into(), ..Labels::default() };
        labels.set_tags("b, a  b");
        labels.write(&run).unwrap();
        assert_eq!((Labels::of(&run), labels.tags), (Labels::of(&run), vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Labels::of(&run).note, "the good one");
        Labels::default().write(&run).unwrap();
        assert!(!run.path().join(FILE).exists() && Labels::of(&run) == Labels::default());
        std::fs::write(run.path().join(FILE), "{").unwrap();
        assert_eq!(Labels::of(&run), Labels::default());
    }
}
