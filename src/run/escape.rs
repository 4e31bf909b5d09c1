//! Text from data (captions, names, logs) made safe for a terminal: no escape sequence, no control character,
//! nothing that turns the writing direction passes.

use std::borrow::Cow;

/// Whether a character must not reach a terminal as it is.
fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// One line of text with control and direction characters replaced: a tab or line break by a space, others by U+FFFD.
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(hostile) {
        return Cow::Borrowed(text);
    }
    let shown = |c| match c {
        '\t' | '\n' | '\r' => ' ',
        c if hostile(c) => '\u{fffd}',
        c => c,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// A field of a CSV file, in quotes where it needs them.
pub fn csv(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(super::csv("a b"), "a b");
        assert_eq!(super::csv("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(super::csv("a\nb"), "\"a\nb\"");
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(super::line("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb c");
        assert_eq!(super::line("x\u{202e}y\u{9b}z"), "x\u{fffd}y\u{fffd}z");
        assert!(matches!(super::line("grün 猫"), std::borrow::Cow::Borrowed(_)));
    }
}
