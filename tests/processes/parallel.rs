//! Several ranks of the real engine: one curve however the batch is divided, and what happens when a rank goes.

use run::events::{Body, Outcome};

use crate::support::{Bench, Run, kill};
use crate::training::{bench, start};

const STEPS: [&str; 4] = ["--max_steps", "20", "--save_steps", "7"];

pub fn curve(run: &Run) -> Vec<f64> {
    let curve = &run.history().curves["loss"];
    assert_eq!(curve.steps, (1..=20).collect::<Vec<_>>());
    curve.values.clone()
}

pub fn finished(bench: &Bench, name: &str, more: &[&str]) -> Run {
    let run = start(bench, name, &[&STEPS[..], more].concat());
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
    run
}

/// All values of two curves within a relative distance.
pub fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
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

/// A model with everything that can be divided, a pooler with keys of another width included, and a number of heads
/// that no two ranks share evenly.
const TINY: &str = r#"{
    "embed_dim": 48, "custom_text": true,
    "vision_cfg": {"image_size": 48, "patch_size": 12, "width": 32, "layers": 2, "head_width": 8,
        "attentional_pool": true, "attn_pooler_heads": 3, "attn_pooler_queries": 9, "output_tokens": true},
    "text_cfg": {"context_length": 20, "vocab_size": 144, "width": 48, "heads": 3, "layers": 2, "embed_cls": true,
        "output_tokens": true},
    "multimodal_cfg": {"context_length": 20, "vocab_size": 144, "width": 48, "heads": 3, "layers": 2}
}"#;

/// A bench with [`TINY`], and the flags to use it.
pub fn tiny() -> (Bench, [&'static str; 2]) {
    let bench = bench();
    std::fs::write(bench.at("tiny.json"), TINY).unwrap();
    (bench, ["--model_config", "tiny.json"])
}

/// A mesh for the identity tests, and how it divides state and batch: flags, samples of one rank, state by stages.
struct OnMesh {
    name: &'static str,
    flags: &'static [&'static str],
    /// Samples of one rank and micro-step: 8 in all.
    rows: &'static str,
}

const MESHES: [OnMesh; 12] = [
    OnMesh { name: "dp2", flags: &["--nproc_per_node", "2"], rows: "4" },
    OnMesh { name: "micro", flags: &["--gradient_accumulation_steps", "2"], rows: "4" },
    OnMesh { name: "stage1", flags: &["--nproc_per_node", "2", "--sharding", "stage1"], rows: "4" },
    OnMesh { name: "stage2", flags: &["--nproc_per_node", "2", "--sharding", "stage2"], rows: "4" },
    OnMesh { name: "stage3", flags: &["--nproc_per_node", "2", "--sharding", "stage3"], rows: "4" },
    OnMesh {
        name: "stage3-micro-recompute",
        flags: &[
            "--nproc_per_node",
            "2",
            "--sharding",
            "stage3",
            "--gradient_accumulation_steps",
            "2",
            "--recompute",
        ],
        rows: "2",
    },
    OnMesh {
        name: "stage2-dp2",
        flags: &["--nproc_per_node", "4", "--sharding", "stage2", "--sharding_parallel_degree", "2"],
        rows: "2",
    },
    OnMesh { name: "recompute", flags: &["--recompute"], rows: "8" },
    OnMesh { name: "tp2", flags: &["--nproc_per_node", "2", "--tensor_parallel_degree", "2"], rows: "8" },
    OnMesh {
        name: "tp2-stage3",
        flags: &["--nproc_per_node", "4", "--tensor_parallel_degree", "2", "--sharding", "stage3"],
        rows: "4",
    },
    OnMesh {
        name: "tp2-micro-recompute",
        flags: &[
            "--nproc_per_node",
            "2",
            "--tensor_parallel_degree",
            "2",
            "--gradient_accumulation_steps",
            "2",
            "--recompute",
        ],
        rows: "4",
    },
    OnMesh { name: "tp2-dp2", flags: &["--nproc_per_node", "4", "--tensor_parallel_degree", "2"], rows: "4" },
];

#[test]
fn one_curve_on_every_mesh_and_every_rank_has_its_share() {
    let (bench, model) = tiny();
    let whole = finished(&bench, "whole", &[&model[..], &["--per_device_train_batch_size", "8"]].concat());
    let alone = whole.history().layout.unwrap().ranks[0].measured.unwrap();
    let expected = curve(&whole);
    for OnMesh { name, flags, rows } in MESHES {
        let flags = [&model[..], flags, &["--per_device_train_batch_size", rows]].concat();
        let run = finished(&bench, name, &flags);
        assert_close(name, &curve(&run), &expected, 1e-4);
        let layout = run.history().layout.unwrap();
        assert_foretold(&bench, &run, &flags);
        let (sharding, tensor) = (u64::from(layout.sharding), u64::from(layout.tensor_parallel));
        // Rows: ranks that share matrices have the same, together they are the whole batch.
        let mut batch = [0; 8];
        for place in &layout.ranks {
            let own = usize::try_from(place.first_row).unwrap()..;
            batch[own].iter_mut().take(usize::try_from(place.rows).unwrap()).for_each(|seen| *seen += 1);
        }
        assert_eq!(batch, [tensor; 8], "{name}: rows");
        // Bytes: what was measured is what was predicted, and near the plain share of it.
        for place in &layout.ranks {
            let measured = place.measured.unwrap();
            let near = |what: &str, bytes: u64, of: u64, percent: u64| {
                let far = bytes.abs_diff(of) * 100 > of * percent;
                assert!(!far, "{name}: {what}: {bytes} instead of {of} bytes");
            };
            near("parameters", measured.parameters, place.predicted.parameters, 2);
            near("gradients", measured.gradients, place.predicted.gradients, 2);
            near("optimiser", measured.optimiser, place.predicted.optimiser, 2);
            if tensor == 1 {
                let share = |from: &str| if layout.stage.as_str() >= from { sharding } else { 1 };
                near("parameters", measured.parameters, alone.parameters / share("stage3"), 2);
                near("gradients", measured.gradients, alone.gradients / share("stage2"), 2);
                near("optimiser", measured.optimiser, alone.optimiser / share("stage1"), 2);
            }
        }
        // Ranks that share matrices have all of them together, and only norms, positions and the like twice.
        let state = |rank: usize| layout.ranks[rank].measured.unwrap();
        if tensor == 2 && sharding == 1 {
            let both = state(0).parameters + state(1).parameters;
            assert!(both >= alone.parameters && both * 10 < alone.parameters * 13, "{name}: {both}");
        }
    }
}

/// What was said before the start, by `--dry_run` (the settings tab has the same), is what was measured then, on every rank:
/// the state, and what forward leaves for backward.
fn assert_foretold(bench: &Bench, run: &Run, flags: &[&str]) {
    let name = run.path();
    let layout = run.history().layout.unwrap();
    let said = forecast(bench, flags);
    assert_eq!(said.len(), layout.ranks.len(), "{name}: the forecast");
    for ((rank, place), said) in (0..).zip(&layout.ranks).zip(said) {
        let near = |what: &str, said: f64, measured: u64| {
            let far = (said - measured as f64).abs() / measured as f64;
            eprintln!(
                "{name}, rank {rank}: {what}: {said} forecast, {measured} measured, {:.1} % apart",
                far * 100.0
            );
            assert!(far < 0.1, "{name}, rank {rank}: {what}: {said} forecast, {measured} measured");
        };
        near("state", said[0], place.measured.unwrap().sum());
        near("activations", said[1], activations(run, rank));
        near("activations in the layout", place.activations.unwrap() as f64, activations(run, rank));
    }
}

/// The most that forward left for backward on a rank.
fn activations(run: &Run, rank: u32) -> u64 {
    let of_rank = run.events().into_iter().filter_map(|e| match e.body {
        Body::Memory(m) if m.rank == rank => m.activations,
        _ => None,
    });
    of_rank.max().unwrap()
}

/// Bytes that each rank will hold between two steps, and of activations, as `--dry_run` says.
fn forecast(bench: &Bench, more: &[&str]) -> Vec<[f64; 2]> {
    let printed = bench.good(&crate::training::flags("dry", &[more, &["--dry_run"]].concat()));
    let bytes = |text: &str| {
        let (number, unit) = text.split_once(' ').unwrap();
        let power = ["B", "KiB", "MiB", "GiB"].iter().position(|u| *u == unit).unwrap();
        number.parse::<f64>().unwrap() * 1024_f64.powi(i32::try_from(power).unwrap())
    };
    let ranks =
        printed.lines().filter_map(|line| line.split_once(", together ")?.1.split_once("; activations "));
    ranks.map(|(state, activations)| [bytes(state), bytes(activations)]).collect()
}

#[test]
fn what_a_step_keeps_is_foretold_in_every_precision_and_recompute_saves_most_of_it() {
    let bench = bench();
    let finished = |name: &str, more: &[&str]| {
        let flags = [&["--per_device_train_batch_size", "8", "--max_steps", "6"][..], more].concat();
        let run = start(&bench, name, &flags);
        let (outcome, _, message) = run.wait_end();
        assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
        assert_foretold(&bench, &run, &flags);
        let place = run.history().layout.unwrap().ranks[0].clone();
        (activations(&run, 0), place.activations.unwrap())
    };
    let whole = finished("whole", &[]);
    let again = finished("again", &["--recompute"]);
    assert!(again.0 * 3 < whole.0 && again.1 * 3 < whole.1, "{again:?} instead of {whole:?}");
    let lower = finished("bf16", &["--bf16"]);
    let lower_again = finished("bf16-again", &["--bf16", "--recompute"]);
    assert!(lower_again.0 * 3 < lower.0, "{lower_again:?} instead of {lower:?}");
    let locked = finished("locked", &["--lock_image"]);
    assert!(locked.0 < whole.0, "{locked:?} instead of {whole:?}");
    finished("two", &["--nproc_per_node", "2", "--tensor_parallel_degree", "2", "--bf16"]);
}

#[test]
fn a_checkpoint_of_any_mesh_goes_on_on_any_other() {
    let (bench, model) = tiny();
    let eight = ["--per_device_train_batch_size", "8"];
    let whole = curve(&finished(&bench, "whole", &[model, eight].concat()));
    let stage3: &[&str] = &["--nproc_per_node", "2", "--sharding", "stage3"];
    let four: &[&str] = &["--nproc_per_node", "4", "--tensor_parallel_degree", "2", "--sharding", "stage1"];
    let tensor: &[&str] = &["--nproc_per_node", "2", "--tensor_parallel_degree", "2"];
    let one: &[&str] = &["--nproc_per_node", "1", "--tensor_parallel_degree", "1", "--sharding", "unset"];
    let sharded = [stage3, &["--tensor_parallel_degree", "1"]].concat();
    for (name, before, rows, after, rows_after) in [
        ("2-to-1", stage3, "4", one, "8"),
        ("1-to-4", &[][..], "8", four, "4"),
        ("tp2-to-sharding2", tensor, "8", &sharded[..], "4"),
    ] {
        // Both halves follow the schedule of the whole.
        let begin = [&STEPS[..], &model, before, &["--per_device_train_batch_size", rows]].concat();
        let run = start(&bench, name, &begin);
        run.wait_for("a step after a checkpoint", |b| matches!(b, Body::Metrics(m) if m.step >= 8));
        bench.good(&["stop", name]);
        assert_eq!(run.wait_end().0, Outcome::Stopped, "{name}");
        let resume = ["train", "--resume", name, "--per_device_train_batch_size", rows_after];
        bench.good(&[&resume[..], after].concat());
        run.wait_for("the end", |b| matches!(b, Body::Finished { outcome: Outcome::Completed, .. }));
        run.wait_end();
        assert_close(name, &curve(&run), &whole, 1e-4);
        // The last checkpoint is a model like any other.
        let weights = run.path().to_owned() + "/checkpoints/latest/model.safetensors";
        let inspected = bench.good(&["models", "inspect", &weights]);
        assert!(inspected.contains("text_decoder.text_projection"), "{inspected}");
    }
}

#[test]
fn a_locked_tower_stays_as_it_is_on_every_mesh() {
    let (bench, model) = tiny();
    let curve_of = |name: &str, rows: &str, more: &[&str]| {
        let flags = [&model[..], &["--lock_image", "--per_device_train_batch_size", rows], more].concat();
        let run = finished(&bench, name, &flags);
        let weights = |step: u64, tensor: &str| {
            let file = run::checkpoint::folder(&run.0, step).join("model.safetensors");
            models::WeightsFile::open(&file).unwrap().floats(tensor).unwrap()
        };
        for (tensor, locked) in
            [("visual.conv1.weight", true), ("text.cls_emb", false), ("visual.proj", true)]
        {
            assert_eq!(weights(7, tensor) == weights(20, tensor), locked, "{name}: {tensor}");
        }
        curve(&run)
    };
    let whole = curve_of("whole", "8", &[]);
    for (name, rows, mesh) in [
        ("dp2", "4", &["--nproc_per_node", "2"][..]),
        ("stage3", "4", &["--nproc_per_node", "2", "--sharding", "stage3"]),
        ("tp2", "8", &["--nproc_per_node", "2", "--tensor_parallel_degree", "2", "--recompute"]),
    ] {
        assert_close(name, &curve_of(name, rows, mesh), &whole, 1e-4);
    }
}

#[test]
fn a_divided_model_is_put_together_to_be_looked_at() {
    let (bench, model) = tiny();
    let look = ["--eval_steps", "10", "--sample_steps", "10", "--predictions"];
    let figures = |name: &str, more: &[&str]| {
        let run = finished(&bench, name, &[&look[..], &model, more].concat());
        let held_out = run.events().into_iter().filter_map(|e| match e.body {
            Body::Evaluation(e) if e.task == "held_out" => Some(e.result.unwrap()["loss"]),
            _ => None,
        });
        held_out.collect::<Vec<f64>>()
    };
    let whole = figures("whole", &["--per_device_train_batch_size", "8"]);
    assert_eq!(whole.len(), 2);
    let mesh = ["--nproc_per_node", "4", "--tensor_parallel_degree", "2", "--sharding", "stage3"];
    assert_close("divided", &figures("divided", &mesh), &whole, 1e-4);
}

#[test]
fn parts_that_nothing_trains_are_left_alone_on_every_mesh() {
    let (bench, model) = tiny();
    for weight in ["--coca_contrastive_loss_weight", "--coca_caption_loss_weight"] {
        let trained = |mesh: &str, rows: &str, more: &[&str]| {
            let name = format!("{}-{mesh}", weight.trim_start_matches('-'));
            let few = ["--max_steps", "4", weight, "0", "--per_device_train_batch_size", rows];
            let run = start(&bench, &name, &[&model[..], &few, more].concat());
            let (outcome, _, message) = run.wait_end();
            assert_eq!(outcome, Outcome::Completed, "{name}: {message}");
            let curve = run.history().curves["loss"].values.clone();
            assert_eq!(curve.len(), 4, "{name}");
            curve
        };
        let alone = trained("alone", "8", &[]);
        for OnMesh { name, flags, rows } in MESHES {
            assert_close(&format!("{weight}, {name}"), &trained(name, rows, flags), &alone, 1e-4);
        }
    }
}

#[test]
fn a_dead_rank_is_named_within_a_second_and_the_run_goes_on() {
    let (bench, model) = tiny();
    let four = ["--nproc_per_node", "4", "--tensor_parallel_degree", "2", "--sharding", "stage3"];
    for (name, rows, mesh) in [("dp2", "4", &["--nproc_per_node", "2"][..]), ("tp2-stage3", "4", &four)] {
        let flags = ["--per_device_train_batch_size", rows, "--collective_timeout", "60"];
        let flags = [&model[..], &flags, mesh].concat();
        let whole = curve(&finished(&bench, name, &flags));
        // The rule is a second; a machine that is busy with other tests may be slower now and then.
        let mut best = f64::MAX;
        for round in 0..3 {
            let run = start(&bench, &format!("{name}-{round}"), &[&STEPS[..], &flags].concat());
            run.wait_for("a step after a checkpoint", |b| matches!(b, Body::Metrics(m) if m.step >= 8));
            let mut ranks = run.ranks();
            ranks.sort_unstable();
            let killed = crate::support::now();
            kill(ranks[1]);
            let died = |b: &Body| matches!(b, Body::Error(n) if n.kind == "rank_died" && n.rank == Some(1));
            let named = run.wait_for("the death's name", died).t;
            // The others' end is the supervisor's doing, who writes down when all are gone.
            let over = |b: &Body| matches!(b, Body::State { state: run::events::State::Restarting, .. });
            let over = run.wait_for("the others' end", over).t;
            best = best.min(named.max(over) - killed);
            run.wait_for("a new attempt", |b| matches!(b, Body::Resumed { .. }));
            assert_eq!(run.wait_end().0, Outcome::Completed);
            assert_eq!(curve(&run), whole, "{name}");
            eprintln!("{name}: named after {:.3} s, all gone after {:.3} s", named - killed, over - killed);
            if best < 1.0 {
                break;
            }
        }
        assert!(best < 1.0, "{name}: {best} s");
    }
}

#[test]
fn a_hung_rank_is_found_named_and_the_run_goes_on() {
    let bench = bench();
    let two = ["--nproc_per_node", "2", "--collective_timeout", "10"];
    let whole = curve(&finished(&bench, "whole", &two));
    let run = start(&bench, "a", &[&STEPS[..], &two].concat());
    run.wait_for("a checkpoint", |b| matches!(b, Body::Checkpoint { .. }));
    let mut ranks = run.ranks();
    ranks.sort_unstable();
    let hung = rustix::process::Pid::from_raw(ranks[1]).unwrap();
    rustix::process::kill_process(hung, rustix::process::Signal::STOP).unwrap();
    let named =
        run.wait_for("the hung rank's name", |b| matches!(b, Body::Error(n) if n.kind == "rank_hung"));
    let Body::Error(notice) = named.body else { unreachable!() };
    assert_eq!(notice.rank, Some(1));
    assert!(notice.message.contains("rank 1 did not answer"), "{}", notice.message);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let errors = run.events().into_iter().filter(|e| matches!(e.body, Body::Error(_))).count();
    assert_eq!(errors, 1, "it is named once");
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
