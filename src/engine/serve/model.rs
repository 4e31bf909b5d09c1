//! The loaded model and all that belongs to it.

use std::cell::RefCell;

use data::Tokenizer;
use data::picture::Preprocess;
use run::mesh::Degrees;
use run::serve::{Reply, ServeJob};
use tch::Kind;

use super::error::ServeError;
use super::tune::Kept;
use crate::evaluate::Towers;
use crate::model::{CoCa, Parameters};
use crate::parallel::Mesh;
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
    parameters: Parameters,
    compute: Compute,
    precision: Option<Kind>,
    /// The processes that share requests.
    pub mesh: Mesh,
    /// Features that requests of tuning keep for one another.
    pub kept: RefCell<Kept>,
}

impl Served {
    /// Finds and loads what the settings name; meets the others that share requests.
    pub fn load(job: &ServeJob) -> Result<Self, ServeError> {
        let settings = &job.settings;
        let rank = job.share.as_ref().map_or(0, |share| share.rank);
        let found = source::resolve(settings)?;
        let Some(file) = &found.weights else { return Err(ServeError::NoWeights(found.name)) };
        let compute = Compute::choose(settings, rank)?;
        let precision = match (settings.bf16, settings.fp16) {
            (_, true) if compute.cuda_index().is_none() => return Err(ServeError::Half),
            (_, true) => Some(Kind::Half),
            (true, false) => Some(Kind::BFloat16),
            (false, false) => None,
        };
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
        let model = CoCa::new(found.config, &parameters)?;
        let mesh = match &job.share {
            Some(share) if share.world_size > 1 => {
                // Every rank has the whole model, and its part of the pictures.
                let degrees = Degrees { data_parallel: share.world_size, ..Degrees::ONE };
                Mesh::meet(&share.rendezvous, share.rank, degrees)?
            }
            _ => Mesh::alone(),
        };
        let side = usize::try_from(model.config.vision.image_size).unwrap_or(1);
        Ok(Self {
            model,
            tokenizer,
            preprocess: Preprocess::new(side, found.preprocess.mean, found.preprocess.std),
            name: found.name,
            weights: file.display().to_string(),
            parameters,
            compute,
            precision,
            mesh,
            kept: RefCell::default(),
        })
    }

    /// Its towers, in the precision that was asked for.
    pub fn towers(&self) -> Towers<'_> {
        Towers { model: &self.model, precision: self.precision }
    }

    /// The parameters that a text's features depend on.
    pub fn text_parameters(&self) -> impl Iterator<Item = (&str, &tch::Tensor)> {
        self.parameters.iter().filter(|(name, _)| name.starts_with("text."))
    }

    /// What to say of it.
    pub fn loaded(&self, seconds: f64) -> Reply {
        Reply::Loaded {
            model: self.name.clone(),
            weights: self.weights.clone(),
            parameters: self.parameters.numel() as u64,
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
