//! The queue's runner: a detached process that does one item after the other, each in a process of its own.
//!
//! It may be killed: its item ends with it, and the next runner begins that item again, which goes on where its answers
//! end. It leaves when there is nothing more to do.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use run::lock::LockError;

use super::progress::{Progress, STARTED_BY, VARIABLE};
use super::queue::{Entry, Phase, Queue, State};

/// How long a new runner waits for one that is about to leave.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an evaluation may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(20);

/// An item that was interrupted so often is the likely cause of it.
const ATTEMPTS: u32 = 5;

/// Makes sure that somebody works on the queue below `root`.
///
/// # Errors
/// The runner cannot be started.
pub fn ensure(root: &Path) -> Result<(), String> {
    let queue = Queue::of(root);
    let io = |e: std::io::Error| {
        format!("{}: the queue's runner cannot be started: {e}", queue.folder().display())
    };
    std::fs::create_dir_all(queue.folder()).map_err(io)?;
    let root = root.canonicalize().map_err(io)?;
    let log =
        File::options().create(true).append(true).open(queue.folder().join("runner.log")).map_err(io)?;
    let engine = crate::engine::path::find()?;
    let mut command = Command::new(std::env::current_exe().map_err(io)?);
    command
        .args(["eval", "run-queue", "--output_dir"])
        .arg(root)
        .env("COCAPTAIN_ENGINE", engine)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log);
    let mut child = command.spawn().map_err(io)?;
    // It outlives us; while we live, somebody has to take its exit status.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}

/// Works until the queue is empty; at once where another runner lives.
///
/// # Errors
/// What the system said.
pub fn work(root: &Path) -> Result<(), String> {
    let queue = Queue::of(root);
    // An item that came while the lock was being given back would wait for ever.
    while queue.entries().iter().any(|e| !e.state.phase.is_over()) {
        let _lock = match queue.lock(PATIENCE) {
            Ok(lock) => lock,
            Err(LockError::Taken { .. }) => return Ok(()),
            Err(e) => return Err(e.to_string()),
        };
        while let Some(entry) = queue.entries().into_iter().find(|e| !e.state.phase.is_over()) {
            let id = entry.item.id;
            let end = one(&queue, root, &entry).unwrap_or_else(|message| State {
                phase: Phase::Failed,
                message: Some(message),
                ..entry.state.clone()
            });
            queue.set(id, &State { since: run::now(), ..end })?;
        }
    }
    Ok(())
}

/// Does one item to its end.
fn one(queue: &Queue, root: &Path, entry: &Entry) -> Result<State, String> {
    let id = entry.item.id;
    let cancelled = || queue.place(id).join("cancel").exists();
    let mut state = State { attempts: entry.state.attempts + 1, ..entry.state.clone() };
    if cancelled() {
        return Ok(State { phase: Phase::Cancelled, ..state });
    }
    if state.attempts > ATTEMPTS {
        let message = format!("it was interrupted {ATTEMPTS} times; its log may tell why");
        return Ok(State { phase: Phase::Failed, message: Some(message), ..state });
    }
    state = State { phase: Phase::Running, since: run::now(), message: None, ..state };
    queue.set(id, &state)?;
    let log = queue.log(id);
    let io = |e: std::io::Error| format!("{}: {e}", log.display());
    let file = File::options().create(true).append(true).open(&log).map_err(io)?;
    let root = root.to_string_lossy();
    let program = std::env::current_exe().map_err(io)?;
    let child = Command::new(program)
        .args(entry.item.settings.arguments(&root))
        .current_dir(&entry.item.from)
        .env(VARIABLE, queue.progress(id))
        .env(STARTED_BY, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(io)?)
        .stderr(file)
        .spawn()
        .map_err(|e| format!("{}: it cannot be started: {e}", entry.item.from.display()))?;
    let status = wait(child, cancelled).map_err(io)?;
    state.folder = Progress::read(&queue.progress(id)).and_then(|p| p.folder).or(state.folder);
    if status.success() {
        return Ok(State { phase: Phase::Done, ..state });
    }
    if cancelled() {
        return Ok(State { phase: Phase::Cancelled, ..state });
    }
    let text = std::fs::read(&log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| {
        let line = line.trim();
        line.strip_prefix("cocaptain: ").unwrap_or(line).to_owned()
    });
    Ok(State { phase: Phase::Failed, message: last.or_else(|| Some(status.to_string())), ..state })
}

/// Waits for the end; asks for it when it was cancelled, and insists in the end.
fn wait(mut child: Child, cancelled: impl Fn() -> bool) -> std::io::Result<ExitStatus> {
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match asked {
            None if cancelled() => {
                asked = Some(Instant::now());
                let pid = rustix::process::Pid::from_child(&child);
                // An evaluation that has just ended is what was wanted.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            Some(at) if at.elapsed() > GRACE => child.kill()?,
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
