//! What a mesh will cost, before anything starts.

use data::Tokenizer;
use models::shard::{check_heads, predict};
use models::{CoCaConfig, parameter_specs};
use run::settings::Settings;

use super::Failure;
use crate::tui::format::bytes;

/// The model's shape as training will have it, from files that are here: weights may still have to be fetched.
fn shape(settings: &Settings, data_folder: &std::path::Path) -> Result<CoCaConfig, String> {
    let source = models::source::resolve(settings).or_else(|e| {
        let shape_only = Settings { pretrained: false, pretrained_model_path: None, ..settings.clone() };
        models::source::resolve(&shape_only).map_err(|_| e)
    });
    let mut source = source.map_err(|e| e.to_string())?;
    let file = source.tokenizer_for(settings, data_folder);
    let tokenizer = match &file {
        Some(file) => Tokenizer::from_file(file),
        None => Tokenizer::clip(),
    };
    let ids = tokenizer.map_err(|e| e.to_string())?.vocab_size();
    source.fit(settings, i64::try_from(ids).unwrap_or(i64::MAX), file.is_none())?;
    Ok(source.config)
}

/// Each rank's place, samples and bytes, as comments of a TOML file.
///
/// # Errors
/// Ranks that cannot be arranged so, or more of them than there are heads.
pub fn forecast(settings: &Settings, data_folder: &std::path::Path) -> Result<String, Failure> {
    let degrees = settings.mesh().map_err(Failure::failed)?;
    let stage = settings.stage();
    let word = if stage.word().is_empty() { "nothing sharded" } else { stage.word() };
    let mut text = format!(
        "# mesh: {} ranks = data parallel {} x sharding {} x tensor parallel {}, {word}\n",
        degrees.ranks(),
        degrees.data_parallel,
        degrees.sharding,
        degrees.tensor_parallel
    );
    let config = match shape(settings, data_folder) {
        Ok(config) => config,
        // The model itself is checked when it is read; only the forecast is missing.
        Err(why) => {
            let why = run::escape::line(&why).into_owned();
            return Ok(text + &format!("#   bytes: n/a: the model's shape is not known here: {why}\n"));
        }
    };
    check_heads(&config, degrees.tensor_parallel).map_err(Failure::failed)?;
    let specs = parameter_specs(&config);
    let numbers: i64 = specs.iter().map(models::ParameterSpec::numel).sum();
    text += &format!("#   {numbers} parameters; predicted bytes of a rank between two steps:\n");
    let rows = settings.per_device_train_batch_size * settings.gradient_accumulation_steps;
    let per_node = u32::try_from(settings.nproc_per_node).unwrap_or(1).max(1);
    let shown = degrees.ranks().min(64);
    for rank in 0..shown {
        let at = degrees.coordinates(rank);
        let first = u64::from(degrees.data_rank(rank)) * rows;
        let b = settings.held(predict(&config, &specs, degrees, stage, rank));
        text += &format!(
            "#   rank {rank} (node {}, data {}, shard {}, tensor {}): samples {first}..{}; parameters {}, gradients {}, \
             optimiser {}, together {}\n",
            rank / per_node,
            at.data_parallel,
            at.sharding,
            at.tensor_parallel,
            first + rows,
            bytes(b.parameters),
            bytes(b.gradients),
            bytes(b.optimiser),
            bytes(b.sum())
        );
    }
    if shown < degrees.ranks() {
        text += &format!("#   ... and {} more ranks\n", degrees.ranks() - shown);
    }
    Ok(text)
}
