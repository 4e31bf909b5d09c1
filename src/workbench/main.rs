//! cocaptain.

mod tui;

use std::process::ExitCode;

fn main() -> ExitCode {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| "runs".into());
    match tui::open(tui::OpenOptions { root: root.into(), run: None }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cocaptain: {e}");
            ExitCode::FAILURE
        }
    }
}
