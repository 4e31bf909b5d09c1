//! Which physical GPU a CUDA index is.
//!
//! CUDA counts only visible devices and in an order of its own; NVML counts all. The UUID is what both know, so
//! CUDA_VISIBLE_DEVICES does not mislead.

use std::ffi::c_int;

type Init = unsafe extern "C" fn(u32) -> c_int;
type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type DeviceGetUuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;

/// The UUID of a CUDA device as NVML writes it, `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; `None` without a driver.
pub fn uuid(cuda_index: usize) -> Option<String> {
    let (mut device, mut bytes) = (0, [0; 16]);
    // SAFETY: functions of the CUDA driver API under their documented signatures, with places to write that live
    // through the calls; cuInit may be called again and again.
    unsafe {
        let driver = libloading::Library::new("libcuda.so.1").ok()?;
        let init: libloading::Symbol<Init> = driver.get(b"cuInit\0").ok()?;
        let get: libloading::Symbol<DeviceGet> = driver.get(b"cuDeviceGet\0").ok()?;
        let get_uuid: libloading::Symbol<DeviceGetUuid> = driver.get(b"cuDeviceGetUuid\0").ok()?;
        let ok = init(0) == 0
            && get(&mut device, c_int::try_from(cuda_index).ok()?) == 0
            && get_uuid(&mut bytes, device) == 0;
        // The driver keeps threads of its own: never unloaded.
        std::mem::forget(driver);
        if !ok {
            return None;
        }
    }
    Some(format_uuid(&bytes))
}

fn format_uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_nvml_writes_it() {
        let bytes = std::array::from_fn(|i| u8::try_from(i * 17).unwrap());
        assert_eq!(super::format_uuid(&bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
