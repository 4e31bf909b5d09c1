//! A JSON scanner over bytes in memory: it knows where it is, and allocates only for strings with escapes.

use std::borrow::Cow;

/// How deep values may be nested.
const MAX_DEPTH: usize = 128;

/// What is wrong, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub at: usize,
    pub problem: String,
}

pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn fault<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at: self.at, problem: problem.into() })
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T, Fault> {
        match self.bytes.get(self.at) {
            None => self.fault(format!("the file ends where {wanted} is expected")),
            Some(b'\'') => self.fault(format!(
                "expected {wanted}; this is a Python literal in single quotes, and JSON needs double ones"
            )),
            Some(byte) => {
                self.fault(format!("expected {wanted}, found '{}'", char::from(*byte).escape_default()))
            }
        }
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

    /// Where the string that begins here ends (at its quote), and whether it has escapes.
    fn string_end(&mut self) -> Result<(usize, bool), Fault> {
        if self.peek() != Some(b'"') {
            return self.wrong("a string");
        }
        let mut at = self.at + 1;
        let mut escapes = false;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(next) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)) else {
                return self.fault("the file ends within a string");
            };
            at += next;
            match self.bytes.get(at) {
                Some(b'"') => return Ok((at, escapes)),
                Some(b'\\') => {
                    escapes = true;
                    at += 2;
                }
                _ => {
                    return Err(Fault { at, problem: "a control character within a string".to_owned() });
                }
            }
        }
    }

    /// A string.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let (end, escapes) = self.string_end()?;
        let start = self.at + 1;
        let raw = self.bytes.get(start..end).unwrap_or_default();
        let text = std::str::from_utf8(raw).map_err(|error| Fault {
            at: start + error.valid_up_to(),
            problem: "the text is not UTF-8".to_owned(),
        })?;
        let text = if escapes { Cow::Owned(unescape(text, start)?) } else { Cow::Borrowed(text) };
        self.at = end + 1;
        Ok(text)
    }

    /// A number or another bare word, as written.
    pub fn word(&mut self) -> &'a str {
        self.peek();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
            .unwrap_or(rest.len());
        self.at += length;
        std::str::from_utf8(rest.get(..length).unwrap_or_default()).unwrap_or_default()
    }

    /// Passes over a value, checking its syntax.
    pub fn skip(&mut self) -> Result<(), Fault> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    if open.len() >= MAX_DEPTH {
                        return self.fault(format!("nested deeper than {MAX_DEPTH}"));
                    }
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if !self.take(close) {
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.at = self.string_end()?.0 + 1,
                _ => {
                    let from = self.at;
                    let word = self.word();
                    if !matches!(word, "true" | "false" | "null") && !is_number(word) {
                        self.at = from;
                        return self.wrong("a value");
                    }
                }
            }
            // What follows a value: the end of what it stands in, or another one.
            loop {
                let Some(close) = open.last().copied() else { return Ok(()) };
                if self.take(b',') {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                self.expect(close, if close == b'}' { "',' or '}'" } else { "',' or ']'" })?;
                open.pop();
            }
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        self.at = self.string_end()?.0 + 1;
        self.expect(b':', "':'")
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let first = digits.bytes().next();
    first.is_some_and(|b| b.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit())
        && word.parse::<f64>().is_ok()
        && !word.ends_with('.')
}

/// Text without its escapes; `start` is where it begins in the file.
fn unescape(text: &str, start: usize) -> Result<String, Fault> {
    let fault = |at: usize, problem: &str| Err(Fault { at: start + at, problem: problem.to_owned() });
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\\')) {
        out.push_str(text.get(at..at + next).unwrap_or_default());
        at += next;
        let hex = |at: usize| {
            let digits = text.get(at..at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u32::from_str_radix(digits, 16).ok()
        };
        let plain = match text.as_bytes().get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let Some(high) = hex(at + 2) else { return fault(at, "\\u needs four hexadecimal digits") };
                let low = if (0xd800..0xdc00).contains(&high) && text.get(at + 6..at + 8) == Some("\\u") {
                    hex(at + 8).filter(|low| (0xdc00..0xe000).contains(low))
                } else {
                    None
                };
                let code = low.map_or(high, |low| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                let Some(char) = char::from_u32(code) else { return fault(at, "half of a surrogate pair") };
                out.push(char);
                at += if low.is_some() { 12 } else { 6 };
                continue;
            }
            _ => return fault(at, "an unknown escape"),
        };
        out.push(plain);
        at += 2;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes() {
        let string = |text: &str| Scanner::new(text.as_bytes()).string().map(Cow::into_owned);
        assert_eq!(string(r#""a\n\"\\\/\u00e9\ud83d\ude00z""#).unwrap(), "a\n\"\\/é😀z");
        for bad in [r#""\x""#, r#""\u12g4""#, r#""\ud800""#, "\"a\nb\"", "\"abc", "\"\\", "'a'"] {
            assert!(string(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// The scanner and serde_json agree on what is JSON.
        #[test]
        fn skips_what_serde_json_reads(text in r#"[\[\]{}",:\\ a0-9\-.eutrn]{0,24}"#) {
            let mut scanner = Scanner::new(text.as_bytes());
            let mine = scanner.skip().is_ok() && scanner.peek().is_none();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            // A skipped string's escapes are not looked at, nor numbers beyond a float.
            prop_assert!(mine == theirs || text.contains('\\') || text.contains('e'), "{text:?} {mine} {theirs}");
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(Scanner::new(json.as_bytes()).string().unwrap(), text);
        }
    }
}
