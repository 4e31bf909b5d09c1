//! The ranks of a run and what they tell one another, on libtorch's c10d.
//!
//! Four groups over the same ranks, so that no call of one kind can meet one of another:
//! features and small sums in the middle of a step, gradients, what rank 0 says between steps, and waiting while rank 0
//! evaluates, saves or is paused. Only the last has no time limit: hang timers rest there.

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use run::link::Rendezvous;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};

use crate::shim::TorchError;
use crate::shim::c10d::{Group, Reduce, Reducer, Store};

#[cfg(test)]
mod tests;

/// How long rank 0 may evaluate or be paused: for ever, as c10d counts it.
const RESTING: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long ranks wait for one another at the start: another machine may be slow to come.
const MEETING: Duration = Duration::from_secs(600);
/// Bytes of gradients that are summed in one call, as torch's DDP has them.
const BUCKET_BYTES: i64 = 25 << 20;

/// Why ranks cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum ParallelError {
    /// A call failed: a rank is gone, or does not answer.
    #[error("ranks cannot reach one another: {0}")]
    Call(#[from] TorchError),
    /// libtorch refused an operation (through tch).
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
    /// What rank 0 said cannot be read.
    #[error("rank 0 says what makes no sense: {0}")]
    Words(#[from] serde_json::Error),
    /// The listener for the rendezvous was not handed over.
    #[error("descriptor {0} is no socket that listens: the rendezvous cannot be served")]
    Listener(i32),
}

/// What a failed call says of the other ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rank did not answer in time.
    Silence,
    /// A rank's connection ended.
    Gone,
}

/// What libtorch's words mean; none when they are about something else. c10d has no error codes for it.
pub fn cause(words: &str) -> Option<Cause> {
    let words = words.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["timed out", "timeout"]) {
        Some(Cause::Silence)
    } else if says(&[
        "connection closed by peer",
        "connection reset by peer",
        "broken pipe",
        "gloo/transport",
    ]) {
        Some(Cause::Gone)
    } else {
        None
    }
}

/// All ranks of a run, seen from one of them.
#[derive(Debug)]
pub struct Mesh {
    rank: usize,
    size: usize,
    groups: Option<Groups>,
}

#[derive(Debug)]
struct Groups {
    features: Group,
    gradients: Group,
    words: Group,
    resting: Group,
    /// How long a rank may be silent.
    timeout: Duration,
    /// Rank 0 serves it as long as it lives.
    _store: Store,
}

impl Mesh {
    /// One rank, which needs nobody.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, groups: None }
    }

    /// Meets all ranks.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn meet(at: &Rendezvous, rank: u32, size: u32) -> Result<Self, ParallelError> {
        let store = match at.listener {
            // SAFETY: the supervisor left this descriptor to this process for this purpose, and `listener` checks that
            // it is a socket; nothing else here owns it.
            Some(fd) if rank == 0 => Store::serve(unsafe { listener(fd) }?, MEETING)?,
            _ => Store::join(&at.host, at.port, MEETING)?,
        };
        let (rank, size) = (rank as usize, size as usize);
        let timeout = Duration::from_secs(at.timeout);
        // No rank of an older attempt can join: names hold the generation.
        let meet = |kind: &str, timeout: Duration| {
            let name = format!("{}/{kind}/", at.generation);
            Group::meet(&store, &name, &at.interface, (rank, size), timeout)
        };
        let groups = Groups {
            features: meet("features", timeout)?,
            gradients: meet("gradients", timeout)?,
            words: meet("words", timeout)?,
            resting: meet("resting", RESTING)?,
            timeout,
            _store: store,
        };
        Ok(Self { rank, size, groups: Some(groups) })
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is the rank that speaks for all.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// What rank 0 has to say, on every rank; the others' own `words` do not count. With `resting`, nobody minds how
    /// long rank 0 takes.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn agree<T: Serialize + DeserializeOwned>(
        &self,
        words: T,
        resting: bool,
    ) -> Result<T, ParallelError> {
        let Some(groups) = &self.groups else { return Ok(words) };
        let group = if resting { &groups.resting } else { &groups.words };
        // Once rank 0 speaks, the others must listen: a rank that hangs while it waits is found as well.
        let limit = (resting && self.is_first()).then_some(groups.timeout);
        let text = serde_json::to_vec(&words)?;
        let mut length = Tensor::from(text.len() as i64);
        group.broadcast(&mut length, 0, limit)?;
        let length = length.f_int64_value(&[])?;
        let mut bytes = match self.is_first() {
            true => Tensor::f_from_slice(&text)?,
            false => Tensor::f_zeros([length], (Kind::Uint8, Device::Cpu))?,
        };
        group.broadcast(&mut bytes, 0, limit)?;
        Ok(serde_json::from_slice(&<Vec<u8>>::try_from(&bytes)?)?)
    }

    /// The sum of every rank's values, in place.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn sum(&self, values: &mut Tensor) -> Result<(), ParallelError> {
        match &self.groups {
            Some(groups) => Ok(groups.features.all_reduce(values, Reduce::Sum)?),
            None => Ok(()),
        }
    }

    /// The rows of all ranks, `[b,d]` to `[size * b,d]`; backward reaches every rank's own rows.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn gather_rows(&self, own_bd: &Tensor) -> Result<Tensor, TorchError> {
        match &self.groups {
            Some(groups) => groups.features.all_gather_autograd(own_bd),
            None => Ok(own_bd.shallow_clone()),
        }
    }

    /// Sums the gradients of these parameters while backward runs; none for a rank alone.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn reducer(&self, parameters: &[Tensor]) -> Result<Option<Reducer>, ParallelError> {
        match &self.groups {
            Some(groups) => Ok(Some(Reducer::new(&groups.gradients, parameters, BUCKET_BYTES)?)),
            None => Ok(None),
        }
    }
}

/// Takes the listener over that the supervisor left.
///
/// # Safety
/// Nothing else owns the descriptor.
unsafe fn listener(fd: i32) -> Result<TcpListener, ParallelError> {
    let is_socket = std::fs::read_link(format!("/proc/self/fd/{fd}"))
        .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
    if fd < 3 || !is_socket {
        return Err(ParallelError::Listener(fd));
    }
    // SAFETY: open (just seen), and the caller promises that it is ours.
    Ok(TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
