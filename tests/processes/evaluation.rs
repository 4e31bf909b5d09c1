//! `cocaptain eval` with the real engine on a run's own data.

use std::collections::BTreeSet;

use run::events::{Body, Outcome};
use serde_json::Value;

use crate::training::{bench, losses, start};

#[test]
fn evaluations_agree_with_the_runs_own_and_go_on_where_they_stopped() {
    let bench = bench();
    let run = start(&bench, "z", &["--max_steps", "3", "--predictions"]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let of_run = run.wait_for(
        "the run's own zero-shot figures",
        |b| matches!(b, Body::Evaluation(e) if e.task == "zero_shot" && e.result.is_some()),
    );
    let Body::Evaluation(of_run) = of_run.body else { unreachable!() };
    let of_run = of_run.result.unwrap();
    let eval = |words: &[&str]| -> Value {
        let base = ["--model", "z", "--device", "cpu", "--threads", "1", "--json"];
        let text = bench.good(&[&["eval"][..], words, &base].concat());
        serde_json::from_str(&text).unwrap()
    };
    let zero_shot = || eval(&["zero-shot", "--classification_eval", "drawn/zero_shot", "--fp16", "False"]);
    let first = zero_shot();
    assert_eq!(first["n"].as_f64().unwrap(), of_run["n"]);
    assert!((first["top1"].as_f64().unwrap() - of_run["top1"]).abs() < 1e-12, "{first} {of_run:?}");
    assert!((first["top5"].as_f64().unwrap() - of_run["top5"]).abs() < 1e-12, "{first} {of_run:?}");

    // Half of the answers are gone, as after an interruption: the rest is asked again, with the same result.
    let folder = bench.at(first["result"].as_str().unwrap());
    let answers = folder.with_file_name("answers.jsonl");
    let lines = std::fs::read_to_string(&answers).unwrap();
    let half: Vec<&str> = lines.lines().take(lines.lines().count() / 2).collect();
    std::fs::write(&answers, half.join("\n")).unwrap();
    assert_eq!(zero_shot(), first);

    let retrieval = eval(&["retrieval"]);
    assert_eq!(retrieval["images"], 8.0);
    let recall = |k: u32| retrieval[format!("text_to_image_R@{k}")].as_f64().unwrap();
    assert!(recall(1) <= recall(5) && recall(5) <= recall(10) && recall(10) == 1.0, "{retrieval}");

    let caption = eval(&["caption", "--greedy", "--max_len", "8"]);
    assert_eq!(caption["n"], 8);
    let again =
        bench.good(&["eval", "caption", "--predictions", "runs/z/predictions.jsonl", "--data", "drawn"]);
    assert!(again.contains("8 pictures"), "{again}");
}

#[test]
fn evaluating_every_few_steps_leaves_the_losses_as_they_are() {
    let bench = bench();
    let train = |name: &str, more: &[&str]| {
        let mut all = vec!["train", "--name", name, "--train_data", "drawn", "--model_config", "coca_demo"];
        all.extend(["--tokenizer", "dataset", "--per_device_train_batch_size", "4", "--threads", "1"]);
        all.extend(["--device", "cpu", "--eval_samples", "8", "--max_steps", "7"]);
        all.extend(more);
        bench.good(&all);
        let run = bench.run(name);
        assert_eq!(run.wait_end().0, Outcome::Completed);
        run
    };
    let plain = train("plain", &["--eval_steps", "0", "--sample_steps", "0"]);
    let set = ["--classification_eval", "drawn/zero_shot"];
    let watched = train("watched", &[&["--eval_steps", "2", "--sample_steps", "3"], &set[..]].concat());
    assert_eq!(losses(&plain), losses(&watched));

    let history = watched.history();
    let top1 = &history.curves["zero_shot.top1"];
    assert_eq!(top1.steps, [2, 4, 6, 7], "every eval_steps and at the end");
    assert!(top1.values.iter().all(|x| (0.0..=1.0).contains(x)));
    let steps: BTreeSet<u64> = history.samples.keys().map(|(step, _)| *step).collect();
    assert_eq!(steps, BTreeSet::from([3, 6, 7]));
    let images = |step| history.samples.iter().filter(move |((s, _), _)| *s == step).map(|(_, s)| &s.image);
    assert!(images(3).eq(images(7)) && images(3).count() == 8, "the pictures are fixed");
}
