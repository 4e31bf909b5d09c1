//! The ranks of a run and what they tell one another, on libtorch's c10d.
//!
//! Groups of their own for every kind of call, so that no call of one kind can meet one of another: over all ranks what
//! rank 0 says between steps, sums, and waiting while rank 0 evaluates, saves or is paused (the only one without a time
//! limit: hang timers rest there); over the ranks that read different rows, features and gradients; over the ranks of
//! one axis, shards and parts of matrices. [`Holding`] is what a rank holds of the model.

mod holding;
mod meeting;
mod parcels;
mod parting;

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use run::link::Rendezvous;
use run::mesh::{Coordinates, Degrees};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};

use crate::shim::TorchError;
use crate::shim::c10d::{Group, Reduce, Reducer, Store};
use crate::shim::nccl;

#[cfg(test)]
pub(crate) mod tests;

pub use holding::{Held, Holding};
pub use meeting::{Meeting, MeetingError, Member};
pub use parcels::{ParcelError, receive_folder};

/// How long rank 0 may evaluate or be paused: for ever, as c10d counts it.
const RESTING: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long ranks wait for one another at the start: another machine may be slow to come.
const MEETING: Duration = Duration::from_secs(600);
/// How long ranks wait for one another right after all were heard.
const GREETING: Duration = Duration::from_secs(60);
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
    /// The parameters are not the model's.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Some compute on GPUs, some do not.
    #[error("{gpu} has a GPU, {cpu} has none: give all the same kind, --device cpu or cuda says which")]
    Devices {
        /// A rank with one.
        gpu: String,
        /// A rank without.
        cpu: String,
    },
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
    rank: u32,
    degrees: Degrees,
    /// Their machines, where there is more than one supervisor.
    members: Vec<Member>,
    groups: Option<Groups>,
}

/// The same ranks twice where they compute on GPUs: by NCCL for what is there, by Gloo for what is on the host.
#[derive(Debug)]
struct Both {
    host: Group,
    gpus: Option<Group>,
}

impl Both {
    fn of(&self, values: &Tensor) -> &Group {
        self.gpus.as_ref().filter(|_| values.device().is_cuda()).unwrap_or(&self.host)
    }
}

#[derive(Debug)]
struct Groups {
    words: Group,
    resting: Group,
    /// Kept: a rank that lets go would disturb one that still connects.
    _greeted: Group,
    sums: Both,
    /// Ranks with other rows; none where all have the same.
    features: Option<Both>,
    gradients: Option<Group>,
    /// Where this rank computes.
    device: Device,
    /// How long a rank may be silent.
    timeout: Duration,
    generation: u32,
    interface: String,
    /// Rank 0 serves it as long as it lives.
    store: Rc<Store>,
}

impl Mesh {
    /// One rank, which needs nobody.
    pub fn alone() -> Self {
        Self { rank: 0, degrees: Degrees::ONE, members: Vec::new(), groups: None }
    }

    /// Meets all ranks of one machine's supervisor, which compute on the CPU.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn meet(at: &Rendezvous, rank: u32, degrees: Degrees) -> Result<Self, ParallelError> {
        Self::meet_on(at, rank, degrees, Device::Cpu, None)
    }

    /// Meets all ranks. Those of several supervisors have found one another already.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn meet_on(
        at: &Rendezvous,
        rank: u32,
        degrees: Degrees,
        device: Device,
        meeting: Option<&Meeting>,
    ) -> Result<Self, ParallelError> {
        let store = match (meeting, at.listener) {
            (Some(meeting), _) => meeting.store.clone(),
            // SAFETY: the supervisor left this descriptor to this process for this purpose, and `listener` checks that
            // it is a socket; nothing else here owns it.
            (None, Some(fd)) if rank == 0 => Rc::new(Store::serve(unsafe { listener(fd) }?, MEETING)?),
            (None, _) => Rc::new(Store::join(&at.host, at.port, MEETING)?),
        };
        let members = meeting.map_or_else(Vec::new, |m| m.members.clone());
        let timeout = Duration::from_secs(at.timeout);
        // All have said that they are there: one that does not come now has died meanwhile.
        let greeting = if meeting.is_some() { timeout.min(GREETING) } else { timeout };
        let place = (rank as usize, degrees.ranks() as usize);
        let name = |kind: &str| format!("{}/{kind}/", at.generation);
        let meet =
            |kind: &str, timeout: Duration| Group::meet(&store, &name(kind), &at.interface, place, timeout);
        // A group's patience holds for its calls, too.
        let greeted = meet("greeting", greeting)?;
        let (words, resting) = (meet("words", timeout)?, meet("resting", RESTING)?);
        let mut groups = Groups {
            sums: Both { host: meet("sums", timeout)?, gpus: None },
            words,
            resting,
            _greeted: greeted,
            features: None,
            gradients: None,
            device,
            timeout,
            generation: at.generation,
            interface: at.interface.clone(),
            store: store.clone(),
        };
        groups.same_devices(rank, degrees.ranks(), &members)?;
        if device.is_cuda() {
            groups.sums.gpus = groups.on_device("sums", 0, (rank, degrees.ranks()))?;
        }
        let corner = degrees.coordinates(rank);
        let data = (degrees.data_rank(rank), degrees.data_ranks());
        if let Some(host) = groups.on_host("features", corner.tensor_parallel, data)? {
            let gpus = match device.is_cuda() {
                true => groups.on_device("features", corner.tensor_parallel, data)?,
                false => None,
            };
            groups.features = Some(Both { host, gpus });
        }
        groups.gradients = groups.on_device("gradients", corner.tensor_parallel, data)?;
        Ok(Self { rank, degrees, members, groups: Some(groups) })
    }

    /// The machine of a rank, from 0, and its name; none with one supervisor.
    pub fn member(&self, rank: u32) -> Option<&Member> {
        self.members.get(rank as usize)
    }

    /// Which ranks are on another machine than rank 0, or under another supervisor.
    pub fn is_away(&self, rank: u32) -> bool {
        match (self.member(0), self.member(rank)) {
            (Some(first), Some(it)) => first != it,
            _ => false,
        }
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Ranks there are.
    pub fn size(&self) -> usize {
        self.degrees.ranks() as usize
    }

    /// How the ranks are arranged.
    pub fn degrees(&self) -> Degrees {
        self.degrees
    }

    /// Where this rank is.
    pub fn coordinates(&self) -> Coordinates {
        self.degrees.coordinates(self.rank)
    }

    /// Which part of a batch this rank reads, and how many parts there are.
    pub fn data_part(&self) -> (usize, usize) {
        (self.degrees.data_rank(self.rank) as usize, self.degrees.data_ranks() as usize)
    }

    /// Whether this is the rank that speaks for all.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// The ranks that share each matrix with this one; none where there is no other.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn tensor_group(&self) -> Result<Option<Group>, ParallelError> {
        let (at, size) = (self.coordinates(), self.degrees.tensor_parallel);
        self.group("tensor", self.degrees.data_rank(self.rank), (at.tensor_parallel, size))
    }

    /// The ranks that share one copy of the model's state with this one, and those that have the same part of other
    /// copies; none where there is no other.
    ///
    /// # Errors
    /// As [`Mesh::tensor_group`].
    pub fn sharding_groups(&self) -> Result<(Option<Group>, Option<Group>), ParallelError> {
        let (at, degrees) = (self.coordinates(), self.degrees);
        let copy = at.data_parallel * degrees.tensor_parallel + at.tensor_parallel;
        let part = at.sharding * degrees.tensor_parallel + at.tensor_parallel;
        let shards = self.group("shards", copy, (at.sharding, degrees.sharding))?;
        let copies = self.group("copies", part, (at.data_parallel, degrees.data_parallel))?;
        Ok((shards, copies))
    }

    fn group(&self, kind: &str, number: u32, place: (u32, u32)) -> Result<Option<Group>, ParallelError> {
        self.groups.as_ref().map_or(Ok(None), |groups| groups.on_device(kind, number, place))
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

    /// What every rank has to say, in rank order, on every rank.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn all_say<T: Serialize + DeserializeOwned>(&self, words: &T) -> Result<Vec<T>, ParallelError> {
        let text = serde_json::to_vec(words)?;
        let Some(groups) = &self.groups else { return Ok(vec![serde_json::from_slice(&text)?]) };
        let ranks = self.size() as i64;
        let own = Tensor::f_from_slice(&[text.len() as i64])?;
        let mut lengths = Tensor::f_zeros([ranks], (Kind::Int64, Device::Cpu))?;
        groups.words.all_gather(&mut lengths, &own)?;
        let lengths = <Vec<i64>>::try_from(&lengths)?;
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let mut padded = text;
        padded.resize(usize::try_from(longest).unwrap_or(0), b' ');
        let mut all = Tensor::f_zeros([ranks * longest], (Kind::Uint8, Device::Cpu))?;
        groups.words.all_gather(&mut all, &Tensor::f_from_slice(&padded)?)?;
        let all = <Vec<u8>>::try_from(&all)?;
        let said = all.chunks(usize::try_from(longest).unwrap_or(1));
        Ok(said.map(serde_json::from_slice).collect::<Result<_, _>>()?)
    }

    /// The sum over all ranks, in place.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn sum_all(&self, values: &mut Tensor) -> Result<(), ParallelError> {
        match &self.groups {
            Some(groups) => Ok(groups.sums.of(values).all_reduce(values, Reduce::Sum)?),
            None => Ok(()),
        }
    }

    /// The sum over the parts of a batch, in place.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn sum(&self, values: &mut Tensor) -> Result<(), ParallelError> {
        match self.groups.as_ref().and_then(|groups| groups.features.as_ref()) {
            Some(features) => Ok(features.of(values).all_reduce(values, Reduce::Sum)?),
            None => Ok(()),
        }
    }

    /// The rows of all parts of a batch, `[b,d]` to `[parts * b,d]`; backward reaches every rank's own rows.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn gather_rows(&self, own_bd: &Tensor) -> Result<Tensor, TorchError> {
        match self.groups.as_ref().and_then(|groups| groups.features.as_ref()) {
            Some(features) => features.of(own_bd).all_gather_autograd(own_bd),
            None => Ok(own_bd.shallow_clone()),
        }
    }

    /// Sums the gradients of these parameters over the parts of a batch while backward runs; none where there is one
    /// part.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn reducer(&self, parameters: &[Tensor]) -> Result<Option<Reducer>, ParallelError> {
        let groups = self.groups.as_ref();
        match groups.and_then(|groups| Some((groups.gradients.as_ref()?, groups.features.as_ref()?))) {
            Some((gradients, features)) => {
                Ok(Some(Reducer::new(gradients, &features.host, parameters, BUCKET_BYTES)?))
            }
            None => Ok(None),
        }
    }
}

impl Groups {
    /// Whether all ranks compute on GPUs, or all on the CPU: their groups would not find one another else.
    fn same_devices(&self, rank: u32, ranks: u32, members: &[Member]) -> Result<(), ParallelError> {
        let own = Tensor::f_from_slice(&[u8::from(self.device.is_cuda())])?;
        let mut all = Tensor::f_zeros([i64::from(ranks)], (Kind::Uint8, Device::Cpu))?;
        self.words.all_gather(&mut all, &own)?;
        let all = <Vec<u8>>::try_from(&all)?;
        let other = (0..ranks).zip(&all).find(|(_, cuda)| Some(*cuda) != all.get(rank as usize));
        let Some((other, _)) = other else { return Ok(()) };
        let named = |rank: u32| match members.get(rank as usize) {
            Some(m) => format!("rank {rank} (node {}, {})", m.node, m.machine),
            None => format!("rank {rank}"),
        };
        let (gpu, cpu) = if self.device.is_cuda() { (rank, other) } else { (other, rank) };
        Err(ParallelError::Devices { gpu: named(gpu), cpu: named(cpu) })
    }

    /// Group `number` of a kind for what is on the device that ranks compute on; none where this rank is alone in it.
    fn on_device(&self, kind: &str, number: u32, place: (u32, u32)) -> Result<Option<Group>, ParallelError> {
        let Device::Cuda(gpu) = self.device else { return self.on_host(kind, number, place) };
        let (rank, size) = place;
        if size <= 1 {
            return Ok(None);
        }
        let name = format!("{}/gpus-{kind}-{number}/", self.generation);
        let place = (rank as usize, size as usize);
        Ok(Some(nccl::meet(&self.store, &name, gpu, place, self.timeout)?))
    }

    /// The same for what is in the host's memory.
    fn on_host(
        &self,
        kind: &str,
        number: u32,
        (rank, size): (u32, u32),
    ) -> Result<Option<Group>, ParallelError> {
        if size <= 1 {
            return Ok(None);
        }
        let name = format!("{}/{kind}-{number}/", self.generation);
        let place = (rank as usize, size as usize);
        Ok(Some(Group::meet(&self.store, &name, &self.interface, place, self.timeout)?))
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
