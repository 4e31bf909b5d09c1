//! Steps of transformer blocks for captions that are being written, all of a new token's in one call.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use tch::Tensor;

use super::{RawTensor, TorchError, check, raw};

unsafe extern "C" {
    fn cc_steps_new() -> *mut c_void;
    fn cc_steps_free(steps: *mut c_void);
    fn cc_steps_add(
        steps: *mut c_void,
        x: RawTensor,
        weights: *const RawTensor,
        keys: RawTensor,
        values: RawTensor,
        heads: i64,
        filled: i64,
        open: RawTensor,
        done: *mut c_int,
    ) -> *mut c_char;
    fn cc_steps_run(steps: *mut c_void) -> *mut c_char;
}

/// The keys and values that a step of a block looks at.
#[derive(Debug, Clone, Copy)]
pub enum Kept<'a> {
    /// A self-attention's, `[rows,h,room,c]`, so many positions of which are filled; the new one is put behind them.
    Text {
        /// Keys.
        keys: &'a Tensor,
        /// Values.
        values: &'a Tensor,
        /// Filled positions.
        filled: i64,
        /// Which keys may be seen, 0 or -inf: `[rows,1,1,more than filled]`.
        open_r11k: Option<&'a Tensor>,
    },
    /// An image's, `[images,h,n,c]`, for equally many rows each.
    Image {
        /// Keys.
        keys: &'a Tensor,
        /// Values.
        values: &'a Tensor,
    },
}

/// Steps that wait to be run.
#[derive(Debug)]
pub struct Steps {
    raw: *mut c_void,
}

impl Default for Steps {
    fn default() -> Self {
        // SAFETY: no arguments; a heap-held list that `drop` frees.
        Self { raw: unsafe { cc_steps_new() } }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        // SAFETY: `raw` came from cc_steps_new and is freed once.
        unsafe { cc_steps_free(self.raw) }
    }
}

impl Steps {
    /// Adds one new position of a transformer block, in place on `x` `[rows,...,w]`: attention over what is kept, then the
    /// MLP. `weights` are ln_1, in_proj (packed), out_proj, ln_2, c_fc and c_proj, each with its bias. False, and nothing
    /// was added, where it is not float32 on the CPU without gradients, or the sizes do not fit the loops.
    pub fn add(
        &mut self,
        x: &mut Tensor,
        weights: [&Tensor; 12],
        heads: i64,
        kept: Kept,
    ) -> Result<bool, TorchError> {
        let (keys, values, filled, open) = match kept {
            Kept::Text { keys, values, filled, open_r11k } => (keys, values, filled.max(0), open_r11k),
            Kept::Image { keys, values } => (keys, values, -1, None),
        };
        let from = weights.map(raw);
        let open = open.map_or(ptr::null_mut(), raw);
        let mut done = 0;
        // SAFETY: twelve weights, live tensors, a null `open` means none. All sizes are checked here; the list holds the
        // tensors' memory itself until it was run.
        unsafe {
            let from = from.as_ptr();
            let added =
                cc_steps_add(self.raw, raw(x), from, raw(keys), raw(values), heads, filled, open, &mut done);
            check("a step of a block", added)?;
        }
        Ok(done != 0)
    }

    /// Runs what was added, in that order: only now are `x`, keys and values changed.
    pub fn run(&mut self) -> Result<(), TorchError> {
        // SAFETY: the list and what it holds are live; writes go to the `x` of each step, and behind what is filled of keys
        // and values, all checked when it was added.
        unsafe { check("steps of blocks", cc_steps_run(self.raw)) }
    }
}
