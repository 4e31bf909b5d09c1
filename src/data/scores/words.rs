//! Words of a caption, as the Penn Treebank splits them: what caption scores count.
//!
//! The scores of the COCO captions are made on text that Stanford's tokenizer has split and lower-cased, with
//! punctuation left out. This follows it on what captions hold: contractions (is n't, woman 's), abbreviations,
//! numbers, quotes and brackets. Where it differs is in rare signs; both texts of a comparison go through it, so a
//! score moves little.

use std::sync::OnceLock;

use regex::Regex;

/// Tokens that do not count. The list is older than the lower-casing, so brackets (`-lrb-`) stay, as they do there.
const PUNCTUATION: &[&str] = &["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// What a token is, the first that fits. A group, where there is one, is the token, and what is behind it only has to
/// be there.
const TOKENS: &str = r#"(?x)
    https?://\S*[^\s.,;:!?'")\]]
  | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
  | <[a-z/][^>\s]*>
  | :-?[()]
  | (?:\p{L}\.){2,}
  | (?:mr|mrs|ms|dr|st|jr|sr|vs|etc|inc|co|corp|ltd|bros|prof|gen|sen|gov|rep|rev|capt|lt|col|sgt|ave|blvd|mt|ft)\.
  | (no\.)\s*\d
  | (can)not\b
  | (gon|wan)na\b
  | (got)ta\b
  | (lem|gim)me\b
  | (\p{L}+?)n't\b
  | n't\b
  | ('t)(?:is|was)\b
  | '(?:s|m|d|re|ve|ll|n)\b
  | '\d\ds?\b
  | (?:o|d|l|y)'\p{L}+
  | \p{N}+(?:[.,:/]\p{N}+)+
  | [\p{L}\p{N}]+(?:[-/&._][\p{L}\p{N}]+)*
  | \.{3,}
  | -{2,}
  | [?!]+
  | \S
"#;

fn tokens() -> Option<&'static Regex> {
    static TOKENS_ONCE: OnceLock<Option<Regex>> = OnceLock::new();
    // A constant that a test reads.
    TOKENS_ONCE.get_or_init(|| Regex::new(TOKENS).ok()).as_ref()
}

/// Splits a caption, lower-cased, and leaves punctuation out.
pub fn words(caption: &str) -> Vec<String> {
    let mut words = split(caption);
    words.retain(|word| !PUNCTUATION.contains(&word.as_str()));
    words
}

/// Splits a caption, lower-cased, punctuation included.
fn split(caption: &str) -> Vec<String> {
    let text = plain(caption);
    let Some(pattern) = tokens() else { return text.split_whitespace().map(str::to_owned).collect() };
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(found) = pattern.captures_at(&text, at) {
        let Some(whole) = found.get(0) else { break };
        let token = found.iter().skip(1).flatten().next().unwrap_or(whole);
        let before = text.get(..token.start()).and_then(|text| text.chars().next_back());
        words.push(spelled(token.as_str(), before));
        at = token.end();
    }
    words
}

/// Lower case, with the signs that have a plain form in it.
fn plain(caption: &str) -> String {
    let mut text = String::with_capacity(caption.len());
    for c in caption.chars() {
        match c {
            '\u{2018}' | '\u{2019}' => text.push('\''),
            '\u{201c}' | '\u{201d}' => text.push('"'),
            '\u{2013}' | '\u{2014}' => text.push_str("--"),
            '\u{2026}' => text.push_str("..."),
            '½' => text.push_str("1/2"),
            '¼' => text.push_str("1/4"),
            '¾' => text.push_str("3/4"),
            '€' => text.push('$'),
            '£' => text.push('#'),
            c => text.extend(c.to_lowercase()),
        }
    }
    text
}

/// A token as the treebank writes it; quotes open where nothing or a space is before them.
fn spelled(token: &str, before: Option<char>) -> String {
    let opens = before.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '"' | '\''));
    match token {
        "\"" if opens => "``",
        "\"" => "''",
        "'" if opens => "`",
        "(" => "-lrb-",
        ")" => "-rrb-",
        "[" => "-lsb-",
        "]" => "-rsb-",
        "{" => "-lcb-",
        "}" => "-rcb-",
        ":)" => ":-rrb-",
        ":-)" => ":--rrb-",
        ":(" => ":-lrb-",
        ":-(" => ":--lrb-",
        dots if dots.starts_with("...") => "...",
        dashes if dashes.starts_with("--") => "--",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that Stanford's tokenizer 3.4.1 gave with `-preserveLines -lowerCase`.
    #[test]
    fn captions_are_split_as_stanfords_tokenizer_does() {
        let fixture = include_str!("../tests/fixtures/scores/treebank.tsv");
        let mut lines = 0;
        let mut wrong = Vec::new();
        for line in fixture.lines() {
            let (caption, expected) = line.split_once('\t').unwrap();
            let expected: Vec<&str> = expected.split(' ').filter(|w| !PUNCTUATION.contains(w)).collect();
            if words(caption) != expected {
                wrong.push(format!("{caption}\n  {}\n  {}", words(caption).join(" "), expected.join(" ")));
            }
            lines += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(lines > 100);
    }

    #[test]
    fn punctuation_is_left_out() {
        assert_eq!(words("A woman's \"dog\", isn't it?").join(" "), "a woman 's dog is n't it");
        assert!(words("").is_empty() && words(" . , !").is_empty());
        assert!(tokens().is_some());
    }
}
