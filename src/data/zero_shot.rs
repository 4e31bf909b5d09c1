//! Zero-shot sets: pictures in class folders, class names and prompt templates.
//!
//! Three layouts are read: the one of PaddleMIX (`images/<class>/`, `labels.txt`, `templates.txt`), ImageNet's validation
//! folder (1000 wnid folders, or 1000 numbered ones as in ImageNet-V2), and any folder of class folders.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::reader::{Entry, Format, ReadError, ReadOptions, Reader, Sink};
use crate::sample::Origin;

/// Where the class name goes in a template.
const SLOT: &str = "{}";
/// The template of a set that brings none and is not ImageNet.
const DEFAULT_TEMPLATE: &str = "a photo of a {}.";
/// open_clip's names of ImageNet's classes, in the order of the sorted wnid folders.
const IMAGENET_NAMES: &str = include_str!("../../assets/zero_shot/imagenet_names.txt");
/// OpenAI's 80 templates, which open_clip uses for ImageNet.
const IMAGENET_TEMPLATES: &str = include_str!("../../assets/zero_shot/imagenet_templates.txt");
/// OpenAI's 7 templates that do nearly as well.
const IMAGENET_TEMPLATES_SIMPLE: &str = include_str!("../../assets/zero_shot/imagenet_templates_simple.txt");

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
    #[error(
        "{0}: has no class folders; a zero-shot set is images/<class>/ with labels.txt and templates.txt, or a folder of class folders"
    )]
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

/// Which templates to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Templates {
    /// The set's own templates.txt; without one, ImageNet's 80 for ImageNet and one plain template otherwise.
    #[default]
    Own,
    /// ImageNet's 80.
    Imagenet,
    /// The 7 simple ones of ImageNet.
    Simple,
    /// A file, one template a line.
    File(PathBuf),
}

impl Templates {
    /// `own`, `imagenet`, `simple`, or else a file.
    pub fn named(name: &str) -> Self {
        match name {
            "own" => Self::Own,
            "imagenet" => Self::Imagenet,
            "simple" => Self::Simple,
            file => Self::File(PathBuf::from(file)),
        }
    }
}

/// A set of pictures in class folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassFolders {
    path: PathBuf,
    /// The folder that the class folders are in.
    root: PathBuf,
    /// The folder of each class: sorted; numbered ones by their number.
    pub folders: Vec<String>,
    /// The name of each class, in the order of the folders.
    pub classes: Vec<String>,
    /// Templates with `{}` for the class name.
    pub templates: Vec<String>,
    /// Each picture, relative to the folder of the class folders, and its class.
    pub images: Vec<(String, usize)>,
}

impl ClassFolders {
    /// Reads the set in `dir` with its own templates. Without labels.txt, ImageNet's classes are called as open_clip
    /// calls them, and others as their folders (`_` is a space).
    ///
    /// # Errors
    /// When a folder cannot be read, or names, folders and templates do not fit together.
    pub fn open(dir: &Path) -> Result<Self, ZeroShotError> {
        Self::with_templates(dir, &Templates::Own)
    }

    /// As [`Self::open`], with other templates.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_templates(dir: &Path, templates: &Templates) -> Result<Self, ZeroShotError> {
        let images = dir.join("images");
        let root = if images.is_dir() { images } else { dir.to_path_buf() };
        let mut folders = sorted(&root, |kind| kind.is_dir())?;
        if folders.is_empty() {
            return Err(ZeroShotError::NoClasses(root));
        }
        let imagenet = is_imagenet(&folders);
        if imagenet {
            // ImageNet-V2 counts its folders; wnids all have the same length, which leaves them sorted by name.
            folders.sort_by_key(|folder| folder.trim_start_matches('n').parse::<u32>().unwrap_or(u32::MAX));
        }
        let path = dir.join("labels.txt");
        let classes = match lines(&path)? {
            Some(names) => names.into_iter().map(|(_, name)| name).collect(),
            None if imagenet => IMAGENET_NAMES.lines().map(str::to_owned).collect(),
            None => folders.iter().map(|folder| folder.replace('_', " ")).collect::<Vec<_>>(),
        };
        if classes.len() != folders.len() {
            return Err(ZeroShotError::Labels { path, names: classes.len(), folders: folders.len() });
        }
        let templates = match templates {
            Templates::Own => own_templates(dir, imagenet)?,
            Templates::Imagenet => built_in(IMAGENET_TEMPLATES),
            Templates::Simple => built_in(IMAGENET_TEMPLATES_SIMPLE),
            Templates::File(file) => match checked_templates(file)? {
                Some(templates) => templates,
                None => return Err(io_error(file)(io::ErrorKind::NotFound.into())),
            },
        };
        let mut images = Vec::new();
        for (class, folder) in folders.iter().enumerate() {
            let files = sorted(&root.join(folder), |kind| kind.is_file())?;
            images.extend(files.into_iter().map(|file| (format!("{folder}/{file}"), class)));
        }
        Ok(Self { path: dir.to_path_buf(), root, folders, classes, templates, images })
    }

    /// The prompts of a class: its name in every template.
    pub fn prompts(&self, class: usize) -> impl Iterator<Item = String> {
        let name = self.classes.get(class).map_or("", String::as_str);
        self.templates.iter().map(move |template| template.replace(SLOT, name))
    }

    /// The prompts of every class.
    pub fn all_prompts(&self) -> Vec<Vec<String>> {
        (0..self.classes.len()).map(|class| self.prompts(class).collect()).collect()
    }

    /// Where a picture of [`Self::images`] is.
    pub fn image(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The pictures as a dataset, in the order of [`Self::images`]; the caption of each is its class name.
    ///
    /// # Errors
    /// When there are too many to count.
    pub fn dataset(&self) -> Result<Dataset, ReadError> {
        Dataset::read(self, &ReadOptions::default())
    }
}

impl Reader for ClassFolders {
    fn format(&self) -> Format {
        Format::Classes
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        Arc::new([self.root.clone()])
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        for (entry, (name, class)) in self.images.iter().enumerate() {
            let origin = Origin { file, line: 0, entry: entry as u32, offset: 0 };
            let captions: Vec<Cow<'_, str>> =
                self.classes.get(*class).map(|name| Cow::Borrowed(name.as_str())).into_iter().collect();
            sink.entry(Entry { image: name, range: None, captions: &captions, id: None, origin })?;
        }
        if self.images.is_empty() { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

/// Whether these are the folders of ImageNet's 1000 classes: wnids, or the numbers of ImageNet-V2.
fn is_imagenet(folders: &[String]) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wnid = |folder: &String| folder.len() == 9 && folder.strip_prefix('n').is_some_and(digits);
    let number = |folder: &String| digits(folder) && folder.parse::<usize>().is_ok_and(|n| n < 1000);
    folders.len() == 1000 && (folders.iter().all(wnid) || folders.iter().all(number))
}

fn built_in(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn own_templates(dir: &Path, imagenet: bool) -> Result<Vec<String>, ZeroShotError> {
    let without = || if imagenet { built_in(IMAGENET_TEMPLATES) } else { vec![DEFAULT_TEMPLATE.to_owned()] };
    Ok(checked_templates(&dir.join("templates.txt"))?.unwrap_or_else(without))
}

/// The templates of a file; none when there is no such file, or nothing in it.
fn checked_templates(path: &Path) -> Result<Option<Vec<String>>, ZeroShotError> {
    let found = lines(path)?.unwrap_or_default();
    if let Some((line, _)) = found.iter().find(|(_, template)| !template.contains(SLOT)) {
        return Err(ZeroShotError::Template { path: path.to_path_buf(), line: *line });
    }
    let templates: Vec<String> = found.into_iter().map(|(_, template)| template).collect();
    Ok((!templates.is_empty()).then_some(templates))
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
        assert!(matches!(
            ClassFolders::with_templates(empty_templates(&dir), &Templates::named("none.txt")),
            Err(ZeroShotError::Io { .. })
        ));
        let empty = set(&[("images/file.txt", "")]);
        assert!(matches!(ClassFolders::open(empty.path()), Err(ZeroShotError::NoClasses(_))));
    }
    /// The folder with labels that fit and no templates.
    fn empty_templates(dir: &tempfile::TempDir) -> &Path {
        std::fs::remove_file(dir.path().join("templates.txt")).unwrap();
        dir.path()
    }

    #[test]
    fn imagenet_is_known_by_its_folders() {
        let dir = tempfile::tempdir().unwrap();
        let wnids: Vec<String> = (0..1000).map(|n| format!("n{:08}", 1_440_000 + 37 * n)).collect();
        for folder in &wnids {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join(&wnids[1]).join("a.JPEG"), "").unwrap();
        let set = ClassFolders::open(dir.path()).unwrap();
        assert_eq!((set.classes[0].as_str(), set.classes[999].as_str()), ("tench", "toilet paper"));
        assert_eq!((set.templates.len(), set.images.len()), (80, 1));
        assert_eq!(set.image(&set.images[0].0), dir.path().join(&wnids[1]).join("a.JPEG"));
        let simple = ClassFolders::with_templates(dir.path(), &Templates::named("simple")).unwrap();
        assert_eq!(simple.templates.len(), 7);

        let numbered = tempfile::tempdir().unwrap();
        for n in 0..1000 {
            std::fs::create_dir(numbered.path().join(n.to_string())).unwrap();
        }
        let set = ClassFolders::open(numbered.path()).unwrap();
        assert_eq!(set.folders[10], "10");
        assert_eq!(set.prompts(2).next().unwrap(), "a bad photo of a great white shark.");
    }

    #[test]
    fn a_plain_folder_of_class_folders_will_do() {
        let dir = set(&[("red_ring/1.png", ""), ("blue_star/2.png", "")]);
        let plain = ClassFolders::open(dir.path()).unwrap();
        assert_eq!(plain.classes, ["blue star", "red ring"]);
        assert_eq!(plain.prompts(0).collect::<Vec<_>>(), ["a photo of a blue star."]);
    }
}
