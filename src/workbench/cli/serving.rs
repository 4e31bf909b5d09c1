//! A loaded model for one command: starting it, waiting for replies, Ctrl-C, progress on stderr.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command, value_parser};
use run::serve::{LOADING, Reply, Request};
use run::settings::Settings;

use super::{Failure, root_of};
use crate::engine::Engine;
use crate::evaluations::check::newest_run;
use crate::evaluations::progress;

/// Shortest time between two words of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Adds the flags that say which model, and where it computes.
pub fn flags(command: Command) -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name).value_name(value).help(help);
        if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag }
    };
    command
        .arg(flag("model", "M", "A run (its newest checkpoint), a model folder, a weights file with --model_config, or a known name; without it the newest run in --output_dir that has a checkpoint"))
        .arg(flag("model_config", "NAME|F", "Shape of a weights file: a known name or a JSON file"))
        .arg(flag("tokenizer", "F", "Another tokenizer.json than the model's own; clip for CLIP's"))
        .arg(flag("device", "WORD", "auto, cpu or cuda (default auto)"))
        .arg(flag("threads", "N", "Compute threads (default all cores)"))
        .arg(
            flag("batch", "N", "Pictures or texts at a time (default 16); halved when memory runs out")
                .value_parser(value_parser!(u32).range(1..)),
        )
        .arg(super::output_dir())
}

/// The settings that [`flags`] were given.
pub fn settings(m: &ArgMatches) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    for name in ["model", "model_config", "tokenizer", "device", "threads"] {
        if let Some(text) = m.get_one::<String>(name) {
            settings.assign(name, text).map_err(|e| Failure::Usage(e.to_string()))?;
        }
    }
    let root = root_of(m);
    settings.output_dir = root.to_string_lossy().into_owned();
    if settings.model.is_none() {
        let run = newest_run(&root).ok_or_else(|| {
            Failure::Usage(format!(
                "which model? Give --model: a run, a model folder, a weights file with --model_config, or a known \
                 name; there is no run with a checkpoint in {}",
                root.display()
            ))
        })?;
        let _ = writeln!(std::io::stderr(), "model: the newest run, {}", run.name());
        settings.model = Some(run.path().to_string_lossy().into_owned());
    }
    Ok(settings)
}

/// Pictures at a time.
pub fn batch(m: &ArgMatches) -> u32 {
    m.get_one::<u32>("batch").copied().unwrap_or(16)
}

/// A loaded model.
pub struct Serving {
    /// Processes that share every request.
    engines: Vec<Engine>,
    replies: Receiver<(u32, u64, Reply)>,
    interrupted: Arc<AtomicBool>,
    model: String,
    weights: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Cancelled,
}

impl Serving {
    /// Loads the model; says on a terminal's stderr what was loaded.
    pub fn start(settings: Settings) -> Result<Self, Failure> {
        Self::start_several(settings, 1)
    }

    /// As [`Self::start`], with several processes that share the work.
    pub fn start_several(mut settings: Settings, count: u32) -> Result<Self, Failure> {
        if count > 1 && settings.threads.is_none() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
            settings.threads = Some((cores / u64::from(count)).max(1));
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        // The first Ctrl-C ends in order, the second at once.
        let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
        for signal in signals {
            signal_hook::flag::register_conditional_default(signal, interrupted.clone())
                .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
                .map_err(Failure::failed)?;
        }
        let (tx, replies) = channel();
        let heard = move |rank, id, reply| drop(tx.send((rank, id, reply)));
        let engines = Engine::start_several(&settings, count, heard).map_err(Failure::Failed)?;
        let (model, weights) = (String::new(), String::new());
        let mut serving = Self { engines, replies, interrupted, model, weights };
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            let _ = write!(std::io::stderr(), "loading the model …");
        }
        let (mut loaded, mut names) = (String::new(), (String::new(), String::new()));
        let end = serving.wait(LOADING, |reply| {
            if let Reply::Loaded { model, weights, parameters, device, seconds, .. } = reply {
                #[allow(clippy::cast_precision_loss)]
                let millions = parameters as f64 / 1e6;
                loaded = format!(
                    "{model}: {millions:.1} million parameters on {device}, loaded in {seconds:.1} s"
                );
                names = (model, weights);
            }
            Ok(())
        });
        clear();
        if end? == End::Cancelled {
            return Err(Failure::Failed("stopped while the model was being loaded".to_owned()));
        }
        if terminal {
            let _ = writeln!(std::io::stderr(), "{}", run::escape::line(&loaded));
        }
        (serving.model, serving.weights) = names;
        Ok(serving)
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The file of its weights.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// Asks, and hands every reply to `take` until the last one. Ctrl-C cancels the request.
    pub fn ask(
        &self,
        request: Request,
        take: impl FnMut(Reply) -> Result<(), Failure>,
    ) -> Result<End, Failure> {
        let mut id = LOADING;
        for engine in &self.engines {
            // All count alike.
            id = engine.ask(request.clone());
        }
        self.wait(id, take)
    }

    fn wait(&self, id: u64, mut take: impl FnMut(Reply) -> Result<(), Failure>) -> Result<End, Failure> {
        let mut cancelled = false;
        let (mut working, mut done) = (self.engines.len(), vec![0; self.engines.len()]);
        loop {
            if self.interrupted.load(Ordering::Relaxed) && !cancelled {
                cancelled = true;
                if id == LOADING {
                    return Ok(End::Cancelled);
                }
                self.engines.iter().for_each(|engine| engine.cancel(id));
                // Those that wait for one another would not hear of it; they end with this process.
                if self.engines.len() > 1 {
                    return Ok(End::Cancelled);
                }
            }
            let (rank, reply) = match self.replies.recv_timeout(Duration::from_millis(100)) {
                Ok((rank, of, reply)) if of == id || of == LOADING => (rank as usize, reply),
                Ok(_) | Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Failed("the engine ended without a word".to_owned()));
                }
            };
            let last = reply.is_last();
            match reply {
                Reply::Failed { message, .. } => {
                    clear();
                    return Err(Failure::Failed(message));
                }
                Reply::Cancelled => return Ok(End::Cancelled),
                Reply::Note { message } => {
                    clear();
                    let _ = writeln!(std::io::stderr(), "cocaptain: {}", run::escape::line(&message));
                }
                // What each has done is done in all.
                Reply::Progress { done: own, total } => {
                    if let Some(place) = done.get_mut(rank) {
                        *place = own;
                    }
                    take(Reply::Progress { done: done.iter().sum(), total })?;
                }
                other => take(other)?,
            }
            if last {
                working = working.saturating_sub(1);
            }
            if working == 0 {
                return Ok(End::Done);
            }
        }
    }
}

/// Progress of long work, on a terminal's stderr.
pub struct Progress {
    what: &'static str,
    start: Instant,
    told: Option<Instant>,
}

impl Progress {
    /// Progress of `what`, from now on.
    pub fn new(what: &'static str) -> Self {
        Self { what, start: Instant::now(), told: None }
    }

    /// Says where it is, below what was just printed over the last word.
    pub fn below(&mut self, done: u64, total: u64) {
        self.told = None;
        self.say(done, total);
    }

    /// Says where it is: to whoever started this process, and on a terminal unless it was just said.
    pub fn say(&mut self, done: u64, total: u64) {
        let seconds = self.start.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let (rate, left) = (done as f64 / seconds.max(1e-3), total.saturating_sub(done) as f64);
        let left = (rate > 0.0).then(|| left / rate);
        progress::tell(done >= total, |p| {
            (p.done, p.total, p.rate, p.left) = (done, total, rate, left);
            self.what.clone_into(&mut p.what);
        });
        let due = self.told.is_none_or(|at| at.elapsed() >= PROGRESS) && done < total && total > 1;
        if !due || !std::io::stderr().is_terminal() {
            return;
        }
        self.told = Some(Instant::now());
        let eta = left.map_or(String::new(), |left| format!(", {rate:.1} a second, {left:.0} s to go"));
        let _ = write!(std::io::stderr(), "\r\x1b[2K{}: {done} of {total}{eta}", self.what);
        let _ = std::io::stderr().flush();
    }
}

/// Takes the line of progress away, before something else is written.
pub fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
}
