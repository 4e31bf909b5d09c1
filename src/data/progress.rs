//! How longer work tells how far it is, and is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Told of progress from any thread; asked whether to go on.
pub struct Progress<'a> {
    /// Called with what is done and what there is.
    pub tell: &'a (dyn Fn(usize, usize) + Sync),
    /// Set, the work ends soon.
    pub cancel: &'a AtomicBool,
}

impl Progress<'_> {
    /// Tells how far it is; false when it is to stop.
    pub fn goes_on(&self, done: usize, all: usize) -> bool {
        (self.tell)(done, all);
        !self.cancelled()
    }

    /// Whether it is to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
