//! Safe faces of the C++ shim: what tch 0.24 lacks, and nothing else.
//!
//! All of this crate's `unsafe` for libtorch is in this folder. The functions below only read the pointer
//! arrays they are given for the length of the call, and every tensor they hand back is a new owner of its
//! storage; so no pointer outlives what it points to.

pub mod adamw;
pub mod c10d;
pub mod nccl;
pub mod segment;
pub mod shards;
pub mod steps;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

/// An error that libtorch raised, with its text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {message}")]
pub struct TorchError {
    /// What was being done.
    pub doing: &'static str,
    /// libtorch's own words.
    pub message: String,
}

type RawTensor = *mut C_tensor;

unsafe extern "C" {
    fn cc_free_message(message: *mut c_char);
    fn cc_gradients(parameters: *const RawTensor, n: usize, out: *mut RawTensor) -> *mut c_char;
    fn cc_clear_gradients(parameters: *const RawTensor, n: usize) -> *mut c_char;
    fn cc_with_gradients(
        value: RawTensor,
        inputs: *const RawTensor,
        gradients: *const RawTensor,
        n: usize,
        out: *mut RawTensor,
    ) -> *mut c_char;
    fn cc_fetch_begin(t: RawTensor, out: *mut *mut c_void) -> *mut c_char;
    fn cc_fetch_end(fetch: *mut c_void, out: *mut RawTensor) -> *mut c_char;
    fn cc_fetch_free(fetch: *mut c_void);
    fn cc_gradient_norm(gradients: *const RawTensor, n: usize, out: *mut RawTensor) -> *mut c_char;
    fn cc_clip_gradients(
        gradients: *const RawTensor,
        n: usize,
        total_norm: RawTensor,
        max_norm: f64,
    ) -> *mut c_char;
    fn cc_norm_linear(inputs: *const RawTensor, out: *mut RawTensor) -> *mut c_char;
    fn cc_norm_mlp(inputs: *const RawTensor, out: *mut RawTensor) -> *mut c_char;
    fn cc_keep_big_blocks() -> *mut c_char;
    fn cc_cpu_memory(out: *mut i64) -> *mut c_char;
    fn cc_linear(
        x: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        transposed: c_int,
        out: *mut RawTensor,
    ) -> *mut c_char;
    fn cc_fill_normal(t: RawTensor, mean: f64, std: f64, seed: u64) -> *mut c_char;
    fn cc_fill_uniform(t: RawTensor, low: f64, high: f64, seed: u64) -> *mut c_char;
    fn cc_multinomial(probabilities: RawTensor, generator: *mut c_void, out: *mut RawTensor) -> *mut c_char;
    fn cc_generator_new(seed: u64, out: *mut *mut c_void) -> *mut c_char;
    fn cc_generator_free(generator: *mut c_void);
    fn cc_autocast_enter(
        cuda: c_int,
        dtype: c_int,
        was_enabled: *mut c_int,
        was_dtype: *mut c_int,
    ) -> *mut c_char;
    fn cc_autocast_exit(cuda: c_int, was_enabled: c_int, was_dtype: c_int) -> *mut c_char;
    fn cc_cuda_device_count(out: *mut c_int) -> *mut c_char;
    fn cc_cuda_memory(device: c_int, out: *mut i64) -> *mut c_char;
    fn cc_cuda_reset_peak(device: c_int) -> *mut c_char;
}

/// Turns the shim's message (null: success) into a `Result`, and frees it.
fn check(doing: &'static str, message: *mut c_char) -> Result<(), TorchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null message is a NUL-terminated string that the shim made by strdup for us to free.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().trim_end().to_owned();
        cc_free_message(message);
        text
    };
    Err(TorchError { doing, message: text })
}

fn raw(t: &Tensor) -> RawTensor {
    t.as_ptr().cast_mut()
}

fn raws(tensors: &[Tensor]) -> Vec<RawTensor> {
    tensors.iter().map(raw).collect()
}

/// The gradient of each parameter, sharing its storage; `None` where backward left none.
pub fn gradients(parameters: &[Tensor]) -> Result<Vec<Option<Tensor>>, TorchError> {
    let mut out = vec![ptr::null_mut(); parameters.len()];
    let from = raws(parameters);
    // SAFETY: `from` and `out` have `from.len()` entries; each non-null result is an owner of its own.
    unsafe {
        check("reading gradients", cc_gradients(from.as_ptr(), from.len(), out.as_mut_ptr()))?;
        Ok(out.into_iter().map(|p| (!p.is_null()).then(|| Tensor::from_ptr(p))).collect())
    }
}

/// Drops the gradient of each parameter, so that the next backward stores its own without adding.
pub fn clear_gradients(parameters: &[Tensor]) -> Result<(), TorchError> {
    let from = raws(parameters);
    // SAFETY: `from` has `from.len()` entries.
    unsafe { check("clearing gradients", cc_clear_gradients(from.as_ptr(), from.len())) }
}

/// A copy of the scalar `value` whose backward gives `gradients[i]` (times the incoming factor) to
/// `inputs[i]`. Backward works once, and takes the gradients over.
pub fn with_gradients(
    value: &Tensor,
    inputs: &[Tensor],
    gradients: Vec<Tensor>,
) -> Result<Tensor, TorchError> {
    let doing = "attaching gradients";
    if inputs.len() != gradients.len() {
        let message = format!("{} inputs, {} gradients", inputs.len(), gradients.len());
        return Err(TorchError { doing, message });
    }
    let (from, grads) = (raws(inputs), raws(&gradients));
    let mut out = ptr::null_mut();
    // SAFETY: both arrays have `from.len()` entries; on success `out` is an owner of its own.
    unsafe {
        let message = cc_with_gradients(raw(value), from.as_ptr(), grads.as_ptr(), from.len(), &mut out);
        check(doing, message)?;
        Ok(Tensor::from_ptr(out))
    }
}

/// A tensor's numbers on their way to the host: they are sent behind what the device has to do up to now, and reading them
/// later waits for no more than that, whatever it was given to do since.
#[derive(Debug)]
pub struct Fetch {
    raw: *mut c_void,
}

impl Fetch {
    /// Sends for them, and waits for nothing.
    pub fn begin(t: &Tensor) -> Result<Self, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` is an object on the heap that `drop` frees.
        unsafe { check("reading numbers", cc_fetch_begin(raw(t), &mut out))? };
        Ok(Self { raw: out })
    }

    /// Waits for them: a tensor on the CPU.
    pub fn end(&self) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` is an owner of its own.
        unsafe {
            check("reading numbers", cc_fetch_end(self.raw, &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // SAFETY: made by cc_fetch_begin, freed once.
        unsafe { cc_fetch_free(self.raw) }
    }
}

/// The 2-norm of all `gradients` together, a float32 scalar on their device; nothing is waited for.
pub fn gradient_norm(gradients: &[Tensor]) -> Result<Tensor, TorchError> {
    let from = raws(gradients);
    let mut out = ptr::null_mut();
    // SAFETY: `from` has `from.len()` entries; on success `out` is an owner of its own.
    unsafe {
        check("gradient norm", cc_gradient_norm(from.as_ptr(), from.len(), &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Multiplies every gradient in place by min(1, max_norm / (total_norm + 1e-6)).
pub fn clip_gradients(gradients: &[Tensor], total_norm: &Tensor, max_norm: f64) -> Result<(), TorchError> {
    let from = raws(gradients);
    // SAFETY: `from` has `from.len()` entries.
    unsafe {
        check("clipping gradients", cc_clip_gradients(from.as_ptr(), from.len(), raw(total_norm), max_norm))
    }
}

/// Big tensors on the CPU are mapped in huge pages from now on, and their memory is kept for the next ones: no page
/// faults in every step. To be called before the first tensor is made.
pub fn keep_big_blocks() -> Result<(), TorchError> {
    // SAFETY: it sets libtorch's allocator, once; tensors made before it are freed as they were made.
    unsafe { check("preparing memory", cc_keep_big_blocks()) }
}

/// x W^T + b for `[..., in]` and `[out, in]`. Differs from libtorch's own in speed (and rounding) alone: float32 on the
/// CPU is multiplied by oneDNN, and without gradients a few rows take loops that read the weights at the memory's speed.
pub fn linear(x: &Tensor, weight_oi: &Tensor, bias_o: Option<&Tensor>) -> Result<Tensor, TorchError> {
    let mut out = ptr::null_mut();
    // SAFETY: live tensors, a null bias means none; on success `out` is an owner of its own.
    unsafe {
        let bias = bias_o.map_or(ptr::null_mut(), raw);
        check("a linear layer", cc_linear(raw(x), raw(weight_oi), bias, 0, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// x W for `[..., in]` and `[in, out]`, with the speed of [`linear`].
pub fn product(x: &Tensor, weight_io: &Tensor) -> Result<Tensor, TorchError> {
    let mut out = ptr::null_mut();
    // SAFETY: live tensors, no bias; on success `out` is an owner of its own.
    unsafe {
        check("a product", cc_linear(raw(x), raw(weight_io), ptr::null_mut(), 1, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// W ln(x) + b, `inputs` being x `[..., in]`, the norm's gain and shift, W `[out, in]` and b. Backward computes the norm
/// again: it is not kept. None where the plain operators serve as well: nothing is recorded, or not float32 on the CPU.
pub fn norm_linear(inputs: [&Tensor; 5]) -> Result<Option<Tensor>, TorchError> {
    let (from, mut out) = (inputs.map(raw), ptr::null_mut());
    // SAFETY: five live tensors; on success `out` is null or an owner of its own.
    unsafe {
        check("a linear layer behind a norm", cc_norm_linear(from.as_ptr(), &mut out))?;
        Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
    }
}

/// x + P gelu(F ln(x) + f) + p, `inputs` being x, the norm's gain and shift, F, f, P and p; see [`norm_linear`].
pub fn norm_mlp(inputs: [&Tensor; 7]) -> Result<Option<Tensor>, TorchError> {
    let (from, mut out) = (inputs.map(raw), ptr::null_mut());
    // SAFETY: seven live tensors; on success `out` is null or an owner of its own.
    unsafe {
        check("an MLP behind a norm", cc_norm_mlp(from.as_ptr(), &mut out))?;
        Ok((!out.is_null()).then(|| Tensor::from_ptr(out)))
    }
}

/// Fills a CPU tensor from N(mean, std), by a generator of its own: libtorch's global one is not touched.
pub fn fill_normal(t: &mut Tensor, mean: f64, std: f64, seed: u64) -> Result<(), TorchError> {
    // SAFETY: `t` is a live tensor, and the only thing written.
    unsafe { check("drawing normal values", cc_fill_normal(raw(t), mean, std, seed)) }
}

/// Fills a CPU tensor from U(low, high), by a generator of its own.
pub fn fill_uniform(t: &mut Tensor, low: f64, high: f64, seed: u64) -> Result<(), TorchError> {
    // SAFETY: `t` is a live tensor, and the only thing written.
    unsafe { check("drawing uniform values", cc_fill_uniform(raw(t), low, high, seed)) }
}

/// A CPU random generator of its own, for sampling.
#[derive(Debug)]
pub struct Generator {
    raw: *mut c_void,
}

impl Generator {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> Result<Self, TorchError> {
        let mut raw = ptr::null_mut();
        // SAFETY: on success `raw` is an at::Generator on the heap that `drop` frees.
        unsafe { check("making a random generator", cc_generator_new(seed, &mut raw))? };
        Ok(Self { raw })
    }

    /// One index a row, int64 [rows,1], drawn by `probabilities` [rows, choices] (CPU; need not sum to 1).
    pub fn multinomial(&mut self, probabilities: &Tensor) -> Result<Tensor, TorchError> {
        let mut out = ptr::null_mut();
        // SAFETY: `self.raw` lives as long as self; on success `out` is an owner of its own.
        unsafe {
            check("drawing tokens", cc_multinomial(raw(probabilities), self.raw, &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: made by cc_generator_new, freed once.
        unsafe { cc_generator_free(self.raw) }
    }
}

/// Mixed precision for this thread while it lives: matrix products in `kind`, reductions in float32.
#[derive(Debug)]
pub struct Autocast {
    cuda: c_int,
    was_enabled: c_int,
    was_dtype: c_int,
    /// Autocast is a state of the thread: the guard must not leave it.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Autocast {
    /// Turns autocast on for `device` with `kind` (BFloat16 or Half).
    pub fn enter(device: Device, kind: Kind) -> Result<Self, TorchError> {
        let doing = "turning autocast on";
        // c10::ScalarType's numbers, which are part of every saved PyTorch file.
        let dtype = match kind {
            Kind::Half => 5,
            Kind::BFloat16 => 15,
            other => {
                return Err(TorchError { doing, message: format!("{other:?} is not a lower precision") });
            }
        };
        let cuda = c_int::from(device.is_cuda());
        let (mut was_enabled, mut was_dtype) = (0, 0);
        // SAFETY: plain numbers and two places to write.
        unsafe {
            let message = cc_autocast_enter(cuda, dtype, &mut was_enabled, &mut was_dtype);
            check(doing, message)?;
        }
        Ok(Self { cuda, was_enabled, was_dtype, _not_send: std::marker::PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain numbers. It can only fail where `enter` failed, and then there is no guard.
        unsafe {
            let _ =
                check("turning autocast off", cc_autocast_exit(self.cuda, self.was_enabled, self.was_dtype));
        }
    }
}

/// CUDA devices that libtorch sees; 0 without its CUDA library. Asking before that library is loaded makes
/// libtorch decide for good that there is none: [`crate::device::load_cuda`] comes first.
pub(crate) fn cuda_device_count() -> Result<usize, TorchError> {
    let mut count = 0;
    // SAFETY: one place to write.
    unsafe { check("counting CUDA devices", cc_cuda_device_count(&mut count))? };
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Bytes that the CUDA allocator holds: [allocated, reserved, peak allocated].
pub(crate) fn cuda_memory(device: usize) -> Result<[i64; 3], TorchError> {
    let mut out = [0; 3];
    // SAFETY: `out` has the three places that are written.
    unsafe { check("allocator statistics", cc_cuda_memory(device as c_int, out.as_mut_ptr()))? };
    Ok(out)
}

/// Starts the peak of [`cuda_memory`] again at what is allocated now.
pub(crate) fn cuda_reset_peak(device: usize) -> Result<(), TorchError> {
    // SAFETY: a plain number.
    unsafe { check("allocator statistics", cc_cuda_reset_peak(device as c_int)) }
}

/// Bytes on the CPU: [in tensors, with what is kept for the next ones, most in tensors so far]; none where
/// [`keep_big_blocks`] was not called, which counts them.
pub(crate) fn cpu_memory() -> Result<Option<[u64; 3]>, TorchError> {
    let mut out = [0; 3];
    // SAFETY: `out` has the three places that are written.
    unsafe { check("allocator statistics", cc_cpu_memory(out.as_mut_ptr()))? };
    Ok((out[0] >= 0).then(|| out.map(|bytes| u64::try_from(bytes).unwrap_or(0))))
}
