//! Dataset formats: one reader each, all giving [`Entry`]s, which a [`crate::Dataset`] makes into samples.
//!
//! How a format is recognised, when the settings do not name one (`data_format`):
//!
//! | what is named | format |
//! |---|---|
//! | a brace list `{00000..00099}`, several joined by `::`, `*.tar`, `*.tar.gz`, `*.tgz`; a folder of them | [`Format::Webdataset`] |
//! | `*.filelist`, or a name with `laion` in it and no other known ending | [`Format::Laion`] |
//! | `*.jsonl`, `*.ndjson`; `*.json` that does not begin with `[` | [`Format::JsonLines`] |
//! | `*.csv`, `*.tsv` | [`Format::Table`] |
//! | any other file | [`Format::Karpathy`] |
//! | a folder with `annotations/coco_karpathy_SPLIT.json` or `coco_karpathy_SPLIT.json` | [`Format::Karpathy`] |
//! | a folder with `SPLIT.jsonl`, `SPLIT.csv`, `SPLIT.tsv` or `metadata.jsonl` | that of the file |
//! | a folder in which a picture has a `.txt` of its name beside it | [`Format::Sidecar`] |
//! | a folder of folders of pictures, also under `SPLIT/` or `images/` | [`Format::Classes`] |

mod cache;
mod find;
mod folder;
mod karpathy;
mod laion;
mod lines;
pub(crate) mod table;
mod webdataset;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use find::{find, has_split};
pub(crate) use folder::is_picture;

use crate::sample::{Broken, Encoding, Origin, Part};

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What the model learns from.
    Train,
    /// What its progress is measured on.
    Val,
    /// What its final quality is measured on.
    Test,
}

impl Split {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// A dataset format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON array of `{"image", "caption", "image_id"}`; `caption` is a string or a list of them.
    Karpathy,
    /// One JSON object a line, with the same fields or those of `csv_img_key` and `csv_caption_key`.
    JsonLines,
    /// CSV or TSV with a header line.
    Table,
    /// The seed's file list of parts with base64 pictures.
    Laion,
    /// Tar shards with `key.jpg` and `key.txt`.
    Webdataset,
    /// Pictures with a `.txt` of the same name beside them.
    Sidecar,
    /// Pictures in a folder for each class.
    Classes,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] = [
        Self::Karpathy,
        Self::JsonLines,
        Self::Table,
        Self::Laion,
        Self::Webdataset,
        Self::Sidecar,
        Self::Classes,
    ];

    /// Its name in settings and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Karpathy => "karpathy",
            Self::JsonLines => "jsonl",
            Self::Table => "csv",
            Self::Laion => "laion",
            Self::Webdataset => "webdataset",
            Self::Sidecar => "sidecar",
            Self::Classes => "classes",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// How a dataset is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format; none: recognised, see the table above.
    pub format: Option<Format>,
    /// The folder of the pictures; none: the annotation file's folder, its `images/`, then `../images`.
    pub image_root: Option<PathBuf>,
    /// The column (or JSON field) of the picture; none: `filepath` of a table, `image` of JSON.
    pub image_key: Option<String>,
    /// The column (or JSON field) of the caption; none: `title` of a table, `caption` of JSON.
    pub caption_key: Option<String>,
    /// What stands between the columns of a table; none: a tab where the header has one, else a comma.
    pub separator: Option<u8>,
    /// Where indexes of shards and unpacked parts are kept; none: in the folder for temporary files.
    pub cache: Option<PathBuf>,
    /// More broken entries one after the other are an error.
    pub max_broken_in_a_row: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            image_root: None,
            image_key: None,
            caption_key: None,
            separator: None,
            cache: None,
            max_broken_in_a_row: 100,
        }
    }
}

impl From<&run::settings::Settings> for ReadOptions {
    /// As the settings of a run say.
    fn from(settings: &run::settings::Settings) -> Self {
        Self {
            format: settings.data_format.as_deref().and_then(Format::named),
            image_root: settings.image_root.as_ref().map(PathBuf::from),
            image_key: settings.csv_img_key.clone(),
            caption_key: settings.csv_caption_key.clone(),
            separator: settings.csv_separator_byte(),
            cache: run::dir::cache_folder().map(|folder| folder.join("datasets")),
            max_broken_in_a_row: usize::try_from(settings.max_broken_records).unwrap_or(usize::MAX),
        }
    }
}

impl ReadOptions {
    /// Options for pictures under `root`.
    pub fn with_image_root(root: Option<&Path>) -> Self {
        Self { image_root: root.map(Path::to_path_buf), ..Self::default() }
    }

    fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| std::env::temp_dir().join("cocaptain-datasets"))
    }

    /// The folders to look for the pictures of annotations in `file`.
    fn roots(&self, file: &Path) -> Arc<[PathBuf]> {
        // A bare name lies in ".": the empty path names no folder that could be listed, or told.
        let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match &self.image_root {
            Some(root) => [root.clone()].into(),
            None => [folder.to_path_buf(), folder.join("images"), folder.join("../images")].into(),
        }
    }
}

/// Why a dataset could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing there, or nothing that is a dataset.
    #[error(
        "{path}: {problem}; name an annotation file (JSON, JSON lines, CSV, .filelist), tar shards, or a folder with {wanted}"
    )]
    NotADataset {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// The file that a folder should hold.
        wanted: String,
    },
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An annotation file is not as its format wants it.
    #[error("{path}:{line}:{column}: {problem}")]
    Annotation {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// What was named cannot be understood.
    #[error("{what}: {problem}")]
    Spec {
        /// What was named.
        what: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The dataset is broken rather than a few of its entries.
    #[error(
        "{path}: {count} broken entries one after the other, the last one entry {entry} (line {line}): {problem}"
    )]
    TooManyBroken {
        /// The annotation file.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The last one's number in the file.
        entry: u32,
        /// The last one's line.
        line: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// There are more samples or text than can be counted.
    #[error("{0}: more than 4 billion samples or captions")]
    TooLarge(PathBuf),
    /// A sink has read enough: nothing is wrong with the data.
    #[error("read no further")]
    Enough,
    /// There is not one entry.
    #[error("{0}: has no entries")]
    Empty(PathBuf),
}

impl ReadError {
    /// What is wrong, without the file's name where that stands in front.
    pub fn problem(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("cannot be read: {source}"),
            Self::Annotation { problem, .. } | Self::Spec { problem, .. } => problem.clone(),
            Self::Empty(_) => "has no entries".to_owned(),
            other => other.to_string(),
        }
    }
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_path_buf();
    |source| ReadError::Io { path, source }
}

/// Opens a plain file. Anything else is refused before: to open a pipe would be to wait for somebody who writes.
pub(crate) fn open_plain(path: &Path) -> Result<std::fs::File, ReadError> {
    if std::fs::metadata(path).map_err(io_error(path))?.is_file() {
        return std::fs::File::open(path).map_err(io_error(path));
    }
    Err(ReadError::Spec { what: path.display().to_string(), problem: "not a plain file".to_owned() })
}

/// Where an entry's picture stands in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// What [`Sink::part`] gave for the file.
    pub part: u32,
    /// The first byte.
    pub start: u64,
    /// How many.
    pub length: u64,
    /// What the bytes are.
    pub encoding: Encoding,
}

/// One entry as a reader finds it, still in the reader's memory.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What the annotations call the picture.
    pub image: &'a str,
    /// Where the picture stands, when it is not a file of that name.
    pub range: Option<Range>,
    /// The captions as written.
    pub captions: &'a [std::borrow::Cow<'a, str>],
    /// The id, where there is one.
    pub id: Option<&'a str>,
    /// Where the entry stands.
    pub origin: Origin,
}

/// Takes what a reader finds.
pub trait Sink {
    /// A further annotation file begins: its number, for [`Origin::file`].
    fn file(&mut self, path: &Path) -> u32;
    /// A further part begins: its number, for [`Range::part`].
    fn part(&mut self, part: Arc<Part>) -> u32;
    /// An entry.
    ///
    /// # Errors
    /// When no more can be taken.
    fn entry(&mut self, entry: Entry<'_>) -> Result<(), ReadError>;
    /// An entry that is no sample; it is counted and passed over.
    ///
    /// # Errors
    /// When there are too many one after the other.
    fn broken(&mut self, broken: Broken) -> Result<(), ReadError>;
}

/// A format: gives the entries of a dataset, one after the other.
pub trait Reader: Send + Sync {
    /// What format it is.
    fn format(&self) -> Format;

    /// The annotation file or folder that it reads; of several, the first.
    fn path(&self) -> &Path;

    /// The folders that pictures are looked for in; none where they stand in parts.
    fn roots(&self) -> Arc<[PathBuf]>;

    /// Hands every entry to `sink`, in the order of the annotations.
    ///
    /// # Errors
    /// When the annotations cannot be read; what was taken before is then of no use.
    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError>;
}

#[cfg(test)]
mod tests;
