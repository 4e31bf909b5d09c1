//! The engine, libtorch, CUDA, NCCL.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Check, Verdict};

const BUILD: &str = "run `make build`; where the engine is elsewhere, name it in COCAPTAIN_ENGINE";

/// Asks the engine about itself.
pub fn checks() -> (Vec<Check>, Value) {
    let (path, report) = match ask() {
        Ok(told) => told,
        Err((path, problem)) => {
            let place = path.as_ref().map_or_else(String::new, |p| format!("{}: ", p.display()));
            let unknown = |name| Check::new(name, Verdict::Absent, "unknown while the engine cannot be used");
            let check = Check::new("engine", Verdict::Bad, format!("{place}{problem}")).fix(BUILD);
            let told = json!({ "path": path, "problem": problem });
            return (vec![check, unknown("libtorch"), unknown("CUDA"), unknown("NCCL")], told);
        }
    };
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let libtorch = format!("{}, {} threads", word(&report["libtorch"]), word(&report["threads"]));
    let checks = vec![
        Check::good("engine", format!("{}, the same build", path.display())),
        Check::good("libtorch", libtorch),
        cuda(&report["cuda"]),
        nccl(&report["cuda"], &path),
    ];
    (checks, json!({ "path": path, "report": report }))
}

type Told = Result<(PathBuf, Value), (Option<PathBuf>, String)>;

fn ask() -> Told {
    let path = crate::engine::path::find().map_err(|e| (None, e))?;
    let output =
        Command::new(&path).arg("doctor").env_remove(run::link::DESCRIPTOR).stdin(Stdio::null()).output();
    let output = match output {
        Ok(output) => output,
        Err(e) => return Err((Some(path), format!("cannot be started: {e}"))),
    };
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().last().unwrap_or("it says nothing").to_owned();
        return Err((Some(path), format!("does not work ({}): {words}", output.status)));
    };
    if report["build"] != run::BUILD_ID {
        return Err((Some(path), "was built from other sources than cocaptain".to_owned()));
    }
    Ok((path, report))
}

fn cuda(cuda: &Value) -> Check {
    let driver = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let driver = driver.and_then(|text| text.lines().next().map(str::to_owned));
    let devices =
        cuda["devices"].as_array().map_or_else(|| cuda["devices"].as_u64().unwrap_or(0), |a| a.len() as u64);
    let why = cuda["why"].as_str().unwrap_or("none");
    match (devices, driver) {
        (0, Some(driver)) => Check::new("CUDA", Verdict::Warning, format!("a driver ({driver}), but no device can be used: {why}"))
            .fix("fetch libtorch's NVIDIA set: `CUDA=1 make build`; `nvidia-smi` tells whether the driver sees the card"),
        (0, None) => Check::new("CUDA", Verdict::Absent, format!("no NVIDIA driver: runs compute on the CPU ({why})")),
        (n, _) => Check::good("CUDA", format!("{n} devices: {}", cuda["devices"])),
    }
}

fn nccl(cuda: &Value, engine: &Path) -> Check {
    let none = cuda["devices"].as_u64() == Some(0);
    if none {
        return Check::new("NCCL", Verdict::Absent, "not needed without a CUDA device: ranks talk by Gloo");
    }
    let torch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let beside = engine.parent().map(|p| p.join("../lib/cocaptain"));
    let checkout = engine.parent().map(|p| p.join("../../.libtorch/torch"));
    let roots = [torch, checkout].into_iter().flatten();
    let places = roots.flat_map(|t| [t.join("lib"), t.join("../nvidia/nccl/lib")]).chain(beside);
    let found = places.map(|p| p.join("libnccl.so.2")).find(|p| p.exists());
    match found {
        Some(path) => Check::good("NCCL", path.display().to_string()),
        None => Check::new(
            "NCCL",
            Verdict::Warning,
            "libnccl.so.2 is not beside libtorch: ranks on several GPUs cannot talk",
        )
        .fix("`CUDA=1 make build` fetches it"),
    }
}
