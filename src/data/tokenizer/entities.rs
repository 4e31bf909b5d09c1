//! HTML entities as Python's `html.unescape` and ftfy resolve them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A compiled pattern that is part of the program.
#[allow(clippy::expect_used)] // The patterns are constants, and a test compiles each.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static ANY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)"));
static WHOLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"&#?[0-9A-Za-z]{1,24};"));

/// Windows-1252's characters for the bytes 0x80 to 0x9f; five stand for themselves.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// What a control character from U+0080 to U+009F was meant to be.
pub(super) fn windows(c: char) -> char {
    (c as usize).checked_sub(0x80).and_then(|at| WINDOWS.get(at)).copied().unwrap_or(c)
}

/// Entities resolved as `html.unescape` does, those without a semicolon too.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    ANY.replace_all(text, |found: &Captures<'_>| {
        reference(found.get(0).map_or("", |m| m.as_str())).into_owned()
    })
}

fn reference(text: &str) -> Cow<'_, str> {
    let Some(number) = text.strip_prefix("&#") else { return htmlize::unescape(text) };
    let number = number.trim_end_matches(';');
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    // Too large a number fails: beyond Unicode like those that follow.
    let code = code.unwrap_or(u32::MAX);
    let c = match code {
        0 | 0xd800..=0xdfff | 0x11_0000.. => '\u{fffd}',
        0x80..=0x9f => windows(char::from(code as u8)),
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => return Cow::Borrowed(""),
        _ if code & 0xfffe == 0xfffe => return Cow::Borrowed(""),
        _ => char::from_u32(code).unwrap_or('\u{fffd}'),
    };
    Cow::Owned(c.to_string())
}

/// Entities resolved as ftfy does: only whole ones, and names in capitals where that makes another name.
pub(super) fn unescape_whole(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    WHOLE.replace_all(text, |found: &Captures<'_>| {
        let text = found.get(0).map_or("", |m| m.as_str());
        if text.starts_with("&#") {
            let resolved = unescape(text);
            return if resolved.contains(';') { text.to_string() } else { resolved.into_owned() };
        }
        if let Some(resolved) = named(text) {
            return resolved;
        }
        let lower = text.to_ascii_lowercase();
        if lower != text && lower.to_ascii_uppercase() == text && unescape(text) == text {
            return named(&lower).map_or_else(|| text.to_string(), |resolved| resolved.to_uppercase());
        }
        text.to_string()
    })
}

/// The characters of a named entity with its semicolon.
fn named(text: &str) -> Option<String> {
    let resolved = htmlize::unescape(text);
    // Where only a beginning is a name, the rest with its semicolon stays behind.
    (resolved != text && (!resolved.ends_with(';') || text == "&semi;")).then(|| resolved.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_python_does() {
        for (text, expected) in [
            ("&lt&amp;&notit;&#x41;&#65", "<&¬it;AA"),
            ("&#0;&#xD800;&#x110000;&#99999999999999999999;", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("&#1;&#128;&#x9d;&#xfffe;", "€\u{9d}"),
            ("&zzz; & &; &#; &#x; &nothing;", "&zzz; & &; &#; &#x; ¬hing;"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn only_whole_entities_are_ftfys() {
        for (text, expected) in [
            ("this&not that &amp &notit; &#59;", "this&not that &amp &notit; &#59;"),
            ("&ntilde; &Ntilde; &NTILDE; &nTILDE;", "ñ Ñ Ñ &nTILDE;"),
            ("BUNDESSTRA&SZLIG;E &semi;", "BUNDESSTRASSE ;"),
        ] {
            assert_eq!(unescape_whole(text), expected, "{text}");
        }
    }
}
