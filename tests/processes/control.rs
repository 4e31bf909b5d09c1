//! Requests to a live run: acknowledged with a step, logged, safe from rude callers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use run::control::{Reply, Request};
use run::events::{Body, Outcome, State};
use run::settings::Value;

use crate::rank::Script;
use crate::support::{Bench, words};

fn endless() -> Script {
    Script { total: 1_000_000, step_ms: 5, ..Script::default() }
}

#[test]
fn a_run_from_start_to_end() {
    let bench = Bench::new(&Script { save_every: 4, ..Script::default() });
    let run = bench.start("a", &[]);
    assert_eq!(run.wait_end(), (Outcome::Completed, 10, String::new()));
    assert_eq!(run.history().curves["loss"].steps, (1..=10).collect::<Vec<_>>());
    assert_eq!(run::checkpoint::steps(&run.0), [4, 8, 10]);
    assert!(!run.0.control().exists(), "the socket is left behind");
    assert!(bench.good(&["runs"]).contains("completed"));
    let json: serde_json::Value = serde_json::from_str(&bench.good(&["runs", "--json"])).unwrap();
    assert_eq!((json[0]["name"].as_str(), json[0]["step"].as_u64()), (Some("a"), Some(10)));
}

#[test]
fn requests_are_acknowledged_with_their_step() {
    let bench = Bench::new(&endless());
    let run = bench.start("a", &[]);
    run.wait_running();
    let said = bench.good(&["set", "a", "learning_rate=1e-4", "weight-decay=0.5"]);
    assert!(said.contains("a: applied at step "), "{said}");
    let changed = run.wait_for("the edit's event", |b| matches!(b, Body::SettingChanged { .. }));
    let Body::SettingChanged { changes, previous, applied_at, .. } = changed.body else { unreachable!() };
    assert!(said.contains(&format!("step {applied_at}\n")), "{said} {applied_at}");
    assert_eq!(
        (&changes["learning_rate"], &previous["learning_rate"]),
        (&Value::Real(1e-4), &Value::Real(5e-4))
    );
    assert_eq!(run.settings().learning_rate, 1e-4, "config.toml has the new value");

    assert!(bench.good(&["pause", "a"]).contains("paused at step"));
    let paused_at = run.history().step;
    assert!(bench.good(&["runs"]).contains("paused"));
    assert!(bench.good(&["save", "a"]).contains(&format!("saved at step {paused_at}")));
    assert_eq!(run::checkpoint::steps(&run.0), [paused_at]);
    assert!(bench.good(&["resume", "a"]).contains(&format!("resumed at step {paused_at}")));
    run.wait_for("steps after the pause", |b| matches!(b, Body::Metrics(m) if m.step > paused_at));

    assert!(bench.good(&["stop", "a"]).contains("stopped at step"));
    let (outcome, step, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run::checkpoint::newest(&run.0).unwrap().1.step, step);
    let gone = bench.cocaptain(&["pause", "a"]);
    assert!(gone.status.code() == Some(1) && words(&gone).contains("--resume"), "{}", words(&gone));
}

#[test]
fn bad_edits_are_refused_with_the_rule() {
    let bench = Bench::new(&endless());
    let run = bench.start("a", &[]);
    run.wait_running();
    for (edit, status, says) in [
        ("learning_rate=fast", 2, "a number from 0 to 10"),
        ("learning_rat=1", 2, "did you mean 'learning_rate'"),
        ("seed=3", 1, "cannot be changed while the run goes on"),
        ("seed", 2, "key=value"),
    ] {
        let output = bench.cocaptain(&["set", "a", edit]);
        assert_eq!(output.status.code(), Some(status), "{edit}: {}", words(&output));
        assert!(words(&output).contains(says), "{edit}: {}", words(&output));
    }
    assert!(run.history().marks.is_empty());
    bench.good(&["stop", "a", "--now"]);
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert!(message.contains("at once"), "{message}");
}

#[test]
fn rude_callers_hold_up_nobody() {
    let bench = Bench::new(&endless());
    let run = bench.start("a", &[]);
    run.wait_running();
    let connect = || UnixStream::connect(run.0.control()).unwrap();
    // Never ends its line; goes in the middle of it; ends an endless line; does not read.
    let mut slow = connect();
    slow.write_all(b"{\"v\":1,").unwrap();
    connect().write_all(b"{\"v\"").unwrap();
    let mut long = connect();
    let _ = long.write_all(&vec![b'x'; (run::control::LONGEST_LINE + 10) as usize]);
    let mut deaf = connect();
    let status = b"{\"v\":1,\"id\":1,\"request\":{\"type\":\"status\"}}\n";
    deaf.write_all(&status.repeat(50)).unwrap();
    let idle: Vec<UnixStream> = (0..20).map(|_| connect()).collect();

    let mut talks = BufReader::new(connect());
    for (line, says) in [
        ("rubbish", "this is no request"),
        ("{\"v\":99,\"id\":7,\"request\":{\"type\":\"status\"}}", "version 1"),
        ("{\"v\":1,\"id\":8,\"request\":{\"type\":\"dance\"}}", "this is no request"),
        ("{\"v\":1,\"id\":9,\"request\":{\"type\":\"status\"}}", "\"id\":9,\"type\":\"done\""),
    ] {
        writeln!(talks.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        talks.read_line(&mut answer).unwrap();
        assert!(answer.contains(says), "{line}: {answer}");
    }
    let reply = run::control::ask(&run.0, Request::Pause, Duration::from_secs(60)).unwrap();
    assert!(matches!(reply, Reply::Done { .. }));
    run.wait_for("the pause", |b| matches!(b, Body::State { state: State::Paused, .. }));
    // The slow one is dropped in the end.
    slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(slow.read_to_end(&mut Vec::new()).unwrap(), 0);
    drop(idle);
    bench.good(&["stop", "a"]);
    run.wait_end();
}

#[test]
fn signals_stop_the_supervisor_cleanly() {
    use rustix::process::{Pid, Signal, kill_process};
    let bench = Bench::new(&endless());
    let run = bench.start("a", &[]);
    run.wait_running();
    let pid = Pid::from_raw(run.supervisor()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let step = run.history().step;
    run.wait_for("steps after SIGHUP", |b| matches!(b, Body::Metrics(m) if m.step > step + 3));
    kill_process(pid, Signal::TERM).unwrap();
    let (outcome, step, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run::checkpoint::newest(&run.0).unwrap().1.step, step);
}

#[test]
fn headless_follows_to_the_end_and_ctrl_c_stops() {
    use rustix::process::{Pid, Signal, kill_process};
    let bench = Bench::new(&Script { save_every: 5, ..Script::default() });
    let said = bench.good(&Bench::train("a", &["--headless"]));
    assert!(said.contains("checkpoint of step 5") && said.contains("completed at step 10"), "{said}");

    bench.script(&endless());
    let child = bench.spawn(&Bench::train("b", &["--headless"]));
    let run = bench.run("b");
    run.wait_running();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert!(words(&output).contains("stopped at step"), "{}", words(&output));
    assert_eq!(run.wait_end().0, Outcome::Stopped);
}
