//! Where a picture's bytes are: a file, or a range of a part; and by what a changed one is told.

use std::io::{BufReader, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imagesize::ImageType;
use serde::{Deserialize, Serialize};

use super::super::finding::Kind;
use super::super::options::Thresholds;
use crate::picture::too_large;
use crate::sample::ImageRef;

/// The largest picture file that is read.
const MAX_FILE: u64 = 1 << 30;
/// A file that changed within this time may change again without another time stamp.
const SETTLES: Duration = Duration::from_secs(2);

/// What tells a file from a changed one: size, inode, times of change in nanoseconds. The last (ctime) cannot be set
/// back by a program that keeps the other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    inode: u64,
    modified: i64,
    changed: i64,
}

impl Stamp {
    pub fn of(about: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: about.len(),
            inode: about.ino(),
            modified: nanoseconds(about.mtime(), about.mtime_nsec()),
            changed: nanoseconds(about.ctime(), about.ctime_nsec()),
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file has been left alone long enough for the stamp to be trusted.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        now.saturating_sub(self.changed.max(self.modified)) > SETTLES.as_nanos() as i64
    }
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// A file.
    File(PathBuf),
    /// A range of a part, with the part's file.
    Part(ImageRef),
}

impl Spot {
    /// Its bytes.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        let path = match self {
            Self::File(path) => path,
            Self::Part(image) => return image.read().map_err(|error| error.to_string()),
        };
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = std::fs::File::open(path).map_err(fail)?;
        let mut bytes = Vec::with_capacity(file.metadata().map_err(fail)?.len().min(MAX_FILE) as usize + 1);
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE + 1), &mut bytes).map_err(fail)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("{}: larger than 1 GiB", path.display()));
        }
        Ok(bytes)
    }

    /// What its first bytes say.
    pub fn header(&self) -> Header {
        match self {
            Self::File(path) => match std::fs::File::open(path) {
                Ok(file) => Header::read(BufReader::with_capacity(4096, file)),
                Err(error) => Header::problem(Kind::Unreadable, format!("{}: {error}", path.display())),
            },
            Self::Part(_) => match self.read() {
                Ok(bytes) => Header::read(Cursor::new(&bytes)),
                Err(message) => Header::problem(Kind::CorruptPicture, message),
            },
        }
    }
}

/// What the first bytes of a picture say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    problem: Option<(Kind, String)>,
    /// Its format.
    format: String,
    /// Width and height in pixels; 0 where they cannot be read: that is told when the picture is decoded.
    size: (u32, u32),
}

impl Header {
    fn problem(kind: Kind, message: String) -> Self {
        Self { problem: Some((kind, message)), ..Self::default() }
    }

    fn read(mut from: impl std::io::BufRead + std::io::Seek) -> Self {
        let corrupt = |message: &str| Self::problem(Kind::CorruptPicture, message.into());
        if from.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return corrupt("the picture's file is empty: get it again");
        }
        // A parser that panics on a hostile file must not end the check.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let kind = imagesize::reader_type(&mut from).ok()?;
            Some((kind, kind.reader_size(&mut from).ok()))
        }));
        let Some((kind, size)) = read.unwrap_or(None) else {
            return corrupt(
                "not a picture in JPEG, PNG, WebP, GIF, BMP or TIFF format: get it again or convert it",
            );
        };
        let format = match kind {
            ImageType::Jpeg => "JPEG",
            ImageType::Png => "PNG",
            ImageType::Webp => "WebP",
            ImageType::Gif => "GIF",
            ImageType::Bmp => "BMP",
            ImageType::Tiff => "TIFF",
            _ => return corrupt("a picture in another format: convert it to JPEG, PNG or WebP"),
        };
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let size = size.map_or((0, 0), |size| (side(size.width), side(size.height)));
        Self { problem: None, format: format.into(), size }
    }

    /// Whether the rest needs no look.
    pub fn is_bad(&self) -> bool {
        self.problem.is_some() || too_large(self.size.0, self.size.1).is_some()
    }

    /// What is wrong with it, when the picture is called `name`.
    pub fn judge(&self, name: &Path, limits: &Thresholds) -> Vec<(Kind, String)> {
        if let Some(problem) = &self.problem {
            return vec![problem.clone()];
        }
        let mut found = Vec::new();
        let ending = name.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if let Some(ending) = ending {
            let named = match ending.as_str() {
                "jpg" | "jpeg" | "jpe" | "jfif" => "JPEG",
                "png" => "PNG",
                "webp" => "WebP",
                "gif" => "GIF",
                "bmp" => "BMP",
                "tif" | "tiff" => "TIFF",
                _ => self.format.as_str(),
            };
            if named != self.format {
                let message =
                    format!("the file is a {} and is named .{ending}: rename it or convert it", self.format);
                found.push((Kind::FormatMismatch, message));
            }
        }
        let (width, height) = self.size;
        if let Some(message) = too_large(width, height) {
            found.push((Kind::TooLarge, format!("{message}: make it smaller")));
            return found;
        }
        let (short, long) = (width.min(height), width.max(height));
        if short == 0 {
            return found;
        }
        if short < limits.min_side {
            let message = format!(
                "{width}x{height} pixels, and fewer than {} on a side are few: use a larger one",
                limits.min_side
            );
            found.push((Kind::SizeOutlier, message));
        }
        if f64::from(long) > f64::from(short) * limits.max_aspect {
            let message =
                format!("{width}x{height} pixels: the model sees only the middle square of it; cut it first");
            found.push((Kind::AspectOutlier, message));
        }
        found
    }
}
