//! CSV and TSV by the places of their fields.

use std::path::Path;

use super::super::finding::Kind;
use super::{Entry, Problem, Texts};
use crate::json::{Holds, Span};
use crate::reader::ReadOptions;
use crate::reader::table::{Layout, MAX_ROW, Quotes, fields};

/// Scans a table.
pub(super) fn scan(bytes: Vec<u8>, path: &Path, options: &ReadOptions) -> Texts {
    let mut texts = Texts { lines: true, ..Texts::default() };
    rows(&bytes, path, options, &mut texts);
    texts.bytes = bytes;
    texts
}

fn rows(bytes: &[u8], path: &Path, options: &ReadOptions, texts: &mut Texts) {
    let mut layout: Option<Layout> = None;
    let (mut start, mut from, mut quotes) = (0, 0, Quotes::START);
    while from < bytes.len() {
        let rest = bytes.get(from..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map_or(bytes.len(), |at| from + at);
        let line = bytes.get(from..end).unwrap_or_default();
        from = end + 1;
        if start == from - 1 - line.len() {
            quotes = Quotes::START;
        }
        let open = layout.is_some_and(|layout| {
            quotes.take(line, layout.separator) | (end < bytes.len() && quotes.take(b"\n", layout.separator))
        });
        let long = end - start >= MAX_ROW;
        if open && !long && from < bytes.len() {
            continue;
        }
        let row = bytes.get(start..end).unwrap_or_default();
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let at = std::mem::replace(&mut start, from);
        let entry = texts.entries.len();
        let problem = |texts: &mut Texts, kind, at, message: String| {
            texts.problems.push(Problem { kind, at, entry, message: message.into() });
        };
        let Some(layout) = layout else {
            if row.trim_ascii().is_empty() {
                continue;
            }
            match Layout::of(row, path, options) {
                Ok(found) => layout = Some(found),
                Err(message) => return problem(texts, Kind::WrongForm, at, message),
            }
            continue;
        };
        if row.trim_ascii().is_empty() {
            continue;
        }
        if open {
            let message = if long {
                format!("a row of more than {} MiB: is a quote not closed?", MAX_ROW >> 20)
            } else {
                "a quoted field of this row is not closed before the file ends: close it".into()
            };
            problem(texts, Kind::BadTable, at, message);
            texts.entries.push(Entry::blank(at, texts.captions.len()));
            continue;
        }
        let place = |mut field: Span| {
            field.at += at;
            field
        };
        let all = fields(row, layout.separator);
        let mut own = Entry::blank(at, texts.captions.len());
        if all.len() != layout.columns {
            let message = format!(
                "{} columns, and the header has {}: put text with separators in double quotes",
                all.len(),
                layout.columns
            );
            problem(texts, Kind::BadTable, at, message);
        }
        let cell = |column: usize| all.get(column).copied().map(place);
        if let (Some(image), Some(caption)) = (cell(layout.image), cell(layout.caption)) {
            own.len = u32::try_from(row.len()).unwrap_or(u32::MAX).max(1);
            (own.image, own.caption, own.captions) = (image, caption, 1);
            texts.captions.push(caption);
            if let Some(id) = layout.id.and_then(cell).filter(|id| !id.inner(bytes).is_empty()) {
                own.id = id;
            }
        }
        debug_assert!(own.image.holds != Holds::List);
        texts.entries.push(own);
    }
    if layout.is_none() {
        let message = "the file is empty: a table has a header and a row for each caption";
        texts.problems.push(Problem { kind: Kind::NoEntries, at: 0, entry: 0, message: message.into() });
    }
}
