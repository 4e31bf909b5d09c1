//! Writes checkpoints, and goes on from them.
//!
//! A checkpoint is whole whatever mesh wrote it: two files of float32 tensors, weights under open_clip's names and the
//! optimiser's moments of each, where every number has its place. Each rank writes the pieces that it holds, all at the
//! same time; rank 0 makes the files before, and makes the checkpoint real when all ranks have said that theirs is
//! written. So any other mesh can go on from it: each rank reads the pieces that it will hold.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use models::Pieces;
use models::shard::Slice;
use run::checkpoint::{self, CheckpointError, Draft};
use run::events::{Body, State};
use run::link::FromRank;
use tch::Tensor;

use super::state::TrainerState;
use super::{TrainError, Trainer};
use crate::source::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};
use crate::weights::{WeightsFile, write_piece};

/// Optimiser state in a checkpoint.
const OPTIMISER_FILE: &str = "optimizer.safetensors";
/// Its name when rank 0 alone wrote it.
const OLDER_OPTIMISER_FILE: &str = "optimizer.rank-0.safetensors";
/// The optimiser's tensors of a parameter: two of its shape, and a number.
const MOMENTS: [&str; 3] = ["exp_avg", "exp_avg_sq", "step"];

/// Names and shapes of a file's tensors.
type Shapes = Vec<(String, Vec<i64>)>;

impl Trainer<'_> {
    /// Writes a checkpoint of this step, with all ranks; says where, relative to the run directory. The inner error is
    /// the same on every rank: there is no checkpoint then, and the run can go on.
    pub(super) fn save(&mut self) -> Result<Result<String, TrainError>, TrainError> {
        let start = Instant::now();
        self.state(State::Saving, None);
        let drafted = if self.mesh.is_first() { Some(self.draft()) } else { None };
        let (mut draft, begun) = match drafted {
            Some(Ok(draft)) => (Some(draft), Ok(())),
            Some(Err(e)) => (None, Err(e)),
            None => (None, Ok(())),
        };
        let said = begun.as_ref().map(|()| draft.as_ref().map(|d| d.path().to_owned()).unwrap_or_default());
        let place = self.mesh.agree(said.map_err(TrainError::to_string), true)?;
        let written = match place {
            Err(words) => return Ok(Err(begun.err().unwrap_or_else(|| self.unwritten(words)))),
            Ok(place) => self.write(&place),
        };
        // Nobody's disk is slow enough to make the others give up: ranks write at the same time.
        let all = self.mesh.all_say(&written.as_ref().err().map(ToString::to_string))?;
        if let Some((rank, words)) = all.into_iter().enumerate().find_map(|(rank, said)| Some((rank, said?)))
        {
            let error = written.err().unwrap_or_else(|| self.unwritten(format!("rank {rank}: {words}")));
            return Ok(Err(error));
        }
        let committed = draft.take().map(|draft| draft.commit(self.held_out_loss).map_err(TrainError::from));
        let said = match &committed {
            Some(Err(e)) => Err(e.to_string()),
            Some(Ok((path, _))) => {
                Ok(path.strip_prefix(self.run.path()).unwrap_or(path).display().to_string())
            }
            None => Ok(String::new()),
        };
        let relative = match self.mesh.agree(said, true)? {
            Ok(relative) => relative,
            Err(words) => {
                let own = committed.and_then(Result::err);
                return Ok(Err(own.unwrap_or_else(|| self.unwritten(words))));
            }
        };
        self.owed = false;
        if let Some(Ok((_, manifest))) = committed {
            let keep = usize::try_from(self.settings.save_total_limit).unwrap_or(usize::MAX);
            let gone = checkpoint::prune(&self.run, keep);
            if !gone.is_empty() {
                run::note!("checkpoints of steps {gone:?} went beyond save_total_limit");
            }
            self.link.event(Body::Checkpoint {
                step: self.step,
                path: relative.clone(),
                bytes: manifest.bytes(),
                seconds: start.elapsed().as_secs_f64(),
                best: checkpoint::best(&self.run) == Some(self.step),
            });
        } else {
            self.link.say(FromRank::Saved);
        }
        self.forget_time();
        Ok(Ok(relative))
    }

    fn unwritten(&self, why: String) -> TrainError {
        TrainError::Checkpoint { path: checkpoint::folder(&self.run, self.step), why }
    }

    /// What the weights' and the optimiser's file hold.
    fn shapes(&self) -> (Shapes, Shapes) {
        let weights: Shapes = self.specs.iter().map(|spec| (spec.name.clone(), spec.shape.clone())).collect();
        let moments = weights.iter().flat_map(|(name, shape)| {
            let shapes = [shape.clone(), shape.clone(), Vec::new()];
            MOMENTS.iter().zip(shapes).map(move |(kind, shape)| (format!("{kind}.{name}"), shape))
        });
        let moments = moments.collect();
        (weights, moments)
    }

    /// Rank 0: a folder with all that is small, and with files that have room for everybody's pieces.
    fn draft(&self) -> Result<Draft, TrainError> {
        let numbers: u64 = self.specs.iter().map(|spec| spec.numel().unsigned_abs()).sum();
        let need = 3 * 4 * numbers;
        let draft = Draft::begin(&self.run, self.step, need + (need >> 6) + (1 << 20))?;
        let (weights, moments) = self.shapes();
        Pieces::create(&draft.path().join(WEIGHTS_FILE), &weights)
            .map_err(crate::weights::WeightsError::from)?;
        Pieces::create(&draft.path().join(OPTIMISER_FILE), &moments)
            .map_err(crate::weights::WeightsError::from)?;
        self.write_text(draft.path())?;
        Ok(draft)
    }

    /// This rank's pieces. Where several ranks hold the same, the first copy's rank writes it.
    fn write(&self, place: &Path) -> Result<(), TrainError> {
        if !self.writes(self.rank) {
            return Ok(());
        }
        let (weights, moments) = self.shapes();
        let away = self.mesh.is_away(self.rank) && !self.settings.shared_output;
        if away {
            return self.send_pieces();
        }
        let open = |file: &str, shapes: &Shapes| {
            Pieces::open(&place.join(file), shapes).map_err(crate::weights::WeightsError::from)
        };
        let files = open(WEIGHTS_FILE, &weights).and_then(|w| Ok((w, open(OPTIMISER_FILE, &moments)?)));
        let own = files.as_ref().map_or(Ok(()), |(weights, optimiser)| self.write_own(weights, optimiser));
        if self.mesh.is_first() && !self.settings.shared_output {
            self.write_for_others(files.as_ref().ok())?;
        }
        let (weights, optimiser) = files?;
        own?;
        weights.sync().and_then(|()| optimiser.sync()).map_err(crate::weights::WeightsError::from)?;
        Ok(())
    }

    fn write_own(&self, weights: &Pieces, optimiser: &Pieces) -> Result<(), TrainError> {
        for (held, [exp_avg, exp_avg_sq, step]) in self.holding.pieces().iter().zip(self.optimiser.moments())
        {
            if !held.counted {
                continue;
            }
            let part = || (&held.slice, held.range.clone());
            write_piece(weights, &held.name, part(), &held.values)?;
            write_piece(optimiser, &format!("exp_avg.{}", held.name), part(), &exp_avg)?;
            write_piece(optimiser, &format!("exp_avg_sq.{}", held.name), part(), &exp_avg_sq)?;
            // One number for the whole parameter, which whoever has its beginning knows.
            if held.slice.runs(held.range.clone()).next().is_some_and(|run| run.whole == 0) {
                let one = Slice::whole(&[]);
                write_piece(optimiser, &format!("step.{}", held.name), (&one, 0..1), &step)?;
            }
        }
        Ok(())
    }

    /// Whether a rank has something to write that no rank before it has.
    fn writes(&self, rank: u32) -> bool {
        let at = self.mesh.degrees().coordinates(rank);
        let unsharded = self.holding.stage() == run::mesh::Stage::None;
        !(at.data_parallel > 0 || (unsharded && at.sharding > 0))
    }

    /// Sends what this rank would write to rank 0, whose disk has the checkpoint.
    fn send_pieces(&self) -> Result<(), TrainError> {
        let counted = |held: &&crate::parallel::Held| held.counted;
        let list: Vec<(&str, Range<usize>)> = self
            .holding
            .pieces()
            .iter()
            .filter(counted)
            .map(|h| (h.name.as_str(), h.range.clone()))
            .collect();
        self.mesh.tell(0, &list)?;
        for (held, moments) in self.holding.pieces().iter().zip(self.optimiser.moments()) {
            if held.counted {
                self.mesh.send(0, &held.values)?;
                for moment in &moments {
                    self.mesh.send(0, moment)?;
                }
            }
        }
        Ok(())
    }

    /// Rank 0 writes what ranks on other machines send, where it has files to. What goes wrong here is kept for the end: the
    /// calls of both ends must match.
    fn write_for_others(&self, files: Option<&(Pieces, Pieces)>) -> Result<(), TrainError> {
        let mut failed: Option<TrainError> = None;
        let degrees = self.mesh.degrees();
        for rank in (0..degrees.ranks()).filter(|r| self.mesh.is_away(*r) && self.writes(*r)) {
            let tensor = degrees.coordinates(rank).tensor_parallel;
            let list: Vec<(String, Range<usize>)> = self.mesh.hear(rank)?;
            for (name, range) in list {
                let values = self.mesh.receive(rank, range.len())?;
                let moments = [self.mesh.receive(rank, range.len())?, self.mesh.receive(rank, range.len())?];
                let step = self.mesh.receive(rank, 1)?;
                let slice = self.specs.iter().find(|spec| spec.name == name).map(|spec| {
                    models::shard::slice(&self.model.config, spec, tensor, degrees.tensor_parallel)
                });
                let Some(slice) = slice else {
                    let message = format!("rank {rank} has a piece of {name:?}");
                    failed.get_or_insert(TrainError::Internal(message));
                    continue;
                };
                let Some((weights, optimiser)) = files else { continue };
                let mut write = |file: &Pieces, name: &str, (slice, range), values: &Tensor| {
                    if let Err(e) = write_piece(file, name, (slice, range), values) {
                        failed.get_or_insert(e.into());
                    }
                };
                write(weights, &name, (&slice, range.clone()), &values);
                for (kind, values) in ["exp_avg", "exp_avg_sq"].into_iter().zip(&moments) {
                    write(optimiser, &format!("{kind}.{name}"), (&slice, range.clone()), values);
                }
                if slice.runs(range).next().is_some_and(|run| run.whole == 0) {
                    let one = Slice::whole(&[]);
                    write(optimiser, &format!("step.{name}"), (&one, 0..1), &step);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Config, tokenizer and trainer's state: what makes the checkpoint a model folder that training can go on from.
    fn write_text(&self, at: &Path) -> Result<(), TrainError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| TrainError::Checkpoint { path, why: e.to_string() }
        };
        let config = at.join(CONFIG_FILE);
        let json = self.model.config.to_json().map_err(|e| TrainError::Internal(e.to_string()))?;
        let preprocess = self.normalisation.to_json();
        let text = format!("{{\"model_cfg\": {json}, \"preprocess_cfg\": {preprocess}}}\n");
        std::fs::write(&config, text).map_err(io(&config))?;
        if let Some(tokenizer) = &self.tokenizer_json {
            let file = at.join(TOKENIZER_FILE);
            std::fs::write(&file, tokenizer).map_err(io(&file))?;
        }
        let state = TrainerState {
            v: 1,
            step: self.step,
            epoch: self.position.epoch,
            batch: self.position.batch,
            samples: self.samples,
            seed: self.settings.seed,
            threads: crate::device::num_threads() as u64,
            mesh: {
                let mesh = self.mesh.degrees();
                (mesh.data_parallel, mesh.sharding, mesh.tensor_parallel)
            },
            settings: self.settings.clone(),
        };
        state.save(at)
    }

    /// Saves; where the disk is full, pauses the run and says so.
    pub(super) fn save_or_pause(&mut self) -> Result<(), TrainError> {
        let Err(e) = self.save()? else { return Ok(()) };
        let kind = match &e {
            TrainError::Save(CheckpointError::Full { .. }) => "disk_full",
            _ => "checkpoint",
        };
        let message =
            format!("no checkpoint of step {}: {e}. The run is paused until there is room", self.step);
        self.link.event(Body::warning(kind, message));
        self.owed = true;
        self.paused = true;
        self.state(State::Paused, Some("no checkpoint could be written".to_owned()));
        Ok(())
    }

    /// A checkpoint that was sent here was needed to go on from it alone.
    pub(super) fn forget_received(&self, at: &Path) -> Result<(), TrainError> {
        if self.mesh.member(0).is_none() {
            return Ok(());
        }
        // Others on this machine may still read it.
        self.mesh.agree((), false)?;
        let own = at.parent() == Some(&self.run.checkpoints());
        if own && at.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-received-")) {
            let _ = std::fs::remove_dir_all(at);
        }
        Ok(())
    }

    /// Takes optimiser state and step from a checkpoint; weights and position in the data are taken already.
    pub(super) fn go_on_from(&mut self, at: &Path, state: &TrainerState) -> Result<(), TrainError> {
        let newer = at.join(OPTIMISER_FILE);
        let path = if newer.exists() { newer } else { at.join(OLDER_OPTIMISER_FILE) };
        let file = WeightsFile::open(&path)?;
        file.check(&self.shapes().1)?;
        let one = Slice::whole(&[]);
        for (held, mut moments) in self.holding.pieces().iter().zip(self.optimiser.moments()) {
            let parts = [(&held.slice, held.range.clone()), (&held.slice, held.range.clone()), (&one, 0..1)];
            for ((kind, (slice, range)), moment) in MOMENTS.iter().zip(parts).zip(&mut moments) {
                let piece = file.piece(&format!("{kind}.{}", held.name), slice, range)?;
                let piece = piece.f_view(moment.size().as_slice())?;
                tch::no_grad(|| moment.f_copy_(&piece).map(drop))?;
            }
        }
        self.step = state.step;
        if state.samples != self.samples {
            let message = format!(
                "the training data has {} samples now, {} when the checkpoint was written: this epoch begins anew",
                self.samples, state.samples
            );
            self.link.event(Body::warning("data_changed", message));
        }
        let threads = crate::device::num_threads() as u64;
        if state.threads != threads && !self.compute.device.is_cuda() {
            let message = format!(
                "{threads} compute threads now, {} when the checkpoint was written: sums round differently, so the \
                 curve will not equal an uninterrupted one to the bit (--threads {} would)",
                state.threads, state.threads
            );
            self.link.event(Body::warning("threads_changed", message));
        }
        self.link.event(Body::Resumed { from_step: self.step });
        Ok(())
    }
}
