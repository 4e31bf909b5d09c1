//! Zero-shot sets: pictures in class folders, class names and prompt templates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::reader::{ReadError, Reader};
use crate::sample::{ImageRef, Sample};

/// Where the class name goes in a template.
const SLOT: &str = "{}";
/// The template of a set that brings none.
const DEFAULT_TEMPLATE: &str = "a photo of a {}.";

/// Why a zero-shot set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ZeroShotError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no class folder.
    #[error("{0}: has no class folders; a zero-shot set is images/<class>/, labels.txt, templates.txt")]
    NoClasses(PathBuf),
    /// The names do not match the folders.
    #[error(
        "{path}: names {names} classes, and images/ has {folders} folders (line i names the i-th, sorted)"
    )]
    Labels {
        /// labels.txt.
        path: PathBuf,
        /// Names in it.
        names: usize,
        /// Class folders.
        folders: usize,
    },
    /// A template has no place for the name.
    #[error("{path}:{line}: the template has no {{}} for the class name")]
    Template {
        /// templates.txt.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ZeroShotError {
    let path = path.to_path_buf();
    |source| ZeroShotError::Io { path, source }
}

/// A set of pictures in class folders: `images/<class>/*`, `labels.txt`, `templates.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassFolders {
    path: PathBuf,
    /// The name of each class, in the sorted order of the folders.
    pub classes: Vec<String>,
    /// Templates with `{}` for the class name.
    pub templates: Vec<String>,
    /// Each picture, relative to `images/`, and its class.
    pub images: Vec<(String, usize)>,
}

impl ClassFolders {
    /// Reads the set in `dir`. Without labels.txt, classes are called as their folders (`_` is a space); without
    /// templates.txt there is one template, "a photo of a {}.".
    ///
    /// # Errors
    /// When a folder cannot be read, or names, folders and templates do not fit together.
    pub fn open(dir: &Path) -> Result<Self, ZeroShotError> {
        let root = dir.join("images");
        let folders = sorted(&root, |kind| kind.is_dir())?;
        if folders.is_empty() {
            return Err(ZeroShotError::NoClasses(root));
        }
        let path = dir.join("labels.txt");
        let classes = match lines(&path)? {
            Some(names) => names.into_iter().map(|(_, name)| name).collect(),
            None => folders.iter().map(|folder| folder.replace('_', " ")).collect::<Vec<_>>(),
        };
        if classes.len() != folders.len() {
            return Err(ZeroShotError::Labels { path, names: classes.len(), folders: folders.len() });
        }
        let path = dir.join("templates.txt");
        let templates = lines(&path)?.unwrap_or_else(|| vec![(1, DEFAULT_TEMPLATE.into())]);
        if let Some((line, _)) = templates.iter().find(|(_, template)| !template.contains(SLOT)) {
            return Err(ZeroShotError::Template { path, line: *line });
        }
        let templates = templates.into_iter().map(|(_, template)| template).collect();
        let mut images = Vec::new();
        for (class, folder) in folders.iter().enumerate() {
            let files = sorted(&root.join(folder), |kind| kind.is_file())?;
            images.extend(files.into_iter().map(|file| (format!("{folder}/{file}"), class)));
        }
        Ok(Self { path: dir.to_path_buf(), classes, templates, images })
    }

    /// The prompts of a class: its name in every template.
    pub fn prompts(&self, class: usize) -> impl Iterator<Item = String> {
        let name = self.classes.get(class).map_or("", String::as_str);
        self.templates.iter().map(move |template| template.replace(SLOT, name))
    }

    /// Where a picture of [`Self::images`] is.
    pub fn image(&self, name: &str) -> PathBuf {
        self.path.join("images").join(name)
    }

    /// The pictures as a dataset, in the order of [`Self::images`]; the caption of each is its class name.
    ///
    /// # Errors
    /// When there are too many to count.
    pub fn dataset(&self) -> Result<Dataset, ReadError> {
        Dataset::read(self)
    }
}

impl Reader for ClassFolders {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, take: &mut dyn FnMut(Sample)) -> Result<(), ReadError> {
        let roots: Arc<[PathBuf]> = Arc::new([self.path.join("images")]);
        for (name, class) in &self.images {
            let captions = self.classes.get(*class).cloned().into_iter().collect();
            take(Sample { image: ImageRef { name: name.clone(), roots: roots.clone() }, captions, id: None });
        }
        if self.images.is_empty() { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

/// The names in a folder whose kind is wanted (links are followed), sorted; hidden ones are passed over.
fn sorted(folder: &Path, wanted: fn(&std::fs::Metadata) -> bool) -> Result<Vec<String>, ZeroShotError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && std::fs::metadata(entry.path()).is_ok_and(|about| wanted(&about)) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The lines of a file that say something, with their numbers; none when there is no such file.
fn lines(path: &Path) -> Result<Option<Vec<(usize, String)>>, ZeroShotError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().to_string()));
            Ok(Some(lines.filter(|(_, line)| !line.is_empty()).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn classes_templates_and_pictures_are_read_in_sorted_order() {
        let dir = set(&[
            ("images/red_ring/2.png", ""),
            ("images/red_ring/1.png", ""),
            ("images/blue_star/x.png", ""),
            ("images/blue_star/.hidden", ""),
            ("labels.txt", "blue star\nred ring\n"),
            ("templates.txt", "a {}\n\nthe {} and {}\n"),
        ]);
        let set = ClassFolders::open(dir.path()).unwrap();
        assert_eq!(set.classes, ["blue star", "red ring"]);
        let images: Vec<_> = set.images.iter().map(|(name, class)| (name.as_str(), *class)).collect();
        assert_eq!(images, [("blue_star/x.png", 0), ("red_ring/1.png", 1), ("red_ring/2.png", 1)]);
        assert_eq!(set.prompts(1).collect::<Vec<_>>(), ["a red ring", "the red ring and red ring"]);
        let dataset = set.dataset().unwrap();
        assert_eq!(dataset.len(), 3);
        assert_eq!(dataset.captions(2).collect::<Vec<_>>(), ["red ring"]);
        assert!(dataset.image(2).unwrap().path().is_file());
    }

    #[test]
    fn what_is_missing_has_a_default_and_what_is_wrong_an_error() {
        let dir = set(&[("images/red_ring/1.png", "")]);
        let plain = ClassFolders::open(dir.path()).unwrap();
        assert_eq!(plain.prompts(0).collect::<Vec<_>>(), ["a photo of a red ring."]);
        std::fs::write(dir.path().join("labels.txt"), "a\nb\n").unwrap();
        assert!(matches!(
            ClassFolders::open(dir.path()),
            Err(ZeroShotError::Labels { names: 2, folders: 1, .. })
        ));
        std::fs::write(dir.path().join("labels.txt"), "a\n").unwrap();
        std::fs::write(dir.path().join("templates.txt"), "a {}\nnothing\n").unwrap();
        assert!(matches!(ClassFolders::open(dir.path()), Err(ZeroShotError::Template { line: 2, .. })));
        assert!(matches!(ClassFolders::open(&dir.path().join("no")), Err(ZeroShotError::Io { .. })));
        let empty = set(&[("images/file.txt", "")]);
        assert!(matches!(ClassFolders::open(empty.path()), Err(ZeroShotError::NoClasses(_))));
    }
}
