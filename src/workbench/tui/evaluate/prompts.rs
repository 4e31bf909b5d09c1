//! Prompts of a class that are being edited, and what the model makes of them.

use super::View;
use run::serve::{Request, Tuned};
use std::path::PathBuf;
use tui_input::Input;

/// Pictures that are looked at: those of the class and as many of the others as there is room for, evenly spread.
const PICTURES: usize = 512;

/// Pictures at a time.
const BATCH: u32 = 16;

/// Whose prompts are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Only those of the chosen class.
    #[default]
    Class,
    /// Those of all classes.
    All,
}

/// Where the model is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stand {
    /// It is being loaded.
    Loading,
    /// It works on something: what, done, in all.
    Busy(&'static str, u64, u64),
    /// It has answered.
    Ready,
    /// It cannot be used.
    Failed(String),
}

/// Prompts that are being edited.
#[derive(Debug)]
pub struct Prompts {
    /// The class.
    pub class: u32,
    /// Its name.
    pub name: String,
    /// The templates as they were.
    pub before: Vec<String>,
    /// The templates as they are now.
    pub templates: Vec<String>,
    /// The chosen one.
    pub selected: usize,
    /// The line that is being typed.
    pub typing: Option<Input>,
    /// Whose prompts are changed.
    pub scope: Scope,
    /// How the class fared with the templates as they were.
    pub first: Option<Tuned>,
    /// How it fares now.
    pub now: Option<Tuned>,
    /// Where the model is.
    pub stand: Stand,
    /// Number of the engine's load: others' words do not count.
    pub load: u64,
    /// Number of the request at work, and whether it is the first one.
    pub asked: Option<(u64, bool)>,
    /// Whether something changed since it was asked.
    pub stale: bool,
    /// The pictures with their classes.
    pub pictures: Vec<(PathBuf, u32)>,
    /// Names of all classes.
    pub classes: Vec<String>,
}

impl Prompts {
    /// Those of a class of an opened result, whose model's engine is loaded under the number `load`.
    pub fn new(view: &View, class: u32, load: u64) -> Self {
        let (own, others): (Vec<_>, Vec<_>) =
            view.opened.pictures.iter().cloned().partition(|(_, right)| *right == class);
        let own: Vec<_> = spread(own, PICTURES / 2);
        let others = spread(others, PICTURES - own.len());
        Self {
            class,
            name: view.opened.class(class).to_owned(),
            before: view.opened.templates.clone(),
            templates: view.opened.templates.clone(),
            selected: 0,
            typing: None,
            scope: Scope::default(),
            first: None,
            now: None,
            stand: Stand::Loading,
            load,
            asked: None,
            stale: true,
            pictures: own.into_iter().chain(others).collect(),
            classes: view.opened.classes.iter().map(|c| c.name.clone()).collect(),
        }
    }

    /// The templates as they would be with what is being typed.
    pub fn typed(&self) -> Vec<String> {
        let mut all = self.templates.clone();
        if let (Some(input), Some(line)) = (&self.typing, all.get_mut(self.selected)) {
            input.value().clone_into(line);
        }
        all
    }

    /// What is wrong with a template.
    pub fn problem(template: &str) -> Option<&'static str> {
        (!template.contains("{}")).then_some("has no {} for the class name")
    }

    /// What to ask next; none while something is being answered, or nothing has changed, or a line makes no sense yet.
    pub fn next(&mut self, id: u64) -> Option<Request> {
        if !self.stale || self.asked.is_some() || matches!(self.stand, Stand::Failed(_)) {
            return None;
        }
        let first = self.first.is_none();
        // What they were is the measure of what they become.
        let templates = if first { self.before.clone() } else { self.typed() };
        let usable: Vec<&String> = templates.iter().filter(|t| Self::problem(t).is_none()).collect();
        if usable.is_empty() {
            return None;
        }
        let prompts = (0u32..).zip(&self.classes).map(|(class, name)| {
            let edited = self.scope == Scope::All || class == self.class;
            let of: Vec<&String> = if edited { usable.clone() } else { self.before.iter().collect() };
            of.into_iter().map(|template| template.replace("{}", name)).collect()
        });
        let request = Request::Tune {
            images: self.pictures.iter().map(|(path, _)| path.clone()).collect(),
            classes: self.pictures.iter().map(|(_, class)| *class).collect(),
            prompts: prompts.collect(),
            class: self.class,
            batch: BATCH,
        };
        self.asked = Some((id, first));
        self.stale = first && templates != self.typed();
        Some(request)
    }
}

/// At most `n` of them, evenly spread.
fn spread<T: Clone>(all: Vec<T>, n: usize) -> Vec<T> {
    let len = all.len();
    if len <= n {
        return all;
    }
    (0..n).filter_map(|i| all.get(i * len / n).cloned()).collect()
}
