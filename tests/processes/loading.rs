//! Loading while the real engine trains: broken records, and how long steps waited for data.

use run::events::{Body, Outcome};

use crate::training::bench;

const FILE: &str = "drawn/annotations/coco_karpathy_train.json";

/// A run of four steps on the drawn dataset.
fn start(bench: &crate::support::Bench, more: &[&str]) -> crate::support::Run {
    let mut all = vec!["--max_steps", "4", "--save_steps", "0"];
    all.extend(more);
    crate::training::start(bench, "a", &all)
}

/// Every warning of broken records.
fn broken(run: &crate::support::Run) -> Vec<String> {
    let of = |event: run::events::Event| match event.body {
        Body::Warning(notice) if notice.kind == "broken_record" => Some(notice.message),
        _ => None,
    };
    run.events().into_iter().filter_map(of).collect()
}

#[test]
fn broken_records_are_named_and_the_run_goes_on() {
    let bench = bench();
    let text = std::fs::read_to_string(bench.at(FILE)).unwrap();
    let mut entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    // Every second picture cannot be read, and two entries are none.
    for entry in entries.iter().step_by(2) {
        std::fs::write(bench.at("drawn/images").join(entry["image"].as_str().unwrap()), "no picture")
            .unwrap();
    }
    entries.insert(5, serde_json::json!({"image": "x.png"}));
    entries.insert(9, serde_json::json!({"image": 7, "caption": "x"}));
    std::fs::write(bench.at(FILE), serde_json::to_vec(&entries).unwrap()).unwrap();
    let run = start(&bench, &[]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let told = broken(&run);
    for words in ["entry 5", "entry 9", "not a picture"] {
        assert!(told.iter().any(|message| message.contains(words)), "{words}: {told:#?}");
    }
    let (mut steps, mut waited) = (0, 0.0);
    for event in run.events() {
        if let Body::Metrics(metrics) = event.body {
            steps += 1;
            let (data, step) = (metrics.data_seconds, metrics.step_seconds);
            assert!((0.0..=step).contains(&data), "{data} s of a step of {step} s");
            waited += data;
        }
    }
    assert!(steps == 4 && waited > 0.0, "{steps} steps waited {waited} s for data");
}

#[test]
fn too_many_broken_records_in_a_row_stop_the_run() {
    let bench = bench();
    let text = std::fs::read_to_string(bench.at(FILE)).unwrap();
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for entry in &entries {
        std::fs::write(bench.at("drawn/images").join(entry["image"].as_str().unwrap()), "no picture")
            .unwrap();
    }
    let run = start(&bench, &["--max_broken_records", "7"]);
    let (outcome, step, problem) = run.wait_end();
    assert_eq!((outcome, step), (Outcome::Failed, 0), "{problem}");
    assert!(
        problem.contains("8 broken samples one after the other") && problem.contains(".png"),
        "{problem}"
    );
}
