//! What each action does.

use super::{ask, domain, list_runs, watch};
use crate::tui::action::Action;
use crate::tui::chart::Chart;
use crate::tui::devices::Focus;
use crate::tui::message::{Command, RestartPlan};
use crate::tui::model::{Model, Page, Pane};
use crate::tui::notes::Kind;
use crate::tui::popup::{Edit, Popup};
use crate::tui::settings_form::now;
use crate::tui::tabs;
use run::control::Request;
use run::events::State;
use run::history::Status;
use run::settings::{Applies, Settings};
use tui_input::Input;

/// Carries out an action.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    if let Some(why) = forbidden(model, action) {
        model.notes.add(model.now, Kind::Warning, why);
        return Vec::new();
    }
    let others = [super::looks::act, super::charts::act, super::runs::act];
    if let Some(commands) = others.into_iter().find_map(|act| act(model, action)) {
        return commands;
    }
    match action {
        Action::OpenRunTab => open(model, Page::Run),
        Action::OpenDevicesTab => open(model, Page::Devices),
        Action::OpenSettingsTab => model.page = Page::Settings,
        Action::Options => {
            model.page = Page::Settings;
            model.form.show_options(model.watched.as_ref().and_then(|w| w.settings()).as_ref());
        }
        Action::OpenCaptionTab => return super::captions::open(model),
        Action::OpenDataTab => return super::datasets::open(model),
        Action::OpenEvaluateTab => return super::evaluate::open(model),
        Action::OpenRuns => {
            model.page = Page::Runs;
            select_watched(model);
            return list_runs(model);
        }
        Action::NextTab | Action::PreviousTab => {
            let n = Page::TABS.len();
            let here = Page::TABS.iter().position(|p| *p == model.page).unwrap_or(0);
            let next = if action == Action::NextTab { here + 1 } else { here + n - 1 };
            match Page::TABS.get(next % n) {
                Some(Page::Caption) => return super::captions::open(model),
                Some(Page::Data) => return super::datasets::open(model),
                Some(Page::Evaluate) => return super::evaluate::open(model),
                Some(page) => open(model, *page),
                None => {}
            }
        }
        Action::NextPane => next_pane(model, true),
        Action::PreviousPane => next_pane(model, false),
        Action::Help => model.popups.push(Popup::Help { scroll: 0 }),
        Action::Palette => model.popups.push(Popup::Palette { input: Input::default(), selected: 0 }),
        Action::Notices => model.popups.push(Popup::Notices { scroll: 0 }),
        Action::Dismiss => model.notes.dismiss(),
        Action::Back if model.page == Page::Data && super::datasets::back(model) => {
            return super::datasets::list_anew(model);
        }
        Action::Back => back(model),
        Action::Quit | Action::Leave => model.quit = true,
        Action::Suspend => return vec![Command::Suspend],
        Action::Redraw => return vec![Command::Redraw],
        Action::Stop => {
            if model.watched.as_ref().is_some_and(|w| w.is_alive()) {
                model.popups.push(Popup::Stop { selected: 0 });
            } else {
                // Says that there is nothing to stop.
                return ask(model, Request::Stop { now: false }, "stop");
            }
        }
        Action::PauseResume => {
            let paused = model
                .watched
                .as_ref()
                .is_some_and(|w| matches!(w.status, Some(Status::Alive(State::Paused))));
            return if paused {
                ask(model, Request::Resume, "resume")
            } else {
                ask(model, Request::Pause, "pause")
            };
        }
        Action::Save => return ask(model, Request::Save, "save checkpoint"),
        _ => return act_on_page(model, action),
    }
    Vec::new()
}

/// Why an action must not be carried out now, if so.
fn forbidden(model: &Model, action: Action) -> Option<&'static str> {
    let changes = matches!(
        action,
        Action::Stop
            | Action::PauseResume
            | Action::Save
            | Action::Apply
            | Action::Restart
            | Action::NewRun
            | Action::Delete
            | Action::Archive
            | Action::Tag
            | Action::Annotate
            | Action::NewEvaluation
            | Action::CancelEvaluation
    ) && !(action == Action::CancelEvaluation && model.evaluate.prompts.is_some());
    (model.read_only && changes).then_some("read-only: this workbench was opened to look, not to change")
}

fn act_on_page(model: &mut Model, action: Action) -> Vec<Command> {
    match (model.page, model.pane) {
        (Page::Runs, _) => return on_runs(model, action),
        (Page::Run, Pane::Charts) => on_charts(model, action),
        (Page::Run, Pane::Samples) => on_samples(model, action),
        (Page::Run, Pane::Log) => super::log::act(model, action),
        (Page::Devices, _) => {
            let (page, count) = (model.regions.rows, model.regions.total_rows);
            let devices = &mut model.devices;
            match (action, devices.focus) {
                (Action::Search, _) => (devices.focus, devices.filtering) = (Focus::Tensors, true),
                (_, Focus::Mesh) => devices.rank = moved(devices.rank, action, count, page),
                (_, Focus::Tensors) => devices.tensor = moved(devices.tensor, action, count, page),
            }
        }
        (Page::Settings, _) => return on_settings(model, action),
        (Page::Caption, _) => return super::captions::act(model, action),
        (Page::Data, _) => return super::datasets::act(model, action),
        (Page::Evaluate, _) => return super::evaluate::act(model, action),
    }
    Vec::new()
}

fn open(model: &mut Model, page: Page) {
    if model.watched.is_some() {
        model.page = page;
    }
}

fn select_watched(model: &mut Model) {
    let Some(watched) = &model.watched else { return };
    if let Some(i) = model.runs.visible().iter().position(|r| r.run == watched.run) {
        model.runs.selected = i;
    }
}

fn next_pane(model: &mut Model, forward: bool) {
    if model.page == Page::Evaluate {
        return super::evaluate::next_pane(model, forward);
    }
    if model.page == Page::Devices {
        model.devices.focus = match model.devices.focus {
            Focus::Mesh => Focus::Tensors,
            Focus::Tensors => Focus::Mesh,
        };
    }
    if model.page != Page::Run {
        return;
    }
    model.pane = match (model.pane, forward) {
        (Pane::Charts, true) | (Pane::Log, false) => Pane::Samples,
        (Pane::Samples, true) | (Pane::Charts, false) => Pane::Log,
        (Pane::Log, true) | (Pane::Samples, false) => Pane::Charts,
    };
}

/// One level up: the crosshair, the enlarged pane, the search, then the tab.
fn back(model: &mut Model) {
    if model.page == Page::Evaluate && super::evaluate::back(model) {
        return;
    }
    if model.page == Page::Run && model.pane == Pane::Log && super::log::back(model) {
        return;
    }
    match model.page {
        Page::Run if model.pane == Pane::Charts && model.charts.view.clear_crosshair() => {}
        Page::Run if model.pane == Pane::Charts && !model.charts.filter.value().is_empty() => {
            model.charts.filter.reset();
        }
        Page::Runs if !model.runs.filter.value().is_empty() => model.runs.filter.reset(),
        Page::Run if model.maximised => model.maximised = false,
        Page::Run if model.pane != Pane::Charts => model.pane = Pane::Charts,
        Page::Settings if !model.form.search.value().is_empty() => {
            model.form.search.reset();
            model.form.selected = 0;
        }
        Page::Devices if !model.devices.filter.value().is_empty() => model.devices.filter.reset(),
        Page::Caption if !model.captions.filter.value().is_empty() => model.captions.filter.reset(),
        page if page.stands_alone() && page != Page::Runs && model.watched.is_none() => {
            model.page = Page::Runs;
        }
        Page::Settings | Page::Devices | Page::Caption | Page::Evaluate | Page::Data => {
            model.page = Page::Run;
        }
        Page::Runs if model.watched.is_some() => model.page = Page::Run,
        Page::Run | Page::Runs => {}
    }
}

/// Where a selection among `count` goes, `page` rows being visible.
pub(super) fn moved(selected: usize, action: Action, count: usize, page: usize) -> usize {
    let last = count.saturating_sub(1);
    let page = page.saturating_sub(1).max(1);
    let to = match action {
        Action::Up => selected.min(last).saturating_sub(1),
        Action::Down => selected + 1,
        Action::PageUp => selected.min(last).saturating_sub(page),
        Action::PageDown => selected + page,
        Action::First => 0,
        Action::Last => last,
        _ => selected,
    };
    to.min(last)
}

fn on_runs(model: &mut Model, action: Action) -> Vec<Command> {
    let count = model.runs.visible().len();
    model.runs.selected = moved(model.runs.selected, action, count, model.regions.rows);
    if action == Action::Enter
        && let Some(row) = model.runs.chosen()
    {
        let run = row.run.clone();
        if model.watched.as_ref().is_some_and(|w| w.run == run) {
            model.page = Page::Run;
            return Vec::new();
        }
        return watch(model, run);
    }
    Vec::new()
}

fn on_charts(model: &mut Model, action: Action) {
    let specs: Vec<String> = tabs::run::specs(model).into_iter().map(|s| s.name).collect();
    let (domain, last) = (domain(model), specs.len().saturating_sub(1));
    let columns = model.regions.chart_columns.max(1);
    let page = model.regions.charts_per_page.max(1);
    let column = model.regions.chart(model.charts.selected).map_or(0.02, Chart::column);
    let charts = &mut model.charts;
    let crosshair = charts.view.crosshair().is_some();
    charts.selected = charts.selected.min(last);
    match action {
        Action::Left if crosshair => charts.view.move_crosshair(-column, domain),
        Action::Right if crosshair => charts.view.move_crosshair(column, domain),
        Action::Left => charts.selected = charts.selected.saturating_sub(1),
        Action::Right => charts.selected = (charts.selected + 1).min(last),
        Action::Up => charts.selected = charts.selected.checked_sub(columns).unwrap_or(charts.selected),
        Action::Down if charts.selected + columns <= last => charts.selected += columns,
        Action::PageUp => charts.selected = charts.selected.saturating_sub(page),
        Action::PageDown => charts.selected = (charts.selected + page).min(last),
        Action::First => charts.selected = 0,
        Action::Last => charts.selected = last,
        Action::Enter => model.maximised = !model.maximised,
        Action::ZoomIn => charts.view.zoom_at(1.0, 0.8, domain),
        Action::ZoomOut => charts.view.zoom_at(1.0, 1.25, domain),
        Action::PanLeft => charts.view.pan(-0.2, domain),
        Action::PanRight => charts.view.pan(0.2, domain),
        Action::FitAll => charts.view.reset(),
        Action::Live if charts.view.is_frozen() => charts.view.follow(),
        Action::Live => charts.view.freeze(domain),
        Action::Smoothing => charts.view.cycle_smoothing(),
        Action::Axis => charts.view.cycle_axis(),
        Action::Outliers => charts.view.toggle_robust(),
        Action::LogScale => {
            if let Some(name) = specs.get(charts.selected)
                && !charts.log.remove(name)
            {
                charts.log.insert(name.clone());
            }
        }
        Action::Crosshair if charts.view.clear_crosshair() => {}
        Action::Crosshair => charts.view.move_crosshair(0.0, domain),
        _ => {}
    }
}

fn on_samples(model: &mut Model, action: Action) {
    let Some(watched) = &model.watched else { return };
    let (steps, indices) = tabs::run::sample_axes(&watched.history);
    let samples = &mut model.samples;
    let at = match samples.step {
        Some(step) => steps.partition_point(|s| *s <= step).saturating_sub(1),
        None => steps.len().saturating_sub(1),
    };
    let hold = |i: usize| if i + 1 >= steps.len() { None } else { steps.get(i).copied() };
    let picture = indices.iter().position(|i| *i == samples.index).unwrap_or(0);
    match action {
        Action::Left => samples.step = hold(at.saturating_sub(1)),
        Action::Right => samples.step = hold(at + 1),
        Action::First => samples.step = hold(0),
        Action::Last => samples.step = None,
        Action::Up | Action::Down => {
            let to = moved(picture, action, indices.len(), 1);
            samples.index = indices.get(to).copied().unwrap_or(samples.index);
        }
        Action::Enter => model.maximised = !model.maximised,
        _ => {}
    }
    // The charts show the values of the step whose captions are held.
    match samples.step {
        Some(step) => model.charts.view.set_crosshair_step(step),
        None => drop(model.charts.view.clear_crosshair()),
    }
}

fn on_settings(model: &mut Model, action: Action) -> Vec<Command> {
    let current = model.watched.as_ref().and_then(|w| w.settings());
    let visible = model.form.visible(current.as_ref()).len();
    model.form.selected = moved(model.form.selected, action, visible, model.regions.rows);
    match action {
        Action::Enter => {
            if let Some(setting) = model.form.chosen(current.as_ref()) {
                let value = now(model, current.as_ref(), setting);
                let edit = Edit::new(setting, value, model.form.edits.get(setting.name));
                model.popups.push(Popup::Edit(edit));
            }
            return Vec::new();
        }
        Action::Search => model.form.searching = true,
        Action::OnlyEdited => {
            model.form.only_set = !model.form.only_set;
            model.form.selected = 0;
        }
        Action::RevertOne => {
            if let Some(setting) = model.form.chosen(current.as_ref()) {
                model.form.edits.remove(setting.name);
            }
        }
        Action::RevertAll => model.form.edits.clear(),
        _ => {}
    }
    // The rest is about a run.
    let Some(current) = current else { return Vec::new() };
    match action {
        Action::Apply => apply(model, &current),
        Action::Restart => restart(model, &current),
        Action::NewRun => match model.form.edited(&current) {
            Ok(mut settings) => {
                settings.name = None;
                let name = model.watched.as_ref().map_or_else(String::new, |w| next_name(&w.run.name()));
                model.popups.push(Popup::NewRun { input: Input::new(name), settings: Box::new(settings) });
            }
            Err(e) => model.notes.add(model.now, Kind::Error, e.to_string()),
        },
        _ => {}
    }
    Vec::new()
}

/// `demo` is followed by `demo-2`, `demo-2` by `demo-3`.
fn next_name(name: &str) -> String {
    match name.rsplit_once('-').and_then(|(stem, n)| Some((stem, n.parse::<u32>().ok()?.checked_add(1)?))) {
        Some((stem, next)) => format!("{stem}-{next}"),
        None => format!("{name}-2"),
    }
}

fn apply(model: &mut Model, current: &Settings) {
    let changes = model.form.edits_of(Applies::Live);
    let problem = if !model.watched.as_ref().is_some_and(|w| w.is_alive()) {
        Some("the run is not alive: R goes on from its last checkpoint with the edits".to_owned())
    } else if changes.is_empty() && model.form.edits.is_empty() {
        Some("there is no edit yet: Enter edits the chosen setting".to_owned())
    } else if changes.is_empty() {
        Some("no edit applies at once: R restarts with them, n starts a new run".to_owned())
    } else {
        current.clone().apply_live(&changes).err().map(|e| e.to_string())
    };
    match problem {
        Some(text) => model.notes.add(model.now, Kind::Warning, text),
        None => model.popups.push(Popup::Apply { changes }),
    }
}

fn restart(model: &mut Model, current: &Settings) {
    let Some(watched) = &model.watched else { return };
    let plan = RestartPlan {
        run: watched.run.clone(),
        alive: watched.is_alive(),
        live: model.form.edits_of(Applies::Live),
        restart: model.form.edits_of(Applies::Restart),
    };
    let never = model.form.edits_of(Applies::Never);
    let problem = if let Some(name) = never.keys().next() {
        Some(format!("{name} takes a new run: n starts one, u takes the edit back"))
    } else {
        model.form.edited(current).err().map(|e| e.to_string())
    };
    match problem {
        Some(text) => model.notes.add(model.now, Kind::Warning, text),
        None => model.popups.push(Popup::Restart { plan }),
    }
}
