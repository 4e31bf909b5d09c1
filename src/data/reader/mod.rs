//! Dataset formats: one reader each, all giving [`Sample`]s.

mod karpathy;

use std::io;
use std::path::{Path, PathBuf};

pub use karpathy::Karpathy;

use crate::sample::Sample;

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

/// Why a dataset could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing there, or nothing that is a dataset.
    #[error("{path}: {problem}; name an annotation file (JSON), or a folder with {wanted}")]
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
    /// There are more samples or text than can be counted.
    #[error("{0}: more than 4 billion samples or captions")]
    TooLarge(PathBuf),
    /// There is not one entry.
    #[error("{0}: has no entries")]
    Empty(PathBuf),
}

/// A format: gives the samples of one file or folder, one after the other.
pub trait Reader {
    /// The annotation file or folder that it reads.
    fn path(&self) -> &Path;

    /// Hands every sample to `take`, in the order of the annotations.
    ///
    /// # Errors
    /// When the annotations cannot be read; what was taken before is then of no use.
    fn read(&self, take: &mut dyn FnMut(Sample)) -> Result<(), ReadError>;
}

/// Finds out what `data` is: an annotation file, or a dataset folder that has one for `split`.
///
/// `image_root` is the folder of the pictures, where the annotations do not lie beside them.
///
/// # Errors
/// When there is nothing that a reader knows.
pub fn find(data: &Path, split: Split, image_root: Option<&Path>) -> Result<Box<dyn Reader>, ReadError> {
    let name = format!("coco_karpathy_{}.json", split.name());
    let wanted = format!("annotations/{name}");
    let not = |problem| ReadError::NotADataset { path: data.to_path_buf(), problem, wanted: wanted.clone() };
    let about = match std::fs::metadata(data) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not("no such file or folder")),
        Err(source) => return Err(ReadError::Io { path: data.to_path_buf(), source }),
    };
    let file = if about.is_dir() {
        let places = [data.join(&wanted), data.join(&name)];
        places.into_iter().find(|place| place.is_file()).ok_or_else(|| not("holds no such annotations"))?
    } else {
        data.to_path_buf()
    };
    Ok(Box::new(Karpathy::new(&file, image_root)))
}
