//! What both programs share: the settings' schema, the run directory, its events, the control protocol.
//!
//! Nothing here knows libtorch or a terminal. The rooms:
//! - [`settings`]: every setting, declared once; TOML and text in and out, validation.
//! - [`dir`]: names and places of a run's files, the roots that were used before, listing runs.
//! - [`events`]: what `events.jsonl` holds; [`log`] appends to it and follows it; [`history`] folds it into curves.
//! - [`index`]: what was folded of a run, kept so that it is there at once.
//! - [`curve`]: the points of one curve, thinned where they are many.
//! - [`lock`]: who owns a run, and whether it is alive.
//! - [`checkpoint`]: complete-or-absent checkpoints.
//! - [`control`]: requests of a person to a run; [`link`]: the supervisor's private line to a rank.
//! - [`serve`]: a loaded model that answers requests; [`decoding`]: how captions are written.
//! - [`mesh`]: how the ranks of a run are arranged.
//! - [`escape`]: text from data made safe for a terminal.

pub mod checkpoint;
pub mod control;
pub mod curve;
pub mod decoding;
pub mod dir;
pub mod escape;
pub mod events;
pub mod history;
pub mod index;
pub mod link;
pub mod lock;
pub mod log;
pub mod mesh;
pub mod part;
pub mod paths;
pub mod serve;
pub mod settings;

/// Identifies the sources of this crate: the two programs refuse to work together unless it is equal.
pub const BUILD_ID: &str = env!("COCAPTAIN_BUILD_ID");

/// The version of the product.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes a line to fd 2, the log of a supervisor or a rank. Unlike `eprintln!` it does not panic where the line cannot be
/// written: a full disk is no reason for a run to die.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// Seconds since the Unix epoch, as events carry them.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
