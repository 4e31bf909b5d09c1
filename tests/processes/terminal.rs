//! The workbench in a real pty, on a live run of the real engine.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use run::events::{Body, Outcome};
use run::settings::Value;

use crate::rank::Script;
use crate::support::{Bench, wait, wait_or};
use crate::training;

/// `cocaptain` on a terminal of its own.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    /// All bytes that were written to it.
    written: Arc<Mutex<Vec<u8>>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// The terminal is gone when this is.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub fn open(bench: &Bench, arguments: &[&str]) -> Self {
        let like = bench.command(arguments);
        let mut command = CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        Self::start(bench, command, (160, 48))
    }

    /// A shell's script on a terminal, with the program's place in `$COCAPTAIN`.
    pub fn shell(bench: &Bench, shell: &[&str], size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(shell[0]);
        command.args(&shell[1..]);
        command.env("COCAPTAIN", bench.command(&[]).get_program());
        command.env("PS1", "ready> ");
        Self::start(bench, command, size)
    }

    fn start(bench: &Bench, mut command: CommandBuilder, (cols, rows): (u16, u16)) -> Self {
        let pty =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        command.cwd(bench.folder.path());
        command.env("TERM", "xterm-256color");
        // Nobody answers questions on this terminal.
        command.env("COCAPTAIN_IMAGES", "halfblocks");
        for (name, value) in bench.command(&[]).get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let cell = |n| std::num::NonZero::new(n).unwrap();
        let child = pty.slave.spawn_command(command).unwrap();
        let keys = pty.master.take_writer().unwrap();
        let mut output = pty.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cell(rows), cell(cols), 0)));
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (shown, kept) = (screen.clone(), written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                kept.lock().unwrap().extend(&bytes[..n]);
                shown.lock().unwrap().process(&bytes[..n]);
            }
        });
        Self { screen, written, keys, child, _master: pty.master }
    }

    /// Waits until the program has the terminal, or has given it back.
    pub fn taken(&self, taken: bool) {
        wait(&format!("the terminal taken: {taken}"), || {
            let screen = self.screen.lock().unwrap();
            let screen = screen.screen();
            (screen.alternate_screen() == taken && (taken || !screen.hide_cursor())).then_some(())
        });
    }

    /// The workbench's process, below the shell's.
    pub fn workbench(&self) -> i32 {
        let shell = self.child.process_id().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().expect("the shell has no child").parse().unwrap()
    }

    /// Whether the program asked for the mouse.
    pub fn asked_for_mouse(&self) -> bool {
        self.screen.lock().unwrap().screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Whether pasted text is to come in brackets.
    pub fn pastes_in_brackets(&self) -> bool {
        self.screen.lock().unwrap().screen().bracketed_paste()
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The process that the terminal began with.
    pub fn leader(&self) -> i32 {
        self.child.process_id().unwrap().try_into().unwrap()
    }

    /// Waits until lines are edited and echoed by the terminal again, as `stty -a` on it says.
    pub fn sane(&self) {
        wait_or(
            || format!("the terminal's own ways:\n{}", self.text()),
            || {
                let text = self.text();
                let words: Vec<&str> = text.split_whitespace().collect();
                (words.contains(&"icanon") && words.contains(&"echo")).then_some(())
            },
        );
    }

    /// Everything that was written to the terminal so far, escapes and all.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    pub fn see(&self, what: &str) {
        let told = || format!("{what:?} on the screen:\n{}", self.text());
        wait_or(told, || self.text().contains(what).then_some(()));
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// SIGKILL, as a lost machine would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Leaves by `q`; the terminal is as it was before.
    pub fn leave(mut self) {
        self.press("q");
        assert!(self.child.wait().unwrap().success());
        self.taken(false);
    }
}

#[test]
fn edit_leave_come_back_stop() {
    let bench = training::bench();
    let run = training::start(&bench, "a", &["--max_steps", "100000", "--save_steps", "0"]);
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 4));

    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    terminal.see("contrastive_loss");
    terminal.press("3");
    terminal.see("applies at once");
    terminal.press("/");
    terminal.press("learning_rate\r");
    terminal.see("/learning_rate");
    terminal.press("\r");
    terminal.see("Enter take over");
    // What breaks the rule is refused in the field.
    terminal.press("\x15eleven\r");
    terminal.see("✕ takes");
    terminal.press("\x151e-5\r");
    terminal.see("→ 1e-5");
    terminal.press("a");
    terminal.see("send these edits?");
    terminal.press("\r");
    terminal.see("acknowledged at step");
    let marks = run.history().marks;
    assert_eq!(marks[0].changes["learning_rate"], Value::Real(1e-5));
    terminal.leave();

    // The run did not notice.
    let seen = run.history().step;
    run.wait_for("later steps", |b| matches!(b, Body::Metrics(m) if m.step > seen));
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    terminal.press("S");
    terminal.see("Finish the step, save, stop");
    terminal.press("\r");
    terminal.see("stopped");
    let (outcome, step, _) = run.wait_end();
    assert_eq!(outcome, Outcome::Stopped);
    assert_eq!(run::checkpoint::newest(&run.0).unwrap().1.step, step);
    terminal.leave();
}

#[test]
fn restart_with_edits_and_a_new_run_from_them() {
    let bench = training::bench();
    let run = training::start(&bench, "a", &["--max_steps", "100000", "--save_steps", "0"]);
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 4));
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    // One edit that takes a restart, one that would not.
    terminal.press("3");
    for (name, value) in [("adam_beta2", "0.95"), ("weight_decay", "0.125")] {
        terminal.press("/");
        terminal.press(&format!("\x15{name}\r"));
        terminal.see(&format!("/{name}"));
        terminal.press("\r");
        terminal.see("Enter take over");
        terminal.press(&format!("\x15{value}\r"));
        terminal.see(&format!("→ {value}"));
    }
    terminal.press("R");
    terminal.see("restart");
    terminal.press("\r");
    let resumed = run.wait_for("the restart", |b| matches!(b, Body::Resumed { .. }));
    let Body::Resumed { from_step } = resumed.body else { unreachable!() };
    run.wait_for("steps of the new attempt", |b| matches!(b, Body::Metrics(m) if m.step > from_step));
    terminal.see("goes on with the edits");
    let settings = run.settings();
    assert_eq!((settings.adam_beta2, settings.weight_decay), (0.95, 0.125));
    let history = run.history();
    assert_eq!(history.marks[0].changes["weight_decay"], Value::Real(0.125), "the live edit is no event");
    let steps = &history.curves["loss"].steps;
    assert_eq!(*steps, (1..=steps.len() as u64).collect::<Vec<_>>(), "steps were lost by the restart");

    // A new run, with one more edit; the first one goes on.
    terminal.press("3/");
    terminal.press("\x15max_steps\r");
    terminal.see("/max_steps");
    terminal.press("\r");
    terminal.see("Enter take over");
    terminal.press("\x1512\r");
    terminal.see("→ 12");
    terminal.press("n");
    terminal.see("a-2");
    terminal.press("\x15twelve\r");
    let new = bench.run("twelve");
    wait("the new run", || new.0.events().exists().then_some(()));
    assert_eq!(new.wait_end(), (Outcome::Completed, 12, String::new()));
    assert_eq!((new.settings().weight_decay, new.settings().max_steps), (0.125, Some(12)));
    terminal.see("completed");
    bench.good(&["stop", "a"]);
    run.wait_end();
    assert_eq!(run.settings().max_steps, Some(100_000), "the first run was edited");
    terminal.leave();
}

/// A scripted run that lives as long as the test wants.
pub fn endless() -> (Bench, crate::support::Run) {
    let bench = Bench::new(&Script { total: 1_000_000, step_ms: 20, ..Script::default() });
    let run = bench.start("a", &[]);
    run.wait_running();
    (bench, run)
}

#[test]
fn signals_end_the_workbench_and_give_the_terminal_back() {
    use rustix::process::{Pid, Signal, kill_process};
    let (bench, run) = endless();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let script = "\"$COCAPTAIN\" attach a; echo status=$?; stty -a; sleep 600";
        let mut terminal = Terminal::shell(&bench, &["sh", "-c", script], (120, 40));
        terminal.taken(true);
        terminal.see("running");
        kill_process(Pid::from_raw(terminal.workbench()).unwrap(), signal).unwrap();
        terminal.see("status=");
        terminal.taken(false);
        terminal.sane();
        terminal.child.kill().unwrap();
    }
    // The run did not notice.
    let seen = run.history().step;
    run.wait_for("later steps", |b| matches!(b, Body::Metrics(m) if m.step > seen));
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
}

#[test]
fn ctrl_z_and_fg() {
    let (bench, run) = endless();
    let mut terminal = Terminal::shell(&bench, &["bash", "--norc", "--noprofile", "-i"], (120, 40));
    terminal.see("ready>");
    terminal.press("\"$COCAPTAIN\" attach a\r");
    terminal.taken(true);
    terminal.see("running");
    for _ in 0..2 {
        terminal.press("\x1a");
        terminal.taken(false);
        terminal.see("Stopped");
        let pid = terminal.workbench();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert!(stat.contains(") T "), "{stat}");
        let seen = run.history().step;
        run.wait_for("steps meanwhile", |b| matches!(b, Body::Metrics(m) if m.step > seen));
        terminal.press("clear; fg\r");
        terminal.taken(true);
        terminal.see("running");
    }
    terminal.press("q");
    terminal.taken(false);
    terminal.press("exit\r");
    terminal.child.wait().unwrap();
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
}

#[test]
fn no_color_keeps_weight_and_reverse() {
    let (bench, run) = endless();
    let script = "NO_COLOR=1 exec \"$COCAPTAIN\" attach a";
    let mut terminal = Terminal::shell(&bench, &["sh", "-c", script], (80, 24));
    terminal.see("running");
    terminal.press("3");
    terminal.see("new run only");
    let (mut bold, mut reversed) = (0, 0);
    {
        let screen = terminal.screen.lock().unwrap();
        let screen = screen.screen();
        for (row, col) in (0..24).flat_map(|row| (0..80).map(move |col| (row, col))) {
            let cell = screen.cell(row, col).unwrap();
            let colours = (cell.fgcolor(), cell.bgcolor());
            assert_eq!(colours, (vt100::Color::Default, vt100::Color::Default), "row {row}, column {col}");
            bold += usize::from(cell.bold());
            reversed += usize::from(cell.inverse());
        }
    }
    assert!(bold > 10 && reversed > 10, "{bold} bold cells, {reversed} reversed ones");
    terminal.leave();
    bench.good(&["stop", "a", "--now"]);
    run.wait_end();
}

#[test]
fn a_run_of_two_ranks_shows_its_grid_and_what_another_mesh_would_cost() {
    let bench = training::bench();
    let two = ["--max_steps", "100000", "--save_steps", "0", "--nproc_per_node", "2", "--sharding", "stage3"];
    let run = training::start(&bench, "a", &two);
    run.wait_for("steps", |b| matches!(b, Body::Metrics(m) if m.step > 4));
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("running");
    terminal.press("2");
    terminal.see("data 1 × sharding 2 × tensor 1  stage3");
    // Both ranks, with their times and bytes.
    wait_or(
        || format!("two ranks at work:\n{}", terminal.text()),
        || {
            let text = terminal.text();
            let rows =
                text.lines().filter(|l| l.contains("cpu") && l.contains("running") && l.contains("MiB"));
            (rows.count() == 2 && text.contains("own work")).then_some(())
        },
    );
    terminal.press("j");
    terminal.see("rank 1");
    terminal.press("/token_embedding\r");
    terminal.see("/token_embedding");
    terminal.see("owns 0..");
    terminal.press("3/sharding_parallel\r");
    terminal.see("2 ranks, stage3");
    terminal.press("\r");
    terminal.see("Enter take over");
    terminal.press("\x151\r");
    terminal.see("data 2 × sharding 1 × tensor 1");
    terminal.see("will hold");
    terminal.leave();
    bench.good(&["stop", "a", "--now"]);
}

/// Two people at one run, one of whom may only look; `attach` finds the live run by itself.
#[test]
fn several_viewers_watch_one_run_and_one_may_only_look() {
    let (bench, run) = endless();
    let mut looks = Terminal::open(&bench, &["attach", "--read_only"]);
    let mut steers = Terminal::open(&bench, &["attach"]);
    for terminal in [&looks, &steers] {
        terminal.see("running");
        terminal.see("contrastive_loss");
    }
    looks.press("S");
    looks.see("read-only");
    let killed = Terminal::open(&bench, &["attach", "a"]);
    killed.see("running");
    killed.kill();
    steers.press("S");
    steers.see("Finish the step, save, stop");
    steers.press("\r");
    for terminal in [&looks, &steers] {
        terminal.see("stopped");
    }
    assert_eq!(run.wait_end().0, Outcome::Stopped);
    looks.leave();
    steers.leave();
}
