//! What leaves the readers: a picture's place, its captions, its id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that holds pictures between other things: a tar shard, or a part of a laion file list.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The file that is read; for a compressed one, its unpacked copy.
    pub path: PathBuf,
    /// Its size and modification time (nanoseconds since 1970) when it was indexed.
    pub stamp: (u64, u64),
}

/// How a picture stands in its [`Part`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As the bytes of a picture file.
    Plain,
    /// As base64 text.
    Base64,
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of the picture's name under one of these folders, the likeliest first.
    Roots(Arc<[PathBuf]>),
    /// A byte range of a part: a member of a tar shard, or a column of a laion line.
    Range {
        /// The file.
        part: Arc<Part>,
        /// The first byte.
        start: u64,
        /// How many bytes.
        length: u64,
        /// What they are.
        encoding: Encoding,
    },
}

/// Where a sample's picture is, and what the annotations call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The name in the annotations, with `/` between folders; of a tar member, its path in the shard; of a laion
    /// picture, `part:line`.
    pub name: String,
    /// Where its bytes are.
    pub place: Place,
}

impl ImageRef {
    /// The file: the first that exists, else where it should be; for a picture inside a part, the part.
    pub fn path(&self) -> PathBuf {
        let roots = match &self.place {
            Place::Roots(roots) => roots,
            Place::Range { part, .. } => return part.path.clone(),
        };
        let mut places = roots.iter().map(|root| root.join(&self.name));
        let first = places.next().unwrap_or_else(|| PathBuf::from(&self.name));
        // One in a folder that is closed to us is what reading stumbles over.
        let there = |place: &PathBuf| place.try_exists().unwrap_or(true);
        if there(&first) {
            return first;
        }
        places.find(there).unwrap_or(first)
    }

    /// The bytes of the picture, from the first folder that has it or from its part.
    ///
    /// # Errors
    /// When no folder has it (the error of the first one), it cannot be read or is no plain file, or its part has
    /// changed since it was indexed.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let roots = match &self.place {
            Place::Roots(roots) => roots,
            Place::Range { part, start, length, encoding } => return part.read(*start, *length, *encoding),
        };
        let mut missing = None;
        for root in roots.iter() {
            match read_plain_file(&root.join(&self.name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(missing.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// The first bytes of the picture's file, at most so many, and how long the whole is; of base64 text about that.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn start(&self, most: u64) -> io::Result<(Vec<u8>, u64)> {
        match &self.place {
            Place::Roots(_) => {
                let path = self.path();
                let about = std::fs::metadata(&path)?;
                if !about.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
                }
                let mut start = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(&path)?, most), &mut start)?;
                Ok((start, about.len()))
            }
            Place::Range { part, start, length, encoding } => {
                // Whole groups of four letters are three bytes.
                let (letters, whole) = match encoding {
                    Encoding::Plain => (most, *length),
                    Encoding::Base64 => (most.div_ceil(3).saturating_mul(4), length / 4 * 3),
                };
                Ok((part.read(*start, (*length).min(letters), *encoding)?, whole))
            }
        }
    }

    /// A file with the picture: its own, or a copy under `folder` of one that stands inside a part.
    ///
    /// # Errors
    /// When the picture cannot be read or the copy not be written.
    pub fn to_file(&self, folder: &Path) -> io::Result<PathBuf> {
        let Place::Range { part, start, .. } = &self.place else { return Ok(self.path()) };
        let own = Path::new(&self.name).file_name().map_or("picture".into(), |name| name.to_string_lossy());
        let kept = own.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' });
        let mut crc = flate2::Crc::new();
        crc.update(part.path.as_os_str().as_encoded_bytes());
        let place = folder.join(format!("{:08x}-{start}-{}", crc.sum(), kept.take(80).collect::<String>()));
        if !place.exists() {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&place, self.read()?)?;
        }
        Ok(place)
    }
}

impl Part {
    /// A part as it is now.
    ///
    /// # Errors
    /// When it cannot be read or is no plain file.
    pub fn new(path: &Path) -> io::Result<Self> {
        let about = std::fs::metadata(path)?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
        }
        Ok(Self { path: path.to_path_buf(), stamp: stamp(&about) })
    }

    fn read(&self, start: u64, length: u64, encoding: Encoding) -> io::Result<Vec<u8>> {
        let file = std::fs::File::open(&self.path)?;
        if stamp(&file.metadata()?) != self.stamp {
            let problem = format!("{} has changed since it was read: start again", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if length > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 GiB"));
        }
        let mut bytes = vec![0; length as usize];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, start)?;
        match encoding {
            Encoding::Plain => Ok(bytes),
            Encoding::Base64 => {
                use base64::Engine as _;
                BASE64.decode(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
            }
        }
    }
}

/// Base64 as Python takes it; padding may be missing.
const BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Size and modification time: what tells a file from a changed one.
pub(crate) fn stamp(about: &std::fs::Metadata) -> (u64, u64) {
    let time = about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    (about.len(), time.map_or(0, |time| time.as_nanos() as u64))
}

/// The largest picture file that is read.
const MAX_FILE: u64 = 1 << 30;

/// Reads a file that is really one: a pipe or a device would never end.
fn read_plain_file(path: &Path) -> io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    let mut bytes = Vec::new();
    if about.len() <= MAX_FILE {
        // It may become longer meanwhile.
        bytes.reserve_exact(about.len() as usize + 1);
        io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, MAX_FILE + 1), &mut bytes)?;
    }
    if about.len().max(bytes.len() as u64) > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 GiB"));
    }
    Ok(bytes)
}

/// The longest caption that is taken [bytes]: some thousand times what a model reads, and no line without end.
pub(crate) const MAX_CAPTION: usize = 1 << 20;

/// One entry of a dataset, whatever its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its picture.
    pub image: ImageRef,
    /// Its captions as written; none where a format has none.
    pub captions: Vec<String>,
    /// Its id, where the annotations give one.
    pub id: Option<String>,
    /// Where it stands in the annotations.
    pub origin: Origin,
}

/// Where an entry stands, so that findings and errors can point at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Which of the dataset's annotation files, see [`crate::Dataset::files`].
    pub file: u32,
    /// Line, from 1; 0 where a format has no lines.
    pub line: u32,
    /// The entry within its file, from 0, broken ones counted.
    pub entry: u32,
    /// The entry's first byte in the file (of a compressed one: in its unpacked copy).
    pub offset: u64,
}

/// An entry that is no sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where it stands.
    pub origin: Origin,
    /// What is wrong, in words.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_in_the_first_folder_that_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let roots: Arc<[PathBuf]> = ["a", "b"].map(|name| dir.path().join(name)).into();
        for root in roots.iter() {
            std::fs::create_dir(root).unwrap();
        }
        let image = ImageRef { name: "x.png".into(), place: Place::Roots(roots.clone()) };
        assert_eq!(image.path(), roots[0].join("x.png"));
        assert_eq!(image.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(roots[1].join("x.png"), "two").unwrap();
        assert_eq!(image.path(), roots[1].join("x.png"));
        assert_eq!(image.read().unwrap(), b"two");
        let folder = ImageRef { name: ".".into(), place: Place::Roots(roots) };
        assert_eq!(folder.read().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
