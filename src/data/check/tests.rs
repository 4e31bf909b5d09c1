use std::sync::atomic::AtomicBool;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use proptest::prelude::*;

use super::*;
use crate::demo::{DemoOptions, draw};

/// A picture of hard-edged patches that `seed` decides.
fn png(seed: u64, side: u32) -> Vec<u8> {
    use rand::RngExt;
    let mut rng = crate::random::stream(seed, crate::random::Purpose::Demo, 77, 0);
    let patches: Vec<[u8; 3]> = (0..64).map(|_| [0; 3].map(|_: u8| rng.random_range(0..=255))).collect();
    let pixels: Vec<u8> = (0..side * side)
        .flat_map(|at| patches[((at / side) * 8 / side * 8 + (at % side) * 8 / side) as usize])
        .collect();
    encoded(&pixels, side)
}

fn encoded(pixels: &[u8], side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(pixels, side, side, ExtendedColorType::Rgb8).unwrap();
    bytes
}

struct Set {
    dir: tempfile::TempDir,
    options: Options,
}

impl Set {
    /// Pictures a.png to f.png, all different.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (seed, name) in "abcdef".chars().enumerate() {
            std::fs::write(dir.path().join(format!("{name}.png")), png(seed as u64, 64)).unwrap();
        }
        Self { dir, options: Options { tokens: Tokens::Clip, ..Options::default() } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn report(&self, json: impl AsRef<[u8]>) -> Report {
        let path = self.path("notes.json");
        std::fs::write(&path, json).unwrap();
        run(&path, &self.options)
    }

    /// Kind, entry and offset of all but the unused pictures.
    fn found(&self, json: impl AsRef<[u8]>) -> Vec<(&'static str, Option<usize>, usize)> {
        let report = self.report(json);
        let used = report.findings.iter().filter(|finding| finding.kind != Kind::UnusedPicture);
        used.map(|finding| (finding.kind.name(), finding.entry, finding.offset)).collect()
    }

    fn kinds(&self, json: impl AsRef<[u8]>) -> Vec<&'static str> {
        self.found(json).into_iter().map(|(kind, ..)| kind).collect()
    }
}

fn run(path: &Path, options: &Options) -> Report {
    check(path, options, &Watch::silent(&AtomicBool::new(false)))
}

const CLEAN: &str = r#"[{"image":"a.png","caption":"a cat on a mat","image_id":"1"},
{"image":"a.png","caption":"a cat lies there\n","image_id":"1"},{"image":"b.png","caption":"Café, 猫 <3","image_id":2}]"#;

#[test]
fn clean_data_gives_no_finding() {
    let set = Set::new();
    assert_eq!(set.found(CLEAN), []);
    let lines =
        "{\"image\":\"a.png\",\"caption\":\"a cat\"}\n\n{\"image\":\"b.png\",\"caption\":\"a dog\"}\n";
    assert_eq!(set.found(lines), []);
    assert_eq!(set.report(lines).entries, 2);
}

#[test]
fn the_demo_dataset_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let demo =
        DemoOptions { train: 600, val: 60, test: 60, zero_shot_per_class: 1, ..DemoOptions::default() };
    let target = dir.path().join("demo");
    draw(&target, &demo, &|_, _| ()).unwrap();
    let report = run(&target, &Options::default());
    assert_eq!(report.entries, 720);
    let told: Vec<_> = report.findings.iter().map(|f| (f.kind.name(), &f.file, &f.message)).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn faults_of_the_writing_are_found_where_they_are() {
    let set = Set::new();
    let entry = r#"{"image":"a.png","caption":"a cat"}"#;
    for (json, kind, number, offset) in [
        (format!("[{entry}"), "bad_json", Some(1), 36),
        (format!("[{entry} {{\"image\":\"b.png\",\"caption\":\"b\"}}]"), "bad_json", Some(1), 37),
        (format!("[{entry},]"), "bad_json", Some(1), 36),
        (format!("[{entry}] x"), "bad_json", Some(1), 38),
        ("[{\"image\":\"a.png\",\"caption\":\"a\\qb\"}]".into(), "bad_json", Some(0), 30),
        ("[{\"image\":\"a.png\",}]".into(), "bad_json", Some(0), 18),
        (r#"[{"caption":"a cat"}]"#.into(), "missing_field", Some(0), 1),
        (r#"[{"image":"a.png"}]"#.into(), "missing_field", Some(0), 1),
        (r#"[{"image":5,"caption":"a cat"}]"#.into(), "wrong_type", Some(0), 10),
        (r#"[{"image":"a.png","caption":{}}]"#.into(), "wrong_type", Some(0), 28),
        (r#"[{"image":"a.png","caption":["x",3]}]"#.into(), "wrong_type", Some(0), 33),
        ("[7]".into(), "wrong_type", Some(0), 1),
        (r#"[{"image":"a.png","caption":" "}]"#.into(), "empty_caption", Some(0), 28),
        (r#"[{"image":"a.png","caption":[]}]"#.into(), "empty_caption", Some(0), 28),
        (r#"[{"image":"a.png","caption":"12 !"}]"#.into(), "non_text_caption", Some(0), 28),
        (r#"[{"image":"a.png","caption":"cafÃ©"}]"#.into(), "encoding", Some(0), 28),
        (r#"[{"image":"a.png","caption":"\u001b[2J boo"}]"#.into(), "terminal_escape", Some(0), 28),
        (r#"[{"image":"a.png","caption":"a <end_of_text> b"}]"#.into(), "special_token", Some(0), 28),
        (format!("[{entry},{entry}]"), "duplicate_entry", Some(1), 37),
        ("[{'image':'a.png','caption':'a cat'}]".into(), "python_literal", Some(0), 2),
        ("".into(), "no_entries", None, 0),
        ("[]".into(), "no_entries", None, 0),
        (r#"{"images":[],"annotations":[]}"#.into(), "wrong_form", None, 0),
        (r#"[{"image":"a.png","caption":"a","image":"a.png"}]"#.into(), "duplicate_field", Some(0), 32),
    ] {
        assert_eq!(set.found(&json), [(kind, number, offset)], "{json}");
    }
    let report = set.report("[{\"image\":\"a.png\",\"caption\":\"x y\"},\n {\"image\":\"b.png\"}]");
    let finding = report.findings.iter().find(|f| f.kind == Kind::MissingField).unwrap();
    assert_eq!((finding.line, finding.column), (2, 2));
}

#[test]
fn entries_after_a_fault_are_still_read() {
    let set = Set::new();
    let report = set.report(
        r#"[{"image":"a.png","caption":"one"},{"image" "b.png"},{"image":"c.png","caption":"two"},{"image":7,"caption":"x"}]"#,
    );
    let kinds: Vec<_> =
        report.findings.iter().map(|f| f.kind.name()).filter(|k| *k != "unused_picture").collect();
    assert_eq!(kinds, ["bad_json", "wrong_type"]);
    assert_eq!(report.entries, 3);
}

#[test]
fn damaged_bytes_are_named() {
    let set = Set::new();
    assert_eq!(set.kinds(b"[{\"image\":\"a.png\",\"caption\":\"caf\xe9 one\"}]"), ["encoding", "encoding"]);
}

#[test]
fn ids_and_captions_that_repeat_are_found() {
    let set = Set::new();
    let json = r#"[{"image":"a.png","caption":["x"],"image_id":1},{"image":"b.png","caption":["y"],"image_id":1},
        {"image":"a.png","caption":["z"],"image_id":1}]"#;
    assert_eq!(set.kinds(json), ["id_conflict", "duplicate_id"]);
    let same: Vec<String> =
        "abcdef".chars().map(|c| format!(r#"{{"image":"{c}.png","caption":"a picture"}}"#)).collect();
    assert_eq!(set.kinds(format!("[{}]", same.join(","))), ["repeated_caption"]);
    let long = "many words ".repeat(50);
    assert_eq!(set.kinds(format!(r#"[{{"image":"a.png","caption":"{long}"}}]"#)), ["long_caption"]);
}

#[test]
fn pictures_are_looked_for_and_at() {
    let set = Set::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(set.path(name), bytes).unwrap();
    let whole = png(9, 64);
    write("cut.png", &whole[..whole.len() / 2]);
    write("text.png", b"<html>not found</html>");
    write("empty.png", b"");
    write("named.jpg", &png(10, 64));
    write("blank.png", &encoded(&[90; 64 * 64 * 3], 64));
    write("dark.png", &encoded(&png_pixels(11, 64, |v| v / 32), 64));
    write("bright.png", &encoded(&png_pixels(12, 64, |v| 248 + v / 40), 64));
    write("small.png", &png(13, 8));
    write("copy.png", &png(0, 64));
    write("larger.png", &png(1, 128));
    std::os::unix::fs::symlink("loop.png", set.path("loop.png")).unwrap();
    for (name, kind) in [
        ("no.png", "missing_file"),
        ("A.PNG", "case_mismatch"),
        ("../a.png", "path_escape"),
        ("/etc/passwd", "path_escape"),
        ("cut.png", "truncated_picture"),
        ("text.png", "corrupt_picture"),
        ("empty.png", "corrupt_picture"),
        ("named.jpg", "format_mismatch"),
        ("blank.png", "blank"),
        ("dark.png", "dark"),
        ("bright.png", "bright"),
        ("small.png", "size_outlier"),
        ("loop.png", "unreadable"),
        ("a\\u0000.png", "terminal_escape,missing_file"),
    ] {
        let json = format!(r#"[{{"image":"{name}","caption":"a cat"}}]"#);
        assert_eq!(set.kinds(&json).join(","), kind, "{name}");
    }
    let pair = |a: &str, b: &str| {
        format!(r#"[{{"image":"{a}","caption":"a cat"}},{{"image":"{b}","caption":"a dog"}}]"#)
    };
    let report = set.report(pair("a.png", "copy.png"));
    let finding = report.findings.iter().find(|f| f.kind == Kind::DuplicatePicture).unwrap();
    assert_eq!((finding.entry, finding.related.as_ref().unwrap().entry), (Some(1), Some(0)));
    assert_eq!(set.kinds(pair("b.png", "larger.png")), ["near_duplicate"]);
    assert_eq!(set.kinds(pair("a.png", "b.png")), [""; 0]);
}

fn png_pixels(seed: u64, side: u32, change: impl Fn(u8) -> u8) -> Vec<u8> {
    let picture = crate::picture::decode(&png(seed, side)).unwrap();
    picture.rgb().iter().map(|value| change(*value)).collect()
}

#[test]
fn a_picture_in_two_splits_is_found_by_name_and_by_content() {
    let set = Set::new();
    std::fs::write(set.path("copy.png"), png(1, 64)).unwrap();
    let write = |name: &str, json: &str| std::fs::write(set.path(name), json).unwrap();
    write("x_train.json", r#"[{"image":"a.png","caption":"one"},{"image":"b.png","caption":"two"}]"#);
    write("x_val.json", r#"[{"image":"a.png","caption":["one"]},{"image":"copy.png","caption":["two"]}]"#);
    for file in ["x_train.json", "x_val.json"] {
        let report = run(&set.path(file), &Options::default());
        let leaks: Vec<_> =
            report.findings.iter().filter(|f| f.kind == Kind::SplitLeak).map(|f| f.entry).collect();
        assert_eq!(leaks, [Some(0), Some(1)], "{file}");
        assert_eq!(report.entries, 2);
    }
}

#[test]
fn a_cleaned_copy_is_clean_and_the_original_stays() {
    let set = Set::new();
    let json = "[{'image':'a.png','caption':'the cat\\'s mat','image_id':'1'},
        {\"image\":\"no.png\",\"caption\":\"x\"}, {\"image\":\"b.png\",\"caption\":\"a dog\",\"more\":[1]}]";
    let report = set.report(json);
    let (file, out) = (set.path("notes.json"), set.path("clean.json"));
    let fixed = fix(&file, &report, &out).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (2, 1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), json);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(kept[0], serde_json::json!({"image":"a.png","caption":"the cat's mat","image_id":"1"}));
    assert_eq!(kept[1]["more"], serde_json::json!([1]));
    let left: serde_json::Value = serde_json::from_slice(&std::fs::read(&fixed.list).unwrap()).unwrap();
    assert_eq!((&left[0]["entry"], &left[0]["reasons"][0]["kind"]), (&1.into(), &"missing_file".into()));
    assert!(matches!(fix(&file, &report, &out), Err(FixError::Exists(_))));
    assert_eq!(run(&out, &set.options).count(Severity::Error), 0);
}

proptest! {
    /// What serde_json writes is scanned as it was meant, with exact places.
    #[test]
    fn texts_are_read_as_written(image in "\\PC{1,12}", captions in prop::collection::vec(any::<String>(), 1..4)) {
        let json = serde_json::to_vec(&serde_json::json!([{"image": image, "caption": captions, "x": [null, -1.5e3]}])).unwrap();
        let scan = scan(&json);
        prop_assert!(scan.problems.is_empty(), "{:?}", scan.problems);
        let entry = scan.entries[0];
        prop_assert_eq!(entry.image.text(&json), image);
        let read: Vec<_> = scan.captions_of(&entry).iter().map(|c| c.text(&json).into_owned()).collect();
        prop_assert_eq!(read, captions);
        prop_assert_eq!(json[entry.at], b'{');
    }

    /// The scanner finds a fault exactly where the library does not accept the file as entries.
    #[test]
    fn mutated_annotations_never_crash(at in 0usize..170, byte: u8, cut in 0usize..170) {
        let mut json = CLEAN.as_bytes().to_vec();
        if let Some(place) = json.get_mut(at) {
            *place = byte;
        }
        json.truncate(CLEAN.len().saturating_sub(cut));
        let scanned = scan(&json);
        if serde_json::from_slice::<serde_json::Value>(&json).is_err() && std::str::from_utf8(&json).is_ok() {
            let faulty = !scanned.problems.is_empty() || scanned.entries.is_empty();
            prop_assert!(faulty, "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let scanned = scan(&bytes);
        prop_assert!(scanned.problems.iter().all(|problem| problem.at <= bytes.len()));
    }
}
