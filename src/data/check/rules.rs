//! The first stage: what the entries of annotations say, each by itself.

use std::borrow::Cow;
use std::hash::{BuildHasherDefault, Hasher};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::finding::{Finding, Kind};
use super::notes::{Entry, Notes};
use super::options::Watch;
use super::text;
use crate::json::{Holds, Span};
use crate::sample::MAX_CAPTION;

/// Hashes by their own value.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map whose keys are hashes.
pub(super) type ByHash<V> = std::collections::HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// A finding on an entry, with its distance from the entry's first byte.
pub(super) type Told = (Kind, usize, Cow<'static, str>);

/// What entries were found to be, by the hash of their text: an entry that stays is not judged again.
#[derive(Debug)]
pub(super) struct Judged {
    /// Those with nothing wrong.
    right: ByHash<()>,
    wrong: ByHash<Box<[Told]>>,
    /// Whether there will be another check.
    remembers: bool,
}

impl Default for Judged {
    fn default() -> Self {
        Self { right: ByHash::default(), wrong: ByHash::default(), remembers: true }
    }
}

/// The hash of an entry's text.
pub(super) fn hash_of(notes: &Notes, entry: &Entry) -> u64 {
    let bytes = notes.texts.bytes.get(entry.at..entry.at.saturating_add(entry.len as usize));
    xxh3_64_with_seed(bytes.unwrap_or_default(), notes.format as u64)
}

impl Judged {
    /// For one check alone.
    pub fn forgetful() -> Self {
        Self { remembers: false, ..Self::default() }
    }

    /// One that knows nothing.
    pub fn anew(&self) -> Self {
        Self { remembers: self.remembers, ..Self::default() }
    }

    /// What is wrong with each entry, in order; how many were judged anew. `judge` gives what is wrong with one.
    pub fn all(
        &mut self,
        notes: &Notes,
        watch: &Watch<'_>,
        judge: impl Fn(&Notes, &Entry) -> Vec<Told> + Sync,
    ) -> (Vec<Finding>, usize) {
        let Self { right, wrong, remembers } = &*self;
        let of_chunk = |(chunk, entries): (usize, &[Entry])| {
            let (mut found, mut new, mut count) = (Vec::new(), Vec::new(), 0);
            for (place, entry) in entries.iter().enumerate() {
                // What is no object is told already.
                if entry.len == 0 || watch.cancelled() {
                    continue;
                }
                let number = chunk * CHUNK + place;
                let hash = if *remembers { hash_of(notes, entry) } else { 0 };
                let mut tell = |told: &[Told]| {
                    let findings = told.iter().map(|(kind, at, message)| {
                        notes.finding(*kind, entry.at + at, Some(number), message.clone())
                    });
                    found.extend(findings);
                };
                if right.contains_key(&hash) {
                    continue;
                }
                if let Some(told) = wrong.get(&hash) {
                    tell(told);
                    continue;
                }
                let told = judge(notes, entry);
                tell(&told);
                count += 1;
                if *remembers {
                    new.push((hash, told.into_boxed_slice()));
                }
            }
            if !found.is_empty() {
                (watch.found)(&found);
            }
            (found, (new, count))
        };
        let chunks = notes.texts.entries.par_chunks(CHUNK).enumerate().map(of_chunk);
        let (found, new): (Vec<_>, Vec<_>) = chunks.unzip();
        self.right.reserve(new.iter().map(|(new, _)| new.len()).sum());
        let mut count = 0;
        for (new, some) in new {
            count += some;
            for (hash, told) in new {
                if told.is_empty() {
                    self.right.insert(hash, ());
                } else {
                    self.wrong.insert(hash, told);
                }
            }
        }
        (joined(found), count)
    }

    /// Forgets entries that are no longer there.
    pub fn keep(&mut self, sources: &[Notes]) {
        let there: usize = sources.iter().map(|notes| notes.texts.entries.len()).sum();
        if self.right.len() + self.wrong.len() > there.saturating_mul(2) + 1024 {
            *self = self.anew();
        }
    }
}

/// All findings of chunks, in order; what is taken over is freed as it goes.
fn joined(chunks: Vec<Vec<Finding>>) -> Vec<Finding> {
    let mut all = Vec::with_capacity(chunks.iter().map(Vec::len).sum());
    for mut chunk in chunks {
        all.append(&mut chunk);
    }
    all
}

/// Entries that are judged in one go.
const CHUNK: usize = 4096;

/// What is wrong with the fields of an entry.
pub(super) fn fields(notes: &Notes, entry: &Entry) -> Vec<Told> {
    let bytes = &notes.texts.bytes;
    let (image, id, caption) = (entry.image, entry.id, entry.caption);
    let mut found = Vec::new();
    let mut push = |kind: Kind, at: usize, message: Cow<'static, str>| {
        found.push((kind, at.saturating_sub(entry.at), message));
    };
    let wrong = |field: &str, holds: Holds, wants: &str| {
        Cow::Owned(format!("\"{field}\" is {}, and has to be {wants}", holds.name()))
    };
    match image.holds {
        Holds::Nothing => {
            push(Kind::MissingField, entry.at, "no \"image\": name the picture's file".into());
        }
        Holds::Text => {
            let raw = image.bytes(bytes);
            if raw.trim_ascii().is_empty() {
                push(Kind::MissingField, image.at, "\"image\" is empty: name the picture's file".into());
            } else if !text::is_plain(&raw)
                && let Some((kind, message)) = text::any(&image.text(bytes))
            {
                push(kind, image.at, message);
            }
        }
        other => push(Kind::WrongType, image.at, wrong("image", other, "a path in quotes")),
    }
    if !matches!(id.holds, Holds::Nothing | Holds::Null | Holds::Text | Holds::Number) {
        push(Kind::WrongType, id.at, wrong("image_id", id.holds, "text or a number"));
    }
    match caption.holds {
        Holds::Nothing => {
            push(Kind::MissingField, entry.at, "no \"caption\": write one or remove the entry".into());
            return found;
        }
        Holds::List if entry.captions == 0 => {
            push(Kind::EmptyCaption, caption.at, "there is no caption: write one".into());
        }
        _ => {}
    }
    for field in notes.texts.captions_of(entry) {
        if field.holds != Holds::Text {
            push(Kind::WrongType, field.at, wrong("caption", field.holds, "text or a list of texts"));
            continue;
        }
        if field.len as usize > MAX_CAPTION && field.text(bytes).len() > MAX_CAPTION {
            let message =
                format!("a caption of {} bytes, and no more than 1 MiB is read: shorten it", field.len);
            push(Kind::BrokenEntry, field.at, message.into());
            continue;
        }
        let raw = field.bytes(bytes);
        if text::is_plain(&raw) && raw.iter().any(u8::is_ascii_alphabetic) {
            continue;
        }
        // Bytes that are no UTF-8 are told by their place in the file.
        let damaged = std::str::from_utf8(field.inner(bytes)).is_err();
        for (kind, message) in text::caption(&field.text(bytes)) {
            if !damaged || kind != Kind::Encoding {
                push(kind, field.at, message);
            }
        }
    }
    found
}

/// What is wrong with the writing of a file: its grammar, its bytes.
pub(super) fn writing(notes: &Notes) -> Vec<Finding> {
    let texts = &notes.texts;
    let mut found: Vec<Finding> = texts
        .problems
        .iter()
        .map(|problem| {
            // A fault behind the last entry, or of the whole file, belongs to none.
            let none = matches!(problem.kind, Kind::WrongForm | Kind::NoEntries | Kind::Unreadable);
            notes.finding(problem.kind, problem.at, (!none).then_some(problem.entry), problem.message.clone())
        })
        .collect();
    // What cannot be read at all has been told.
    if notes.is_one_file() && (texts.problems.is_empty() || !texts.entries.is_empty()) {
        found.extend(damaged_bytes(notes));
    }
    if texts.entries.is_empty() && texts.problems.is_empty() {
        found.push(notes.finding(Kind::NoEntries, 0, None, "has no entries: add some"));
    }
    found
}

/// Bytes that are no UTF-8, one finding an entry.
fn damaged_bytes(notes: &Notes) -> Vec<Finding> {
    /// Bytes that are looked at in one go.
    const PIECE: usize = 4 << 20;
    let (bytes, entries) = (&notes.texts.bytes, &notes.texts.entries);
    // A piece begins with a whole character.
    let begins = |at: usize| {
        let skip = bytes.iter().skip(at).take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        at + skip
    };
    let pieces: Vec<usize> = (0..bytes.len()).step_by(PIECE).collect();
    let whole = pieces.par_iter().all(|from| {
        let piece = bytes.get(begins(*from)..begins((from + PIECE).min(bytes.len())));
        piece.is_some_and(|piece| std::str::from_utf8(piece).is_ok())
    });
    let (mut from, mut found) = (0, Vec::new());
    if whole {
        return found;
    }
    while let Err(error) = std::str::from_utf8(bytes.get(from..).unwrap_or(&[])) {
        let at = from + error.valid_up_to();
        let entry = entries.partition_point(|entry| entry.at <= at).checked_sub(1);
        let message = "bytes that are no UTF-8: save the file as UTF-8 (it may be GBK or Latin-1)";
        found.push(notes.finding(Kind::Encoding, at, entry, message));
        let next = entry.and_then(|entry| entries.get(entry + 1)).map_or(bytes.len(), |e| e.at);
        from = next.max(at + error.error_len().unwrap_or(1));
    }
    found
}

/// A text's hash, whichever way it is written.
pub(super) fn hash_text(notes: &Notes, span: &Span, seed: u64) -> u64 {
    xxh3_64_with_seed(&span.bytes(&notes.texts.bytes), seed)
}
