//! The device that a rank computes on.

use run::settings::Settings;
use tch::Device;

use super::TrainError;
use crate::device::{self, DeviceChoice};

/// The device that a rank computes on.
#[derive(Debug)]
pub struct Compute {
    /// libtorch's name for it.
    pub device: Device,
    /// Why it is not the GPU that `auto` would have liked.
    pub fallback: Option<String>,
}

impl Compute {
    /// Chooses it by the settings, for the rank of this number on its machine.
    ///
    /// # Errors
    /// A device that was asked for and is not there.
    pub fn choose(settings: &Settings, local_rank: u32) -> Result<Self, TrainError> {
        let index = local_rank as usize;
        let choice = match settings.device.as_str() {
            "cpu" => DeviceChoice::Cpu,
            "cuda" => DeviceChoice::Cuda(index),
            _ if device::cuda_devices().is_ok_and(|n| index < n) => DeviceChoice::Cuda(index),
            _ => DeviceChoice::Auto,
        };
        let selected = device::select(choice)?;
        let threads = settings.threads.and_then(|n| usize::try_from(n).ok());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        device::set_num_threads(threads.unwrap_or_else(cores));
        Ok(Self { device: selected.device, fallback: selected.fallback })
    }

    /// Its index among CUDA's devices.
    pub fn cuda_index(&self) -> Option<usize> {
        match self.device {
            Device::Cuda(index) => Some(index),
            _ => None,
        }
    }

    /// Its name in events: "cpu", "cuda:0".
    pub fn name(&self) -> String {
        self.cuda_index().map_or_else(|| "cpu".to_owned(), |i| format!("cuda:{i}"))
    }

    /// Its name with more words, for people.
    pub fn words(&self) -> String {
        match self.cuda_index() {
            None => format!("cpu, {} threads", device::num_threads()),
            Some(_) => self.name(),
        }
    }
}
