//! Deletes a run, from the list of runs and from the command line.

use run::dir::RunDir;

/// Deletes a run that has ended; says so.
///
/// # Errors
/// Why it must not or cannot be.
pub fn delete(run: &RunDir) -> Result<String, String> {
    if crate::foreign::is_foreign(run.path()) || !run.config().is_file() {
        return Err(format!("{}: is not a run of ours", run.path().display()));
    }
    if run::lock::is_taken(run) {
        return Err(format!("{} is alive: stop it first", run.name()));
    }
    std::fs::remove_dir_all(run.path())
        .map_err(|e| format!("{}: cannot be deleted whole: {e}", run.path().display()))?;
    Ok(format!("{} is deleted", run.name()))
}
