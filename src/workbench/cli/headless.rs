//! Plain lines of a run, for terminals without the workbench and for logs; ends with the run.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use run::control::Request;
use run::dir::RunDir;
use run::escape;
use run::events::{Body, Event, Outcome};
use run::history::{History, Status};
use run::log::Follower;

use super::{Done, Failure};
use crate::words;

/// How often the events are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Shortest time between two lines of metrics: to a terminal, and elsewhere.
const ON_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Follows a run that was just started until it ends.
///
/// # Errors
/// [`Failure::Silent`] when the run failed or crashed; what happened is printed.
pub fn follow(run: &RunDir) -> Done {
    follow_as(run, true)
}

/// The same under a launcher, where all processes write to one place: what all of them know is said by the `first`.
///
/// # Errors
/// As [`follow`].
pub fn follow_as(run: &RunDir, first: bool) -> Done {
    let mut lines = Lines { first, ..Lines::new() };
    let interrupts = interrupts()?;
    let mut history = History::default();
    let mut follower = Follower::new(run.events());
    let mut asked = 0;
    let mut present = false;
    // Events of earlier attempts are known to whoever resumes: they are folded, not printed.
    let begin = run::lock::Supervisor::of(run).map_or(0.0, |s| s.started);
    lines.say(&format!("run {}: {}", run.name(), run.path().display()))?;
    loop {
        let mut news = false;
        while let Some(events) = follower.poll().map_err(Failure::failed)? {
            news = true;
            for event in events {
                let new = event.t >= begin - 0.001;
                present |= new;
                history.apply(event.clone());
                if new {
                    lines.event(&event, &history)?;
                }
            }
        }
        if present && history.finished.is_some() {
            break;
        }
        if !news && !run::lock::is_taken(run) {
            // The supervisor may have written its last events between the two looks.
            if let Some(events) = follower.poll().map_err(Failure::failed)? {
                for event in events {
                    history.apply(event.clone());
                    lines.event(&event, &history)?;
                }
                continue;
            }
            break;
        }
        match interrupts.recv_timeout(TICK) {
            Ok(()) => {
                asked += 1;
                stop(run, asked, &mut lines)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
    }
    match history.status(run) {
        Status::Ended(Outcome::Completed | Outcome::Stopped) => Ok(()),
        Status::Ended(Outcome::Failed) => Err(Failure::Silent),
        _ => {
            lines.say(&format!(
                "the run crashed: its supervisor is gone (see {}). Go on with it: cocaptain train --resume {}",
                run.supervisor_log().display(),
                run.path().display()
            ))?;
            Err(Failure::Silent)
        }
    }
}

/// Ctrl-C and its kin, one message each.
fn interrupts() -> Result<Receiver<()>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|e| Failure::Failed(format!("signals cannot be watched: {e}")))?;
    let (to, from) = channel();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if to.send(()).is_err() {
                return;
            }
        }
    });
    Ok(from)
}

/// The first Ctrl-C stops the run cleanly, the second at once. The answer is its last event, so nobody waits here.
fn stop(run: &RunDir, asked: u32, lines: &mut Lines) -> Done {
    let now = asked > 1;
    let (run, words) = (
        run.clone(),
        if now {
            "ending at once"
        } else {
            "stopping after this step and a checkpoint; Ctrl-C again ends at once"
        },
    );
    lines.say(words)?;
    std::thread::spawn(move || {
        if let Err(e) = run::control::ask(&run, Request::Stop { now }, Duration::from_secs(3600)) {
            let _ = writeln!(std::io::stderr(), "cocaptain: {}", escape::line(&e.to_string()));
        }
    });
    Ok(())
}

struct Lines {
    every: Duration,
    last_metrics: Option<Instant>,
    /// The reader has gone; the run is followed on without words.
    mute: bool,
    /// Whether it says what other processes of the run know as well.
    first: bool,
}

impl Lines {
    fn new() -> Self {
        let every = if std::io::stdout().is_terminal() { ON_TERMINAL } else { ELSEWHERE };
        Self { every, last_metrics: None, mute: false, first: true }
    }

    fn say(&mut self, text: &str) -> Done {
        if self.mute {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{} {}", jiff::Zoned::now().strftime("%H:%M:%S"), escape::line(text))
            .and_then(|()| out.flush())
        {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => self.mute = true,
            other => other.map_err(Failure::failed)?,
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, history: &History) -> Done {
        let own = matches!(event.body, Body::Warning(_) | Body::Error(_) | Body::Finished { .. });
        if !self.first && !own {
            return Ok(());
        }
        let last = history.started.as_ref().is_some_and(|s| s.total_steps == history.step);
        match &event.body {
            Body::Metrics(m) => {
                if !last && self.last_metrics.is_some_and(|at| at.elapsed() < self.every) {
                    return Ok(());
                }
                self.last_metrics = Some(Instant::now());
                let total =
                    history.started.as_ref().map_or_else(|| "?".to_owned(), |s| s.total_steps.to_string());
                let left = history
                    .remaining_seconds()
                    .map_or_else(String::new, |s| format!(", {} left", duration(s)));
                self.say(&format!(
                    "step {}/{total}: loss {:.4} (contrastive {:.4}, caption {:.4}), lr {:.3e}, grad norm {:.3}, {:.1} samples/s{left}",
                    m.step, m.loss, m.contrastive_loss, m.caption_loss, m.learning_rate, m.grad_norm, m.samples_per_second,
                ))
            }
            body => match words::of(body) {
                Some(text) => self.say(&text),
                None => Ok(()),
            },
        }
    }
}

/// `1h02m`, `3m20s`, `12s`.
fn duration(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let s = seconds.max(0.0) as u64;
    match s {
        3600.. => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        60.. => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{s}s"),
    }
}

/// A name for a run: `20260131-235959`, local time.
pub fn stamp() -> String {
    jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(
            (duration(12.9), duration(200.0), duration(3720.0)),
            ("12s".into(), "3m20s".into(), "1h02m".into())
        );
    }
}
