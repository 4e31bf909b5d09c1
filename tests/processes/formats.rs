//! Training on other formats than the drawn data set's own, with the real engine.

use std::process::Command;

use run::events::Outcome;

use crate::support::Bench;
use crate::training::bench;

/// Two steps on `data`.
fn trains(bench: &Bench, name: &str, data: &[&str]) {
    let mut all = vec!["train", "--name", name, "--model_config", "coca_demo", "--tokenizer"];
    all.extend(["drawn/tokenizer.json", "--context_length", "24", "--per_device_train_batch_size", "4"]);
    all.extend(["--threads", "1", "--device", "cpu", "--max_steps", "2", "--eval_samples", "2"]);
    all.extend(data);
    let dry = bench.good(&[&all[..], &["--dry_run"]].concat());
    assert!(dry.contains("48 samples of 48 pictures"), "{name}: {dry}");
    bench.good(&all);
    assert_eq!(bench.run(name).wait_end().0, Outcome::Completed, "{name}");
}

#[test]
fn every_way_to_write_a_data_set_trains() {
    let bench = bench();
    let text = std::fs::read_to_string(bench.at("drawn/annotations/coco_karpathy_train.json")).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let (mut lines, mut table, mut part) = (String::new(), "filepath,title\n".to_owned(), String::new());
    std::fs::create_dir(bench.at("side")).unwrap();
    for (at, entry) in entries.iter().enumerate() {
        let (image, caption) = (entry["image"].as_str().unwrap(), entry["caption"].as_str().unwrap());
        let file = bench.at("drawn/images").join(image);
        lines.push_str(&format!("{}\n", serde_json::json!({"image": image, "caption": caption})));
        table.push_str(&format!("{image},\"{caption}\"\n"));
        let base64 = Command::new("base64").arg("-w0").arg(&file).output().unwrap().stdout;
        let json = serde_json::json!({ "caption_en": caption });
        part.push_str(&format!("0\t1\t{json}\t3\t4\t{}\n", String::from_utf8(base64).unwrap()));
        std::fs::copy(&file, bench.at(&format!("side/{at:03}.png"))).unwrap();
        std::fs::write(bench.at(&format!("side/{at:03}.txt")), caption).unwrap();
    }
    std::fs::write(bench.at("a.jsonl"), lines).unwrap();
    std::fs::write(bench.at("a.csv"), table).unwrap();
    std::fs::write(bench.at("part-0"), part).unwrap();
    std::fs::write(bench.at("laion.filelist"), "part-0\n").unwrap();
    let shard = bench.at("shard-00.tar");
    let packed = Command::new("tar").arg("cf").arg(&shard).arg("-C").arg(bench.at("side")).arg(".").status();
    assert!(packed.unwrap().success());
    trains(&bench, "jsonl", &["--train_data", "a.jsonl", "--image_root", "drawn/images"]);
    trains(&bench, "csv", &["--train_data", "a.csv", "--image_root", "drawn/images"]);
    trains(&bench, "laion", &["--task_name", "laion.filelist"]);
    trains(&bench, "sidecar", &["--train_data", "side", "--val_data", "side"]);
    trains(&bench, "shards", &["--train_data", "shard-{00..00}.tar", "--val_data", "shard-00.tar"]);
}
