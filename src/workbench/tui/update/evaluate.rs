//! The Evaluate tab: the queue, the table, the form, an opened result, prompts that are edited.

use super::actions::moved;
use super::type_into;
use crate::evaluations::queue::Phase;
use crate::evaluations::results::Sort;
use crate::tui::action::Action;
use crate::tui::evaluate::{Effect, Form, News, Pane, Part, Popup as Own, Prompts, SLOT, Scope, Stand, View};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::picture;
use crate::tui::popup::Popup;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::dir::RunDir;
use run::serve::{LOADING, Reply};
use run::settings::{EvaluationSettings, Settings};
use std::path::PathBuf;
use tui_input::Input;

/// Seconds between two looks while the tab is on the screen.
const LOOK_SECONDS: f64 = 1.0;

/// Opens the tab.
pub fn open(model: &mut Model) -> Vec<Command> {
    model.page = Page::Evaluate;
    look(model)
}

fn look(model: &mut Model) -> Vec<Command> {
    model.evaluate.looking = true;
    model.evaluate.looked = model.now;
    vec![Command::Evaluate(Effect::Look { root: model.root.clone() })]
}

/// Looks again when it is time.
pub fn on_tick(model: &mut Model) -> Vec<Command> {
    let due = model.now - model.evaluate.looked >= LOOK_SECONDS && !model.evaluate.looking;
    if model.page == Page::Evaluate && due { look(model) } else { Vec::new() }
}

fn warn(model: &mut Model, why: impl Into<String>) -> Vec<Command> {
    model.notes.add(model.now, Kind::Warning, why);
    Vec::new()
}

/// Takes what came of an effect.
pub fn on_news(model: &mut Model, news: News) -> Vec<Command> {
    match news {
        News::Seen { entries, outcomes } => {
            announce(model, &entries);
            let tab = &mut model.evaluate;
            tab.looking = false;
            tab.seen = true;
            tab.entries = entries;
            tab.outcomes = outcomes;
            tab.tabulate();
            if tab.table.rows.is_empty() && !tab.entries.is_empty() {
                tab.pane = Pane::Queue;
            }
        }
        News::Checked { generation, check } => {
            let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) else { return Vec::new() };
            if form.generation != generation {
                return Vec::new();
            }
            form.seen = Some(check);
            if form.start {
                return start(model);
            }
        }
        News::Done(result) => {
            let (kind, text) = result.map_or_else(|e| (Kind::Error, e), |text| (Kind::Good, text));
            model.notes.add(model.now, kind, text);
            return look(model);
        }
        News::Log { id, lines } => {
            if let Some(Popup::Evaluate(Own::Log { id: shown, lines: old, .. })) = model.popups.last_mut()
                && *shown == id
            {
                *old = lines;
            } else {
                let scroll = usize::MAX / 2;
                model.popups.push(Popup::Evaluate(Own::Log { id, lines, scroll }));
            }
        }
        News::Opened(Ok(opened)) => model.evaluate.view = Some(View::new(opened)),
        News::Opened(Err(e)) => model.notes.add(model.now, Kind::Error, e),
    }
    Vec::new()
}

/// Says what ended since the last look.
fn announce(model: &mut Model, entries: &[crate::evaluations::queue::Entry]) {
    for entry in entries.iter().filter(|e| e.state.phase.is_over()) {
        let id = entry.item.id;
        let before = model.evaluate.entries.iter().find(|e| e.item.id == id);
        if before.is_none_or(|e| e.state.phase.is_over()) {
            continue;
        }
        let (kind, text) = match (entry.state.phase, &entry.state.message) {
            (Phase::Done, _) => (Kind::Good, format!("item {id}: there is a result")),
            (Phase::Failed, Some(why)) => (Kind::Error, format!("item {id} failed: {why}")),
            (phase, _) => (Kind::Info, format!("item {id}: {}", phase.word())),
        };
        model.notes.add(model.now, kind, text);
    }
}

fn form_of(model: &mut Model) -> Option<&mut Popup> {
    model.popups.iter_mut().rev().find(|p| matches!(p, Popup::Evaluate(Own::Form(_))))
}

/// Carries out an action on the tab.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    if model.evaluate.prompts.is_some() {
        return on_prompts(model, action);
    }
    if model.evaluate.view.is_some() {
        return on_result(model, action);
    }
    let root = model.root.clone();
    let page = model.regions.rows;
    let tab = &mut model.evaluate;
    match (tab.pane, action) {
        (_, Action::NewEvaluation) => return new(model),
        (_, Action::SortResults) => {
            tab.sort = match tab.sort {
                Sort::Newest => Sort::Column(tab.column),
                Sort::Column(at) if at != tab.column => Sort::Column(tab.column),
                Sort::Column(_) => Sort::Name,
                Sort::Name => Sort::Newest,
            };
            tab.tabulate();
            tab.row = 0;
        }
        (_, Action::Export) => {
            if tab.outcomes.is_empty() {
                return warn(model, "there are no results yet");
            }
            let input = Input::new("results.md".to_owned());
            model.popups.push(Popup::Evaluate(Own::Export { input }));
        }
        (_, Action::EvaluationLog) => {
            return match tab.chosen_item() {
                Some(entry) => vec![Command::Evaluate(Effect::Log { root, id: entry.item.id })],
                None => warn(model, "nothing is in the queue"),
            };
        }
        (_, Action::CancelEvaluation) => {
            return match tab.chosen_item().map(|e| (e.item.id, e.state.phase.is_over())) {
                Some((id, false)) => vec![Command::Evaluate(Effect::Cancel { root, id })],
                Some((id, true)) => vec![Command::Evaluate(Effect::Remove { root, id })],
                None => warn(model, "nothing is in the queue"),
            };
        }
        (Pane::Queue, Action::Enter) => {
            let Some(entry) = tab.chosen_item() else { return Vec::new() };
            return match (&entry.state.folder, entry.state.phase) {
                (Some(folder), Phase::Done) => {
                    vec![Command::Evaluate(Effect::Open { folder: folder.clone() })]
                }
                _ => vec![Command::Evaluate(Effect::Log { root, id: entry.item.id })],
            };
        }
        (Pane::Queue, _) => tab.item = moved(tab.item, action, tab.entries.len(), page),
        (Pane::Results, Action::Left) => tab.column = tab.column.saturating_sub(1),
        (Pane::Results, Action::Right) => {
            tab.column = (tab.column + 1).min(tab.table.columns.len().saturating_sub(1));
        }
        (Pane::Results, Action::Enter) => {
            return match tab.chosen_outcome() {
                Some(outcome) => {
                    vec![Command::Evaluate(Effect::Open { folder: outcome.folder.clone() })]
                }
                None => warn(model, "there is no result at this place of the table"),
            };
        }
        (Pane::Results, _) => tab.row = moved(tab.row, action, tab.table.rows.len(), page),
    }
    Vec::new()
}

/// The next pane, or the next part of an opened result.
pub fn next_pane(model: &mut Model, forward: bool) {
    let tab = &mut model.evaluate;
    match &mut tab.view {
        Some(view) => {
            let at = Part::ALL.iter().position(|p| *p == view.part).unwrap_or(0);
            let next = if forward { at + 1 } else { at + Part::ALL.len() - 1 };
            view.part = Part::ALL[next % Part::ALL.len()];
        }
        None => tab.pane = if tab.pane == Pane::Queue { Pane::Results } else { Pane::Queue },
    }
}

/// One level up; says whether there was one within the tab.
pub fn back(model: &mut Model) -> bool {
    let tab = &mut model.evaluate;
    tab.prompts.take().is_some() || tab.view.take().is_some()
}

/// What is left behind when prompts are no longer edited: the model's memory.
pub fn unneeded(model: &Model, before: bool) -> Option<Command> {
    (before && model.evaluate.prompts.is_none()).then_some(Command::Unload { slot: SLOT })
}

fn new(model: &mut Model) -> Vec<Command> {
    let usual = || {
        let run = model.watched.as_ref().map(|w| w.run.path().to_string_lossy().into_owned());
        EvaluationSettings { model: run, ..EvaluationSettings::default() }
    };
    let form = Form::new(&model.evaluate.draft.clone().unwrap_or_else(usual));
    model.popups.push(Popup::Evaluate(Own::Form(form)));
    let mut commands = vec![Command::ListModels { root: model.root.clone() }];
    commands.extend(changed(model));
    commands
}

/// The form says something else now: looks at what it names.
fn changed(model: &mut Model) -> Vec<Command> {
    let root = model.root.clone();
    let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) else { return Vec::new() };
    form.generation += 1;
    form.seen = None;
    form.start = false;
    match form.read() {
        Ok(settings) => {
            vec![Command::Evaluate(Effect::Check { root, generation: form.generation, settings })]
        }
        Err(_) => Vec::new(),
    }
}

/// Starts what the form says, when nothing is wrong with it.
fn start(model: &mut Model) -> Vec<Command> {
    let root = model.root.clone();
    let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) else { return Vec::new() };
    let lines = form.lines();
    // The first line that is wrong is shown.
    if let Some(at) = lines.iter().position(|(_, s)| form.problem(s).is_some()) {
        form.selected = at;
        form.start = false;
        return Vec::new();
    }
    let (Some(_), Ok(settings)) = (&form.seen, form.read()) else {
        form.start = true;
        return Vec::new();
    };
    model.popups.retain(|p| !matches!(p, Popup::Evaluate(Own::Form(_))));
    model.evaluate.draft = Some(settings.clone());
    model.evaluate.pane = Pane::Queue;
    model.evaluate.item = model.evaluate.entries.len();
    vec![Command::Evaluate(Effect::Add { root, settings })]
}

/// A model was chosen for the form.
pub fn choose_model(model: &mut Model, name: &str) -> Vec<Command> {
    if let Some(Popup::Evaluate(Own::Form(form))) = form_of(model) {
        form.put("model", name);
    }
    changed(model)
}

/// Keys of the tab's popups but Enter and Esc.
pub fn popup_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let page = model.regions.popup_rows.max(1);
    let root = model.root.clone();
    let Some(Popup::Evaluate(popup)) = model.popups.last_mut() else { return Vec::new() };
    match popup {
        Own::Export { input } => type_into(input, key),
        Own::Log { id, lines, scroll } => {
            let last = lines.len().saturating_sub(page);
            let here = (*scroll).min(last);
            *scroll = match key.code {
                KeyCode::Up | KeyCode::Char('k') => here.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => here + 1,
                KeyCode::PageUp => here.saturating_sub(page),
                KeyCode::PageDown | KeyCode::Char(' ') => here + page,
                KeyCode::Home => 0,
                KeyCode::End => usize::MAX / 2,
                KeyCode::Char('r') => return vec![Command::Evaluate(Effect::Log { root, id: *id })],
                _ => here,
            };
            if key.code == KeyCode::Char('q') {
                model.popups.pop();
            }
        }
        Own::Form(_) => return form_key(model, key).unwrap_or_default(),
    }
    Vec::new()
}

fn form_key(model: &mut Model, key: &KeyEvent) -> Option<Vec<Command>> {
    let Some(Popup::Evaluate(Own::Form(form))) = model.popups.last_mut() else { return None };
    let last = form.lines().len().saturating_sub(1);
    let (at, setting) = form.chosen()?;
    let words = Form::words(setting);
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Up | KeyCode::BackTab => form.selected = form.selected.min(last).saturating_sub(1),
        KeyCode::Down | KeyCode::Tab => form.selected = (form.selected + 1).min(last),
        KeyCode::Char('o') if !plain => {
            model.popups.push(Popup::Models { slot: SLOT, input: Input::default(), selected: 0 });
            return Some(vec![Command::ListModels { root: model.root.clone() }]);
        }
        KeyCode::Left | KeyCode::Right if !words.is_empty() => {
            form.turn(key.code == KeyCode::Right);
            return Some(changed(model));
        }
        KeyCode::Char(c) if !words.is_empty() && plain => {
            if c == ' ' {
                form.turn(true);
            } else if let Some(word) = words.iter().find(|w| w.starts_with(c)) {
                // The first letter of a word chooses it.
                form.put(setting.name, word);
            }
            return Some(changed(model));
        }
        _ if words.is_empty() => {
            let input = form.inputs.get_mut(at)?;
            let before = input.value().to_owned();
            type_into(input, key);
            if input.value() != before {
                return Some(changed(model));
            }
        }
        _ => {}
    }
    Some(Vec::new())
}

/// Enter in one of the tab's popups, which was taken off.
pub fn accept(model: &mut Model, popup: Own) -> Vec<Command> {
    match popup {
        Own::Form(form) => {
            model.popups.push(Popup::Evaluate(Own::Form(form)));
            start(model)
        }
        Own::Log { .. } => Vec::new(),
        Own::Export { input } => {
            let text = input.value().trim().to_owned();
            if text.is_empty() {
                model.popups.push(Popup::Evaluate(Own::Export { input }));
                return Vec::new();
            }
            let outcomes = model.evaluate.outcomes.clone();
            vec![Command::Evaluate(Effect::Export { outcomes, file: PathBuf::from(text) })]
        }
    }
}

fn on_result(model: &mut Model, action: Action) -> Vec<Command> {
    let page = model.regions.rows;
    let Some(view) = &mut model.evaluate.view else { return Vec::new() };
    let part = view.part;
    match action {
        Action::Left | Action::Right => next_pane(model, action == Action::Right),
        Action::SortResults => {
            view.by_name = !view.by_name;
            view.sort();
            view.selected[Part::Classes as usize] = 0;
        }
        Action::EditPrompts | Action::Enter => return edit_prompts(model),
        _ => {
            let at = moved(view.chosen(part), action, view.rows(part), page);
            if let Some(selected) = view.selected.get_mut(part as usize) {
                *selected = at;
            }
        }
    }
    Vec::new()
}

fn edit_prompts(model: &mut Model) -> Vec<Command> {
    let Some(view) = &model.evaluate.view else { return Vec::new() };
    let Some(class) = view.class() else { return warn(model, "there is no class here") };
    if view.opened.templates.is_empty() {
        let data = view.opened.outcome.data.clone();
        return warn(model, format!("the templates are gone: {data} cannot be read any more"));
    }
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

fn on_prompts(model: &mut Model, action: Action) -> Vec<Command> {
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

/// Text that was pasted into a template.
pub fn typed_line(model: &mut Model) -> Option<&mut Input> {
    let prompts = model.evaluate.prompts.as_mut()?;
    prompts.stale = true;
    prompts.typing.as_mut()
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

/// Asks for the picture that belongs on the screen, unless it is there or on its way.
pub fn want_picture(model: &mut Model) -> Option<Command> {
    let area = model.regions.picture.filter(|_| model.page == Page::Evaluate)?;
    let view = model.evaluate.view.as_mut()?;
    let path = view.picture()?.picture.clone();
    let folder = RunDir::at(&view.opened.outcome.data);
    let wanted = picture::Wanted::new(&path.to_string_lossy(), &folder, area, &model.pictures)?;
    if view.wanted.as_ref() == Some(&wanted) {
        return None;
    }
    view.wanted = Some(wanted.clone());
    Some(Command::LoadPicture(wanted))
}

/// Takes a picture that was asked for here; gives it back when it was not.
pub fn on_picture(model: &mut Model, loaded: picture::Loaded) -> Option<picture::Loaded> {
    match &mut model.evaluate.view {
        Some(view) if view.wanted.as_ref() == Some(loaded.wanted()) => {
            view.shown = Some(loaded);
            None
        }
        _ => Some(loaded),
    }
}
