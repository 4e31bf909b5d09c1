//! Settings of the optimiser, seen in what they do to the weights.

use run::events::Outcome;

use crate::support::{Bench, Run, kill};
use crate::training::{bench, losses, start};

/// A run of so many steps on one rank, with its last weights.
fn trained(bench: &Bench, name: &str, steps: &str, more: &[&str]) -> Run {
    let all = [&["--max_steps", steps, "--warmup_steps", "0", "--save_steps", "1"][..], more].concat();
    let run = start(bench, name, &all);
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
    run
}

fn weights(run: &Run, step: u64, tensor: &str) -> Vec<f32> {
    let file = run::checkpoint::folder(&run.0, step).join("model.safetensors");
    models::WeightsFile::open(&file).unwrap().floats(tensor).unwrap()
}

/// Of each part one matrix: decays, and is trained by both losses or the caption's.
const PARTS: [&str; 3] = [
    "visual.transformer.resblocks.0.mlp.c_fc.weight",
    "text.transformer.resblocks.0.mlp.c_fc.weight",
    "text_decoder.resblocks.0.mlp.c_fc.weight",
];

#[test]
fn rates_and_decays_of_the_towers_are_alive() {
    let bench = bench();
    let plain = trained(&bench, "plain", "2", &[]);
    let differs =
        |run: &Run, step: u64| PARTS.map(|part| weights(run, step, part) != weights(&plain, step, part));
    // A rate of nothing leaves a tower where it was.
    for (flag, stays) in [("--visual_lr", [true, false, false]), ("--text_lr", [false, true, true])] {
        let run = trained(&bench, flag.trim_start_matches('-'), "2", &[flag, "0"]);
        let stayed = PARTS.map(|part| weights(&run, 1, part) == weights(&run, 2, part));
        assert_eq!(stayed, stays, "{flag}");
    }
    // The first update has the same gradients: only what decays otherwise differs.
    for (flag, expected) in [("--visual_wd", [true, false, false]), ("--text_wd", [false, true, true])] {
        let run = trained(&bench, flag.trim_start_matches('-'), "1", &[flag, "5"]);
        assert_eq!(differs(&run, 1), expected, "{flag}");
    }
    // Nothing but what is behind the last block keeps its rate.
    let run = trained(&bench, "layers", "2", &["--layer_decay", "0"]);
    assert!(PARTS.iter().all(|part| weights(&run, 1, part) == weights(&run, 2, part)));
    assert_ne!(weights(&run, 1, "visual.proj"), weights(&run, 2, "visual.proj"));
    assert_ne!(weights(&run, 1, "logit_scale"), weights(&run, 2, "logit_scale"));
}

#[test]
fn updates_while_backward_runs_give_the_same_curve_and_keep_no_gradients() {
    let bench = bench();
    let steps = ["--max_steps", "20", "--save_steps", "7", "--max_grad_norm", "0"];
    let curve = |run: &Run| run.history().curves["loss"].values.clone();
    let finished = |name: &str, more: &[&str]| {
        let run = start(&bench, name, &[&steps[..], more].concat());
        let (outcome, _, message) = run.wait_end();
        assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
        run
    };
    let eight = ["--per_device_train_batch_size", "8"];
    let one = finished("one", &eight);
    // Two ranks sum first and update afterwards.
    let two = finished("two", &["--nproc_per_node", "2"]);
    let held = |run: &Run| run.history().layout.unwrap().ranks[0].measured.unwrap().gradients;
    assert_eq!(held(&one), 0);
    assert!(held(&two) > 0);
    let predicted = one.history().layout.unwrap().ranks[0].predicted;
    assert_eq!(predicted.gradients, 0);
    for more in [&["--gradient_accumulation_steps", "2"][..], &["--recompute"]] {
        let name = more[0].trim_start_matches('-');
        let rows = if name == "recompute" { "8" } else { "4" };
        let run = finished(name, &[more, &["--per_device_train_batch_size", rows]].concat());
        for (a, b) in curve(&run).iter().zip(curve(&one)) {
            assert!((a - b).abs() <= 1e-4 * b, "{name}: {a} instead of {b}");
        }
    }
    for (a, b) in curve(&one).iter().zip(curve(&two)) {
        assert!((a - b).abs() <= 1e-4 * b, "{a} instead of {b}");
    }
}

#[test]
fn moments_in_bfloat16_go_on_from_a_checkpoint_to_the_bit() {
    let bench = bench();
    let steps = ["--max_steps", "20", "--save_steps", "7", "--adam_moments", "bfloat16"];
    let whole = start(&bench, "whole", &steps);
    assert_eq!(whole.wait_end().0, Outcome::Completed);
    let run = start(&bench, "killed", &steps);
    run.wait_for("a step after a checkpoint", |b| matches!(b, run::events::Body::Metrics(m) if m.step > 8));
    run.ranks().into_iter().for_each(kill);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert_eq!(losses(&run), losses(&whole));
    // Half of what float32 takes, as was predicted.
    let place = whole.history().layout.unwrap().ranks[0].clone();
    let (measured, predicted) = (place.measured.unwrap(), place.predicted);
    assert!(measured.optimiser.abs_diff(measured.parameters) * 100 < measured.parameters, "{measured:?}");
    assert!(measured.optimiser.abs_diff(predicted.optimiser) * 50 < predicted.optimiser, "{measured:?}");
}
