//! What a mesh will cost, before anything starts: `train --dry_run` prints it, the settings tab shows it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data::{Lengths, ReadOptions, Tokenizer};
use models::activations::{Work, activations};
use models::shard::{check_heads, predict};
use models::{CoCaConfig, parameter_specs};
use run::events::StateBytes;
use run::mesh::{Coordinates, Degrees, Stage};
use run::settings::Settings;

/// A rank that will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankForecast {
    /// The rank.
    pub rank: u32,
    /// Its machine, from 0.
    pub node: u32,
    /// Where it is.
    pub at: Coordinates,
    /// The first of the samples of a step that it reads.
    pub first_row: u64,
    /// Bytes between two steps.
    pub bytes: StateBytes,
    /// Bytes that forward leaves for backward at most, where the data tell how long captions are.
    pub activations: Option<u64>,
}

impl RankForecast {
    /// The most that is held at once, as far as it is known.
    pub fn most(&self) -> u64 {
        self.bytes.sum() + self.activations.unwrap_or(0)
    }
}

/// What settings will make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// How the ranks are arranged.
    pub degrees: Degrees,
    /// What is sharded.
    pub stage: Stage,
    /// Samples of a rank in a step.
    pub rows: u64,
    /// Samples of a step over all ranks.
    pub batch: u64,
    /// Numbers of the model.
    pub parameters: u64,
    /// Each rank; none where the model's shape is not known.
    pub ranks: Vec<RankForecast>,
    /// Why it is not.
    pub unknown: Option<String>,
    /// Why activations are not known.
    pub no_activations: Option<String>,
}

/// The model's shape as training will have it, from files that are here: weights may still have to be fetched.
fn shape(settings: &Settings) -> Result<(CoCaConfig, Tokenizer), String> {
    let source = models::source::resolve(settings).or_else(|e| {
        let shape_only = Settings { pretrained: false, pretrained_model_path: None, ..settings.clone() };
        models::source::resolve(&shape_only).map_err(|_| e)
    });
    let mut source = source.map_err(|e| e.to_string())?;
    let data = settings.training_data().map(PathBuf::from).unwrap_or_default();
    let folder = if data.is_dir() { data.as_path() } else { data.parent().unwrap_or(Path::new("")) };
    let file = source.tokenizer_for(settings, folder);
    let tokenizer = match &file {
        Some(file) => Tokenizer::from_file(file),
        None => Tokenizer::clip(),
    };
    let tokenizer = tokenizer.map_err(|e| e.to_string())?;
    let ids = tokenizer.vocab_size();
    source.fit(settings, i64::try_from(ids).unwrap_or(i64::MAX), file.is_none())?;
    Ok((source.config, tokenizer))
}

/// What lengths of captions follow from.
type Asked = (PathBuf, ReadOptions, usize, i64);

/// How long the captions are. The answer is kept: the form asks again after every key.
fn lengths(settings: &Settings, config: &CoCaConfig, tokenizer: &Tokenizer) -> Result<Lengths, String> {
    static LAST: Mutex<Option<(Asked, Lengths)>> = Mutex::new(None);
    let data = settings.training_data().map(PathBuf::from).ok_or("no training data is named")?;
    let context = config.text.context_length;
    let asked = (data, ReadOptions::from(settings), tokenizer.vocab_size(), context);
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, lengths)) = last.filter(|(before, _)| *before == asked) {
        return Ok(lengths);
    }
    let lengths = Lengths::at(&asked.0, &asked.1, tokenizer, usize::try_from(context).unwrap_or(1))?;
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, lengths));
    Ok(lengths)
}

/// Whether training will be on the CPU, as far as the settings and this machine tell.
fn on_cpu(settings: &Settings) -> bool {
    settings.device == "cpu" || settings.device == "auto" && !Path::new("/dev/nvidiactl").exists()
}

/// Whether the model has heads enough for the tensor-parallel ranks; so it is where its shape is not known here.
///
/// # Errors
/// In words: ranks that cannot be arranged so, or more of them than there are heads.
pub fn heads(settings: &Settings) -> Result<(), String> {
    let degrees = settings.mesh().map_err(|e| e.to_string())?;
    shape(settings).map_or(Ok(()), |(config, _)| {
        check_heads(&config, degrees.tensor_parallel).map_err(|e| e.to_string())
    })
}

/// What settings will make.
///
/// # Errors
/// In words: ranks that cannot be arranged so, or more of them than there are heads.
pub fn of(settings: &Settings) -> Result<Forecast, String> {
    let (degrees, stage) = (settings.mesh().map_err(|e| e.to_string())?, settings.stage());
    let rows = settings.per_device_train_batch_size * settings.gradient_accumulation_steps;
    let mut forecast = Forecast {
        degrees,
        stage,
        rows,
        batch: settings.global_batch_size(),
        parameters: 0,
        ranks: Vec::new(),
        unknown: None,
        no_activations: None,
    };
    let (config, tokenizer) = match shape(settings) {
        Ok(known) => known,
        // The model itself is checked when it is read; only the forecast is missing.
        Err(why) => {
            forecast.unknown = Some(format!("the model's shape is not known here: {why}"));
            return Ok(forecast);
        }
    };
    check_heads(&config, degrees.tensor_parallel).map_err(|e| e.to_string())?;
    let specs = parameter_specs(&config);
    forecast.parameters = specs.iter().map(|spec| spec.numel().unsigned_abs()).sum();
    let per_node = u32::try_from(settings.nproc_per_node).unwrap_or(1).max(1);
    // Ranks of another data-parallel index hold the same.
    let apart = (degrees.sharding * degrees.tensor_parallel).max(1).min(degrees.ranks());
    let work = match lengths(settings, &config, &tokenizer) {
        Ok(found) => Some(Work::of(settings, degrees, (found.longest, found.mean), on_cpu(settings))),
        Err(why) => {
            forecast.no_activations = Some(why);
            None
        }
    };
    let held: Vec<(StateBytes, Option<u64>)> = (0..apart)
        .map(|rank| {
            let left = |work| activations(&config, &specs, degrees, degrees.coordinates(rank), work);
            let state = predict(&config, &specs, degrees, stage, rank, |name| settings.trains(name));
            (settings.held(state), work.as_ref().map(left))
        })
        .collect();
    let rank = |(rank, (bytes, activations)): (u32, &(StateBytes, Option<u64>))| RankForecast {
        rank,
        node: rank / per_node,
        at: degrees.coordinates(rank),
        first_row: u64::from(degrees.data_rank(rank)) * rows,
        bytes: *bytes,
        activations: *activations,
    };
    forecast.ranks = (0..degrees.ranks()).zip(held.iter().cycle()).map(rank).collect();
    Ok(forecast)
}
