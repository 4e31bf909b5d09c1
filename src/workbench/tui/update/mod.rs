//! Folds messages into the model and names the effects that follow. Pure: no I/O, no clock.

mod actions;
mod captions;
mod charts;
mod compare;
pub mod datasets;
mod evaluate;
mod log;
mod looks;
mod mouse;
mod news;
mod part;
mod popups;
mod runs;
#[cfg(test)]
mod tests;
mod typed_path;
mod typing;

use super::action::{self, Action, Meaning};
use super::message::{Command, Msg};
use super::model::{Model, Page, Watched};
use super::notes::Kind;
pub use compare::differences;

use super::{chart, picture};
use crossterm::event::{Event, KeyEvent, KeyEventKind};
use run::control::Request;
use run::dir::RunDir;
use tui_input::backend::crossterm::to_input_request;
pub use typing::Line;

/// Seconds between two listings while the runs list is on the screen.
const LIST_SECONDS: f64 = 2.0;

/// The first effects: watch the run that was named, else list the runs and open the newest live one.
pub fn start(model: &mut Model, run: Option<RunDir>) -> Vec<Command> {
    match run {
        Some(run) => watch(model, run),
        None => {
            model.pick_newest = true;
            list_runs(model)
        }
    }
}

/// Takes in a message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Command> {
    let prompts = model.evaluate.prompts.is_some();
    let mut commands = match msg {
        Msg::Key(key) => on_key(model, &key),
        Msg::Paste(text) => paste(model, &text),
        Msg::Mouse(event) => mouse::on_mouse(model, event),
        Msg::Focus(here) => {
            model.away = !here;
            Vec::new()
        }
        Msg::Resize => {
            // The terminal may have forgotten them.
            model.pictures = model.pictures.renewed();
            Vec::new()
        }
        Msg::Pictures { ability, complaint } => {
            model.pictures = *ability;
            if let Some(complaint) = complaint {
                model.notes.add(model.now, Kind::Warning, complaint);
            }
            Vec::new()
        }
        Msg::Tick => on_tick(model),
        Msg::Forecast { number, result } => {
            model.what_if.answered(number, result);
            Vec::new()
        }
        Msg::Runs { generation, runs } => news::on_runs(model, generation, runs),
        Msg::Watch { generation, news } if generation == model.generation => news::on_news(model, news),
        Msg::Watch { generation, news } => compare::on_news(model, generation, news),
        Msg::Part { generation, part } => {
            part::on_part(model, generation, part);
            Vec::new()
        }
        Msg::Answered { id, result } => news::on_answer(model, id, result),
        Msg::JobProgress { id, text } => {
            if let Some(job) = model.pending.iter_mut().find(|p| p.id == id) {
                job.what = text;
            }
            Vec::new()
        }
        Msg::JobDone { id, result } => news::on_job_done(model, id, result),
        Msg::Picture(loaded) => {
            let loaded = evaluate::on_picture(model, loaded);
            if let Some(loaded) = loaded.and_then(|loaded| captions::on_picture(model, loaded))
                && let Some(loaded) = datasets::on_picture(model, loaded)
                && model.samples.wanted.as_ref() == Some(loaded.wanted())
            {
                model.samples.shown = Some(loaded);
            }
            Vec::new()
        }
        Msg::Folder { generation, folder } => {
            captions::on_folder(model, generation, folder);
            Vec::new()
        }
        Msg::Models(choices) => {
            model.captions.choices = choices;
            Vec::new()
        }
        Msg::Engine { slot: super::evaluate::SLOT, generation, id, reply } => {
            evaluate::on_reply(model, generation, id, reply)
        }
        Msg::Evaluate(news) => evaluate::on_news(model, news),
        Msg::Engine { slot, generation, id, reply } => {
            captions::on_reply(model, slot, generation, id, reply);
            Vec::new()
        }
        Msg::DataOpened { generation, result } => datasets::on_opened(model, generation, result),
        Msg::DataChanged { generation } => datasets::on_changed(model, generation),
        Msg::DataListed { number, whole, result } => {
            datasets::on_listed(model, number, whole, result);
            Vec::new()
        }
        Msg::DataEntry(detail) => {
            datasets::on_entry(model, *detail);
            Vec::new()
        }
        Msg::DataCheck { number, news } => datasets::on_check(model, number, news),
        Msg::Kept(result) | Msg::DataExported(result) => {
            let (kind, text) = result.map_or_else(|e| (Kind::Error, e), |text| (Kind::Good, text));
            model.notes.add(model.now, kind, text);
            Vec::new()
        }
    };
    commands.extend(wanted(model));
    commands.extend(evaluate::unneeded(model, prompts));
    commands
}

/// Asks for what belongs on the screen as it was drawn last and is neither there nor on its way: pictures, an entry. The
/// first frame of a pane tells how large its picture is, so it is asked after each frame too.
pub fn wanted(model: &mut Model) -> Vec<Command> {
    let mut commands = Vec::new();
    commands.extend(super::what_if::wanted(model));
    commands.extend(part::wanted(model));
    commands.extend(want_picture(model));
    commands.extend(captions::want_pictures(model));
    commands.extend(datasets::want(model));
    commands.extend(evaluate::want_picture(model));
    commands
}

fn on_tick(model: &mut Model) -> Vec<Command> {
    model.notes.expire(model.now);
    if let Some(watched) = &mut model.watched {
        let running =
            matches!(watched.status, Some(run::history::Status::Alive(run::events::State::Running)));
        watched.alerts.clock(model.now, running && watched.loading.is_none());
        news::tell_alerts(&mut model.notes, watched);
    }
    let due = model.now - model.runs.listed >= LIST_SECONDS && !model.runs.listing;
    if model.page == Page::Runs && due { list_runs(model) } else { evaluate::on_tick(model) }
}

fn on_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let prefix = model.prefix.take();
    let anywhere = action::dispatch(key, None, &[action::Place::Anywhere]);
    if let Some(Meaning::Act(action @ (Action::Leave | Action::Suspend | Action::Redraw))) = anywhere {
        return actions::act(model, action);
    }
    if !model.popups.is_empty() {
        return popups::on_key(model, key);
    }
    if let Some(line) = Line::of(model) {
        return line.on_key(model, key);
    }
    if model.evaluate.is_typing() && model.page == Page::Evaluate {
        return evaluate::typing_key(model, key);
    }
    match action::dispatch(key, prefix, &model.places()) {
        Some(Meaning::Act(action)) => actions::act(model, action),
        Some(Meaning::Prefix(first)) => {
            model.prefix = Some(first);
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// Chooses the first setting whose name, not only its description, has what is searched for.
fn choose_named(model: &mut Model) {
    let current = model.watched.as_ref().and_then(|w| w.settings());
    let wanted = model.form.search.value().trim().to_lowercase().replace([' ', '-'], "_");
    let visible = model.form.visible(current.as_ref());
    model.form.selected = visible.iter().position(|s| s.name.contains(&wanted)).unwrap_or(0);
}

/// Gives a key to a line of text.
fn type_into(input: &mut tui_input::Input, key: &KeyEvent) {
    if let Some(request) = to_input_request(&Event::Key(*key)) {
        input.handle(request);
    }
}

fn paste(model: &mut Model, text: &str) -> Vec<Command> {
    let typed: String = text.chars().filter(|c| !c.is_control()).take(4096).collect();
    let path = text.lines().next().unwrap_or_default();
    if let Some(popup) = model.popups.last_mut() {
        if let Some(input) = popups::input_of(popup) {
            typing::put(input, &typed);
        }
        return Vec::new();
    }
    match (Line::of(model), model.page) {
        (Some(line), _) => line.paste(model, &typed),
        (None, Page::Data) => datasets::go_to(model, path),
        (None, Page::Caption) => captions::go_to(model, path),
        (None, Page::Evaluate) => evaluate::paste(model, &typed),
        _ => Vec::new(),
    }
}

/// Starts to watch a run.
fn watch(model: &mut Model, run: RunDir) -> Vec<Command> {
    model.generation += 1;
    model.pick_newest = false;
    model.page = Page::Run;
    if model.watched.as_ref().is_none_or(|w| w.run != run) {
        model.charts = super::model::Charts::default();
        model.samples = super::model::Samples::default();
        model.log = super::model::Log::default();
        model.form = super::settings_form::SettingsForm::default();
        model.devices = super::devices::Devices::default();
        model.maximised = false;
    }
    // A run on the charts once is enough.
    let twice = model.others.iter().position(|o| o.watched.run == run);
    let mut commands = twice.map_or_else(Vec::new, |at| compare::remove(model, at));
    model.watched = Some(Watched::new(run.clone()));
    commands.push(Command::Watch { generation: model.generation, run });
    commands
}

fn list_runs(model: &mut Model) -> Vec<Command> {
    model.runs.listing = true;
    let root = model.opened.is_empty().then(|| model.root.clone());
    vec![Command::ListRuns { root, opened: model.opened.clone(), generation: model.generation }]
}

/// Sends a request to the watched run.
fn ask(model: &mut Model, request: Request, what: &str) -> Vec<Command> {
    let Some(watched) = &model.watched else { return Vec::new() };
    if watched.is_foreign() {
        let text = "another program writes this run: it can be watched, not steered";
        model.notes.add(model.now, Kind::Warning, text);
        return Vec::new();
    }
    if !watched.is_alive() {
        let name = watched.run.name();
        let text = format!("{name} is not alive; go on with it: cocaptain train --resume {name}");
        model.notes.add(model.now, Kind::Warning, text);
        return Vec::new();
    }
    let run = watched.run.clone();
    let id = begin(model, what, Some(request.clone()));
    vec![Command::Ask { id, run, request }]
}

/// Notes something that will be answered later.
fn begin(model: &mut Model, what: &str, request: Option<Request>) -> u64 {
    model.last_id += 1;
    let pending =
        super::model::Pending { id: model.last_id, what: what.to_owned(), since: model.now, request };
    model.pending.push(pending);
    model.last_id
}

/// Asks for the picture that belongs on the screen, unless it is there or on its way.
fn want_picture(model: &mut Model) -> Option<Command> {
    let area = model.regions.picture.filter(|_| model.page == Page::Run)?;
    let watched = model.watched.as_ref()?;
    let sample = super::tabs::run::chosen_sample(&watched.history, &model.samples)?;
    let wanted = picture::Wanted::new(&sample.image, &watched.run, area, &model.pictures)?;
    if model.samples.wanted.as_ref() == Some(&wanted) {
        return None;
    }
    model.samples.wanted = Some(wanted.clone());
    Some(Command::LoadPicture(wanted))
}

/// The domain that all charts of the run tab share.
fn domain(model: &Model) -> chart::Domain {
    super::tabs::run::domain(model)
}
