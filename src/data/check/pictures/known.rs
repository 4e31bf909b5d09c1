//! What is known about pictures, kept between checks and between runs of the program.
//!
//! A file is known by its stamp, and what it shows by its content: a file that was only moved or touched is read, and
//! not decoded again. The file on disk is a cache: a damaged one is ignored, and it can be deleted.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64, xxh3_128};

use super::look::Look;
use super::spot::{Header, Stamp};

/// Changes with what is measured, and how.
const VERSION: u32 = 2;
/// A larger file is no cache of ours.
const MAX_FILE: u64 = 4 << 30;

/// What is known of a picture's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub stamp: Stamp,
    /// Whether the stamp can be trusted: the file had been left alone for a while.
    pub settled: bool,
    pub header: Header,
    /// The hash of its bytes, once they were read.
    pub content: Option<Content>,
}

/// The hash of a picture's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Content(u64, u64);

impl Content {
    pub fn of(bytes: &[u8]) -> Self {
        let hash = xxh3_128(bytes);
        Self((hash >> 64) as u64, hash as u64)
    }
}

/// Mean and nearly greatest difference of two pictures; none where they cannot be compared.
type Difference = Option<(f64, f64)>;

/// All that is known.
#[derive(Debug, Default)]
pub(in super::super) struct Known {
    /// The file that it is kept in.
    place: Option<PathBuf>,
    pub(super) files: HashMap<String, Facts>,
    pub(super) looks: HashMap<Content, Look>,
    pub(super) pairs: HashMap<(Content, Content), Difference>,
    pub(super) alike: Option<Alike>,
    changed: bool,
}

/// Which pictures of a list may look the same.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Alike {
    /// Stands for the list and the limits.
    pub key: u64,
    /// Places in the list.
    pub pairs: Vec<(u32, u32)>,
}

impl Alike {
    /// Of pictures in their order, with the limits of what looks the same.
    pub fn key(contents: &[Option<Content>], bits: u32, difference: f64) -> u64 {
        let mut hash = Xxh3Default::new();
        hash.update(&bits.to_le_bytes());
        hash.update(&difference.to_le_bytes());
        for content in contents {
            // No content stands for nothing there: that it is zero happens to nobody.
            let Content(high, low) = content.unwrap_or(Content(0, 0));
            hash.update(&high.to_le_bytes());
            hash.update(&low.to_le_bytes());
        }
        hash.digest()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    program: String,
    sum: u64,
}

#[derive(Serialize, Deserialize)]
enum Row {
    File(String, Facts),
    Look(Content, Look),
    Pair(Content, Content, Difference),
    Alike(Alike),
}

impl Known {
    /// What an earlier check of `dataset` has kept in `folder`.
    pub fn load(folder: Option<&Path>, dataset: &Path) -> Self {
        let absolute = std::path::absolute(dataset).unwrap_or_else(|_| dataset.to_path_buf());
        let name = dataset.file_name().unwrap_or_default().to_string_lossy();
        let name: String =
            name.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).take(60).collect();
        let sum = xxh3_64(absolute.as_os_str().as_encoded_bytes());
        let place = folder.map(|folder| folder.join(format!("{name}-{sum:016x}.check")));
        let mut known = place.as_deref().and_then(Self::read).unwrap_or_default();
        known.place = place;
        known
    }

    fn read(place: &Path) -> Option<Self> {
        let about = std::fs::metadata(place).ok()?;
        if !about.is_file() || about.len() > MAX_FILE {
            return None;
        }
        let bytes = std::fs::read(place).ok()?;
        let (head, mut body) = postcard::take_from_bytes::<Head>(&bytes).ok()?;
        if (head.version, head.sum) != (VERSION, xxh3_64(body)) || head.program != env!("CARGO_PKG_VERSION") {
            return None;
        }
        let mut known = Self::default();
        while !body.is_empty() {
            let (row, rest) = postcard::take_from_bytes(body).ok()?;
            body = rest;
            match row {
                Row::File(key, facts) => drop(known.files.insert(key, facts)),
                Row::Look(content, look) => drop(known.looks.insert(content, look)),
                Row::Pair(a, b, difference) => drop(known.pairs.insert((a, b), difference)),
                Row::Alike(alike) => known.alike = Some(alike),
            }
        }
        Some(known)
    }

    /// Takes what was found out.
    pub(super) fn learn(
        &mut self,
        files: impl Iterator<Item = (String, Facts)>,
        looks: impl Iterator<Item = (Content, Look)>,
    ) {
        for (key, facts) in files {
            self.changed |= self.files.get(&key) != Some(&facts);
            self.files.insert(key, facts);
        }
        for (content, look) in looks {
            self.changed |= self.looks.insert(content, look).is_none();
        }
    }

    /// Takes how much pairs differ.
    pub(super) fn learn_pairs(&mut self, pairs: impl Iterator<Item = ((Content, Content), Difference)>) {
        for (pair, difference) in pairs {
            self.changed |= self.pairs.insert(pair, difference).is_none();
        }
    }

    /// Takes which pictures of a list may look the same.
    pub(super) fn learn_alike(&mut self, key: u64, pairs: &[(usize, usize)]) {
        let small = |place: &usize| u32::try_from(*place).ok();
        let pairs = pairs.iter().filter_map(|(a, b)| Some((small(a)?, small(b)?))).collect();
        self.alike = Some(Alike { key, pairs });
        self.changed = true;
    }

    /// Forgets what is not among these files.
    pub(super) fn keep(&mut self, keys: &HashSet<&str>) {
        let before = self.files.len();
        self.files.retain(|key, _| keys.contains(key.as_str()));
        if self.files.len() == before {
            return;
        }
        let there: HashSet<Content> = self.files.values().filter_map(|facts| facts.content).collect();
        self.looks.retain(|content, _| there.contains(content));
        self.pairs.retain(|(a, b), _| there.contains(a) && there.contains(b));
        self.changed = true;
    }

    /// Writes it for the next run. Without a cache that takes longer, no more.
    pub fn save(&mut self) {
        let Some(place) = self.place.as_deref().filter(|_| self.changed) else { return };
        if self.write(place).is_ok() {
            self.changed = false;
        }
    }

    fn write(&self, place: &Path) -> std::io::Result<()> {
        let mut body = Vec::new();
        let files = self.files.iter().map(|(key, facts)| Row::File(key.clone(), facts.clone()));
        let looks = self.looks.iter().map(|(content, look)| Row::Look(*content, look.clone()));
        let pairs = self.pairs.iter().map(|((a, b), difference)| Row::Pair(*a, *b, *difference));
        let alike = self
            .alike
            .iter()
            .map(|Alike { key, pairs }| Row::Alike(Alike { key: *key, pairs: pairs.clone() }));
        for row in files.chain(looks).chain(pairs).chain(alike) {
            body = postcard::to_extend(&row, body).map_err(std::io::Error::other)?;
        }
        let head = Head { version: VERSION, program: env!("CARGO_PKG_VERSION").into(), sum: xxh3_64(&body) };
        let folder = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&postcard::to_allocvec(&head).map_err(std::io::Error::other)?)?;
        file.write_all(&body)?;
        file.persist(place)?;
        Ok(())
    }
}
