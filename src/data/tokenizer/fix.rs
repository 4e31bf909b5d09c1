//! What ftfy 6.3.1's `fix_text` mends, in its order: entities, stray control characters of Windows' encodings,
//! ligatures, character width, quotes, line breaks, terminal escapes, control characters, composition (NFC).
//!
//! Not done is its repair of mojibake (`fix_encoding`): "dÃ©jÃ  vu" stays. Surrogates cannot be in a Rust string.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::entities::{pattern, unescape_whole, windows};

static TERMINAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1b\[(?:\d|;)*[a-zA-Z]"));

/// The text, mended line by line. From the first line with a `<` on entities are left: it may be HTML.
pub(super) fn fix_text(text: &str) -> String {
    let mut entities = true;
    let mut fixed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        entities &= !line.contains('<');
        fixed.push_str(&fix_line(line, entities));
    }
    fixed
}

/// Once more until nothing changes.
fn fix_line(line: &str, entities: bool) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(line);
    loop {
        // An entity may have become a `<`; ftfy looks for it in the line as it came.
        let next = step(&text, entities);
        if next == text.as_ref() {
            return text;
        }
        text = Cow::Owned(next);
    }
}

fn step(text: &str, entities: bool) -> String {
    let text = if entities { unescape_whole(text) } else { Cow::Borrowed(text) };
    let mut mended = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ..='\u{7f}' => mended.push(c),
            '\u{80}'..='\u{9f}' => replace(windows(c), &mut mended),
            _ => replace(c, &mut mended),
        }
    }
    let mended = mended.replace("\r\n", "\n").replace('\r', "\n");
    let mended = TERMINAL.replace_all(&mended, "");
    mended.chars().filter(|c| !is_control(*c)).nfc().collect()
}

/// Ligatures, widths, quotes and line breaks of one character, in this order.
fn replace(c: char, out: &mut String) {
    if let Some(letters) = ligature(c) {
        out.push_str(letters);
        return;
    }
    match c {
        '\u{3000}' => out.push(' '),
        // What these become is no quote that is curled and no line break.
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
        _ => out.push(c),
    }
}

fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        // The modifier apostrophe in it is uncurled in turn.
        'ŉ' => "'n",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

/// Controls that nobody means: not tab, line feed and form feed, nor joiners and marks of direction.
fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fix_is_ftfys() {
        for (text, expected) in [
            ("“a” ‘b’ ʼc", "\"a\" 'b' 'c"),
            ("ﬂuﬃeﬆ ŉ Ĳ", "fluffiest 'n IJ"),
            ("ＬＯＵＤ　Ｕﾀｰﾝ", "LOUD Uターン"),
            ("a\r\nb\rc\u{2028}d\u{2029}e", "a\nb\nc\nd\ne"),
            ("\u{1b}[36;44mblue\u{1b}[0m", "blue"),
            ("\u{feff}a\u{0}b\u{7f}c\u{fffc}\u{200d}", "abc\u{200d}"),
            ("e\u{301}", "é"),
            ("\u{93}x\u{94}", "\"x\""),
            ("&lt;a&gt; &amp;eacute;", "<a> é"),
            ("<a> &eacute;\n&eacute;", "<a> &eacute;\n&eacute;"),
            ("&eacute;\n< &eacute;", "é\n< &eacute;"),
        ] {
            assert_eq!(fix_text(text), expected, "{text:?}");
        }
    }
}
