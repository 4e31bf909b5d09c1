//! The work that messages come from. Everything here may touch the disk, sockets and processes; nothing here draws.

mod captions;
mod datasets;
mod evaluate;
mod export;
mod foreign;
mod jobs;
mod logs;
mod part;
pub mod runs;
mod waker;
mod watch;

use super::evaluate::SLOT;
use super::message::{Command, Msg};
use super::model::{OTHERS_POINTS, POINTS};
use crate::engine::Engine;
use run::control;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a request may wait for its step: a round of evaluation may be in the way.
const PATIENCE: Duration = Duration::from_secs(600);

/// Carries out commands and answers with messages.
#[derive(Debug)]
pub struct Effects {
    tx: mpsc::Sender<Msg>,
    /// The watch of the watched run, with its number.
    watch: Option<(u64, waker::Handle)>,
    /// Watches of the runs that are laid over it, by number.
    others: HashMap<u64, waker::Handle>,
    /// Loaded models; they end with the workbench.
    engines: [Option<Engine>; SLOT + 1],
    /// The work of the data tab.
    data: datasets::Work,
}

impl Effects {
    /// Effects that answer to `tx`.
    pub fn new(tx: mpsc::Sender<Msg>) -> Self {
        Self {
            tx,
            watch: None,
            others: HashMap::new(),
            engines: Default::default(),
            data: datasets::Work::default(),
        }
    }

    /// Starts a command; those that concern the terminal are the loop's own.
    pub fn start(&mut self, command: Command) {
        let tx = self.tx.clone();
        let Some(command) = self.data.start(command, &tx) else { return };
        match command {
            Command::ListRuns { root, opened, generation } => {
                self.block(move || Msg::Runs { generation, runs: runs::list(root.as_deref(), &opened) });
            }
            Command::WatchOther { generation, run } => {
                self.others.insert(generation, watch::start(run, generation, OTHERS_POINTS, tx));
            }
            Command::ReadPart { generation, run, steps, around, most } => self.block(move || {
                let part = part::read(&run, steps, around, most);
                Msg::Part { generation, part }
            }),
            Command::Forget { generation } => {
                self.others.remove(&generation);
                self.watch.take_if(|(of, _)| *of == generation);
            }
            Command::Forecast { number, settings } => self.block(move || {
                let result = crate::forecast::of(&settings).map(Box::new);
                Msg::Forecast { number, result }
            }),
            Command::Watch { generation, run } => {
                // The old watch ends when its handle is dropped.
                self.watch = Some((generation, watch::start(run, generation, POINTS, tx)));
            }
            Command::Ask { id, run, request } => self.block(move || {
                let result = control::ask(&run, request, PATIENCE).map_err(|e| e.to_string());
                Msg::Answered { id, result }
            }),
            Command::Restart { id, plan } => {
                self.block(move || Msg::JobDone {
                    id,
                    result: jobs::restart(&plan, &|text| say(&tx, id, text)),
                });
            }
            Command::NewRun { id, root, name, settings } => {
                self.block(move || Msg::JobDone { id, result: jobs::new_run(&root, &name, &settings) });
            }
            Command::LoadPicture(wanted) => self.block(move || Msg::Picture(wanted.load())),
            Command::Browse { generation, path } => {
                self.block(move || Msg::Folder { generation, folder: captions::browse(&path) });
            }
            Command::ListModels { root } => self.block(move || Msg::Models(captions::models(&root))),
            Command::LoadModel { slot, generation, settings } => self.load(slot, generation, *settings),
            Command::Unload { slot } => self.put(slot, None),
            Command::AskModel { slot, id, request } => {
                if let Some(Some(engine)) = self.engines.get(slot) {
                    engine.ask_as(id, request);
                }
            }
            Command::Keep { file, captions } => {
                self.block(move || Msg::Kept(captions::keep(file.as_deref(), &captions)));
            }
            Command::Label { run, labels } => {
                let failed = move || {
                    let e = labels.write(&run).err()?;
                    Some(Msg::Kept(Err(format!("{}: cannot be written on: {e}", run.name()))))
                };
                self.work(failed);
            }
            Command::DeleteRun { run } => self.block(move || Msg::Kept(crate::delete::delete(&run))),
            Command::KeepLayout(layout) => self.work(move || {
                super::layout::keep(layout);
                None
            }),
            Command::KeepHistory { run, history, position } => self.work(move || {
                // A cache that cannot be written is none.
                let _ = run::index::keep(&run, &history, position);
                None
            }),
            Command::ExportCurves { runs, options, out } => {
                self.block(move || Msg::Kept(export::export(runs, &options, &out)));
            }
            Command::Evaluate(effect) => self.block(move || Msg::Evaluate(evaluate::carry_out(effect))),
            Command::KeepOption { order, name, value } => self.block(move || {
                let kept = super::options::keep(order, name, &value);
                Msg::Kept(kept.map(|path| format!("{name} = {value}, kept in {}", path.display())))
            }),
            // The loop's own, and those that were started above.
            _ => {}
        }
    }

    /// Loads a model in place of the slot's, which ends.
    fn load(&mut self, slot: usize, generation: u64, settings: run::settings::Settings) {
        let tx = self.tx.clone();
        let say = move |id, reply| drop(tx.blocking_send(Msg::Engine { slot, generation, id, reply }));
        let started = Engine::start(run::serve::ServeJob { settings, share: None }, say);
        let engine = started.map_err(|message| {
            let reply = run::serve::Reply::Failed { kind: "engine".to_owned(), message };
            self.block(move || Msg::Engine { slot, generation, id: run::serve::LOADING, reply });
        });
        self.put(slot, engine.ok());
    }

    fn put(&mut self, slot: usize, engine: Option<Engine>) {
        if let Some(place) = self.engines.get_mut(slot) {
            *place = engine;
        }
    }

    fn block(&self, work: impl FnOnce() -> Msg + Send + 'static) {
        self.work(move || Some(work()));
    }

    /// Works beside the loop; there may be nothing to say of it.
    fn work(&self, work: impl FnOnce() -> Option<Msg> + Send + 'static) {
        let tx = self.tx.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(msg) = work() {
                // A closed channel means that the workbench is gone; so is the need for an answer.
                let _ = tx.blocking_send(msg);
            }
        });
    }
}

fn say(tx: &mpsc::Sender<Msg>, id: u64, text: &str) {
    let _ = tx.blocking_send(Msg::JobProgress { id, text: text.to_owned() });
}

/// The path, `~` at its beginning being the person's home.
pub fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
