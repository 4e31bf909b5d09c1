//! Messages to the person: short ones go by themselves, errors stay until dismissed, all are kept in a history.

/// How a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It went well.
    Good,
    /// To know.
    Info,
    /// Needs a look.
    Warning,
    /// Something failed.
    Error,
}

impl Kind {
    /// A word for it, so that it is never told by colour alone.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "done",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// When it came: seconds since the Unix epoch.
    pub t: f64,
    /// How it is meant.
    pub kind: Kind,
    /// What it says.
    pub text: String,
    /// Whether it is still on the screen.
    pub shown: bool,
}

/// Seconds that a message stays on the screen; errors stay until dismissed.
const SECONDS: f64 = 6.0;

/// Most messages kept.
const KEEP: usize = 500;

/// Most calls at once: who was called back sees the rest.
const MOST_CALLS: usize = 3;

/// All messages, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// The messages.
    pub all: Vec<Note>,
    /// How many errors there have been.
    pub errors: u64,
    /// What is worth calling back somebody who looks elsewhere, since it was asked last.
    pub calls: Vec<String>,
}

impl Notes {
    /// Adds a message. The same message again only renews the old one.
    pub fn add(&mut self, t: f64, kind: Kind, text: impl Into<String>) {
        let text = text.into();
        if let Some(last) = self.all.last_mut().filter(|n| n.shown && n.kind == kind && n.text == text) {
            last.t = t;
            return;
        }
        self.errors += u64::from(kind == Kind::Error);
        self.all.push(Note { t, kind, text, shown: true });
        if self.all.len() > KEEP {
            self.all.drain(..KEEP / 2);
        }
    }

    /// Adds a message that is worth calling back somebody who looks elsewhere.
    pub fn call(&mut self, t: f64, kind: Kind, text: impl Into<String>) {
        let text = text.into();
        if self.calls.len() < MOST_CALLS {
            self.calls.push(text.clone());
        }
        self.add(t, kind, text);
    }

    /// Takes messages off the screen whose time is over; says whether there were any.
    pub fn expire(&mut self, now: f64) -> bool {
        let mut any = false;
        for note in self.all.iter_mut().rev().take(20) {
            let over = match note.kind {
                Kind::Error => false,
                Kind::Warning => now - note.t > 2.0 * SECONDS,
                _ => now - note.t > SECONDS,
            };
            if note.shown && over {
                note.shown = false;
                any = true;
            }
        }
        any
    }

    /// Takes all messages off the screen.
    pub fn dismiss(&mut self) {
        self.all.iter_mut().for_each(|n| n.shown = false);
    }

    /// The messages on the screen, newest first.
    pub fn shown(&self) -> impl Iterator<Item = &Note> {
        self.all.iter().rev().take(50).filter(|n| n.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_until_dismissed() {
        let mut notes = Notes::default();
        notes.add(0.0, Kind::Info, "a");
        notes.add(0.0, Kind::Error, "b");
        notes.add(1.0, Kind::Error, "b");
        assert_eq!(notes.all.len(), 2);
        assert!(notes.expire(100.0));
        assert_eq!(notes.shown().map(|n| n.text.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(!notes.expire(1e9));
        notes.dismiss();
        assert_eq!(notes.shown().count(), 0);
        assert_eq!(notes.all.len(), 2);
    }
}
