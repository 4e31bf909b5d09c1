use std::borrow::Cow;

use proptest::prelude::*;

use super::entry::{Keys, read};
use super::*;

fn string(text: &str) -> Result<String, Fault> {
    Scanner::new(text.as_bytes()).string()?.strict(text.as_bytes()).map(Cow::into_owned)
}

#[test]
fn escapes() {
    assert_eq!(string(r#""a\n\"\\\/\u00e9\ud83d\ude00z""#).unwrap(), "a\n\"\\/é😀z");
    for bad in
        [r#""\x""#, r#""\u12g4""#, r#""\ud800""#, r#""\ude00\ud83d""#, "\"a\nb\"", "\"abc", "\"\\", "'a'"]
    {
        assert!(string(bad).is_err(), "{bad}");
    }
    let python = r"'it\'s \x41'";
    let span = Scanner::tolerant(python.as_bytes(), 0).string().unwrap();
    assert_eq!(span.text(python.as_bytes()), "it's A");
}

#[test]
fn the_first_known_field_is_taken() {
    let keys = Keys::lines(None, None);
    for (json, image, captions) in [
        (r#"{"path":"b","image":"a","caption":"x"}"#, "a", vec!["x"]),
        (r#"{"image":"a","path":"b","text":"no","caption":["x","y"],"title":"no"}"#, "a", vec!["x", "y"]),
        (r#"{"caption":["z"],"c\u0061ption":[1,"x"],"im\u0061ge":"a"}"#, "a", vec!["1", "x"]),
    ] {
        let mut all = vec![Span::NOTHING];
        let entry = read(&mut Scanner::new(json.as_bytes()), &keys, &mut all).unwrap();
        assert_eq!(entry.image.text(json.as_bytes()), image);
        let texts: Vec<_> = entry.captions_in(&all).iter().map(|c| c.text(json.as_bytes())).collect();
        assert_eq!(texts, captions, "{json}");
        assert_eq!((entry.at, entry.len as usize, all.len()), (0, json.len(), 1 + captions.len()));
    }
    let mut all = Vec::new();
    assert!(read(&mut Scanner::new(br#"{"caption":["z",}"#), &keys, &mut all).is_err() && all.is_empty());
}

proptest! {
    /// The scanner and serde_json agree on what is JSON.
    #[test]
    fn takes_what_serde_json_takes(text in r#"[\[\]{}",:\\/ a0-9\-.eutrnl]{0,24}"#) {
        let mut scanner = Scanner::new(text.as_bytes());
        let mine = scanner.value().is_ok() && scanner.peek().is_none();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert!(mine == theirs, "{text:?} {mine} {theirs}");
    }

    #[test]
    fn strings_come_back(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(string(&json).unwrap(), text);
    }

    /// Eight bytes at a time finds what one at a time does.
    #[test]
    fn strings_end_where_they_end(inner in r#"[a-z\x00-\x1f\\"é\x7f]{0,40}"#, more in "[ -~]{0,20}") {
        let json = format!("\"{inner}\"{more}");
        let mut scanner = Scanner::tolerant(json.as_bytes(), 0);
        let mut at = 1;
        let bytes = json.as_bytes();
        let end = loop {
            match bytes.get(at) {
                None | Some(b'\n') => break None,
                Some(b'"') => break Some(at + 1),
                Some(b'\\') => {
                    let good = match bytes.get(at + 1) {
                        Some(b'u') => bytes.get(at + 2..at + 6).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)),
                        Some(next) => b"\"\\/bfnrt".contains(next),
                        None => false,
                    };
                    if !good { break None; }
                    at += 2;
                }
                Some(_) => at += 1,
            }
        };
        prop_assert_eq!(scanner.string().ok().map(|span| span.at + span.len as usize), end);
    }
}
