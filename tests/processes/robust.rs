//! Run directories that are not as they should be, on the screen and at the trainer's side: full, read-only, deleted. Files that
//! are torn, huge or of a newer version are in `instrument.rs`, a full disk at the trainer's side in `disk.rs`.

use run::events::Body;

use crate::disk::within;
use crate::instrument::ended;
use crate::rank::Script;
use crate::support::{Bench, wait};
use crate::terminal::{Terminal, endless};

/// Tags, notes, exports and what is kept between two starts: none of it can be written, all of it is told.
fn nothing_can_be_written(bench: &Bench, what: &str) {
    let mut terminal = Terminal::open(bench, &["attach", "disk/runs/a", "--output_dir", "disk/runs"]);
    terminal.see("completed");
    terminal.see("contrastive_loss");
    terminal.press("r");
    terminal.see("by newest");
    terminal.press("t");
    terminal.see("tags of");
    terminal.press("good\r");
    terminal.see("cannot be written on");
    terminal.see(what);
    terminal.press("d1e");
    terminal.see("Enter write");
    terminal.press("\x15disk/x.svg\r");
    terminal.see("disk/x.svg");
    terminal.press("dI");
    terminal.see("images");
    terminal.press("d");
    // Panes whose shares cannot be kept are moved all the same.
    terminal.press("\x1b[1;5A\x1b[1;5A");
    terminal.see("contrastive_loss");
    terminal.leave();
}

#[test]
fn a_full_disk_under_the_workbench_is_told() {
    let bench = Bench::new(&Script::default());
    within(&bench, "size=1m", "robust::on_a_full_disk");
}

#[test]
#[ignore = "runs in a mount namespace that another test makes"]
fn on_a_full_disk() {
    use std::io::Write;
    let bench = Bench::again(&std::env::var("BENCH").expect("started by hand"));
    ended_on_the_disk(&bench);
    let mut file = std::fs::File::create(bench.at("disk/filler")).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    nothing_can_be_written(&bench, "No space left");
}

#[test]
fn a_read_only_disk_under_the_workbench_is_told() {
    let bench = Bench::new(&Script::default());
    within(&bench, "size=1m", "robust::on_a_read_only_disk");
}

#[test]
#[ignore = "runs in a mount namespace that another test makes"]
fn on_a_read_only_disk() {
    let bench = Bench::again(&std::env::var("BENCH").expect("started by hand"));
    ended_on_the_disk(&bench);
    let disk = bench.at("disk");
    let mounted = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap();
    assert!(mounted.success());
    nothing_can_be_written(&bench, "Read-only");
    // The trainer's side says so, too, and touches nothing.
    let resumed = bench.cocaptain(&["train", "--resume", "disk/runs/a", "--max_steps", "80"]);
    let words = crate::support::words(&resumed);
    assert!(!resumed.status.success() && words.contains("Read-only"), "{words}");
}

/// A run that ended, on the disk, where the workbench keeps its own things as well.
fn ended_on_the_disk(bench: &Bench) {
    let run = ended(bench, "a", 40);
    std::fs::create_dir_all(bench.at("disk/runs")).unwrap();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(run.path()).arg(bench.at("disk/runs/a")).status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(run.path()).unwrap();
    for own in ["state", "cache"] {
        std::fs::create_dir_all(bench.at("disk").join(own)).unwrap();
        let _ = std::fs::remove_dir_all(bench.at(own));
        std::os::unix::fs::symlink(bench.at("disk").join(own), bench.at(own)).unwrap();
    }
}

/// Whoever deletes a run wants it gone: it must not train on unseen, nor come back.
#[test]
fn a_run_that_is_deleted_under_its_supervisor_ends_and_its_viewer_says_so() {
    let (bench, run) = endless();
    let (supervisor, ranks) = (run.supervisor(), run.ranks());
    assert!(!ranks.is_empty());
    let terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    std::fs::remove_dir_all(run.0.path()).unwrap();
    terminal.see("stays");
    for pid in ranks.into_iter().chain([supervisor]) {
        let alive = |stat: String| !stat.contains(") Z ");
        wait("the end of the run's processes", || {
            (!std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(alive)).then_some(())
        });
    }
    assert!(!run.0.events().exists(), "it came back");
    terminal.leave();
}

/// Its events alone are gone: what it has learnt is saved.
#[test]
fn a_run_whose_events_are_deleted_saves_and_stops() {
    let (bench, run) = endless();
    let supervisor = run.supervisor();
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 3));
    std::fs::remove_file(run.0.events()).unwrap();
    wait("the end of the supervisor", || (!run::lock::is_taken(&run.0)).then_some(()));
    let log = std::fs::read_to_string(run.0.supervisor_log()).unwrap();
    assert!(log.contains("was deleted: the run saves and stops") && log.contains("stopped at step"), "{log}");
    assert!(
        !std::path::Path::new(&format!("/proc/{supervisor}/exe")).exists() || bench.at("runs/a").is_dir()
    );
}
