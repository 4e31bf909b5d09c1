//! From a job to a trainer: device, model, data, optimiser, position.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data::picture::{CropOptions, Preprocess};
use data::zero_shot::ClassFolders;
use data::{Dataset, Loader, LoaderOptions, Position, ReadOptions, Split, Tokenizer};
use run::dir::RunDir;
use run::events::{Body, Started, State};
use run::link::TrainJob;
use run::settings::Settings;
use tch::Tensor;

use super::compute::Compute;
use super::state::TrainerState;
use super::watch::{Reference, Watched};
use super::{TrainError, Trainer, memory, meter};
use crate::link::Link;
use crate::model::{CoCa, Parameters, parameter_specs};
use crate::optimiser::{AdamW, AdamWConfig, LossScale, Schedule, layers_above};
use crate::parallel::{Holding, Meeting, Mesh, receive_folder};
use crate::source::{self, ModelSource};
use crate::weights::WeightsFile;

/// Decoded pictures of a small data set are kept, so that decoding takes no time from the model.
const CACHE_BYTES: usize = 1 << 30;

/// Makes a trainer that stands where the job begins.
pub(super) fn trainer<'a>(
    job: TrainJob,
    meeting: Option<&Meeting>,
    link: &'a Link,
) -> Result<Trainer<'a>, TrainError> {
    let TrainJob { run, settings, checkpoint, edits, attempt, rank, world_size, rendezvous, .. } = job;
    // Also said before a run is made; a config.toml may have been edited since.
    if let Some(why) = settings.unavailable() {
        return Err(TrainError::Unavailable(why));
    }
    link.event(Body::State { state: State::Starting, step: 0, message: None });
    let compute = Compute::choose(&settings, job.local_rank)?;
    if settings.fp16 && !compute.device.is_cuda() {
        let why = compute.fallback.clone().unwrap_or_default();
        let message =
            format!("fp16 is for GPUs, and there is none in use ({why}): use bf16, which works on both");
        return Err(TrainError::Unavailable(message));
    }
    let degrees = settings.mesh().map_err(|e| TrainError::Unavailable(e.to_string()))?;
    let mesh = match &rendezvous {
        Some(at) if world_size > 1 => Mesh::meet_on(at, rank, degrees, compute.device, meeting)?,
        _ => Mesh::alone(),
    };
    let checkpoint = received(meeting, &mesh, checkpoint, &settings, &run)?;
    let mut model = match &checkpoint {
        Some(at) => source::folder(at, None)?,
        None => source::resolve(&settings)?,
    };
    let data = Data::open(&settings)?;
    data.announce_broken(link);
    let tokenizer_file = model.tokenizer_for(&settings, &data.folder);
    let tokenizer = match &tokenizer_file {
        Some(file) => Tokenizer::from_file(file),
        None => Tokenizer::clip(),
    };
    let tokenizer = tokenizer?;
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|e| TrainError::Checkpoint { path: file.clone(), why: e.to_string() })
    };
    let tokenizer_json = tokenizer_file.as_ref().map(read).transpose()?;
    let ids = tokenizer.vocab_size() as i64;
    model.fit(&settings, ids, tokenizer_file.is_none()).map_err(TrainError::Unavailable)?;

    let config = model.config.clone();
    models::shard::check_heads(&config, degrees.tensor_parallel)
        .map_err(|e| TrainError::Unavailable(e.to_string()))?;
    let specs = parameter_specs(&config);
    let whole = match &model.weights {
        Some(file) => WeightsFile::open(file)?.parameters(&specs, compute.device)?,
        None => Parameters::initialise(&specs, settings.seed, compute.device)?,
    };
    let parameters_sum = if meeting.is_some() { sum_of(&whole)? } else { 0 };
    let (parameters, holding) =
        Holding::divide(whole, &config, &specs, &mesh, settings.stage(), settings.recompute)?;
    same_everywhere(&mesh, parameters_sum, data.train.len() as u64)?;
    parameters.set_trainable(|name| settings.trains(name))?;
    let coca = CoCa::new(config, &parameters)?;
    let constants = AdamWConfig {
        beta1: settings.adam_beta1,
        beta2: settings.adam_beta2,
        eps: settings.adam_epsilon,
        half_moments: settings.adam_moments == "bfloat16",
    };
    let mut optimiser = AdamW::over(holding.trained(), constants)?;
    if let Some(decay) = settings.layer_decay {
        let blocks = |tower: &str| match tower {
            "visual" => coca.config.vision.layers,
            "text" => coca.config.text.layers,
            "text_decoder" => coca.config.decoder.layers,
            _ => 0,
        };
        optimiser.set_rate_factors(|name| decay.powi(i32::try_from(layers_above(name, blocks)).unwrap_or(0)));
    }
    let reducer = match holding.shards_gradients() {
        true => None,
        false => {
            let trained = parameters.tensors().iter().filter(|t| t.requires_grad());
            mesh.reducer(&trained.map(Tensor::shallow_clone).collect::<Vec<_>>())?
        }
    };
    let side = usize::try_from(coca.config.vision.image_size).unwrap_or(1);
    let normalisation = model.preprocess;
    let preprocess = Preprocess::new(side, normalisation.mean, normalisation.std);
    let samples = data.train.len() as u64;
    let state = checkpoint.as_deref().map(TrainerState::load).transpose()?;
    let position =
        state.as_ref().map_or_else(Position::default, |s| s.position(samples, settings.global_batch_size()));
    let loader = data.loader(&settings, &coca, preprocess.clone(), tokenizer.clone(), position, &mesh)?;
    let context = usize::try_from(coca.config.text.context_length).unwrap_or(1);
    let lengths = data::Lengths::of(&data.train, &tokenizer, context)?;
    let watched = data.watched(&settings, preprocess, &run.join("pictures"))?;

    let mut trainer = Trainer {
        link,
        run: RunDir::at(run),
        rank,
        mesh,
        reducer,
        edits: edits.into(),
        memory: memory::Watch::new(&compute),
        busy: super::busy::Busy::default(),
        compute,
        model: coca,
        specs,
        parameters,
        holding,
        optimiser,
        loader,
        position,
        samples,
        lengths,
        tokenizer,
        tokenizer_json,
        normalisation,
        watched,
        schedule: Schedule { warmup: 0, total: 0 },
        step: 0,
        paused: false,
        owed: false,
        stopped: false,
        pending: None,
        meter: meter::Meter::default(),
        last_end: None,
        held_out_loss: None,
        measured: false,
        loss_scale: settings.fp16.then(LossScale::default),
        settings,
    };
    trainer.replan();
    trainer.announce(&model, checkpoint.as_deref(), world_size);
    match (&checkpoint, &state) {
        (Some(at), Some(state)) => {
            trainer.go_on_from(at, state)?;
            trainer.forget_received(at)?;
        }
        // Nothing was saved before an attempt that is over: whatever it said is void.
        _ if attempt > 0 => link.event(Body::Resumed { from_step: 0 }),
        _ => {}
    }
    Ok(trainer)
}

/// The checkpoint to go on from as this machine has it: where file systems are not shared it is sent, into the folder of
/// this run where it lasts until it is read.
fn received(
    meeting: Option<&Meeting>,
    mesh: &Mesh,
    checkpoint: Option<PathBuf>,
    settings: &Settings,
    run: &Path,
) -> Result<Option<PathBuf>, TrainError> {
    let Some(name) = meeting.and_then(|m| m.checkpoint.as_ref()).filter(|_| !settings.shared_output) else {
        return Ok(checkpoint);
    };
    let into = RunDir::at(run).checkpoints().join(format!(".tmp-received-{name}"));
    Ok(Some(receive_folder(mesh, checkpoint.as_deref(), &into)?))
}

/// The sum of all parameters' bits, by which machines see whether they start from the same. Whole numbers: a sum of the
/// values would hang on how many threads add them.
fn sum_of(parameters: &Parameters) -> Result<i64, TrainError> {
    let mut sum: i64 = 0;
    for tensor in parameters.tensors() {
        let bits = tensor.f_to_kind(tch::Kind::Float)?.f_contiguous()?.f_view_dtype(tch::Kind::Int)?;
        sum = sum.wrapping_add(bits.f_sum(tch::Kind::Int64)?.f_int64_value(&[])?);
    }
    Ok(sum)
}

/// Weights and data are read by every machine itself: they must be the same.
fn same_everywhere(mesh: &Mesh, sum: i64, samples: u64) -> Result<(), TrainError> {
    let Some(first) = mesh.member(0) else { return Ok(()) };
    let all = mesh.all_say(&(sum, samples))?;
    let differs = all.iter().zip(0_u32..).find(|(said, _)| Some(*said) != all.first());
    let Some(((_, samples_there), rank)) = differs else { return Ok(()) };
    let (node, machine) = mesh.member(rank).map_or((0, String::new()), |m| (m.node, m.machine.clone()));
    let (_, samples_here) = all.first().copied().unwrap_or_default();
    let what = match *samples_there == samples_here {
        true => "other weights".to_owned(),
        false => format!("other training data ({samples_there} samples, here {samples_here})"),
    };
    Err(TrainError::Unavailable(format!(
        "node {node} ({machine}) has {what} than node {} ({}): give both the same files",
        first.node, first.machine
    )))
}

/// The data of a run.
struct Data {
    /// The data set's folder.
    folder: PathBuf,
    train: Arc<Dataset>,
    val: Option<Dataset>,
    test: Option<Dataset>,
}

impl Data {
    fn open(settings: &Settings) -> Result<Self, TrainError> {
        let Some(train_data) = settings.training_data() else {
            return Err(TrainError::Unavailable(
                "no training data is named: give --train_data (an annotation file, or the folder of a data set)".to_owned(),
            ));
        };
        let path = Path::new(&train_data);
        let options = ReadOptions::from(settings);
        let train = Arc::new(Dataset::open(path, Split::Train, &options)?);
        let beside = |split| match place_of(path, split) {
            Some(place) => Dataset::open(&place, split, &options).map(Some),
            None => Ok(None),
        };
        let val = match &settings.val_data {
            Some(val) => Some(Dataset::open(Path::new(val), Split::Val, &options)?),
            None => beside(Split::Val)?,
        };
        let test = beside(Split::Test)?;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        Ok(Self { folder: folder.to_owned(), train, val, test })
    }

    fn loader(
        &self,
        settings: &Settings,
        model: &CoCa,
        preprocess: Preprocess,
        tokenizer: Tokenizer,
        start: Position,
        mesh: &Mesh,
    ) -> Result<Loader, TrainError> {
        let crop = (settings.train_crop_min < 1.0)
            .then(|| CropOptions { scale: [settings.train_crop_min, 1.0], ..CropOptions::default() });
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let context = usize::try_from(model.config.text.context_length).unwrap_or(1);
        let options = LoaderOptions {
            seed: settings.seed,
            shuffle: true,
            augment: crop,
            drop_last: true,
            workers: size(settings.dataloader_num_workers),
            prefetch: 2 * size(settings.dataloader_num_workers),
            cache_bytes: CACHE_BYTES,
            start,
            rank: mesh.data_part().0,
            world_size: mesh.data_part().1,
            epochs: None,
            max_skipped_in_a_row: size(settings.max_broken_records),
            ..LoaderOptions::evaluation(size(settings.global_batch_size()), preprocess, tokenizer, context)
        };
        Ok(Loader::new(self.train.clone(), options)?)
    }

    /// `copies` is the folder for pictures that are no files of their own.
    fn watched(
        &self,
        settings: &Settings,
        preprocess: Preprocess,
        copies: &Path,
    ) -> Result<Watched, TrainError> {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let some =
            |set: &Option<Dataset>, n| set.as_ref().map_or_else(Vec::new, |s| references(s, n, copies));
        let samples = some(&self.val, count(settings.sample_count));
        let held_out = some(&self.val, count(settings.eval_samples));
        let test = if settings.predictions { some(&self.test, usize::MAX) } else { Vec::new() };
        Ok(Watched { preprocess, held_out, samples, test, zero_shot: self.zero_shot(settings)? })
    }

    /// Names the entries that are left out.
    fn announce_broken(&self, link: &Link) {
        for set in [Some(&*self.train), self.val.as_ref(), self.test.as_ref()].into_iter().flatten() {
            for broken in set.broken().iter().take(20) {
                let at = broken.origin;
                let file = set.files().get(at.file as usize).map_or(set.path(), PathBuf::as_path);
                let place = format!("{}:{} entry {}", file.display(), at.line, at.entry);
                let message = format!("left out: {place}: {}", broken.problem);
                link.event(Body::warning("broken_record", message));
            }
            if set.broken_count() > 20 {
                let message =
                    format!("{}: {} broken entries left out", set.path().display(), set.broken_count());
                link.event(Body::warning("broken_record", message));
            }
        }
    }

    fn zero_shot(&self, settings: &Settings) -> Result<Option<ClassFolders>, TrainError> {
        let own = self.folder.join("zero_shot");
        let folder = match &settings.classification_eval {
            Some(folder) => PathBuf::from(folder),
            None if settings.predictions && own.is_dir() => own,
            None => return Ok(None),
        };
        Ok(Some(ClassFolders::open(&folder)?))
    }
}

/// Where another split of a data set is: in the same folder, or in the file of the same name but for the split.
fn place_of(train_data: &Path, split: Split) -> Option<PathBuf> {
    if train_data.is_dir() {
        return data::reader::has_split(train_data, split).then(|| train_data.to_owned());
    }
    let name = train_data.file_name()?.to_str()?;
    let other = name.replacen(Split::Train.name(), split.name(), 1);
    Some(train_data.with_file_name(&other)).filter(|file| other != name && file.is_file())
}

/// At most `n` of a set's samples, evenly spread, always the same.
fn references(set: &Dataset, n: usize, copies: &Path) -> Vec<Reference> {
    // Only the drawn data set tells what its pictures show; any other has no such field.
    let truth: HashMap<String, data::demo::Scene> = data::demo::read_truth(set.path())
        .map(|entries| entries.into_iter().map(|e| (e.image, e.scene)).collect())
        .unwrap_or_default();
    let reference = |index: usize| {
        let sample = set.sample(index)?;
        let truth = truth.get(&sample.image.name).copied();
        Some(Reference {
            // A picture that cannot be read is named when it is looked at.
            image: sample.image.to_file(copies).unwrap_or_else(|_| sample.image.path()),
            name: sample.image.name,
            captions: sample.captions,
            truth,
        })
    };
    let n = n.min(set.len());
    (0..n).filter_map(|i| reference(i * set.len() / n)).collect()
}

impl Trainer<'_> {
    fn announce(&self, model: &ModelSource, checkpoint: Option<&Path>, world_size: u32) {
        let weights = match (checkpoint, &model.weights) {
            (Some(at), _) => {
                format!("checkpoint {}", at.file_name().unwrap_or(at.as_os_str()).to_string_lossy())
            }
            (None, Some(file)) => format!("weights of {}", file.display()),
            (None, None) => format!("from scratch, seed {}", self.settings.seed),
        };
        let versions = [("cocaptain", run::VERSION), ("libtorch", crate::LIBTORCH_VERSION)];
        self.link.event(Body::Started(Started {
            model: self.settings.model_config.clone().unwrap_or_else(|| model.name.clone()),
            weights,
            parameters: self.specs.iter().map(|spec| spec.numel().unsigned_abs()).sum(),
            device: self.compute.words(),
            samples: self.samples,
            batch_size: self.settings.global_batch_size(),
            total_steps: self.schedule.total,
            world_size,
            versions: versions.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        }));
        self.link.event(Body::Layout(self.layout(None)));
    }
}
