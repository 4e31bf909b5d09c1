//! Checks the open dataset; the checker is kept, so that after a change only what changed is looked at again.

use crate::tui::datasets::{CheckNews, Findings, Found, Shared};
use crate::tui::message::Msg;
use data::check::{Checker, Finding, Job, News, Options, Report, Tokens};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Findings that are told while a check goes on: there may be one for every entry, and the screen has to take them in.
const STREAMED: usize = 10_000;

/// The running check, and the checker of the last one.
#[derive(Debug, Default)]
pub struct Checks {
    job: Option<Job>,
    kept: Arc<Mutex<Option<Checker>>>,
}

impl Checks {
    /// Starts a check; one that goes on is asked to end.
    pub fn start(&mut self, number: u64, data: Shared, tx: &mpsc::Sender<Msg>) {
        self.cancel();
        let (path, options) = (target(&data), options(&data));
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let checker = match kept.filter(|checker| checker.path() == path) {
            Some(mut checker) => {
                checker.set_options(options);
                checker
            }
            None => Checker::new(&path, options),
        };
        let (keep, say) = (self.kept.clone(), tx.clone());
        let places = Places::new(&data);
        let streamed = AtomicUsize::new(0);
        let tell = move |news: News| {
            let news = match news {
                News::Progress { stage, done, all } => CheckNews::Progress { stage, done, all },
                News::Found(mut found) => {
                    let count = found.len();
                    found.truncate(STREAMED.saturating_sub(streamed.fetch_add(count, Ordering::Relaxed)));
                    CheckNews::Found { count, found: places.found(found) }
                }
                News::Done(end) => {
                    let (report, checker) = *end;
                    *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(checker);
                    let work = work(&report);
                    let cancelled = report.cancelled;
                    let found = Arc::new(Findings::from(places.found(report.findings)));
                    CheckNews::Done { found, cancelled, work }
                }
                News::Failed => {
                    CheckNews::Failed("the check failed: this is a fault of cocaptain".to_owned())
                }
            };
            let _ = say.blocking_send(Msg::DataCheck { number, news });
        };
        match Job::start(checker, tell) {
            Ok(job) => self.job = Some(job),
            Err(e) => {
                let news = CheckNews::Failed(format!("no thread for the check: {e}"));
                let tx = tx.clone();
                std::thread::spawn(move || drop(tx.blocking_send(Msg::DataCheck { number, news })));
            }
        }
    }

    /// Asks the running check to end.
    pub fn cancel(&mut self) {
        if let Some(job) = self.job.take() {
            job.cancel();
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// What is checked: the annotation file, else what was named.
fn target(data: &Shared) -> PathBuf {
    match data.dataset.files() {
        [one] => one.clone(),
        _ => data.source.path.clone(),
    }
}

fn options(data: &Shared) -> Options {
    let source = &data.source;
    let own = || crate::datasets::own_tokenizer(data.dataset.path());
    Options {
        read: source.read.clone(),
        tokens: source.tokenizer.clone().or_else(own).map_or(Tokens::Clip, Tokens::File),
        context_length: source.context,
        cache: run::dir::cache_folder().map(|folder| folder.join("checks")),
        ..Options::default()
    }
}

/// What a check looked at, in words.
fn work(report: &Report) -> String {
    let work = &report.work;
    let parts = [
        (work.entries, "entries judged"),
        (work.tokenized, "captions counted"),
        (work.headers, "headers read"),
        (work.decoded, "pictures decoded"),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", crate::tui::format::count(*n as u64)))
        .collect();
    if told.is_empty() {
        format!("{} entries", crate::tui::format::count(report.entries as u64))
    } else {
        told.join(", ")
    }
}

/// Finds the samples of findings.
struct Places {
    data: Shared,
    files: Vec<PathBuf>,
}

impl Places {
    fn new(data: &Shared) -> Self {
        let whole = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
        Self { files: data.dataset.files().iter().map(whole).collect(), data: data.clone() }
    }

    fn found(&self, findings: Vec<Finding>) -> Vec<Found> {
        let mut last: Option<(Arc<Path>, Option<u32>)> = None;
        let one = |finding: Finding| {
            // Findings of a file come one after the other.
            if last.as_ref().is_none_or(|(path, _)| *path != finding.file) {
                last = Some((finding.file.clone(), self.file(&finding.file)));
            }
            let file = last.as_ref().and_then(|(_, file)| *file);
            let sample = file.zip(finding.entry).and_then(|(file, entry)| self.sample(file, entry));
            Found { finding, sample }
        };
        findings.into_iter().map(one).collect()
    }

    fn file(&self, path: &Path) -> Option<u32> {
        let whole = std::path::absolute(path).ok()?;
        self.files.iter().position(|file| *file == whole).and_then(|at| u32::try_from(at).ok())
    }

    /// The sample of an entry: they are in the order of files and entries.
    fn sample(&self, file: u32, entry: usize) -> Option<u32> {
        let dataset = &self.data.dataset;
        let at = |index: usize| dataset.origin(index).map(|origin| (origin.file, origin.entry as usize));
        let (mut low, mut high) = (0, dataset.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle) < Some((file, entry)) { low = middle + 1 } else { high = middle }
        }
        (at(low) == Some((file, entry))).then(|| u32::try_from(low).ok()).flatten()
    }
}
