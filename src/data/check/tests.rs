use std::sync::atomic::AtomicBool;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use super::*;
use crate::demo::{DemoOptions, draw};

mod fixes;

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
    // The broken one counts: numbers are those of the list.
    let entries: Vec<_> = report.findings.iter().filter_map(|f| f.entry).collect();
    assert_eq!((report.entries, entries), (4, vec![1, 3]));
}

#[test]
fn damaged_bytes_are_named() {
    let set = Set::new();
    assert_eq!(
        set.found(b"[{\"image\":\"a.png\",\"caption\":\"caf\xe9 one\"}]"),
        [("encoding", Some(0), 32)]
    );
    let text: Vec<u16> = "[{}]".encode_utf16().collect();
    let utf16: Vec<u8> = [0xfeff].iter().chain(&text).flat_map(|unit| unit.to_le_bytes()).collect();
    assert_eq!(set.kinds(utf16), ["bad_json"]);
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

/// Kind, file's name, line, column, entry of all findings.
fn told(report: &Report) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of =
        |f: &Finding| format!("{} {}:{}:{} {:?}", f.kind.name(), name(&f.file), f.line, f.column, f.entry);
    report.findings.iter().map(of).collect()
}

#[test]
fn tables_have_places_of_their_fields() {
    let set = Set::new();
    let check = |name: &str, text: &str| {
        std::fs::write(set.path(name), text).unwrap();
        let report = run(&set.path(name), &Options::default());
        told(&report).into_iter().filter(|told| !told.starts_with("unused")).collect::<Vec<_>>()
    };
    assert_eq!(
        check("a.csv", "filepath,title\na.png,a cat\n\nb.png,\"a \"\"big\"\", brown\ndog\"\n"),
        [""; 0]
    );
    assert_eq!(
        check(
            "b.csv",
            "filepath,title\nno.png,a cat\nb.png,\"a\n12\"\nc.png,\" \"\nd.png\ne.png,x,y\n\"f.png,z\n"
        ),
        [
            "missing_file b.csv:2:1 Some(0)",
            "empty_caption b.csv:5:7 Some(2)",
            "bad_table b.csv:6:1 Some(3)",
            "bad_table b.csv:7:1 Some(4)",
            "bad_table b.csv:8:1 Some(5)",
        ]
    );
    assert_eq!(check("c.tsv", "name\ttitle\na.png\tx\n"), ["wrong_form c.tsv:1:1 None"]);
    assert_eq!(check("d.csv", "filepath,title\n"), ["no_entries d.csv:1:1 None"]);
    let absolute = format!("filepath,title\n{},a cat\n", set.path("a.png").display());
    assert_eq!(check("f.csv", &absolute), [""; 0]);
    assert_eq!(check("e.csv", ""), ["no_entries e.csv:1:1 None"]);
}

#[test]
fn json_lines_are_checked_by_their_own_names() {
    let set = Set::new();
    let text = "{\"file_name\":\"a.png\",\"text\":\"a cat\"}\n{\"path\":\"b.png\",\"title\":\"\"}\nrubbish\n{\"image\":\"é.png\", \"caption\":\"x\"}\n";
    std::fs::write(set.path("a.jsonl"), text).unwrap();
    let report = run(&set.path("a.jsonl"), &Options::default());
    let told: Vec<_> = told(&report).into_iter().filter(|told| !told.starts_with("unused")).collect();
    assert_eq!(
        told,
        [
            "empty_caption a.jsonl:2:25 Some(1)",
            "bad_json a.jsonl:3:1 Some(2)",
            "missing_file a.jsonl:4:10 Some(3)"
        ]
    );
}

#[test]
fn folders_of_pictures_are_checked() {
    let set = Set::new();
    let write = |name: &str, text: &[u8]| {
        std::fs::create_dir_all(set.path(name).parent().unwrap()).unwrap();
        std::fs::write(set.path(name), text).unwrap();
    };
    for (seed, name) in ["s/a.png", "s/b.png", "s/c.png", "k/cats/a.png", "k/dogs/b.png"].iter().enumerate() {
        write(name, &png(20 + seed as u64, 64));
    }
    write("s/a.txt", b"a cat\n\n  \x1b[2J boo\n");
    write("s/b.txt", b"\n");
    let report = run(&set.path("s"), &Options::default());
    assert_eq!(
        told(&report),
        [
            "broken_entry s:0:0 Some(2)",
            "terminal_escape a.txt:3:3 Some(0)",
            "empty_caption b.png:0:0 Some(1)"
        ]
    );
    assert_eq!(run(&set.path("k"), &Options::default()).findings, []);
    write("k/dogs/copy.png", &png(23, 64));
    write("k/dogs/cut.png", &png(27, 64)[..90]);
    let report = run(&set.path("k"), &Options::default());
    assert_eq!(
        told(&report),
        ["duplicate_picture copy.png:0:0 Some(2)", "truncated_picture cut.png:0:0 Some(3)"]
    );
}

#[test]
fn shards_and_parts_are_checked() {
    let set = Set::new();
    let options = Options {
        read: crate::ReadOptions { cache: Some(set.path("cache")), ..Default::default() },
        ..Options::default()
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (seed, (key, caption)) in [("1", "a cat"), ("2", ""), ("3", "a dog")].iter().enumerate() {
        add(&format!("{key}.png"), &png(seed as u64, 64));
        add(&format!("{key}.txt"), caption.as_bytes());
    }
    add("4.jpg", &png(9, 64));
    add("4.txt", b"a bird");
    add("5.png", &png(0, 64));
    add("5.txt", b"another cat");
    add("6.txt", b"nothing");
    let tar = tar.into_inner().unwrap();
    std::fs::write(set.path("a.tar"), tar).unwrap();
    let report = run(&set.path("a.tar"), &options);
    assert_eq!(
        told(&report),
        [
            "empty_caption a.tar:0:0 Some(1)",
            "format_mismatch a.tar:0:0 Some(3)",
            "duplicate_picture a.tar:0:0 Some(4)",
            "broken_entry a.tar:0:0 Some(5)",
        ]
    );
    use base64::Engine as _;
    let picture = |seed| base64::engine::general_purpose::STANDARD.encode(png(seed, 64));
    let line = |json: &str, picture: &str| format!("0\t1\t{json}\t3\t4\t{picture}\n");
    let part = [
        line(r#"{"caption_en":"a cat"}"#, &picture(1)),
        line(r#"{"caption_en":"12"}"#, &picture(2)),
        line("no json", &picture(3)),
        line(r#"{"caption_en":"a dog"}"#, "bm8gcGljdHVyZQ=="),
    ];
    std::fs::write(set.path("part-0"), part.concat()).unwrap();
    std::fs::write(set.path("laion.filelist"), "part-0\n").unwrap();
    let report = run(&set.path("laion.filelist"), &options);
    assert_eq!(
        told(&report),
        [
            "non_text_caption part-0:2:1 Some(1)",
            "broken_entry part-0:3:1 Some(2)",
            "corrupt_picture part-0:4:1 Some(3)",
        ]
    );
}

#[test]
fn only_what_changed_is_checked_again() {
    let set = Set::new();
    let path = set.path("notes.json");
    std::fs::write(&path, CLEAN).unwrap();
    let options = Options { cache: Some(set.path("cache")), context_length: 8, ..set.options.clone() };
    let cancel = AtomicBool::new(false);
    let mut checker = Checker::new(&path, options.clone());
    let report = checker.check(&Watch::silent(&cancel));
    let all = Work { entries: 3, tokenized: 3, headers: 2, decoded: 2 };
    assert_eq!(report.work, all);
    // Files as new as these may change again unseen: they are read again, and not decoded.
    let work = checker.check(&Watch::silent(&cancel)).work;
    assert_eq!((work.entries, work.tokenized, work.decoded), (0, 0, 0));
    // One entry: its findings are there, at their place; the others are not looked at.
    std::fs::write(&path, CLEAN.replace("a cat on a mat", "12").replace("b.png", "c.png")).unwrap();
    let report = checker.check(&Watch::silent(&cancel));
    assert_eq!((report.work.entries, report.work.decoded), (2, 1));
    assert!(told(&report).contains(&"non_text_caption notes.json:1:29 Some(0)".to_string()));
    // And again what was wrong stays known, wherever it has moved to.
    std::fs::write(&path, format!(" {}", CLEAN.replace("a cat on a mat", "12"))).unwrap();
    let report = checker.check(&Watch::silent(&cancel));
    assert!(told(&report).contains(&"non_text_caption notes.json:1:30 Some(0)".to_string()));
    assert_eq!(report.work.entries, 0);
    // A picture of the same size and time is seen.
    let old = std::fs::metadata(set.path("a.png")).unwrap();
    let mut bytes = std::fs::read(set.path("a.png")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(set.path("a.png"), &bytes).unwrap();
    let file = std::fs::File::options().append(true).open(set.path("a.png")).unwrap();
    file.set_modified(old.modified().unwrap()).unwrap();
    let report = checker.check(&Watch::silent(&cancel));
    assert_eq!(report.work.decoded, 1);
    assert!(told(&report).iter().any(|told| told.starts_with("corrupt_picture")), "{:?}", told(&report));
    // The next run of the program knows the pictures, and finds the same.
    let again = run(&path, &options);
    assert_eq!((again.work.decoded, told(&again)), (0, told(&report)));
    // A damaged cache is ignored.
    let kept = std::fs::read_dir(set.path("cache")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&kept).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    for damaged in [&bytes[..], b"rubbish", b""] {
        std::fs::write(&kept, damaged).unwrap();
        let again = run(&path, &options);
        assert_eq!((again.work.decoded, told(&again)), (2, told(&report)));
    }
}

#[test]
fn pictures_that_look_alike_stay_known() {
    let set = Set::new();
    std::fs::write(set.path("larger.png"), png(1, 128)).unwrap();
    let json = r#"[{"image":"b.png","caption":"a cat"},{"image":"larger.png","caption":"a dog"},
        {"image":"c.png","caption":"a cow"}]"#;
    let path = set.path("notes.json");
    std::fs::write(&path, json).unwrap();
    let options = Options { cache: Some(set.path("cache")), ..set.options.clone() };
    let near = |report: &Report| {
        let near = report.findings.iter().filter(|finding| finding.kind == Kind::NearDuplicate);
        near.map(|finding| (finding.entry, finding.related.as_ref().and_then(|r| r.entry)))
            .collect::<Vec<_>>()
    };
    assert_eq!(near(&run(&path, &options)), [(Some(1), Some(0))]);
    assert_eq!(near(&run(&path, &options)), [(Some(1), Some(0))], "from the cache");
    let strict = Thresholds { near_difference: -1.0, ..Thresholds::default() };
    assert_eq!(near(&run(&path, &Options { thresholds: strict, ..options.clone() })), [], "other limits");
    std::fs::write(&path, json.replace("b.png", "d.png").replace("c.png", "b.png")).unwrap();
    assert_eq!(near(&run(&path, &options)), [(Some(2), Some(1))], "another list");
}

#[test]
fn a_job_tells_and_stops() {
    let set = Set::new();
    let path = set.path("notes.json");
    std::fs::write(&path, CLEAN.replace("a cat on a mat", "")).unwrap();
    let (to, from) = std::sync::mpsc::channel();
    let start = |checker: Checker| {
        let to = std::sync::Mutex::new(to.clone());
        Job::start(checker, move |news| drop(to.lock().unwrap().send(news))).unwrap()
    };
    let job = start(Checker::new(&path, set.options.clone()));
    let (mut found, mut progress) = (Vec::new(), 0);
    let (report, checker) = loop {
        match from.recv_timeout(std::time::Duration::from_secs(60)).unwrap() {
            News::Progress { .. } => progress += 1,
            News::Found(some) => found.extend(some.into_iter().map(|f| f.kind)),
            News::Done(done) => break *done,
            News::Failed => panic!("failed"),
        }
    };
    assert!(progress > 0 && !report.cancelled && found.contains(&Kind::EmptyCaption));
    assert_eq!(report.reached.map(|(stage, done, all)| (stage, done == all)), Some((Stage::Content, true)));
    drop(job);
    let job = start(checker);
    job.cancel();
    let report = loop {
        if let News::Done(done) = from.recv_timeout(std::time::Duration::from_secs(60)).unwrap() {
            break done.0;
        }
    };
    // It may have been faster.
    assert!(report.cancelled || report.reached.is_some());
    while !job.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn hostile_files_are_findings() {
    let set = Set::new();
    let check =
        |path: &Path| run(path, &Options::default()).findings.into_iter().map(|f| f.kind).collect::<Vec<_>>();
    assert_eq!(check(&set.path("nowhere.json")), [Kind::Unreadable]);
    std::os::unix::fs::symlink("loop.json", set.path("loop.json")).unwrap();
    assert_eq!(check(&set.path("loop.json")), [Kind::Unreadable]);
    std::fs::create_dir(set.path("empty")).unwrap();
    assert_eq!(check(&set.path("empty")), [Kind::Unreadable]);
    // Nobody writes into these pipes.
    for name in ["pipe.json", "pipe.jsonl", "pipe.csv", "pipe.filelist", "pipe.tar"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, set.path(name), mode).unwrap();
        assert_eq!(check(&set.path(name)), [Kind::Unreadable], "{name}");
        let opened = crate::Dataset::open(&set.path(name), crate::Split::Train, &Default::default());
        assert!(opened.is_err(), "{name}");
    }
    // A folder in a circle.
    std::fs::create_dir_all(set.path("round/a")).unwrap();
    std::os::unix::fs::symlink("..", set.path("round/a/up")).unwrap();
    std::fs::write(set.path("round/a/x.png"), png(1, 64)).unwrap();
    std::fs::write(set.path("round/a/x.txt"), "a cat").unwrap();
    assert_eq!(check(&set.path("round")), []);
    // Pictures that say they are enormous, or lie about what they are.
    let mut bomb = png(1, 64);
    bomb[16..24].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff]);
    std::fs::write(set.path("bomb.png"), &bomb).unwrap();
    std::fs::write(set.path("long.png"), png(3, 64)).unwrap();
    let name = "x".repeat(5000);
    for (image, kind) in [
        ("bomb.png", Kind::TooLarge),
        (name.as_str(), Kind::Unreadable),
        ("a.png/b.png", Kind::Unreadable),
        (".", Kind::Unreadable),
        ("\\u001b]0;x\\u0007.png", Kind::TerminalEscape),
    ] {
        let json = format!(r#"[{{"image":"{image}","caption":"a cat"}}]"#);
        std::fs::write(set.path("h.json"), json).unwrap();
        assert!(check(&set.path("h.json")).contains(&kind), "{image}");
    }
    std::fs::write(set.path("deep.json"), "[".repeat(1 << 20)).unwrap();
    assert!(check(&set.path("deep.json")).contains(&Kind::BadJson));
    std::fs::write(set.path("nul.json"), vec![0; 1 << 20]).unwrap();
    assert_eq!(check(&set.path("nul.json")), [Kind::BadJson]);
    // One word of 20 MiB.
    let long = format!(r#"[{{"image":"a.png","caption":"{}"}}]"#, "x".repeat(20 << 20));
    assert_eq!(set.kinds(&long), ["broken_entry"]);
    std::fs::write(set.path("head.csv"), "x,".repeat(20 << 20)).unwrap();
    assert_eq!(check(&set.path("head.csv")), [Kind::WrongForm]);
    std::fs::write(set.path("quote.csv"), format!("filepath,title\na.png,\"{}", "\n".repeat(3 << 20)))
        .unwrap();
    assert!(check(&set.path("quote.csv")).contains(&Kind::BadTable));
}

/// A kind that nothing here finds is a promise.
#[test]
fn every_kind_is_found_by_some_test() {
    let here = [include_str!("tests.rs"), include_str!("pictures/tests.rs")].concat();
    for kind in Kind::ALL {
        let quoted = format!("\"{}", kind.name());
        let variant = format!("Kind::{kind:?}");
        assert!(here.contains(&quoted) || here.contains(&variant), "{}", kind.name());
    }
}
