//! `cocaptain eval` with the real engine on a run's own data.

use std::collections::BTreeSet;

use run::events::{Body, Outcome};
use serde_json::Value;

use crate::support::{Bench, kill, wait};
use crate::terminal::Terminal;
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

    let two = |task: &str, more: &[&str]| eval(&[&[task, "--nproc_per_node", "2", "--fresh"], more].concat());
    let shared = two("zero-shot", &["--classification_eval", "drawn/zero_shot"]);
    for figure in ["top1", "top5", "n", "ci95"] {
        assert_eq!(shared[figure], first[figure], "{figure} of two processes");
    }
    let retrieval = eval(&["retrieval"]);
    let by_two = two("retrieval", &[]);
    for (figure, value) in retrieval.as_object().unwrap().iter().filter(|(_, v)| v.is_number()) {
        assert_eq!(by_two[figure], *value, "{figure} of two processes");
    }
    assert_eq!(retrieval["images"], 8.0);
    // Who looks at the result finds the rank of every picture and text.
    let place = bench.at(retrieval["result"].as_str().unwrap());
    for (file, way) in [("images.jsonl", "image_to_text"), ("texts.jsonl", "text_to_image")] {
        let text = std::fs::read_to_string(place.with_file_name(file)).unwrap();
        let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let first = all.iter().filter(|entry| entry["rank"] == 1).count();
        let share = first as f64 / all.len() as f64;
        let told = retrieval[format!("{way}_R@1")].as_f64().unwrap();
        assert!((share - told).abs() < 1e-12, "{file}: {share} {told}");
        assert!(all.iter().all(|entry| !entry["top"].as_array().unwrap().is_empty()), "{file}");
    }
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

/// A bench with a finished run `z`, whose engine takes its time to load while there is a file `slow`.
fn evaluated() -> Bench {
    let bench = bench();
    let run = start(&bench, "z", &["--max_steps", "3"]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let engine = std::fs::canonicalize(bench.at("engine")).unwrap();
    std::fs::remove_file(bench.at("engine")).unwrap();
    let (slow, engine) = (bench.at("slow").display().to_string(), engine.display().to_string());
    let wrapper = format!("#!/bin/sh\nwhile [ -e '{slow}' ]; do sleep 0.05; done\nexec '{engine}'\n");
    std::fs::write(bench.at("engine"), wrapper).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bench.at("engine"), mode).unwrap();
    bench
}

fn queue(bench: &Bench) -> Vec<Value> {
    serde_json::from_str(&bench.good(&["eval", "queue", "--json"])).unwrap()
}

/// Waits until an item of the queue is in this state.
fn until(bench: &Bench, id: usize, state: &str) -> Value {
    wait(&format!("item {id} {state}"), || {
        let entries = queue(bench);
        entries.into_iter().find(|e| e["id"] == id && e["state"] == state)
    })
}

/// The queue's runner, the evaluations below it: processes of the bench with this word among theirs.
fn processes(bench: &Bench, word: &str) -> Vec<i32> {
    let folder = bench.folder.path().canonicalize().unwrap().display().to_string();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let words = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = |pid: &i32| {
        let text = String::from_utf8_lossy(&words(pid)).into_owned();
        text.contains(&folder) && text.split('\0').any(|w| w == word)
    };
    pids.filter(ours).collect()
}

/// The process that started this one, while it lives.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The evaluation at work and its runner. What the evaluation starts has its words, too, until it is another program: only
/// the runner's own child counts.
fn at_work(bench: &Bench) -> Option<(i32, i32)> {
    let runners = processes(bench, "run-queue");
    let evaluations = processes(bench, "zero-shot").into_iter();
    evaluations.filter_map(|pid| Some((pid, parent(pid)?))).find(|(_, runner)| runners.contains(runner))
}

#[test]
fn a_queue_outlives_its_runner_and_items_are_cancelled() {
    let bench = evaluated();
    std::fs::write(bench.at("slow"), "").unwrap();
    let add = |task: &str| {
        let more: &[&str] = if task == "caption" { &["--beams", "2", "--max_len=8"] } else { &[] };
        let base = ["eval", task, "--model", "z", "--device", "cpu", "--threads", "1", "--queue"];
        bench.good(&[&base[..], more].concat())
    };
    assert!(add("zero-shot").contains("item 1"));
    add("retrieval");
    add("caption");
    until(&bench, 1, "running");
    let (evaluation, runner) = wait("the evaluation", || at_work(&bench));
    // Each item brought a runner; all but the first one leave.
    wait("one runner", || (processes(&bench, "run-queue") == [runner]).then_some(()));

    kill(runner);
    wait("the evaluation's end", || (!processes(&bench, "zero-shot").contains(&evaluation)).then_some(()));
    // Whoever looks at the queue finds work that nobody does, and starts another runner.
    until(&bench, 1, "running");
    let (_, next) = wait("the evaluation again", || at_work(&bench));
    assert_ne!(next, runner);

    // One that waits and one that is at work are cancelled.
    bench.good(&["eval", "queue", "--cancel", "2"]);
    bench.good(&["eval", "queue", "--cancel", "1"]);
    until(&bench, 1, "cancelled");
    until(&bench, 2, "cancelled");
    std::fs::remove_file(bench.at("slow")).unwrap();
    let done = until(&bench, 3, "done");
    let folder = bench.at(done["folder"].as_str().unwrap());
    let json =
        |name: &str| serde_json::from_slice::<Value>(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    assert_eq!(json("result.json")["how"], "beams 2, max_len 8");
    assert_eq!(json("request.json")["decoding"]["method"]["beams"], 2);
    let pictures = std::fs::read_to_string(folder.join("pictures.jsonl")).unwrap();
    assert_eq!(pictures.lines().count(), 8, "a line a picture, for who looks at the result");
    wait("the runner's leave", || processes(&bench, "run-queue").is_empty().then_some(()));

    bench.good(&["eval", "queue", "--remove", "1"]);
    let words = crate::support::words(&bench.cocaptain(&["eval", "queue", "--remove", "9"]));
    assert!(words.contains("no item 9"), "{words}");
    // An item that cannot be done fails with its reason, and the next one is done.
    bench.good(&["eval", "zero-shot", "--model", "z", "--classification_eval", "nowhere", "--queue"]);
    assert!(until(&bench, 4, "failed")["message"].as_str().unwrap().contains("nowhere"));
    for file in ["r.csv", "r.md", "r.svg", "r.png"] {
        bench.good(&["eval", "results", "-o", file]);
        assert!(std::fs::metadata(bench.at(file)).unwrap().len() > 50, "{file}");
    }
    assert!(bench.good(&["eval", "results"]).contains("| z-step-3 |"));
}

#[test]
fn the_evaluate_tab_starts_one_and_finds_its_result_later() {
    let bench = evaluated();
    std::fs::write(bench.at("slow"), "").unwrap();
    let mut terminal = Terminal::open(&bench, &["attach", "z"]);
    terminal.see("completed");
    terminal.press("5");
    terminal.see("nothing is in the queue");
    terminal.press("n");
    terminal.see("48 classes, 48 pictures");
    // Rubbish is refused at its field.
    terminal.press("\x1b[B\x1b[B\x1b[B");
    terminal.press("no/such/folder");
    terminal.see("1 to mend");
    terminal.press("\r");
    terminal.see("no/such/folder: No such file");
    terminal.press("\x15");
    terminal.see("✓ Enter puts it into the queue");
    terminal.press("\x1b[B\x1b[B\x1b[B\x1b[D");
    terminal.see("there is no NVIDIA device");
    terminal.press("\x1b[D");
    terminal.see("✓ Enter puts it into the queue");
    terminal.press("\r");
    terminal.see("running");
    terminal.leave();

    std::fs::remove_file(bench.at("slow")).unwrap();
    until(&bench, 1, "done");
    let mut terminal = Terminal::open(&bench, &["attach", "z"]);
    terminal.see("completed");
    terminal.press("5");
    terminal.see("z-step-3");
    terminal.see("drawn/zero_shot");
    terminal.press("\r");
    terminal.see("worst first");
    terminal.see("top-5 scores");
    // The prompts of the worst class: the model is loaded, and measures while one types.
    terminal.press("t");
    terminal.see("its mean probability");
    terminal.press("\r an odd {}");
    wait("another probability", || {
        let line = terminal.text();
        let line = line.lines().find(|l| l.contains("its mean probability"))?.to_owned();
        let change = line.split_whitespace().rev().find(|w| w.starts_with(['+', '-']))?.to_owned();
        (change != "+0.0" && change != "-0.0").then_some(())
    });
    // Two escapes at once would be another key.
    terminal.press("\x1b");
    terminal.see("c whose");
    terminal.press("\x1b");
    terminal.see("worst first");
    terminal.press("\x1b");
    terminal.see("newest first");
    terminal.leave();
}
