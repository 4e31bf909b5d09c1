//! Lines of a file with their places, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::{ReadError, open_plain};

/// The longest line that is taken: a laion line with a large picture fits, a line without end does not.
const MAX_LINE: usize = 64 << 20;

/// A line.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes without the line end; or why it was passed over.
    pub text: Result<&'a [u8], String>,
}

/// Reads a file line by line; a line that is too long is passed over.
pub(super) struct Lines {
    from: BufReader<File>,
    buffer: Vec<u8>,
    number: u32,
    offset: u64,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = open_plain(path)?;
        Ok(Self { from: BufReader::with_capacity(1 << 18, file), buffer: Vec::new(), number: 0, offset: 0 })
    }

    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let taken = (&mut self.from).take(MAX_LINE as u64).read_until(b'\n', &mut self.buffer)?;
        if taken == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += taken as u64;
        self.number = self.number.saturating_add(1);
        let ended = self.buffer.last() == Some(&b'\n');
        if !ended && taken == MAX_LINE {
            self.offset += pass_line(&mut self.from)?;
            // A buffer of that size is not kept.
            self.buffer = Vec::new();
            let text = Err(format!("a line of more than {} MiB", MAX_LINE >> 20));
            return Ok(Some(Line { number: self.number, offset, text }));
        }
        let text = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Some(Line { number: self.number, offset, text: Ok(text) }))
    }
}

/// Passes over the rest of a line: how many bytes that were.
pub(super) fn pass_line(from: &mut impl BufRead) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let some = from.fill_buf()?;
        if some.is_empty() {
            return Ok(passed);
        }
        let end = memchr::memchr(b'\n', some);
        let length = end.map_or(some.len(), |at| at + 1);
        from.consume(length);
        passed += length as u64;
        if end.is_some() {
            return Ok(passed);
        }
    }
}
