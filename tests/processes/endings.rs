//! Every way in which the workbench ends: the terminal is as it was before, and the run goes on. Signals, Ctrl-Z and panics
//! are in `terminal.rs` and in `tui::terminal`.

use std::time::Duration;

use run::events::Body;

use crate::support::{Bench, Run, kill, wait};
use crate::terminal::{Terminal, endless};

fn goes_on(run: &Run) {
    let seen = run.history().step;
    run.wait_for("later steps", |b| matches!(b, Body::Metrics(m) if m.step > seen));
}

fn gone(pid: i32) {
    wait("the workbench's end", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

fn end(bench: &Bench, run: &Run) {
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
}

#[test]
fn quit_and_ctrl_c_give_the_terminal_back_from_wherever_one_is() {
    let (bench, run) = endless();
    let script = "\"$COCAPTAIN\" attach a; echo status=$?; stty -a; sleep 600";
    // From the tab, from a popup, while a line is typed, after the first key of two.
    for before in ["", ":", "/", ";"] {
        for key in ["q", "\x03"] {
            if key == "q" && !before.is_empty() {
                continue;
            }
            let mut terminal = Terminal::shell(&bench, &["sh", "-c", script], (200, 60));
            terminal.taken(true);
            terminal.see("running");
            terminal.press(before);
            std::thread::sleep(Duration::from_millis(100));
            terminal.press(key);
            terminal.see("status=0");
            terminal.taken(false);
            terminal.see("goes on in the background");
            terminal.sane();
            assert!(!terminal.asked_for_mouse() && !terminal.pastes_in_brackets());
            terminal.kill();
        }
    }
    goes_on(&run);
    end(&bench, &run);
}

/// The shell that leads the session dies, as with a lost ssh connection: the system hangs the terminal up.
#[test]
fn the_workbench_ends_with_its_terminal_and_the_run_does_not() {
    let (bench, run) = endless();
    let script = "\"$COCAPTAIN\" attach a; sleep 600";
    let terminal = Terminal::shell(&bench, &["sh", "-c", script], (120, 40));
    terminal.taken(true);
    terminal.see("running");
    let workbench = terminal.workbench();
    kill(terminal.leader());
    gone(workbench);
    goes_on(&run);
    end(&bench, &run);
}

/// A shell between dies: whoever is behind it gets the terminal as it was.
#[test]
fn the_shell_behind_gets_a_tidy_terminal_when_the_one_between_is_killed() {
    let (bench, run) = endless();
    let mut terminal = Terminal::shell(&bench, &["bash", "--norc", "--noprofile", "-i"], (120, 40));
    terminal.see("ready>");
    terminal.press("sh -c '\"$COCAPTAIN\" attach a; true'\r");
    terminal.taken(true);
    terminal.see("running");
    let between = terminal.workbench();
    let children = std::fs::read_to_string(format!("/proc/{between}/task/{between}/children")).unwrap();
    let workbench: i32 = children.trim().parse().unwrap();
    kill(between);
    gone(workbench);
    terminal.taken(false);
    terminal.press("clear; stty -a\r");
    terminal.sane();
    terminal.press("exit\r");
    goes_on(&run);
    end(&bench, &run);
}

#[test]
fn somebody_who_looks_elsewhere_is_called_back() {
    let (bench, run) = endless();
    let script = "TERM_PROGRAM=WezTerm exec \"$COCAPTAIN\" attach a";
    let mut terminal = Terminal::shell(&bench, &["sh", "-c", script], (120, 40));
    terminal.see("running");
    assert!(terminal.written().contains("\x1b[?1004h"), "nobody asked who has the focus");
    // Another window gets the focus.
    terminal.press("\x1b[O");
    std::thread::sleep(Duration::from_millis(300));
    end(&bench, &run);
    terminal.see("stopped at step");
    wait("the notice", || terminal.written().contains("\x1b]9;cocaptain: a stopped at step").then_some(()));
    terminal.press("q");
    wait("the end of reports", || terminal.written().contains("\x1b[?1004l").then_some(()));
    // A terminal that may not know it is left alone.
    let (bench, run) = endless();
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    terminal.press("\x1b[O");
    end(&bench, &run);
    terminal.see("stopped at step");
    assert!(!terminal.written().contains("\x1b]9;") && !terminal.written().contains("\x1b[?1004h"));
    terminal.leave();
}
