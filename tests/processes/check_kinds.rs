//! `cocaptain data check` finds every kind of fault, where it is: the real program on planted faults.
//!
//! In what is planted a section sign stands before the byte that a finding has to name: it is taken out, and line, column
//! and offset are those where it stood.

use std::collections::BTreeSet;
use std::path::Path;

use data::check::Kind;

use crate::rank::Script;
use crate::support::{Bench, words};

/// Where a finding has to be.
const MARK: char = '§';

/// A picture of hard-edged patches, which `seed` decides, each value changed by `change`.
pub fn png(seed: u32, (width, height): (u32, u32), change: impl Fn(u8) -> u8) -> Vec<u8> {
    let patch = |x: u32, y: u32, channel: u32| {
        let place = (y * 8 / height * 8 + x * 8 / width) * 3 + channel;
        let mixed = (place + 1).wrapping_mul(0x9e37_79b1).wrapping_add(seed.wrapping_mul(0x85eb_ca6b));
        (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d).to_be_bytes()[0]
    };
    let rgb = |at: u32| [0, 1, 2].map(|channel| change(patch(at % width, at / width, channel)));
    let pixels: Vec<u8> = (0..width * height).flat_map(rgb).collect();
    encoded(&pixels, (width, height))
}

fn encoded(pixels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    use image::ImageEncoder as _;
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(pixels, width, height, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

/// One finding as `--json` has it, without its message: kind, severity, file's name, line, column, offset, entry, related.
pub type Told = (String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<u64>);

/// Checks `what`: exit status, entries, findings with their messages.
pub fn check(bench: &Bench, what: &str, more: &[&str]) -> (Option<i32>, u64, Vec<(Told, String)>) {
    let output = bench.cocaptain(&[&["data", "check", what, "--json"], more].concat());
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{what}: {e}: {}", words(&output)));
    let told = |f: &serde_json::Value| {
        let text = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
        let name = Path::new(&text("file")).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [line, column, offset, entry, related] =
            ["line", "column", "offset", "entry", "related"].map(|key| f[key].as_u64());
        ((text("kind"), text("severity"), name, line, column, offset, entry, related), text("message"))
    };
    let findings = report["findings"].as_array().unwrap().iter().map(told).collect();
    (output.status.code(), report["entries"].as_u64().unwrap(), findings)
}

/// The text without its marks, and for each the line, column and offset where it stood.
pub fn unmarked(text: &str) -> (String, Vec<[u64; 3]>) {
    let (mut plain, mut places, mut line, mut column) = (String::new(), Vec::new(), 1, 1);
    for c in text.chars() {
        match c {
            MARK => {
                places.push([line, column, plain.len() as u64]);
                continue;
            }
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        plain.push(c);
    }
    (plain, places)
}

/// What has to be found: kind, entry, related. Its severity is the kind's.
type Expected = (Kind, Option<u64>, Option<u64>);

/// Writes a marked text, checks it, and compares all that is found but unused pictures.
fn planted(bench: &Bench, name: &str, text: &str, expected: &[Expected]) {
    let (plain, places) = unmarked(text);
    std::fs::write(bench.at(name), plain).unwrap();
    let (status, _, found) = check(bench, name, &[]);
    let found: Vec<Told> = found.into_iter().map(|(told, _)| told).collect();
    let found: Vec<&Told> = found.iter().filter(|told| told.0 != Kind::UnusedPicture.name()).collect();
    assert_eq!(places.len(), expected.len(), "a mark for each finding: {text}");
    let wanted: Vec<Told> = expected
        .iter()
        .zip(&places)
        .map(|((kind, entry, related), [line, column, offset])| {
            let severity = kind.severity().name().to_owned();
            let place = (Some(*line), Some(*column), Some(*offset));
            (kind.name().into(), severity, name.into(), place.0, place.1, place.2, *entry, *related)
        })
        .collect();
    assert_eq!(found, wanted.iter().collect::<Vec<_>>(), "{text}");
    let errors = wanted.iter().any(|told| told.1 == "error");
    assert_eq!(status, Some(i32::from(errors)), "{text}");
}

/// A bench with pictures: good ones (a to f), and one for each fault that a picture may have.
fn bench() -> Bench {
    let bench = Bench::new(&Script::default());
    let same = |value| value;
    let square = (64, 64);
    let whole = png(20, square, same);
    let mut bomb = whole.clone();
    bomb[16..24].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff]);
    let slope: Vec<u8> = (0..64 * 64 * 3).map(|at| (at / 3 % 64 + at / 3 / 64 * 2) as u8).collect();
    for (name, bytes) in [
        ("cut.png", whole[..whole.len() / 2].to_vec()),
        ("page.png", b"<html>not found</html>".to_vec()),
        ("named.jpg", png(21, square, same)),
        ("bomb.png", bomb),
        ("small.png", png(22, (12, 12), same)),
        ("long.png", png(23, (640, 64), same)),
        ("blank.png", encoded(&[90; 64 * 64 * 3], square)),
        ("dark.png", png(24, square, |value| value / 32)),
        ("bright.png", png(25, square, |value| 248 + value / 40)),
        ("blurred.png", encoded(&slope, square)),
        ("copy.png", png(0, square, same)),
        ("larger.png", png(1, (128, 128), same)),
    ] {
        std::fs::write(bench.at(name), bytes).unwrap();
    }
    for (seed, name) in "abcdef".chars().enumerate() {
        std::fs::write(bench.at(&format!("{name}.png")), png(seed as u32, square, same)).unwrap();
    }
    bench
}

/// Every kind, in a file whose lines and characters are no bytes.
#[test]
fn every_kind_is_found_at_its_place() {
    use Kind::*;
    let bench = bench();
    let mut seen = BTreeSet::new();
    let mut plant = |name: &str, text: &str, expected: &[Expected]| {
        seen.extend(expected.iter().map(|(kind, ..)| *kind));
        planted(&bench, name, text, expected);
    };
    // Behind an entry with characters of several bytes, on the second line: (fields of the second entry, what is found).
    let one = |kind| vec![(kind, Some(1), None)];
    let pair = |kind| vec![(kind, Some(1), Some(0))];
    let long = "many words ".repeat(50);
    let mebibyte = "word ".repeat(220_000);
    for (entry, expected) in [
        (r#"{"image":"b.png","caption":"a dog"}"#.to_owned(), vec![]),
        (r#"{"image":"b.png" §"caption":"a dog"}"#.to_owned(), one(BadJson)),
        (r#"{§'image':'b.png','caption':'a dog','n':None}"#.to_owned(), one(PythonLiteral)),
        (r#"{"image":"b.png","caption":"a dog",§"image":"b.png"}"#.to_owned(), one(DuplicateField)),
        (r#"§{"caption":"a dog"}"#.to_owned(), one(MissingField)),
        (r#"§{"image":"b.png"}"#.to_owned(), one(MissingField)),
        (r#"{"image":§" ","caption":"a dog"}"#.to_owned(), one(MissingField)),
        (r#"{"image":§7,"caption":"a dog"}"#.to_owned(), one(WrongType)),
        (r#"{"image":"b.png","caption":["a dog",§null]}"#.to_owned(), one(WrongType)),
        (r#"{"image":"b.png","caption":"a dog","image_id":§[]}"#.to_owned(), one(WrongType)),
        (r#"§"b.png""#.to_owned(), one(WrongType)),
        (format!(r#"{{"image":"b.png","caption":§"{mebibyte}"}}"#), one(BrokenEntry)),
        (r#"{"image":"b.png","caption":§" \t\n"}"#.to_owned(), one(EmptyCaption)),
        (r#"{"image":"b.png","caption":["a dog",§""]}"#.to_owned(), one(EmptyCaption)),
        (r#"{"image":"b.png","caption":§[]}"#.to_owned(), one(EmptyCaption)),
        (r#"{"image":"b.png","caption":§"12 : 30 !"}"#.to_owned(), one(NonTextCaption)),
        (r#"{"image":"b.png","caption":§"a cafÃ©"}"#.to_owned(), one(Encoding)),
        (r#"{"image":"b.png","caption":§"a dog's ball, itâ€™s red"}"#.to_owned(), one(Encoding)),
        (r#"{"image":"b.png","caption":§"a \ufffd dog"}"#.to_owned(), one(Encoding)),
        (r#"{"image":"b.png","caption":§"\u001b]0;owned\u0007a dog"}"#.to_owned(), one(TerminalEscape)),
        (r#"{"image":"b.png","caption":§"a \u202egod"}"#.to_owned(), one(TerminalEscape)),
        (r#"{"image":"b.png","caption":§"a dog<|endoftext|>"}"#.to_owned(), one(SpecialToken)),
        (format!(r#"{{"image":"b.png","caption":§"{long}"}}"#), one(LongCaption)),
        (r#"§{"image":"a.png","caption":"日本 one"}"#.to_owned(), pair(DuplicateEntry)),
        (r#"{"image":"a.png","caption":["a dog"],"image_id":§"i1"}"#.to_owned(), pair(DuplicateId)),
        (r#"{"image":"b.png","caption":"a dog","image_id":§"i1"}"#.to_owned(), pair(IdConflict)),
        (r#"{"image":§"../b.png","caption":"a dog"}"#.to_owned(), one(PathEscape)),
        (r#"{"image":§"/etc/hostname","caption":"a dog"}"#.to_owned(), one(PathEscape)),
        (r#"{"image":§"B.PNG","caption":"a dog"}"#.to_owned(), one(CaseMismatch)),
        (r#"{"image":§"nowhere.png","caption":"a dog"}"#.to_owned(), one(MissingFile)),
        (r#"{"image":§"page.png","caption":"a dog"}"#.to_owned(), one(CorruptPicture)),
        (r#"{"image":§"cut.png","caption":"a dog"}"#.to_owned(), one(TruncatedPicture)),
        (r#"{"image":§"named.jpg","caption":"a dog"}"#.to_owned(), one(FormatMismatch)),
        (r#"{"image":§"bomb.png","caption":"a dog"}"#.to_owned(), one(TooLarge)),
        (r#"{"image":§"small.png","caption":"a dog"}"#.to_owned(), one(SizeOutlier)),
        (r#"{"image":§"long.png","caption":"a dog"}"#.to_owned(), one(AspectOutlier)),
        (r#"{"image":§"blank.png","caption":"a dog"}"#.to_owned(), one(Blank)),
        (r#"{"image":§"dark.png","caption":"a dog"}"#.to_owned(), one(Dark)),
        (r#"{"image":§"bright.png","caption":"a dog"}"#.to_owned(), one(Bright)),
        (r#"{"image":§"blurred.png","caption":"a dog"}"#.to_owned(), one(Blurred)),
        (r#"{"image":§"copy.png","caption":"a dog"}"#.to_owned(), pair(DuplicatePicture)),
        (r#"{"image":§"a.png/x.png","caption":"a dog"}"#.to_owned(), one(Unreadable)),
    ] {
        let first = r#"{"image":"a.png","caption":"日本 one","image_id":"i1"}"#;
        let first = if entry.contains("[\"a dog\"],") {
            first.replace("\"日本 one\"", "[\"日本 one\"]")
        } else {
            first.to_owned()
        };
        plant(
            "notes.json",
            &format!("[{first}, {{\"image\":\"c.png\",\"caption\":\"é\"}},\n {entry}]"),
            &shifted(&expected),
        );
    }
    plant(
        "near.json",
        "[{\"image\":\"b.png\",\"caption\":\"ça\"},\n{\"image\":§\"larger.png\",\"caption\":\"one\"}]",
        &pair(NearDuplicate),
    );
    let same: Vec<String> =
        "abcdef".chars().map(|c| format!("{{\"image\":\"{c}.png\",\"caption\":\"a picture\"}}")).collect();
    let same = format!("[{}]", same.join(",\n")).replacen("\"a picture", "§\"a picture", 1);
    plant("same.json", &same, &[(RepeatedCaption, Some(0), Some(1))]);
    plant("form.json", "§{\"images\":[],\"annotations\":[]}", &[(WrongForm, None, None)]);
    plant("none.json", "§[]", &[(NoEntries, None, None)]);
    plant("none.csv", "§filepath,title\n", &[(NoEntries, None, None)]);
    plant("bad.csv", "filepath,title\na.png,\"é\n日本\"\n§b.png\n", &[(BadTable, Some(1), None)]);
    // Of one picture in two splits: by its name, and by what it shows.
    std::fs::write(
        bench.at("x_val.json"),
        r#"[{"image":"f.png","caption":["v"]},{"image":"b.png","caption":["w"]}]"#,
    )
    .unwrap();
    let train = "[{\"image\":\"é.png\",\"caption\":\"no\"},\n{\"image\":§\"b.png\",\"caption\":\"one\"}]";
    let train = train.replace("é.png", "c.png");
    plant("x_train.json", &train, &[(SplitLeak, Some(1), Some(1))]);
    std::fs::write(bench.at("x_val.json"), r#"[{"image":"copy.png","caption":["v"]}]"#).unwrap();
    plant("x_train.json", "[{\"image\":§\"a.png\",\"caption\":\"é\"}]", &[(SplitLeak, Some(0), Some(0))]);
    // What has no place in the annotations.
    std::fs::create_dir(bench.at("own")).unwrap();
    for name in ["a.png", "b.png"] {
        std::fs::copy(bench.at(name), bench.at(&format!("own/{name}"))).unwrap();
    }
    std::fs::write(bench.at("own/notes.json"), r#"[{"image":"a.png","caption":"one"}]"#).unwrap();
    let (status, entries, found) = check(&bench, "own/notes.json", &[]);
    let unused =
        ("unused_picture".to_owned(), "info".to_owned(), "b.png".to_owned(), None, None, None, None, None);
    assert_eq!((status, entries), (Some(0), 1));
    assert_eq!(found.iter().map(|(told, _)| told).collect::<Vec<_>>(), [&unused]);
    seen.insert(UnusedPicture);
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "planted nowhere: {missing:?}");
}

/// The planted entry is the third one: there is a good one between it and the first.
fn shifted(expected: &[Expected]) -> Vec<Expected> {
    expected.iter().map(|(kind, entry, related)| (*kind, entry.map(|entry| entry + 1), *related)).collect()
}

/// Bytes that are no UTF-8 are no characters: they are planted by themselves.
#[test]
fn damaged_bytes_have_their_place() {
    let bench = bench();
    let text = b"[{\"image\":\"a.png\",\"caption\":\"\xc3\xa9\"},\n{\"image\":\"b.png\",\"caption\":\"caf\xe9 one\"}]";
    std::fs::write(bench.at("notes.json"), text).unwrap();
    let (status, entries, found) = check(&bench, "notes.json", &["--stage", "schema"]);
    let offset = text.windows(2).position(|two| two == b"\xe9 ").unwrap() as u64;
    let line = text.iter().position(|byte| *byte == b'\n').unwrap() as u64 + 1;
    let told = (
        "encoding".into(),
        "warning".into(),
        "notes.json".into(),
        Some(2),
        Some(offset - line + 1),
        Some(offset),
        Some(1),
        None,
    );
    assert_eq!((status, entries), (Some(0), 2));
    assert_eq!(found.into_iter().map(|(told, _)| told).collect::<Vec<Told>>(), [told]);
}
