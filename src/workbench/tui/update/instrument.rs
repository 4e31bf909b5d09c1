//! The instrument's keys, popups and actions.

use super::{actions, compare, domain, list_runs, type_into, watch};
use crate::tui::action::Action;
use crate::tui::instrument::{Effect, Export, Popup as Own};
use crate::tui::layout::Border;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::popup::Popup;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::dir::RunDir;
use tui_input::Input;

/// Percent by which a key moves a border.
const NUDGE: i16 = 4;

/// The line that is typed on the page, when one is.
pub fn typed(model: &mut Model) -> Option<&mut Input> {
    match model.page {
        Page::Run if model.charts.filtering => Some(&mut model.charts.filter),
        Page::Runs if model.runs.filtering => Some(&mut model.runs.filter),
        _ => None,
    }
}

/// Takes a key for that line; none when none is typed.
pub fn typing_key(model: &mut Model, key: &KeyEvent) -> Option<Vec<Command>> {
    let input = typed(model)?;
    let done = match key.code {
        KeyCode::Enter => true,
        KeyCode::Esc => {
            input.reset();
            true
        }
        KeyCode::Up | KeyCode::Down => true,
        _ => {
            type_into(input, key);
            false
        }
    };
    if done {
        model.charts.filtering = false;
        model.runs.filtering = false;
    } else {
        model.charts.selected = 0;
        model.runs.selected = 0;
    }
    Some(match key.code {
        KeyCode::Up => actions::act(model, Action::Up),
        KeyCode::Down => actions::act(model, Action::Down),
        _ => Vec::new(),
    })
}

/// Why an action must not be carried out now, if so.
pub fn forbidden(model: &Model, action: Action) -> Option<&'static str> {
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

/// Carries out an action of the instrument; none when it is another's.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    let popup = |model: &mut Model, popup: Own| model.popups.push(Popup::Instrument(popup));
    match (action, model.page) {
        (Action::Theme, _) => {
            model.theme.looks = model.theme.looks.next();
            let text = format!("colours: {}; theme in workbench.toml keeps them", model.theme.looks.name());
            model.notes.add(model.now, Kind::Info, text);
        }
        (Action::Mouse, _) => {
            model.mouse = !model.mouse;
            let text = if model.mouse { "the mouse is listened to" } else { "the mouse is the terminal's" };
            model.notes.add(model.now, Kind::Info, text);
            return Some(vec![Command::Instrument(Effect::Mouse(model.mouse))]);
        }
        (Action::Taller, Page::Run) => return Some(nudge(model, Border::Below, NUDGE)),
        (Action::Shorter, Page::Run) => return Some(nudge(model, Border::Below, -NUDGE)),
        (Action::Wider, Page::Run) => return Some(nudge(model, Border::Between, NUDGE)),
        (Action::Narrower, Page::Run) => return Some(nudge(model, Border::Between, -NUDGE)),
        (Action::ResetPanes, _) => {
            model.layout = crate::tui::layout::Layout::default();
            return Some(keep_layout(model));
        }
        (Action::Compared, _) => popup(model, Own::Compared { selected: 0 }),
        (Action::Differences, _) => popup(model, Own::Differences { scroll: 0 }),
        (Action::LogX, _) => model.charts.view.toggle_log_x(),
        (Action::Search, Page::Run) => model.charts.filtering = true,
        (Action::Search, Page::Runs) => model.runs.filtering = true,
        (Action::NextAlert, Page::Run) => to_alert(model, true),
        (Action::PreviousAlert, Page::Run) => to_alert(model, false),
        (Action::Export, Page::Run) => {
            let name = model.watched.as_ref().map_or_else(String::new, |w| w.run.name());
            popup(model, Own::Export { input: Input::new(format!("{name}.svg")) });
        }
        (Action::OpenFolder, _) => popup(model, Own::Open { input: Input::default() }),
        (Action::SortRuns, Page::Runs) => {
            model.runs.order = model.runs.order.word().1;
            model.runs.selected = 0;
        }
        (Action::Overlay | Action::Tag | Action::Annotate | Action::Archive | Action::Delete, Page::Runs) => {
            return Some(on_run(model, action));
        }
        _ => return None,
    }
    Some(Vec::new())
}

fn on_run(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(row) = model.runs.chosen().cloned() else { return Vec::new() };
    let popup = match action {
        Action::Overlay => {
            if model.watched.is_none() {
                let text = "watch a run first (Enter); then Space lays others over it";
                model.notes.add(model.now, Kind::Info, text);
                return Vec::new();
            }
            return compare::toggle(model, &row.run, row.label);
        }
        Action::Tag => Own::Tags { run: row.run, input: Input::new(row.labels.tags.join(" ")) },
        Action::Annotate => Own::Note { run: row.run, input: Input::new(row.labels.note) },
        Action::Archive => {
            let archived = !row.labels.archived;
            let text = if archived {
                "is put away; `archived` in the filter finds it"
            } else {
                "is in the list again"
            };
            model.notes.add(model.now, Kind::Info, format!("{} {text}", row.label));
            return label(model, &row.run, |labels| labels.archived = archived);
        }
        _ if row.status.is_alive() => {
            model.notes.add(model.now, Kind::Warning, format!("{} is alive: stop it first", row.label));
            return Vec::new();
        }
        _ if matches!(row.status, run::history::Status::Foreign { .. }) => {
            let text = format!("{} is another program's: its files are never touched", row.label);
            model.notes.add(model.now, Kind::Warning, text);
            return Vec::new();
        }
        _ => Own::Delete { run: row.run, label: row.label },
    };
    model.popups.push(Popup::Instrument(popup));
    Vec::new()
}

/// Changes what stands on a run, on the list at once and on the disk.
fn label(model: &mut Model, run: &RunDir, change: impl FnOnce(&mut crate::labels::Labels)) -> Vec<Command> {
    let Some(row) = model.runs.rows.iter_mut().flatten().find(|r| r.run == *run) else { return Vec::new() };
    change(&mut row.labels);
    vec![Command::Instrument(Effect::Label { run: run.clone(), labels: row.labels.clone() })]
}

fn nudge(model: &mut Model, border: Border, by: i16) -> Vec<Command> {
    // The tab is what header and footer leave; its height is that of the last frame.
    model.layout.nudge(border, by, model.regions.tab_height.max(8));
    keep_layout(model)
}

/// Keeps the layout for the next time.
pub fn keep_layout(model: &Model) -> Vec<Command> {
    vec![Command::Instrument(Effect::KeepLayout(model.layout))]
}

fn to_alert(model: &mut Model, forward: bool) {
    let domain = domain(model);
    let Some(watched) = &model.watched else { return };
    let here =
        model.charts.view.crosshair().filter(|_| model.charts.view.axis() != crate::tui::chart::Axis::Time);
    #[allow(clippy::cast_precision_loss)]
    let place = |step: u64| step as f64;
    let found = if forward {
        watched.alerts.all.iter().find(|a| here.is_none_or(|x| place(a.step) > x))
    } else {
        watched.alerts.all.iter().rev().find(|a| here.is_none_or(|x| place(a.step) < x))
    };
    let Some(alert) = found else {
        let text = if watched.alerts.all.is_empty() {
            "nothing stands out"
        } else {
            "nothing more stands out that way"
        };
        model.notes.add(model.now, Kind::Info, text);
        return;
    };
    let kind = if alert.error { Kind::Error } else { Kind::Warning };
    let (step, text) = (alert.step, alert.text.clone());
    model.charts.view.set_crosshair_step(step);
    model.charts.view.show(place(step), domain);
    model.notes.add(model.now, kind, text);
}

/// Takes a key for the topmost popup, which is one of the instrument's.
pub fn popup_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let page = model.regions.popup_rows.max(1);
    let last = model.others.len();
    let Some(Popup::Instrument(popup)) = model.popups.last_mut() else { return Vec::new() };
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    if let Some(input) = popup.input() {
        type_into(input, key);
        return Vec::new();
    }
    match popup {
        Own::Differences { scroll } => match key.code {
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(page),
            KeyCode::Char('q' | 'D') if plain => drop(model.popups.pop()),
            _ => {}
        },
        Own::Compared { selected } => match key.code {
            KeyCode::Up | KeyCode::Char('k') => *selected = selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *selected = (*selected + 1).min(last),
            KeyCode::Char(' ') => {
                if let Some(other) = selected.checked_sub(1).and_then(|i| model.others.get_mut(i)) {
                    other.hidden = !other.hidden;
                }
            }
            KeyCode::Char('x') if plain => {
                let at = selected.checked_sub(1);
                *selected = selected.saturating_sub(1);
                return at.map_or_else(Vec::new, |at| compare::remove(model, at));
            }
            KeyCode::Char('D') if plain => {
                model.popups.push(Popup::Instrument(Own::Differences { scroll: 0 }));
            }
            KeyCode::Char('q' | 'v') if plain => drop(model.popups.pop()),
            _ => {}
        },
        Own::Delete { .. } => match key.code {
            KeyCode::Char('y') if plain => {
                if let Some(Popup::Instrument(Own::Delete { run, .. })) = model.popups.pop() {
                    return delete(model, &run);
                }
            }
            KeyCode::Char('n' | 'q') if plain => drop(model.popups.pop()),
            _ => {}
        },
        _ => {}
    }
    Vec::new()
}

fn delete(model: &mut Model, run: &RunDir) -> Vec<Command> {
    let mut commands = Vec::new();
    if let Some(at) = model.others.iter().position(|o| o.watched.run == *run) {
        commands.extend(compare::remove(model, at));
    }
    if model.watched.as_ref().is_some_and(|w| w.run == *run) {
        model.watched = None;
        model.generation += 1;
    }
    if let Some(rows) = &mut model.runs.rows {
        rows.retain(|r| r.run != *run);
    }
    // The list is made anew once it is gone.
    model.runs.listed = model.now;
    commands.push(Command::Instrument(Effect::Delete { run: run.clone() }));
    commands
}

/// Enter in a popup of the instrument, which was taken off the screen.
pub fn accept(model: &mut Model, popup: Own) -> Vec<Command> {
    match popup {
        // Enter alone deletes nothing.
        Own::Delete { .. } => model.popups.push(Popup::Instrument(popup)),
        Own::Differences { .. } => {}
        Own::Compared { selected } => {
            let Some(other) = selected.checked_sub(1).and_then(|i| model.others.get(i)) else {
                return Vec::new();
            };
            let run = other.watched.run.clone();
            // The one that was watched stays on the charts.
            let before = model.watched.as_ref().map(|w| (w.run.clone(), model.label(&w.run)));
            let charts = std::mem::take(&mut model.charts);
            let mut commands = watch(model, run);
            model.charts = charts;
            if let Some((run, label)) = before {
                commands.extend(compare::toggle(model, &run, label));
            }
            return commands;
        }
        Own::Tags { run, input } => return label(model, &run, |labels| labels.set_tags(input.value())),
        Own::Note { run, input } => {
            let note = run::escape::line(input.value().trim()).into_owned();
            return label(model, &run, |labels| labels.note = note);
        }
        Own::Open { input } => {
            let path = input.value().trim();
            if path.is_empty() {
                return Vec::new();
            }
            let home = std::path::Path::new(path)
                .strip_prefix("~")
                .ok()
                .and_then(|rest| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(rest)));
            model.opened.push(home.unwrap_or_else(|| path.into()));
            model.page = Page::Runs;
            model.runs.filter.reset();
            return list_runs(model);
        }
        Own::Export { input } => {
            let out = std::path::PathBuf::from(input.value().trim());
            if !matches!(out.extension().and_then(|e| e.to_str()), Some("svg" | "png" | "csv" | "json")) {
                model.notes.add(model.now, Kind::Warning, "the name ends in .svg, .png, .csv or .json");
                model.popups.push(Popup::Instrument(Own::Export { input }));
                return Vec::new();
            }
            let view = &model.charts.view;
            let options = Export {
                metrics: shown(model),
                axis: view.axis(),
                log: (view.is_log_x(), view.is_log()),
                smoothing: view.smoothing(),
                robust: view.is_robust(),
            };
            let main = model.watched.iter().map(|w| (w.run.clone(), model.label(&w.run)));
            let others =
                model.others.iter().filter(|o| !o.hidden).map(|o| (o.watched.run.clone(), o.label.clone()));
            let runs = main.chain(others).collect();
            return vec![Command::Instrument(Effect::Export { runs, options: Box::new(options), out })];
        }
    }
    Vec::new()
}

/// The curves that an export has: that of the enlarged chart, those that the filter leaves, else the usual ones.
fn shown(model: &Model) -> Vec<String> {
    let specs = crate::tui::tabs::run::specs(model);
    let known = |name: &String| {
        let mut runs = model.watched.iter().chain(model.others.iter().map(|o| &o.watched));
        runs.any(|w| w.history.curves.contains_key(name))
    };
    let names = specs.iter().map(|s| s.name.clone());
    if model.maximised {
        names.skip(model.charts.selected).take(1).filter(known).collect()
    } else if model.charts.filter.value().is_empty() {
        Vec::new()
    } else {
        names.filter(known).collect()
    }
}
