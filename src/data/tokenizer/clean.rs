//! Cleans a caption as CLIP does before it is split into words.

use std::borrow::Cow;

/// Entities resolved twice, white space collapsed and trimmed, lower case.
///
/// Python's ftfy, which open_clip runs first, mends damaged encodings; that is not done here.
pub fn clean(text: &str) -> String {
    let once = unescape(text);
    let twice = unescape(&once);
    let mut cleaned = String::with_capacity(twice.len());
    for word in twice.split(is_python_space).filter(|word| !word.is_empty()) {
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(word);
    }
    // Like Python's, this lower-casing knows the final sigma.
    cleaned.to_lowercase()
}

fn unescape(text: &str) -> Cow<'_, str> {
    if text.contains('&') { htmlize::unescape(text) } else { Cow::Borrowed(text) }
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
        assert_eq!(clean("  A\tRed\u{a0}\u{1d}Dog \n"), "a red dog");
        assert_eq!(clean("Tom &amp;amp; Jerry &lt;3 &eacute;"), "tom & jerry <3 é");
        assert_eq!(clean("ΟΔΟΣ ΣΟΦΟΣ"), "οδος σοφος");
        assert_eq!(clean(""), "");
        assert_eq!(clean("&nbsp;&amp;nbsp; "), "");
    }
}
