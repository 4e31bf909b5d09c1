use super::*;
use crate::demo::{DemoOptions, draw};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<i64>,
    decoded: String,
}

/// Made by tests/fixtures/make_tokens.py from open_clip 3.3.0.
fn expected() -> Vec<Expected> {
    serde_json::from_str(include_str!("../tests/fixtures/tokens.json")).unwrap()
}

#[test]
fn ids_equal_open_clips() {
    let clip = Tokenizer::clip().unwrap();
    assert_eq!((clip.vocab_size(), clip.sot(), clip.eot(), clip.pad()), (49408, 49406, 49407, 0));
    let rows = expected();
    assert!(rows.len() > 300);
    for row in rows {
        let mut ids = clip.encode(&row.text, 76).unwrap();
        assert_eq!(ids.len(), 76);
        assert_eq!(clip.decode(&ids), row.decoded, "{:?}", row.text);
        while ids.last() == Some(&0) {
            ids.pop();
        }
        assert_eq!(ids, row.ids, "{:?}", row.text);
    }
}

#[test]
fn long_texts_are_cut_and_end() {
    let clip = Tokenizer::clip().unwrap();
    let mut row = [7; 8];
    let whole = clip.encode_into("one two three four five six seven eight nine", &mut row).unwrap();
    assert_eq!(whole, 11);
    assert_eq!((row[0], row[7]), (clip.sot(), clip.eot()));
    assert_eq!(clip.decode(&row), "one two three four five six");
    assert_eq!(clip.encode_into("one", &mut row).unwrap(), 3);
    assert_eq!(row[3..], [0; 5]);
    assert!(matches!(clip.encode("x", 1), Err(TokenizerError::ContextLength(1))));
}

#[test]
fn decoding_takes_any_ids() {
    let clip = Tokenizer::clip().unwrap();
    assert_eq!(clip.decode(&[49406, 320, 2368, 0, 0, 0]), "a cat");
    assert_eq!(clip.decode(&[]), "");
    assert_eq!(clip.decode(&[0, 0]), "");
    assert_eq!(clip.decode(&[-5, 1 << 40, 320, 99_999]), "a");
    assert_eq!(clip.decode(&[320, 49407, 2368]), "a");
}

#[test]
fn a_tokenizer_file_serves_the_demo() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let options = DemoOptions { seed: 1, train: 2000, val: 1, test: 1, side: 16, zero_shot_per_class: 0 };
    let summary = draw(&demo, &options, &|_, _| ()).unwrap();
    let tokenizer = Tokenizer::from_file(&demo.join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.vocab_size(), summary.vocabulary);
    assert_eq!((tokenizer.pad(), tokenizer.sot(), tokenizer.eot()), (0, 1, 2));
    let ids = tokenizer.encode("A small  RED circle left of a huge blue star", 16).unwrap();
    assert_eq!(ids.iter().filter(|id| **id != 0).count(), 12);
    assert_eq!(tokenizer.decode(&ids), "a small red circle left of a huge blue star");
}

#[test]
fn unfit_tokenizer_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    assert!(matches!(Tokenizer::from_file(&path), Err(TokenizerError::File { .. })));
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(Tokenizer::from_file(&path), Err(TokenizerError::File { .. })));
    let model = tokenizers::models::bpe::BPE::default();
    tokenizers::Tokenizer::new(model).save(&path, false).unwrap();
    let error = Tokenizer::from_file(&path).unwrap_err();
    assert!(matches!(error, TokenizerError::MissingToken { .. }), "{error}");
}
