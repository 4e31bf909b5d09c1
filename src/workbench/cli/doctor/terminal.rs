//! What the terminal can do, as far as its variables tell; the workbench itself asks the terminal.

use std::io::IsTerminal;

use super::{Check, Verdict};
use crate::tui::abilities;

/// Looks at the terminal.
pub fn checks() -> Vec<Check> {
    vec![screen(), colours(), text(), pictures()]
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn screen() -> Check {
    if !std::io::stdout().is_terminal() {
        return Check::new("terminal", Verdict::Absent, "stdout is none: commands print plain lines");
    }
    let (smallest, term) = (crate::tui::SMALLEST, variable("TERM"));
    if term.is_empty() || term == "dumb" {
        return Check::new("terminal", Verdict::Warning, format!("TERM is '{term}'"))
            .fix("set TERM to what the terminal is: TERM=xterm-256color suits most");
    }
    match crossterm::terminal::size() {
        Ok((w, h)) if w < smallest.0 || h < smallest.1 => {
            Check::new("terminal", Verdict::Warning, format!("{term}, {w}x{h}"))
                .fix(format!("the workbench needs {}x{}, better 120x40", smallest.0, smallest.1))
        }
        Ok((w, h)) => Check::good("terminal", format!("{term}, {w}x{h}")),
        Err(e) => Check::new("terminal", Verdict::Warning, format!("{term}, its size cannot be told: {e}"))
            .fix("`stty size` tells what the system knows"),
    }
}

fn colours() -> Check {
    let told = abilities::colours();
    match told {
        abilities::Colours::None if !variable("NO_COLOR").is_empty() => {
            Check::new("colours", Verdict::Absent, "none: NO_COLOR is set; weight and signs tell the same")
        }
        abilities::Colours::None => Check::new("colours", Verdict::Warning, "none")
            .fix("set TERM to what the terminal is: TERM=xterm-256color suits most"),
        other => Check::good("colours", other.name()),
    }
}

fn text() -> Check {
    if abilities::unicode() {
        return Check::good("text", "UTF-8");
    }
    Check::new("text", Verdict::Warning, "the locale is not UTF-8: lines and signs are drawn in ASCII")
        .fix("export LC_ALL=C.UTF-8")
}

fn pictures() -> Check {
    let tmux = !variable("TMUX").is_empty();
    let chosen = variable(crate::tui::PICTURES_VARIABLE);
    let kind =
        if chosen.is_empty() { "the terminal is asked".to_owned() } else { format!("{chosen} is asked for") };
    if tmux {
        return Check::good("pictures", format!("{kind}; inside tmux, by its passthrough"))
            .fix("sharper ones than half blocks: tmux set -g allow-passthrough on");
    }
    Check::good("pictures", format!("{kind}, half blocks where it can draw none"))
}
