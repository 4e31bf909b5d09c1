//! The settings as a form: what is shown of them, what is chosen, what is edited and not sent yet.

use super::model::Model;
use super::options::form::{self, LINES, is_option};
use run::settings::{Applies, Changes, Setting, SettingError, Settings, Value};
use std::collections::BTreeMap;
use tui_input::Input;

/// State of the settings tab.
#[derive(Debug, Default)]
pub struct SettingsForm {
    /// Words that name or description must have.
    pub search: Input,
    /// Whether keys go to the search line.
    pub searching: bool,
    /// Whether only settings are shown that differ from the default or are edited.
    pub only_set: bool,
    /// The chosen one of the visible settings.
    pub selected: usize,
    /// New values that are not sent yet.
    pub edits: BTreeMap<&'static str, Value>,
}

impl SettingsForm {
    /// The settings that pass the search, in the schema's order, those of a run when there is one; then the workbench's own
    /// options.
    pub fn visible(&self, current: Option<&Settings>) -> Vec<&'static Setting> {
        let words: Vec<String> =
            self.search.value().to_lowercase().split_whitespace().map(str::to_owned).collect();
        let defaults = Settings::default();
        let of_run = current.map_or(&[][..], |_| Settings::ALL);
        of_run
            .iter()
            .chain(&LINES)
            .filter(|s| {
                let text = format!("{} {} {} {}", s.name, s.group, s.doc, s.applies).to_lowercase();
                words.iter().all(|w| text.contains(w.as_str()))
            })
            .filter(|s| {
                !self.only_set
                    || self.edits.contains_key(s.name)
                    || current.is_some_and(|c| c.get(s.name) != defaults.get(s.name))
            })
            .collect()
    }

    /// The chosen setting.
    pub fn chosen(&self, current: Option<&Settings>) -> Option<&'static Setting> {
        let visible = self.visible(current);
        visible.get(self.selected.min(visible.len().saturating_sub(1))).copied()
    }

    /// Chooses the first of the workbench's own options.
    pub fn show_options(&mut self, current: Option<&Settings>) {
        (self.searching, self.only_set) = (false, false);
        self.search.reset();
        self.selected = self.visible(current).iter().position(|s| is_option(s)).unwrap_or(0);
    }

    /// Takes an edit over; one that brings back the value in effect is no edit.
    pub fn edit(&mut self, setting: &'static Setting, value: Value, current: &Settings) {
        if current.get(setting.name).is_some_and(|old| same(&old, &value)) {
            self.edits.remove(setting.name);
        } else {
            self.edits.insert(setting.name, value);
        }
    }

    /// Edits that take effect when `applies` says.
    pub fn edits_of(&self, applies: Applies) -> Changes {
        let of = |name: &str| Settings::setting(name).is_ok_and(|s| s.applies == applies);
        self.edits.iter().filter(|(n, _)| of(n)).map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
    }

    /// Takes out edits that are in effect now.
    pub fn forget_applied(&mut self, current: &Settings) {
        self.edits.retain(|name, value| !current.get(name).is_some_and(|v| same(&v, value)));
    }

    /// The settings with all edits.
    ///
    /// # Errors
    /// What they contradict each other in.
    pub fn edited(&self, current: &Settings) -> Result<Settings, SettingError> {
        let mut settings = current.clone();
        for (name, value) in &self.edits {
            settings.put(Settings::setting(name)?, value.clone())?;
        }
        settings.validate()?;
        Ok(settings)
    }
}

/// What a line of the form is now; `current` are the run's settings.
pub fn now(model: &Model, current: Option<&Settings>, setting: &Setting) -> Value {
    match is_option(setting) {
        true => form::now(model, setting.name),
        false => current.and_then(|c| c.get(setting.name)).unwrap_or(Value::Unset),
    }
}

/// What it is without anybody's choice.
pub fn default(setting: &Setting) -> Value {
    match is_option(setting) {
        true => form::default(setting.name),
        false => Settings::default().get(setting.name).unwrap_or(Value::Unset),
    }
}

/// Whether two values mean the same; 1 and 1.0 do.
pub fn same(a: &Value, b: &Value) -> bool {
    #[allow(clippy::cast_precision_loss)]
    let real = |v: &Value| match v {
        Value::Real(x) => Some(*x),
        Value::Integer(n) => Some(*n as f64),
        _ => None,
    };
    a == b || real(a).is_some_and(|x| real(b) == Some(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_back_is_no_edit() {
        let current = Settings::default();
        let mut form = SettingsForm::default();
        let rate = Settings::setting("learning_rate").unwrap();
        form.edit(rate, Value::Real(0.1), &current);
        form.edit(Settings::setting("threads").unwrap(), Value::Integer(2), &current);
        assert_eq!(form.edits_of(Applies::Live).len(), 1);
        assert_eq!(form.edits_of(Applies::Restart).len(), 1);
        form.edit(rate, Value::Real(5e-4), &current);
        assert_eq!(form.edits.len(), 1);
    }

    #[test]
    fn the_search_needs_every_word() {
        let mut form = SettingsForm { search: "learning rate peak".into(), ..SettingsForm::default() };
        let current = Settings::default();
        let names: Vec<_> = form.visible(Some(&current)).iter().map(|s| s.name).collect();
        assert_eq!(names, ["learning_rate", "visual_lr", "text_lr"]);
        form.search = "no such thing".into();
        assert!(form.visible(Some(&current)).is_empty() && form.chosen(Some(&current)).is_none());
    }

    #[test]
    fn contradictions_are_told() {
        let mut form = SettingsForm::default();
        form.edits.insert("bf16", Value::Bool(true));
        form.edits.insert("fp16", Value::Bool(true));
        assert!(form.edited(&Settings::default()).unwrap_err().to_string().contains("choose one"));
    }
}
