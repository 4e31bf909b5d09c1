//! Fetches a known dataset: an archive over HTTP, gone on with where it was cut off, checked, unpacked safely.
//!
//! The archive grows as `NAME.tar.part` beside its place; it is unpacked into a temporary folder, which is renamed when
//! it is whole. So what stands in its place is complete, and what was there before is never touched.

mod download;
mod unpack;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use md5::{Digest, Md5};

/// A dataset that can be fetched.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The archive's address.
    pub url: &'static str,
    /// The archive's MD5, in hexadecimal letters.
    pub md5: &'static str,
    /// The folder that it is unpacked as, in the folder of datasets.
    pub folder: &'static str,
    /// Files that it has when it is whole, with their MD5.
    pub files: &'static [(&'static str, &'static str)],
}

/// The datasets that can be fetched. Address and checksums of the first are those of PaddleMIX
/// (paddlemix/datasets/coco_clip.py), whose default it is.
pub const KNOWN: &[Known] = &[Known {
    name: "coco_karpathy",
    about: "COCO 2014 captions in Karpathy's splits, PaddleMIX's default; about 20 GB, twice that while unpacking",
    url: "https://bj.bcebos.com/v1/paddlenlp/datasets/paddlemix/coco.tar",
    md5: "e670ce82b14b3f45d08c9370808ee1e7",
    folder: "coco",
    files: &[
        ("annotations/coco_karpathy_train.json", "aa31ac474cf6250ebb81d18348a07ed8"),
        ("annotations/coco_karpathy_val.json", "b273847456ef5580e33713b1f7de52a0"),
        ("annotations/coco_karpathy_test.json", "3ff34b0ef2db02d01c37399f6a2a6cd1"),
    ],
}];

/// How it is fetched.
pub struct Options<'a> {
    /// The archive's address: the dataset's own, or that of a mirror.
    pub url: String,
    /// The archive's MD5.
    pub md5: String,
    /// The folder of datasets.
    pub folder: PathBuf,
    /// Keep the archive when it is unpacked.
    pub keep_archive: bool,
    /// Bytes free at a path.
    pub free: &'a dyn Fn(&Path) -> io::Result<u64>,
    /// Told what is being done, how far, and of how much (0 while unknown), in bytes.
    pub progress: &'a dyn Fn(Phase, u64, u64),
    /// Set, it ends soon; what has arrived is kept.
    pub cancel: &'a AtomicBool,
}

impl Options<'_> {
    fn cancelled(&self) -> Result<(), FetchError> {
        if self.cancel.load(Ordering::Relaxed) { Err(FetchError::Cancelled) } else { Ok(()) }
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The archive comes in.
    Download,
    /// Its checksum is computed.
    Check,
    /// It is unpacked.
    Unpack,
}

impl Phase {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "fetching",
            Self::Check => "checking",
            Self::Unpack => "unpacking",
        }
    }
}

/// Why a dataset was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server or the way there failed, again and again.
    #[error("{url}: {why}. What has arrived ({kept} bytes) is kept: the same command goes on from there")]
    Network {
        /// The address.
        url: String,
        /// The last reason.
        why: String,
        /// Bytes that have arrived.
        kept: u64,
    },
    /// The server says no.
    #[error("{url}: the server answers {status}: is the address right? A mirror is named by --url")]
    Refused {
        /// The address.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// The disk is too small.
    #[error(
        "{folder}: {} MiB are needed (the rest of the archive, and what it unpacks to), and {} MiB are free: make room, or name another folder by PPMIX_HOME or --dir",
        needed.div_ceil(1 << 20), free >> 20
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// How much.
        needed: u64,
        /// And how much there is.
        free: u64,
    },
    /// The archive is another one than it should be.
    #[error("{path}: its MD5 is {found}, and {wanted} is right: it was removed, fetch it again")]
    Checksum {
        /// The archive.
        path: PathBuf,
        /// What arrived.
        found: String,
        /// What should have.
        wanted: String,
    },
    /// The archive would do harm, or is damaged.
    #[error("the archive is not unpacked: {0}")]
    Archive(String),
    /// Something else is in its place.
    #[error("{0} is there already and is not this dataset: move it away; nothing is overwritten")]
    Occupied(PathBuf),
    /// Another process fetches it.
    #[error("{0} is being fetched by another process")]
    Busy(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was stopped.
    #[error("stopped: what has arrived is kept, the same command goes on from there")]
    Cancelled,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    |source| FetchError::Io { path, source }
}

/// The known dataset of that name.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Whether the dataset is there, whole, judged by its annotation files.
pub fn is_there(known: &Known, folder: &Path) -> bool {
    let place = folder.join(known.folder);
    let right =
        |(file, md5): &(&str, &str)| file_md5(&place.join(file), &|_| Ok(())).is_ok_and(|sum| sum == *md5);
    place.join("images").is_dir() && known.files.iter().all(right)
}

/// Fetches and unpacks a dataset; gives its folder. One that is there already is left as it is.
///
/// # Errors
/// [`FetchError`]; what has arrived of the archive stays, and the next call goes on from there.
pub fn fetch(known: &Known, options: &Options<'_>) -> Result<PathBuf, FetchError> {
    let place = options.folder.join(known.folder);
    if place.symlink_metadata().is_ok() {
        return if is_there(known, &options.folder) { Ok(place) } else { Err(FetchError::Occupied(place)) };
    }
    std::fs::create_dir_all(&options.folder).map_err(io_error(&options.folder))?;
    let part = options.folder.join(format!("{}.tar.part", known.folder));
    let _lock = download::download(&part, options)?;
    let length = std::fs::metadata(&part).map_err(io_error(&part))?.len();
    let mut done = 0;
    let count = std::cell::RefCell::new(&mut done);
    let found = file_md5(&part, &|n| {
        let mut done = count.borrow_mut();
        **done += n;
        (options.progress)(Phase::Check, **done, length);
        options.cancelled()
    })?;
    if !found.eq_ignore_ascii_case(&options.md5) {
        let _ = std::fs::remove_file(&part);
        return Err(FetchError::Checksum { path: part, found, wanted: options.md5.clone() });
    }
    unpack::unpack(&part, &place, known, options)?;
    if !options.keep_archive {
        std::fs::remove_file(&part).map_err(io_error(&part))?;
    }
    Ok(place)
}

/// The MD5 of a file; `tell` is called with the bytes of each piece.
fn file_md5(path: &Path, tell: &dyn Fn(u64) -> Result<(), FetchError>) -> Result<String, FetchError> {
    let mut file = std::fs::File::open(path).map_err(io_error(path))?;
    let (mut sum, mut buffer) = (Md5::new(), vec![0; 1 << 20]);
    loop {
        let length = file.read(&mut buffer).map_err(io_error(path))?;
        if length == 0 {
            break;
        }
        sum.update(buffer.get(..length).unwrap_or_default());
        tell(length as u64)?;
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
