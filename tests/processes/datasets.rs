//! The data tab in a real pty, and the commands on datasets: a real file that is edited outside.

use std::path::{Path, PathBuf};

use crate::rank::Script;
use crate::support::{Bench, wait, words};
use crate::terminal::Terminal;

/// A bench with the demo drawn small.
fn bench() -> Bench {
    let bench = Bench::new(&Script::default());
    bench.good(&[
        "data",
        "demo",
        "drawn",
        "--train_pictures",
        "40",
        "--val_pictures",
        "4",
        "--test_pictures",
        "4",
        "--side",
        "32",
        "--zero_shot_pictures",
        "1",
    ]);
    bench
}

fn file(bench: &Bench) -> PathBuf {
    bench.at("drawn/annotations/coco_karpathy_train.json")
}

/// Writes a file as editors do: a new one takes the place of the old one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn browse_filter_check_edit_outside_mark_export() {
    let bench = bench();
    let path = file(&bench);
    let mut terminal = Terminal::open(&bench, &["data", "browse", path.to_str().unwrap()]);
    terminal.see("read in");
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let first = entries[0]["caption"].as_str().unwrap();
    terminal.see(&first[..20]);
    terminal.see("tokens of 76 (tokenizer.json)");

    // Words narrow the list, an expression does too; Esc gives all back.
    terminal.press("/");
    terminal.press("zzzzzz");
    terminal.see("nothing matches");
    terminal.press("\x15");
    terminal.press("large");
    terminal.press("\r");
    let many = entries.iter().filter(|e| e["caption"].as_str().unwrap().starts_with("a small")).count();
    terminal.press("/\x15^a small");
    terminal.press("\r");
    terminal.press("e");
    terminal.see("regex ^a small");
    terminal.see(&format!("{many} of {}", entries.len()));
    // An Escape with a letter close behind it is another key.
    terminal.press("\x1b");
    wait("the filter gone", || (!terminal.text().contains("regex ^a small")).then_some(()));

    // A clean dataset has no finding that matters; then somebody breaks an entry in an editor.
    terminal.press("c");
    terminal.see("0 errors");
    terminal.press("\x1b[B\x1b[B\x1b[B");
    let mut edited = entries.clone();
    edited[3]["caption"] = "a caption that was edited outside".into();
    edited[7]["image"] = "nowhere/gone.png".into();
    replace(&path, &serde_json::to_string_pretty(&edited).unwrap());
    terminal.see("2 entries changed");
    terminal.see("a caption that was edited outside");
    terminal.see("1 error");
    terminal.press("f");
    terminal.see("missing file");
    terminal.press("\r");
    terminal.press("\x1b[B");
    terminal.see("gone.png");
    terminal.press("\r");

    // Invalid in the middle of an edit: the place is told, the last good state stays, and it comes back.
    let whole = serde_json::to_string_pretty(&edited).unwrap();
    replace(&path, &whole.replacen("\"caption\":", "\"caption\" ", 3));
    terminal.see("not readable now");
    terminal.see(":3:");
    terminal.see("1 error");
    replace(&path, &serde_json::to_string_pretty(&entries).unwrap());
    terminal.see("0 errors");
    wait("the error gone", || (!terminal.text().contains("not readable now")).then_some(()));

    // What the model sees; marks; an export that is a dataset.
    terminal.press("v");
    terminal.see("as the model sees it: 224x224");
    terminal.press("v");
    terminal.press("\x1b[H");
    terminal.press("  ");
    terminal.see("2 marked");
    terminal.press("w");
    terminal.press("\x15out/some.jsonl\r");
    terminal.see("2 entries written to");
    terminal.leave();
    let written = std::fs::read_to_string(bench.at("out/some.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = written.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["caption"]), (2, &entries[0]["caption"]));
}

#[test]
fn what_cannot_be_opened_at_first_is_opened_when_it_is_mended() {
    let bench = bench();
    let path = file(&bench);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replacen(':', " ", 1)).unwrap();
    // A broken file of a folder.
    let mut terminal = Terminal::open(&bench, &["data", "browse", "drawn"]);
    terminal.see("it is watched");
    replace(&path, &whole);
    terminal.see("tokens of 76");
    // A file that is not there yet, while another one is shown.
    terminal.press("g");
    terminal.press("later.jsonl\r");
    terminal.see("no such file");
    terminal.see("tokens of 76");
    replace(&bench.at("later.jsonl"), "{\"image\":\"x.png\",\"caption\":\"words that came later\"}\n");
    terminal.see("words that came later");
    wait("the error gone", || (!terminal.text().contains("no such file")).then_some(()));
    terminal.leave();
}

#[test]
fn show_stats_convert() {
    let bench = bench();
    let path = file(&bench);
    let name = path.to_str().unwrap();
    let shown = bench.good(&["data", "show", name, "3"]);
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(shown.contains(entries[3]["caption"].as_str().unwrap()) && shown.contains("32x32"), "{shown}");
    assert!(shown.contains("start") && !shown.contains('\u{1b}'), "{shown}");
    let told: serde_json::Value =
        serde_json::from_str(&bench.good(&["data", "show", name, "3", "--json"])).unwrap();
    assert_eq!((&told["entry"], &told["picture"]["width"]), (&3.into(), &32.into()));
    let output = bench.cocaptain(&["data", "show", name, "9999"]);
    assert!(
        !output.status.success() && words(&output).contains("there is no entry 9999"),
        "{}",
        words(&output)
    );

    let told: serde_json::Value =
        serde_json::from_str(&bench.good(&["data", "stats", name, "--json", "--seconds", "0.1"])).unwrap();
    assert_eq!((&told["entries"], &told["images"]), (&entries.len().into(), &40.into()));
    assert!(told["decoding"]["pictures_per_second"].as_f64().unwrap() > 0.0);
    let people = bench.good(&["data", "stats", name, "--seconds", "0", "--plot", "h.svg"]);
    assert!(people.contains("tokens of a caption") && people.contains('█'), "{people}");
    assert!(std::fs::read_to_string(bench.at("h.svg")).unwrap().starts_with("<svg"));

    let arguments = ["data", "convert", "drawn", "shards", "--to", "webdataset", "--splits", "train=3,val=1"];
    bench.good(&arguments);
    let output = bench.cocaptain(&arguments);
    assert!(!output.status.success() && words(&output).contains("already"), "{}", words(&output));
    let shards: serde_json::Value =
        serde_json::from_str(&bench.good(&["data", "stats", "shards", "--json", "--seconds", "0"])).unwrap();
    let held: serde_json::Value = serde_json::from_str(&bench.good(&[
        "data",
        "stats",
        "shards",
        "--split",
        "val",
        "--json",
        "--seconds",
        "0",
    ]))
    .unwrap();
    let sum = shards["entries"].as_u64().unwrap() + held["entries"].as_u64().unwrap();
    assert_eq!(sum, entries.len() as u64);
    let output = bench.cocaptain(&["data", "convert", "drawn", "x"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    // Nothing is there to fetch from; the way is told.
    let output =
        bench.cocaptain(&["data", "fetch", "coco_karpathy", "--dir", "d", "--url", "http://127.0.0.1:9/x"]);
    assert!(!output.status.success() && words(&output).contains("goes on from there"), "{}", words(&output));
}
