//! Cleans a caption as open_clip does before it is split into words.

use std::borrow::Cow;

use super::entities::unescape;
use super::fix::fix_text;

/// Broken text mended, entities resolved twice, white space collapsed and trimmed, lower case.
///
/// Mending follows Python's ftfy 6.3.1 except for its repair of mojibake (text decoded in a wrong encoding), which
/// is left as it is: see [`super::fix`].
pub fn clean(text: &str) -> String {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'&';
    let text = if text.bytes().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(unescape(&unescape(&fix_text(text))).into_owned())
    };
    let mut cleaned = String::with_capacity(text.len());
    for word in text.split(is_python_space).filter(|word| !word.is_empty()) {
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(word);
    }
    if cleaned.is_ascii() {
        cleaned.make_ascii_lowercase();
        return cleaned;
    }
    // Like Python's, this lower-casing knows the final sigma.
    cleaned.to_lowercase()
}

/// What Python's `str.split` takes for white space: four control characters more than Unicode does.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_follows_python() {
        assert_eq!(clean("  A\tRed\u{a0}Dog \n"), "a red dog");
        assert_eq!(clean("Tom &amp;amp; Jerry &lt;3 &eacute;"), "tom & jerry <3 é");
        assert_eq!(clean("ΟΔΟΣ ΣΟΦΟΣ"), "οδος σοφος");
        assert_eq!(clean(""), "");
        assert_eq!(clean("&nbsp;&amp;nbsp; "), "");
        assert_eq!(clean("a <b> P&EACUTE;REZ"), "a <b> p&eacute;rez");
        assert_eq!(clean("P&EACUTE;REZ"), "pérez");
    }

    /// ftfy would make "déjà vu" of it.
    #[test]
    fn mojibake_is_left_as_it_is() {
        assert_eq!(clean("dÃ©jÃ  vu"), "dã©jã vu");
    }
}
