//! The command line: its words, its exit statuses, what it checks before it starts anything.

use crate::rank::Script;
use crate::support::{Bench, words};

fn bench() -> Bench {
    Bench::new(&Script::default())
}

/// The seed's own command line, everything after `run_pretrain_dist.py`.
const SEED: &str = r#"
--dataloader_num_workers=2
--per_device_train_batch_size 16
--per_device_eval_batch_size 8
--model paddlemix/CoCa/CoCa-ViT-L-14-laion2B-s13B-b90k
--warmup_steps 2000
--learning_rate 5e-4
--weight_decay 0.05
--adam_beta1 0.9
--adam_beta2 0.999
--adam_epsilon 1e-8
--max_grad_norm 5.0
--num_train_epochs 200
--tensor_parallel_degree 1
--sharding_parallel_degree 8
--sharding stage2
--bf16 False
--output_dir ./output
--logging_steps 1
--do_train
--disable_tqdm True
--save_steps 50000
--local_loss true
--gather_with_grad true
--pretrained_text_model CoCa-ViT-L-14-laion2B-s13B-b90k
--classification_eval imagenet/val
"#;

#[test]
fn the_seeds_command_line_is_understood() {
    let bench = bench();
    let mut arguments = vec!["train"];
    arguments.extend(SEED.split_whitespace());
    arguments.push("--dry_run");
    let output = bench.cocaptain(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("no training data is named"), "{}", words(&output));

    // The launcher's ranks and the data set besides: nothing is in the way.
    std::fs::create_dir_all(bench.at("imagenet/val")).unwrap();
    arguments.extend(["--train_data", "data"]);
    let one = words(&bench.cocaptain(&arguments));
    assert!(one.contains("= 1 ranks cannot be divided") && one.contains("= 8: make"), "{one}");
    arguments.extend(["--nproc_per_node", "8", "--pretrained", "False"]);
    let text = bench.good(&arguments);
    assert!(text.contains("sharding = \"stage2\""), "{text}");
}

#[test]
fn a_dry_run_tells_what_each_rank_will_hold() {
    let bench = bench();
    let train = ["train", "--train_data", "data", "--model_config", "coca_demo", "--dry_run"];
    let mesh = ["--nproc_per_node", "4", "--sharding", "stage3", "--sharding_parallel_degree", "2"];
    let text = bench.good(&[&train[..], &mesh].concat());
    assert!(text.contains("4 ranks = data parallel 2 x sharding 2 x tensor parallel 1, stage3"), "{text}");
    assert!(
        text.contains("rank 3 (node 0, data 1, shard 1, tensor 0): samples 48..64; parameters"),
        "{text}"
    );
    let heads = ["--nproc_per_node", "8", "--tensor_parallel_degree", "8"];
    let refused = bench.cocaptain(&[&train[..], &heads].concat());
    assert!(
        words(&refused).contains("4 attention heads of the image tower: make it at most 4"),
        "{}",
        words(&refused)
    );
    // The same without a dry run: nothing is started.
    let refused = bench.cocaptain(&[&train[..5], &heads].concat());
    assert!(!refused.status.success() && !bench.at("runs").exists(), "{}", words(&refused));
}

#[test]
fn flags_and_files_make_settings() {
    let bench = bench();
    std::fs::write(bench.at("c.toml"), "learning_rate = 0.5\nweight_decay = 0.25\n").unwrap();
    let mut arguments =
        vec!["train", "--config", "c.toml", "--train_data", "data", "--model_config", "coca_demo"];
    arguments.extend(["--learning-rate", "3e-4", "--do_train", "--max_steps", "-1", "--pretrained=False"]);
    arguments.push("--dry_run");
    let text = bench.good(&arguments);
    let settings = run::settings::Settings::from_toml(&text, std::path::Path::new("out")).unwrap();
    assert_eq!((settings.learning_rate, settings.weight_decay), (3e-4, 0.25));
    assert_eq!((settings.max_steps, settings.pretrained), (None, false));
    assert_eq!(settings.train_data.unwrap(), bench.at("data").to_str().unwrap(), "paths are absolute");
    assert!(!bench.at("runs").exists(), "a dry run makes nothing");
}

#[test]
fn wrong_usage_has_status_2_and_a_suggestion() {
    let bench = bench();
    for (arguments, says) in [
        (["train", "--learnin_rate", "1"].as_slice(), "--learning_rate"),
        (&["train", "--learning_rate", "fast"], "a number from 0 to 10"),
        (&["trian"], "train"),
        (&["train", "--headless", "--attach"], "cannot be used with"),
    ] {
        let output = bench.cocaptain(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(says), "{arguments:?}: {}", words(&output));
    }
}

#[test]
fn what_would_end_a_run_at_its_start_is_said_before() {
    let bench = bench();
    std::fs::write(bench.at("file"), "").unwrap();
    std::fs::write(bench.at("bad.toml"), "seed = 1\nlearning_rat = 1\n").unwrap();
    for (more, says) in [
        (["--train_data", "nowhere"].as_slice(), "no such file or folder"),
        (&["--classification_eval", "nowhere"], "classification_eval: "),
        (&["--output_dir", "file/runs"], "is no folder"),
        (&["--output_dir", "/proc/runs"], "cannot be made"),
        (&["--fp16", "--device", "cpu"], "fp16 is for GPUs"),
        (&["--nproc_per_node", "4", "--sharding_parallel_degree", "3"], "4 ranks cannot be divided"),
        (&["--name", "a/b"], "no name for a run"),
        (&["--model_config", "coca_Foo"], "coca_Foo"),
        (&["--model", "CoCa-ViT-B-32-laion2B-s13B-b90k"], "models fetch"),
        (&["--config", "bad.toml"], "bad.toml:2: there is no setting 'learning_rat'"),
    ] {
        let output = bench.cocaptain(&Bench::train("a", more));
        assert_eq!(output.status.code(), Some(1), "{more:?}: {}", words(&output));
        assert!(words(&output).contains(says), "{more:?}: {}", words(&output));
    }
    assert!(!bench.at("runs").exists(), "something was made");
}

#[test]
fn a_missing_engine_leaves_nothing_behind() {
    let bench = bench();
    std::fs::remove_file(bench.at("engine")).unwrap();
    let output = bench.cocaptain(&Bench::train("a", &[]));
    assert!(output.status.code() == Some(1) && words(&output).contains("is no file"), "{}", words(&output));
    assert!(!bench.at("runs/a").exists());
    let doctor = bench.cocaptain(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!((doctor.status.code(), &report["good"]), (Some(1), &serde_json::Value::Bool(false)));
}

#[test]
fn a_finished_run_needs_more_steps() {
    let bench = bench();
    bench.start("a", &[]).wait_end();
    let log = std::fs::read_to_string(bench.at("runs/a/logs/supervisor.log")).unwrap();
    assert!(log.contains("checkpoint of step 10") && log.contains("completed at step 10"), "{log}");
    let output = bench.cocaptain(&["train", "--resume", "a"]);
    assert!(words(&output).contains("--set max_steps=N"), "{}", words(&output));
    let output = bench.cocaptain(&["train", "--resume", "a", "--set", "seed=3"]);
    assert!(words(&output).contains("seed cannot be changed"), "{}", words(&output));
    let output = bench.cocaptain(&["train", "--resume", "b"]);
    assert!(words(&output).contains("there is no run 'b'"), "{}", words(&output));
}

#[test]
fn the_demo_dataset_is_drawn_and_trained_on() {
    let bench = bench();
    let draw =
        ["data", "demo", "drawn", "--train_pictures", "40", "--val_pictures", "5", "--test_pictures", "5"];
    let said = bench.good(&[&draw[..], &["--zero_shot_pictures", "1"]].concat());
    assert!(said.contains("pictures"), "{said}");
    let output = bench.cocaptain(&["demo", "--train_data", "drawn", "--name", "d"]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert!(words(&output).contains("completed at step 10"), "{}", words(&output));
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let bench = bench();
    let mut child = bench.spawn(&["config", "default"]);
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.good(&["completions", shell]).contains("cocaptain"));
    }
    assert!(bench.good(&["man"]).contains(".TH cocaptain"));
}
