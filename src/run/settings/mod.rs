//! One schema for every setting: name, type, default, range, unit, doc line, when a change applies.
//!
//! From the one declaration in [`train`] come TOML loading ([`Settings::from_toml`]), the command-line flags, the
//! form of the terminal, the docs table and `cocaptain config default`.

#[macro_use]
mod declare;
mod evaluation;
mod schema;
mod toml;
mod train;
mod value;

pub use evaluation::EvaluationSettings;
pub use schema::{Applies, Kind, Setting, SettingError};
pub use toml::ConfigError;
pub use train::{Settings, optimiser_steps, seed_datasets};
pub use value::Value;

use std::collections::BTreeMap;

/// Settings by name, as an edit of a live run carries them.
pub type Changes = BTreeMap<String, Value>;

impl Settings {
    /// Applies an edit of a live run.
    ///
    /// # Errors
    /// The first change that is unknown, breaks its rule, or does not apply to a live run; nothing is changed then.
    pub fn apply_live(&mut self, changes: &Changes) -> Result<Changes, SettingError> {
        let mut edited = self.clone();
        let mut old = Changes::new();
        for (name, value) in changes {
            let setting = Self::setting(name)?;
            if setting.applies != Applies::Live {
                return Err(SettingError::NotLive { name: setting.name, applies: setting.applies });
            }
            old.insert(setting.name.to_owned(), edited.put(setting, value.clone())?);
        }
        edited.validate()?;
        *self = edited;
        Ok(old)
    }

    /// What differs from `other`: name -> (value here, value there).
    pub fn differences(&self, other: &Self) -> Vec<(&'static Setting, Value, Value)> {
        Self::ALL
            .iter()
            .filter_map(|s| {
                let (a, b) = (self.get(s.name)?, other.get(s.name)?);
                (a != b).then_some((s, a, b))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{Degrees, Stage};

    #[test]
    fn text_forms() {
        let mut s = Settings::default();
        s.assign("do-train", "False").unwrap();
        assert!(!s.do_train);
        s.assign("save_steps", "5e4").unwrap();
        assert_eq!(s.save_steps, 50_000);
        s.assign("max_steps", "10").unwrap();
        s.assign("max_steps", "-1").unwrap();
        assert_eq!(s.max_steps, None);
        assert!(s.assign("learning_rate", "nan").is_err());
        assert!(s.assign("learning_rate", "-1").is_err());
        assert!(s.assign("device", "tpu").is_err());
        assert!(s.assign("seed", "1.5").is_err());
    }

    #[test]
    fn live_edits_are_all_or_nothing() {
        let mut s = Settings::default();
        let before = s.clone();
        let mut changes = Changes::from([("learning_rate".to_owned(), Value::Real(0.1))]);
        let old = s.apply_live(&changes).unwrap();
        assert_eq!((s.learning_rate, &old["learning_rate"]), (0.1, &Value::Real(5e-4)));
        s = before.clone();
        changes.insert("seed".to_owned(), Value::Integer(1));
        assert!(matches!(s.apply_live(&changes), Err(SettingError::NotLive { name: "seed", .. })));
        assert_eq!(s, before);
    }

    #[test]
    fn mesh_is_checked() {
        let mut s = Settings { nproc_per_node: 8, sharding_parallel_degree: 8, ..Settings::default() };
        let eight = Degrees { data_parallel: 1, sharding: 8, tensor_parallel: 1 };
        assert_eq!((s.mesh().unwrap(), s.stage()), (eight, Stage::Optimiser));
        s.sharding_parallel_degree = -1;
        assert_eq!((s.mesh().unwrap().data_parallel, s.stage()), (8, Stage::None));
        s.sharding = Some("stage3".to_owned());
        assert_eq!((s.mesh().unwrap(), s.stage()), (eight, Stage::Parameters));
        s.sharding_parallel_degree = 2;
        assert_eq!(s.mesh().unwrap().data_parallel, 4);
        s.tensor_parallel_degree = 3;
        let refused = s.validate().unwrap_err().to_string();
        assert!(refused.contains("= 8 ranks") && refused.contains("= 6:"), "{refused}");
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Settings::ALL.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), Settings::ALL.len());
    }
}
