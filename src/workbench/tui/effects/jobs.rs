//! Longer work on runs: restart with edits, start a new one. Both start `cocaptain train`, whose words are captured.

use crate::tui::message::{JobResult, RestartPlan};
use run::control::{self, Request};
use run::dir::RunDir;
use run::lock;
use run::settings::Settings;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take to finish its step and save.
const STOP_PATIENCE: Duration = Duration::from_secs(600);

/// Stops a live run and goes on from its last checkpoint with the edits.
///
/// # Errors
/// What went wrong and where the run stands then.
pub fn restart(plan: &RestartPlan, say: &dyn Fn(&str)) -> Result<JobResult, String> {
    let run = &plan.run;
    let name = run.name();
    let mut changes = plan.restart.clone();
    if lock::is_taken(run) {
        if !plan.live.is_empty() {
            // Edits that apply at once go the usual way, so that they are events and survive.
            say(&format!("edit {name}"));
            let request = Request::Set { changes: plan.live.clone() };
            control::ask(run, request, STOP_PATIENCE).map_err(|e| format!("nothing was changed: {e}"))?;
        }
        say(&format!("stop {name} with a checkpoint"));
        let start = Instant::now();
        control::ask(run, Request::Stop { now: false }, STOP_PATIENCE)
            .map_err(|e| format!("the restart was given up: {e}"))?;
        while lock::is_taken(run) {
            if start.elapsed() > STOP_PATIENCE {
                return Err(format!(
                    "{name} did not end within {} s; it was not changed",
                    STOP_PATIENCE.as_secs()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    } else {
        changes.extend(plan.live.clone());
    }
    say(&format!("resume {name}"));
    let mut arguments =
        vec!["train".to_owned(), "--resume".to_owned(), run.path().to_string_lossy().into_owned()];
    for (name, value) in &changes {
        // One argument, so that a value with a dash in front is no flag.
        arguments.push(format!("--set={name}={value}"));
    }
    cocaptain(&arguments).map_err(|e| format!("{name} stands still: {e}"))?;
    Ok(JobResult { message: format!("{name} goes on with the edits"), run: run.clone() })
}

/// Starts a new run of these settings in `root`.
///
/// # Errors
/// What `cocaptain train` said.
pub fn new_run(root: &Path, name: &str, settings: &Settings) -> Result<JobResult, String> {
    // The folder is the user's alone, so nobody can put a link in the way.
    let folder = control::socket_folder().map_err(|e| e.to_string())?;
    let config = folder.join(format!("new-{}-{name}.toml", std::process::id()));
    run::dir::replace_file(&config, settings.to_toml().as_bytes())
        .map_err(|e| format!("{}: {e}", config.display()))?;
    let words = [
        "train",
        "--config",
        &config.to_string_lossy(),
        "--output_dir",
        &root.to_string_lossy(),
        "--name",
        name,
    ];
    let started = cocaptain(&words.map(str::to_owned));
    let _ = std::fs::remove_file(&config);
    started?;
    Ok(JobResult { message: format!("{name} started"), run: RunDir::at(root.join(name)) })
}

/// Runs this program with other arguments, off the terminal; its last words are the error.
fn cocaptain(arguments: &[String]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| format!("this program cannot find itself: {e}"))?;
    let output = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: cannot be started: {e}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = words.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = last.get(last.len().saturating_sub(5)..).unwrap_or_default().join("\n");
    let what = arguments.get(..2).unwrap_or_default().join(" ");
    Err(if last.is_empty() { format!("cocaptain {what}: {}", output.status) } else { last })
}
