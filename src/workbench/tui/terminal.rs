//! Takes the terminal and gives it back, whatever happens.

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Buttons, dragging and the wheel, in SGR coordinates; crossterm's own command also asks for every movement.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";

/// The terminal says when it gets and loses the focus.
const FOCUS_ON: &[u8] = b"\x1b[?1004h";
const FOCUS_OFF: &[u8] = b"\x1b[?1004l";

/// Whether it is asked to.
static FOCUS: AtomicBool = AtomicBool::new(false);

/// Whether the mouse is listened to while the terminal is taken.
static MOUSE: AtomicBool = AtomicBool::new(true);

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the terminal over.
fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    let mut out = io::stdout();
    execute!(out, EnterAlternateScreen, EnableBracketedPaste)?;
    if MOUSE.load(Ordering::SeqCst) {
        out.write_all(MOUSE_ON)?;
    }
    if FOCUS.load(Ordering::SeqCst) {
        out.write_all(FOCUS_ON)?;
    }
    out.flush()
}

/// Whether the terminal is this process group's. It is another's when the shell that started us died and whoever is behind it
/// took the terminal: nobody tells us then, and every frame would be drawn over what is there. True where that cannot be told.
pub fn is_ours() -> bool {
    let owner = rustix::termios::tcgetpgrp(io::stdin());
    owner.map_or(true, |owner| owner == rustix::process::getpgrp())
}

/// Gives the terminal back; does nothing when that was done already. Errors are of no use here: there is no other place.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(out, EndSynchronizedUpdate);
    let _ = out.write_all(MOUSE_OFF);
    if FOCUS.load(Ordering::SeqCst) {
        let _ = out.write_all(FOCUS_OFF);
    }
    let _ = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// The terminal while the workbench has it; dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal over; listens to the mouse, or leaves it to the terminal; and to who has the `focus`, or does not.
    ///
    /// # Errors
    /// What the system said; the terminal is as before then.
    pub fn open(mouse: bool, focus: bool) -> io::Result<Self> {
        MOUSE.store(mouse, Ordering::SeqCst);
        FOCUS.store(focus, Ordering::SeqCst);
        // The theme obeys NO_COLOR itself; crossterm's own way would take bold and reverse along.
        crossterm::style::force_color_output(true);
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
            // A panic on any thread ends the program: half a workbench is worse than none, and runs go on.
            std::process::exit(101);
        }));
        let open = || {
            take()?;
            let out = BufWriter::with_capacity(1 << 16, io::stdout());
            let mut screen = Self { terminal: Terminal::new(CrosstermBackend::new(out))? };
            screen.clear()?;
            Ok(screen)
        };
        open().inspect_err(|_| restore())
    }

    /// Draws one frame, shown by the terminal in one piece where it can.
    ///
    /// # Errors
    /// What the system said.
    pub fn draw(&mut self, view: impl FnOnce(&mut ratatui::Frame)) -> io::Result<()> {
        crossterm::queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(view)?;
        crossterm::queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Makes the next frame draw every cell.
    ///
    /// # Errors
    /// What the system said.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not `Terminal::clear`: it asks the terminal where the cursor is, waits for the answer, and fails without one.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Listens to the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen(&mut self, mouse: bool) -> io::Result<()> {
        MOUSE.store(mouse, Ordering::SeqCst);
        let mut out = io::stdout();
        out.write_all(if mouse { MOUSE_ON } else { MOUSE_OFF })?;
        out.flush()
    }

    /// Rings.
    ///
    /// # Errors
    /// What the system said.
    pub fn bell(&mut self) -> io::Result<()> {
        let mut out = io::stdout();
        out.write_all(b"\x07")?;
        out.flush()
    }

    /// Shows a notice on the desktop, where the terminal knows how (OSC 9).
    ///
    /// # Errors
    /// What the system said.
    pub fn notify(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        // A text that begins with a number and a semicolon is another command to some: the name in front prevents it.
        write!(out, "\x1b]9;cocaptain: {}\x07", run::escape::line(text))?;
        out.flush()
    }

    /// Puts text on the clipboard of whoever sits at the terminal; one that does not know how ignores it.
    ///
    /// # Errors
    /// What the system said.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), crossterm::clipboard::CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal back, stops this process group until `fg`, and takes the terminal again.
    ///
    /// # Errors
    /// What the system said.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // SIGSTOP, since SIGTSTP does nothing to a process group without a shell that would bring it back.
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        self.resume()
    }

    /// Takes the terminal again.
    ///
    /// # Errors
    /// What the system said.
    pub fn resume(&mut self) -> io::Result<()> {
        take()?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::Read;

    #[test]
    #[ignore = "panics on a terminal that another test makes"]
    fn panics() {
        let _screen = Screen::open(true, true).unwrap();
        std::thread::spawn(|| panic!("a thread broke")).join().unwrap();
    }

    #[test]
    fn a_panic_on_any_thread_gives_the_terminal_back_and_says_why() {
        let pty = native_pty_system().openpty(PtySize::default()).unwrap();
        let me = std::env::current_exe().unwrap();
        let mut command = CommandBuilder::new("sh");
        let script = format!(
            "'{}' --ignored --exact --nocapture tui::terminal::tests::panics; echo status=$?; stty -a",
            me.display()
        );
        command.args(["-c", &script]);
        let mut child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut output = pty.master.try_clone_reader().unwrap();
        let text = std::thread::spawn(move || {
            let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                all.extend_from_slice(&bytes[..n]);
            }
            String::from_utf8_lossy(&all).into_owned()
        });
        child.wait().unwrap();
        drop(pty.master);
        let text = text.join().unwrap();
        let (taken, left) = (text.find("\x1b[?1049h").unwrap(), text.find("\x1b[?1049l").unwrap());
        let (words, status) = (text.find("a thread broke").unwrap(), text.find("status=101").unwrap());
        assert!(taken < left && left < words && words < status, "{text:?}");
        let after = &text[status..];
        assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
    }
}
