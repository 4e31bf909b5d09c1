//! The scanner: it knows where it is, checks the grammar, and allocates nothing but faults.
//!
//! A strict one takes JSON. A tolerant one passes over what it can make sense of, and remembers it: Python's literals
//! in single quotes, raw control characters, a field that stands twice.

use super::text::{Holds, Span, Written};

/// How deep values may be nested.
const MAX_DEPTH: usize = 64;

/// What is wrong, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub at: usize,
    pub problem: String,
}

impl Fault {
    pub fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

/// What a tolerant scanner has passed over.
#[derive(Debug, Default)]
pub(crate) struct Tolerated {
    /// Where something is first written as Python does.
    pub python: Option<usize>,
    /// Raw control characters in texts.
    pub controls: Vec<usize>,
    /// Fields whose name an object has twice.
    pub again: Vec<Span>,
}

pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    pub at: usize,
    depth: usize,
    /// None in a strict one.
    pub tolerated: Option<Tolerated>,
}

impl<'a> Scanner<'a> {
    /// A strict scanner.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0, tolerated: None }
    }

    /// A tolerant scanner that begins at byte `at`.
    pub fn tolerant(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, depth: 0, tolerated: Some(Tolerated::default()) }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes to a byte, out of everything that was open.
    pub fn jump(&mut self, at: usize) {
        (self.at, self.depth) = (at, 0);
    }

    pub fn fault<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(self.at, problem))
    }

    /// That something else stands here than what is wanted.
    pub fn wrong<T>(&self, wanted: &str) -> Result<T, Fault> {
        self.fault(match self.bytes.get(self.at) {
            None => format!("the file ends where {wanted} is expected: it may be cut off"),
            Some(b'\'') => format!(
                "expected {wanted}; this is a Python literal in single quotes, and JSON needs double ones"
            ),
            Some(0) => format!("expected {wanted}, found a NUL byte: the file is damaged"),
            Some(byte) if byte.is_ascii_graphic() => {
                format!("expected {wanted}, found '{}'", char::from(*byte))
            }
            Some(byte) => format!("expected {wanted}, found byte 0x{byte:02x}"),
        })
    }

    /// The next byte that is no white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Takes `byte`.
    pub fn expect(&mut self, byte: u8, wanted: &str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.wrong(wanted) }
    }

    fn note_python(&mut self, at: usize) {
        if let Some(tolerated) = &mut self.tolerated {
            tolerated.python.get_or_insert(at);
        }
    }

    /// A string; of a tolerant scanner, in either kind of quotes.
    pub fn string(&mut self) -> Result<Span, Fault> {
        let quote = match self.peek() {
            Some(b'"') => b'"',
            Some(b'\'') if self.tolerated.is_some() => {
                self.note_python(self.at);
                b'\''
            }
            _ => return self.wrong("a string"),
        };
        let start = self.at;
        let (mut at, mut written) = (start + 1, Written::Json);
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(next) = special(rest, quote) else {
                return self.fault(
                    "the file ends within a string: the text that begins here never ends, its closing quote is missing",
                );
            };
            at += next;
            match rest.get(next) {
                Some(b'\\') => {
                    self.escape(rest.get(next + 1..).unwrap_or_default(), at, quote)?;
                    at += 2;
                    written = Written::Escaped;
                }
                Some(byte) if *byte == quote => {
                    self.at = at + 1;
                    return Ok(Span::new(start, self.at, Holds::Text, written));
                }
                Some(byte) => match &mut self.tolerated {
                    Some(_) if *byte == b'\n' => {
                        return self.fault("the text that begins here has no closing quote on its line (a line break is written \\n)");
                    }
                    Some(tolerated) => {
                        tolerated.controls.push(at);
                        at += 1;
                    }
                    None => return Err(Fault::new(at, "a control character within a string")),
                },
                None => {}
            }
        }
    }

    /// Whether what follows a backslash at byte `at` means something.
    fn escape(&self, after: &[u8], at: usize, quote: u8) -> Result<(), Fault> {
        let python = self.tolerated.as_ref().is_some_and(|t| quote == b'\'' || t.python.is_some());
        match after.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match after.get(1..5) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(()),
                _ => Err(Fault::new(at, "\\u needs four hexadecimal digits")),
            },
            Some(b'\'' | b'x') if python => Ok(()),
            None => Err(Fault::new(at, "the file ends within a string")),
            Some(byte) => {
                let shown = char::from(if byte.is_ascii_graphic() { *byte } else { b'?' });
                let problem =
                    format!("'\\{shown}' means nothing in JSON: a backslash itself is written '\\\\'");
                Err(Fault::new(at, problem))
            }
        }
    }

    /// The object that begins here: `each` is called with the name of a field, and has to take its value.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Span) -> Result<(), Fault>,
    ) -> Result<Span, Fault> {
        self.peek();
        let start = self.at;
        self.expect(b'{', "'{'")?;
        self.deeper()?;
        if !self.take(b'}') {
            loop {
                match self.peek() {
                    Some(b'"' | b'\'') => {}
                    Some(b'}') => return self.fault("a comma before '}': remove it"),
                    _ => return self.wrong("a field's name in double quotes"),
                }
                let key = self.string()?;
                self.expect(b':', "':' after a field's name")?;
                each(self, key)?;
                if self.take(b'}') {
                    break;
                }
                self.expect(b',', "',' or '}' after a field's value")?;
            }
        }
        self.depth -= 1;
        Ok(Span::new(start, self.at, Holds::Object, Written::Json))
    }

    /// The list that begins here: `each` has to take an item.
    pub fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<Span, Fault> {
        self.peek();
        let start = self.at;
        self.expect(b'[', "'['")?;
        self.deeper()?;
        if !self.take(b']') {
            loop {
                each(self)?;
                if self.take(b']') {
                    break;
                }
                let comma = self.at;
                self.expect(b',', "',' or ']' in a list")?;
                if self.peek() == Some(b']') {
                    return Err(Fault::new(comma, "a comma before ']': remove it"));
                }
            }
        }
        self.depth -= 1;
        Ok(Span::new(start, self.at, Holds::List, Written::Json))
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fault(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(())
    }

    /// Any value; its grammar is checked.
    pub fn value(&mut self) -> Result<Span, Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'\'') if self.tolerated.is_some() => self.string(),
            Some(b'{') => self.object(|scanner, _| scanner.value().map(drop)),
            Some(b'[') => self.list(|scanner| scanner.value().map(drop)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.bare(),
        }
    }

    /// A number or another bare word, as written.
    fn word(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bare = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_');
        let length = rest.iter().position(|b| !bare(b)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn bare(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let (holds, python) = match self.word() {
            b"null" => (Holds::Null, false),
            b"true" | b"false" => (Holds::Bool, false),
            b"None" => (Holds::Null, true),
            b"True" | b"False" => (Holds::Bool, true),
            _ => (Holds::Nothing, false),
        };
        if holds == Holds::Nothing || (python && self.tolerated.is_none()) {
            self.at = start;
            return self.wrong("a value (text needs double quotes)");
        }
        if python {
            self.note_python(start);
        }
        Ok(Span::new(start, self.at, holds, Written::Json))
    }

    fn number(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let word = self.word();
        // Only digits is the common case; the rest is left to the library that knows the grammar.
        let digits = word.iter().all(u8::is_ascii_digit) && (word.len() == 1 || word.first() != Some(&b'0'));
        if digits || serde_json::from_slice::<serde::de::IgnoredAny>(word).is_ok() {
            return Ok(Span::new(start, self.at, Holds::Number, Written::Json));
        }
        let shown = String::from_utf8_lossy(word.get(..word.len().min(40)).unwrap_or(word));
        Err(Fault::new(start, format!("'{shown}' is no number")))
    }
}

/// Where the first quote, backslash or control character is: eight bytes at a time.
fn special(bytes: &[u8], quote: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    let quotes = ONES * u64::from(quote);
    let backslashes = ONES * u64::from(b'\\');
    // The lowest byte that this marks is right; a borrow may mark higher ones wrongly.
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & HIGH;
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word ^ quotes, 1) | below(word ^ backslashes, 1) | below(word, 0x20);
        if found != 0 {
            return Some(place * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let found = rest.iter().position(|b| *b == quote || *b == b'\\' || *b < 0x20);
    found.map(|at| words.len() * 8 + at)
}
