//! Why a rank died, in words.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use run::escape;

/// Lines of a dead rank's log that its error quotes.
const QUOTED_LINES: usize = 12;

/// How often the kernel has killed for want of memory, since it booted.
pub fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|l| l.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// A word for programs and words for people: what ended the rank.
///
/// `oom_kills` are the kernel's kills for want of memory before the rank was started and now.
pub fn describe(status: ExitStatus, oom_kills: (Option<u64>, Option<u64>)) -> (&'static str, String) {
    match status.signal() {
        Some(9) if oom_kills.1 > oom_kills.0 => (
            "out_of_memory",
            "was killed by the kernel because memory ran out: use a smaller batch, or free memory".to_owned(),
        ),
        Some(9) => ("killed", "was killed (SIGKILL)".to_owned()),
        Some(15) => ("killed", "was terminated (SIGTERM)".to_owned()),
        Some(signal) => ("signal", format!("died of signal {signal} ({})", signal_name(signal))),
        None => ("exit", format!("ended with status {} without a word", status.code().unwrap_or(-1))),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => "SIGILL, an instruction that this CPU does not know",
        6 => "SIGABRT",
        7 => "SIGBUS, a mapped file was cut short or the disk is full",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => "see signal(7)",
    }
}

/// The end of a rank's log, safe for a terminal.
pub fn last_words(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = Vec::new();
    if let Ok(mut file) = std::fs::File::open(log) {
        let len = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(len.saturating_sub(8192)));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(QUOTED_LINES);
    lines[from..].iter().map(|l| escape::line(l).into_owned()).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_for_want_of_memory_is_named() {
        let killed = ExitStatus::from_raw(9);
        let (kind, words) = describe(killed, (Some(3), Some(4)));
        assert!(
            kind == "out_of_memory" && words.contains("memory ran out") && words.contains("smaller batch")
        );
        assert_eq!(describe(killed, (Some(4), Some(4))).0, "killed");
        assert_eq!(describe(ExitStatus::from_raw(11), (Some(3), Some(4))).0, "signal");
        let (kind, words) = describe(ExitStatus::from_raw(7 << 8), (None, None));
        assert!(kind == "exit" && words.contains("status 7"), "{words}");
    }

    #[test]
    fn last_words_are_escaped() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), "\x1b]0;title\x07\n\nthe end\n").unwrap();
        let words = last_words(log.path());
        assert!(words.ends_with("| the end") && !words.contains(['\x1b', '\x07']), "{words:?}");
    }
}
