//! Asks the terminal what it can draw.
//!
//! The question is written at once, the answer read only while there is something to read: when the terminal does not
//! answer, nobody is left behind who would read a person's keys.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the terminal said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// It has kitty's graphics.
    pub kitty: bool,
    /// It has sixel graphics.
    pub sixel: bool,
    /// Width and height of a cell in pixels.
    pub cell: Option<(u16, u16)>,
    /// All answers have come.
    pub done: bool,
    /// Whether the ground is light.
    pub light: Option<bool>,
    /// Characters that are no answers: a person typed them.
    pub typed: String,
}

/// What the environment tells of the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Claims kitty's or sixel graphics but draws only iTerm2's well (WezTerm, Konsole).
    pub only_iterm2: bool,
    /// Width and height of a cell in pixels, as the system knows them.
    pub cell: Option<(u16, u16)>,
}

/// Reads the environment, and the size of the window from the system.
pub fn environment() -> Environment {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let cell = crossterm::terminal::window_size().ok().and_then(|size| {
        let cell = (size.width.checked_div(size.columns)?, size.height.checked_div(size.rows)?);
        (cell.0 > 0 && cell.1 > 0).then_some(cell)
    });
    Environment { only_iterm2: set("WEZTERM_EXECUTABLE") || set("KONSOLE_VERSION"), cell }
}

/// Whether there is a terminal that may answer.
pub fn can_ask() -> bool {
    let plain =
        std::env::var("TERM").is_ok_and(|term| matches!(term.as_str(), "" | "dumb" | "linux" | "vt100"));
    !plain && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Asks, and waits so long for all answers at most.
pub fn ask(tmux: bool, patience: Duration) -> Answer {
    // A kitty picture of one pixel, only to be checked; the ground's colour; device attributes (4 is sixel); size of a cell in pixels; and
    // the status, which every terminal answers, last.
    let kitty = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\";
    let kitty = if tmux {
        format!("\x1bPtmux;{}\x1b\\", kitty.replace('\x1b', "\x1b\x1b"))
    } else {
        kitty.to_owned()
    };
    let mut out = std::io::stdout().lock();
    if out
        .write_all(format!("{kitty}\x1b]11;?\x1b\\\x1b[c\x1b[16t\x1b[5n").as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        return Answer::default();
    }
    drop(out);
    let end = Instant::now() + patience;
    let mut bytes = Vec::new();
    loop {
        let answer = parse(&bytes);
        let left = end.saturating_duration_since(Instant::now());
        if answer.done || left.is_zero() || !wait(left) {
            return answer;
        }
        let mut buffer = [0; 256];
        match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(read) if read > 0 => bytes.extend(buffer.iter().take(read)),
            _ => return answer,
        }
    }
}

/// Waits for something to read.
fn wait(patience: Duration) -> bool {
    let stdin = std::io::stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    let Ok(timeout) = Timespec::try_from(patience) else { return false };
    poll(&mut watched, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// Reads answers out of what came from the terminal.
fn parse(bytes: &[u8]) -> Answer {
    let mut answer = Answer::default();
    let mut typed = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if *first != 0x1b {
            typed.push(*first);
            rest = after;
            continue;
        }
        rest = match after.split_first() {
            // A string, up to ST.
            Some((b'_' | b'P' | b']', body)) => {
                let end = body.windows(2).position(|w| w == b"\x1b\\");
                // Some end the answer to the ground's colour by BEL, whatever they were asked with.
                let bell = body
                    .iter()
                    .position(|b| *b == 7)
                    .filter(|at| body.starts_with(b"11;") && end.is_none_or(|end| *at < end));
                let Some((end, length)) = bell.map(|at| (at, 1)).or(end.map(|at| (at, 2))) else { break };
                let (text, after) = body.split_at(end);
                answer.kitty |= text.starts_with(b"G") && text.ends_with(b";OK");
                answer.light =
                    crate::tui::theme::told_ground(&String::from_utf8_lossy(text)).or(answer.light);
                after.get(length..).unwrap_or_default()
            }
            // A control sequence, up to its final byte.
            Some((b'[', body)) => {
                let Some(end) = body.iter().position(|b| (0x40..=0x7e).contains(b)) else { break };
                let (parameters, after) = body.split_at(end);
                control(&mut answer, &String::from_utf8_lossy(parameters), after.first().copied());
                after.get(1..).unwrap_or_default()
            }
            _ => after,
        };
    }
    answer.typed = String::from_utf8_lossy(&typed).chars().filter(|c| !c.is_control()).collect();
    answer
}

fn control(answer: &mut Answer, parameters: &str, last: Option<u8>) {
    match last {
        Some(b'c') => answer.sixel = parameters.trim_start_matches('?').split(';').any(|p| p == "4"),
        Some(b't') => {
            let numbers: Vec<u16> = parameters.split(';').filter_map(|p| p.parse().ok()).collect();
            if let [6, height @ 1..=u16::MAX, width @ 1..=u16::MAX] = numbers[..] {
                answer.cell = Some((width, height));
            }
        }
        Some(b'n') => answer.done = parameters == "0",
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let kitty = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c\x1b[6;20;10t\x1b[0n";
        let want = Answer { kitty: true, cell: Some((10, 20)), done: true, ..Answer::default() };
        assert_eq!(parse(kitty), want);
        for end in ["\x1b\\", "\x07"] {
            let ground = format!("\x1b]11;rgb:ffff/ffff/ffff{end}\x1b[?6c\x1b[0n");
            assert_eq!(
                parse(ground.as_bytes()),
                Answer { light: Some(true), done: true, ..Answer::default() }
            );
        }
        let xterm = b"\x1b[?63;1;2;4;6;9;15;16;22;28c\x1b[0n";
        assert_eq!(parse(xterm), Answer { sixel: true, done: true, ..Answer::default() });
        assert_eq!(
            parse(b"\x1b_Gi=31;ENOTSUPPORTED:x\x1b\\\x1b[?6c\x1b[0n"),
            Answer { done: true, ..Answer::default() }
        );
    }

    #[test]
    fn keys_in_between_are_kept() {
        let answer = parse(b"q\x1b[?6;4cj\x1b[A\x1b[6;0;0tk\x1b[0n");
        assert_eq!(
            (answer.typed.as_str(), answer.sixel, answer.cell, answer.done),
            ("qjk", true, None, true)
        );
    }

    proptest::proptest! {
        #[test]
        fn anything_may_come(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for end in 0..bytes.len() {
                parse(&bytes[..end]);
            }
        }
    }
}
