//! Writes the marked entries as a dataset of their own.

use crate::tui::datasets::Shared;
use data::convert::{Options, convert, format_of};
use data::progress::Progress;
use data::reader::Format;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Writes these samples to `out`, whose name tells the format; says what was written.
///
/// # Errors
/// What could not be written, and why.
pub fn export(data: &Shared, samples: &[u32], out: &Path) -> Result<String, String> {
    // A folder is given pictures with their texts beside them.
    let format = format_of(out).unwrap_or(Format::Sidecar);
    let progress = Progress { tell: &|_, _| (), cancel: &AtomicBool::new(false) };
    let done = convert(&data.dataset, Some(samples), out, &Options::new(format), &progress)
        .map_err(|e| e.to_string())?;
    let entries: usize = done.entries.iter().sum();
    let mut told = format!("{entries} entries written to {} ({})", out.display(), format.name());
    if let Some(root) = &done.image_root {
        told += &format!("; the pictures stay in {}", root.display());
    }
    if let Some(first) = done.left_out.first() {
        told += &format!("; {} left out, the first: {}: {}", done.left_out_count, first.image, first.reason);
    }
    Ok(told)
}
