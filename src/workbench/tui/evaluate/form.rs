//! The form of a new evaluation, from the settings' one declaration.

use crate::evaluations::check::Check;
use run::settings::{EvaluationSettings, Kind, Setting, Value};
use tui_input::Input;

/// The word of a choice that is left open.
const UNSET: &str = "unset";

/// A form.
#[derive(Debug)]
pub struct Form {
    /// A line for each setting.
    pub inputs: Vec<Input>,
    /// The chosen one of the lines that matter.
    pub selected: usize,
    /// Counts changes: what was seen of older ones does not count.
    pub generation: u64,
    /// What was seen of the present values.
    pub seen: Option<Check>,
    /// Whether it is to be started as soon as it was looked at.
    pub start: bool,
}

impl Form {
    /// Starts with these values.
    pub fn new(settings: &EvaluationSettings) -> Self {
        let text = |s: &Setting| match settings.get(s.name) {
            None | Some(Value::Unset) => String::new(),
            Some(value) => value.to_string(),
        };
        Self {
            inputs: EvaluationSettings::ALL.iter().map(|s| Input::new(text(s))).collect(),
            selected: 0,
            generation: 0,
            seen: None,
            start: false,
        }
    }

    /// The settings that the chosen task asks for, with their place in the form.
    pub fn lines(&self) -> Vec<(usize, &'static Setting)> {
        let (task, method) = (self.text("task"), self.text("method"));
        let matters = |s: &Setting| EvaluationSettings::matters(task, method, s.name);
        EvaluationSettings::ALL.iter().enumerate().filter(|(_, s)| matters(s)).collect()
    }

    /// The chosen setting, with its place in the form.
    pub fn chosen(&self) -> Option<(usize, &'static Setting)> {
        let lines = self.lines();
        lines.get(self.selected.min(lines.len().saturating_sub(1))).copied()
    }

    /// The words that a setting takes, where it takes only some.
    pub fn words(setting: &Setting) -> Vec<&'static str> {
        match setting.kind {
            Kind::Choice(words) if setting.optional => [&[UNSET], words].concat(),
            Kind::Choice(words) => words.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Whether a word is the one that stands at a setting.
    pub fn is_at(&self, setting: &Setting, word: &str) -> bool {
        let text = self.text(setting.name);
        text == word || (text.is_empty() && word == UNSET)
    }

    /// What stands at a setting.
    pub fn text(&self, name: &str) -> &str {
        let at = EvaluationSettings::ALL.iter().position(|s| s.name == name);
        at.and_then(|at| self.inputs.get(at)).map_or("", |input| input.value().trim())
    }

    /// Puts text at a setting.
    pub fn put(&mut self, name: &str, text: &str) {
        let at = EvaluationSettings::ALL.iter().position(|s| s.name == name);
        if let Some(input) = at.and_then(|at| self.inputs.get_mut(at)) {
            *input = Input::new(text.to_owned());
        }
    }

    /// Goes on to another word of the chosen setting; `forward` or back.
    pub fn turn(&mut self, forward: bool) {
        let Some((at, setting)) = self.chosen() else { return };
        let words = Self::words(setting);
        if words.is_empty() {
            return;
        }
        let n = words.len();
        let here = words.iter().position(|w| self.is_at(setting, w));
        let next = match (here, forward) {
            (None, _) => 0,
            (Some(i), true) => (i + 1) % n,
            (Some(i), false) => (i + n - 1) % n,
        };
        if let (Some(input), Some(word)) = (self.inputs.get_mut(at), words.get(next)) {
            *input = Input::new((*word).to_owned());
        }
    }

    /// What a line breaks: its own rule, else what was seen of what it names.
    pub fn problem(&self, setting: &Setting) -> Option<String> {
        let own = setting.parse(self.text(setting.name)).err().map(|e| e.to_string());
        own.or_else(|| self.seen.as_ref()?.problems.get(setting.name).cloned())
    }

    /// What the lines mean.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn read(&self) -> Result<EvaluationSettings, String> {
        let mut settings = EvaluationSettings::default();
        for (_, setting) in self.lines() {
            settings.assign(setting.name, self.text(setting.name)).map_err(|e| e.to_string())?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_and_name_what_is_wrong() {
        let mut settings = EvaluationSettings::default();
        settings.assign("model", "runs/a").unwrap();
        let mut form = Form::new(&settings);
        assert_eq!(form.read().unwrap(), settings);
        form.turn(false);
        assert_eq!(form.text("task"), "caption");
        assert!(form.lines().iter().all(|(_, s)| s.name != "templates"));
        let has = |form: &Form, name: &str| form.lines().iter().any(|(_, s)| s.name == name);
        assert!(has(&form, "beams") && !has(&form, "top_k"));
        form.put("method", "sample");
        assert!(!has(&form, "beams") && has(&form, "top_k"));
        form.selected = form.lines().iter().position(|(_, s)| s.name == "compat").unwrap();
        form.turn(true);
        assert_eq!(form.text("compat"), "openclip-3.3");
        form.turn(true);
        assert_eq!(form.read().unwrap().compat, None);
        form.put("batch", "0");
        assert!(form.read().unwrap_err().contains("batch = 0: it takes a whole number from 1"));
        let batch = EvaluationSettings::setting("batch").unwrap();
        assert!(form.problem(batch).is_some());
        form.put("batch", "4");
        assert!(form.problem(batch).is_none() && form.read().is_ok());
    }
}
