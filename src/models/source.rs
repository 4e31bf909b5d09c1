//! Where a model comes from: its shape, its weights, its preprocessing, its tokenizer.

use std::path::{Path, PathBuf};

use run::dir::RunDir;
use run::settings::Settings;
use thiserror::Error;

use crate::config::{CoCaConfig, ConfigError};
use crate::known::known;
use crate::preprocess::Preprocess;

/// Files of a model folder: config, weights, tokenizer. Checkpoints are model folders too.
pub const CONFIG_FILE: &str = "open_clip_config.json";
/// Weights as cocaptain writes them.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Weights as open_clip writes them.
pub const OPEN_CLIP_WEIGHTS: &str = "open_clip_model.safetensors";
/// A tokenizer of the model's own, in the format of the `tokenizers` library.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The config of a PaddleMIX model, whose weights are model_state.pdparams.
pub const PADDLE_CONFIG_FILE: &str = "config.json";

/// Weights that a model folder may hold, the best first.
pub const WEIGHTS_FILES: [&str; 5] = [
    WEIGHTS_FILE,
    OPEN_CLIP_WEIGHTS,
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "model_state.pdparams",
];

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
        "the weights of {name} are not on this machine: `cocaptain models fetch {name}` gets them; or give a folder with them as --model (a training may start from scratch: --pretrained False)"
    )]
    NotHere {
        /// The model.
        name: String,
    },
    /// Nothing of that name.
    #[error("'{name}' is no known model (`cocaptain models list`), folder, weights file or run")]
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
    /// How pictures are made ready for it.
    pub preprocess: Preprocess,
    /// Its own tokenizer.
    pub tokenizer: Option<PathBuf>,
}

impl ModelSource {
    fn from_scratch(name: &str, config: CoCaConfig) -> Self {
        let preprocess = Preprocess::default();
        Self { name: name.to_owned(), config, weights: None, preprocess, tokenizer: None }
    }
}

impl ModelSource {
    /// Which tokenizer.json to train with, given the folder of the data set; none: CLIP's vocabulary.
    pub fn tokenizer_for(&self, settings: &Settings, data_folder: &Path) -> Option<PathBuf> {
        match settings.tokenizer.as_deref() {
            // A model that brings its own weights was trained on its own ids.
            _ if self.weights.is_some() && self.tokenizer.is_some() => self.tokenizer.clone(),
            Some("clip") => None,
            Some("dataset") => Some(data_folder.join(TOKENIZER_FILE)),
            Some(file) => Some(PathBuf::from(file)),
            None => self.tokenizer.clone(),
        }
    }

    /// Makes vocabulary and context what the tokenizer (of so many ids) and the settings say; weights cannot be made to
    /// fit. With `keep_vocabulary` the config's ids are the least.
    ///
    /// # Errors
    /// Words that say what does not fit, and what to do.
    pub fn fit(&mut self, settings: &Settings, ids: i64, keep_vocabulary: bool) -> Result<(), String> {
        let text = &mut self.config.text;
        if self.weights.is_none() {
            // A published config may have more ids than CLIP's vocabulary (coca_base has); a small tokenizer of its own
            // makes the model's vocabulary as small.
            let least = if keep_vocabulary { text.vocab_size } else { 0 };
            text.vocab_size = ids.max(least);
        } else if ids > text.vocab_size {
            return Err(format!(
                "the tokenizer has {ids} ids, the model {}: use the tokenizer that belongs to the model",
                text.vocab_size
            ));
        }
        if let Some(context) = settings.context_length.and_then(|n| i64::try_from(n).ok()) {
            if self.weights.is_some() && context != text.context_length {
                return Err(format!(
                    "context_length {context} does not fit the weights, which have {}: leave it out",
                    text.context_length
                ));
            }
            text.context_length = context;
        }
        if settings.correct_cls_mask {
            text.correct_cls_mask = true;
        }
        Ok(())
    }
}

/// Finds the model that settings ask for.
///
/// # Errors
/// [`SourceError`], with what to do.
pub fn resolve(settings: &Settings) -> Result<ModelSource, SourceError> {
    let config = settings.model_config.as_deref();
    let Some(model) = settings.model.as_deref().or(settings.pretrained_model_path.as_deref()) else {
        let name = config.ok_or(SourceError::Nothing)?;
        return Ok(ModelSource::from_scratch(name, named_config(name)?));
    };
    // Nothing of it is read but its shape: its weights need not be here.
    let shape_only = !settings.pretrained || settings.pretrained_model_path.is_some();
    let mut source = match known(model) {
        Some(known) if shape_only => {
            ModelSource::from_scratch(known.name, named_config(config.unwrap_or(known.config))?)
        }
        _ => find(model, config, Path::new(&settings.output_dir))?,
    };
    if let Some(file) = &settings.pretrained_model_path {
        source.weights = Some(PathBuf::from(file));
    }
    if !settings.pretrained {
        source.weights = None;
    }
    Ok(source)
}

/// Finds a model with its weights. `model` is a known name, a folder, a weights file, or a run (its newest complete
/// checkpoint) by name below `root` or by path; `config`, a known name or a file, overrides the config found with it.
///
/// # Errors
/// [`SourceError`], with what to do.
pub fn find(model: &str, config: Option<&str>, root: &Path) -> Result<ModelSource, SourceError> {
    let config = config.map(named_config).transpose()?;
    if let Some(known) = known(model) {
        let fetched = crate::hub::fetched(known);
        let at = fetched.ok_or_else(|| SourceError::NotHere { name: known.name.to_owned() })?;
        let config = config.map_or_else(|| named_config(known.config), Ok)?;
        return Ok(ModelSource { name: known.name.to_owned(), ..folder(&at, Some(config))? });
    }
    let path = Path::new(model);
    if path.is_file() {
        return file(path, config);
    }
    if path.is_dir() && !path.join("config.toml").is_file() {
        return folder(path, config);
    }
    let run = RunDir::find(model, root).map_err(|_| SourceError::Unknown { name: model.to_owned() })?;
    let (checkpoint, ..) = run::checkpoint::newest(&run)
        .map_err(|e| SourceError::File { path: run.path().to_owned(), what: e.to_string() })?;
    folder(&checkpoint, config)
}

/// A model folder: open_clip's layout, PaddleMIX's, or a checkpoint.
///
/// # Errors
/// [`SourceError::File`] where weights or config are absent, [`SourceError::Config`].
pub fn folder(path: &Path, config: Option<CoCaConfig>) -> Result<ModelSource, SourceError> {
    let weights = WEIGHTS_FILES.map(|f| path.join(f)).into_iter().find(|f| f.is_file());
    let weights = weights.ok_or_else(|| SourceError::File {
        path: path.to_owned(),
        what: format!("no weights in this folder: one of {} must be there", WEIGHTS_FILES.join(", ")),
    })?;
    Ok(ModelSource { name: path.display().to_string(), ..beside(path, weights, config)? })
}

/// A weights file; its config is given, or lies beside it.
fn file(path: &Path, config: Option<CoCaConfig>) -> Result<ModelSource, SourceError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = [CONFIG_FILE, PADDLE_CONFIG_FILE].iter().any(|name| folder.join(name).is_file());
    let (name, weights) = (path.display().to_string(), path.to_owned());
    if there {
        return Ok(ModelSource { name, ..beside(folder, weights, config)? });
    }
    let config = config.ok_or_else(|| SourceError::File {
        path: path.to_owned(),
        what: "a weights file alone does not tell the model's shape: give --model_config too (`cocaptain models inspect` \
               says which one fits), or put an open_clip_config.json beside it"
            .to_owned(),
    })?;
    Ok(ModelSource { weights: Some(weights), ..ModelSource::from_scratch(&name, config) })
}

/// What lies beside the weights in their folder.
fn beside(folder: &Path, weights: PathBuf, config: Option<CoCaConfig>) -> Result<ModelSource, SourceError> {
    let (mut found, mut preprocess) = (None, Preprocess::default());
    if let Some(at) =
        [CONFIG_FILE, PADDLE_CONFIG_FILE].map(|f| folder.join(f)).into_iter().find(|f| f.is_file())
    {
        let json = read_json(&at)?;
        if let Some(cfg) = json.get("preprocess_cfg") {
            preprocess =
                Preprocess::from_json(cfg).map_err(|what| SourceError::File { path: at.clone(), what })?;
        }
        if config.is_none() {
            found = Some(parse_config(&at, &json)?);
        }
    }
    let config = config.or(found).ok_or_else(|| SourceError::File {
        path: folder.to_owned(),
        what: format!("no {CONFIG_FILE} in this folder: give --model_config"),
    })?;
    let tokenizer = Some(folder.join(TOKENIZER_FILE)).filter(|t| t.is_file());
    Ok(ModelSource { name: String::new(), config, weights: Some(weights), preprocess, tokenizer })
}

/// A config by name or file.
///
/// # Errors
/// [`SourceError::File`] and [`SourceError::Config`].
pub fn named_config(name: &str) -> Result<CoCaConfig, SourceError> {
    if name.ends_with(".json") {
        let path = Path::new(name);
        return parse_config(path, &read_json(path)?);
    }
    CoCaConfig::named(name).map_err(|source| SourceError::Config { name: name.to_owned(), source })
}

fn read_json(path: &Path) -> Result<serde_json::Value, SourceError> {
    let file = |what: String| SourceError::File { path: path.to_owned(), what };
    let text =
        std::fs::read_to_string(path).map_err(|e| file(format!("the model's config cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| file(format!("not JSON: {e}")))
}

/// A bare model config, open_clip's hub form that holds it under `model_cfg`, or PaddleMIX's.
fn parse_config(path: &Path, json: &serde_json::Value) -> Result<CoCaConfig, SourceError> {
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
