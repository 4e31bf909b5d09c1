//! Where a model comes from: its shape, its weights, its tokenizer.

use std::path::{Path, PathBuf};

use run::dir::RunDir;
use run::settings::Settings;
use thiserror::Error;

use crate::model::{CoCaConfig, ConfigError};

/// Published models, and the config each belongs to.
const PUBLISHED: [(&str, &str); 4] = [
    ("CoCa-ViT-B-32-laion2B-s13B-b90k", "coca_ViT-B-32"),
    ("CoCa-ViT-L-14-laion2B-s13B-b90k", "coca_ViT-L-14"),
    ("mscoco_finetuned_CoCa-ViT-B-32-laion2B-s13B-b90k", "coca_ViT-B-32"),
    ("mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k", "coca_ViT-L-14"),
];

/// Files of a model folder: config, weights, tokenizer. Checkpoints are model folders too.
pub const CONFIG_FILE: &str = "open_clip_config.json";
/// Weights as cocaptain writes them.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Weights as open_clip names them.
const OPEN_CLIP_WEIGHTS: &str = "open_clip_model.safetensors";
/// A tokenizer of the model's own, in the format of the `tokenizers` library.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Why there is no model.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Neither weights nor a shape were named.
    #[error(
        "no model is named: give --model (a folder, a weights file, a run) or --model_config (coca_ViT-B-32, …) to start from scratch"
    )]
    Nothing,
    /// A published model whose weights are not on this machine.
    #[error(
        "the weights of {name} are not on this machine: download the model's folder and give it as --model FOLDER, or start from scratch with --pretrained False"
    )]
    NotHere {
        /// The model.
        name: String,
    },
    /// Nothing of that name.
    #[error("'{name}' is no known model, folder, weights file or run")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A file that the model needs is absent.
    #[error("{}: {what}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The model's shape cannot be used.
    #[error("{name}: {source}")]
    Config {
        /// Name or file of the config.
        name: String,
        /// What is wrong.
        source: ConfigError,
    },
}

/// A model before it is loaded.
#[derive(Clone, Debug)]
pub struct ModelSource {
    /// Its name, for people.
    pub name: String,
    /// Its shape.
    pub config: CoCaConfig,
    /// Its weights; none: from scratch.
    pub weights: Option<PathBuf>,
    /// Its own tokenizer.
    pub tokenizer: Option<PathBuf>,
}

/// Finds the model that settings ask for.
///
/// # Errors
/// [`SourceError`], with what to do.
pub fn resolve(settings: &Settings) -> Result<ModelSource, SourceError> {
    let config = settings.model_config.as_deref().map(named_config).transpose()?;
    let Some(model) = settings.model.as_deref().or(settings.pretrained_model_path.as_deref()) else {
        let config = config.ok_or(SourceError::Nothing)?;
        let name = settings.model_config.clone().unwrap_or_default();
        return Ok(ModelSource { name, config, weights: None, tokenizer: None });
    };
    let short = model.strip_prefix("paddlemix/CoCa/").unwrap_or(model);
    let published = PUBLISHED.iter().find(|(name, _)| *name == short);
    let mut source = if let Some((name, shape)) = published {
        if settings.pretrained && settings.pretrained_model_path.is_none() {
            return Err(SourceError::NotHere { name: (*name).to_owned() });
        }
        let config = config.map_or_else(|| named_config(shape), Ok)?;
        ModelSource { name: (*name).to_owned(), config, weights: None, tokenizer: None }
    } else {
        on_disk(model, config, Path::new(&settings.output_dir))?
    };
    if let Some(file) = &settings.pretrained_model_path {
        source.weights = Some(PathBuf::from(file));
    }
    if !settings.pretrained {
        source.weights = None;
    }
    Ok(source)
}

fn on_disk(model: &str, config: Option<CoCaConfig>, root: &Path) -> Result<ModelSource, SourceError> {
    let path = Path::new(model);
    if path.is_file() {
        let config = config.ok_or_else(|| SourceError::File {
            path: path.to_owned(),
            what: "a weights file alone does not tell the model's shape: give --model_config too".to_owned(),
        })?;
        return Ok(ModelSource {
            name: model.to_owned(),
            config,
            weights: Some(path.to_owned()),
            tokenizer: None,
        });
    }
    if path.is_dir() && !path.join("config.toml").is_file() {
        return folder(path, config);
    }
    let run = RunDir::find(model, root).map_err(|_| SourceError::Unknown { name: model.to_owned() })?;
    let (checkpoint, ..) = run::checkpoint::newest(&run)
        .map_err(|e| SourceError::File { path: run.path().to_owned(), what: e.to_string() })?;
    folder(&checkpoint, config)
}

/// A model folder: open_clip's layout, or a checkpoint.
pub fn folder(path: &Path, config: Option<CoCaConfig>) -> Result<ModelSource, SourceError> {
    let weights = [WEIGHTS_FILE, OPEN_CLIP_WEIGHTS].map(|f| path.join(f)).into_iter().find(|f| f.is_file());
    let weights = weights.ok_or_else(|| SourceError::File {
        path: path.to_owned(),
        what: format!("no {WEIGHTS_FILE} or {OPEN_CLIP_WEIGHTS} in this folder"),
    })?;
    let config = match config {
        Some(config) => config,
        None => read_config(&path.join(CONFIG_FILE))?,
    };
    let tokenizer = Some(path.join(TOKENIZER_FILE)).filter(|t| t.is_file());
    Ok(ModelSource { name: path.display().to_string(), config, weights: Some(weights), tokenizer })
}

/// A config by name or file.
fn named_config(name: &str) -> Result<CoCaConfig, SourceError> {
    if name.ends_with(".json") {
        return read_config(Path::new(name));
    }
    CoCaConfig::named(name).map_err(|source| SourceError::Config { name: name.to_owned(), source })
}

/// Reads a bare model config, or open_clip's hub form that holds it under `model_cfg`.
fn read_config(path: &Path) -> Result<CoCaConfig, SourceError> {
    let file = |what: String| SourceError::File { path: path.to_owned(), what };
    let text =
        std::fs::read_to_string(path).map_err(|e| file(format!("the model's config cannot be read: {e}")))?;
    let mut json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| file(format!("not JSON: {e}")))?;
    if let Some(inner) = json.get_mut("model_cfg") {
        json = inner.take();
    }
    CoCaConfig::from_json(&json.to_string())
        .map_err(|source| SourceError::Config { name: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(model: Option<&str>, config: Option<&str>, pretrained: bool) -> Settings {
        Settings {
            model: model.map(str::to_owned),
            model_config: config.map(str::to_owned),
            pretrained,
            ..Settings::default()
        }
    }

    #[test]
    fn names() {
        assert!(matches!(resolve(&settings(None, None, true)), Err(SourceError::Nothing)));
        let from_scratch = resolve(&settings(None, Some("coca_ViT-B-32"), true)).unwrap();
        assert!(from_scratch.weights.is_none());
        let name = "paddlemix/CoCa/CoCa-ViT-L-14-laion2B-s13B-b90k";
        assert!(matches!(resolve(&settings(Some(name), None, true)), Err(SourceError::NotHere { .. })));
        assert_eq!(resolve(&settings(Some(name), None, false)).unwrap().config.embed_dim, 768);
        assert!(matches!(resolve(&settings(Some("nothing"), None, true)), Err(SourceError::Unknown { .. })));
    }
}
