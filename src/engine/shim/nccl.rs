//! Groups of GPUs: a second small library, which needs libtorch's CUDA half and is loaded only where that is.

use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use super::c10d::{Group, Store, c_string, milliseconds};
use super::{TorchError, check};

/// Its file, which the build puts beside the engine where CUDA's headers are there.
pub const LIBRARY: &str = "libcocaptain_nccl.so";

type New = unsafe extern "C" fn(
    store: *mut c_void,
    prefix: *const c_char,
    device: c_int,
    rank: c_int,
    size: c_int,
    timeout_ms: i64,
    out: *mut *mut c_void,
) -> *mut c_char;

/// The library's one function, or why there is none.
fn entry() -> Result<New, String> {
    static ENTRY: OnceLock<Result<New, String>> = OnceLock::new();
    ENTRY.get_or_init(load).clone()
}

/// Where it may be: beside the engine, else where `make install` puts libraries.
fn places() -> Vec<PathBuf> {
    let folder =
        std::env::current_exe().ok().and_then(|exe| Some(exe.canonicalize().ok()?.parent()?.to_owned()));
    let folder = folder.unwrap_or_default();
    // Tests and examples are one folder further down.
    ["", "../lib/cocaptain", ".."].iter().map(|at| folder.join(at).join(LIBRARY)).collect()
}

fn load() -> Result<New, String> {
    crate::device::load_cuda()?;
    let places = places();
    let Some(file) = places.iter().find(|place| place.is_file()) else {
        return Err(format!(
            "{} is missing: it is built beside the engine where libtorch's CUDA headers are (`make libtorch CUDA=1`, then \
             `make build`); ranks on GPUs cannot talk without it, --device cpu can",
            places.first().map_or_else(|| LIBRARY.to_owned(), |p| p.display().to_string())
        ));
    };
    let failed = |e: libloading::Error| format!("{}: does not load: {e}", file.display());
    // SAFETY: our own library, built with this engine from the same headers; it is never unloaded (`forget`), so that
    // the function lives as long as the process. Its type is the one in shim/nccl/nccl.cpp.
    unsafe {
        let library = libloading::Library::new(file).map_err(failed)?;
        let new = *library.get::<New>(b"ccn_group_new\0").map_err(failed)?;
        std::mem::forget(library);
        Ok(new)
    }
}

/// Meets the other ranks in `store` under `name`, which no other group uses, each with the GPU of this index.
///
/// # Errors
/// No library, or what NCCL said.
pub fn meet(
    store: &Store,
    name: &str,
    gpu: usize,
    (rank, size): (usize, usize),
    timeout: Duration,
) -> Result<Group, TorchError> {
    let doing = "meeting the other ranks' GPUs";
    let new = entry().map_err(|message| TorchError { doing, message })?;
    let name = c_string(doing, name)?;
    let mut raw = ptr::null_mut();
    let ms = milliseconds(timeout);
    // SAFETY: store and name live for the call; on success `raw` is a group on the heap, as cc_group_new makes them.
    unsafe {
        let message =
            new(store.raw(), name.as_ptr(), gpu as c_int, rank as c_int, size as c_int, ms, &mut raw);
        check(doing, message)?;
        Ok(Group::from_raw(raw, rank, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_gpu_it_is_said_what_is_missing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let store = Store::serve(listener, Duration::from_secs(20)).unwrap();
        let met = meet(&store, "gpus/", 0, (0, 1), Duration::from_secs(20));
        if crate::device::cuda_devices().is_ok() && places().iter().any(|p| p.is_file()) {
            assert_eq!(met.unwrap().size(), 1);
            return;
        }
        let words = met.unwrap_err().to_string();
        let says = ["CUDA library does not load", "libcocaptain_nccl.so is missing", "no GPUs found"];
        assert!(words.contains("GPUs") && says.iter().any(|say| words.contains(say)), "{words}");
    }
}
