//! `cocaptain data check` on every format: a clean set has no finding, and what is planted is found where it is.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;

use crate::check_kinds::{Told, check, png, unmarked};
use crate::rank::Script;
use crate::support::Bench;

const SQUARE: (u32, u32) = (64, 64);

/// Good pictures a to d.
fn bench() -> Bench {
    let bench = Bench::new(&Script::default());
    for (seed, name) in "abcd".chars().enumerate() {
        std::fs::write(bench.at(&format!("{name}.png")), good(seed as u32)).unwrap();
    }
    bench
}

fn good(seed: u32) -> Vec<u8> {
    png(seed, SQUARE, |value| value)
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Makes the folders above it.
fn write(bench: &Bench, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(bench.at(name).parent().unwrap()).unwrap();
    std::fs::write(bench.at(name), bytes).unwrap();
}

/// A shard of these members, in this order, and where the header of each stands.
fn tar(members: &[(&str, &[u8])]) -> (Vec<u8>, Vec<u64>) {
    let (mut shard, mut places) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        places.push(shard.len() as u64);
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        shard.extend(header);
        shard.extend(*bytes);
        shard.resize(shard.len().next_multiple_of(512), 0);
    }
    shard.resize(shard.len() + 1024, 0);
    (shard, places)
}

/// Packed by the system's gzip.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    let writer = std::thread::spawn(move || to.write_all(&bytes).unwrap());
    let packed = child.wait_with_output().unwrap();
    writer.join().unwrap();
    packed.stdout
}

/// A finding without its place.
fn told(kind: &str, file: &str, entry: Option<u64>, related: Option<u64>) -> Told {
    let severity = data::check::Kind::named(kind).unwrap().severity().name();
    (kind.into(), severity.into(), file.into(), None, None, None, entry, related)
}

/// The same at a line, column and offset.
fn at(told: Told, [line, column, offset]: [u64; 3]) -> Told {
    (told.0, told.1, told.2, Some(line), Some(column), Some(offset), told.6, told.7)
}

/// Checks `what` and compares all that is found.
fn compare(bench: &Bench, what: &str, more: &[&str], entries: u64, expected: &[Told]) {
    let (status, count, found) = check(bench, what, more);
    let plain: Vec<&Told> = found.iter().map(|(told, _)| told).filter(|t| t.0 != "unused_picture").collect();
    assert_eq!(plain, expected.iter().collect::<Vec<_>>(), "{what}: {found:#?}");
    let errors = expected.iter().any(|told| told.1 == "error");
    assert_eq!((status, count), (Some(i32::from(errors)), entries), "{what}");
}

/// The marks of a text are the places of the findings, in order.
fn placed(text: &str, findings: &[Told]) -> (String, Vec<Told>) {
    let (plain, places) = unmarked(text);
    assert_eq!(places.len(), findings.len(), "{text}");
    (plain, findings.iter().cloned().zip(places).map(|(told, place)| at(told, place)).collect())
}

#[test]
fn a_clean_set_of_any_format_has_no_finding() {
    let bench = bench();
    let all = ["a", "b", "c", "d"];
    let caption = |name: &str| format!("Café {name}, \"big\" <3; 猫 two words");
    let (mut lines, mut table, mut tabs) = (String::from("\u{feff}"), String::new(), String::new());
    let (mut karpathy, mut part) = (Vec::new(), Vec::new());
    for (at, name) in all.iter().enumerate() {
        let words = caption(name);
        let entry = serde_json::json!({"image": format!("{name}.png"), "caption": words, "image_id": at});
        lines += &format!("{entry}\r\n\n");
        table += &format!("{at};{name}.png;\"{}\"\r\n", words.replace('"', "\"\""));
        tabs += &format!("{name}.png\t\"{}\n and a line\"\n", words.replace('"', "\"\""));
        karpathy.push(entry);
        // One line in UTF-8, the next one in gb18030.
        let json = serde_json::json!({"caption_en": format!("猫 {name} of two words")}).to_string();
        let json = if at % 2 == 0 {
            json.into_bytes()
        } else {
            json.replace('猫', "?")
                .into_bytes()
                .iter()
                .flat_map(|b| if *b == b'?' { vec![0xc3, 0xa8] } else { vec![*b] })
                .collect()
        };
        part.extend(
            [b"0\thttp://x\t", &json[..], b"\t3\t4\t", base64(&good(at as u32)).as_bytes(), b"\n"].concat(),
        );
        write(&bench, &format!("side/{name}.png"), good(at as u32));
        write(&bench, &format!("side/{name}.txt"), format!("{words}\n\n a second one \n"));
        write(&bench, &format!("sorted/{}/{name}.png", ["cats", "dogs"][at % 2]), good(at as u32));
    }
    write(&bench, "k.json", serde_json::to_vec(&karpathy).unwrap());
    let lists = serde_json::json!([{"image": "a.png", "caption": ["one", "two"]}, {"image": "b.png", "caption": ["three"]}]);
    write(&bench, "v.json", lists.to_string());
    write(&bench, "a.jsonl", lines);
    write(&bench, "a.csv", format!("id;file;text\r\n{table}"));
    write(&bench, "a.tsv", format!("filepath\ttitle\n{tabs}"));
    write(&bench, "laion/part-00000", &part);
    write(&bench, "laion/part-00001.gz", gzip(&part));
    write(&bench, "laion/plain.filelist", "part-00000\n");
    write(&bench, "laion/packed.filelist", "part-00001.gz\n");
    let members: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(at, name)| (format!("{name}.png"), format!("{name}.txt"), good(at as u32), caption(name)))
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .flat_map(|(png, txt, picture, text)| [(png.as_str(), &picture[..]), (txt.as_str(), text.as_bytes())])
        .collect();
    for (name, members) in [("00", &members[..4]), ("01", &members[4..])] {
        write(&bench, &format!("shards/s-{name}.tar"), tar(members).0);
    }
    write(&bench, "shards/whole.tar.gz", gzip(&tar(&members).0));
    for (what, more, entries) in [
        ("k.json", &[][..], 4),
        ("v.json", &[], 2),
        ("a.jsonl", &[], 4),
        ("a.csv", &["--csv_img_key", "file", "--csv_caption_key", "text", "--csv_separator", ";"], 4),
        ("a.tsv", &[], 4),
        ("laion/plain.filelist", &[], 4),
        ("laion/packed.filelist", &[], 4),
        ("shards/s-{00..01}.tar", &[], 4),
        ("shards/s-00.tar::shards/s-01.tar", &[], 4),
        ("shards/whole.tar.gz", &[], 4),
        ("side", &[], 4),
        ("sorted", &[], 4),
    ] {
        // Twice: the second time from what the first one kept.
        for _ in 0..2 {
            compare(&bench, what, &[&["--strict"], more].concat(), entries, &[]);
        }
    }
}

#[test]
fn faults_in_json_lines_and_tables() {
    let bench = bench();
    let good = r#"{"image":"a.png","caption":"é one"}"#;
    let text = [
        good,
        "",
        "§rubbish",
        r#"  {"file_name":§"no.png","text":"two"}"#,
        r#"{"image":"b.png","caption":§""}"#,
        r#"§{"image":"b.png"}"#,
        r#"{"image":§7,"caption":"three"}"#,
        r#"{"image":"c.png","caption":["words",§"a<end_of_text>"]}"#,
        &format!("§{good}"),
        r#"{"image":"d.png","caption":"cut §off"#,
    ];
    let mut text = text.join("\n");
    // A text that does not end is told where it begins.
    text = text.replace("\"cut §off", "§\"cut off");
    let file = |kind, entry| told(kind, "a.jsonl", Some(entry), None);
    let (plain, expected) = placed(
        &text,
        &[
            file("bad_json", 1),
            file("missing_file", 2),
            file("empty_caption", 3),
            file("missing_field", 4),
            file("wrong_type", 5),
            file("special_token", 6),
            told("duplicate_entry", "a.jsonl", Some(7), Some(0)),
            file("bad_json", 8),
        ],
    );
    write(&bench, "a.jsonl", plain);
    compare(&bench, "a.jsonl", &[], 9, &expected);

    let text = "\u{feff}id;file;text\r\n1;a.png;\"é; \"\"one\"\"\r\n more\"\r\n2;§no.png;two\r\n3;b.png;§\" \"\r\n§4;b.png\r\n\
        5;c.png;§a <end_of_text>\r\n§6;a.png;\"é; \"\"one\"\"\r\n more\"\r\n7;d.png;§12\r\n";
    let file = |kind, entry| told(kind, "a.csv", Some(entry), None);
    let (plain, expected) = placed(
        text,
        &[
            file("missing_file", 1),
            file("empty_caption", 2),
            file("bad_table", 3),
            file("special_token", 4),
            told("duplicate_entry", "a.csv", Some(5), Some(0)),
            file("non_text_caption", 6),
        ],
    );
    write(&bench, "a.csv", plain);
    let keys = ["--csv_img_key", "file", "--csv_caption_key", "text", "--csv_separator", ";"];
    compare(&bench, "a.csv", &keys, 7, &expected);

    let text = "filepath\ttitle\na.png\t§a \u{1b}[2J cat\n§../b.png\ta dog\n§A.png\ta bird\n";
    let file = |kind, entry| told(kind, "a.tsv", Some(entry), None);
    let (plain, expected) =
        placed(text, &[file("terminal_escape", 0), file("path_escape", 1), file("case_mismatch", 2)]);
    write(&bench, "a.tsv", plain);
    compare(&bench, "a.tsv", &[], 3, &expected);
    let (plain, expected) = placed("§name\ttitle\na.png\tx\n", &[told("wrong_form", "b.tsv", None, None)]);
    write(&bench, "b.tsv", plain);
    compare(&bench, "b.tsv", &[], 0, &expected);
}

/// A part's findings have the place of their line, packed or not.
#[test]
fn faults_in_laion_parts() {
    let bench = bench();
    let line = |json: &str, picture: &[u8]| format!("0\t1\t{json}\t3\t4\t{}\n", base64(picture));
    let whole = good(5);
    let text = [
        line(r#"{"caption_en":"é one"}"#, &good(0)),
        format!("§{}", line(r#"{"caption_en":"12"}"#, &good(1))),
        format!("§{}", line("no json", &good(2))),
        format!("§{}", line(r#"{"caption_en":"a dog"}"#, b"<html>not a picture</html>")),
        format!("§{}", line(r#"{"blip_caption_en":"a cow"}"#, &whole[..whole.len() / 2])),
        format!("§{}", line("{}", &good(3))),
        "§too\tfew\tcolumns\n".to_owned(),
        format!("§{}", line(r#"{"caption_en":"no picture"}"#, b"")),
        format!("§{}", line(r#"{"caption_en":"a \u001b[2Jbird"}"#, &good(0))),
        "§0\t1\t{}\t3\t4\t!!!no base64!!!\n".to_owned(),
    ]
    .concat()
    // Two findings have the place of the ninth line, and of the last.
    .replace("§0\t1\t{\"caption_en\":\"a \\u001b", "§§0\t1\t{\"caption_en\":\"a \\u001b")
    .replace("§0\t1\t{}\t3\t4\t!!!", "§§0\t1\t{}\t3\t4\t!!!");
    for (part, packed) in [("part-0", false), ("part-1.gz", true)] {
        let file = |kind, entry| told(kind, part, Some(entry), None);
        let (plain, expected) = placed(
            &text,
            &[
                file("non_text_caption", 1),
                file("broken_entry", 2),
                file("corrupt_picture", 3),
                file("truncated_picture", 4),
                file("empty_caption", 5),
                file("broken_entry", 6),
                file("broken_entry", 7),
                file("terminal_escape", 8),
                told("duplicate_picture", part, Some(8), Some(0)),
                file("empty_caption", 9),
                file("corrupt_picture", 9),
            ],
        );
        write(&bench, part, if packed { gzip(plain.as_bytes()) } else { plain.into_bytes() });
        write(&bench, "laion.filelist", format!("{part}\n"));
        compare(&bench, "laion.filelist", &[], 10, &expected);
    }
    write(&bench, "laion.filelist", "part-0\nnowhere\n");
    let (_, _, found) = check(&bench, "laion.filelist", &[]);
    assert!(found.iter().any(|(_, message)| message.contains("there is no part 'nowhere'")), "{found:?}");
}

#[test]
fn faults_in_shards() {
    let bench = bench();
    let (whole, slim) = (good(5), good(6));
    let (shard, places) = tar(&[
        ("1.png", &good(0)),
        ("1.txt", "é one".as_bytes()),
        ("2.png", &good(1)),
        ("2.txt", b" \n"),
        ("3.png", &whole[..whole.len() / 2]),
        ("3.txt", b"a dog"),
        ("4.txt", b"no picture"),
        ("5.png", &good(2)),
        ("6.jpg", &slim),
        ("6.txt", b"a \x1b[2Jbird"),
        ("7.png", &good(0)),
        ("7.txt", b"one more"),
        ("8.png", b"<html>"),
        ("8.txt", b"caf\xe9"),
    ]);
    write(&bench, "a.tar", &shard);
    let file = |kind, entry, member: usize, related| {
        let told = told(kind, "a.tar", Some(entry), related);
        (told.0, told.1, told.2, None, None, Some(places[member]), told.6, told.7)
    };
    let expected = [
        file("empty_caption", 1, 2, None),
        file("truncated_picture", 2, 4, None),
        file("broken_entry", 3, 6, None),
        file("broken_entry", 4, 7, None),
        file("terminal_escape", 5, 8, None),
        file("format_mismatch", 5, 8, None),
        file("duplicate_picture", 6, 10, Some(0)),
        file("broken_entry", 7, 12, None),
    ];
    compare(&bench, "a.tar", &[], 8, &expected);
    // A shard that ends early: what stands before is checked.
    write(&bench, "b.tar", &shard[..places[2] as usize + 600]);
    let (status, entries, found) = check(&bench, "b.tar", &[]);
    assert_eq!((status, entries, found.len()), (Some(1), 2, 1), "{found:?}");
    assert!(found[0].0.0 == "broken_entry" && found[0].1.contains("cut short within '2.png'"), "{found:?}");
    // One that is not there, and one that is none.
    let (status, _, found) = check(&bench, "{a,nowhere}.tar", &[]);
    assert!(status == Some(1) && found.iter().any(|(told, _)| told.0 == "unreadable"), "{found:?}");
    write(&bench, "c.tar", "rubbish ".repeat(999));
    let (status, _, found) = check(&bench, "c.tar", &[]);
    assert!(status == Some(1) && found.len() == 1, "{found:?}");
}

#[test]
fn faults_in_folders() {
    let bench = bench();
    let whole = good(5);
    write(&bench, "side/a.png", good(0));
    let (text, places) = unmarked("é one\n\n  §\u{1b}[2J boo\n");
    write(&bench, "side/a.txt", text);
    write(&bench, "side/b.png", good(1));
    write(&bench, "side/b.txt", "\n \n");
    write(&bench, "side/c.png", good(2));
    write(&bench, "side/d.png", &whole[..whole.len() / 2]);
    write(&bench, "side/d.txt", "a dog");
    write(&bench, "side/e.png", good(0));
    write(&bench, "side/e.txt", "another one");
    write(&bench, "side/f.png", good(3));
    write(&bench, "side/f.txt", b"caf\xe9");
    // An entry that is none has the folder for its file; the message names the picture.
    let expected = [
        told("broken_entry", "side", Some(2), None),
        told("broken_entry", "side", Some(5), None),
        at(told("terminal_escape", "a.txt", Some(0), None), places[0]),
        told("empty_caption", "b.png", Some(1), None),
        told("truncated_picture", "d.png", Some(3), None),
        told("duplicate_picture", "e.png", Some(4), Some(0)),
    ];
    compare(&bench, "side", &[], 6, &expected);
    let (_, _, found) = check(&bench, "side", &[]);
    assert!(found[0].1.contains("c.png") && found[1].1.contains("f.png"), "{found:?}");

    write(&bench, "sorted/cats/a.png", good(0));
    write(&bench, "sorted/cats/b.png", b"");
    write(&bench, "sorted/dogs/c.png", good(2));
    write(&bench, "sorted/dogs/d.png", good(0));
    write(&bench, "sorted/dogs/e.jpg", good(3));
    let expected = [
        told("corrupt_picture", "b.png", Some(1), None),
        told("duplicate_picture", "d.png", Some(3), Some(0)),
        told("format_mismatch", "e.jpg", Some(4), None),
    ];
    compare(&bench, "sorted", &[], 5, &expected);
    write(&bench, "sorted/labels.txt", "cat\ndog\nbird\n");
    let (status, _, found) = check(&bench, "sorted", &[]);
    assert!(status == Some(1) && found[0].1.contains("3 classes, and there are 2"), "{found:?}");
    // The same picture in two splits of a folder of classes.
    for (name, seed) in [("train/x/a.png", 0), ("train/y/b.png", 1), ("val/x/c.png", 0), ("val/y/d.png", 2)] {
        write(&bench, &format!("splits/{name}"), good(seed));
    }
    compare(&bench, "splits", &[], 4, &[told("split_leak", "c.png", Some(0), Some(0))]);
}
