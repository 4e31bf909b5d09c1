//! Deaths: of ranks, of the supervisor, of files.

use run::events::{Body, Outcome, State};
use run::history::Status;

use crate::rank::Script;
use crate::support::{Bench, kill, wait, words};

#[test]
fn a_dead_rank_is_replaced_from_the_last_checkpoint() {
    let bench = Bench::new(&Script { save_every: 3, die_at: Some((7, 6)), ..Script::default() });
    let run = bench.start("a", &[]);
    assert_eq!(run.wait_end(), (Outcome::Completed, 10, String::new()));
    let events = run.events();
    let error = events.iter().find_map(|e| match &e.body {
        Body::Error(n) => Some(n.clone()),
        _ => None,
    });
    let error = error.unwrap();
    assert_eq!((error.kind.as_str(), error.rank, error.step), ("rank_died", Some(0), Some(7)));
    assert!(
        error.message.contains("SIGABRT") && error.message.contains("last words of attempt 0"),
        "{error:?}"
    );
    assert!(!error.message.contains('\x1b'), "{error:?}");
    assert!(events.iter().any(|e| matches!(e.body, Body::State { state: State::Restarting, .. })));
    let resumed = events.iter().find(|e| matches!(e.body, Body::Resumed { from_step: 6 })).unwrap();
    assert_eq!(resumed.attempt, 1);
    let history = run.history();
    assert_eq!(history.attempt, 1);
    assert_eq!(history.curves["loss"].steps, (1..=10).collect::<Vec<_>>());
}

#[test]
fn without_a_checkpoint_it_begins_again() {
    let bench = Bench::new(&Script { die_at: Some((3, 9)), ..Script::default() });
    let run = bench.start("a", &[]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    assert!(run.events().iter().any(|e| matches!(e.body, Body::Resumed { from_step: 0 })));
    assert_eq!(run.history().curves["loss"].steps, (1..=10).collect::<Vec<_>>());
}

#[test]
fn restarts_are_counted_and_end() {
    let bench = Bench::new(&Script { die_at: Some((3, 9)), bad_attempts: 99, ..Script::default() });
    let run = bench.start("a", &["--max_restarts", "2"]);
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("2 restarts") && message.contains("SIGKILL"), "{message}");
    let deaths: Vec<f64> =
        run.events().iter().filter(|e| matches!(e.body, Body::Error(_))).map(|e| e.t).collect();
    assert_eq!(deaths.len(), 3);
    assert!(deaths[1] - deaths[0] >= 1.0 && deaths[2] - deaths[1] >= 2.0, "no backoff: {deaths:?}");
}

#[test]
fn the_same_error_twice_ends_the_run() {
    let fail_at = Some((3, "bad_thing".to_owned(), true));
    let bench = Bench::new(&Script { fail_at, bad_attempts: 99, ..Script::default() });
    let run = bench.start("a", &["--max_restarts", "50"]);
    let (outcome, step, message) = run.wait_end();
    assert_eq!((outcome, step, run.history().attempt), (Outcome::Failed, 3, 1));
    assert!(message.contains("same error") && message.contains("bad_thing at 3"), "{message}");
}

#[test]
fn an_error_that_will_not_pass_ends_the_run_at_once() {
    let bench = Bench::new(&Script { fail_at: Some((3, "no_data".to_owned(), false)), ..Script::default() });
    let output = bench.cocaptain(&Bench::train("a", &["--headless"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("no_data at 3"), "{}", words(&output));
    assert_eq!((bench.run("a").wait_end().0, bench.run("a").history().attempt), (Outcome::Failed, 0));
}

#[test]
fn another_build_of_the_engine_is_refused() {
    let bench = Bench::new(&Script { build: Some("other".to_owned()), ..Script::default() });
    let run = bench.start("a", &[]);
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("make build"), "{message}");
}

#[test]
fn edits_come_back_after_a_crash() {
    let bench = Bench::new(&Script { total: 1_000_000, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_running();
    bench.good(&["save", "a"]);
    bench.good(&["set", "a", "learning_rate=0.25"]);
    let edit = run.history().marks[0].step;
    run.wait_for("a step with the edit", |b| matches!(b, Body::Metrics(m) if m.step > edit + 5));
    kill(run.ranks()[0]);
    let resumed = run.wait_for("another attempt", |b| matches!(b, Body::Resumed { .. }));
    let Body::Resumed { from_step } = resumed.body else { unreachable!() };
    assert!(from_step <= edit);
    run.wait_for("the edit's step again", |b| matches!(b, Body::Metrics(m) if m.step > edit));
    wait("steps of the new attempt", || {
        let events = run.events();
        let new = events.iter().filter(|e| e.attempt == 1);
        let rates: Vec<(u64, f64)> = new
            .filter_map(|e| match &e.body {
                Body::Metrics(m) => Some((m.step, m.learning_rate)),
                _ => None,
            })
            .collect();
        let (before, after): (Vec<_>, Vec<_>) = rates.iter().partition(|(step, _)| *step <= edit);
        if after.is_empty() {
            return None;
        }
        assert!(before.iter().all(|(_, rate)| *rate == 5e-4), "{before:?}");
        assert!(after.iter().all(|(_, rate)| *rate == 0.25), "{after:?}");
        Some(())
    });
    bench.good(&["stop", "a"]);
    run.wait_end();
}

#[test]
fn a_killed_supervisor_leaves_no_orphans_and_the_run_goes_on() {
    let bench = Bench::new(&Script { total: 1_000_000, save_every: 5, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_for("a checkpoint", |b| matches!(b, Body::Checkpoint { .. }));
    assert_eq!(run.ranks().len(), 1);
    kill(run.supervisor());
    wait("the ranks' end", || (!run::lock::is_taken(&run.0)).then_some(()));
    assert_eq!(run.history().status(&run.0), Status::Crashed);
    assert!(bench.good(&["runs"]).contains("crashed"));

    // A torn line, as a crash in the middle of a write leaves it; a stale socket link.
    let mut torn = std::fs::OpenOptions::new().append(true).open(run.0.events()).unwrap();
    std::io::Write::write_all(&mut torn, b"{\"v\":1,\"t\":17").unwrap();
    assert!(run.0.control().symlink_metadata().is_ok());
    bench.script(&Script { total: run.history().step + 20, ..Script::default() });
    bench.good(&["train", "--resume", "a"]);
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let steps = &run.history().curves["loss"].steps;
    assert_eq!(*steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert_eq!(run.history().attempt, 1);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let bench = Bench::new(&Script { save_every: 5, ..Script::default() });
    let run = bench.start("a", &["--max_steps", "10"]);
    run.wait_end();
    std::fs::write(run::checkpoint::folder(&run.0, 10).join("trainer.json"), "torn").unwrap();
    bench.script(&Script { total: 12, ..Script::default() });
    bench.good(&["train", "--resume", "a", "--set", "max_steps=12"]);
    wait("the second end", || (run.history().step == 12).then_some(()));
    assert_eq!(run.wait_end().0, Outcome::Completed);
    let events = run.events();
    assert!(events.iter().any(|e| matches!(&e.body, Body::Warning(n) if n.kind == "damaged_checkpoint")));
    assert!(events.iter().any(|e| matches!(e.body, Body::Resumed { from_step: 5 })));
}

#[test]
fn one_supervisor_for_one_run() {
    let bench = Bench::new(&Script { total: 1_000_000, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_running();
    for arguments in [["supervise", run.path()].as_slice(), &["train", "--resume", "a"]] {
        let output = bench.cocaptain(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains("alive already"), "{}", words(&output));
    }
    let twice = bench.cocaptain(&Bench::train("a", &[]));
    assert!(words(&twice).contains("a run of this name already"), "{}", words(&twice));
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
}

#[test]
fn whoever_stops_a_dying_run_is_obeyed() {
    let bench = Bench::new(&Script { die_at: Some((3, 9)), bad_attempts: 99, ..Script::default() });
    let run = bench.start("a", &["--max_restarts", "1000"]);
    run.wait_for("a restart", |b| matches!(b, Body::State { state: State::Restarting, .. }));
    bench.good(&["stop", "a"]);
    assert_eq!(run.wait_end().0, Outcome::Stopped);
}

#[test]
fn a_stale_socket_goes_only_under_the_lock() {
    let bench = Bench::new(&Script { total: 1_000_000, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_running();
    let socket = std::fs::read_link(run.0.control()).unwrap();
    // Whoever does not get the lock leaves the socket of the one who has it alone.
    assert!(!bench.cocaptain(&["supervise", run.path()]).status.success());
    assert_eq!(std::fs::read_link(run.0.control()).unwrap(), socket);
    bench.good(&["save", "a"]);
    kill(run.supervisor());
    wait("the ranks' end", || (!run::lock::is_taken(&run.0)).then_some(()));
    assert!(socket.exists(), "nobody was there to remove it");
    bench.good(&["train", "--resume", "a"]);
    assert!(!socket.exists(), "the stale socket is still there");
    let new = std::fs::read_link(run.0.control()).unwrap();
    assert!(new != socket && new.exists());
    bench.good(&["stop", "a"]);
    run.wait_end();
}

#[test]
fn the_control_socket_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(&Script { total: 1_000_000, ..Script::default() });
    let run = bench.start("a", &[]);
    let socket = std::fs::read_link(run.0.control()).unwrap();
    let folder = socket.parent().unwrap();
    assert!(socket.as_os_str().len() < 108);
    assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
    // A folder that others may enter is not used, and nothing is started.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = bench.cocaptain(&Bench::train("b", &[]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(words(&refused).contains("mode 0700"), "{}", words(&refused));
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let fail_at = Some((3, "\x1b]52;c;aGk=\x07 bad".to_owned(), false));
    let bench = Bench::new(&Script { fail_at, ..Script::default() });
    let output = bench.cocaptain(&Bench::train("a", &["--headless"]));
    let hostile = |b: &u8| (*b < 0x20 && *b != b'\n') || *b == 0x7f;
    assert!(!output.stdout.iter().chain(&output.stderr).any(hostile), "{:?}", words(&output));
    assert!(words(&output).contains("bad at 3"));
    // Its last words have a colour code, which the workbench leaves out.
    let run = bench.run("a");
    run.wait_end();
    assert!(std::fs::read_to_string(run.0.rank_log(0)).unwrap().contains("\x1b[31mlast words"));
    let mut terminal = crate::terminal::Terminal::open(&bench, &["attach", "a"]);
    terminal.see("failed");
    // The log pane, enlarged; then its next source, until it is the rank's.
    terminal.press("\t\t\r");
    wait("the rank's log", || {
        if terminal.text().contains("│last words of attempt 0") {
            return Some(());
        }
        terminal.press("\x1b[C");
        std::thread::sleep(std::time::Duration::from_millis(300));
        None
    });
    terminal.kill();
}
