//! Prompts that are edited: what is asked of the model, what it answers.

use super::warn;
use crate::tui::action::Action;
use crate::tui::evaluate::{Prompts, SLOT, Scope, Stand};
use crate::tui::message::Command;
use crate::tui::model::Model;
use crate::tui::notes::Kind;
use crate::tui::update::actions::moved;
use crate::tui::update::type_into;
use crate::tui::update::typing::put;
use crossterm::event::{KeyCode, KeyEvent};
use run::serve::{LOADING, Reply};
use run::settings::Settings;
use tui_input::Input;

/// Opens the prompts of the chosen row's class.
pub(super) fn edit(model: &mut Model) -> Vec<Command> {
    let Some(view) = &model.evaluate.view else { return Vec::new() };
    let class = view.class();
    if view.opened.outcome.task != "zero-shot" {
        return warn(model, "prompts are of zero-shot: this result has none");
    }
    if view.opened.templates.is_empty() {
        let data = view.opened.outcome.data.clone();
        return warn(model, format!("the templates are gone: {data} cannot be read any more"));
    }
    let Some(class) = class else { return warn(model, "there is no class here") };
    let outcome = &view.opened.outcome;
    let precision = |word: &str| outcome.how.split(", ").any(|w| w == word);
    let settings = Settings {
        model: Some(outcome.model.clone()),
        output_dir: model.root.to_string_lossy().into_owned(),
        bf16: precision("bfloat16"),
        fp16: precision("float16"),
        ..Settings::default()
    };
    model.last_id += 1;
    let generation = model.last_id;
    let prompts = Prompts::new(view, class, generation);
    model.evaluate.prompts = Some(prompts);
    let mut commands = vec![Command::LoadModel { slot: SLOT, generation, settings: Box::new(settings) }];
    commands.extend(ask(model));
    commands
}

/// Asks how the class fares, when something has changed.
fn ask(model: &mut Model) -> Vec<Command> {
    let id = model.last_id + 1;
    let Some(request) = model.evaluate.prompts.as_mut().and_then(|p| p.next(id)) else { return Vec::new() };
    model.last_id = id;
    vec![Command::AskModel { slot: SLOT, id, request }]
}

/// Carries out an action on them.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = model.regions.rows;
    let Some(prompts) = &mut model.evaluate.prompts else { return Vec::new() };
    let count = prompts.templates.len();
    prompts.selected = moved(prompts.selected, action, count, page).min(count.saturating_sub(1));
    match action {
        Action::Enter => {
            prompts.typing = prompts.templates.get(prompts.selected).map(|t| Input::new(t.clone()));
        }
        Action::AddPrompt => {
            prompts.templates.push("a photo of a {}.".to_owned());
            prompts.selected = count;
            prompts.typing = prompts.templates.last().map(|t| Input::new(t.clone()));
            prompts.stale = true;
        }
        Action::CancelEvaluation if count > 1 => {
            prompts.templates.remove(prompts.selected);
            prompts.selected = prompts.selected.min(count - 2);
            prompts.stale = true;
        }
        Action::CancelEvaluation => return warn(model, "a class needs one prompt"),
        Action::RevertAll => {
            prompts.templates = prompts.before.clone();
            prompts.selected = 0;
            prompts.stale = true;
        }
        Action::Scope => {
            prompts.scope = if prompts.scope == Scope::Class { Scope::All } else { Scope::Class };
            prompts.stale = true;
        }
        Action::Copy => {
            let text = prompts.templates.join("\n");
            model.notes.add(model.now, Kind::Good, "templates copied, one a line, as --templates takes them");
            let lines: Vec<String> = text.lines().map(|l| run::escape::line(l).into_owned()).collect();
            return vec![Command::Copy(lines.join("\n"))];
        }
        _ => {}
    }
    ask(model)
}

/// A key while a template is typed.
pub fn typing_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let Some(prompts) = &mut model.evaluate.prompts else { return Vec::new() };
    let Some(input) = &mut prompts.typing else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            // A line that makes no sense stays open.
            if Prompts::problem(input.value()).is_none() {
                prompts.templates = prompts.typed();
                prompts.typing = None;
            }
        }
        KeyCode::Esc => {
            prompts.typing = None;
            prompts.stale = true;
        }
        _ => {
            type_into(input, key);
            prompts.stale = true;
        }
    }
    ask(model)
}

/// Takes text that was pasted into the template that is typed.
pub fn paste(model: &mut Model, text: &str) -> Vec<Command> {
    let Some(prompts) = &mut model.evaluate.prompts else { return Vec::new() };
    let Some(input) = &mut prompts.typing else { return Vec::new() };
    put(input, text);
    prompts.stale = true;
    ask(model)
}

/// Takes what the engine says.
pub fn on_reply(model: &mut Model, generation: u64, id: u64, reply: Reply) -> Vec<Command> {
    let now = model.now;
    let Some(prompts) = model.evaluate.prompts.as_mut().filter(|p| p.load == generation) else {
        return Vec::new();
    };
    if id != LOADING && prompts.asked.is_none_or(|(asked, _)| asked != id) {
        return Vec::new();
    }
    match reply {
        Reply::Loaded { .. } => prompts.stand = Stand::Busy("pictures", 0, prompts.pictures.len() as u64),
        Reply::Progress { done, total } => prompts.stand = Stand::Busy("pictures", done, total),
        Reply::Classifier { done, total } => prompts.stand = Stand::Busy("prompts", done, total),
        Reply::Tuned(tuned) => {
            if prompts.asked.is_some_and(|(_, first)| first) {
                prompts.first = Some(tuned.clone());
            }
            prompts.now = Some(tuned);
        }
        Reply::Done { .. } | Reply::Cancelled => {
            prompts.asked = None;
            prompts.stand = Stand::Ready;
            return ask(model);
        }
        Reply::Failed { message, .. } => {
            prompts.asked = None;
            prompts.stand = Stand::Failed(message.clone());
            model.notes.add(now, Kind::Error, message);
        }
        _ => {}
    }
    Vec::new()
}
