//! The second and third stage: the pictures that entries name, their files, and what they show.

mod known;
mod look;
mod place;
mod similar;
mod spot;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub(super) use known::Known;
use known::{Content, Facts};
use look::Look;
use place::Finder;
use spot::{Spot, Stamp};

use super::finding::{Finding, Kind, NOWHERE};
use super::notes::{Entry, Notes};
use super::options::{Options, Stage, Watch};
use super::rules::{ByHash, hash_text};
use super::text;
use crate::json::Holds;
use crate::reader::Format;
use crate::sample::{ImageRef, Place};

/// A picture: the first entry that names it.
#[derive(Debug, Clone, Copy)]
struct Named {
    source: usize,
    entry: usize,
}

/// A picture that is there.
pub(super) struct Placed {
    spot: Spot,
    key: String,
    facts: Facts,
    /// Whether the header was read now.
    new: bool,
}

/// The pictures of all splits.
pub(super) struct Pictures<'a> {
    sources: &'a [Notes],
    named: Vec<Named>,
    options: &'a Options,
    watch: &'a Watch<'a>,
}

impl<'a> Pictures<'a> {
    /// The pictures of each split, once each.
    pub fn of(sources: &'a [Notes], options: &'a Options, watch: &'a Watch<'a>) -> Self {
        let seed = rand::random();
        let mut named = Vec::new();
        for (source, notes) in sources.iter().enumerate() {
            let entries = &notes.texts.entries;
            let blank = |entry: &Entry| entry.image.bytes(&notes.texts.bytes).trim_ascii().is_empty();
            let hashes: Vec<u64> = entries
                .par_iter()
                .map(|e| if e.image.holds == Holds::Text { hash_text(notes, &e.image, seed) } else { 0 })
                .collect();
            let mut known: ByHash<()> = ByHash::default();
            for (entry, (own, hash)) in entries.iter().zip(hashes).enumerate() {
                let in_part = notes.range(entry).is_some();
                let text = own.image.holds == Holds::Text;
                if text && (in_part || known.insert(hash, ()).is_none()) && !blank(own) {
                    named.push(Named { source, entry });
                }
            }
        }
        Self { sources, named, options, watch }
    }

    fn source(&self, picture: &Named) -> &Notes {
        &self.sources[picture.source]
    }

    fn name(&self, picture: &Named) -> String {
        let texts = &self.source(picture).texts;
        texts.entries.get(picture.entry).map_or(String::new(), |entry| texts.text(&entry.image).into_owned())
    }

    fn finding(&self, picture: &Named, kind: Kind, message: impl Into<Cow<'static, str>>) -> Finding {
        let notes = self.source(picture);
        let at = notes.texts.entries.get(picture.entry).map_or(0, |entry| entry.image.at);
        notes.finding(kind, at, Some(picture.entry), message)
    }

    /// A finding on `picture` that `other` has to do with.
    fn pair(&self, picture: &Named, other: &Named, kind: Kind, message: String) -> Finding {
        let mut finding = self.finding(picture, kind, message);
        finding.related = self.source(other).related(other.entry);
        finding
    }

    /// Pictures that two splits name alike. Those of other folders are compared by what they show.
    pub fn named_twice(&self) -> Vec<Finding> {
        if self.sources.len() < 2 {
            return Vec::new();
        }
        let mut known: HashMap<(String, &[PathBuf]), &Named> = HashMap::new();
        let mut found = Vec::new();
        // Siblings come last, and are then what the finding points to.
        for picture in self.named.iter().rev().filter(|p| self.source(p).range(p.entry).is_none()) {
            let other = known.insert((self.name(picture), &*self.source(picture).roots), picture);
            let Some(other) = other.filter(|_| self.source(picture).asked) else { continue };
            let message = format!(
                "the picture stands in {} too (entry {}): keep it in one split",
                self.source(other).file.display(),
                other.entry
            );
            found.push(self.pair(picture, other, Kind::SplitLeak, message));
        }
        found
    }

    /// `work` for every picture on all cores, with progress; none for those after a cancellation.
    fn each<T: Send>(&self, stage: Stage, work: impl Fn(usize, &Named) -> T + Sync) -> Vec<Option<T>> {
        let (done, all) = (AtomicUsize::new(0), self.named.len());
        let one = |(index, picture)| {
            let result = (!self.watch.cancelled()).then(|| work(index, picture));
            if result.is_some() {
                (self.watch.progress)(stage, done.fetch_add(1, Ordering::Relaxed) + 1, all);
            }
            result
        };
        self.named.par_iter().enumerate().map(one).collect()
    }

    fn tell(&self, found: &[Finding]) {
        if !found.is_empty() {
            (self.watch.found)(found);
        }
    }

    /// Where every picture is, and what is wrong with that or its header; how many headers were read.
    pub fn files(&self, known: &Known) -> (Vec<Option<Placed>>, Vec<Finding>, usize) {
        let finder = Finder::default();
        let parts: Mutex<HashMap<PathBuf, Option<Stamp>>> = Mutex::default();
        let results = self.each(Stage::Files, |_, picture| {
            let name = self.name(picture);
            let notes = self.source(picture);
            let found = |problems: Vec<(Kind, String)>| -> Vec<Finding> {
                let asked = problems.into_iter().filter(|_| notes.asked);
                asked.map(|(kind, message)| self.finding(picture, kind, message)).collect()
            };
            let (spot, key, stamp) = match notes.range(picture.entry) {
                // open_clip's tables have absolute paths.
                None => match finder.find(&name, &notes.roots, notes.format == Format::Table) {
                    Ok((path, stamp)) => {
                        let key = path.to_string_lossy().into_owned();
                        (Spot::File(path), key, stamp)
                    }
                    Err(problem) => return (None, found(vec![problem])),
                },
                Some((part, range)) => {
                    let path = &part.path;
                    let stamp = *parts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .entry(path.clone())
                        .or_insert_with(|| std::fs::metadata(path).ok().map(|about| Stamp::of(&about)));
                    let Some(stamp) = stamp else {
                        let message = format!("{} cannot be read any more", path.display());
                        return (None, found(vec![(Kind::Unreadable, message)]));
                    };
                    let place = Place::Range {
                        part: part.clone(),
                        start: range.start,
                        length: range.length,
                        encoding: range.encoding,
                    };
                    let key = format!("{}:{}", path.display(), range.start);
                    (Spot::Part(ImageRef { name: name.clone(), place }), key, stamp)
                }
            };
            let kept = known.files.get(&key).filter(|facts| facts.stamp == stamp && facts.settled);
            let new = kept.is_none();
            let facts = kept.cloned().unwrap_or_else(|| {
                let settled = stamp.is_settled();
                Facts { stamp, settled, header: spot.header(), content: None }
            });
            let found = found(facts.header.judge(Path::new(&name), &self.options.thresholds));
            (Some(Placed { spot, key, facts, new }), found)
        });
        let (mut placed, mut found, mut read) = (Vec::with_capacity(results.len()), Vec::new(), 0);
        for result in results {
            let (place, own) = result.unwrap_or((None, Vec::new()));
            read += usize::from(place.as_ref().is_some_and(|place| place.new));
            placed.push(place);
            found.extend(own);
        }
        if !self.watch.cancelled() {
            found.extend(self.unused(&placed));
        }
        self.tell(&found);
        (placed, found, read)
    }

    /// Pictures in the folders that entries name some of, which no entry names.
    fn unused(&self, placed: &[Option<Placed>]) -> Vec<Finding> {
        let (mut named, mut looked_in) = (BTreeSet::new(), BTreeSet::new());
        for (picture, place) in self.named.iter().zip(placed) {
            let Some(Placed { spot: Spot::File(path), .. }) = place else { continue };
            named.insert(path.clone());
            let notes = self.source(picture);
            // A reader of a folder names all that is there.
            if notes.asked && !matches!(notes.format, Format::Sidecar | Format::Classes) {
                looked_in.extend(path.parent().map(Path::to_path_buf));
            }
        }
        let unused = place::unused(&named, &looked_in);
        let finding = |file: PathBuf| Finding {
            kind: Kind::UnusedPicture,
            file: file.into(),
            line: 0,
            column: 0,
            offset: NOWHERE,
            entry: None,
            related: None,
            message: "no entry names this picture".into(),
        };
        unused.into_iter().map(finding).collect()
    }

    /// Decodes what is not known yet, and compares; how many were decoded.
    pub fn content(&self, known: &mut Known, placed: &mut [Option<Placed>]) -> (Vec<Finding>, usize) {
        // Of a split that was not asked for, only files as long as one that was can be the same.
        let asked = |picture: &Named| self.source(picture).asked;
        let size = |index: usize| match placed.get(index) {
            Some(Some(Placed { facts, spot: Spot::File(_), .. })) => facts.stamp.size(),
            _ => 0,
        };
        let all = || self.named.iter().enumerate();
        let sizes: HashSet<u64> =
            all().filter(|(_, picture)| asked(picture)).map(|(index, _)| size(index)).collect();
        let limits = &self.options.thresholds;
        type Shown = (Option<Content>, Option<Look>, Vec<Finding>);
        let shown: Vec<Option<Shown>> = {
            let (placed, known) = (&*placed, &*known);
            self.each(Stage::Content, |index, picture| {
                let nothing = (None, None, Vec::new());
                let Some(Some(place)) = placed.get(index) else { return nothing };
                // A file without a picture's header was told already.
                if place.facts.header.is_bad() || (!asked(picture) && !sizes.contains(&size(index))) {
                    return nothing;
                }
                let finding = |(kind, message)| vec![self.finding(picture, kind, message)];
                let (content, bytes) = match place.facts.content {
                    Some(content) => (content, None),
                    None => match place.spot.read() {
                        Ok(bytes) => (Content::of(&bytes), Some(bytes)),
                        Err(message) => return (None, None, finding((Kind::Unreadable, message))),
                    },
                };
                if !asked(picture) {
                    return (Some(content), None, Vec::new());
                }
                if let Some(look) = known.looks.get(&content) {
                    let found = look.judge(limits).map(finding).unwrap_or_default();
                    return (Some(content), None, found);
                }
                let bytes = match bytes.map_or_else(|| place.spot.read(), Ok) {
                    Ok(bytes) => bytes,
                    Err(message) => return (None, None, finding((Kind::Unreadable, message))),
                };
                // It may have changed since its header was read.
                let content = Content::of(&bytes);
                let look = Look::at(&bytes);
                let found = look.judge(limits).map(finding).unwrap_or_default();
                self.tell(&found);
                (Some(content), Some(look), found)
            })
        };
        let (mut contents, mut looks, mut found) = (Vec::with_capacity(shown.len()), Vec::new(), Vec::new());
        for (place, shown) in placed.iter_mut().zip(shown) {
            let (content, look, own) = shown.unwrap_or((None, None, Vec::new()));
            if let (Some(place), Some(content)) = (place, content) {
                place.facts.content = Some(content);
                looks.extend(look.map(|look| (content, look)));
            }
            contents.push(content);
            found.extend(own);
        }
        let decoded = looks.len();
        known.learn(std::iter::empty(), looks.into_iter());
        let alike = self.alike(known, &contents, placed);
        self.tell(&alike);
        found.extend(alike);
        (found, decoded)
    }

    /// Keeps what was found out about files.
    pub fn keep(&self, known: &mut Known, placed: &[Option<Placed>]) {
        let there = || placed.iter().flatten();
        known.learn(there().map(|place| (place.key.clone(), place.facts.clone())), std::iter::empty());
        if !self.watch.cancelled() {
            known.keep(&there().map(|place| place.key.as_str()).collect());
        }
        known.save();
    }

    /// Pictures that are the same, or look so.
    fn alike(
        &self,
        known: &mut Known,
        contents: &[Option<Content>],
        placed: &[Option<Placed>],
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut first: HashMap<Content, usize> = HashMap::new();
        let mut hashes = Vec::new();
        let place = |index: usize| placed.get(index).and_then(Option::as_ref);
        let key = |index: usize| place(index).map(|place| place.key.as_str());
        for (index, content) in contents.iter().enumerate() {
            let Some(content) = content else { continue };
            let look = known.looks.get(content);
            if look.is_some_and(|look| look.problem.is_some()) {
                continue;
            }
            let original = *first.entry(*content).or_insert(index);
            if original != index {
                if key(original) != key(index) {
                    found.extend(self.same(original, index, None));
                }
            } else if let Some(hash) = look.and_then(|look| look.sight.as_ref()?.hash) {
                hashes.push((index, hash));
            }
        }
        let limits = &self.options.thresholds;
        let content = |index: usize| contents.get(index).copied().flatten();
        let candidates = self.candidates(known, contents, &hashes);
        let pair = |a: usize, b: usize| Some((content(a)?, content(b)?));
        let unknown: Vec<(usize, usize)> = candidates
            .iter()
            .copied()
            .filter(|(a, b)| pair(*a, *b).is_some_and(|pair| !known.pairs.contains_key(&pair)))
            .collect();
        let compared: Vec<_> = unknown
            .into_par_iter()
            .filter(|_| !self.watch.cancelled())
            .filter_map(|(a, b)| {
                let (one, two) = (place(a)?.spot.read().ok()?, place(b)?.spot.read().ok()?);
                Some((pair(a, b)?, look::difference(&one, &two)))
            })
            .collect();
        known.learn_pairs(compared.into_iter());
        let mut near: Vec<(usize, usize, f64)> = candidates
            .into_iter()
            .filter_map(|(a, b)| {
                let (mean, most) = (*known.pairs.get(&pair(a, b)?)?)?;
                let is_near = mean <= limits.near_difference && most <= limits.near_difference * 8.0;
                is_near.then_some((a, b, mean))
            })
            .collect();
        near.sort_by_key(|(a, b, _)| (*b, *a));
        // A picture is told once, with the first one that it resembles.
        near.dedup_by_key(|(_, b, _)| *b);
        found.extend(near.into_iter().filter_map(|(a, b, mean)| self.same(a, b, Some(mean))));
        found
    }

    /// Pairs that may look the same, by their perceptual `hashes` and on a coarse grid: what differs much on that differs
    /// as much on a fine one. Those of the same pictures are known from the last check.
    fn candidates(
        &self,
        known: &mut Known,
        contents: &[Option<Content>],
        hashes: &[(usize, u64)],
    ) -> Vec<(usize, usize)> {
        let limits = &self.options.thresholds;
        let key = known::Alike::key(contents, limits.near_bits, limits.near_difference);
        if let Some(alike) = known.alike.as_ref().filter(|alike| alike.key == key) {
            return alike.pairs.iter().map(|(a, b)| (*a as usize, *b as usize)).collect();
        }
        let sight = |content: &Option<Content>| known.looks.get(content.as_ref()?)?.sight.as_ref();
        let sights: Vec<_> = contents.iter().map(sight).collect();
        let of = |index: usize| sights.get(index).copied().flatten();
        let close = |a: usize, b: usize| match (of(a), of(b)) {
            (Some(a), Some(b)) => a.is_near(b, limits.near_difference + 1.0) && !self.watch.cancelled(),
            _ => false,
        };
        let pairs = similar::pairs(hashes, limits.near_bits, close);
        if !self.watch.cancelled() {
            known.learn_alike(key, &pairs);
        }
        pairs
    }

    fn same(&self, first: usize, second: usize, difference: Option<f64>) -> Option<Finding> {
        let (mut other, mut picture) = (self.named.get(first)?, self.named.get(second)?);
        if !self.source(picture).asked {
            (other, picture) = (picture, other);
        }
        if !self.source(picture).asked {
            return None;
        }
        let like = match difference {
            None => "the same picture as".to_string(),
            Some(mean) => format!("looks the same (mean difference {mean:.1} of 255) as"),
        };
        let name = text::shorten(&self.name(other));
        Some(if other.source == picture.source {
            let kind = if difference.is_none() { Kind::DuplicatePicture } else { Kind::NearDuplicate };
            let message = format!("{like} '{name}' of entry {}: keep one of the two", other.entry);
            self.pair(picture, other, kind, message)
        } else {
            let file = self.source(other).file.display();
            let message = format!("{like} '{name}' of entry {} in {file}: keep it in one split", other.entry);
            self.pair(picture, other, Kind::SplitLeak, message)
        })
    }
}

#[cfg(test)]
mod tests;
