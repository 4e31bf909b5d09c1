//! The words of text that is plain ASCII, cleaned: many times faster than the pattern that it stands for.

use super::clip::{END, START};

/// Endings that are words of their own.
const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// Splits as the pattern of [`super::clip::WORDS`] does.
pub(super) struct AsciiWords<'a> {
    rest: &'a str,
}

impl<'a> AsciiWords<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for AsciiWords<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(is_space);
        let first = *text.as_bytes().first()?;
        let run = |is: fn(u8) -> bool| text.bytes().position(|byte| !is(byte)).unwrap_or(text.len());
        let length = match first {
            b'a'..=b'z' | b'A'..=b'Z' => run(|byte| byte.is_ascii_alphabetic()),
            b'0'..=b'9' => 1,
            _ => [START, END].iter().chain(&ENDINGS).find(|special| begins(text, special)).map_or_else(
                || run(|byte| !byte.is_ascii_alphanumeric() && !is_space(char::from(byte))),
                |s| s.len(),
            ),
        };
        let (word, rest) = text.split_at_checked(length)?;
        self.rest = rest;
        Some(word)
    }
}

/// What the pattern takes for white space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn begins(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

#[cfg(test)]
mod tests {
    use super::super::clip::WORDS;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_those_of_the_pattern(text in "([ -~\\t\\n]|'(s|t|re|ve|m|ll|d)|<(START|end)_of_text>|[a-z]{1,6} ){0,30}") {
            let pattern = regex::Regex::new(WORDS).unwrap();
            let expected: Vec<&str> = pattern.find_iter(&text).map(|word| word.as_str()).collect();
            prop_assert_eq!(AsciiWords::new(&text).collect::<Vec<_>>(), expected);
        }
    }
}
