//! The loop that joins terminal, model and effects.

use super::effects::Effects;
use super::message::{Command, Msg};
use super::model::Model;
use super::terminal::Screen;
use super::update::{start, update, wanted};
use super::view::{clock_texts, view};
use super::{Browse, OpenOptions, TuiError, action, theme::Theme};
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyModifiers, MouseEventKind};
use futures_util::StreamExt;
use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(16);

/// Messages taken in before the next frame at most, so that a flood of events does not hold up keys.
const BATCH: usize = 64;

/// Runs the workbench until the person leaves or a signal ends it; returns what it ended with.
pub fn run(options: OpenOptions) -> Result<Model, TuiError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TuiError::Terminal)?;
    let (own, complaints) = super::options::load();
    action::install(own.table.clone());
    let notify = own.notify.unwrap_or_else(super::abilities::notices);
    let mut screen = Screen::open(own.mouse, notify).map_err(TuiError::Terminal)?;
    let mut model = Model::new(options.root, Theme::from_environment(), run::now());
    model.theme.looks = own.looks.unwrap_or(model.theme.looks);
    model.theme.ascii = own.ascii.unwrap_or(model.theme.ascii);
    model.read_only = own.read_only || options.read_only;
    model.layout = super::layout::kept();
    model.fixed_looks = own.looks.is_some();
    model.bell = own.bell;
    model.notify = notify;
    model.mouse = own.mouse;
    for complaint in complaints {
        model.notes.add(model.now, super::notes::Kind::Error, complaint);
    }
    model.opened = options.opened;
    let chosen = (options.run, options.data, own.images);
    let result = runtime.block_on(work(&mut screen, &mut model, chosen));
    drop(screen);
    // Requests that wait for an answer must not hold up the person.
    runtime.shutdown_background();
    result.map_err(TuiError::Terminal).map(|()| model)
}

async fn work(
    screen: &mut Screen,
    model: &mut Model,
    (run, data, images): (Option<run::dir::RunDir>, Option<Browse>, Option<super::picture::Mode>),
) -> io::Result<()> {
    let mut first = start(model, run);
    if let Some(browse) = data {
        // The tab stays open, whatever runs there are.
        model.pick_newest = false;
        first.extend(super::update::datasets::browse(model, browse));
    }
    draw(screen, model)?;
    // Few: whoever reads events waits for the screen, and does not fill the memory.
    let (tx, mut rx) = mpsc::channel(4);
    let mut effects = Effects::new(tx);
    carry_out(first, screen, &mut effects)?;
    let mut signals = Signals::new()?;
    // Asked after the first frame, and before anybody else reads from the terminal.
    let detected = tokio::task::spawn_blocking(move || super::picture::detect(images))
        .await
        .map_err(io::Error::other)?;
    let ability = Box::new(detected.ability);
    if let Some(light) = detected.light {
        let mut fitting = Theme { looks: model.fitting_looks, ..model.theme };
        fitting.on(light);
        model.fitting_looks = fitting.looks;
        if !model.fixed_looks {
            model.theme.looks = fitting.looks;
        }
    }
    take_in(Msg::Pictures { ability, complaint: detected.complaint }, screen, model, &mut effects)?;
    for c in detected.typed.chars() {
        take_in(Msg::Key(typed(c)), screen, model, &mut effects)?;
    }
    let mut input = EventStream::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut dirty, mut next_frame) = (true, Instant::now());
    while !model.quit {
        if dirty && Instant::now() >= next_frame {
            draw(screen, model)?;
            carry_out(wanted(model), screen, &mut effects)?;
            dirty = false;
            next_frame = Instant::now() + FRAME;
        }
        let msg = tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::End => return Ok(()),
                Signal::Stop => { screen.suspend()?; Some(Msg::Resize) }
                Signal::Continue => { screen.resume()?; Some(Msg::Resize) }
            },
            event = input.next() => match event {
                Some(Ok(event)) => from_terminal(event),
                // The terminal is gone.
                Some(Err(e)) => return Err(e),
                None => return Ok(()),
            },
            msg = rx.recv() => msg,
            () = tokio::time::sleep_until(next_frame.into()), if dirty => None,
            _ = tick.tick() => {
                if !super::terminal::is_ours() {
                    return Ok(());
                }
                Some(Msg::Tick)
            }
        };
        let Some(msg) = msg else { continue };
        dirty |= take_in(msg, screen, model, &mut effects)?;
        for _ in 0..BATCH {
            let Ok(msg) = rx.try_recv() else { break };
            dirty |= take_in(msg, screen, model, &mut effects)?;
            if Instant::now() >= next_frame {
                break;
            }
        }
    }
    Ok(())
}

fn draw(screen: &mut Screen, model: &mut Model) -> io::Result<()> {
    let mut regions = None;
    screen.draw(|frame| regions = Some(view(model, frame)))?;
    model.regions = regions.unwrap_or_default();
    Ok(())
}

/// Takes in one message; says whether the screen may look different now.
fn take_in(msg: Msg, screen: &mut Screen, model: &mut Model, effects: &mut Effects) -> io::Result<bool> {
    let ticked = matches!(msg, Msg::Tick);
    let before = if ticked { clock_texts(model) } else { String::new() };
    model.now = run::now();
    let errors = model.notes.errors;
    let commands = update(model, msg);
    if model.bell && model.notes.errors > errors {
        screen.bell()?;
    }
    for text in std::mem::take(&mut model.notes.calls) {
        if model.notify && model.away {
            screen.notify(&text)?;
        }
    }
    let dirty = !ticked || !commands.is_empty() || before != clock_texts(model);
    carry_out(commands, screen, effects)?;
    Ok(dirty)
}

fn carry_out(commands: Vec<Command>, screen: &mut Screen, effects: &mut Effects) -> io::Result<()> {
    for command in commands {
        match command {
            Command::Suspend => screen.suspend()?,
            Command::Redraw => screen.clear()?,
            Command::Copy(text) => screen.copy(&text)?,
            Command::Mouse(on) => screen.listen(on)?,
            other => effects.start(other),
        }
    }
    Ok(())
}

fn from_terminal(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(..) => Some(Msg::Resize),
        Event::Mouse(m) => match m.kind {
            MouseEventKind::Moved | MouseEventKind::ScrollLeft | MouseEventKind::ScrollRight => None,
            _ => Some(Msg::Mouse(m)),
        },
        Event::FocusGained => Some(Msg::Focus(true)),
        Event::FocusLost => Some(Msg::Focus(false)),
    }
}

/// The key of a character that was typed while the terminal was asked.
fn typed(c: char) -> KeyEvent {
    match c {
        '\r' | '\n' => KeyCode::Enter.into(),
        '\t' => KeyCode::Tab.into(),
        '\x1b' => KeyCode::Esc.into(),
        '\x7f' => KeyCode::Backspace.into(),
        '\x01'..='\x1a' => {
            KeyEvent::new(KeyCode::Char(char::from(c as u8 - 1 + b'a')), KeyModifiers::CONTROL)
        }
        c => KeyCode::Char(c).into(),
    }
}

enum Signal {
    End,
    Stop,
    Continue,
}

struct Signals {
    end: [tokio::signal::unix::Signal; 3],
    stop: tokio::signal::unix::Signal,
    go_on: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ],
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Signal {
        let [term, hup, int] = &mut self.end;
        tokio::select! {
            _ = term.recv() => Signal::End,
            _ = hup.recv() => Signal::End,
            _ = int.recv() => Signal::End,
            _ = self.stop.recv() => Signal::Stop,
            _ = self.go_on.recv() => Signal::Continue,
        }
    }
}
