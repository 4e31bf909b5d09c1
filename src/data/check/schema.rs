//! The first stage: what the annotations say, without a look at one picture.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use super::finding::{Finding, Kind, Related};
use super::options::Thresholds;
use super::scan::{Entry, Field, Holds, Scan, scan};
use super::text;

/// One annotation file in memory.
pub(super) struct Source {
    pub file: PathBuf,
    pub bytes: Vec<u8>,
    pub scan: Scan,
    /// The folders that its pictures may lie in.
    pub roots: Vec<PathBuf>,
    /// Whether its findings are wanted; a sibling is only there to be compared with.
    pub asked: bool,
}

impl Source {
    /// Reads and scans a file.
    pub fn open(file: &Path, image_root: Option<&Path>, asked: bool) -> Result<Self, Box<Finding>> {
        let unreadable = |message: String| {
            Box::new(Finding {
                kind: Kind::Unreadable,
                file: file.to_path_buf(),
                line: 0,
                column: 0,
                offset: 0,
                entry: None,
                related: None,
                message,
            })
        };
        let about =
            std::fs::metadata(file).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        if !about.is_file() {
            return Err(unreadable("not a plain file: name an annotation file or a folder".into()));
        }
        let bytes = std::fs::read(file).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        let scan = scan(&bytes);
        let folder = file.parent().unwrap_or(Path::new(""));
        let roots = match image_root {
            Some(root) => vec![root.to_path_buf()],
            None => vec![folder.to_path_buf(), folder.join("images"), folder.join("../images")],
        };
        Ok(Self { file: file.to_path_buf(), bytes, scan, roots, asked })
    }

    /// A finding at a place of it.
    pub fn finding(
        &self,
        kind: Kind,
        at: usize,
        entry: Option<usize>,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            kind,
            file: self.file.clone(),
            line: 0,
            column: 0,
            offset: at,
            entry,
            related: None,
            message: message.into(),
        }
    }

    /// One of its entries, as the other one of a pair.
    pub fn related(&self, entry: usize) -> Option<Related> {
        Some(Related { file: self.file.clone(), entry: Some(entry) })
    }
}

/// What is wrong with the annotations of one file.
pub(super) fn check(source: &Source, limits: &Thresholds) -> Vec<Finding> {
    let mut schema = Schema { source, found: Vec::new(), random: RandomState::new() };
    schema.all(limits);
    schema.found
}

struct Schema<'a> {
    source: &'a Source,
    found: Vec<Finding>,
    random: RandomState,
}

impl Schema<'_> {
    fn push(&mut self, kind: Kind, at: usize, entry: usize, message: impl Into<String>) {
        self.found.push(self.source.finding(kind, at, Some(entry), message));
    }

    fn pair(&mut self, kind: Kind, at: usize, entry: usize, other: usize, message: String) {
        let mut finding = self.source.finding(kind, at, Some(entry), message);
        finding.related = self.source.related(other);
        self.found.push(finding);
    }

    fn all(&mut self, limits: &Thresholds) {
        let scan = &self.source.scan;
        for problem in &scan.problems {
            // A fault behind the last entry, or of the whole file, belongs to none.
            let entry = (!matches!(problem.kind, Kind::WrongForm | Kind::NoEntries)).then_some(problem.entry);
            self.found.push(self.source.finding(problem.kind, problem.at, entry, problem.message.clone()));
        }
        self.damaged_bytes();
        if scan.entries.is_empty() && scan.problems.is_empty() {
            let message = "has no entries: add some";
            self.found.push(self.source.finding(Kind::NoEntries, 0, None, message));
        }
        for (number, entry) in scan.entries.iter().enumerate() {
            // What is no object is told already.
            if entry.len > 0 {
                self.fields(number, entry);
            }
        }
        self.duplicates();
        self.repeated(limits);
    }

    /// Bytes that are no UTF-8.
    fn damaged_bytes(&mut self) {
        let (mut from, mut told) = (0, 0);
        while let Err(error) = std::str::from_utf8(self.source.bytes.get(from..).unwrap_or(&[])) {
            let at = from + error.valid_up_to();
            let entries = &self.source.scan.entries;
            let entry = entries.partition_point(|entry| entry.at <= at).checked_sub(1);
            let message = "bytes that are no UTF-8: save the file as UTF-8 (it may be GBK or Latin-1)";
            self.found.push(self.source.finding(Kind::Encoding, at, entry, message));
            told += 1;
            if told >= 1000 {
                return;
            }
            // One finding an entry is enough.
            let next =
                entry.and_then(|entry| entries.get(entry + 1)).map_or(self.source.bytes.len(), |e| e.at);
            from = next.max(at + error.error_len().unwrap_or(1));
        }
    }

    fn fields(&mut self, number: usize, entry: &Entry) {
        let bytes = &self.source.bytes;
        let (at, image, id, caption) = (entry.at, entry.image, entry.id, entry.caption);
        let wrong = |field: &str, holds: Holds, wants: &str| {
            format!("\"{field}\" is {}, and has to be {wants}", holds.name())
        };
        match image.holds {
            Holds::Nothing => {
                self.push(Kind::MissingField, at, number, "no \"image\": name the picture's file")
            }
            Holds::Text => {
                let name = image.text(bytes);
                if name.trim().is_empty() {
                    self.push(
                        Kind::MissingField,
                        image.at,
                        number,
                        "\"image\" is empty: name the picture's file",
                    );
                } else if let Some((kind, message)) = text::any(&name) {
                    self.push(kind, image.at, number, message);
                }
            }
            other => self.push(Kind::WrongType, image.at, number, wrong("image", other, "a path in quotes")),
        }
        if !matches!(id.holds, Holds::Nothing | Holds::Null | Holds::Text | Holds::Number) {
            self.push(Kind::WrongType, id.at, number, wrong("image_id", id.holds, "text or a number"));
        }
        match caption.holds {
            Holds::Nothing => {
                return self.push(
                    Kind::MissingField,
                    at,
                    number,
                    "no \"caption\": write one or remove the entry",
                );
            }
            Holds::List if entry.captions == 0 => {
                self.push(Kind::EmptyCaption, caption.at, number, "the list of captions is empty: write one");
            }
            _ => {}
        }
        for field in self.source.scan.captions_of(entry) {
            if field.holds != Holds::Text {
                self.push(
                    Kind::WrongType,
                    field.at,
                    number,
                    wrong("caption", field.holds, "text or a list of texts"),
                );
                continue;
            }
            let raw = field.raw(bytes);
            if text::plain(raw.get(1..raw.len().saturating_sub(1)).unwrap_or(&[])) {
                continue;
            }
            for (kind, message) in text::caption(&field.text(bytes)) {
                self.push(kind, field.at, number, message);
            }
        }
    }

    fn hash(&self, field: &Field) -> u64 {
        self.random.hash_one(&*field.text(&self.source.bytes))
    }

    fn duplicates(&mut self) {
        let scan = &self.source.scan;
        let mut entries: HashMap<u64, u32> = HashMap::with_capacity(scan.entries.len());
        let mut ids: HashMap<u64, (u32, u64)> = HashMap::with_capacity(scan.entries.len());
        for (number, entry) in scan.entries.iter().enumerate() {
            if entry.image.holds != Holds::Text {
                continue;
            }
            let image = self.hash(&entry.image);
            let captions: Vec<u64> = scan.captions_of(entry).iter().map(|field| self.hash(field)).collect();
            let first =
                *entries.entry(self.random.hash_one((image, &captions))).or_insert(number as u32) as usize;
            let same = first != number;
            if same {
                let message = format!("the same picture and caption as entry {first}: remove one of them");
                self.pair(Kind::DuplicateEntry, entry.at, number, first, message);
            }
            if !matches!(entry.id.holds, Holds::Text | Holds::Number) {
                continue;
            }
            let id = self.random.hash_one((entry.id.holds == Holds::Text, self.hash(&entry.id)));
            let (first, its_image) = *ids.entry(id).or_insert((number as u32, image));
            let first = first as usize;
            let name = text::shorten(&entry.id.text(&self.source.bytes));
            if its_image != image {
                let message = format!(
                    "id '{name}' names another picture in entry {first}: give each picture its own id"
                );
                self.pair(Kind::IdConflict, entry.id.at, number, first, message);
            } else if first != number && entry.caption.holds == Holds::List && !same {
                let message =
                    format!("id '{name}' stands in entry {first} already: join the captions of the two");
                self.pair(Kind::DuplicateId, entry.id.at, number, first, message);
            }
        }
    }

    /// Captions that many pictures share.
    fn repeated(&mut self, limits: &Thresholds) {
        let scan = &self.source.scan;
        // For each caption: its first entry and another one, the picture seen last, how many pictures.
        let mut seen: HashMap<u64, (u32, u32, u64, u32)> = HashMap::with_capacity(scan.captions.len());
        let mut images = std::collections::HashSet::new();
        for (number, entry) in scan.entries.iter().enumerate() {
            let image = self.hash(&entry.image);
            images.insert(image);
            for field in scan.captions_of(entry).iter().filter(|field| field.holds == Holds::Text) {
                let number = number as u32;
                let known = seen.entry(self.hash(field)).or_insert((number, number, image, 1));
                if known.2 != image {
                    known.1 = if known.3 == 1 { number } else { known.1 };
                    (known.2, known.3) = (image, known.3 + 1);
                }
            }
        }
        let share = (images.len() as f64 * limits.repeated_share).ceil() as usize;
        let least = limits.repeated_images.max(share);
        let mut many: Vec<_> = seen.into_iter().filter(|(_, known)| known.3 as usize >= least).collect();
        many.sort_by_key(|(_, known)| known.0);
        for (hash, (first, second, _, count)) in many {
            let Some(entry) = scan.entries.get(first as usize) else { continue };
            let own = scan.captions_of(entry).iter().find(|field| self.hash(field) == hash);
            let Some(field) = own else { continue };
            let words = field.text(&self.source.bytes);
            if words.trim().is_empty() {
                continue;
            }
            let message = format!(
                "'{}' is the caption of {count} pictures: describe each of them",
                text::shorten(&words)
            );
            self.pair(Kind::RepeatedCaption, field.at, first as usize, second as usize, message);
        }
    }
}
