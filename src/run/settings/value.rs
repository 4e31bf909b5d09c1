//! A setting's value without its type, as files, flags and forms carry it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A setting's value. Optional settings may be [`Value::Unset`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// Text, a path or one of a list of choices.
    Text(String),
    /// Not set: the setting follows another one, or is absent.
    Unset,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("unset"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Integer(n) => write!(f, "{n}"),
            // Shortest text that reads back to the same number; large and small ones with an exponent.
            Self::Real(x) if *x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e6) => write!(f, "{x:e}"),
            Self::Real(x) => write!(f, "{x:?}"),
            Self::Text(s) => f.write_str(s),
        }
    }
}

/// A Rust type that a setting may have.
pub(super) trait Field {
    /// Whether the setting may be unset.
    const OPTIONAL: bool = false;
    fn get(&self) -> Value;
    /// Takes a value that was checked against the setting's kind; another one is ignored.
    fn put(&mut self, value: Value);
}

impl Field for bool {
    fn get(&self) -> Value {
        Value::Bool(*self)
    }
    fn put(&mut self, value: Value) {
        if let Value::Bool(b) = value {
            *self = b;
        }
    }
}

impl Field for u64 {
    fn get(&self) -> Value {
        Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
    fn put(&mut self, value: Value) {
        if let Value::Integer(n) = value {
            *self = u64::try_from(n).unwrap_or(0);
        }
    }
}

impl Field for i64 {
    fn get(&self) -> Value {
        Value::Integer(*self)
    }
    fn put(&mut self, value: Value) {
        if let Value::Integer(n) = value {
            *self = n;
        }
    }
}

impl Field for f64 {
    fn get(&self) -> Value {
        Value::Real(*self)
    }
    fn put(&mut self, value: Value) {
        match value {
            Value::Real(x) => *self = x,
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(n) => *self = n as f64,
            _ => {}
        }
    }
}

impl Field for String {
    fn get(&self) -> Value {
        Value::Text(self.clone())
    }
    fn put(&mut self, value: Value) {
        if let Value::Text(s) = value {
            *self = s;
        }
    }
}

impl<T: Field + Default> Field for Option<T> {
    const OPTIONAL: bool = true;
    fn get(&self) -> Value {
        self.as_ref().map_or(Value::Unset, Field::get)
    }
    fn put(&mut self, value: Value) {
        if value == Value::Unset {
            *self = None;
        } else {
            self.get_or_insert_with(T::default).put(value);
        }
    }
}
