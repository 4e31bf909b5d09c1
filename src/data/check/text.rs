//! What may be wrong with a text: captions, names and ids.

use std::borrow::Cow;

use super::finding::Kind;

/// Tokens with a meaning of their own in the vocabularies that CoCa is used with.
const SPECIAL: [&str; 5] = ["<start_of_text>", "<end_of_text>", "<|startoftext|>", "<|endoftext|>", "<pad>"];

/// Whether a text needs no closer look: printable ASCII without what a special token begins with.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte) & (*byte != b'<'))
}

/// Everything that is wrong with a caption but its length.
pub(super) fn caption(text: &str) -> Vec<(Kind, Cow<'static, str>)> {
    let mut found = Vec::new();
    if text.trim().is_empty() {
        return vec![(Kind::EmptyCaption, "the caption is empty: write one or remove the entry".into())];
    }
    found.extend(any(text));
    if !text.chars().any(char::is_alphabetic) {
        let message = format!("'{}' has not one letter: write a caption in words", shorten(text));
        found.push((Kind::NonTextCaption, message.into()));
    }
    if text.contains('<')
        && let Some(token) = SPECIAL.iter().find(|token| text.contains(**token))
    {
        let message =
            format!("the caption holds {token}, which the model takes for a mark of its own: remove it");
        found.push((Kind::SpecialToken, message.into()));
    }
    found
}

/// What is wrong with any text.
pub(super) fn any(text: &str) -> Option<(Kind, Cow<'static, str>)> {
    if let Some(c) = text.chars().find(|c| steers(*c)) {
        let message = format!(
            "the text holds the control character U+{:04X}, which may steer a terminal: remove it",
            u32::from(c)
        );
        return Some((Kind::TerminalEscape, message.into()));
    }
    if text.is_ascii() {
        return None;
    }
    if text.contains('\u{fffd}') {
        let message =
            format!("'{}' holds a replacement character: bytes were lost when it was decoded", shorten(text));
        return Some((Kind::Encoding, message.into()));
    }
    let damaged = text.chars().zip(text.chars().skip(1)).any(|(a, b)| match a {
        // The first byte of a two-byte UTF-8 sequence read as Latin-1 or Windows-1252, and its second one.
        'Â' | 'Ã' => ('\u{80}'..='\u{bf}').contains(&b) || "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ".contains(b),
        'â' => b == '€' || b == '\u{80}',
        'ï' => b == '¿',
        'ð' => b == 'Ÿ' || b == '\u{9f}',
        _ => false,
    });
    damaged.then(|| {
        let message = format!(
            "'{}' looks like UTF-8 that was read as Latin-1: write it again from its source",
            shorten(text)
        );
        (Kind::Encoding, message.into())
    })
}

/// Characters that steer a terminal or turn the writing direction; tabs and line breaks become spaces anyway.
fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The beginning of a text, without control characters.
pub(super) fn shorten(text: &str) -> String {
    let shown = |c: char| if steers(c) || c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(60).map(shown).collect();
    if text.chars().nth(60).is_some() {
        short.push_str("...");
    }
    short
}
