//! Parameters that ranks share: each owns an equal part of every unit, and has the whole at most while it computes.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use tch::Tensor;

use super::c10d::Group;
use super::{RawTensor, TorchError, check, raws};

unsafe extern "C" {
    fn cc_shards_new(
        group: *mut c_void,
        copies: *mut c_void,
        frees: c_int,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn cc_shards_share(shards: *mut c_void) -> *mut c_void;
    fn cc_shards_free(shards: *mut c_void);
    fn cc_shards_add(
        shards: *mut c_void,
        parameters: *const RawTensor,
        n: usize,
        out: *mut RawTensor,
    ) -> *mut c_char;
    fn cc_shards_shard(shards: *mut c_void, unit: usize, out: *mut RawTensor) -> *mut c_char;
    fn cc_shards_gradient(shards: *mut c_void, unit: usize, out: *mut RawTensor) -> *mut c_char;
    fn cc_shards_gather(shards: *mut c_void, unit: usize) -> *mut c_char;
    fn cc_shards_release(shards: *mut c_void, unit: usize) -> *mut c_char;
    fn cc_shards_reduce(shards: *mut c_void, unit: usize) -> *mut c_char;
    fn cc_shards_finish(shards: *mut c_void, touched: *mut f32, n: usize) -> *mut c_char;
    fn cc_shards_clear(shards: *mut c_void) -> *mut c_char;
    fn cc_shards_publish(shards: *mut c_void) -> *mut c_char;
    fn cc_shards_ahead(shards: *mut c_void) -> u64;
    fn cc_shards_coming(shards: *mut c_void) -> u64;
    fn cc_shards_bytes(shards: *mut c_void, out: *mut u64) -> *mut c_char;
}

/// The shards of a model's units. Clones are handles on the same.
#[derive(Debug)]
pub struct Shards {
    pub(super) raw: *mut c_void,
}

impl Clone for Shards {
    fn clone(&self) -> Self {
        // SAFETY: the shards live as long as self; the result is an owner of its own.
        Self { raw: unsafe { cc_shards_share(self.raw) } }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        // SAFETY: an owner of its own, freed once.
        unsafe { cc_shards_free(self.raw) }
    }
}

impl Shards {
    /// Shards over the ranks of `group`; `copies` are the ranks that own the same parts. With `frees`, parameters are
    /// here only while they are gathered.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn new(group: &Group, copies: Option<&Group>, frees: bool) -> Result<Self, TorchError> {
        let mut raw = ptr::null_mut();
        let copies = copies.map_or(ptr::null_mut(), Group::raw);
        // SAFETY: the groups live for the call, and the shards take shares of them.
        unsafe {
            check("making shards", cc_shards_new(group.raw(), copies, c_int::from(frees), &mut raw))?;
        }
        Ok(Self { raw })
    }

    /// Makes these parameters (float32, the same on every rank of the group) the next unit; gives the leaves to compute
    /// with in their place.
    ///
    /// # Errors
    /// No parameter, or one that is not float32.
    pub fn add(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let from = raws(parameters);
        let mut out = vec![ptr::null_mut(); from.len()];
        // SAFETY: both arrays have `from.len()` entries; each result is an owner of its own.
        unsafe {
            let message = cc_shards_add(self.raw, from.as_ptr(), from.len(), out.as_mut_ptr());
            check("making shards", message)?;
            Ok(out.into_iter().map(|p| Tensor::from_ptr(p)).collect())
        }
    }

    /// This rank's part of a unit, float32 `[chunk]`: the optimiser changes it in place.
    ///
    /// # Errors
    /// No such unit.
    pub fn shard(&self, unit: usize) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` is an owner of its own.
        unsafe {
            check("reading shards", cc_shards_shard(self.raw, unit, &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    /// The gradient of [`Shards::shard`], summed over all ranks; none before the first [`Shards::reduce`].
    ///
    /// # Errors
    /// No such unit.
    pub fn gradient(&self, unit: usize) -> Result<Option<Tensor>, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` is null or an owner of its own.
        unsafe {
            check("reading shards", cc_shards_gradient(self.raw, unit, &mut out))?;
            Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
        }
    }

    /// Makes a unit's parameters whole until [`Shards::release`]; may be nested.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn gather(&self, unit: usize) -> Result<(), TorchError> {
        // SAFETY: the shards live as long as self.
        unsafe { check("gathering parameters", cc_shards_gather(self.raw, unit)) }
    }

    /// How often a unit was on its way already when it was gathered: from the second step on, between
    /// [`Shards::clear`] and [`Shards::finish`], the next one is sent for while one computes.
    pub fn came_ahead(&self) -> u64 {
        // SAFETY: the shards live as long as self.
        unsafe { cc_shards_ahead(self.raw) }
    }

    /// Bytes of the unit that is on its way now.
    pub fn coming(&self) -> u64 {
        // SAFETY: the shards live as long as self.
        unsafe { cc_shards_coming(self.raw) }
    }

    /// Frees what [`Shards::gather`] brought.
    ///
    /// # Errors
    /// No such unit.
    pub fn release(&self, unit: usize) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("freeing parameters", cc_shards_release(self.raw, unit)) }
    }

    /// Adds the sum over all ranks of the gradients that a unit's parameters hold to [`Shards::gradient`]; segments do
    /// it by themselves.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn reduce(&self, unit: usize) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("summing gradients", cc_shards_reduce(self.raw, unit)) }
    }

    /// Waits for all sums; says of each of the `n` parameters, in order, whether it had a gradient on this rank: 1 or 0.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn finish(&self, n: usize) -> Result<Vec<f32>, TorchError> {
        let mut touched = vec![0.0; n];
        // SAFETY: `touched` has the `n` places that are written.
        unsafe { check("summing gradients", cc_shards_finish(self.raw, touched.as_mut_ptr(), n))? };
        Ok(touched)
    }

    /// A step begins: drops all gradients.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn clear(&self) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("clearing gradients", cc_shards_clear(self.raw)) }
    }

    /// After an update of the own parts: gives every rank everybody's, where parameters are kept whole.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn publish(&self) -> Result<(), TorchError> {
        // SAFETY: as above.
        unsafe { check("gathering parameters", cc_shards_publish(self.raw)) }
    }

    /// Bytes of memory that (parameters, gradients) take now.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn bytes(&self) -> Result<(u64, u64), TorchError> {
        let mut out = [0; 2];
        // SAFETY: `out` has the two places that are written.
        unsafe { check("measuring shards", cc_shards_bytes(self.raw, out.as_mut_ptr()))? };
        Ok((out[0], out[1]))
    }
}
