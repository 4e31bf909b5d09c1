//! The work that is compared with open_clip's, timed: loading, captions, a training step, and every output of a
//! forward pass. `cocaptain-engine bench JSON` prints one JSON object; `cocaptain bench` is its front end.

mod memory;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use data::Tokenizer;
use models::source::{self, ModelSource};
use run::decoding::Decoding;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::generate::{GenerateError, SpecialIds, fitting, generate, padded};
use crate::loss::{LossWeights, coca_loss};
use crate::model::{CoCa, ModelError, Parameters, TextBatch, parameter_specs};
use crate::optimiser::{AdamW, AdamWConfig, Rates};
use crate::shim::{self, TorchError};
use crate::weights::{self, WeightsError, WeightsFile};

/// What to time, on the CPU in float32.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// The work.
    pub what: What,
    /// Its weights, as `--model` names them; random ones without.
    pub model: Option<String>,
    /// The model's shape: a name, or a config file.
    pub model_config: Option<String>,
    /// Where runs are looked for.
    #[serde(default)]
    pub output_dir: PathBuf,
    /// Images: tensor `pixels`, `[b,3,size,size]`, of a safetensors file; random ones without.
    pub pixels: Option<PathBuf>,
    /// Images, where they are random.
    #[serde(default = "eight")]
    pub batch: i64,
    /// Timed rounds, after one that warms up.
    #[serde(default = "three")]
    pub repeat: usize,
    /// Threads; libtorch's own choice without.
    pub threads: Option<usize>,
    /// How the optimiser keeps its moments: float32 where it is not set.
    #[serde(default)]
    pub half_moments: bool,
    /// How captions are written.
    #[serde(default)]
    pub decoding: Decoding,
    /// What is trained on, again and again until the batch is full.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Token ids of texts, for a forward pass: tensor `ids`, int64 `[b,t]`.
    pub ids: Option<PathBuf>,
    /// Where a forward pass writes its outputs.
    pub out: Option<PathBuf>,
}

/// The work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Reading the weights.
    Load,
    /// Captions of a batch.
    Caption,
    /// Forward, loss, backward and AdamW.
    TrainStep,
    /// Features and logits, written to a file.
    Forward,
}

fn eight() -> i64 {
    8
}

fn three() -> usize {
    3
}

/// Why nothing was timed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The request is not one.
    #[error("bench: {0}")]
    Request(String),
    /// The model's shape.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// Its weights, or a file of tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its tokenizer, or a text.
    #[error(transparent)]
    Tokenizer(#[from] data::tokenizer::TokenizerError),
    /// The model refused its input.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// No caption was written.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The loss refused its input.
    #[error(transparent)]
    Loss(#[from] crate::loss::LossError),
    /// The optimiser refused its input.
    #[error(transparent)]
    Optimiser(#[from] crate::optimiser::OptimiserError),
    /// libtorch refused an operation.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// libtorch refused an operation (through tch).
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// Does what `request` (JSON of [`Bench`]) asks, and returns what is to be printed.
///
/// # Errors
/// A request that is none, files that cannot be read, what libtorch said.
pub fn run(request: &str) -> Result<serde_json::Value, BenchError> {
    let bench: Bench = serde_json::from_str(request).map_err(|e| BenchError::Request(e.to_string()))?;
    if let Some(threads) = bench.threads {
        crate::device::set_num_threads(threads.max(1));
    }
    let found = bench.source()?;
    if bench.what == What::Load {
        return load(&found);
    }
    let specs = parameter_specs(&found.config);
    let parameters = match &found.weights {
        Some(file) => WeightsFile::open(file)?.parameters(&specs, Device::Cpu)?,
        None => Parameters::initialise(&specs, 0, Device::Cpu)?,
    };
    let model = CoCa::new(found.config.clone(), &parameters)?;
    let side = model.config.vision.image_size;
    let image_bchw = match &bench.pixels {
        Some(path) => tensor(path, "pixels")?,
        None => {
            let mut pixels = Tensor::f_empty([bench.batch, 3, side, side], (Kind::Float, Device::Cpu))?;
            shim::fill_normal(&mut pixels, 0.0, 1.0, 0)?;
            pixels
        }
    };
    match bench.what {
        What::Caption => bench.caption(&model, &tokenizer(&found)?, &image_bchw),
        What::TrainStep => bench.train_step(&model, &parameters, &tokenizer(&found)?, &image_bchw),
        What::Forward => bench.forward(&model, &image_bchw),
        What::Load => load(&found),
    }
}

fn tokenizer(found: &ModelSource) -> Result<Tokenizer, BenchError> {
    Ok(found.tokenizer.as_deref().map_or_else(Tokenizer::clip, Tokenizer::from_file)?)
}

/// Seconds of reading the weights, and the anonymous memory (not the mapped file) that it takes at most.
fn load(found: &ModelSource) -> Result<serde_json::Value, BenchError> {
    let Some(file) = &found.weights else {
        return Err(BenchError::Request("to load is to read weights: give --model".to_owned()));
    };
    // libtorch's own beginnings are not the weights'.
    drop(Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?);
    let watch = memory::Watch::start();
    let start = Instant::now();
    let parameters = WeightsFile::open(file)?.parameters(&parameter_specs(&found.config), Device::Cpu)?;
    let model = CoCa::new(found.config.clone(), &parameters)?;
    let seconds = start.elapsed().as_secs_f64();
    let (before, peak) = watch.stop();
    drop(model);
    Ok(serde_json::json!({
        "seconds": seconds,
        "weights_bytes": 4 * parameters.numel(),
        "bare_anonymous_bytes": before,
        "peak_anonymous_bytes": peak,
    }))
}

impl Bench {
    /// The model: of `--model` with its weights, else the shape alone.
    fn source(&self) -> Result<ModelSource, BenchError> {
        let shape = self.model_config.as_deref();
        let settings = run::settings::Settings {
            model: self.model.clone(),
            model_config: shape.or(self.model.is_none().then_some("coca_ViT-B-32")).map(str::to_owned),
            output_dir: self.output_dir.to_string_lossy().into_owned(),
            ..run::settings::Settings::default()
        };
        Ok(source::resolve(&settings)?)
    }

    /// Each round encodes the images and writes their captions, as `CoCa.generate` does.
    fn caption(
        &self,
        model: &CoCa,
        tokenizer: &Tokenizer,
        image_bchw: &Tensor,
    ) -> Result<serde_json::Value, BenchError> {
        let special = SpecialIds { sot: tokenizer.sot(), eot: tokenizer.eot() };
        let decoding = fitting(&self.decoding, model);
        model.lay_out_for_captions()?;
        let (mut seconds, mut encode, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=self.repeat {
            let start = Instant::now();
            let image = tch::no_grad(|| model.encode_image(image_bchw))?;
            let encoded = start.elapsed().as_secs_f64();
            let texts = generate(model, &image, special, &[], &decoding, &mut |_| ControlFlow::Continue(()))?;
            if round > 0 || self.repeat == 0 {
                seconds.push(start.elapsed().as_secs_f64());
                encode.push(encoded);
            }
            ids = padded(&texts, model.config.text.pad_id);
        }
        let all = seconds.clone();
        Ok(serde_json::json!({
            "seconds": median(seconds), "encode_seconds": median(encode), "all": all, "ids": ids,
        }))
    }

    fn train_step(
        &self,
        model: &CoCa,
        parameters: &Parameters,
        tokenizer: &Tokenizer,
        image_bchw: &Tensor,
    ) -> Result<serde_json::Value, BenchError> {
        if self.texts.is_empty() {
            return Err(BenchError::Request("there is no text to train on".to_owned()));
        }
        let watch = memory::Watch::start();
        let constants = AdamWConfig { half_moments: self.half_moments, ..AdamWConfig::default() };
        let optimiser = AdamW::new(parameters, constants)?;
        let batch = image_bchw.size().first().copied().unwrap_or(0);
        let columns = usize::try_from(model.config.text.context_length).unwrap_or(0);
        let mut ids = Vec::new();
        for (text, _) in self.texts.iter().cycle().zip(0..batch) {
            ids.extend(tokenizer.encode(text, columns)?);
        }
        let ids_bt = Tensor::f_from_slice(&ids)?.f_view([batch, columns as i64])?;
        let (mut seconds, mut losses) = (Vec::new(), Vec::new());
        for _ in 0..=self.repeat.max(1) {
            let start = Instant::now();
            parameters.clear_gradients()?;
            let text = TextBatch::trimmed(&ids_bt, &model.config, Device::Cpu)?;
            let loss = coca_loss(model, image_bchw, &text, LossWeights::default(), None)?;
            // As a run without clipping, which open_clip does not have either.
            optimiser.step_in_backward(&Rates::uniform(1e-4, 0.01), &loss.total)?;
            loss.total.f_backward()?;
            let _ = optimiser.finish_early()?;
            seconds.push(start.elapsed().as_secs_f64());
            losses.push(loss.total.f_double_value(&[])?);
        }
        let all = seconds.split_off(1);
        let (_, peak) = watch.stop();
        Ok(serde_json::json!({
            "seconds": median(all.clone()), "all": all, "losses": losses, "peak_anonymous_bytes": peak,
        }))
    }

    /// Writes `image_features`, `text_features` and `logits` `[b,t,v]`, not shifted.
    fn forward(&self, model: &CoCa, image_bchw: &Tensor) -> Result<serde_json::Value, BenchError> {
        let (Some(ids), Some(out)) = (&self.ids, &self.out) else {
            return Err(BenchError::Request("forward needs ids and out".to_owned()));
        };
        let text = TextBatch::whole(&tensor(ids, "ids")?, &model.config, Device::Cpu)?;
        let start = Instant::now();
        let output = tch::no_grad(|| model.forward(image_bchw, &text, false))?;
        let seconds = start.elapsed().as_secs_f64();
        let named = [
            ("image_features", output.image_features_bd),
            ("text_features", output.text_features_bd),
            ("logits", output.logits_btv),
        ];
        weights::write(out, named.map(|(name, tensor)| (name.to_owned(), tensor)))?;
        Ok(serde_json::json!({ "seconds": seconds, "wrote": out }))
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
}

fn tensor(path: &Path, name: &str) -> Result<Tensor, BenchError> {
    let all = WeightsFile::open(path)?.all(Device::Cpu)?;
    let found = all.into_iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor);
    found.ok_or_else(|| BenchError::Request(format!("{}: there is no tensor {name:?} in it", path.display())))
}
