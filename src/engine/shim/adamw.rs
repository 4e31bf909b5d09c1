//! Safe faces of the shim's AdamW: of many parameters at once, or of each in the midst of backward.

use std::ffi::{c_char, c_void};
use std::ptr;

use tch::Tensor;

use super::{RawTensor, TorchError, check, raw, raws};

unsafe extern "C" {
    fn cc_adamw_step(
        parameters: *const RawTensor,
        gradients: *const RawTensor,
        exp_avgs: *const RawTensor,
        exp_avg_sqs: *const RawTensor,
        steps: *const RawTensor,
        n: usize,
        by: *const AdamWStep,
        found_inf: RawTensor,
    ) -> *mut c_char;
    fn cc_early_new(
        parameters: *const RawTensor,
        exp_avgs: *const RawTensor,
        exp_avg_sqs: *const RawTensor,
        steps: *const RawTensor,
        n: usize,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn cc_early_arm(
        early: *mut c_void,
        lr: *const f64,
        weight_decay: *const f64,
        by: *const AdamWStep,
        loss: RawTensor,
    ) -> *mut c_char;
    fn cc_early_finish(early: *mut c_void, norm: *mut RawTensor) -> *mut c_char;
    fn cc_early_free(early: *mut c_void);
}

/// The numbers of one AdamW update.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// The tensors of one AdamW update, index by index.
#[derive(Debug, Default)]
pub struct AdamWTensors {
    /// Updated in place.
    pub parameters: Vec<Tensor>,
    /// Read only; an update in backward needs none.
    pub gradients: Vec<Tensor>,
    /// First moments, float32 or bfloat16, updated in place.
    pub exp_avgs: Vec<Tensor>,
    /// Second moments, updated in place.
    pub exp_avg_sqs: Vec<Tensor>,
    /// float32 scalars, raised by one.
    pub steps: Vec<Tensor>,
}

impl AdamWTensors {
    fn check(&self, gradients: usize) -> Result<(), TorchError> {
        let n = self.parameters.len();
        let lengths = [self.exp_avgs.len(), self.exp_avg_sqs.len(), self.steps.len(), gradients];
        match lengths.iter().all(|length| *length == n) {
            true => Ok(()),
            false => Err(TorchError { doing: "AdamW update", message: "lists of unequal length".to_owned() }),
        }
    }
}

/// One update of all tensors, which are on one device, by fused kernels. Where `found_inf` (a float32 scalar) is given
/// and not zero, nothing changes: the choice is made on the device.
///
/// # Errors
/// Lists of unequal length, or what libtorch said.
pub fn step(t: &AdamWTensors, by: AdamWStep, found_inf: Option<&Tensor>) -> Result<(), TorchError> {
    t.check(t.gradients.len())?;
    if t.parameters.is_empty() {
        return Ok(());
    }
    // SAFETY: all arrays have as many entries as there are parameters; a null `found_inf` means none.
    unsafe {
        let message = cc_adamw_step(
            raws(&t.parameters).as_ptr(),
            raws(&t.gradients).as_ptr(),
            raws(&t.exp_avgs).as_ptr(),
            raws(&t.exp_avg_sqs).as_ptr(),
            raws(&t.steps).as_ptr(),
            t.parameters.len(),
            &by,
            found_inf.map_or(ptr::null_mut(), raw),
        );
        check("AdamW update", message)
    }
}

/// Updates every parameter as soon as backward has its gradient, and frees that: no more than a few gradients are there
/// at a time.
#[derive(Debug)]
pub struct Early {
    raw: *mut c_void,
    len: usize,
}

impl Early {
    /// Over these leaves; gradients are not looked at.
    ///
    /// # Errors
    /// Lists of unequal length.
    pub fn new(t: &AdamWTensors) -> Result<Self, TorchError> {
        t.check(t.parameters.len())?;
        let mut raw = ptr::null_mut();
        let len = t.parameters.len();
        // SAFETY: all arrays have `len` entries; the object takes shares of the tensors.
        unsafe {
            let message = cc_early_new(
                raws(&t.parameters).as_ptr(),
                raws(&t.exp_avgs).as_ptr(),
                raws(&t.exp_avg_sqs).as_ptr(),
                raws(&t.steps).as_ptr(),
                len,
                &mut raw,
            );
            check("AdamW in backward", message)?;
        }
        Ok(Self { raw, len })
    }

    /// The next backward updates, each parameter by its own (rate, decay); `by`'s do not count. A parameter is left alone
    /// where `loss` or its own gradient is not finite.
    ///
    /// # Errors
    /// Not a rate for each parameter.
    pub fn arm(&self, rates: &[(f64, f64)], by: AdamWStep, loss: &Tensor) -> Result<(), TorchError> {
        let doing = "AdamW in backward";
        if rates.len() != self.len {
            let message = format!("{} rates for {} parameters", rates.len(), self.len);
            return Err(TorchError { doing, message });
        }
        let (lr, decay): (Vec<f64>, Vec<f64>) = rates.iter().copied().unzip();
        // SAFETY: both arrays have `len` entries.
        unsafe { check(doing, cc_early_arm(self.raw, lr.as_ptr(), decay.as_ptr(), &by, raw(loss))) }
    }

    /// Backward is over: gives the norm of all gradients, a float32 scalar on the device.
    ///
    /// # Errors
    /// It was not armed, or what libtorch said.
    pub fn finish(&self) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` is an owner of its own.
        unsafe {
            check("AdamW in backward", cc_early_finish(self.raw, &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        // SAFETY: made by cc_early_new, freed once; it takes its hooks off the parameters first.
        unsafe { cc_early_free(self.raw) }
    }
}
