//! What ends and wakes a thread that watches files: its handle, and the system's word that something has changed.

use notify::RecommendedWatcher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Changes within this time are taken in together.
const GATHER: Duration = Duration::from_millis(40);

/// A watch; dropping it ends the thread.
#[derive(Debug)]
pub struct Handle {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A full channel means that it is about to look anyway.
        let _ = self.wake.try_send(());
    }
}

/// The thread's side of a [`Handle`].
#[derive(Debug)]
pub struct Waker {
    /// Whether it shall end.
    pub stop: Arc<AtomicBool>,
    /// What wakes it.
    pub woken: Receiver<()>,
    wake: SyncSender<()>,
}

/// Both sides of a watch.
pub fn pair() -> (Handle, Waker) {
    let stop = Arc::new(AtomicBool::new(false));
    let (wake, woken) = sync_channel(1);
    (Handle { stop: stop.clone(), wake: wake.clone() }, Waker { stop, woken, wake })
}

impl Waker {
    /// Waits until something has changed, or for `poll` where nobody tells; `None` when nobody can wake it any more.
    pub fn wait(&self, poll: Duration) -> Option<()> {
        match self.woken.recv_timeout(poll) {
            Ok(()) => {
                std::thread::sleep(GATHER);
                while self.woken.try_recv().is_ok() {}
                Some(())
            }
            Err(RecvTimeoutError::Timeout) => Some(()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// The system's watch, to be told what to look at; none where it has none: a slow look is enough then.
    pub fn notifier(&self) -> Option<RecommendedWatcher> {
        let wake = self.wake.clone();
        let notifier = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is an access too: only changes count, or every look would cause the next one.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = wake.try_send(());
            }
        });
        notifier.ok()
    }
}
