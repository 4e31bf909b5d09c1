//! The loaded model and all that belongs to it.

use data::Tokenizer;
use data::picture::Preprocess;
use run::serve::Reply;
use run::settings::Settings;

use super::error::ServeError;
use crate::model::CoCa;
use crate::source;
use crate::train::Compute;
use crate::weights::WeightsFile;

/// A loaded model.
pub(super) struct Served {
    pub model: CoCa,
    pub tokenizer: Tokenizer,
    pub preprocess: Preprocess,
    name: String,
    weights: String,
    parameters: u64,
    compute: Compute,
}

impl Served {
    /// Finds and loads what the settings name.
    pub fn load(settings: &Settings) -> Result<Self, ServeError> {
        let found = source::resolve(settings)?;
        let Some(file) = &found.weights else { return Err(ServeError::NoWeights(found.name)) };
        let compute = Compute::choose(settings, 0)?;
        let tokenizer = match settings.tokenizer.as_deref().filter(|t| *t != "clip") {
            Some(named) => Tokenizer::from_file(std::path::Path::new(named))?,
            None => match &found.tokenizer {
                Some(own) => Tokenizer::from_file(own)?,
                None => Tokenizer::clip()?,
            },
        };
        let (ids, of_model) = (tokenizer.vocab_size() as i64, found.config.text.vocab_size);
        if ids > of_model {
            return Err(ServeError::Vocabulary { ids, model: of_model });
        }
        let specs = crate::model::parameter_specs(&found.config);
        let parameters = WeightsFile::open(file)?.parameters(&specs, compute.device)?;
        let numbers = parameters.numel() as u64;
        let model = CoCa::new(found.config, &parameters)?;
        let side = usize::try_from(model.config.vision.image_size).unwrap_or(1);
        Ok(Self {
            model,
            tokenizer,
            preprocess: Preprocess::new(side, found.preprocess.mean, found.preprocess.std),
            name: found.name,
            weights: file.display().to_string(),
            parameters: numbers,
            compute,
        })
    }

    /// What to say of it.
    pub fn loaded(&self, seconds: f64) -> Reply {
        Reply::Loaded {
            model: self.name.clone(),
            weights: self.weights.clone(),
            parameters: self.parameters,
            device: self.compute.words(),
            seconds,
            resident: resident(),
        }
    }
}

/// Resident bytes of this process; 0 when the system does not say.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
