//! What a setting is: its declaration, its rule, its errors.

use super::Value;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applies {
    /// At the next step of a running engine.
    Live,
    /// When the run goes on from a checkpoint.
    Restart,
    /// Only in a new run.
    Never,
}

impl fmt::Display for Applies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "applies at once",
            Self::Restart => "needs a restart",
            Self::Never => "new run only",
        })
    }
}

/// The type and range of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// true or false
    Bool,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A finite real number within bounds, both included.
    Real(f64, f64),
    /// Any text of one line.
    Text,
    /// A file or folder.
    Path,
    /// One of these.
    Choice(&'static [&'static str]),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Integer(min, i64::MAX) => write!(f, "a whole number from {min}"),
            Self::Integer(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::Real(min, max) if max.is_infinite() => write!(f, "a number from {min}"),
            Self::Real(min, max) => write!(f, "a number from {min} to {max}"),
            Self::Text => f.write_str("text"),
            Self::Path => f.write_str("a path"),
            Self::Choice(words) => write!(f, "one of: {}", words.join(", ")),
        }
    }
}

/// The declaration of one setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name, with underscores: the TOML key and the flag.
    pub name: &'static str,
    /// The heading under which it stands.
    pub group: &'static str,
    /// What it does, one line.
    pub doc: &'static str,
    /// The unit of its value; empty when it has none.
    pub unit: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// Whether it may be unset.
    pub optional: bool,
    /// When a change takes effect.
    pub applies: Applies,
}

/// Why a setting was refused.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SettingError {
    /// No such setting.
    #[error("there is no setting '{name}'{}", nearest.map_or(String::new(), |n| format!("; did you mean '{n}'?")))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The known name closest to it.
        nearest: Option<&'static str>,
    },
    /// The value breaks the setting's rule.
    #[error("{name} = {value}: it takes {rule}")]
    Rule {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        rule: String,
    },
    /// The change does not apply to a live run.
    #[error("{name} cannot be changed while the run goes on ({applies})")]
    NotLive {
        /// The setting.
        name: &'static str,
        /// When a change would take effect.
        applies: Applies,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Conflict(String),
}

impl SettingError {
    pub(super) fn unknown(name: &str, all: &[Setting]) -> Self {
        Self::Unknown { name: name.to_owned(), nearest: nearest(name, all.iter().map(|s| s.name)) }
    }
}

/// The known name closest to `name`, when one is close enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.replace('-', "_").to_lowercase();
    known
        .into_iter()
        .map(|k| (distance(&wanted, k), k))
        .min()
        .filter(|(d, k)| *d <= 1 + k.len().min(wanted.len()) / 4)
        .map(|(_, k)| k)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Setting {
    /// What it takes, in words.
    pub fn rule(&self) -> String {
        let unset = if self.optional { ", or unset" } else { "" };
        format!("{}{unset}", self.kind)
    }

    fn refuse(&self, value: impl fmt::Display) -> SettingError {
        SettingError::Rule { name: self.name, value: value.to_string(), rule: self.rule() }
    }

    /// Reads text as a person or a flag gives it.
    ///
    /// # Errors
    /// [`SettingError::Rule`] when the text is not of the setting's kind or out of its range.
    pub fn parse(&self, text: &str) -> Result<Value, SettingError> {
        // A tab alone is a value: it separates columns.
        let text = if text == "\t" { text } else { text.trim() };
        if self.optional && matches!(text, "" | "unset" | "none" | "None") {
            return Ok(Value::Unset);
        }
        // PaddleNLP writes -1 for "not given".
        if self.optional && text == "-1" && matches!(self.kind, Kind::Integer(0.., _)) {
            return Ok(Value::Unset);
        }
        let value = match self.kind {
            Kind::Bool => match text {
                "True" | "true" | "1" => Value::Bool(true),
                "False" | "false" | "0" => Value::Bool(false),
                _ => return Err(self.refuse(text)),
            },
            Kind::Integer(..) => Value::Integer(integer(text).ok_or_else(|| self.refuse(text))?),
            Kind::Real(..) => Value::Real(text.parse().map_err(|_| self.refuse(text))?),
            Kind::Text | Kind::Path | Kind::Choice(_) => Value::Text(text.to_owned()),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Whether a value keeps the setting's rule.
    ///
    /// # Errors
    /// [`SettingError::Rule`] when it does not.
    pub fn check(&self, value: &Value) -> Result<(), SettingError> {
        #[allow(clippy::cast_precision_loss)]
        let right = match (self.kind, value) {
            (_, Value::Unset) => self.optional,
            (Kind::Bool, Value::Bool(_)) => true,
            (Kind::Integer(min, max), Value::Integer(n)) => (min..=max).contains(n),
            (Kind::Real(min, max), Value::Real(x)) => x.is_finite() && *x >= min && *x <= max,
            (Kind::Real(min, max), Value::Integer(n)) => (*n as f64) >= min && (*n as f64) <= max,
            (Kind::Text | Kind::Path, Value::Text(s)) => !s.contains(['\n', '\0']),
            (Kind::Choice(words), Value::Text(s)) => words.contains(&s.as_str()),
            _ => false,
        };
        if right { Ok(()) } else { Err(self.refuse(value)) }
    }
}

/// Whole numbers may be written 50000, 50_000 or 5e4.
fn integer(text: &str) -> Option<i64> {
    if let Ok(n) = text.replace('_', "").parse() {
        return Some(n);
    }
    let x: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation)]
    (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as i64)
}
