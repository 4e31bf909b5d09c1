//! What a person does with the charts: x axis, filter, alerts, the runs on them, their differences, exports.

use super::{compare, domain, type_into, watch};
use crate::tui::action::Action;
use crate::tui::chart::Axis;
use crate::tui::message::{Command, CurvesExport};
use crate::tui::model::{Model, Page, Pane};
use crate::tui::notes::Kind;
use crate::tui::popup::{ChartsPopup, Popup};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;

/// Carries out an action on the charts; none when it is another's.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    let popup = |model: &mut Model, popup| model.popups.push(Popup::Charts(popup));
    match (action, model.page) {
        (Action::Compared, _) => popup(model, ChartsPopup::Compared { selected: 0 }),
        (Action::Differences, _) => popup(model, ChartsPopup::Differences { scroll: 0 }),
        (Action::LogX, _) => model.charts.view.toggle_log_x(),
        (Action::Search, Page::Run) if model.pane != Pane::Log => model.charts.filtering = true,
        (Action::NextAlert, Page::Run) => to_alert(model, true),
        (Action::PreviousAlert, Page::Run) => to_alert(model, false),
        (Action::Export, Page::Run) => {
            let name = model.watched.as_ref().map_or_else(String::new, |w| w.run.name());
            popup(model, ChartsPopup::Export { input: Input::new(format!("{name}.svg")) });
        }
        _ => return None,
    }
    Some(Vec::new())
}

fn to_alert(model: &mut Model, forward: bool) {
    let domain = domain(model);
    let Some(watched) = &model.watched else { return };
    // A step has no place on the axis of time.
    let on_steps = model.charts.view.axis() != Axis::Time;
    let here = model.charts.view.crosshair().filter(|_| on_steps);
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
    if on_steps {
        model.charts.view.show(place(step), domain);
    }
    model.notes.add(model.now, kind, text);
}

/// Takes a key for the topmost popup, which is one of the charts'.
pub fn popup_key(model: &mut Model, key: &KeyEvent) -> Vec<Command> {
    let page = model.regions.popup_rows.max(1);
    let last = model.others.len();
    let Some(Popup::Charts(popup)) = model.popups.last_mut() else { return Vec::new() };
    let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match popup {
        ChartsPopup::Export { input } => type_into(input, key),
        ChartsPopup::Differences { scroll } => match key.code {
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(page),
            KeyCode::Char('q' | 'D') if plain => drop(model.popups.pop()),
            _ => {}
        },
        ChartsPopup::Compared { selected } => match key.code {
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
                model.popups.push(Popup::Charts(ChartsPopup::Differences { scroll: 0 }));
            }
            KeyCode::Char('q' | 'v') if plain => drop(model.popups.pop()),
            _ => {}
        },
    }
    Vec::new()
}

/// Enter in a popup of the charts, which was taken off the screen.
pub fn accept(model: &mut Model, popup: ChartsPopup) -> Vec<Command> {
    match popup {
        ChartsPopup::Differences { .. } => Vec::new(),
        ChartsPopup::Compared { selected } => {
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
            commands
        }
        ChartsPopup::Export { input } => {
            let out = std::path::PathBuf::from(input.value().trim());
            if !matches!(out.extension().and_then(|e| e.to_str()), Some("svg" | "png" | "csv" | "json")) {
                model.notes.add(model.now, Kind::Warning, "the name ends in .svg, .png, .csv or .json");
                model.popups.push(Popup::Charts(ChartsPopup::Export { input }));
                return Vec::new();
            }
            let view = &model.charts.view;
            let options = CurvesExport {
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
            vec![Command::ExportCurves { runs, options: Box::new(options), out }]
        }
    }
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
