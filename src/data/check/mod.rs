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
use std::sync::{Mutex, PoisonError};

pub use finding::{Finding, Kind, Related, Report, Severity, Work};
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
            let mut own = rules::writing(notes);
            (watch.found)(&own);
            let (fields, count) = self.fields.all(notes, watch, rules::fields);
            own.extend(fields);
            work.entries += count;
            let across = across::check(notes, &options.thresholds);
            (watch.found)(&across);
            found.extend(own.into_iter().chain(across));
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
        sums: one_file.map(|notes| (notes.file.clone(), notes.sum())).collect(),
        findings: in_order(sources, found),
        work,
        ..Report::default()
    }
}

/// Line and column for all, files in their order.
fn in_order(sources: &[Notes], mut found: Vec<Finding>) -> Vec<Finding> {
    let mut all = Vec::with_capacity(found.len());
    for notes in sources.iter().filter(|notes| notes.is_one_file()) {
        let own = |finding: &mut Finding| finding.file == notes.file && finding.kind != Kind::Unreadable;
        let mut own: Vec<Finding> = found.extract_if(.., own).collect();
        finding::locate(&notes.texts.bytes, &mut own);
        all.extend(own);
    }
    // What belongs to no entry comes last.
    let place = |finding: &Finding| (finding.entry.is_none(), finding.entry, finding.offset);
    found.sort_by(|a, b| {
        let by_place = || place(a).cmp(&place(b));
        a.entry.is_none().cmp(&b.entry.is_none()).then_with(|| a.file.cmp(&b.file)).then_with(by_place)
    });
    all.extend(found);
    all
}

#[cfg(test)]
mod tests;
