//! Weights to disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use safetensors::View;

use crate::Dtype;
use crate::config::CoCaConfig;
use crate::file::{WeightsError, WeightsFile};
use crate::parameters::{ParameterSpec, parameter_specs};
use crate::preprocess::Preprocess;
use crate::source::{CONFIG_FILE, ModelSource, OPEN_CLIP_WEIGHTS, TOKENIZER_FILE};

/// Writes tensors as safetensors under a temporary name beside `path`, syncs, and renames: `path` is complete or as
/// it was. One tensor at a time is in memory.
///
/// # Errors
/// The file system's.
pub fn write_safetensors<V: View>(path: &Path, tensors: Vec<(String, V)>) -> Result<(), WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable as any other new file, not by the owner alone as a temporary file would be.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let temporary = tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map_err(io)?;
    // What PyTorch's own readers of safetensors look for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), temporary.path())
        .map_err(|e| WeightsError::Write { path: path.to_owned(), reason: e.to_string() })?;
    File::open(temporary.path()).and_then(|file| file.sync_all()).map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Writes a model that has been found anew: to one `.safetensors` file, or to a folder that open_clip loads (its
/// config with preprocessing, its weights, the tokenizer if it has its own). `dtype`: F32, F16 or BF16; none keeps
/// what is stored.
///
/// # Errors
/// Weights that cannot be read or are not the config's model, and the file system's.
pub fn convert(source: &ModelSource, to: &Path, dtype: Option<Dtype>) -> Result<(), WeightsError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| WeightsError::Io { path, source }
    };
    let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "the model has no weights");
    let from = source.weights.as_ref().ok_or_else(missing).map_err(io(Path::new(&source.name)))?;
    let file = WeightsFile::open(from)?;
    let specs = parameter_specs(&source.config);
    file.check_model(&specs)?;
    let tensors = specs.iter().map(|spec| (spec.name.clone(), Parameter::new(&file, spec, dtype))).collect();
    if to.extension().is_some_and(|e| e == "safetensors") {
        return write_safetensors(to, tensors);
    }
    std::fs::create_dir_all(to).map_err(io(to))?;
    write_safetensors(&to.join(OPEN_CLIP_WEIGHTS), tensors)?;
    if let Some(tokenizer) = &source.tokenizer {
        std::fs::copy(tokenizer, to.join(TOKENIZER_FILE)).map_err(io(tokenizer))?;
    }
    let text = open_clip_config(&source.config, &source.preprocess)
        .map_err(|reason| WeightsError::Write { path: to.join(CONFIG_FILE), reason })?;
    run::dir::replace_file(&to.join(CONFIG_FILE), text.as_bytes()).map_err(io(to))
}

/// open_clip_config.json.
fn open_clip_config(config: &CoCaConfig, preprocess: &Preprocess) -> Result<String, String> {
    if config.text.correct_cls_mask {
        return Err(
            "open_clip has no text_cfg.correct_cls_mask = true: it would read the model otherwise".to_owned()
        );
    }
    let mut model = serde_json::to_value(config).map_err(|e| e.to_string())?;
    // By these open_clip knows a CoCa; PaddleMIX's configs lack the first.
    model["custom_text"] = true.into();
    for tower in ["vision_cfg", "text_cfg"] {
        model[tower]["output_tokens"] = true.into();
    }
    let whole = serde_json::json!({ "model_cfg": model, "preprocess_cfg": preprocess.to_json() });
    serde_json::to_string_pretty(&whole).map(|text| text + "\n").map_err(|e| e.to_string())
}

/// A parameter that is read when it is written.
struct Parameter<'a> {
    file: &'a WeightsFile,
    spec: &'a ParameterSpec,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl<'a> Parameter<'a> {
    fn new(file: &'a WeightsFile, spec: &'a ParameterSpec, dtype: Option<Dtype>) -> Self {
        let shape: Vec<usize> = spec.shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
        // Resized positions come as float32.
        let stored = file.tensor(&spec.name).filter(|t| t.numel() == shape.iter().product::<usize>());
        let dtype = dtype.unwrap_or_else(|| stored.map_or(Dtype::F32, |t| t.dtype));
        Self { file, spec, dtype, shape }
    }
}

impl View for Parameter<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.dtype {
            Dtype::F64 => safetensors::Dtype::F64,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::BF16 => safetensors::Dtype::BF16,
            // The model has been checked: its parameters are floats.
            _ => safetensors::Dtype::F32,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.file.parameter(self.spec).ok();
        data.and_then(|data| data.dtype.convert(data.bytes, self.dtype)).unwrap_or_default()
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}
