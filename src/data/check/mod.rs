//! Checks a dataset: what is wrong with its annotations and pictures, where, and what to do.
//!
//! Three stages: the annotations alone ([`Stage::Schema`]), the pictures' files and headers ([`Stage::Files`]),
//! every picture decoded and compared, and the tokens of captions ([`Stage::Content`]).

mod content;
mod files;
mod finding;
mod fix;
mod job;
mod options;
mod output;
mod scan;
mod schema;
mod similar;
mod text;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use finding::{Finding, Kind, Related, Report, Severity, Work};
pub use fix::{FixError, Fixed, fix};
pub use job::{Job, News};
pub use options::{Options, Stage, Thresholds, Tokens, Watch};
pub use output::{csv, json, sarif};
pub use scan::{Entry, Field, Holds, Problem, Scan, scan};

use content::Look;
use files::{Finder, Place};
use scan::Field as Text;
use schema::Source;

/// Checks an annotation file, or all splits of a dataset folder.
///
/// The other splits of a file are opened too, to find pictures that stand in both.
pub fn check(path: &Path, options: &Options, watch: &Watch<'_>) -> Report {
    Checker::new(path, options.clone()).check(watch)
}

/// Checks one dataset, any number of times: what it has found out is used again as long as it holds.
#[derive(Debug)]
pub struct Checker {
    path: PathBuf,
    options: Options,
}

impl Checker {
    /// A checker of an annotation file, tar shards or a dataset folder.
    pub fn new(path: &Path, options: Options) -> Self {
        Self { path: path.to_path_buf(), options }
    }

    /// What it checks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it checks.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Changes how it checks; what is known stays.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Checks the dataset as it is now.
    pub fn check(&mut self, watch: &Watch<'_>) -> Report {
        check_once(&self.path, &self.options, watch)
    }
}

fn check_once(path: &Path, options: &Options, watch: &Watch<'_>) -> Report {
    let mut found = Vec::new();
    let mut sources = Vec::new();
    let (asked, siblings) = match annotations(path) {
        Ok(files) => files,
        Err(finding) => return Report { entries: 0, findings: vec![*finding], ..Report::default() },
    };
    let total = asked.len();
    for (file, is_asked) in
        asked.into_iter().map(|f| (f, true)).chain(siblings.into_iter().map(|f| (f, false)))
    {
        if watch.cancelled() {
            break;
        }
        match Source::open(&file, options.read.image_root.as_deref(), is_asked) {
            Ok(source) => sources.push(source),
            Err(finding) if is_asked => found.push(*finding),
            Err(_) => {}
        }
        (watch.progress)(Stage::Schema, sources.len().min(total), total);
    }
    let entries = sources.iter().filter(|s| s.asked).map(|s| s.scan.entries.len()).sum();
    for source in sources.iter().filter(|source| source.asked) {
        found.extend(schema::check(source, &options.thresholds));
    }
    let checker = Pass { pictures: pictures(&sources), sources: &sources, options, watch };
    found.extend(checker.named_twice());
    if options.upto >= Stage::Files && !watch.cancelled() {
        let places = checker.files(&mut found);
        if options.upto >= Stage::Content && !watch.cancelled() {
            found.extend(checker.content(&places));
            found.extend(checker.tokens());
        }
    }
    (watch.found)(&found);
    let findings = in_order(&sources, found);
    Report { entries, findings, cancelled: watch.cancelled(), work: Work::default() }
}

/// Line and column for all, files in their order.
fn in_order(sources: &[Source], mut found: Vec<Finding>) -> Vec<Finding> {
    let mut all = Vec::with_capacity(found.len());
    for source in sources {
        let mut own: Vec<Finding> = found.extract_if(.., |finding| finding.file == source.file).collect();
        finding::locate(&source.bytes, &mut own);
        all.extend(own);
    }
    all.extend(found);
    all
}

/// The files to check, and the splits beside them.
fn annotations(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Box<Finding>> {
    let fail = |message: String| {
        Box::new(Finding {
            kind: Kind::Unreadable,
            file: path.to_path_buf(),
            line: 0,
            column: 0,
            offset: 0,
            entry: None,
            related: None,
            message,
        })
    };
    let about = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    if !about.is_dir() {
        let siblings = siblings(path).into_iter().filter(|file| file.is_file()).collect();
        return Ok((vec![path.to_path_buf()], siblings));
    }
    let places = [path.join("annotations"), path.to_path_buf()];
    for place in &places {
        let splits = ["train", "val", "test"].map(|split| place.join(format!("coco_karpathy_{split}.json")));
        let there: Vec<PathBuf> = splits.into_iter().filter(|file| file.is_file()).collect();
        if !there.is_empty() {
            return Ok((there, Vec::new()));
        }
    }
    Err(fail(
        "holds no annotations/coco_karpathy_train.json, _val.json or _test.json: name the annotation file"
            .into(),
    ))
}

/// The files that hold the other splits, by their names.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let splits = ["train", "val", "test"];
    let Some(own) = splits.into_iter().find(|split| name.contains(split)) else { return Vec::new() };
    let at = name.rfind(own).unwrap_or(0);
    let (before, after) = (&name[..at], &name[at + own.len()..]);
    let others = splits.into_iter().filter(|split| *split != own);
    others.map(|split| path.with_file_name(format!("{before}{split}{after}"))).collect()
}

/// A picture: the first entry that names it.
#[derive(Clone, Copy)]
struct Named {
    source: usize,
    entry: usize,
    field: Text,
}

/// The pictures of each file, once each.
fn pictures(sources: &[Source]) -> Vec<Named> {
    let mut pictures = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let mut known = HashSet::new();
        for (entry, about) in source.scan.entries.iter().enumerate() {
            let field = about.image;
            if field.holds == Holds::Text && field.len > 2 && known.insert(field.raw(&source.bytes)) {
                pictures.push(Named { source: number, entry, field });
            }
        }
    }
    pictures
}

struct Pass<'a> {
    sources: &'a [Source],
    pictures: Vec<Named>,
    options: &'a Options,
    watch: &'a Watch<'a>,
}

impl Pass<'_> {
    fn source(&self, picture: &Named) -> &Source {
        &self.sources[picture.source]
    }

    fn finding(&self, picture: &Named, kind: Kind, message: impl Into<String>) -> Finding {
        self.source(picture).finding(kind, picture.field.at, Some(picture.entry), message)
    }

    /// A finding on `picture` that `other` has to do with.
    fn pair(&self, picture: &Named, other: &Named, kind: Kind, message: String) -> Finding {
        let mut finding = self.finding(picture, kind, message);
        finding.related = self.source(other).related(other.entry);
        finding
    }

    /// Pictures that two splits name.
    fn named_twice(&self) -> Vec<Finding> {
        if self.sources.len() < 2 {
            return Vec::new();
        }
        let mut known: HashMap<&[u8], &Named> = HashMap::new();
        let mut found = Vec::new();
        // Siblings come last, and are then what the finding points to.
        for picture in self.pictures.iter().rev() {
            let other = known.insert(picture.field.raw(&self.source(picture).bytes), picture);
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
        let (done, all) = (AtomicUsize::new(0), self.pictures.len());
        let one = |(index, picture)| {
            let result = (!self.watch.cancelled()).then(|| work(index, picture));
            (self.watch.progress)(stage, done.fetch_add(1, Ordering::Relaxed) + 1, all);
            result
        };
        self.pictures.par_iter().enumerate().map(one).collect()
    }

    fn files(&self, found: &mut Vec<Finding>) -> Vec<Option<Place>> {
        let finder = Finder::default();
        let places = self.each(Stage::Files, |_, picture| {
            let source = self.source(picture);
            finder.place(&picture.field.text(&source.bytes), &source.roots, &self.options.thresholds)
        });
        let mut named = BTreeSet::new();
        let mut looked_in = BTreeSet::new();
        for (picture, place) in self.pictures.iter().zip(&places) {
            let Some(place) = place else { continue };
            let asked = self.source(picture).asked;
            if asked {
                found.extend(
                    place.found.iter().map(|(kind, text)| self.finding(picture, *kind, text.clone())),
                );
            }
            if let Some(path) = &place.path {
                named.insert(path.clone());
                if asked {
                    looked_in.extend(path.parent().map(Path::to_path_buf));
                }
            }
        }
        let unused = files::unused(&named);
        found.extend(
            unused.into_iter().filter(|path| path.parent().is_some_and(|p| looked_in.contains(p))).map(
                |file| Finding {
                    kind: Kind::UnusedPicture,
                    file,
                    line: 0,
                    column: 0,
                    offset: 0,
                    entry: None,
                    related: None,
                    message: "no entry names this picture".into(),
                },
            ),
        );
        places
    }

    fn content(&self, places: &[Option<Place>]) -> Vec<Finding> {
        let path = |index: usize| places.get(index)?.as_ref()?.path.as_deref();
        // Of a split that was not asked for, only files as long as one that was can be the same.
        let size = |index: usize| places.get(index).and_then(Option::as_ref).map_or(0, |place| place.size);
        let asked = |picture: &Named| self.source(picture).asked;
        let all = || self.pictures.iter().enumerate();
        let sizes: HashSet<u64> =
            all().filter(|(_, picture)| asked(picture)).map(|(index, _)| size(index)).collect();
        let looks = self.each(Stage::Content, |index, picture| {
            let path = path(index)?;
            // A file without a picture's header was told already.
            let told =
                places.get(index)?.as_ref()?.found.iter().any(|(kind, _)| kind.severity() == Severity::Error);
            if asked(picture) {
                return (!told).then(|| content::look(path, &self.options.thresholds));
            }
            let bytes = sizes.contains(&size(index)).then(|| content::hash_file(path))??;
            Some(Look { bytes, hash: None, found: Vec::new() })
        });
        let looks: Vec<Option<Look>> = looks.into_iter().map(Option::flatten).collect();
        let mut found = Vec::new();
        for (picture, look) in self.pictures.iter().zip(&looks) {
            let own = look.iter().flat_map(|look| &look.found);
            found.extend(own.map(|(kind, text)| self.finding(picture, *kind, text.clone())));
        }
        found.extend(self.alike(&looks, path));
        found
    }

    /// Pictures that are the same, or look so.
    fn alike<'p>(
        &self,
        looks: &[Option<Look>],
        path: impl Fn(usize) -> Option<&'p Path> + Sync,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut first: HashMap<u128, usize> = HashMap::new();
        let mut hashes = Vec::new();
        for (index, look) in looks.iter().enumerate() {
            let Some(look) = look
                .as_ref()
                .filter(|look| look.found.iter().all(|(kind, _)| kind.severity() != Severity::Error))
            else {
                continue;
            };
            let original = *first.entry(look.bytes).or_insert(index);
            if original != index && path(original) != path(index) {
                found.extend(self.same(original, index, None));
            } else if let (Some(hash), true) = (look.hash, original == index) {
                hashes.push((index, hash));
            }
        }
        let limits = &self.options.thresholds;
        let mut near: Vec<(usize, usize, f64)> = similar::pairs(&hashes, limits.near_bits)
            .into_par_iter()
            .filter(|_| !self.watch.cancelled())
            .filter_map(|(a, b)| {
                let (mean, most) = content::difference(path(a)?, path(b)?)?;
                (mean <= limits.near_difference && most <= limits.near_difference * 8.0)
                    .then_some((a, b, mean))
            })
            .collect();
        near.sort_by_key(|(a, b, _)| (*b, *a));
        // A picture is told once, with the first one that it resembles.
        near.dedup_by_key(|(_, b, _)| *b);
        found.extend(near.into_iter().filter_map(|(a, b, mean)| self.same(a, b, Some(mean))));
        found
    }

    fn same(&self, first: usize, second: usize, difference: Option<f64>) -> Option<Finding> {
        let (mut other, mut picture) = (self.pictures.get(first)?, self.pictures.get(second)?);
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
        let name = text::shorten(&other.field.text(&self.source(other).bytes));
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

    /// Captions that the model cannot read to their end.
    fn tokens(&self) -> Vec<Finding> {
        let Some(Ok(tokenizer)) = &self.options.tokens.load() else { return Vec::new() };
        let length = self.options.context_length;
        let asked = self.sources.iter().filter(|source| source.asked);
        let long = |source: &Source, number: usize, field: &Field| {
            // A token has a byte at least: a short caption needs no count.
            if field.holds != Holds::Text || (field.len as usize) < length || self.watch.cancelled() {
                return None;
            }
            let words = field.text(&source.bytes);
            let ids = tokenizer.encode_ids(&words).ok()?;
            let (count, kept) = (ids.len() + 2, length.saturating_sub(2));
            if count <= length {
                return None;
            }
            let lost: Vec<i64> = ids.get(kept..).unwrap_or(&[]).iter().map(|id| i64::from(*id)).collect();
            let lost = text::shorten(&tokenizer.decode(&lost));
            let message =
                format!("{count} tokens, and the model reads {length}: '{lost}' is cut off; shorten it");
            Some(source.finding(Kind::LongCaption, field.at, Some(number), message))
        };
        asked
            .flat_map(|source| {
                let entries = source.scan.entries.par_iter().enumerate();
                let all: Vec<Finding> = entries
                    .flat_map_iter(|(number, entry)| {
                        source
                            .scan
                            .captions_of(entry)
                            .iter()
                            .filter_map(move |field| long(source, number, field))
                    })
                    .collect();
                all
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
