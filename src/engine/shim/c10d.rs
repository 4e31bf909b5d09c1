//! Safe faces of the shim's collectives: a store to meet at, groups of ranks, reduction of gradients during backward.

use std::ffi::{CString, c_char, c_int, c_void};
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::time::Duration;

use tch::Tensor;

use super::{RawTensor, TorchError, check, raw, raws};

unsafe extern "C" {
    fn cc_store_new(
        host: *const c_char,
        port: u16,
        listen_fd: c_int,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn cc_store_free(store: *mut c_void);
    fn cc_store_under(store: *mut c_void, prefix: *const c_char, out: *mut *mut c_void) -> *mut c_char;
    fn cc_store_set(store: *mut c_void, key: *const c_char, bytes: *const u8, n: usize) -> *mut c_char;
    fn cc_store_get(store: *mut c_void, key: *const c_char, out: *mut *mut u8, n: *mut usize) -> *mut c_char;
    fn cc_store_forget(value: *mut u8);
    fn cc_waited_ns() -> i64;
    fn cc_send(group: *mut c_void, t: RawTensor, to: c_int) -> *mut c_char;
    fn cc_receive(group: *mut c_void, t: RawTensor, from: c_int) -> *mut c_char;
    fn cc_group_new(
        store: *mut c_void,
        prefix: *const c_char,
        host: *const c_char,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn cc_group_free(group: *mut c_void);
    fn cc_all_reduce(group: *mut c_void, t: RawTensor, op: c_int) -> *mut c_char;
    fn cc_broadcast(group: *mut c_void, t: RawTensor, root: c_int, timeout_ms: i64) -> *mut c_char;
    fn cc_all_gather(group: *mut c_void, out: RawTensor, from: RawTensor) -> *mut c_char;
    fn cc_reduce_scatter(group: *mut c_void, out: RawTensor, from: RawTensor) -> *mut c_char;
    fn cc_barrier(group: *mut c_void) -> *mut c_char;
    fn cc_all_gather_autograd(group: *mut c_void, from: RawTensor, out: *mut RawTensor) -> *mut c_char;
    fn cc_sum_gradient(group: *mut c_void, from: RawTensor, out: *mut RawTensor) -> *mut c_char;
    fn cc_sum_autograd(group: *mut c_void, from: RawTensor, out: *mut RawTensor) -> *mut c_char;
    fn cc_reducer_new(
        group: *mut c_void,
        host: *mut c_void,
        parameters: *const RawTensor,
        n: usize,
        bucket_bytes: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn cc_reducer_arm(reducer: *mut c_void) -> *mut c_char;
    fn cc_reducer_finish(reducer: *mut c_void) -> *mut c_char;
    fn cc_reducer_free(reducer: *mut c_void);
}

pub(super) fn c_string(doing: &'static str, text: &str) -> Result<CString, TorchError> {
    CString::new(text).map_err(|e| TorchError { doing, message: e.to_string() })
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A key-value store over TCP, where ranks tell one another their addresses.
#[derive(Debug)]
pub struct Store {
    raw: *mut c_void,
}

// SAFETY: c10d's stores lock around every call, and are counted atomically.
unsafe impl Send for Store {}
// SAFETY: as above; nothing here changes the pointer.
unsafe impl Sync for Store {}

impl Store {
    /// Serves the store on a listener of ours (libtorch's own would listen on every interface), and is its first
    /// client.
    ///
    /// # Errors
    /// What libtorch or the system said.
    pub fn serve(listener: TcpListener, timeout: Duration) -> Result<Self, TorchError> {
        let doing = "serving the rendezvous";
        let address = listener.local_addr().map_err(|e| TorchError { doing, message: e.to_string() })?;
        Self::new(doing, &address.ip().to_string(), address.port(), listener.into_raw_fd(), timeout)
    }

    /// Joins the store that another process serves; waits for it at most so long.
    ///
    /// # Errors
    /// Nobody serves there in time.
    pub fn join(host: &str, port: u16, timeout: Duration) -> Result<Self, TorchError> {
        Self::new("joining the rendezvous", host, port, -1, timeout)
    }

    fn new(
        doing: &'static str,
        host: &str,
        port: u16,
        fd: c_int,
        timeout: Duration,
    ) -> Result<Self, TorchError> {
        let host = c_string(doing, host)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the string lives for the call; the descriptor, where there is one, is handed over for good; on
        // success `raw` is a store on the heap that `drop` frees.
        unsafe { check(doing, cc_store_new(host.as_ptr(), port, fd, milliseconds(timeout), &mut raw))? };
        Ok(Self { raw })
    }
}

impl Store {
    pub(super) fn raw(&self) -> *mut c_void {
        self.raw
    }

    /// The same store, seen through keys that begin with `prefix`.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn under(&self, prefix: &str) -> Result<Self, TorchError> {
        let doing = "opening a part of the rendezvous";
        let prefix = c_string(doing, prefix)?;
        let mut raw = ptr::null_mut();
        // SAFETY: store and string live for the call; on success `raw` is a store of its own that holds the other one.
        unsafe { check(doing, cc_store_under(self.raw, prefix.as_ptr(), &mut raw))? };
        Ok(Self { raw })
    }

    /// Writes a value, in the place of an older one.
    ///
    /// # Errors
    /// The store is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), TorchError> {
        let doing = "writing to the rendezvous";
        let key = c_string(doing, key)?;
        // SAFETY: key and value live for the call.
        unsafe { check(doing, cc_store_set(self.raw, key.as_ptr(), value.as_ptr(), value.len())) }
    }

    /// A value; none while nobody has written it. Does not wait.
    ///
    /// # Errors
    /// The store is gone.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, TorchError> {
        let doing = "reading the rendezvous";
        let key = c_string(doing, key)?;
        let (mut value, mut n) = (ptr::null_mut(), 0);
        // SAFETY: key lives for the call; a value that is not null has n bytes, is copied and given back.
        unsafe {
            check(doing, cc_store_get(self.raw, key.as_ptr(), &mut value, &mut n))?;
            if value.is_null() {
                return Ok(None);
            }
            let copy = std::slice::from_raw_parts(value, n).to_vec();
            cc_store_forget(value);
            Ok(Some(copy))
        }
    }
}

/// How long this process has waited for other ranks so far. Where calls run beside the host (NCCL) it does not wait.
pub fn waited() -> Duration {
    // SAFETY: reads a number.
    Duration::from_nanos(u64::try_from(unsafe { cc_waited_ns() }).unwrap_or(0))
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by cc_store_new, freed once. Groups hold their own share of it.
        unsafe { cc_store_free(self.raw) }
    }
}

/// How values of several ranks become one. The numbers are c10d's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum.
    Sum = 0,
    /// The least.
    Min = 3,
    /// The greatest.
    Max = 4,
}

/// Ranks that compute together. Every rank of a group makes the same calls in the same order.
#[derive(Debug)]
pub struct Group {
    raw: *mut c_void,
    rank: usize,
    size: usize,
}

impl Group {
    /// Meets the other ranks in `store` under `name`, which no other group uses, over the interface of `host`.
    /// A call that another rank does not answer within `timeout` fails.
    ///
    /// # Errors
    /// Ranks that do not come in time.
    pub fn meet(
        store: &Store,
        name: &str,
        host: &str,
        (rank, size): (usize, usize),
        timeout: Duration,
    ) -> Result<Self, TorchError> {
        let doing = "meeting the other ranks";
        let (name, host) = (c_string(doing, name)?, c_string(doing, host)?);
        let mut raw = ptr::null_mut();
        // SAFETY: strings and store live for the call; on success `raw` is a group on the heap that `drop` frees.
        unsafe {
            let (rank, size) = (rank as c_int, size as c_int);
            let ms = milliseconds(timeout);
            let message = cc_group_new(store.raw, name.as_ptr(), host.as_ptr(), rank, size, ms, &mut raw);
            check(doing, message)?;
        }
        Ok(Self { raw, rank, size })
    }

    pub(super) fn raw(&self) -> *mut c_void {
        self.raw
    }

    /// # Safety
    /// `raw` is what cc_group_new or ccn_group_new made, and nobody else's.
    pub(super) unsafe fn from_raw(raw: *mut c_void, rank: usize, size: usize) -> Self {
        Self { raw, rank, size }
    }

    /// This rank's number in the group.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks of the group.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Replaces `t` by the reduction of every rank's.
    ///
    /// # Errors
    /// A rank that is gone or late, or of another shape.
    pub fn all_reduce(&self, t: &mut Tensor, by: Reduce) -> Result<(), TorchError> {
        // SAFETY: the group lives as long as self; the call waits for its end, so `t` outlives it.
        unsafe { check("all-reduce", cc_all_reduce(self.raw, raw(t), by as c_int)) }
    }

    /// Replaces `t` by that of rank `root`; this rank waits at most `timeout`, where it is not the group's own.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn broadcast(
        &self,
        t: &mut Tensor,
        root: usize,
        timeout: Option<Duration>,
    ) -> Result<(), TorchError> {
        let ms = timeout.map_or(-1, milliseconds);
        // SAFETY: as above.
        unsafe { check("broadcast", cc_broadcast(self.raw, raw(t), root as c_int, ms)) }
    }

    /// Gives `t` to rank `to`, which [`Group::receive`]s it.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn send(&self, t: &Tensor, to: usize) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("sending", cc_send(self.raw, raw(t), to as c_int)) }
    }

    /// Replaces `t` by what rank `from` [`Group::send`]s.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn receive(&self, t: &mut Tensor, from: usize) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("receiving", cc_receive(self.raw, raw(t), from as c_int)) }
    }

    /// Every rank's `from` one behind the other into `out`, which has room for just that.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn all_gather(&self, out: &mut Tensor, from: &Tensor) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("all-gather", cc_all_gather(self.raw, raw(out), raw(from))) }
    }

    /// The sum of every rank's `from`, of which rank r gets the r-th of as many equal parts as there are ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn reduce_scatter(&self, out: &mut Tensor, from: &Tensor) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("reduce-scatter", cc_reduce_scatter(self.raw, raw(out), raw(from))) }
    }

    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn barrier(&self) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("barrier", cc_barrier(self.raw)) }
    }

    /// The rows of all ranks, `[b,...]` to `[size * b,...]`. Backward gives each rank the sum of what all ranks'
    /// losses say of its rows.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn all_gather_autograd(&self, from: &Tensor) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: as above; on success `out` is an owner of its own, and its graph holds the group.
        unsafe {
            check("all-gather", cc_all_gather_autograd(self.raw, raw(from), &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    /// The same tensor, which all ranks have alike and use in parts: backward gives each the sum of the parts'
    /// gradients.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn sum_gradient(&self, from: &Tensor) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: as above.
        unsafe {
            check("dividing a product", cc_sum_gradient(self.raw, raw(from), &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    /// The sum of all ranks' tensors, which all go on with alike: backward passes the gradient on as it is.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn sum_autograd(&self, from: &Tensor) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: as above.
        unsafe {
            check("summing a product", cc_sum_autograd(self.raw, raw(from), &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: made by cc_group_new, freed once; whoever else needs it (a graph, a reducer) holds its own share.
        unsafe { cc_group_free(self.raw) }
    }
}

/// Sums gradients over a group while backward still runs.
#[derive(Debug)]
pub struct Reducer {
    raw: *mut c_void,
}

impl Reducer {
    /// Over these parameters (float32), in buckets of about so many bytes. While it lives, an armed backward leaves
    /// gradients in its buckets, not in the parameters. `host` are the same ranks for what is on the host.
    ///
    /// # Errors
    /// No parameter, or one that is not float32.
    pub fn new(
        group: &Group,
        host: &Group,
        parameters: &[Tensor],
        bucket_bytes: i64,
    ) -> Result<Self, TorchError> {
        let from = raws(parameters);
        let mut out = ptr::null_mut();
        // SAFETY: `from` has `from.len()` entries; the reducer takes shares of them and of the groups.
        unsafe {
            let message =
                cc_reducer_new(group.raw, host.raw, from.as_ptr(), from.len(), bucket_bytes, &mut out);
            check("making gradient buckets", message)?;
        }
        Ok(Self { raw: out })
    }

    /// Says that the next backward is the step's last.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn arm(&self) -> Result<(), TorchError> {
        // SAFETY: the reducer lives as long as self.
        unsafe { check("arming gradient buckets", cc_reducer_arm(self.raw)) }
    }

    /// Waits for the sums, which are the parameters' gradients then; a parameter without a gradient on every rank has
    /// none.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn finish(&self) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("summing gradients", cc_reducer_finish(self.raw)) }
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: made by cc_reducer_new, freed once; it takes its hooks off the parameters first.
        unsafe { cc_reducer_free(self.raw) }
    }
}
