//! JSON annotations: the array form and the form of one object a line. Reading goes on after faults.
//!
//! A file is scanned in pieces on all cores. Where a piece begins is a guess (an opening brace behind a comma or line
//! break); it holds when the piece before, which began rightly, ends exactly there. Else the part is scanned again.

mod lines;

use std::borrow::Cow;

use rayon::prelude::*;

use super::super::finding::Kind;
use super::super::options::{Stage, Watch};
use super::{Entry, Problem, Texts};
use crate::json::entry::{Keys, read};
use crate::json::{Fault, Scanner, Span};
use crate::reader::{Format, ReadOptions};

/// After so many syntax errors a file is given up.
const MAX_ERRORS: usize = 200;
/// After so many wrong lines a file of lines is.
const MAX_BAD_LINES: usize = 10_000;
/// Bytes of a piece.
const PIECE: usize = 2 << 20;

/// Scans annotations.
pub(super) fn scan(bytes: Vec<u8>, format: Format, options: &ReadOptions, watch: &Watch<'_>) -> Texts {
    let (image, caption) = (options.image_key.as_ref(), options.caption_key.as_ref());
    let keys = match format {
        Format::JsonLines => Keys::lines(image, caption),
        _ => Keys::karpathy(image, caption),
    };
    let mut texts = in_pieces(&bytes, &keys, PIECE, watch);
    if format == Format::JsonLines && !texts.lines && !texts.entries.is_empty() {
        let message = "a list, and JSON lines have one object a line: name the file .json".into();
        texts.problems.insert(0, Problem { kind: Kind::WrongForm, at: 0, entry: 0, message });
    }
    texts.bytes = bytes;
    texts
}

fn in_pieces(bytes: &[u8], keys: &Keys, length: usize, watch: &Watch<'_>) -> Texts {
    let mut texts = Texts::default();
    let Some(start) = begin(bytes, &mut texts) else { return texts };
    let lines = texts.lines;
    let mut borders = vec![start];
    let mut from = start;
    while let Some(next) = bytes.len().checked_sub(length).filter(|last| from < *last).map(|_| from + length)
    {
        from = next;
        if let Some(border) = border(bytes, from, lines) {
            borders.push(border);
            from = border;
        } else {
            break;
        }
    }
    borders.dedup();
    borders.push(usize::MAX);
    let mut at = start;
    let pieces: Vec<(usize, usize)> = borders.windows(2).map(|pair| (pair[0], pair[1])).collect();
    // So many at a time that what waits to be joined stays small.
    let (mut done, all) = (0, pieces.len());
    'all: for some in pieces.chunks(rayon::current_num_threads().max(1) * 4) {
        let scanned: Vec<(Piece, End)> =
            some.par_iter().map(|(from, stop)| Piece::scan(bytes, keys, lines, *from, *stop)).collect();
        for ((from, stop), (piece, end)) in some.iter().zip(scanned) {
            if at > *from && at >= *stop {
                continue;
            }
            // A wrong guess: this part is scanned from where the one before has really ended.
            let (piece, end) =
                if at == *from { (piece, end) } else { Piece::scan(bytes, keys, lines, at, *stop) };
            let full = piece.join(&mut texts);
            match end {
                End::At(next) if !full => at = next,
                _ => break 'all,
            }
        }
        done += some.len();
        (watch.progress)(Stage::Schema, done, all);
        if watch.cancelled() {
            break;
        }
    }
    if lines {
        other_form(&mut texts);
    }
    texts
}

/// Where the first entry is looked for; none when this is no list of entries.
fn begin(bytes: &[u8], texts: &mut Texts) -> Option<usize> {
    let mut fault = |kind, at, message: &'static str| {
        texts.problems.push(Problem { kind, at, entry: 0, message: message.into() });
        None
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return fault(Kind::BadJson, 0, "the file is UTF-16: save it as UTF-8");
    }
    if bytes.starts_with(b"\x1f\x8b") {
        return fault(Kind::BadJson, 0, "the file is compressed by gzip: unpack it first (gunzip)");
    }
    let mut scanner = Scanner::tolerant(bytes, if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 });
    match scanner.peek() {
        Some(b'[') => Some(scanner.at + 1),
        Some(b'{') => {
            texts.lines = true;
            Some(scanner.at)
        }
        Some(_) => fault(
            Kind::BadJson,
            scanner.at,
            "expected '[': annotations are a list of {\"image\", \"caption\", \"image_id\"}",
        ),
        None => fault(Kind::NoEntries, 0, "the file is empty: add entries"),
    }
}

/// The first place from `from` on that looks like the beginning of an entry.
fn border(bytes: &[u8], from: usize, lines: bool) -> Option<usize> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let before = |at: usize| bytes.get(..at)?.iter().rposition(|byte| !space(byte));
    for at in memchr::memchr_iter(b'{', bytes.get(from..)?).map(|at| from + at) {
        if lines {
            if at > 0 && bytes.get(at - 1) == Some(&b'\n') {
                return Some(at);
            }
        } else if let Some(comma) = before(at).filter(|comma| bytes.get(*comma) == Some(&b','))
            && before(comma).is_some_and(|end| bytes.get(end) == Some(&b'}'))
        {
            return Some(at);
        }
    }
    None
}

/// One object that is no entry: another format of the same dataset, most likely.
fn other_form(texts: &mut Texts) {
    let [only] = texts.entries.as_slice() else { return };
    let bare = [only.image, only.caption].iter().all(|field| *field == Span::NOTHING);
    if bare && texts.problems.is_empty() {
        let at = only.at;
        texts.entries.clear();
        texts.problems.push(Problem {
            kind: Kind::WrongForm,
            at,
            entry: 0,
            message:
                "one object where a list of entries is expected; COCO's own captions_*.json (\"images\", \
                      \"annotations\") have to be joined into [{\"image\", \"caption\", \"image_id\"}] first"
                    .into(),
        });
    }
}

/// How a piece ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another entry begins here.
    At(usize),
    /// Nothing comes behind it.
    Over,
}

/// What was found in a part of the file.
#[derive(Default)]
struct Piece {
    entries: Vec<Entry>,
    captions: Vec<Span>,
    problems: Vec<Problem>,
    errors: usize,
}

impl Piece {
    /// Scans from `from` until an entry begins at or behind `stop`.
    fn scan(bytes: &[u8], keys: &Keys, lines: bool, from: usize, stop: usize) -> (Self, End) {
        let mut walk = Walk { scanner: Scanner::tolerant(bytes, from), keys, out: Self::default() };
        let end = if lines { walk.each_line(stop) } else { walk.entries(stop) };
        (walk.out, end)
    }

    /// Puts it behind what there is; says whether there are too many errors to go on.
    fn join(self, texts: &mut Texts) -> bool {
        let (entries, captions) = (texts.entries.len(), texts.captions.len());
        texts.captions.extend(self.captions);
        texts.entries.extend(self.entries.into_iter().map(|entry| Entry {
            first_caption: entry.first_caption.saturating_add(u32::try_from(captions).unwrap_or(u32::MAX)),
            ..entry
        }));
        texts.problems.extend(
            self.problems.into_iter().map(|problem| Problem { entry: problem.entry + entries, ..problem }),
        );
        let bad = texts.problems.iter().filter(|problem| problem.kind == Kind::BadJson).count();
        let most = if texts.lines { MAX_BAD_LINES } else { MAX_ERRORS };
        // The piece that has them all has said so.
        if bad < most || self.errors >= most {
            return self.errors >= most;
        }
        let (at, entry) = texts.problems.last().map_or((0, 0), |last| (last.at, last.entry));
        texts.problems.push(Problem { kind: Kind::BadJson, at, entry, message: given_up(bad) });
        true
    }
}

fn given_up(errors: usize) -> Cow<'static, str> {
    format!("{errors} errors: the rest is not read").into()
}

struct Walk<'a> {
    scanner: Scanner<'a>,
    keys: &'a Keys,
    out: Piece,
}

impl Walk<'_> {
    fn problem(&mut self, kind: Kind, at: usize, message: impl Into<Cow<'static, str>>) {
        let entry = self.out.entries.len();
        self.out.problems.push(Problem { kind, at, entry, message: message.into() });
    }

    fn entries(&mut self, stop: usize) -> End {
        let mut wants_comma = false;
        loop {
            let next = self.scanner.peek();
            let at = self.scanner.at;
            let mut is_entry = false;
            let fault = match next {
                None => {
                    self.problem(
                        Kind::BadJson,
                        at,
                        "the file ends before the closing ']': it may be cut off",
                    );
                    return End::Over;
                }
                Some(b']') => {
                    self.scanner.at += 1;
                    if self.scanner.peek().is_some() {
                        let at = self.scanner.at;
                        self.problem(Kind::BadJson, at, "text after the end of the list: remove it");
                    }
                    return End::Over;
                }
                Some(b',') if wants_comma => {
                    self.scanner.at += 1;
                    wants_comma = false;
                    match self.scanner.peek() {
                        Some(b']') => Some(Fault::new(at, "a comma after the last entry: remove it")),
                        _ => None,
                    }
                }
                Some(b'{') => {
                    if wants_comma {
                        self.problem(Kind::BadJson, at, "expected ',' between two entries: put one here");
                        self.out.errors += 1;
                    } else if at >= stop {
                        return End::At(at);
                    }
                    (wants_comma, is_entry) = (true, true);
                    self.entry().err()
                }
                Some(_) if wants_comma => self.scanner.wrong::<()>("',' or ']'").err(),
                Some(_) => match self.scanner.value() {
                    Ok(field) => {
                        let message = format!(
                            "an entry is {}, where an object with \"image\" and \"caption\" is expected",
                            field.holds.name()
                        );
                        self.problem(Kind::WrongType, at, message);
                        let nothing = Entry::blank(at, self.out.captions.len());
                        self.out.entries.push(nothing);
                        wants_comma = true;
                        None
                    }
                    Err(fault) => {
                        is_entry = true;
                        Some(fault)
                    }
                },
            };
            let Some(fault) = fault else { continue };
            let place = fault.at;
            self.problem(Kind::BadJson, place, fault.problem);
            if is_entry {
                // It counts, as it does for readers that pass over it.
                self.out.entries.push(Entry::blank(at, self.out.captions.len()));
            }
            self.out.errors += 1;
            if self.out.errors >= MAX_ERRORS {
                self.problem(Kind::BadJson, place, given_up(self.out.errors));
                return End::Over;
            }
            let here = self.scanner.at;
            if place < here && self.scanner.bytes().get(here) == Some(&b']') {
                self.scanner.jump(here);
                continue;
            }
            if !self.resume(place) {
                return End::Over;
            }
            wants_comma = false;
        }
    }

    /// Goes to the next thing that looks like an entry; false when there is none.
    fn resume(&mut self, from: usize) -> bool {
        if let Some(tolerated) = &mut self.scanner.tolerated {
            *tolerated = Default::default();
        }
        let bytes = self.scanner.bytes();
        let ends = memchr::memchr_iter(b'}', bytes.get(from..).unwrap_or_default());
        for end in ends.map(|at| from + at) {
            let skipped = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',');
            let rest = bytes.get(end + 1..).unwrap_or_default();
            let next = end + 1 + rest.iter().position(|byte| !skipped(byte)).unwrap_or(rest.len());
            match bytes.get(next) {
                Some(b'{') if next > from => {
                    self.scanner.jump(next);
                    return true;
                }
                Some(b']') => {
                    self.scanner.jump(next);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn entry(&mut self) -> Result<(), Fault> {
        let result = read(&mut self.scanner, self.keys, &mut self.out.captions);
        let Some(tolerated) = self.scanner.tolerated.as_mut() else { return Ok(()) };
        let python = tolerated.python.take();
        if !tolerated.controls.is_empty() || !tolerated.again.is_empty() {
            let controls = std::mem::take(&mut tolerated.controls);
            let again = std::mem::take(&mut tolerated.again);
            let bytes = self.scanner.bytes();
            // One of a kind is enough for an entry.
            if let Some(at) = controls.first() {
                let byte = bytes.get(*at).copied().unwrap_or(0);
                let message = format!(
                    "a raw control character (0x{byte:02x}) in a text: write it as \\u{byte:04x} or remove it"
                );
                self.problem(Kind::BadJson, *at, message);
            }
            for key in again.iter().take(10) {
                let name = key.text(bytes);
                let message = format!("the field \"{name}\" stands here again: keep one of the two");
                self.problem(Kind::DuplicateField, key.at, message);
            }
        }
        let mut entry = result?;
        if let Some(at) = python {
            entry.python = true;
            self.problem(
                Kind::PythonLiteral,
                at,
                "a Python literal, and JSON needs double quotes (and null, true, false): --fix converts it",
            );
        }
        self.out.entries.push(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
