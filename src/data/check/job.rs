//! A check on a thread of its own, which tells how far it is and can be stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Checker, Finding, Report, Stage, Watch};

/// Progress and findings are told at most this often [ms].
const OFTEN: u64 = 50;

/// What a running check tells.
#[derive(Debug)]
pub enum News {
    /// How far it is.
    Progress {
        /// In which stage.
        stage: Stage,
        /// Files, then pictures that are done.
        done: usize,
        /// And that there are.
        all: usize,
    },
    /// What it has found since it last said so, without line and column.
    Found(Vec<Finding>),
    /// The end: everything, in order, and the checker, which knows what has to be checked again next time.
    Done(Box<(Report, Checker)>),
    /// A fault of this program ended it.
    Failed,
}

/// A check that goes on. Dropping it lets it go on; [`Self::cancel`] ends it.
#[derive(Debug)]
pub struct Job {
    cancel: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Job {
    /// Starts a check. `tell` is called from several threads; its last call is [`News::Done`] or [`News::Failed`].
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(mut checker: Checker, tell: impl Fn(News) + Send + Sync + 'static) -> std::io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let own = cancel.clone();
        let thread = std::thread::Builder::new().name("check".into()).spawn(move || {
            let began = Instant::now();
            let (told, waiting) = (AtomicU64::new(0), Mutex::new(Vec::new()));
            let progress = |stage: Stage, done: usize, all: usize| {
                let now = 1 + began.elapsed().as_millis() as u64;
                let last = told.load(Ordering::Relaxed);
                let due = done >= all || now >= last + OFTEN;
                if due && told.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    let found = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
                    if !found.is_empty() {
                        tell(News::Found(found));
                    }
                    tell(News::Progress { stage, done, all });
                }
            };
            let found = |some: &[Finding]| {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(some);
            };
            let watch = Watch { progress: &progress, found: &found, cancel: &own };
            let end = catch_unwind(AssertUnwindSafe(|| checker.check(&watch)));
            tell(match end {
                Ok(report) => News::Done(Box::new((report, checker))),
                Err(_) => News::Failed,
            });
        })?;
        Ok(Self { cancel, thread })
    }

    /// Asks it to end soon, with what it has found.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
