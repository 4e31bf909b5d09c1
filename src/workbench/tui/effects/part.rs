//! Reads some steps of a run again, in full.

use crate::tui::message::Steps;
use crate::tui::model::Part;
use run::dir::RunDir;
use std::sync::{Mutex, PoisonError};

/// One run is read at a time: ten at once would take every core from the keys.
static ONE: Mutex<()> = Mutex::new(());

/// Bytes of events that are read for one look at a part of a run: about 150,000 steps, half a second.
const BUDGET: u64 = 64 << 20;

/// The steps `around` the window where that is not too much, else those in it.
///
/// # Errors
/// The file and what the system said.
pub fn read(run: &RunDir, steps: Steps, around: Steps, most: usize) -> Result<Part, String> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let read = |steps: &Steps| {
        let curves = run::part::curves(&run.events(), steps.clone(), most, BUDGET);
        curves.map_err(|e| format!("{}: {e}", run.events().display()))
    };
    if let Some(curves) = read(&around)? {
        return Ok(Part { steps: around, curves: Some(curves), most });
    }
    let curves = read(&steps)?;
    Ok(Part { steps, curves, most })
}
