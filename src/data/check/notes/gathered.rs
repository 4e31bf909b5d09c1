//! Entries of shards, parts and folders, as their reader gives them.

use std::path::Path;
use std::sync::Arc;

use super::super::finding::Kind;
use super::super::options::{Stage, Watch};
use super::{Entry, Gathered, Problem, Texts};
use crate::json::{Holds, Span, Written};
use crate::reader::{self, ReadError, Reader, Sink};
use crate::sample::{Broken, Origin, Part};

/// Broken entries that are told one by one.
const MOST_BROKEN: usize = 10_000;

/// Takes all entries of a reader. What makes it stop is a problem behind the entries before.
pub(super) fn read(reader: &dyn Reader, watch: &Watch<'_>) -> (Texts, Gathered) {
    let mut taker = Taker { texts: Texts::default(), gathered: Gathered::default(), stopped: false, watch };
    let end = reader.read(&mut taker);
    let Taker { mut texts, gathered, stopped, .. } = taker;
    if let Err(error) = end
        && !stopped
        && !matches!(error, ReadError::Empty(_))
    {
        let kind = Kind::Unreadable;
        let entry = texts.entries.len();
        texts.problems.push(Problem { kind, at: texts.bytes.len(), entry, message: error.problem().into() });
    }
    (texts, gathered)
}

struct Taker<'a> {
    texts: Texts,
    gathered: Gathered,
    stopped: bool,
    watch: &'a Watch<'a>,
}

impl Taker<'_> {
    fn text(&mut self, text: &str) -> Span {
        let at = self.texts.bytes.len();
        self.texts.bytes.extend_from_slice(text.as_bytes());
        Span::new(at, self.texts.bytes.len(), Holds::Text, Written::Plain)
    }

    /// Ends the reader where the check was cancelled.
    fn go_on(&mut self) -> Result<(), ReadError> {
        let count = self.texts.entries.len();
        if count.is_multiple_of(1024) {
            (self.watch.progress)(Stage::Schema, count, count);
            if self.watch.cancelled() {
                self.stopped = true;
                return Err(ReadError::Empty(Path::new("").to_path_buf()));
            }
        }
        Ok(())
    }
}

impl Sink for Taker<'_> {
    fn file(&mut self, path: &Path) -> u32 {
        self.gathered.files.push(path.into());
        (self.gathered.files.len() - 1) as u32
    }

    fn part(&mut self, part: Arc<Part>) -> u32 {
        self.gathered.parts.push(part);
        (self.gathered.parts.len() - 1) as u32
    }

    fn entry(&mut self, entry: reader::Entry<'_>) -> Result<(), ReadError> {
        let mut own = Entry::blank(self.texts.bytes.len(), self.texts.captions.len());
        own.image = self.text(entry.image);
        for caption in entry.captions {
            let caption = self.text(caption);
            self.texts.captions.push(caption);
            own.captions += 1;
            own.caption = caption;
        }
        if own.captions != 1 {
            // A list, which may be empty.
            let at = own.image.at;
            own.caption = Span::new(at, self.texts.bytes.len(), Holds::List, Written::Plain);
        }
        if let Some(id) = entry.id {
            own.id = self.text(id);
        }
        own.len = u32::try_from(self.texts.bytes.len() - own.at).unwrap_or(u32::MAX).max(1);
        self.texts.entries.push(own);
        self.gathered.origins.push(entry.origin);
        self.gathered.ranges.push(entry.range);
        self.go_on()
    }

    fn broken(&mut self, broken: Broken) -> Result<(), ReadError> {
        let Broken { origin, problem } = broken;
        let Origin { .. } = origin;
        let (at, entry) = (self.texts.bytes.len(), self.texts.entries.len());
        self.texts.entries.push(Entry::blank(at, self.texts.captions.len()));
        self.gathered.origins.push(origin);
        self.gathered.ranges.push(None);
        if self.texts.problems.len() < MOST_BROKEN {
            let message = format!("{problem}: mend it or remove it");
            self.texts.problems.push(Problem { kind: Kind::BrokenEntry, at, entry, message: message.into() });
        }
        self.go_on()
    }
}
