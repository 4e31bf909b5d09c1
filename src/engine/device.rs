//! Where tensors live: loading CUDA at run time, choosing a device, and what its allocator holds.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::shim::{self, TorchError};

/// Which device is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device that works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device, or an error.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(s: &str) -> Result<Self, DeviceError> {
        let number = |digits: &str| digits.parse().map_err(|_| DeviceError::Unreadable(s.to_owned()));
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => match s.strip_prefix("cuda:") {
                Some(digits) => Ok(Self::Cuda(number(digits)?)),
                None => Err(DeviceError::Unreadable(s.to_owned())),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// A tensor of the host's on `device`. The way to a GPU leads through pinned memory: the host waits neither for the copy
/// nor for what the GPU has to do before.
pub fn carry(t: &tch::Tensor, device: tch::Device) -> Result<tch::Tensor, tch::TchError> {
    match device {
        tch::Device::Cuda(_) => t.f_pin_memory(device)?.f_to_device_(device, t.kind(), true, false),
        _ => t.f_to_device(device),
    }
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("{0:?} is no device; use auto, cpu or cuda:N")]
    Unreadable(String),
    /// A CUDA device was asked for by name, and is not there.
    #[error("cuda:{index} cannot be used: {reason}")]
    NoCuda {
        /// The device.
        index: usize,
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// A device, and for the choice `auto` why it is no better one.
#[derive(Debug)]
pub struct Selected {
    /// Where to put tensors.
    pub device: tch::Device,
    /// Why `auto` fell back to the CPU.
    pub fallback: Option<String>,
}

/// Loads libtorch's CUDA half into this process; `Err` says why there is none. Only the first call does it.
///
/// libtorch decides at its first question about CUDA whether there is any, for good: call this (or
/// [`select`], which does) before anything else in a process.
pub fn load_cuda() -> Result<(), &'static str> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: the library comes from the same libtorch as the one linked, its initialisers register
        // kernels and nothing more, and it is never unloaded (`forget`).
        match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                std::mem::forget(library);
                Ok(())
            }
            Err(error) => Err(format!(
                "libtorch's CUDA library does not load ({error}); `make libtorch CUDA=1` fetches it"
            )),
        }
    });
    loaded.as_ref().copied().map_err(String::as_str)
}

/// CUDA devices that can be used, or why there is none.
pub fn cuda_devices() -> Result<usize, String> {
    load_cuda().map_err(str::to_owned)?;
    match shim::cuda_device_count() {
        Ok(0) => Err("no NVIDIA device or driver was found".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(error.to_string()),
    }
}

/// The device for a choice.
pub fn select(choice: DeviceChoice) -> Result<Selected, DeviceError> {
    let (index, auto) = match choice {
        DeviceChoice::Cpu => return Ok(Selected { device: tch::Device::Cpu, fallback: None }),
        DeviceChoice::Auto => (0, true),
        DeviceChoice::Cuda(index) => (index, false),
    };
    let reason = match cuda_devices() {
        Ok(count) if index < count => {
            return Ok(Selected { device: tch::Device::Cuda(index), fallback: None });
        }
        Ok(count) => format!("there are {count} CUDA devices, counted from 0"),
        Err(reason) => reason,
    };
    match auto {
        true => Ok(Selected { device: tch::Device::Cpu, fallback: Some(reason) }),
        false => Err(DeviceError::NoCuda { index, reason }),
    }
}

/// What libtorch's caching allocator holds on a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatorStats {
    /// In tensors.
    pub allocated: u64,
    /// Taken from the device, in tensors or kept for the next ones.
    pub reserved: u64,
    /// The most that was ever in tensors.
    pub peak: u64,
}

/// Statistics of a device; `None` on the CPU where [`prepare_memory`] did not take its allocator's place.
pub fn allocator_stats(device: tch::Device) -> Result<Option<AllocatorStats>, DeviceError> {
    let found = match device {
        tch::Device::Cuda(index) => {
            Some(shim::cuda_memory(index)?.map(|bytes| u64::try_from(bytes).unwrap_or(0)))
        }
        _ => shim::cpu_memory()?,
    };
    Ok(found.map(|[allocated, reserved, peak]| AllocatorStats { allocated, reserved, peak }))
}

/// Starts the peak again at what is allocated now.
pub fn reset_peak(device: tch::Device) -> Result<(), DeviceError> {
    match device {
        tch::Device::Cuda(index) => Ok(shim::cuda_reset_peak(index)?),
        _ => Ok(()),
    }
}

/// Readies this process's memory for big tensors; before the first tensor is made. Where that fails all is right, and
/// slower.
pub fn prepare_memory() {
    if let Err(e) = shim::keep_big_blocks() {
        run::note!("cocaptain-engine: {e}");
    }
}

/// Threads that one operation on the CPU uses.
pub fn set_num_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

/// Threads that one operation on the CPU uses now.
pub fn num_threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_and_print() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().to_string().contains("cuda:N"), "{text}");
        }
    }

    #[test]
    fn a_missing_device_is_said_and_auto_falls_back() {
        let absent = cuda_devices().unwrap_or(0);
        assert!(matches!(select(DeviceChoice::Cuda(absent)), Err(DeviceError::NoCuda { .. })));
        let auto = select(DeviceChoice::Auto).unwrap();
        assert_eq!(auto.device.is_cuda(), auto.fallback.is_none());
        assert_eq!(select(DeviceChoice::Cpu).unwrap().device, tch::Device::Cpu);
        assert_eq!(allocator_stats(tch::Device::Cpu).unwrap(), None);
    }
}
