//! What a rank's memory is used for.

use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use run::events::{Memory, StateBytes};

use super::compute::Compute;
use crate::{device, gpu_id};

/// Shortest time between two reports.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Reports a rank's memory.
#[derive(Debug)]
pub struct Watch {
    nvml: Result<Nvml, String>,
    uuid: Option<String>,
    last: Option<(Instant, f64)>,
}

impl Watch {
    /// Finds the device's counters.
    pub fn new(compute: &Compute) -> Self {
        let nvml = match compute.cuda_index() {
            None => Err(match &compute.fallback {
                Some(why) => format!("no GPU in use: {why}"),
                None => "no GPU in use: device = cpu".to_owned(),
            }),
            // The plain name, libnvidia-ml.so, is only there with the development package.
            Some(_) => Nvml::builder()
                .lib_path(std::ffi::OsStr::new("libnvidia-ml.so.1"))
                .init()
                .map_err(|e| format!("NVML: {e}")),
        };
        Self { nvml, uuid: compute.cuda_index().and_then(gpu_id::uuid), last: None }
    }

    /// Whether it is time for a report.
    pub fn is_due(&self) -> bool {
        self.last.is_none_or(|(at, _)| at.elapsed() >= INTERVAL)
    }

    /// Measures.
    pub fn report(&mut self, compute: &Compute, step: u64, rank: u32, known: StateBytes) -> Memory {
        let mut m = Memory {
            step,
            rank,
            device: compute.name(),
            uuid: self.uuid.clone(),
            resident: status_bytes("VmRSS:"),
            resident_peak: status_bytes("VmHWM:"),
            parameters: known.parameters,
            gradients: known.gradients,
            optimiser: known.optimiser,
            ..Memory::default()
        };
        match (&self.nvml, &self.uuid) {
            (Ok(nvml), Some(uuid)) => {
                match nvml.device_by_uuid(uuid.as_str()).and_then(|d| d.memory_info()) {
                    Ok(info) => {
                        m.device_used = Some(info.used);
                        m.device_total = Some(info.total);
                    }
                    Err(e) => drop(m.notes.insert("device_used".to_owned(), format!("NVML: {e}"))),
                }
            }
            (Ok(_), None) => {
                m.notes
                    .insert("device_used".to_owned(), "the driver does not tell the GPU's UUID".to_owned());
            }
            (Err(why), _) => drop(m.notes.insert("device_used".to_owned(), why.clone())),
        }
        match device::allocator_stats(compute.device) {
            Ok(Some(a)) => {
                m.allocated = Some(a.allocated);
                m.reserved = Some(a.reserved);
                m.peak = Some(a.peak);
            }
            Err(e) => drop(m.notes.insert("allocated".to_owned(), e.to_string())),
            Ok(None) => {
                let why = "the CPU's tensors are not counted; resident memory is measured instead";
                m.notes.insert("allocated".to_owned(), why.to_owned());
            }
        }
        let now = (Instant::now(), cpu_seconds());
        if let Some((at, seconds)) = self.last {
            let elapsed = now.0.duration_since(at).as_secs_f64();
            m.cpu_load = (elapsed > 0.0).then(|| (now.1 - seconds) / elapsed);
        }
        self.last = Some(now);
        m
    }
}

/// A line of /proc/self/status, bytes.
fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// CPU time of this process so far, seconds.
#[allow(clippy::cast_precision_loss)]
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
