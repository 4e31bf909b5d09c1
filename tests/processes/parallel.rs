//! Several ranks of the real engine: one curve however the batch is divided, and what happens when a rank goes.

use run::events::{Body, Outcome};

use crate::support::{Bench, Run, kill};
use crate::training::{bench, start};

const STEPS: [&str; 4] = ["--max_steps", "20", "--save_steps", "7"];

fn curve(run: &Run) -> Vec<f64> {
    let curve = &run.history().curves["loss"];
    assert_eq!(curve.steps, (1..=20).collect::<Vec<_>>());
    curve.values.clone()
}

fn finished(bench: &Bench, name: &str, more: &[&str]) -> Run {
    let run = start(bench, name, &[&STEPS[..], more].concat());
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
    run
}

/// All values of two curves within a relative distance.
fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    for (step, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs(), "{name}, step {}: {a} instead of {b}", step + 1);
    }
}

#[test]
fn one_curve_however_the_batch_is_divided() {
    let bench = bench();
    // Flags later on the line win: batches of 8 for one rank, of 4 for two ranks or micro-steps.
    let whole = curve(&finished(&bench, "whole", &["--per_device_train_batch_size", "8"]));
    let two = ["--nproc_per_node", "2"];
    let micro = ["--gradient_accumulation_steps", "2"];
    let dp2 = finished(&bench, "dp2", &two);
    assert_close("dp2", &curve(&dp2), &whole, 1e-4);
    let layout = dp2.history().layout.unwrap();
    assert_eq!((layout.data_parallel, layout.rows[0].ranks.len()), (2, 2));
    let reports: std::collections::BTreeSet<u32> = dp2.history().memory.keys().copied().collect();
    assert_eq!(reports, [0, 1].into(), "every rank reports its memory");
    assert_close("accumulation", &curve(&finished(&bench, "micro", &micro)), &whole, 1e-4);
    let both = [&two[..], &micro, &["--per_device_train_batch_size", "2"]].concat();
    assert_close("dp2 and accumulation", &curve(&finished(&bench, "both", &both)), &whole, 1e-4);
    // bfloat16 has 8 bits: near, and not the same.
    let lower = curve(&finished(&bench, "bf16", &["--per_device_train_batch_size", "8", "--bf16"]));
    assert_close("bf16", &lower, &whole, 0.05);
    assert_ne!(lower, whole);
}

#[test]
fn parts_that_nothing_trains_are_left_alone_on_every_rank() {
    let bench = bench();
    for weight in ["--coca_contrastive_loss_weight", "--coca_caption_loss_weight"] {
        let name = weight.trim_start_matches('-');
        let alone =
            finished(&bench, &format!("{name}-1"), &[weight, "0", "--per_device_train_batch_size", "8"]);
        let dp2 = finished(&bench, &format!("{name}-2"), &[weight, "0", "--nproc_per_node", "2"]);
        assert_close(name, &curve(&dp2), &curve(&alone), 1e-4);
    }
}

#[test]
fn a_dead_rank_is_named_and_the_run_goes_on() {
    let bench = bench();
    let two = ["--nproc_per_node", "2", "--collective_timeout", "60"];
    let whole = curve(&finished(&bench, "whole", &two));
    let run = start(&bench, "a", &[&STEPS[..], &two].concat());
    run.wait_for("a step after a checkpoint", |b| matches!(b, Body::Metrics(m) if m.step >= 8));
    let mut ranks = run.ranks();
    ranks.sort_unstable();
    assert_eq!(ranks.len(), 2);
    kill(ranks[1]);
    run.wait_for(
        "the death's name",
        |b| matches!(b, Body::Error(n) if n.kind == "rank_died" && n.rank == Some(1)),
    );
    run.wait_for("a new attempt", |b| matches!(b, Body::Resumed { .. }));
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert_eq!(curve(&run), whole);
}

#[test]
fn a_pause_is_no_hang_and_requests_reach_every_rank() {
    let bench = bench();
    let two = ["--nproc_per_node", "2", "--collective_timeout", "10", "--max_steps", "100000"];
    let run = start(&bench, "a", &two);
    run.wait_running();
    bench.good(&["pause", "a"]);
    std::thread::sleep(std::time::Duration::from_secs(12));
    bench.good(&["resume", "a"]);
    bench.good(&["set", "a", "learning_rate=1e-5"]);
    let at = run.history().marks[0].step;
    run.wait_for("a step with the edit", |b| matches!(b, Body::Metrics(m) if m.step > at + 2));
    bench.good(&["stop", "a"]);
    let (outcome, step, _) = run.wait_end();
    assert_eq!((outcome, run.history().attempt), (Outcome::Stopped, 0));
    // One rank goes on where two stopped.
    let more = (step + 2).to_string();
    let one = ["train", "--resume", "a", "--nproc_per_node", "1", "--per_device_train_batch_size", "8"];
    bench.good(&[&one[..], &["--max_steps", &more]].concat());
    run.wait_for("the end", |b| matches!(b, Body::Finished { outcome: Outcome::Completed, .. }));
}
