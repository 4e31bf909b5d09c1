//! Pieces of a model that autograd sees as one node, so that their parameters may be away and their inside forgotten
//! between forward and backward.

use std::any::Any;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use tch::Tensor;

use super::shards::Shards;
use super::{RawTensor, TorchError, check, raws};

type Compute = unsafe extern "C" fn(*mut c_void, *mut RawTensor, usize, *mut RawTensor) -> *mut c_char;

unsafe extern "C" {
    fn cc_message(text: *const c_char) -> *mut c_char;
    fn cc_segment(
        inputs: *const RawTensor,
        n: usize,
        compute: Compute,
        drop: unsafe extern "C" fn(*mut c_void),
        closure: *mut c_void,
        shards: *mut c_void,
        unit: usize,
        again: c_int,
        out: *mut RawTensor,
    ) -> *mut c_char;
}

/// How a segment is computed.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// The unit that holds its parameters: whole only while it computes, its gradients summed over ranks after backward.
    pub unit: Option<(Shards, usize)>,
    /// Whether backward computes it again instead of keeping what is inside. Exact: mixed precision and the random
    /// numbers are those of the first time.
    pub again: bool,
}

type Computation = dyn Fn(&[Tensor]) -> Tensor;

/// A thin pointer for the shim.
struct Closure(Box<Computation>);

impl Segment {
    /// Computes `of(inputs)`, `inputs` not empty. `of` must depend on its inputs and its parameters alone: it may run
    /// once more in backward.
    ///
    /// # Errors
    /// What libtorch said, or `of` panicked with.
    pub fn run(
        &self,
        inputs: &[Tensor],
        of: impl Fn(&[Tensor]) -> Tensor + 'static,
    ) -> Result<Tensor, TorchError> {
        let from = raws(inputs);
        let closure = Box::into_raw(Box::new(Closure(Box::new(of))));
        let (shards, unit) = self.unit.as_ref().map_or((ptr::null_mut(), 0), |(s, unit)| (s.raw, *unit));
        let mut out = ptr::null_mut();
        // SAFETY: `from` has `from.len()` entries; the closure is handed over, and `drop_closure` ends it once. Where a
        // thread of autograd's runs it, this one waits: it is never used by two.
        unsafe {
            let message = cc_segment(
                from.as_ptr(),
                from.len(),
                compute,
                drop_closure,
                closure.cast(),
                shards,
                unit,
                c_int::from(self.again),
                &mut out,
            );
            check("a segment of the model", message)?;
            Ok(Tensor::from_ptr(out))
        }
    }
}

/// Runs a closure for the shim. A panic (tch's way to say that libtorch threw) becomes a message: it must not cross C++.
unsafe extern "C" fn compute(
    closure: *mut c_void,
    inputs: *mut RawTensor,
    n: usize,
    out: *mut RawTensor,
) -> *mut c_char {
    let run = || {
        // SAFETY: the shim passes back the closure that `run` gave it, and `n` live tensors.
        let (closure, inputs) = unsafe {
            let inputs = std::slice::from_raw_parts(inputs, n);
            (&*closure.cast::<Closure>(), inputs.iter().map(|t| Tensor::clone_from_ptr(*t)))
        };
        (closure.0)(&inputs.collect::<Vec<_>>())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(tensor) => {
            // SAFETY: one place to write; the shim takes the tensor over.
            unsafe { *out = tensor.as_ptr().cast_mut() };
            std::mem::forget(tensor);
            ptr::null_mut()
        }
        Err(panic) => {
            let text = CString::new(words(&*panic).replace('\0', " ")).unwrap_or_default();
            // SAFETY: a NUL-terminated string that lives for the call.
            unsafe { cc_message(text.as_ptr()) }
        }
    }
}

unsafe extern "C" fn drop_closure(closure: *mut c_void) {
    // SAFETY: made by Box::into_raw in `run`, dropped once by the shim.
    drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "no words".to_owned())
}
