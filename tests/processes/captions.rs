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

    // Without a model the newest run is taken; the second time there is nothing left to do.
    let keep = ["caption", "drawn/images/val", "--annotations", "out.json"];
    assert_eq!(bench.good(&keep).lines().count(), 8);
    assert_eq!(bench.good(&[&keep[..], &["--resume"]].concat()), "");
    let kept =
        data::Dataset::open(&bench.at("out.json"), data::Split::Val, &data::ReadOptions::default()).unwrap();
    assert_eq!(kept.len(), 8);
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
}
