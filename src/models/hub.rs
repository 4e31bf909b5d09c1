//! Known models from the hub, in the cache that Python's huggingface_hub uses too (HF_HOME); HF_ENDPOINT and tokens
//! (HF_TOKEN, or the file that `hf auth login` writes) are honoured.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, CacheRepo, Repo};
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
    /// A file has not as many bytes as the hub says.
    #[error("{file}: {found} bytes arrived, the hub says {told}: it was removed, fetch it again")]
    Length {
        /// The file.
        file: String,
        /// Bytes that arrived.
        found: u64,
        /// Bytes that should have.
        told: u64,
    },
    /// There is no room for it.
    #[error("{}: {needed} bytes are needed and {free} are free: make room, or set HF_HOME to a folder elsewhere", path.display())]
    Space {
        /// Where it would be.
        path: PathBuf,
        /// Bytes still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// What the hub calls a file by is not fit to be a file's name.
    #[error("the hub names a file by {etag:?}, which cannot be a file's name here")]
    Etag {
        /// Its ETag.
        etag: String,
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

/// How often a file is asked for anew when the way to the hub fails.
const ATTEMPTS: u32 = 4;

/// Fetches what is not here yet of a known model: its weights and configs. `progress` is told of each file: its
/// name, bytes that are here, and bytes that it has. Gives the folder. Where all is here the hub is not asked.
///
/// # Errors
/// [`HubError`]; what has arrived stays, and the next call goes on from there.
pub fn fetch(model: &KnownModel, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf, HubError> {
    if let Some(folder) = fetched(model) {
        for name in [CONFIG_FILE].into_iter().chain(WEIGHTS_FILES) {
            let at = folder.join(name);
            if at.exists() {
                check(name, &at)?;
            }
        }
        return Ok(folder);
    }
    let failed = |what: &str, why: String| HubError::Api {
        repository: model.repository.to_owned(),
        what: what.to_owned(),
        why,
    };
    // hf-hub's own further attempts may put a file together wrongly: they are made here.
    let mut builder = ApiBuilder::from_env().with_progress(false).with_retries(0);
    if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|t| !t.trim().is_empty()) {
        builder = builder.with_token(Some(token.trim().to_owned()));
    }
    let api = builder.build().map_err(|e| failed("setting up", e.to_string()))?;
    let repository = api.model(model.repository.to_owned());
    let info =
        attempt(|| repository.info()).map_err(|e| failed("asking what files there are", explain(&e)))?;
    let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
    let weights = WEIGHTS_FILES.into_iter().find(|name| has(name));
    let weights = weights.ok_or_else(|| HubError::NoWeights { repository: model.repository.to_owned() })?;
    let cache = Cache::from_env().repo(Repo::model(model.repository.to_owned()));
    let mut folder = PathBuf::new();
    for name in [CONFIG_FILE, weights].into_iter().filter(|name| has(name)) {
        let at = match cache.get(name) {
            Some(at) => at,
            None => {
                let what = format!("fetching {name}");
                let told = attempt(|| api.metadata(&repository.url(name)))
                    .map_err(|e| failed(&what, explain(&e)))?;
                make_ready(&cache, &told)?;
                let at = attempt(|| {
                    let bar = Bar { name: name.to_owned(), done: 0, total: 0, tell: &mut *progress };
                    repository.download_with_progress(name, bar)
                })
                .map_err(|e| failed(&what, explain(&e)))?;
                whole(name, &at, told.size() as u64)?;
                at
            }
        };
        check(name, &at)?;
        folder = at.parent().unwrap_or(Path::new("")).to_owned();
    }
    Ok(folder)
}

/// Asks again, a little later each time, where another answer may come.
fn attempt<T>(mut ask: impl FnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match ask() {
            Err(error) if tried < ATTEMPTS && is_passing(&error) => {
                std::thread::sleep(Duration::from_millis(250) * 2u32.pow(tried));
            }
            answer => return answer,
        }
    }
}

/// Whether it is the way to the hub that failed, or the hub for a while.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(code) => matches!(code, 408 | 429 | 500..),
            ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
            _ => false,
        },
        ApiError::IoError(error) => !matches!(
            error.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
        ),
        _ => false,
    }
}

/// What went wrong, and what to do.
fn explain(error: &ApiError) -> String {
    let hub = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "the default hub".to_owned());
    let hint = match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(401 | 403) => {
                format!(
                    " (the hub asks for a token, or refuses this one: set HF_TOKEN, or run `hf auth login`; asked: {hub})"
                )
            }
            ureq::Error::StatusCode(404) => {
                format!(" (there is no such thing at {hub}: does HF_ENDPOINT name the right hub?)")
            }
            _ => format!(" (asked: {hub}; HF_ENDPOINT names another)"),
        },
        ApiError::LockAcquisition(_) => " (another process is fetching the same file)".to_owned(),
        _ => String::new(),
    };
    format!("{error}{hint}")
}

/// Before a download: room for the rest of it, and no left-over that it cannot go on from.
fn make_ready(cache: &CacheRepo, told: &Metadata) -> Result<(), HubError> {
    let is_name = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if told.etag().is_empty() || told.etag().starts_with('.') || !told.etag().bytes().all(is_name) {
        return Err(HubError::Etag { etag: told.etag().to_owned() });
    }
    let blob = cache.blob_path(told.etag());
    let folder = blob.parent().unwrap_or(Path::new("."));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| HubError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let (part, size) = (blob.with_extension("part"), told.size() as u64);
    let mut here = std::fs::metadata(&part).map_or(0, |part| part.len());
    if here >= size && here > 0 {
        // All of it is here and only its name is not: the hub has no rest to give, so the last byte is fetched again.
        // More than all of it is of no use.
        here = if here == size { size - 1 } else { 0 };
        let file = File::options().write(true).open(&part).map_err(io(&part))?;
        file.set_len(here).map_err(io(&part))?;
    }
    let (needed, free) = (size - here, run::dir::free_bytes(folder).map_err(io(folder))?);
    if needed > free {
        return Err(HubError::Space { path: folder.to_owned(), needed, free });
    }
    Ok(())
}

/// That a file has as many bytes as the hub says; else it is removed.
fn whole(name: &str, at: &Path, told: u64) -> Result<(), HubError> {
    let io = |source| HubError::Io { path: at.to_owned(), source };
    let found = std::fs::metadata(at).map_err(io)?.len();
    if found != told {
        remove(at);
        return Err(HubError::Length { file: name.to_owned(), found, told });
    }
    Ok(())
}

/// Removes a fetched file: its name and what the name leads to.
fn remove(at: &Path) {
    let blob = at.canonicalize();
    let _ = (std::fs::remove_file(at), blob.map(std::fs::remove_file));
}

/// The hub stores large files under their SHA-256: what arrived must have it.
fn check(name: &str, at: &Path) -> Result<(), HubError> {
    let io = |source| HubError::Io { path: at.to_owned(), source };
    let blob = at.canonicalize().map_err(io)?;
    let told = blob.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    if told.len() != 64 || !told.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    let mut file = File::open(&blob).map_err(io)?;
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
        remove(at);
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
