//! A scanner of JSON annotations that knows where everything stands: the byte offset of each entry and field.
//!
//! It takes the array form and the form of one object a line, goes on after faults, and understands Python's
//! literals well enough to convert them. Text is not copied: a field is a place in the file.

use std::borrow::Cow;

use super::finding::Kind;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// There is no such field.
    Nothing,
    /// A string.
    Text,
    /// A number.
    Number,
    /// null.
    Null,
    /// true or false.
    Bool,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Holds {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text => "text",
            Self::Number => "a number",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// A value's place in the file, quotes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Byte offset.
    pub at: usize,
    /// Bytes.
    pub len: u32,
    /// What it is.
    pub holds: Holds,
}

impl Field {
    const NOTHING: Self = Self { at: 0, len: 0, holds: Holds::Nothing };

    /// The value as it is written.
    pub fn raw<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.at..self.at.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    /// The text of a string or number; bytes that are no UTF-8 become U+FFFD.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        let raw = self.raw(bytes);
        if self.holds != Holds::Text {
            return String::from_utf8_lossy(raw);
        }
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or(&[]);
        if inner.contains(&b'\\') { Cow::Owned(unescape(inner)) } else { String::from_utf8_lossy(inner) }
    }
}

/// An entry's place and fields.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Byte offset of its opening brace.
    pub at: usize,
    /// Bytes up to its closing brace.
    pub len: u32,
    /// Its picture.
    pub image: Field,
    /// Its id.
    pub id: Field,
    /// Its caption field: text or a list.
    pub caption: Field,
    /// The first of its captions in [`Scan::captions`].
    pub first_caption: u32,
    /// How many there are.
    pub captions: u32,
    /// Whether it is written as a Python literal.
    pub python: bool,
}

/// A fault of the writing.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What.
    pub kind: Kind,
    /// Byte offset.
    pub at: usize,
    /// The entry that it is in or before, from 0.
    pub entry: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// All that a file holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Captions of all entries: [`Entry::first_caption`].
    pub captions: Vec<Field>,
    /// Faults; after some hundred of them reading ends.
    pub problems: Vec<Problem>,
    /// Whether there is one object a line instead of an array.
    pub lines: bool,
}

impl Scan {
    /// The captions of an entry.
    pub fn captions_of(&self, entry: &Entry) -> &[Field] {
        let first = entry.first_caption as usize;
        self.captions.get(first..first + entry.captions as usize).unwrap_or(&[])
    }
}

/// Nested deeper than this, annotations are refused.
const MAX_DEPTH: usize = 64;
/// After so many syntax errors a file is given up.
const MAX_ERRORS: usize = 200;

/// Scans annotations.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut scanner = Scanner { bytes, at: 0, out: Scan::default(), python: None };
    scanner.file();
    scanner.out
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Scan,
    /// Where the entry at hand is first written as Python.
    python: Option<usize>,
}

/// Where and what: a syntax error.
type Fault = (usize, String);

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn problem(&mut self, kind: Kind, at: usize, message: impl Into<String>) {
        let entry = self.out.entries.len();
        self.out.problems.push(Problem { kind, at, entry, message: message.into() });
    }

    fn file(&mut self) {
        if self.bytes.starts_with(b"\xff\xfe") || self.bytes.starts_with(b"\xfe\xff") {
            return self.problem(Kind::BadJson, 0, "the file is UTF-16: save it as UTF-8");
        }
        if self.bytes.starts_with(b"\x1f\x8b") {
            return self.problem(
                Kind::BadJson,
                0,
                "the file is compressed by gzip: unpack it first (gunzip)",
            );
        }
        if self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        self.space();
        match self.peek() {
            Some(b'[') => {
                self.at += 1;
                self.entries();
            }
            Some(b'{') => {
                self.out.lines = true;
                self.entries();
                self.other_form();
            }
            Some(_) => self.problem(
                Kind::BadJson,
                self.at,
                "expected '[': annotations are a list of {\"image\", \"caption\", \"image_id\"}",
            ),
            None => self.problem(Kind::NoEntries, 0, "the file is empty: add entries"),
        }
    }

    /// One object that is no entry: another format of the same dataset, most likely.
    fn other_form(&mut self) {
        let [only] = self.out.entries.as_slice() else { return };
        let bare = [only.image, only.caption].iter().all(|field| field.holds == Holds::Nothing);
        if bare && self.out.problems.is_empty() {
            let at = only.at;
            self.out.entries.clear();
            self.problem(
                Kind::WrongForm,
                at,
                "one object where a list of entries is expected; COCO's own captions_*.json (\"images\", \"annotations\") \
                 have to be joined into [{\"image\", \"caption\", \"image_id\"}] first",
            );
        }
    }

    fn entries(&mut self) {
        let lines = self.out.lines;
        let mut wants_comma = false;
        let mut errors = 0;
        loop {
            self.space();
            let at = self.at;
            let fault = match self.peek() {
                None if lines => return,
                None => {
                    return self.problem(
                        Kind::BadJson,
                        at,
                        "the file ends before the closing ']': it may be cut off",
                    );
                }
                Some(b']') if !lines => {
                    self.at += 1;
                    self.space();
                    if self.peek().is_some() {
                        self.problem(Kind::BadJson, self.at, "text after the end of the list: remove it");
                    }
                    return;
                }
                Some(b',') if !lines && wants_comma => {
                    self.at += 1;
                    wants_comma = false;
                    self.space();
                    match self.peek() {
                        Some(b']') => Some((at, "a comma after the last entry: remove it".to_string())),
                        _ => None,
                    }
                }
                Some(b'{') => {
                    let missing = (!lines && wants_comma)
                        .then(|| (at, "expected ',' between two entries: put one here".to_string()));
                    if let Some((at, message)) = missing {
                        self.problem(Kind::BadJson, at, message);
                        errors += 1;
                    }
                    wants_comma = true;
                    self.entry().err()
                }
                Some(_) if wants_comma => Some((at, self.unexpected("',' or ']'"))),
                Some(_) if lines => Some((at, self.unexpected("an entry, '{'"))),
                Some(_) => match self.value(0) {
                    Ok(field) => {
                        let message = format!(
                            "an entry is {}, where an object with \"image\" and \"caption\" is expected",
                            field.holds.name()
                        );
                        self.problem(Kind::WrongType, at, message);
                        let nothing = self.blank_entry(at);
                        self.out.entries.push(nothing);
                        wants_comma = true;
                        None
                    }
                    Err(fault) => Some(fault),
                },
            };
            let Some((place, message)) = fault else { continue };
            self.problem(Kind::BadJson, place, message);
            errors += 1;
            if errors >= MAX_ERRORS {
                return self.problem(Kind::BadJson, place, format!("{errors} errors: the rest is not read"));
            }
            if self.peek() == Some(b']') && place < self.at {
                continue;
            }
            if !self.resume(place) {
                return;
            }
            wants_comma = false;
        }
    }

    /// Goes to the next thing that looks like an entry; false when there is none.
    fn resume(&mut self, from: usize) -> bool {
        self.python = None;
        let mut at = from;
        while let Some(byte) = self.bytes.get(at) {
            at += 1;
            let line_end = self.out.lines && *byte == b'\n';
            if *byte != b'}' && !line_end {
                continue;
            }
            let mut next = at;
            let skipped = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',');
            while self.bytes.get(next).is_some_and(skipped) {
                next += 1;
            }
            match self.bytes.get(next) {
                Some(b'{') if next > from => {
                    self.at = next;
                    return true;
                }
                Some(b']') if !self.out.lines && !line_end => {
                    self.at = next;
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn blank_entry(&self, at: usize) -> Entry {
        let first_caption = self.out.captions.len() as u32;
        let [image, id, caption] = [Field::NOTHING; 3];
        Entry { at, len: 0, image, id, caption, first_caption, captions: 0, python: false }
    }

    fn entry(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut entry = self.blank_entry(start);
        self.python = None;
        self.at += 1;
        self.space();
        let mut more = self.peek() != Some(b'}');
        while more {
            let key = match self.peek() {
                Some(b'"' | b'\'') => self.string()?,
                Some(b'}') => return Err((self.at, "a comma before '}': remove it".into())),
                _ => return Err((self.at, self.unexpected("a field's name in double quotes"))),
            };
            self.space();
            if self.peek() != Some(b':') {
                return Err((self.at, self.unexpected("':' after a field's name")));
            }
            self.at += 1;
            self.space();
            let raw = key.raw(self.bytes);
            let name = raw.get(1..raw.len().saturating_sub(1)).unwrap_or(&[]);
            let value = if name == b"caption" { self.caption(&mut entry)? } else { self.value(0)? };
            let place = match name {
                b"image" => Some(&mut entry.image),
                b"image_id" => Some(&mut entry.id),
                b"caption" => Some(&mut entry.caption),
                _ => None,
            };
            if let Some(place) = place
                && std::mem::replace(place, value).holds != Holds::Nothing
            {
                let name = String::from_utf8_lossy(name);
                let message = format!("the field \"{name}\" stands here again: keep one of the two");
                self.problem(Kind::DuplicateField, key.at, message);
            }
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b'}') => more = false,
                _ => return Err((self.at, self.unexpected("',' or '}' after a field's value"))),
            }
        }
        self.at += 1;
        entry.len = u32::try_from(self.at - start).unwrap_or(u32::MAX);
        if let Some(at) = self.python.take() {
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

    /// The caption field; its captions are noted.
    fn caption(&mut self, entry: &mut Entry) -> Result<Field, Fault> {
        entry.first_caption = self.out.captions.len() as u32;
        entry.captions = 0;
        if self.peek() != Some(b'[') {
            let field = self.value(0)?;
            self.out.captions.push(field);
            entry.captions = 1;
            return Ok(field);
        }
        let at = self.at;
        self.at += 1;
        self.space();
        let mut more = self.peek() != Some(b']');
        while more {
            let field = self.value(1)?;
            self.out.captions.push(field);
            entry.captions += 1;
            more = self.comma_or_end()?;
        }
        self.at += 1;
        Ok(self.field(at, Holds::List))
    }

    /// After an item of a list: whether there is another one.
    fn comma_or_end(&mut self) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b',') => {
                let comma = self.at;
                self.at += 1;
                self.space();
                if self.peek() == Some(b']') {
                    return Err((comma, "a comma before ']': remove it".into()));
                }
                Ok(true)
            }
            Some(b']') => Ok(false),
            _ => Err((self.at, self.unexpected("',' or ']' in a list"))),
        }
    }

    fn field(&self, at: usize, holds: Holds) -> Field {
        Field { at, len: u32::try_from(self.at - at).unwrap_or(u32::MAX), holds }
    }

    fn value(&mut self, depth: usize) -> Result<Field, Fault> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err((at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => {
                self.at += 1;
                self.space();
                let mut more = self.peek() != Some(b']');
                while more {
                    self.value(depth + 1)?;
                    more = self.comma_or_end()?;
                }
                self.at += 1;
                Ok(self.field(at, Holds::List))
            }
            Some(b'{') => {
                self.at += 1;
                self.space();
                let mut more = self.peek() != Some(b'}');
                while more {
                    if !matches!(self.peek(), Some(b'"' | b'\'')) {
                        return Err((self.at, self.unexpected("a field's name in double quotes")));
                    }
                    self.string()?;
                    self.space();
                    if self.peek() != Some(b':') {
                        return Err((self.at, self.unexpected("':' after a field's name")));
                    }
                    self.at += 1;
                    self.space();
                    self.value(depth + 1)?;
                    self.space();
                    match self.peek() {
                        Some(b',') => {
                            self.at += 1;
                            self.space();
                        }
                        Some(b'}') => more = false,
                        _ => return Err((self.at, self.unexpected("',' or '}'"))),
                    }
                }
                self.at += 1;
                Ok(self.field(at, Holds::Object))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Field, Fault> {
        let at = self.at;
        let words: [(&[u8], Holds, bool); 6] = [
            (b"null", Holds::Null, false),
            (b"true", Holds::Bool, false),
            (b"false", Holds::Bool, false),
            (b"None", Holds::Null, true),
            (b"True", Holds::Bool, true),
            (b"False", Holds::Bool, true),
        ];
        for (word, holds, python) in words {
            if self.bytes.get(at..).is_some_and(|rest| rest.starts_with(word)) {
                self.at += word.len();
                if python {
                    self.python.get_or_insert(at);
                }
                return Ok(self.field(at, holds));
            }
        }
        Err((at, self.unexpected("a value (text needs double quotes)")))
    }

    fn number(&mut self) -> Result<Field, Fault> {
        let at = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let field = self.field(at, Holds::Number);
        let raw = field.raw(self.bytes);
        // Only digits is the common case; the rest is left to the library that knows the grammar.
        let digits = raw.iter().all(u8::is_ascii_digit) && (raw.len() == 1 || raw.first() != Some(&b'0'));
        if digits || serde_json::from_slice::<serde::de::IgnoredAny>(raw).is_ok() {
            return Ok(field);
        }
        Err((
            at,
            format!(
                "'{}' is no number",
                String::from_utf8_lossy(raw.get(..raw.len().min(40)).unwrap_or(raw))
            ),
        ))
    }

    /// A string in either kind of quotes.
    fn string(&mut self) -> Result<Field, Fault> {
        let at = self.at;
        let quote = self.peek().unwrap_or(b'"');
        if quote == b'\'' {
            self.python.get_or_insert(at);
        }
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or(&[]);
            let Some(run) = rest.iter().position(|byte| *byte == quote || *byte == b'\\' || *byte < 0x20)
            else {
                return Err((
                    at,
                    "the text that begins here never ends: its closing quote is missing".into(),
                ));
            };
            self.at += run;
            match rest.get(run) {
                Some(b'\\') => {
                    let next = rest.get(run + 1).copied().unwrap_or(0);
                    let good = match next {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => true,
                        b'u' => rest
                            .get(run + 2..run + 6)
                            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
                        b'\'' | b'x' if quote == b'\'' || self.python.is_some() => true,
                        _ => false,
                    };
                    if !good {
                        let shown = char::from(if next.is_ascii_graphic() { next } else { b'?' });
                        let message = format!(
                            "'\\{shown}' means nothing in JSON: a backslash itself is written '\\\\'"
                        );
                        return Err((self.at, message));
                    }
                    self.at += 2;
                }
                Some(byte) if *byte == quote => {
                    self.at += 1;
                    return Ok(self.field(at, Holds::Text));
                }
                Some(b'\n') => {
                    return Err((at, "the text that begins here has no closing quote on its line (a line break is written \\n)".into()));
                }
                Some(byte) => {
                    let message = format!(
                        "a raw control character (0x{byte:02x}) in a text: write it as \\u{byte:04x} or remove it"
                    );
                    self.problem(Kind::BadJson, self.at, message);
                    self.at += 1;
                }
                None => {}
            }
        }
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.peek() {
            None => format!("the file ends where {wanted} is expected: it may be cut off"),
            Some(byte) if byte.is_ascii_graphic() => {
                format!("expected {wanted}, found '{}'", char::from(byte))
            }
            Some(0) => format!("expected {wanted}, found a NUL byte: the file is damaged"),
            Some(byte) => format!("expected {wanted}, found byte 0x{byte:02x}"),
        }
    }
}

/// Text without its escapes: those of JSON, and Python's \' and \x.
fn unescape(inner: &[u8]) -> String {
    let mut text = Vec::with_capacity(inner.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = inner;
    let hex = |digits: Option<&[u8]>| {
        digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|d| u16::from_str_radix(d, 16).ok())
    };
    let flush = |units: &mut Vec<u16>, text: &mut Vec<u8>| {
        text.extend_from_slice(String::from_utf16_lossy(units).as_bytes());
        units.clear();
    };
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'\\' {
            flush(&mut units, &mut text);
            text.push(*first);
            rest = tail;
            continue;
        }
        let (next, after) = tail.split_first().map_or((b'\\', tail), |(next, after)| (*next, after));
        rest = after;
        let length = match next {
            b'u' => 4,
            b'x' => 2,
            _ => 0,
        };
        if let (1.., Some(unit)) = (length, hex(after.get(..length))) {
            units.push(unit);
            rest = after.get(length..).unwrap_or(&[]);
            continue;
        }
        flush(&mut units, &mut text);
        text.push(match next {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            other => other,
        });
    }
    flush(&mut units, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
