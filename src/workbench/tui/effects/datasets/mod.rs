//! The data tab's work: opening, searching, checking, watching, exporting. All of it off the loop's thread.

mod check;
mod export;
mod open;
mod search;
mod watch;

use crate::datasets::entry::{Caption, Facts};
use crate::tui::datasets::{Detail, Shared};
use crate::tui::message::{Command, Msg};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// What the tab's work keeps between commands.
#[derive(Debug, Default)]
pub struct Work {
    /// Number of the newest search: older ones give up.
    newest: Arc<AtomicU64>,
    watch: Option<super::waker::Handle>,
    /// The watch of what could not be opened.
    awaited: Option<super::waker::Handle>,
    check: check::Checks,
}

impl Work {
    /// Starts a command of the data tab; gives others back.
    pub fn start(&mut self, command: Command, tx: &mpsc::Sender<Msg>) -> Option<Command> {
        match command {
            Command::OpenData { generation, source, before } => block(tx, move || {
                let result = open::open(source, before);
                Msg::DataOpened { generation, result }
            }),
            Command::WatchData { generation, watched, awaited } => {
                // Old watches end when their handles are dropped.
                let watch = Some(watch::start(watched, generation, tx.clone()));
                if awaited {
                    self.awaited = watch;
                } else {
                    (self.watch, self.awaited) = (watch, None);
                }
            }
            Command::SearchData { number, data, query } => {
                self.newest.store(number, Ordering::Relaxed);
                let newest = self.newest.clone();
                let tx = tx.clone();
                std::thread::spawn(move || {
                    let stale = || newest.load(Ordering::Relaxed) != number;
                    let tell =
                        |whole, result| drop(tx.blocking_send(Msg::DataListed { number, whole, result }));
                    let early = |rows| tell(false, Ok(rows));
                    if let Some(result) =
                        search::search(&data.dataset, &query, search::PATIENCE, &stale, &early)
                    {
                        tell(true, result);
                    }
                });
            }
            Command::LookAtEntry { data, sample } => {
                block(tx, move || Msg::DataEntry(Box::new(detail(data, sample))));
            }
            Command::CheckData { number, data } => self.check.start(number, data, tx),
            Command::CancelCheck => self.check.cancel(),
            Command::Free(found) => drop(tokio::task::spawn_blocking(move || drop(found))),
            Command::ExportData { data, samples, out } => {
                block(tx, move || Msg::DataExported(export::export(&data, &samples, &out)));
            }
            other => return Some(other),
        }
        None
    }
}

fn block(tx: &mpsc::Sender<Msg>, work: impl FnOnce() -> Msg + Send + 'static) {
    let tx = tx.clone();
    tokio::task::spawn_blocking(move || {
        // A closed channel means that the workbench is gone.
        let _ = tx.blocking_send(work());
    });
}

fn detail(data: Shared, sample: u32) -> Detail {
    let index = sample as usize;
    let context = data.source.context;
    let caption = |text: &str| Caption::new(text, &data.tokenizer, context);
    let captions = data.dataset.captions(index).map(caption).collect();
    let facts = Facts::of(&data.dataset, index);
    Detail { sample, captions, facts, data }
}
