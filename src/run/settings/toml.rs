//! Settings as TOML: flat `key = value` lines under comments for the groups.

use super::{Kind, SettingError, Settings, Value};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml_edit::{Document, Item};

/// Why a config file could not be used; says file and line.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A setting is unknown or its value breaks its rule.
    #[error("{}:{line}: {source}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        source: SettingError,
    },
}

impl Settings {
    /// Reads a config file over the defaults.
    ///
    /// # Errors
    /// [`ConfigError`], with file and line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text, path)
    }

    /// Reads TOML over the defaults; `path` is for the errors.
    ///
    /// # Errors
    /// [`ConfigError`], with line numbers.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
        let document = Document::parse(text).map_err(|e| ConfigError::Syntax {
            path: path.to_owned(),
            line: e.span().map_or(1, |s| line_at(s.start)),
            message: e.message().trim().to_owned(),
        })?;
        let mut settings = Self::default();
        for (name, item) in document.iter() {
            let offset = document.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let line = offset.map_or(1, |s| line_at(s.start));
            settings.take(name, item).map_err(|source| ConfigError::Setting {
                path: path.to_owned(),
                line,
                source,
            })?;
        }
        settings.validate().map_err(|source| ConfigError::Setting {
            path: path.to_owned(),
            line: 1,
            source,
        })?;
        Ok(settings)
    }

    fn take(&mut self, name: &str, item: &Item) -> Result<(), SettingError> {
        let setting = Self::setting(name)?;
        let value = match item.as_value() {
            Some(toml_edit::Value::Boolean(b)) => Value::Bool(*b.value()),
            Some(toml_edit::Value::Integer(n)) => Value::Integer(*n.value()),
            Some(toml_edit::Value::Float(x)) => Value::Real(*x.value()),
            Some(toml_edit::Value::String(s)) => Value::Text(s.value().clone()),
            _ => {
                return Err(SettingError::Rule {
                    name: setting.name,
                    value: item.to_string().trim().to_owned(),
                    rule: setting.rule(),
                });
            }
        };
        self.put(setting, value).map(|_| ())
    }

    /// Writes every setting that is set, with its doc line; reading it back gives equal settings.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for setting in Self::ALL {
            if setting.group != group {
                group = setting.group;
                text += &format!("{}# ---- {group}\n", if text.is_empty() { "" } else { "\n" });
            }
            let unit = if setting.unit.is_empty() { String::new() } else { format!(" [{}]", setting.unit) };
            text += &format!("# {}{unit}\n", setting.doc);
            match self.get(setting.name) {
                None | Some(Value::Unset) => text += &format!("# {} = unset\n", setting.name),
                Some(value) => text += &format!("{} = {}\n", setting.name, literal(setting.kind, &value)),
            }
        }
        text
    }
}

fn literal(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Real(..), Value::Real(x)) => toml_edit::value(*x).to_string(),
        (_, Value::Text(s)) => toml_edit::value(s.as_str()).to_string(),
        (_, value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(text: &str) -> Result<Settings, ConfigError> {
        Settings::from_toml(text, Path::new("a.toml"))
    }

    #[test]
    fn defaults_round_trip() {
        assert_eq!(load(&Settings::default().to_toml()).unwrap(), Settings::default());
    }

    #[test]
    fn errors_name_line_and_nearest() {
        let e = load("seed = 1\n\nlearning_rat = 0.1\n").unwrap_err().to_string();
        assert_eq!(e, "a.toml:3: there is no setting 'learning_rat'; did you mean 'learning_rate'?");
        let e = load("seed = \"x\"").unwrap_err().to_string();
        assert_eq!(e, "a.toml:1: seed = x: it takes a whole number from 0");
        let e = load("seed = \n").unwrap_err().to_string();
        assert!(e.starts_with("a.toml:1: not TOML"), "{e}");
        assert!(load("[model]\nseed = 1").unwrap_err().to_string().contains("model"));
    }

    proptest! {
        #[test]
        fn any_settings_round_trip(lr in 0.0..10.0f64, steps in proptest::option::of(1..u64::MAX >> 1), name in "[^\0\n]{0,20}", flag: bool) {
            let mut s = Settings { learning_rate: lr, max_steps: steps, pretrained: flag, ..Settings::default() };
            s.train_data = Some(name);
            prop_assert_eq!(load(&s.to_toml()).unwrap(), s);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = load(&text);
        }
    }
}
