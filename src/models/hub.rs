//! Known models from the hub, in the cache that Python's huggingface_hub uses too (HF_HOME); HF_ENDPOINT and tokens
//! (HF_TOKEN, or the file that `hf auth login` writes) are honoured.

use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo};
use sha2::{Digest, Sha256};

use crate::known::KnownModel;
use crate::source::{CONFIG_FILE, WEIGHTS_FILES};

/// Why a model was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub or the way there failed.
    #[error(
        "{repository}: {what} failed: {why}. What has arrived is kept: the same command goes on from there"
    )]
    Api {
        /// The repository.
        repository: String,
        /// What was being done.
        what: String,
        /// The reason.
        why: String,
    },
    /// The repository lacks weights.
    #[error("{repository} holds no weights that can be read: one of {} was looked for", WEIGHTS_FILES.join(", "))]
    NoWeights {
        /// The repository.
        repository: String,
    },
    /// A file is not what the hub says it is.
    #[error("{file}: its SHA-256 is {found}, the hub says {told}: it was removed, fetch it again")]
    Checksum {
        /// The file.
        file: String,
        /// What arrived.
        found: String,
        /// What should have.
        told: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
}

/// The folder of a known model that has been fetched whole.
pub fn fetched(model: &KnownModel) -> Option<PathBuf> {
    let cache = Cache::from_env().repo(Repo::model(model.repository.to_owned()));
    // The cache names a file only when it is complete.
    let weights = WEIGHTS_FILES.iter().find_map(|file| cache.get(file))?;
    weights.parent().map(Path::to_owned)
}

/// Fetches what is not here yet of a known model: its weights and configs. `progress` is told of each file: its
/// name, bytes that are here, and bytes that it has. Gives the folder.
///
/// # Errors
/// [`HubError`]; what has arrived stays, and the next call goes on from there.
pub fn fetch(model: &KnownModel, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf, HubError> {
    let failed = |what: &str, why: String| HubError::Api {
        repository: model.repository.to_owned(),
        what: what.to_owned(),
        why,
    };
    let mut builder = ApiBuilder::from_env().with_progress(false).with_retries(3);
    if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|t| !t.trim().is_empty()) {
        builder = builder.with_token(Some(token.trim().to_owned()));
    }
    let api = builder.build().map_err(|e| failed("setting up", e.to_string()))?;
    let repository = api.model(model.repository.to_owned());
    let info = repository.info().map_err(|e| failed("asking what files there are", e.to_string()))?;
    let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
    let weights = WEIGHTS_FILES.into_iter().find(|name| has(name));
    let weights = weights.ok_or_else(|| HubError::NoWeights { repository: model.repository.to_owned() })?;
    let cache = Cache::from_env().repo(Repo::model(model.repository.to_owned()));
    let mut folder = PathBuf::new();
    for name in [CONFIG_FILE, weights].into_iter().filter(|name| has(name)) {
        let here = cache.get(name);
        let at = match here {
            Some(at) => at,
            None => {
                download(&repository, name, progress).map_err(|e| failed(&format!("fetching {name}"), e))?
            }
        };
        check(name, &at)?;
        folder = at.parent().unwrap_or(Path::new("")).to_owned();
    }
    Ok(folder)
}

fn download(
    repository: &ApiRepo,
    name: &str,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<PathBuf, String> {
    let bar = Bar { name: name.to_owned(), done: 0, total: 0, tell: progress };
    repository.download_with_progress(name, bar).map_err(|e| e.to_string())
}

/// The hub stores large files under their SHA-256: what arrived must have it.
fn check(name: &str, at: &Path) -> Result<(), HubError> {
    let io = |source| HubError::Io { path: at.to_owned(), source };
    let blob = at.canonicalize().map_err(io)?;
    let told = blob.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    if told.len() != 64 || !told.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut file = std::fs::File::open(&blob).map_err(io)?;
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer).map_err(io)?;
        if n == 0 {
            break;
        }
        sum.update(buffer.get(..n).unwrap_or_default());
    }
    let found: String = sum.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if found != told.to_ascii_lowercase() {
        let _ = (std::fs::remove_file(at), std::fs::remove_file(&blob));
        return Err(HubError::Checksum { file: name.to_owned(), found, told });
    }
    Ok(())
}

/// Tells of a file's progress.
struct Bar<'a> {
    name: String,
    done: u64,
    total: u64,
    tell: &'a mut dyn FnMut(&str, u64, u64),
}

impl hf_hub::api::Progress for Bar<'_> {
    fn init(&mut self, size: usize, _: &str) {
        // Called again when a download goes on after a failure.
        (self.done, self.total) = (0, size as u64);
    }
    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.tell)(&self.name, self.done, self.total);
    }
    fn finish(&mut self) {
        (self.tell)(&self.name, self.done, self.total);
    }
}
