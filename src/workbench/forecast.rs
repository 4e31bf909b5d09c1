//! What a mesh will cost, before anything starts: `train --dry_run` prints it, the settings tab shows it.

use std::path::{Path, PathBuf};

use data::Tokenizer;
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
}

/// The model's shape as training will have it, from files that are here: weights may still have to be fetched.
fn shape(settings: &Settings) -> Result<CoCaConfig, String> {
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
    let ids = tokenizer.map_err(|e| e.to_string())?.vocab_size();
    source.fit(settings, i64::try_from(ids).unwrap_or(i64::MAX), file.is_none())?;
    Ok(source.config)
}

/// Whether the model has heads enough for the tensor-parallel ranks; so it is where its shape is not known here.
///
/// # Errors
/// In words: ranks that cannot be arranged so, or more of them than there are heads.
pub fn heads(settings: &Settings) -> Result<(), String> {
    let degrees = settings.mesh().map_err(|e| e.to_string())?;
    shape(settings)
        .map_or(Ok(()), |config| check_heads(&config, degrees.tensor_parallel).map_err(|e| e.to_string()))
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
    };
    let config = match shape(settings) {
        Ok(config) => config,
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
    let held: Vec<StateBytes> =
        (0..apart).map(|rank| settings.held(predict(&config, &specs, degrees, stage, rank))).collect();
    let rank = |(rank, bytes): (u32, &StateBytes)| RankForecast {
        rank,
        node: rank / per_node,
        at: degrees.coordinates(rank),
        first_row: u64::from(degrees.data_rank(rank)) * rows,
        bytes: *bytes,
    };
    forecast.ranks = (0..degrees.ranks()).zip(held.iter().cycle()).map(rank).collect();
    Ok(forecast)
}
