//! What shards hold, found out once: their index, and the unpacked copy of a compressed one.
//!
//! Both are kept under the name of the file's path, size and time of change; an index that does not fit is made
//! again, and everything in the folder can be deleted.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ReadError, ReadOptions, io_error};
use crate::sample::{Part, stamp};

/// An entry of a part; `problem` says why it is no sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// What the picture is called.
    pub n: String,
    /// Its caption.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub c: String,
    /// All captions, where there is another number than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<Vec<String>>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i: Option<String>,
    /// First byte and length of the picture.
    pub r: (u64, u64),
    /// Line and first byte of the entry.
    pub o: (u32, u64),
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: u32,
    kind: String,
    path: PathBuf,
    stamp: (u64, u64),
    rows: usize,
}

/// Changes with what an index holds.
const VERSION: u32 = 2;
/// What an unpacked copy leaves free on its disk.
const SPARE: u64 = 1 << 30;

fn place(path: &Path, stamp: (u64, u64), options: &ReadOptions, end: &str) -> PathBuf {
    let mut crc = flate2::Crc::new();
    crc.update(path.as_os_str().as_encoded_bytes());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).take(60).collect();
    options.cache().join(format!("{name}-{:08x}-{:x}-{:x}{end}", crc.sum(), stamp.0, stamp.1))
}

/// The rows of `part`: as they were found before, else by `make`.
pub(super) fn rows(
    part: &Part,
    kind: &str,
    options: &ReadOptions,
    make: impl FnOnce() -> Result<Vec<Row>, ReadError>,
) -> Result<Vec<Row>, ReadError> {
    let path = std::path::absolute(&part.path).unwrap_or_else(|_| part.path.clone());
    let kept = place(&path, part.stamp, options, &format!(".{kind}.index"));
    let header = |rows| Header {
        version: VERSION,
        kind: kind.to_owned(),
        path: path.clone(),
        stamp: part.stamp,
        rows,
    };
    if let Some(rows) = load(&kept, header) {
        return Ok(rows);
    }
    let rows = make()?;
    // Without a cache the next start takes longer, no more.
    let _ = save(&kept, &header(rows.len()), &rows);
    Ok(rows)
}

fn load(kept: &Path, header: impl Fn(usize) -> Header) -> Option<Vec<Row>> {
    let text = std::fs::read(kept).ok()?;
    let mut lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let first: Header = serde_json::from_slice(lines.next()?).ok()?;
    let rows: Vec<Row> = lines.map(serde_json::from_slice).collect::<Result<_, _>>().ok()?;
    (first == header(rows.len())).then_some(rows)
}

fn save(kept: &Path, header: &Header, rows: &[Row]) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut out = io::BufWriter::new(&mut file);
    serde_json::to_writer(&mut out, header)?;
    for row in rows {
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, row)?;
    }
    out.flush()?;
    drop(out);
    file.persist(kept)?;
    Ok(())
}

/// The part to read for `path`: itself, or the unpacked copy of one that ends in .gz or .tgz.
///
/// Random order needs random access, which gzip has none of: such a part is unpacked into the cache once.
pub(super) fn unpacked(path: &Path, options: &ReadOptions) -> Result<Part, ReadError> {
    let part = Part::new(path).map_err(io_error(path))?;
    if !path.extension().is_some_and(|end| end == "gz" || end == "tgz") {
        return Ok(part);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let kept = place(&absolute, part.stamp, options, ".unpacked");
    if !kept.is_file() {
        unpack(path, &kept).map_err(|source| ReadError::Io { path: path.to_path_buf(), source })?;
    }
    Part::new(&kept).map_err(io_error(&kept))
}

/// Pictures and texts do not shrink to less than a part of so many.
const MOST_TIMES: u64 = 200;

fn unpack(path: &Path, kept: &Path) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut out = tempfile::NamedTempFile::new_in(folder)?;
    let mut from = flate2::read::MultiGzDecoder::new(BufReader::new(File::open(path)?));
    let most = std::fs::metadata(path)?.len().saturating_mul(MOST_TIMES).max(1 << 30);
    let mut buffer = vec![0; 1 << 20];
    let (mut until_check, mut total) = (0usize, 0u64);
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        total += length as u64;
        if total > most {
            let problem = format!(
                "unpacks to more than {MOST_TIMES} times its size: it is damaged, or meant to fill disks"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if until_check == 0 {
            let free = rustix::fs::statvfs(folder)?;
            if free.f_bavail.saturating_mul(free.f_frsize) < SPARE {
                let problem = format!("no room in {} for its unpacked copy", folder.display());
                return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
            }
            until_check = 64 << 20;
        }
        until_check = until_check.saturating_sub(length);
        out.write_all(buffer.get(..length).unwrap_or_default())?;
    }
    let about = out.as_file().metadata()?;
    debug_assert!(stamp(&about).0 == about.len());
    out.persist(kept)?;
    Ok(())
}
