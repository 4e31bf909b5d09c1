//! The real engine on a tiny model: what the scripted rank cannot prove.

use std::path::PathBuf;

use run::events::{Body, Outcome};

use crate::rank::Script;
use crate::support::{Bench, Run, kill};

/// A bench with the real engine and a small drawn dataset.
pub fn bench() -> Bench {
    let bench = Bench::new(&Script::default());
    let engine = PathBuf::from(env!("CARGO_BIN_EXE_cocaptain")).with_file_name("cocaptain-engine");
    assert!(engine.is_file(), "{} is missing: run `make build`", engine.display());
    std::fs::remove_file(bench.at("engine")).unwrap();
    std::os::unix::fs::symlink(engine, bench.at("engine")).unwrap();
    let draw =
        ["data", "demo", "drawn", "--train_pictures", "48", "--val_pictures", "8", "--test_pictures", "8"];
    bench.good(&[&draw[..], &["--zero_shot_pictures", "1"]].concat());
    bench
}

/// Starts a run of a few cheap steps, the same ones every time.
pub fn start(bench: &Bench, name: &str, more: &[&str]) -> Run {
    bench.good(&flags(name, more));
    bench.run(name)
}

/// Its command line.
pub fn flags<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["train", "--name", name, "--train_data", "drawn"];
    if !more.contains(&"--model") {
        all.extend(["--model_config", "coca_demo"]);
    }
    all.extend([
        "--tokenizer",
        "dataset",
        "--per_device_train_batch_size",
        "4",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]);
    all.extend(["--eval_steps", "0", "--sample_steps", "0", "--eval_samples", "8", "--warmup_steps", "3"]);
    all.extend(more);
    all
}

/// The loss of every step, to the bit.
pub fn losses(run: &Run) -> Vec<(u64, u64)> {
    let curve = &run.history().curves["loss"];
    curve.steps.iter().copied().zip(curve.values.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn killed_and_resumed_runs_equal_the_uninterrupted_one_to_the_bit() {
    let bench = bench();
    let steps = ["--max_steps", "30", "--save_steps", "7"];
    let whole = start(&bench, "whole", &steps);
    assert_eq!(whole.wait_end().0, Outcome::Completed);
    let expected = losses(&whole);
    assert_eq!(expected.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());

    // Once the rank is killed and replaced, once the supervisor is killed and the run resumed by hand.
    let run = start(&bench, "killed", &steps);
    run.wait_for("a step after a checkpoint", |b| matches!(b, Body::Metrics(m) if m.step > 8));
    run.ranks().into_iter().for_each(kill);
    run.wait_for("a new attempt", |b| matches!(b, Body::Resumed { .. }));
    run.wait_for("a step after another checkpoint", |b| matches!(b, Body::Metrics(m) if m.step > 15));
    kill(run.supervisor());
    crate::support::wait("the rank's end", || (!run::lock::is_taken(&run.0)).then_some(()));
    bench.good(&["train", "--resume", "killed"]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert_eq!(losses(&run), expected);
}

#[test]
fn a_run_that_was_paused_equals_the_one_that_was_not_to_the_bit() {
    let bench = bench();
    let steps = ["--max_steps", "200", "--save_steps", "0", "--predictions", "false"];
    let whole = start(&bench, "whole", &steps);
    assert_eq!(whole.wait_end().0, Outcome::Completed);
    let run = start(&bench, "paused", &steps);
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 2));
    let said = bench.good(&["pause", "paused"]);
    let at = run.history().step;
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(said.contains("paused at step") && run.history().step == at && at < 200, "{said}, {at}");
    bench.good(&["resume", "paused"]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert_eq!(losses(&run), losses(&whole));
}

#[test]
fn a_live_edit_takes_effect_and_a_stop_saves() {
    let bench = bench();
    let run = start(&bench, "a", &["--max_steps", "100000", "--save_steps", "0"]);
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 4));
    let said = bench.good(&["set", "a", "learning_rate=1e-5"]);
    assert!(said.contains("applied at step"), "{said}");
    let at = run.history().marks[0].step;
    let after = run.wait_for("a step with it", |b| matches!(b, Body::Metrics(m) if m.step > at));
    let Body::Metrics(m) = after.body else { unreachable!() };
    assert!((m.learning_rate - 1e-5).abs() < 1e-7, "{}", m.learning_rate);
    bench.good(&["pause", "a"]);
    bench.good(&["resume", "a"]);
    bench.good(&["stop", "a"]);
    let (outcome, step, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run::checkpoint::newest(&run.0).unwrap().1.step, step);
}

#[test]
fn a_loss_that_is_not_finite_is_not_learned_from() {
    let bench = bench();
    let run = start(&bench, "a", &["--max_steps", "100000", "--save_steps", "3", "--max_restarts", "2"]);
    run.wait_for("a checkpoint", |b| matches!(b, Body::Checkpoint { .. }));
    // In float32 this weight is infinite.
    bench.good(&["set", "a", "coca_caption_loss_weight=1e300"]);
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("NaN or infinite"));
    let notices = run.history().notices;
    let error = notices.iter().find(|n| n.notice.kind == "non_finite_loss").unwrap();
    let bad = error.notice.step.unwrap();
    assert!(error.error && error.notice.rank == Some(0));
    let at = run.history().marks[0].step;
    assert!(bad > at, "the edit took effect at {at}, the loss broke at {bad}");
    let last = run::checkpoint::newest(&run.0).unwrap().1.step;
    assert!(last <= at, "nothing is saved after step {at}, yet there is a checkpoint of {last}");

    // With the weight taken back it goes on as if nothing had been.
    let steps = (last + 4).to_string();
    bench.good(&["train", "--resume", "a", "--coca_caption_loss_weight", "2", "--max_steps", &steps]);
    run.wait_for("the end", |b| matches!(b, Body::Finished { outcome: Outcome::Completed, .. }));
    assert!(run.history().curves["loss"].values.iter().all(|loss| loss.is_finite()));
}

#[test]
fn a_resumed_run_goes_on_without_the_checkpoint_that_it_came_from() {
    let bench = bench();
    let few = ["--max_steps", "2", "--save_steps", "0", "--save_total_limit", "1"];
    let run = start(&bench, "a", &few);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    bench.good(&["train", "--resume", "a", "--max_steps", "8", "--save_steps", "2"]);
    run.wait_for("the end", |b| matches!(b, Body::Finished { step: 8, .. }));
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert!(!run::checkpoint::steps(&run.0).contains(&2) || run::checkpoint::best(&run.0) == Some(2));
    let last = run::checkpoint::newest(&run.0).unwrap().0;
    assert!(last.join("tokenizer.json").is_file());
}

/// The same weights see other numbers, and the checkpoint says which.
#[test]
fn pictures_are_normalised_as_the_model_says() {
    let bench = bench();
    let first = start(&bench, "first", &["--max_steps", "1", "--predictions", "false"]);
    first.wait_end();
    let config = |model: &std::path::Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(model.join("open_clip_config.json")).unwrap()).unwrap()
    };
    let step = |folder: &str, name: &str| {
        let run = start(&bench, name, &["--max_steps", "1", "--predictions", "false", "--model", folder]);
        assert_eq!(run.wait_end().0, Outcome::Completed);
        let saved = run::checkpoint::newest(&run.0).unwrap().0;
        (losses(&run), config(&saved)["preprocess_cfg"].clone())
    };
    let model = run::checkpoint::newest(&first.0).unwrap().0;
    let (clip, _) = step(model.to_str().unwrap(), "clip");

    let mut other = config(&model);
    let grey = serde_json::json!([0.5, 0.5, 0.5]);
    (other["preprocess_cfg"]["mean"], other["preprocess_cfg"]["std"]) = (grey.clone(), grey.clone());
    std::fs::write(model.join("open_clip_config.json"), other.to_string()).unwrap();
    let (changed, saved) = step(model.to_str().unwrap(), "grey");
    assert_ne!(changed, clip, "the pictures were normalised as before");
    assert_eq!((&saved["mean"], &saved["std"]), (&grey, &grey));
}
