//! A full disk: the run waits, says so, and goes on when there is room, with every event.

use std::process::{Command, Stdio};
use std::time::Duration;

use run::control::{Reply, Request};
use run::events::{Body, Outcome, State};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::rank::Script;
use crate::support::{Bench, Run, wait, words};
use crate::training;

fn status(run: &Run) -> (u64, String) {
    match run::control::ask(&run.0, Request::Status, Duration::from_secs(60)) {
        Ok(Reply::Done { step, message }) => (step, message.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

fn warned(run: &Run, kind: &str) -> bool {
    run.events().iter().any(|e| matches!(&e.body, Body::Warning(n) if n.kind == kind))
}

/// The supervisor may write no more: what a full disk, a quota and a limit have in common.
#[test]
fn events_that_cannot_be_written_pause_the_run_until_they_can() {
    let bench = Bench::new(&Script { total: 1_000_000, step_ms: 5, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_running();
    let supervisor = Pid::from_raw(run.supervisor());
    let limit = |bytes| {
        let before = prlimit(supervisor, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
        assert_eq!(before.maximum, None, "this test needs an unlimited file size to begin with");
    };
    limit(Some(std::fs::metadata(run.0.events()).unwrap().len() + 200));
    let step = wait("the pause", || Some(status(&run)).filter(|(_, word)| word == "paused")).0;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(status(&run).0, step, "it went on although nothing can be written");
    let written = run.history().step;
    assert!(written < step, "the disk was not full");
    assert!(!warned(&run, "disk_full"));

    limit(None);
    run.wait_for("steps after the pause", |b| matches!(b, Body::Metrics(m) if m.step > step));
    assert!(warned(&run, "disk_full") && warned(&run, "disk_room"));
    bench.good(&["stop", "a"]);
    let (outcome, last, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run.history().curves["loss"].steps, (1..=last).collect::<Vec<_>>(), "a step's event is lost");
    // Events that waited carry the time at which they happened.
    let times: Vec<f64> = run.events().iter().map(|e| e.t).collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// A small real file system, in a mount namespace of its own, so that nothing is left behind. Where the system lets
/// nobody mount (some containers), the limit of the test above fills the disk: it is run in this one's place.
#[test]
fn a_full_disk_pauses_the_run_until_there_is_room() {
    let bench = training::bench();
    if !within(&bench, "size=64m", "disk::on_a_small_disk") {
        events_that_cannot_be_written_pause_the_run_until_they_can();
    }
}

/// Runs an ignored test of this program with a small file system of its own at the bench's `disk`, in a mount namespace, so
/// that nothing is left behind; false where the system lets nobody mount (some containers).
pub fn within(bench: &Bench, options: &str, test: &str) -> bool {
    let disk = bench.at("disk");
    std::fs::create_dir(&disk).unwrap();
    let namespace: &[&str] =
        if rustix::process::geteuid().is_root() { &["-m"] } else { &["--map-root-user", "-m"] };
    let mount = format!("mount -t tmpfs -o {options} none '{}'", disk.display());
    let may = Command::new("unshare").args(namespace).args(["sh", "-c", &mount]).output();
    if !may.as_ref().is_ok_and(|o| o.status.success()) {
        println!("no file system can be mounted here: {may:?}");
        return false;
    }
    let me = std::env::current_exe().unwrap();
    let inner = format!(
        "{mount} && BENCH='{}' exec '{}' --ignored --exact --nocapture {test}",
        bench.folder.path().display(),
        me.display()
    );
    let output = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &inner])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && words(&output).contains("1 passed"), "{}", words(&output));
    true
}

#[test]
#[ignore = "runs in a mount namespace that another test makes"]
fn on_a_small_disk() {
    let bench = Bench::again(&std::env::var("BENCH").expect("started by hand"));
    let filler = bench.at("disk/filler");
    let fill = |leave: u64| {
        use std::io::Write;
        // The run writes, too: by small pieces, until no more is free.
        let mut file = std::fs::File::create(&filler).unwrap();
        while run::dir::free_bytes(&bench.at("disk")).unwrap() > leave && file.write_all(&[0; 4096]).is_ok() {
        }
    };
    let more = ["--output_dir", "disk/runs", "--max_steps", "100000", "--save_steps", "10"];
    let run = Run(run::dir::RunDir::at(bench.at("disk/runs/a")));
    training::start(&bench, "a", &[&more[..], &["--save_total_limit", "1"]].concat());
    run.wait_for("a checkpoint", |b| matches!(b, Body::Checkpoint { .. }));

    // Room for events, none for a checkpoint.
    fill(10 << 20);
    let is = |word: &str| wait(word, || (status(&run).1 == word).then_some(()));
    is("paused");
    run.wait_for(
        "the warning",
        |b| matches!(b, Body::Warning(n) if n.kind == "disk_full" && n.message.contains("free some space")),
    );
    let step = run.history().step;
    let kept = run::checkpoint::newest(&run.0).unwrap().1.step;
    // Nobody can bring it on while it is full; it says why.
    let refused = bench.cocaptain(&["resume", "a", "--output_dir", "disk/runs"]);
    assert!(words(&refused).contains("no room"), "{}", words(&refused));
    assert_eq!(run.history().step, step);
    assert_eq!(run::checkpoint::newest(&run.0).unwrap().1.step, kept, "the last checkpoint is lost");
    std::fs::remove_file(&filler).unwrap();
    is("running");
    run.wait_for(
        "the checkpoint that was due",
        |b| matches!(b, Body::Checkpoint { step: s, .. } if *s == step),
    );

    // No room for anything.
    fill(0);
    is("paused");
    let step = status(&run).0;
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(status(&run).0, step);
    std::fs::remove_file(&filler).unwrap();
    run.wait_for("later steps", |b| matches!(b, Body::Metrics(m) if m.step > step));
    assert!(warned(&run, "disk_room"));
    assert!(run.events().iter().any(|e| matches!(e.body, Body::State { state: State::Paused, .. })));
    bench.good(&["stop", "a", "--output_dir", "disk/runs"]);
    let (outcome, last, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run.history().curves["loss"].steps, (1..=last).collect::<Vec<_>>(), "a step's event is lost");
    for step in run::checkpoint::steps(&run.0) {
        run::checkpoint::verify(&run::checkpoint::folder(&run.0, step)).unwrap();
    }
}
