//! The work that is compared with open_clip's, timed: captions, a training step, and every output of a forward
//! pass. `cocaptain-engine bench JSON` prints one JSON object.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use run::decoding::Decoding;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::generate::{GenerateError, SpecialIds, generate, padded};
use crate::loss::{LossWeights, coca_loss};
use crate::model::{CoCa, CoCaConfig, ModelError, Parameters, TextBatch, parameter_specs};
use crate::optimiser::{AdamW, AdamWConfig, Rates};
use crate::shim::TorchError;
use crate::weights::{self, WeightsError, WeightsFile};

/// What to time, on the CPU in float32.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// The work.
    pub what: What,
    /// The model's shape: a name, or a config file.
    pub model_config: String,
    /// Its weights; random ones without.
    pub model: Option<PathBuf>,
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
    /// How captions are written.
    #[serde(default)]
    pub decoding: Decoding,
    /// Token ids of texts, for a forward pass: tensor `ids`, int64 `[b,t]`.
    pub ids: Option<PathBuf>,
    /// Where a forward pass writes its outputs.
    pub out: Option<PathBuf>,
}

/// The work.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
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
    Source(#[from] models::source::SourceError),
    /// Its weights, or a file of tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
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

/// peer.py's four captions as open_clip's tokenizer gives them.
const CAPTIONS: [&[i64]; 4] = [
    &[49406, 320, 2308, 3309, 320, 2315, 525, 899, 1375, 7266, 320, 2972, 269, 49407],
    &[49406, 320, 786, 6765, 320, 4535, 525, 1253, 539, 320, 10176, 1972, 269, 49407],
    &[49406, 1237, 3255, 1629, 593, 320, 736, 45768, 530, 518, 5922, 269, 49407],
    &[49406, 320, 2660, 705, 539, 320, 5135, 539, 1559, 593, 19094, 537, 4741, 269, 49407],
];

/// Does what `request` (JSON of [`Bench`]) asks, and returns what is to be printed.
///
/// # Errors
/// A request that is none, files that cannot be read, what libtorch said.
pub fn run(request: &str) -> Result<serde_json::Value, BenchError> {
    let bench: Bench = serde_json::from_str(request).map_err(|e| BenchError::Request(e.to_string()))?;
    if let Some(threads) = bench.threads {
        crate::device::set_num_threads(threads.max(1));
    }
    let config = models::source::named_config(&bench.model_config)?;
    let parameters = bench.parameters(&config)?;
    let model = CoCa::new(config, &parameters)?;
    let side = model.config.vision.image_size;
    let image_bchw = match &bench.pixels {
        Some(path) => tensor(path, "pixels")?,
        None => Tensor::f_randn([bench.batch, 3, side, side], (Kind::Float, Device::Cpu))?,
    };
    match bench.what {
        What::Caption => bench.caption(&model, &image_bchw),
        What::TrainStep => bench.train_step(&model, &parameters, &image_bchw),
        What::Forward => bench.forward(&model, &image_bchw),
    }
}

impl Bench {
    fn parameters(&self, config: &CoCaConfig) -> Result<Parameters, BenchError> {
        let specs = parameter_specs(config);
        Ok(match &self.model {
            Some(path) => WeightsFile::open(path)?.parameters(&specs, Device::Cpu)?,
            None => Parameters::initialise(&specs, 0, Device::Cpu)?,
        })
    }

    /// Each round encodes the images and writes their captions, as `CoCa.generate` does.
    fn caption(&self, model: &CoCa, image_bchw: &Tensor) -> Result<serde_json::Value, BenchError> {
        let special = SpecialIds { sot: 49406, eot: 49407 };
        let (mut seconds, mut encode, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=self.repeat {
            let start = Instant::now();
            let image = tch::no_grad(|| model.encode_image(image_bchw))?;
            let encoded = start.elapsed().as_secs_f64();
            let texts =
                generate(model, &image, special, &[], &self.decoding, &mut |_| ControlFlow::Continue(()))?;
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
        image_bchw: &Tensor,
    ) -> Result<serde_json::Value, BenchError> {
        let mut optimiser = AdamW::new(parameters, AdamWConfig::default())?;
        let batch = image_bchw.size().first().copied().unwrap_or(0);
        let columns = usize::try_from(model.config.text.context_length).unwrap_or(0);
        let row = |i: i64| {
            let caption = CAPTIONS[i.unsigned_abs() as usize % CAPTIONS.len()];
            caption.iter().copied().chain(std::iter::repeat(0)).take(columns)
        };
        let ids: Vec<i64> = (0..batch).flat_map(row).collect();
        let ids_bt = Tensor::f_from_slice(&ids)?.f_view([batch, columns as i64])?;
        let mut seconds = Vec::new();
        for _ in 0..=self.repeat.max(1) {
            let start = Instant::now();
            parameters.clear_gradients()?;
            let text = TextBatch::trimmed(&ids_bt, &model.config, Device::Cpu)?;
            let losses = coca_loss(model, image_bchw, &text, LossWeights::default(), None)?;
            losses.total.f_backward()?;
            optimiser.step(&Rates::uniform(1e-4, 0.01), None)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        let all = seconds.split_off(1);
        Ok(serde_json::json!({ "seconds": median(all.clone()), "all": all }))
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
