//! Starts a run's supervisor, detached from this terminal.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use run::dir::RunDir;
use run::lock::Supervisor;

use crate::supervise::seat::Seat;

/// How long a supervisor may take to own its run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts `cocaptain supervise RUN` and waits until it owns the run. With a launcher's seat it ends with this process.
///
/// # Errors
/// Why it does not.
pub fn supervisor(run: &RunDir, seat: Option<&Seat>) -> Result<(), String> {
    let io = |what: &str| {
        let what = format!("{}: {what}", run.supervisor_log().display());
        move |e: std::io::Error| format!("{what}: {e}")
    };
    std::fs::create_dir_all(run.logs()).map_err(io("the folder for logs cannot be made"))?;
    let log = std::fs::File::options().create(true).append(true).open(run.supervisor_log());
    let log = log.map_err(io("cannot be written"))?;
    let from = log.metadata().map_or(0, |m| m.len());
    let engine = crate::engine::path::find()?;
    let program =
        std::env::current_exe().map_err(|e| format!("this program's own place cannot be told: {e}"))?;
    let mut command = Command::new(program);
    match seat.map(serde_json::to_string).transpose() {
        Ok(Some(seat)) => drop(command.env(crate::supervise::seat::GIVEN, seat)),
        Ok(None) => drop(command.env_remove(crate::supervise::seat::GIVEN)),
        Err(e) => return Err(format!("the launcher's seat cannot be told: {e}")),
    }
    let mut child = command
        .arg("supervise")
        .arg(run.path())
        // Whatever it was found by, a relative path included.
        .env("COCAPTAIN_ENGINE", engine)
        // Every path that it needs is absolute; a file system that somebody wants to unmount is not held.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io("cannot be shared"))?)
        .stderr(log)
        .spawn()
        .map_err(|e| format!("the supervisor cannot be started: {e}"))?;
    let start = Instant::now();
    loop {
        let owner = Supervisor::of(run).map(|s| s.pid);
        if owner == i32::try_from(child.id()).ok() && run::lock::is_taken(run) {
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            // It may have owned the run and ended already, as short runs do.
            let ended = owner == i32::try_from(child.id()).ok();
            return if ended { Ok(()) } else { Err(said(run, from)) };
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            return Err(format!(
                "the supervisor did not start within {} s: {}",
                PATIENCE.as_secs(),
                said(run, from)
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the supervisor's log says from byte `from` on.
fn said(run: &RunDir, from: u64) -> String {
    let log = std::fs::read(run.supervisor_log()).unwrap_or_default();
    let new = log.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let line = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it ended without a word");
    line.trim_start_matches("cocaptain: ").to_owned()
}
