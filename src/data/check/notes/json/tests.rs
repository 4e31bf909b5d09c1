use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;

fn scan(json: &[u8], piece: usize) -> Texts {
    let cancel = AtomicBool::new(false);
    let mut texts = in_pieces(json, &Keys::karpathy(None, None), piece, &Watch::silent(&cancel));
    texts.bytes = json.to_vec();
    texts
}

/// Everything that a scan has found.
fn told(texts: &Texts) -> String {
    format!("{:?} {:?} {:?}", texts.entries, texts.captions, texts.problems)
}

const CLEAN: &str = r#"[{"image":"a.png","caption":"a cat on a mat","image_id":"1"},
{"image":"a.png","caption":"a cat lies there\n","image_id":"1"},{"image":"b.png","caption":"Café, 猫 <3","image_id":2}]"#;

#[test]
fn a_wrong_guess_of_a_border_is_mended() {
    // A text, and a nested list, that look like the border between two entries.
    let json = r#"[{"image":"a","caption":"}, {"},{"image":"b","x":[{"y":1},{"z":"}, {"}],"caption":["c","d"]}, 7,
        {"image":"c","caption":"e"}, {"image":"d" "caption":"f"}, {"image":"e","caption":"g"}]"#;
    let whole = scan(json.as_bytes(), usize::MAX);
    assert_eq!((whole.entries.len(), whole.captions.len(), whole.problems.len()), (6, 5, 2));
    for piece in 1..json.len() {
        assert_eq!(told(&scan(json.as_bytes(), piece)), told(&whole), "in pieces of {piece}");
    }
}

#[test]
fn a_file_of_errors_is_given_up() {
    let json = format!("[{}]", "{\"image\":},".repeat(1000));
    for piece in [100, 5000, usize::MAX] {
        let texts = scan(json.as_bytes(), piece);
        assert!((MAX_ERRORS..MAX_ERRORS * 3).contains(&texts.problems.len()), "{}", texts.problems.len());
        assert!(texts.problems.last().unwrap().message.ends_with("the rest is not read"));
    }
}

proptest! {
    /// What serde_json writes is scanned as it was meant, with exact places.
    #[test]
    fn texts_are_read_as_written(image in "\\PC{1,12}", captions in prop::collection::vec(any::<String>(), 1..4)) {
        let json = serde_json::to_vec(&serde_json::json!([{"image": image, "caption": captions, "x": [null, -1.5e3]}])).unwrap();
        let texts = scan(&json, usize::MAX);
        prop_assert!(texts.problems.is_empty(), "{:?}", texts.problems);
        let entry = texts.entries[0];
        prop_assert_eq!(texts.text(&entry.image), image);
        let read: Vec<_> = texts.captions_of(&entry).iter().map(|c| texts.text(c).into_owned()).collect();
        prop_assert_eq!(read, captions);
        prop_assert_eq!(json[entry.at], b'{');
    }

    /// Pieces give what the whole gives, whatever is wrong with it.
    #[test]
    fn pieces_make_the_whole(edits in prop::collection::vec((0usize..400, any::<u8>()), 0..4), piece in 1usize..200, lines: bool) {
        let mut json = format!("[{},{}", &CLEAN[1..CLEAN.len() - 1], &CLEAN[1..]).into_bytes();
        if lines {
            json = String::from_utf8_lossy(&json[1..json.len() - 1]).replace("},", "}\n").into_bytes();
        }
        for (at, byte) in edits {
            let at = at % json.len();
            json[at] = byte;
        }
        prop_assert_eq!(told(&scan(&json, piece)), told(&scan(&json, usize::MAX)));
    }

    /// The scanner finds a fault where the library does not accept the file.
    #[test]
    fn mutated_annotations_never_crash(at in 0usize..170, byte: u8, cut in 0usize..170) {
        let mut json = CLEAN.as_bytes().to_vec();
        if let Some(place) = json.get_mut(at) {
            *place = byte;
        }
        json.truncate(CLEAN.len().saturating_sub(cut));
        let texts = scan(&json, 50);
        if serde_json::from_slice::<serde_json::Value>(&json).is_err() && std::str::from_utf8(&json).is_ok() {
            let faulty = !texts.problems.is_empty() || texts.entries.is_empty();
            // The library refuses half a surrogate pair: that is damaged text, told by the rules.
            prop_assert!(faulty || json.windows(2).any(|w| w == b"\\u"), "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let texts = scan(&bytes, 16);
        prop_assert!(texts.problems.iter().all(|problem| problem.at <= bytes.len()));
    }
}
