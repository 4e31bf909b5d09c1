//! The workbench in a real pty, on a live run of the real engine.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use run::events::{Body, Outcome};
use run::settings::Value;

use crate::support::{Bench, wait};
use crate::training;

/// `cocaptain` on a terminal of its own.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// The terminal is gone when this is.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn open(bench: &Bench, arguments: &[&str]) -> Self {
        let (rows, cols) = (48, 160);
        let pty =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let like = bench.command(arguments);
        let mut command = CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        command.cwd(bench.folder.path());
        command.env("TERM", "xterm-256color");
        // Nobody answers questions on this terminal.
        command.env("COCAPTAIN_IMAGES", "halfblocks");
        for (name, value) in like.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let cell = |n| std::num::NonZero::new(n).unwrap();
        let child = pty.slave.spawn_command(command).unwrap();
        let keys = pty.master.take_writer().unwrap();
        let mut output = pty.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cell(rows), cell(cols), 0)));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..n]);
            }
        });
        Self { screen, keys, child, _master: pty.master }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn see(&self, what: &str) {
        wait(&format!("{what:?} on the screen"), || self.text().contains(what).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Leaves by `q`; the terminal is as it was before.
    fn leave(mut self) {
        self.press("q");
        assert!(self.child.wait().unwrap().success());
        wait("the ordinary screen", || {
            let screen = self.screen.lock().unwrap();
            let screen = screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
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
fn the_caption_tab_captions_with_the_real_engine() {
    let bench = crate::captions::bench();
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("completed");
    terminal.press("4");
    terminal.see("drawn/");
    // A pasted path, as a terminal sends it.
    terminal.press("\x1b[200~drawn/images/val\x1b[201~");
    terminal.see("00003.png");
    terminal.press("\r");
    terminal.see("log-probability a token");
    terminal.press("a");
    terminal.see("8 pictures captioned");
    terminal.press("w");
    let kept = bench.at("drawn/images/val/captions.json");
    wait("the captions on the disk", || kept.is_file().then_some(()));
    terminal.leave();
    let read = data::Dataset::open(&kept, data::Split::Val, None).unwrap();
    assert_eq!(read.len(), 8);
}
