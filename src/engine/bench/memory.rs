//! How much anonymous memory this process has at most: mapped files, libtorch's code among them, do not count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The system keeps no high-water mark of anonymous memory: it is looked at so often.
const EVERY: Duration = Duration::from_micros(500);

/// Looks at the process's memory until it is stopped.
pub(super) struct Watch {
    before: u64,
    peak: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn start() -> Self {
        let (peak, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let looked = (peak.clone(), over.clone());
        let before = anonymous();
        let thread = std::thread::spawn(move || {
            while !looked.1.load(Ordering::Relaxed) {
                let _ = looked.0.fetch_max(anonymous(), Ordering::Relaxed);
                std::thread::sleep(EVERY);
            }
        });
        Self { before, peak, over, thread }
    }

    /// Bytes at the start, and the most there were since.
    pub fn stop(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        (self.before, self.peak.load(Ordering::Relaxed).max(anonymous()))
    }
}

/// Anonymous resident bytes of this process; 0 when the system does not say.
fn anonymous() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kib| kib << 10)
}
