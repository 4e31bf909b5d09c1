//! Captions and features by the real engine, of a run that was trained a few steps: what they say does not matter.

use crate::support::{Bench, words};
use crate::training;

/// A bench with a run `a` that has two checkpoints.
pub fn bench() -> Bench {
    let bench = training::bench();
    let settings = ["--max_steps", "3", "--save_steps", "2", "--predictions", "false"];
    training::start(&bench, "a", &settings).wait_end();
    std::fs::write(bench.at("bad.jpg"), "no picture").unwrap();
    bench
}

#[test]
fn all_are_captioned_but_the_unreadable_one() {
    let bench = bench();
    let output = bench.cocaptain(&[
        "caption",
        "bad.jpg",
        "drawn/images/val",
        "--model",
        "a",
        "--json",
        "--batch",
        "3",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let lines: Vec<serde_json::Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 9);
    assert!(lines[0]["error"].as_str().unwrap().contains("not a picture"), "{}", lines[0]);
    let names: Vec<&str> = lines[1..].iter().map(|l| l["image"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(lines[1..].iter().all(|l| l["caption"].is_string() && l["ids"].as_array().unwrap().len() > 2));

    // A benchmark, too, writes what a model of so short a context can.
    let timed = bench.good(&["bench", "caption", "--model", "a", "--batch", "1", "--repeat", "1", "--json"]);
    let timed: serde_json::Value = serde_json::from_str(&timed).unwrap();
    assert!(
        timed["seconds"].as_f64().unwrap() > 0.0 && timed["ids"][0].as_array().unwrap().len() > 2,
        "{timed}"
    );

    // Without a model the newest run is taken; the second time there is nothing left to do.
    let keep = ["caption", "drawn/images/val", "--annotations", "out.json"];
    assert_eq!(bench.good(&keep).lines().count(), 8);
    assert_eq!(bench.good(&[&keep[..], &["--resume"]].concat()), "");
    let kept =
        data::Dataset::open(&bench.at("out.json"), data::Split::Val, &data::ReadOptions::default()).unwrap();
    assert_eq!(kept.len(), 8);

    // File names are bytes, and nothing that they hold reaches the terminal as it is.
    std::fs::create_dir(bench.at("names")).unwrap();
    let latin = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9.png");
    for name in [latin, "\x1b[31m\x07.png".as_ref(), "new\nline.png".as_ref()] {
        std::fs::copy(bench.at("drawn/images/val/00001.png"), bench.at("names").join(name)).unwrap();
    }
    let said = bench.good(&["caption", "names", "--greedy", "--sidecar"]);
    assert_eq!((said.lines().count(), said.matches(['\x1b', '\x07']).count()), (3, 0), "{said:?}");
    assert!(bench.at("names").join(latin).with_extension("txt").is_file());
    let mut named = bench.command(&["caption", "--greedy", "--json"]);
    let named = named.arg(bench.at("names").join(latin)).output().unwrap();
    assert!(named.status.success() && words(&named).contains("caf\u{fffd}.png"), "{}", words(&named));
}

#[test]
fn a_terminal_shows_the_caption_that_grew_on_it() {
    use crate::terminal::Terminal;
    let bench = bench();
    let caption = bench.good(&["caption", "drawn/images/val/00001.png", "--model", "a"]);
    let caption = caption.trim_end().split('\t').nth(1).unwrap();
    assert!(!caption.is_empty());
    // This terminal answers no question: nobody waits for it.
    let script =
        "COCAPTAIN_IMAGES= \"$COCAPTAIN\" caption drawn/images/val/00001.png --model a; echo over; sleep 600";
    let terminal = Terminal::shell(&bench, &["sh", "-c", script], (100, 40));
    terminal.see("over");
    let text = terminal.text();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let at = lines.iter().position(|l| *l == "over").unwrap();
    assert_eq!(lines[at - 1], caption, "{text}");
    // The picture stands above it, in half blocks.
    assert!(lines[at - 2].contains('\u{2584}'), "{text}");
}

#[test]
fn captions_that_nobody_reads_are_not_written() {
    use std::io::{BufRead, BufReader};
    let bench = bench();
    std::fs::create_dir(bench.at("many")).unwrap();
    for i in 0..3000 {
        let picture = bench.at(&format!("drawn/images/val/0000{}.png", i % 8));
        std::fs::hard_link(picture, bench.at(&format!("many/{i:04}.png"))).unwrap();
    }
    let mut child =
        bench.spawn(&["caption", "many", "--greedy", "--batch", "4", "--annotations", "out.json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("many/0000.png\t"));
    drop(lines);
    assert!(child.wait().unwrap().success());
    // What was done is kept, and gone on from.
    let kept = || {
        let text = std::fs::read_to_string(bench.at("out.json")).unwrap();
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().len()
    };
    let first = kept();
    assert!((1..2900).contains(&first), "{first} of 3000");
    let rest = bench.good(&["caption", "many", "--greedy", "--annotations", "out.json", "--resume"]);
    assert_eq!((rest.lines().count(), kept()), (3000 - first, 3000));
}

#[test]
fn features_are_of_length_one_and_rows_are_never_missing() {
    let bench = bench();
    std::fs::write(bench.at("texts.txt"), "a red circle\na blue square\n\u{1b}[2J\n").unwrap();
    let embed = ["embed", "--model", "a", "--texts_file", "texts.txt", "-o", "f.safetensors", "--images"];
    bench.good(&[&embed[..], &["drawn/images/val/*.png"]].concat());
    let bytes = std::fs::read(bench.at("f.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for (name, rows) in [("image_features", 8), ("text_features", 3)] {
        let (tensor, data) = (&header[name], &bytes[8 + length..]);
        assert_eq!((&tensor["dtype"], &tensor["shape"][0]), (&"F32".into(), &rows.into()), "{header}");
        let at = |i: usize| usize::try_from(tensor["data_offsets"][i].as_u64().unwrap()).unwrap();
        let width = usize::try_from(tensor["shape"][1].as_u64().unwrap()).unwrap();
        let numbers = data[at(0)..at(1)].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        for row in numbers.collect::<Vec<_>>().chunks(width) {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5, "{name}");
        }
    }
    std::fs::remove_file(bench.at("f.safetensors")).unwrap();
    let output = bench.cocaptain(&[&embed[..], &["bad.jpg"]].concat());
    assert!(!output.status.success() && words(&output).contains("bad.jpg"), "{}", words(&output));
    assert!(!bench.at("f.safetensors").exists());
    let output =
        bench.cocaptain(&["embed", "--model", "a", "--texts_file", "texts.txt", "-o", "no/f.safetensors"]);
    assert!(
        !output.status.success() && words(&output).contains("no: there is no such folder"),
        "{}",
        words(&output)
    );
}
