//! The screen in ASCII, for terminals and locales that have nothing else: each cell gets the nearest sign.

use ratatui::buffer::Buffer;

/// Replaces every sign of the buffer that is not ASCII.
pub fn replace(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if let Some(sign) = nearest(cell.symbol()) {
            cell.set_symbol(sign);
        }
    }
}

/// The sign that stands for another; none for ASCII, which stays.
fn nearest(symbol: &str) -> Option<&'static str> {
    if symbol.is_ascii() {
        return None;
    }
    let c = symbol.chars().next()?;
    Some(match c {
        '─' | '━' | '—' | '–' | '╌' | '┄' | '═' => "-",
        '│' | '┃' | '┊' | '┆' | '▏' | '▌' | '▐' | '║' => "|",
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╯' | '╰' => {
            "+"
        }
        '●' | '◉' | '•' => "*",
        '○' | '◯' | '◇' => "o",
        '◑' | '◐' => "%",
        '✕' | '✗' | '×' => "x",
        '✓' | '✔' => "v",
        '◆' | '■' => "#",
        '▲' | '↑' => "^",
        '↓' | '▼' | '▾' => "v",
        '→' | '▸' | '›' | '▶' => ">",
        '←' | '‹' | '◀' => "<",
        '↻' => "@",
        '…' => ".",
        '·' => "-",
        '±' => "~",
        '█' | '▓' | '▇' | '▆' | '▅' => "#",
        '▒' | '░' | '▄' | '▃' | '▀' => "=",
        '▂' | '▁' => "_",
        // Braille: the more dots, the more ink; a cell of one row of dots is a line.
        '\u{2800}' => " ",
        '\u{2801}'..='\u{28ff}' => {
            let dots = u32::from(c) - 0x2800;
            let (top, bottom) = (dots & 0b0001_1011, dots & 0b1110_0100);
            match (top, bottom, dots.count_ones()) {
                (_, 0, _) => "'",
                (0, _, 1 | 2) => ".",
                (_, _, n) if n >= 6 => "#",
                (_, _, n) if n >= 4 => "|",
                _ => ":",
            }
        }
        // A wide one takes two columns: so does its stand-in, the next cell being blank.
        _ => "?",
    })
}

#[cfg(test)]
mod tests {
    use super::nearest;
    use crate::tui::tests::fixture::{model, screen, type_text};

    #[test]
    fn the_whole_screen_is_ascii() {
        for keys in ["", "2", "3", "r", "?", ":", "N", "z"] {
            let mut m = model();
            m.theme.ascii = true;
            type_text(&mut m, keys);
            for (width, height) in [(80, 24), (160, 48)] {
                let text = screen(&mut m, width, height);
                assert!(
                    text.is_ascii(),
                    "{keys}: {}",
                    text.chars().filter(|c| !c.is_ascii()).collect::<String>()
                );
                assert!(text.contains("demo-1") && text.contains("running"), "{text}");
            }
        }
    }

    #[test]
    fn signs() {
        assert_eq!(
            (nearest("a"), nearest("●"), nearest("⠁"), nearest("⣿"), nearest("猫")),
            (None, Some("*"), Some("'"), Some("#"), Some("?"))
        );
    }
}
