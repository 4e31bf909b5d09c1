//! `cocaptain data check` as people and scripts see it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use crate::rank::Script;
use crate::support::{Bench, wait, words};
use crate::terminal::Terminal;

/// A picture with edges, of any of some thousand colours.
fn picture(number: u32, side: u32) -> Vec<u8> {
    use image::ImageEncoder as _;
    let value = |at: u32, channel: u32| (at / 7 * (number * 5 + channel * 3 + 1) * 31 % 251) as u8;
    let pixels: Vec<u8> = (0..side * side * 3).map(|at| value(at / 3, at % 3)).collect();
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&pixels, side, side, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

fn bench() -> Bench {
    let bench = Bench::new(&Script::default());
    for (number, name) in ["a.png", "b.png"].iter().enumerate() {
        std::fs::write(bench.at(name), picture(number as u32, 96)).unwrap();
    }
    bench
}

#[test]
fn statuses_and_outputs() {
    let bench = bench();
    let check = |json: &str, more: &[&str]| {
        std::fs::write(bench.at("notes.json"), json).unwrap();
        let mut all = vec!["data", "check", "notes.json"];
        all.extend(more);
        let output = bench.cocaptain(&all);
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), words(&output))
    };
    let clean = r#"[{"image":"a.png","caption":"a cat"},{"image":"b.png","caption":"a dog"}]"#;
    let (status, out, all) = check(clean, &["--strict"]);
    assert_eq!((status, out.as_str()), (Some(0), "2 entries: 0 errors, 0 warnings, 0 notes\n"), "{all}");
    let odd = clean.replace("a cat", "a <end_of_text> \\u001b[2J cat");
    assert_eq!(check(&odd, &[]).0, Some(0));
    let (status, out, _) = check(&odd, &["--strict"]);
    assert_eq!(status, Some(1));
    assert!(out.contains("terminal_escape") && !out.contains('\u{1b}'), "{out}");
    let bad = clean.replace("a.png", "no\\u001b[31m.png");
    let (status, out, _) = check(&bad, &["--json"]);
    assert_eq!(status, Some(1));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["entries"], 2);
    let missing =
        report["findings"].as_array().unwrap().iter().find(|f| f["kind"] == "missing_file").unwrap();
    assert_eq!(
        (&missing["line"], &missing["column"], &missing["offset"], &missing["entry"]),
        (&1.into(), &11.into(), &10.into(), &0.into())
    );
    assert!(missing["related"].is_null() && missing["severity"] == "error");
    let unused =
        report["findings"].as_array().unwrap().iter().find(|f| f["kind"] == "unused_picture").unwrap();
    assert!(unused["entry"].is_null() && unused["severity"] == "info" && unused["line"].is_null());
    let (_, out, _) = check(&bad, &["--sarif"]);
    let sarif: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "terminal_escape");
    let (_, out, _) = check(&bad, &["--csv"]);
    assert!(
        out.starts_with("kind,severity,file,line,column,offset,entry,related,message\n")
            && !out.contains('\u{1b}')
    );
    // Limits are flags and settings.
    assert_eq!(check(clean, &["--strict", "--check_min_side", "100"]).0, Some(1));
    assert_eq!(check(clean, &["--strict", "--min-side=100"]).0, Some(1));
    std::fs::write(bench.at("limits.toml"), "check_min_side = 100\n").unwrap();
    assert_eq!(check(clean, &["--strict", "--config", "limits.toml"]).0, Some(1));
    assert_eq!(check(clean, &["--check_dark", "-3"]).0, Some(2));
    assert_eq!(bench.cocaptain(&["data", "check", "nowhere.json"]).status.code(), Some(2));
    let python = "[{'image': 'a.png', 'caption': 'it\\'s a cat', 'more': None}]";
    let (status, _, all) = check(python, &["--fix", "fixed.json"]);
    assert_eq!(status, Some(1), "{all}");
    let fixed = std::fs::read_to_string(bench.at("fixed.json")).unwrap();
    assert_eq!(fixed, "[\n{\"caption\":\"it's a cat\",\"image\":\"a.png\",\"more\":null}\n]\n");
    assert_eq!(std::fs::read_to_string(bench.at("notes.json")).unwrap(), python);
    assert!(bench.at("fixed.left_out.json").is_file());
}

#[test]
fn ctrl_c_ends_it_and_says_how_far_it_came() {
    let bench = bench();
    let mut entries = Vec::new();
    for number in 0..6000 {
        let name = format!("{number}.png");
        std::fs::hard_link(bench.at("a.png"), bench.at(&name)).unwrap();
        entries.push(serde_json::json!({"image": name, "caption": format!("picture number {number}")}));
    }
    std::fs::write(bench.at("many.json"), serde_json::to_vec(&entries).unwrap()).unwrap();
    let mut child = bench.spawn(&["data", "check", "many.json", "--json"]);
    // Once it listens for the signal.
    let about = format!("/proc/{}/status", child.id());
    wait("a handler of SIGINT", || {
        let about = std::fs::read_to_string(&about).ok()?;
        let caught = about.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & 0b10 != 0).then_some(())
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (mut out, mut told) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("stopped in stage") && told.contains(" of "), "{told}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["findings"].is_array());
}

#[test]
fn ctrl_c_on_a_terminal_leaves_it_tidy() {
    let bench = bench();
    std::fs::write(bench.at("large.png"), picture(3, 1200)).unwrap();
    let mut entries = vec![serde_json::json!({"image": "a.png", "caption": ""})];
    for number in 0..5000 {
        let name = format!("{number}.png");
        std::fs::hard_link(bench.at("large.png"), bench.at(&name)).unwrap();
        entries.push(serde_json::json!({"image": name, "caption": format!("picture number {number}")}));
    }
    std::fs::write(bench.at("many.json"), serde_json::to_vec(&entries).unwrap()).unwrap();
    let mut terminal = Terminal::open(&bench, &["data", "check", "many.json"]);
    terminal.see("stage 3 of 3, content:");
    terminal.press("\x03");
    terminal.see("stopped in stage 3 of 3, content, at ");
    let text = terminal.text();
    assert!(text.contains("error empty_caption (1)"), "what was found until then: {text}");
    let progress = text.lines().filter(|line| line.starts_with("stage ")).count();
    assert_eq!(progress, 0, "the line of progress is gone: {text}");
}

/// Folders and files that are closed to the user. Root may read everything: then it is done as nobody.
#[test]
fn what_is_closed_is_told_and_the_rest_is_checked() {
    let bench = bench();
    let root = rustix::process::geteuid().is_root();
    let program = bench.at("program");
    std::fs::copy(env!("CARGO_BIN_EXE_cocaptain"), &program).unwrap();
    let may = |name: &str, mode: u32| {
        std::fs::set_permissions(bench.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    may(".", 0o755);
    let check = |what: &str| {
        let mut command = std::process::Command::new(&program);
        if root {
            command.uid(65534).gid(65534);
        }
        let command = command.current_dir(bench.at(".")).env("XDG_CACHE_HOME", bench.at("cache"));
        let output = command.args(["data", "check", what, "--json"]).output().unwrap();
        let report = serde_json::from_slice::<serde_json::Value>(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("{}", words(&output)));
        let found: Vec<String> =
            report["findings"].as_array().unwrap().iter().map(|f| f.to_string()).collect();
        (output.status.code(), report["entries"].as_u64(), found)
    };
    for name in ["side/open", "side/shut", "classes/cat", "classes/dog", "notes/images"] {
        std::fs::create_dir_all(bench.at(name)).unwrap();
    }
    for (name, number) in [("side/open/a", 1), ("side/shut/b", 2), ("classes/cat/c", 3), ("classes/dog/d", 4)]
    {
        std::fs::write(bench.at(&format!("{name}.png")), picture(number, 96)).unwrap();
        std::fs::write(bench.at(&format!("{name}.txt")), "a picture").unwrap();
    }
    std::fs::write(bench.at("notes/images/a.png"), picture(5, 96)).unwrap();
    std::fs::write(bench.at("notes/train.json"), r#"[{"image":"a.png","caption":"words"}]"#).unwrap();
    for (what, closed, entries, told) in [
        ("notes/train.json", None, 1, None),
        ("notes/train.json", Some("notes/images/a.png"), 1, Some(("unreadable", "ermission"))),
        ("notes/train.json", Some("notes/images"), 1, Some(("unreadable", "ermission"))),
        ("notes/train.json", Some("notes/train.json"), 0, Some(("unreadable", "ermission"))),
        ("notes/train.json", Some("notes"), 0, Some(("unreadable", "ermission"))),
        ("notes", Some("notes"), 0, Some(("unreadable", "ermission"))),
        ("side", None, 2, None),
        ("side", Some("side/shut"), 2, Some(("broken_entry", "folder shut"))),
        ("side", Some("side/open/a.txt"), 2, Some(("broken_entry", "ermission"))),
        ("classes", Some("classes/dog"), 2, Some(("broken_entry", "folder dog"))),
    ] {
        let mode = closed.map(|name| std::fs::metadata(bench.at(name)).unwrap().permissions().mode());
        if let Some(closed) = closed {
            may(closed, 0);
        }
        let (status, count, found) = check(what);
        if let (Some(closed), Some(mode)) = (closed, mode) {
            may(closed, mode);
        }
        assert_eq!(count, Some(entries), "{what} with {closed:?}: {found:?}");
        match told {
            None => assert_eq!((status, found.len()), (Some(0), 0), "{found:?}"),
            Some((kind, word)) => {
                assert_eq!((status, found.len()), (Some(1), 1), "{what} with {closed:?}: {found:?}");
                assert!(found[0].contains(kind) && found[0].contains(word), "{closed:?}: {found:?}");
            }
        }
    }
}
