//! Values by their places, and the text that they stand for.

use std::borrow::Cow;

use super::Fault;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// There is none.
    Nothing,
    /// A text.
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

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// In quotes of JSON or Python, without escapes.
    Json,
    /// The same with escapes.
    Escaped,
    /// As it is.
    Plain,
    /// In quotes, with a quote within it doubled: a field of a table.
    Doubled,
}

/// A value's place, quotes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First byte.
    pub at: usize,
    /// Bytes, at most those that fit.
    pub len: u32,
    /// What it is.
    pub holds: Holds,
    /// How it is written.
    pub written: Written,
}

impl Span {
    pub const NOTHING: Self = Self { at: 0, len: 0, holds: Holds::Nothing, written: Written::Json };

    /// A value from `at` to `end`.
    pub fn new(at: usize, end: usize, holds: Holds, written: Written) -> Self {
        Self { at, len: u32::try_from(end.saturating_sub(at)).unwrap_or(u32::MAX), holds, written }
    }

    /// The value as it is written.
    pub fn raw<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.at..self.at.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    /// A text as it is written, without its quotes.
    pub fn inner<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let raw = self.raw(bytes);
        if self.holds != Holds::Text || self.written == Written::Plain {
            return raw;
        }
        raw.get(1..raw.len().saturating_sub(1)).unwrap_or(&[])
    }

    /// The bytes of a text or number; escapes that mean nothing are left out.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let inner = self.inner(bytes);
        match self.written {
            Written::Escaped => Cow::Owned(unescape(inner)),
            Written::Doubled if self.holds == Holds::Text => undouble(self.raw(bytes)),
            _ => Cow::Borrowed(inner),
        }
    }

    /// The text of a text or number; bytes that are no UTF-8 become U+FFFD.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match self.bytes(bytes) {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            ),
        }
    }

    /// The text of a JSON string, which has to be right.
    ///
    /// # Errors
    /// When it is no UTF-8, or half of a surrogate pair stands in it.
    pub fn strict<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, str>, Fault> {
        let inner = self.inner(bytes);
        let start = self.at + 1;
        let text = std::str::from_utf8(inner).map_err(|error| Fault {
            at: start + error.valid_up_to(),
            problem: "the text is not UTF-8".to_owned(),
        })?;
        if self.written != Written::Escaped {
            return Ok(Cow::Borrowed(text));
        }
        String::from_utf8(unescape(inner)).map(Cow::Owned).map_err(|_| Fault {
            at: self.at,
            problem: "half of a surrogate pair (\\ud800 to \\udfff) in the text".to_owned(),
        })
    }
}

/// A quoted field of a table; what follows its closing quote belongs to it, as pandas has it.
fn undouble(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = raw.strip_prefix(b"\"").unwrap_or(raw);
    if memchr::memchr(b'"', rest).is_some_and(|at| at + 1 == rest.len()) {
        return Cow::Borrowed(rest.get(..rest.len() - 1).unwrap_or(&[]));
    }
    let mut text = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'"', rest) {
        text.extend_from_slice(rest.get(..at).unwrap_or(&[]));
        rest = rest.get(at + 1..).unwrap_or(&[]);
        match rest.strip_prefix(b"\"") {
            Some(more) => {
                text.push(b'"');
                rest = more;
            }
            None => break,
        }
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

/// Text without its escapes: those of JSON, and Python's \' and \x. Half of a surrogate pair becomes bytes that are no
/// UTF-8, as WTF-8 has them.
fn unescape(inner: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    let hex = |digits: Option<&[u8]>| {
        digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|d| u32::from_str_radix(d, 16).ok())
    };
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(rest.get(..plain).unwrap_or(&[]));
        let after = rest.get(plain + 1..).unwrap_or(&[]);
        let Some((next, tail)) = after.split_first() else { return text };
        rest = tail;
        let length = match next {
            b'u' => 4,
            b'x' => 2,
            _ => 0,
        };
        let Some(code) = hex(tail.get(..length)).filter(|_| length > 0) else {
            text.push(match next {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                other => *other,
            });
            continue;
        };
        rest = tail.get(length..).unwrap_or(&[]);
        let low = (0xd800..0xdc00).contains(&code) && rest.starts_with(b"\\u");
        let low = if low { hex(rest.get(2..6)).filter(|low| (0xdc00..0xe000).contains(low)) } else { None };
        let whole = low.map_or(code, |low| 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
        if low.is_some() {
            rest = rest.get(6..).unwrap_or(&[]);
        }
        match char::from_u32(whole) {
            Some(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => text.extend([0xed, 0x80 | (whole >> 6 & 0x3f) as u8, 0x80 | (whole & 0x3f) as u8]),
        }
    }
    text.extend_from_slice(rest);
    text
}
