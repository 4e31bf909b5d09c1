//! Keys: their names in the options file, how they read on the screen, which events they are.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
}

/// A key, or two one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySequence {
    /// The key.
    pub first: Key,
    /// The one behind it, where it takes two.
    pub second: Option<Key>,
}

impl KeySequence {
    /// One key.
    pub const fn one(first: Key) -> Self {
        Self { first, second: None }
    }

    /// Two.
    pub const fn two(first: Key, second: Key) -> Self {
        Self { first, second: Some(second) }
    }

    /// Whether both cannot be told apart: they are the same, or one is the beginning of the other.
    pub fn clashes(self, other: Self) -> bool {
        self.first == other.first
            && (self.second == other.second || self.second.is_none() || other.second.is_none())
    }

    /// As the options file has it.
    pub fn spelled(self) -> String {
        let second = self.second.map_or_else(String::new, |k| format!(" {}", k.spelled()));
        format!("{}{second}", self.first.spelled())
    }
}

impl fmt::Display for KeySequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(second) => write!(f, "{} {second}", self.first),
            None => write!(f, "{}", self.first),
        }
    }
}

/// A key without modifiers.
pub const fn plain(code: KeyCode) -> KeySequence {
    KeySequence::one(Key { code, modifiers: KeyModifiers::NONE })
}

/// A character's key.
pub const fn ch(c: char) -> KeySequence {
    plain(KeyCode::Char(c))
}

/// A character with Ctrl.
pub const fn ctrl(c: char) -> KeySequence {
    ctrl_of(KeyCode::Char(c))
}

/// A key with Ctrl.
pub const fn ctrl_of(code: KeyCode) -> KeySequence {
    KeySequence::one(Key { code, modifiers: KeyModifiers::CONTROL })
}

/// A key with Shift.
pub const fn shift(code: KeyCode) -> KeySequence {
    KeySequence::one(Key { code, modifiers: KeyModifiers::SHIFT })
}

/// `;` and this key: what is asked for less often.
pub const fn more(c: char) -> KeySequence {
    KeySequence::two(
        Key { code: KeyCode::Char(';'), modifiers: KeyModifiers::NONE },
        Key { code: KeyCode::Char(c), modifiers: KeyModifiers::NONE },
    )
}

impl Key {
    /// Whether a key event is this key. An upper-case letter carries its shift already.
    pub fn is(self, event: &KeyEvent) -> bool {
        let mut modifiers =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        if matches!(event.code, KeyCode::Char(_) | KeyCode::BackTab) {
            modifiers -= KeyModifiers::SHIFT;
        }
        self.code == event.code && self.modifiers == modifiers
    }
}

/// Names of keys in the options file.
const NAMED: [(&str, KeyCode); 15] = [
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
];

impl Key {
    /// The key of a name: "s", "S", "ctrl-s", "shift-left", "f5", "space".
    pub fn named(name: &str) -> Option<Self> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = name;
        while let Some((word, behind)) = rest.split_once('-').filter(|(_, behind)| !behind.is_empty()) {
            modifiers |= match word.to_ascii_lowercase().as_str() {
                "ctrl" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => return None,
            };
            rest = behind;
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) => KeyCode::Char(c),
            _ => {
                let low = rest.to_ascii_lowercase();
                let function =
                    low.strip_prefix('f').and_then(|n| n.parse().ok()).filter(|n| (1..=12).contains(n));
                match (function, NAMED.iter().find(|(n, _)| *n == low)) {
                    (Some(n), _) => KeyCode::F(n),
                    (None, Some((_, code))) => *code,
                    (None, None) => return None,
                }
            }
        };
        Some(Self { code, modifiers })
    }

    /// The name that [`Key::named`] reads.
    pub fn spelled(self) -> String {
        let mut text = String::new();
        for (modifier, word) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.modifiers.contains(modifier) {
                text += word;
            }
        }
        match (self.code, NAMED.iter().find(|(_, code)| *code == self.code)) {
            (_, Some((name, _))) => text += name,
            (KeyCode::Char(c), None) => text.push(c),
            (KeyCode::F(n), None) => text += &format!("f{n}"),
            (other, None) => text += &other.to_string().to_lowercase(),
        }
        text
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("Ctrl-")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            f.write_str("Alt-")?;
        }
        if self.modifiers.contains(KeyModifiers::SHIFT) {
            f.write_str("Shift-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("Space"),
            KeyCode::Char(c) if self.modifiers.contains(KeyModifiers::CONTROL) => {
                write!(f, "{}", c.to_ascii_uppercase())
            }
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::Up => f.write_str("↑"),
            KeyCode::Down => f.write_str("↓"),
            KeyCode::Left => f.write_str("←"),
            KeyCode::Right => f.write_str("→"),
            KeyCode::PageUp => f.write_str("PgUp"),
            KeyCode::PageDown => f.write_str("PgDn"),
            KeyCode::BackTab => f.write_str("Shift-Tab"),
            code => write!(f, "{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_well() {
        assert_eq!(ctrl('p').to_string(), "Ctrl-P");
        assert_eq!(plain(KeyCode::Esc).to_string(), "Esc");
        assert_eq!(shift(KeyCode::Left).to_string(), "Shift-←");
        assert!(ch('S').first.is(&KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT)));
        assert!(!ch('s').first.is(&KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL)));
    }
}
