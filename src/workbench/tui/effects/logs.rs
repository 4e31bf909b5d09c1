//! Follows the log files of a run.

use crate::tui::message::News;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a log that are read when it is seen first, and at most at once later.
const FIRST: u64 = 128 << 10;
const SLICE: u64 = 1 << 20;

/// Most logs that are followed: the supervisor's and those of the first ranks.
const MOST: usize = 17;

/// Where each log was read up to.
#[derive(Debug, Default)]
pub struct Logs {
    known: BTreeMap<String, Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    position: u64,
    /// A line whose end is not there yet.
    partial: Vec<u8>,
}

impl Logs {
    /// What came since the last look.
    pub fn poll(&mut self, folder: &Path) -> Vec<News> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| n.ends_with(".log"))
            .collect();
        // The supervisor first, the ranks by number.
        names.sort_by_key(|n| (!n.starts_with("supervisor"), n.len(), n.clone()));
        names.truncate(MOST);
        let mut news = Vec::new();
        for source in names {
            let path = folder.join(&source);
            let tail = self.known.entry(source.clone());
            let first = matches!(tail, std::collections::btree_map::Entry::Vacant(_));
            let tail = tail.or_default();
            if first {
                let len = std::fs::metadata(&path).map_or(0, |m| m.len());
                tail.position = len.saturating_sub(FIRST);
            }
            // A log that cannot be read now is looked at again later.
            if let Ok((lines, anew)) = tail.read(&path)
                && (first || anew || !lines.is_empty())
            {
                news.push(News::Log { source, lines, anew });
            }
        }
        news
    }
}

impl Tail {
    fn read(&mut self, path: &Path) -> io::Result<(Vec<String>, bool)> {
        let mut file = File::open(path)?;
        let anew = file.metadata()?.len() < self.position;
        if anew {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = std::mem::take(&mut self.partial);
        self.position += (&mut file).take(SLICE).read_to_end(&mut bytes)? as u64;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        self.partial = bytes.split_off(whole);
        // A progress line without end is shown anyway, once it is longer than any line should be.
        if self.partial.len() > 64 << 10 {
            bytes.append(&mut self.partial);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok((text.lines().map(clean).collect(), anew))
    }
}

/// A line without colours and without what a carriage return wrote over.
fn clean(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.peek() == Some(&'[') {
            chars.next();
            // A control sequence ends with a letter or one of @[\]^_`{|}~.
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::dir::RunDir;
    use std::io::Write;

    fn lines(news: Vec<News>) -> Vec<String> {
        news.into_iter()
            .flat_map(|n| match n {
                News::Log { lines, .. } => lines,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn whole_lines_once() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut logs = Logs::default();
        assert!(logs.poll(&run.logs()).is_empty());
        let mut file = File::create(run.rank_log(0)).unwrap();
        file.write_all(b"one\n\x1b[31mtwo\x1b[0m\n 10%\r 20%\nthr").unwrap();
        assert_eq!(lines(logs.poll(&run.logs())), ["one", "two", " 20%"]);
        assert!(lines(logs.poll(&run.logs())).is_empty());
        file.write_all(b"ee\n").unwrap();
        assert_eq!(lines(logs.poll(&run.logs())), ["three"]);
        std::fs::write(run.rank_log(0), "new\n").unwrap();
        assert_eq!(lines(logs.poll(&run.logs())), ["new"]);
    }
}
