//! Where the engine is.

use std::path::{Path, PathBuf};

/// The engine's file name.
const NAME: &str = "cocaptain-engine";

/// The engine: `$COCAPTAIN_ENGINE`, else beside this program, else where `make install` puts it.
///
/// # Errors
/// Where it was looked for, and what to do.
pub fn find() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("COCAPTAIN_ENGINE").map(PathBuf::from) {
        let absolute = named.canonicalize().ok().filter(|p| p.is_file());
        return absolute.ok_or_else(|| format!("COCAPTAIN_ENGINE={} is no file", named.display()));
    }
    let here = std::env::current_exe().and_then(|p| p.canonicalize());
    let here = here.map_err(|e| format!("this program's own place cannot be told: {e}"))?;
    let folder = here.parent().unwrap_or(Path::new("/"));
    let places =
        [folder.join(NAME), folder.join("../libexec").join(NAME), folder.join("../lib/cocaptain").join(NAME)];
    places.iter().find(|p| p.is_file()).cloned().ok_or_else(|| {
        format!("{} is missing: run `make build`, or set COCAPTAIN_ENGINE to the engine", places[0].display())
    })
}
