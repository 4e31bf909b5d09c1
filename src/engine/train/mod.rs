//! Training: one rank's loop from job to end.
//!
//! - [`setup`](self::setup) makes everything a job needs; - [`step`](self::step) is one optimiser step;
//! - [`requests`](self::requests) carries out what people ask between steps;
//! - [`watch`](self::watch) measures held-out loss and zero-shot accuracy, captions samples; - [`save`](self::save) writes checkpoints;
//! - [`meter`], [`memory`], [`layout`] and [`state`] report.

mod busy;
mod compute;
mod error;
mod gradients;
mod layout;
mod memory;
mod meter;
mod requests;
mod save;
mod setup;
mod state;
mod step;
mod watch;

use std::collections::VecDeque;
use std::time::Instant;

use run::dir::RunDir;
use run::events::{Body, State};
use run::link::{Edit, FromRank, TrainJob};
use run::settings::Settings;

use crate::link::Link;
use crate::model::{CoCa, ParameterSpec, Parameters};
use crate::optimiser::{AdamW, LossScale, Schedule};
use crate::parallel::{Holding, Meeting, Mesh};
use crate::shim::c10d::Reducer;
pub(crate) use crate::shim::segment::words;

pub use compute::Compute;
pub use error::TrainError;
use requests::Onward;
use watch::Watched;

/// One rank of a training run.
struct Trainer<'a> {
    link: &'a Link,
    run: RunDir,
    rank: u32,
    /// All ranks.
    mesh: Mesh,
    /// Sums gradients over the ranks; none for a rank alone.
    reducer: Option<Reducer>,
    /// What is in effect now; edits change it.
    settings: Settings,
    /// Acknowledged edits of earlier attempts that are to be made again, by ascending step.
    edits: VecDeque<Edit>,
    compute: Compute,
    model: CoCa,
    /// Every parameter of the whole model.
    specs: Vec<ParameterSpec>,
    /// This rank's part of them, to compute with.
    parameters: Parameters,
    /// What this rank keeps and updates.
    holding: Holding,
    optimiser: AdamW,
    loader: data::Loader,
    /// Where the data go on after the steps done.
    position: data::Position,
    /// Training samples in one epoch.
    samples: u64,
    /// How long their captions are.
    lengths: data::Lengths,
    tokenizer: data::Tokenizer,
    /// The model's own tokenizer, as its file has it, to go into every checkpoint: the file itself may be an older
    /// checkpoint's, which goes in time.
    tokenizer_json: Option<Vec<u8>>,
    /// How pictures are normalised: the model's own way, to go into every checkpoint.
    normalisation: models::Preprocess,
    watched: Watched,
    schedule: Schedule,
    /// Optimiser steps done.
    step: u64,
    paused: bool,
    /// A checkpoint was due and could not be written: it is tried again when the run goes on.
    owed: bool,
    /// A stop was carried out.
    stopped: bool,
    /// The step before, whose numbers are still on the device.
    pending: Option<meter::Pending>,
    meter: meter::Meter,
    memory: memory::Watch,
    busy: busy::Busy,
    /// When the step before ended; none after a pause, an evaluation or a save, which no step is to pay for.
    last_end: Option<Instant>,
    /// Held-out loss at [`Trainer::step`], when it was just measured.
    held_out_loss: Option<f64>,
    /// The layout was measured in this attempt.
    measured: bool,
    /// What the loss is multiplied by in float16.
    loss_scale: Option<LossScale>,
}

/// Does a training job to its end and reports it.
pub fn run(mut job: TrainJob, link: &Link) -> i32 {
    if !job.leads {
        link.leave_common_words();
    }
    let step_of = |trainer: &Option<Trainer>| trainer.as_ref().map_or(0, |t| t.step);
    let mut trainer = None;
    let mut meeting = None;
    // tch's operators panic where libtorch throws; out of memory on a GPU comes that way.
    let work = std::panic::AssertUnwindSafe(|| {
        meeting = Meeting::attend(&mut job, link)?;
        let made = setup::trainer(job, meeting.as_ref(), link)?;
        trainer.insert(made).train()
    });
    let result =
        std::panic::catch_unwind(work).unwrap_or_else(|panic| Err(TrainError::Panic(words(&*panic))));
    match result {
        Ok(completed) => {
            link.say(FromRank::End { completed, step: step_of(&trainer), message: None });
            0
        }
        Err(e) => {
            let (mut kind, mut message, mut retry) = (e.kind(), e.to_string(), e.may_pass());
            // Other supervisors' ranks are not seen from here: they leave their words where all met.
            if let Some((whole, again)) = meeting.as_ref().and_then(|m| m.part(e.cause(), &message, retry)) {
                (message, retry) = (whole, again);
                if !retry {
                    kind = "another_rank";
                }
            }
            link.say(FromRank::Failed { kind: kind.to_owned(), message, step: step_of(&trainer), retry });
            run::link::FAILED_STATUS
        }
    }
}

impl Trainer<'_> {
    /// Steps until all are done or somebody stops it; says whether all were done.
    fn train(&mut self) -> Result<bool, TrainError> {
        self.state(State::Running, None);
        while self.boundary()? == Onward::Step {
            if self.step >= self.schedule.total {
                return self.complete().map(|()| true);
            }
            self.one_step()?;
            self.measure_layout()?;
            self.after_step()?;
        }
        Ok(false)
    }

    /// What is due after a step.
    fn after_step(&mut self) -> Result<(), TrainError> {
        let due = |every: u64| every > 0 && self.step.is_multiple_of(every);
        let last = self.step >= self.schedule.total;
        let (measure, sample) =
            (due(self.settings.eval_steps) || last, due(self.settings.sample_steps) || last);
        let save = due(self.settings.save_steps) && !last;
        if last {
            self.report_memory()?;
        }
        if !(measure || sample || save) {
            return Ok(());
        }
        self.flush()?;
        if measure || sample {
            self.rest_with_model(|t| {
                if measure {
                    t.measure()?;
                }
                if sample {
                    t.caption_samples()?;
                }
                Ok(())
            })?;
        }
        if save {
            self.save_or_pause()?;
        }
        if !self.paused {
            self.state(State::Running, None);
        }
        Ok(())
    }

    /// Lets rank 0 do what it does alone; the others wait, however long it takes.
    fn rest(&mut self, work: impl FnOnce(&mut Self) -> Result<(), TrainError>) -> Result<(), TrainError> {
        if self.mesh.is_first() {
            work(self)?;
        }
        self.mesh.agree((), true)?;
        if self.mesh.size() > 1 {
            self.forget_time();
        }
        Ok(())
    }

    /// The same with a model that rank 0 can compute with alone: where it is divided, it is put together for the while.
    fn rest_with_model(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if !self.holding.is_divided() {
            return self.rest(work);
        }
        let config = self.model.config.clone();
        let whole = self.holding.whole(&self.mesh, &config, &self.specs, &self.parameters)?;
        let whole = whole.map(|parameters| CoCa::new(config, &parameters)).transpose()?;
        self.rest(|t| {
            let Some(whole) = whole else { return Ok(()) };
            let divided = std::mem::replace(&mut t.model, whole);
            let done = work(t);
            t.model = divided;
            done
        })
    }

    /// All steps are done: saves, then says what the model can do.
    fn complete(&mut self) -> Result<(), TrainError> {
        self.flush()?;
        loop {
            let saved = run::checkpoint::manifest(&run::checkpoint::folder(&self.run, self.step)).is_ok();
            if self.mesh.agree(saved, true)? {
                break;
            }
            self.save_or_pause()?;
            // The disk is full: wait for a person to make room and resume, or to stop the run.
            if self.paused && self.boundary()? == Onward::Stop {
                return Ok(());
            }
        }
        if self.settings.predictions {
            self.rest_with_model(Self::predict)?;
        }
        Ok(())
    }

    /// The schedule follows settings that may just have changed.
    fn replan(&mut self) {
        let total = run::settings::optimiser_steps(&self.settings, self.samples);
        self.schedule = Schedule { warmup: self.settings.warmup(total), total };
    }

    /// Every rank's memory and times, told by the one that leads: what runs elsewhere comes here by c10d. All ranks call
    /// it together.
    fn report_memory(&mut self) -> Result<(), TrainError> {
        let known = self.state_bytes()?;
        let mut report = self.memory.report(&self.compute, self.step, self.rank, known);
        report.activations = self.busy.activations();
        if let Some((whole, own)) = self.busy.take() {
            report.step_seconds = Some(whole);
            match self.compute.device.is_cuda() {
                // Its calls to other ranks run beside the host: the host does not see them wait.
                true => drop(report.notes.insert(
                    "own_seconds".to_owned(),
                    "calls between GPUs run beside the host, which does not see them wait".to_owned(),
                )),
                false => report.own_seconds = Some(own),
            }
        }
        for memory in self.mesh.all_say(&report)? {
            self.link.event(Body::Memory(memory));
        }
        Ok(())
    }
}
