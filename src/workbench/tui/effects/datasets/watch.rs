//! Watches the files of the open dataset, and of one that could not be opened: tells once when they have changed and
//! stand still again.
//!
//! Editors replace a file by another one: the folder is watched, not the file. A slow look at size and time stands in
//! where the system tells nothing (network file systems).

use super::open::stamp;
use crate::tui::datasets::{Stamp, Watched};
use crate::tui::effects::waker::{self, Handle};
use crate::tui::message::Msg;
use notify::{RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tokio::sync::mpsc;

/// Time between two looks when the system tells nothing.
const POLL: Duration = Duration::from_secs(2);
/// A file that stands still for so long is written.
const STILL: Duration = Duration::from_millis(150);
/// More files than this are not looked at one by one.
const MOST: usize = 4096;

/// Starts to watch.
pub fn start(watched: Watched, generation: u64, tx: mpsc::Sender<Msg>) -> Handle {
    let (handle, waker) = waker::pair();
    // What was read may be older than what stands there now: a change meanwhile is seen at the first look.
    let Watched { mut files, stamps: mut known } = watched;
    files.truncate(MOST);
    known.truncate(MOST);
    std::thread::spawn(move || {
        let look = |files: &[PathBuf]| -> Vec<Stamp> { files.iter().map(|file| stamp(file)).collect() };
        let folders: BTreeSet<PathBuf> = files
            .iter()
            .filter_map(
                |file| if file.is_dir() { Some(file.clone()) } else { file.parent().map(|p| p.join(".")) },
            )
            .collect();
        let mut notifier = waker.notifier();
        if let Some(notifier) = &mut notifier {
            for folder in &folders {
                let mode = if files.contains(folder) {
                    RecursiveMode::Recursive
                } else {
                    RecursiveMode::NonRecursive
                };
                // A folder that cannot be watched is looked at.
                let _ = notifier.watch(folder, mode);
            }
        }
        loop {
            let quiet = match waker.woken.recv_timeout(POLL) {
                Ok(()) => false,
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if waker.stop.load(Ordering::Relaxed) || tx.is_closed() {
                return;
            }
            let mut now = look(&files);
            // Pictures that come and go in a folder do not show in its own stamp alone.
            let inside = !quiet && files.iter().any(|file| file.is_dir());
            if now == known && !inside {
                continue;
            }
            // Until it stands still, it is being written.
            loop {
                std::thread::sleep(STILL);
                while waker.woken.try_recv().is_ok() {}
                let later = look(&files);
                if later == now {
                    break;
                }
                now = later;
            }
            // Between the two steps of a replacement there is no file.
            if now == known && !inside
                || now.iter().any(Option::is_none) && known.iter().all(Option::is_some) && {
                    std::thread::sleep(STILL);
                    now = look(&files);
                    now == known
                }
            {
                continue;
            }
            known = now;
            if waker.stop.load(Ordering::Relaxed)
                || tx.blocking_send(Msg::DataChanged { generation }).is_err()
            {
                return;
            }
        }
    });
    handle
}
