//! Checks a dataset: what is wrong with its annotations and pictures, where, and what to do.
//!
//! Three stages: the annotations alone ([`Stage::Schema`]: `notes`, `rules`, `across`), the pictures' files and headers
//! ([`Stage::Files`]), every picture decoded and compared, and the tokens of captions ([`Stage::Content`]: `pictures`,
//! `tokens`). A [`Checker`] remembers what it found out, in memory for the next check and on disk for the next run; a
//! [`Job`] is a check on a thread of its own.

mod across;
mod finding;
mod fix;
mod job;
mod notes;
mod options;
mod output;
mod pictures;
mod rules;
mod sources;
mod text;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use finding::{Finding, Kind, NOWHERE, Related, Report, Severity, Work};
pub use fix::{FixError, Fixed, fix};
pub use job::{Job, News};
pub use options::{Options, Stage, Thresholds, Tokens, Watch};
pub use output::{csv, json, sarif};

use notes::Notes;
use pictures::{Known, Pictures};

/// Checks an annotation file, tar shards, or all splits of a dataset folder.
///
/// The other splits of a file are opened too, to find pictures that stand in both.
pub fn check(path: &Path, options: &Options, watch: &Watch<'_>) -> Report {
    let mut once = Checker::new(path, options.clone());
    once.fields = rules::Judged::forgetful();
    once.tokens = tokens::Counted::forgetful();
    once.check(watch)
}

/// Checks one dataset, any number of times: what it has found out is used again as long as it holds.
#[derive(Debug)]
pub struct Checker {
    path: PathBuf,
    options: Options,
    fields: rules::Judged,
    tokens: tokens::Counted,
    /// What is known about pictures; read from the cache when it is first asked for.
    known: Option<Known>,
}

impl Checker {
    /// A checker of an annotation file, tar shards or a dataset folder.
    pub fn new(path: &Path, options: Options) -> Self {
        Self {
            path: path.to_path_buf(),
            options,
            fields: rules::Judged::default(),
            tokens: tokens::Counted::default(),
            known: None,
        }
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

    /// Checks the dataset as it is now. Entries and pictures that are as they were are not looked at again.
    pub fn check(&mut self, watch: &Watch<'_>) -> Report {
        let reached = Mutex::new(None);
        let progress = |stage: Stage, done: usize, all: usize| {
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            *reached = (*reached).max(Some((stage, done, all)));
            drop(reached);
            (watch.progress)(stage, done, all);
        };
        let watch = Watch { progress: &progress, ..*watch };
        let mut report = self.stages(&watch);
        report.reached = *reached.lock().unwrap_or_else(PoisonError::into_inner);
        report.cancelled = watch.cancelled();
        report
    }

    fn stages(&mut self, watch: &Watch<'_>) -> Report {
        let options = &self.options;
        let readers = match sources::of(&self.path, &options.read) {
            Ok(readers) => readers,
            Err(finding) => return Report { findings: vec![*finding], ..Report::default() },
        };
        let (mut found, mut sources, mut work) = (Vec::new(), Vec::new(), Work::default());
        for (reader, asked) in readers {
            if watch.cancelled() {
                break;
            }
            match Notes::open(&*reader, &options.read, asked, watch) {
                Ok(notes) => sources.push(notes),
                Err(finding) if asked => found.push(*finding),
                Err(_) => {}
            }
        }
        let asked = || sources.iter().filter(|notes| notes.asked);
        for notes in asked().filter(|_| !watch.cancelled()) {
            let writing = rules::writing(notes);
            (watch.found)(&writing);
            // What this sorts is gone before there may be a finding for every entry.
            let across = across::check(notes, &options.thresholds);
            (watch.found)(&across);
            let (mut own, count) = self.fields.all(notes, watch, rules::fields);
            work.entries += count;
            own.extend(writing.into_iter().chain(across));
            if found.is_empty() {
                found = own;
            } else {
                found.append(&mut own);
            }
        }
        if options.upto == Stage::Schema && sources.len() < 2 {
            return report(&sources, found, work);
        }
        let pictures = Pictures::of(&sources, options, watch);
        let twice = pictures.named_twice();
        (watch.found)(&twice);
        found.extend(twice);
        if options.upto >= Stage::Files && !watch.cancelled() {
            let known = self.known.get_or_insert_with(|| Known::load(options.cache.as_deref(), &self.path));
            let (mut placed, own, headers) = pictures.files(known);
            work.headers = headers;
            found.extend(own);
            if options.upto >= Stage::Content && !watch.cancelled() {
                let (own, decoded) = pictures.content(known, &mut placed);
                work.decoded = decoded;
                found.extend(own);
            }
            pictures.keep(known, &placed);
        }
        if options.upto >= Stage::Content {
            for notes in asked().filter(|_| !watch.cancelled()) {
                let (own, count) = self.tokens.check(notes, options, watch);
                work.tokenized += count;
                found.extend(own);
            }
        }
        self.fields.keep(&sources);
        self.tokens.keep(&sources);
        report(&sources, found, work)
    }
}

fn report(sources: &[Notes], found: Vec<Finding>, work: Work) -> Report {
    let asked = || sources.iter().filter(|notes| notes.asked);
    let one_file = asked().filter(|notes| notes.is_one_file());
    Report {
        entries: asked().map(|notes| notes.texts.entries.len()).sum(),
        sums: one_file.map(|notes| (notes.file.to_path_buf(), notes.sum())).collect(),
        findings: in_order(sources, found),
        work,
        ..Report::default()
    }
}

/// Puts findings in the order of files and places, and line and column to them. All in place: there may be one for
/// every entry, several times what the file takes.
fn in_order(sources: &[Notes], mut found: Vec<Finding>) -> Vec<Finding> {
    let one_file = |notes: &Notes, finding: &Finding| {
        let same = Arc::ptr_eq(&notes.file, &finding.file) || notes.file == finding.file;
        notes.is_one_file() && finding.offset != NOWHERE && same
    };
    let source = |finding: &Finding| sources.iter().position(|notes| one_file(notes, finding));
    let number = |finding: &Finding| source(finding).unwrap_or(sources.len());
    found.sort_unstable_by(|a, b| {
        let (one, other) = (number(a), number(b));
        let last = || (a.kind, a.entry, &a.message).cmp(&(b.kind, b.entry, &b.message));
        let by_place = || a.offset.cmp(&b.offset).then_with(last);
        if one != other || one < sources.len() {
            return one.cmp(&other).then_with(by_place);
        }
        // What belongs to no entry comes last.
        let by_file = || a.file.cmp(&b.file).then(a.entry.cmp(&b.entry));
        a.entry.is_none().cmp(&b.entry.is_none()).then_with(by_file).then_with(by_place)
    });
    for own in found.chunk_by_mut(|a, b| source(a) == source(b)) {
        if let Some(notes) = own.first().and_then(source).and_then(|at| sources.get(at)) {
            finding::locate(&notes.texts.bytes, own);
        }
    }
    found
}

#[cfg(test)]
mod tests;
