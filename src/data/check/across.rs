//! What entries of one file are to one another: duplicates, ids, captions that repeat.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::finding::{Finding, Kind};
use super::notes::{Entry, Notes};
use super::options::Thresholds;
use super::rules::hash_text;
use super::text;
use crate::json::Holds;

/// Findings on pairs and groups of entries.
pub(super) fn check(notes: &Notes, limits: &Thresholds) -> Vec<Finding> {
    // Another seed each time: nobody can make texts whose hashes are equal.
    let seed = rand::random();
    let images: Vec<u64> = notes
        .texts
        .entries
        .par_iter()
        .enumerate()
        .map(|(number, entry)| match notes.range(number) {
            // What stands in a part is a picture of its own, whatever it is called.
            Some(_) => xxh3_64(&number.to_le_bytes()),
            None if has_image(entry) => hash_text(notes, &entry.image, seed),
            None => 0,
        })
        .collect();
    let captions = notes.texts.captions.par_iter().map(|caption| hash_text(notes, caption, seed)).collect();
    let across = Across { notes, seed, images, captions };
    let mut found = across.entries();
    let same: std::collections::HashSet<usize> = found.iter().filter_map(|finding| finding.entry).collect();
    found.extend(across.ids(&same));
    found.extend(across.captions(limits));
    found
}

fn has_image(entry: &Entry) -> bool {
    entry.image.holds == Holds::Text
}

struct Across<'a> {
    notes: &'a Notes,
    seed: u64,
    /// The hash of each entry's picture.
    images: Vec<u64>,
    /// The hash of each caption.
    captions: Vec<u64>,
}

/// Those that have the same hash, in their order, as ranges of the sorted list.
fn runs(all: &mut [(u64, u32)]) -> impl Iterator<Item = &[(u64, u32)]> {
    all.par_sort_unstable();
    all.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1)
}

impl Across<'_> {
    fn entry(&self, number: u32) -> Option<&Entry> {
        self.notes.texts.entries.get(number as usize)
    }

    fn pair(&self, kind: Kind, at: usize, entry: u32, other: u32, message: String) -> Finding {
        let mut finding = self.notes.finding(kind, at, Some(entry as usize), message);
        finding.related = self.notes.related(other as usize);
        finding
    }

    /// The hashes that `of` gives, with the numbers of their entries.
    fn hashes(&self, of: impl Fn(u32, &Entry) -> Option<u64> + Sync) -> Vec<(u64, u32)> {
        let entries = self.notes.texts.entries.par_iter().enumerate();
        entries.filter_map(|(number, entry)| Some((of(number as u32, entry)?, number as u32))).collect()
    }

    fn image(&self, number: u32) -> u64 {
        self.images.get(number as usize).copied().unwrap_or(0)
    }

    /// Entries with the same picture and captions.
    fn entries(&self) -> Vec<Finding> {
        let mut all = self.hashes(|number, entry| {
            if !has_image(entry) || entry.captions == 0 {
                return None;
            }
            let first = entry.first_caption as usize;
            let captions = self.captions.get(first..first + entry.captions as usize)?;
            Some(captions.iter().fold(self.image(number), |whole, caption| {
                let mut both = [0; 16];
                both[..8].copy_from_slice(&whole.to_le_bytes());
                both[8..].copy_from_slice(&caption.to_le_bytes());
                xxh3_64(&both)
            }))
        });
        let mut found = Vec::new();
        for run in runs(&mut all) {
            let Some(((_, first), others)) = run.split_first() else { continue };
            for (_, number) in others {
                let Some(entry) = self.entry(*number) else { continue };
                let message = format!("the same picture and caption as entry {first}: remove one of them");
                found.push(self.pair(Kind::DuplicateEntry, entry.at, *number, *first, message));
            }
        }
        found
    }

    /// Ids that several pictures have, or several entries that hold all captions of their picture. `same` are the
    /// entries told already.
    fn ids(&self, same: &std::collections::HashSet<usize>) -> Vec<Finding> {
        let mut all = self.hashes(|_, entry| match entry.id.holds {
            Holds::Text | Holds::Number if has_image(entry) => {
                let kind = u64::from(entry.id.holds == Holds::Text);
                Some(hash_text(self.notes, &entry.id, self.seed ^ kind))
            }
            _ => None,
        });
        let mut found = Vec::new();
        for run in runs(&mut all) {
            let Some(((_, first), others)) = run.split_first() else { continue };
            for (_, number) in others {
                let Some(entry) = self.entry(*number) else { continue };
                let another = self.image(*number) != self.image(*first);
                let again = entry.caption.holds == Holds::List && !same.contains(&(*number as usize));
                if !another && !again {
                    continue;
                }
                let name = text::shorten(&self.notes.texts.text(&entry.id));
                let (kind, message) = if another {
                    let message = format!(
                        "id '{name}' names another picture in entry {first}: give each picture its own id"
                    );
                    (Kind::IdConflict, message)
                } else {
                    let message =
                        format!("id '{name}' stands in entry {first} already: join the captions of the two");
                    (Kind::DuplicateId, message)
                };
                found.push(self.pair(kind, entry.id.at, *number, *first, message));
            }
        }
        found
    }

    /// Captions that many pictures share.
    fn captions(&self, limits: &Thresholds) -> Vec<Finding> {
        // The captions of a class are all one.
        if self.notes.format == crate::reader::Format::Classes {
            return Vec::new();
        }
        let texts = &self.notes.texts;
        let mut images = self.images.clone();
        images.par_sort_unstable();
        images.dedup();
        let in_parts = texts.entries.len().min(images.len().max(1));
        let share = (in_parts as f64 * limits.repeated_share).ceil() as usize;
        let least = limits.repeated_images.max(share).max(2);
        drop(images);
        let mut all: Vec<(u64, u32)> = texts
            .captions
            .par_iter()
            .zip(&self.captions)
            .enumerate()
            .filter(|(_, (caption, _))| caption.holds == Holds::Text)
            .map(|(number, (_, hash))| (*hash, number as u32))
            .collect();
        let mut many = Vec::new();
        for run in runs(&mut all).filter(|run| run.len() >= least) {
            let entry_of = |caption: u32| {
                let behind = texts.entries.partition_point(|entry| entry.first_caption <= caption);
                behind.saturating_sub(1) as u32
            };
            let entries: Vec<u32> = run.iter().map(|(_, caption)| entry_of(*caption)).collect();
            let (Some(first), Some((_, caption))) = (entries.first(), run.first()) else { continue };
            let mut pictures: Vec<u64> = entries.iter().map(|entry| self.image(*entry)).collect();
            let second = entries.iter().find(|entry| self.image(**entry) != self.image(*first));
            pictures.sort_unstable();
            pictures.dedup();
            if let Some(second) = second
                && pictures.len() >= least
            {
                many.push((*caption, *first, *second, pictures.len()));
            }
        }
        many.sort_unstable();
        let mut found = Vec::new();
        for (caption, first, second, count) in many {
            let Some(field) = texts.captions.get(caption as usize) else { continue };
            let words = texts.text(field);
            if words.trim().is_empty() {
                continue;
            }
            let message = format!(
                "'{}' is the caption of {count} pictures: describe each of them",
                text::shorten(&words)
            );
            found.push(self.pair(Kind::RepeatedCaption, field.at, first, second, message));
        }
        found
    }
}
