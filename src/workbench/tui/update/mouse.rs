//! What the mouse does: clicks choose and focus, a second click carries out, the wheel zooms and scrolls.

use super::actions::act;
use super::{domain, popups};
use crate::tui::action::Action;
use crate::tui::chart::Chart;
use crate::tui::layout::{Border, Drag};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page, Pane};
use crate::tui::regions::Hit;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

/// Lines of one wheel turn.
const WHEEL: usize = 3;

/// Takes a mouse event.
pub fn on_mouse(model: &mut Model, event: MouseEvent) -> Vec<Command> {
    let at = model.regions.at(event.column, event.row).map(|(area, hit)| (area, hit.clone()));
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => {
            begin_drag(model, at.as_ref(), event.column);
            click(model, at, event.column)
        }
        MouseEventKind::Down(MouseButton::Right) => {
            if let Some((area, Hit::Chart(_))) = at.filter(|_| model.popups.is_empty()) {
                model.drag = Some(Drag::Crosshair(area));
                drag(model, event.column, event.row);
            }
            Vec::new()
        }
        MouseEventKind::Drag(_) => {
            drag(model, event.column, event.row);
            Vec::new()
        }
        MouseEventKind::Up(_) => match model.drag.take() {
            Some(Drag::Border(_)) => super::looks::keep_layout(model),
            _ => Vec::new(),
        },
        MouseEventKind::ScrollUp => wheel(model, at, event.column, true),
        MouseEventKind::ScrollDown => wheel(model, at, event.column, false),
        _ => Vec::new(),
    }
}

/// What the button holds while it is down, if anything.
fn begin_drag(model: &mut Model, at: Option<&(ratatui::layout::Rect, Hit)>, column: u16) {
    model.drag = match at {
        Some((_, Hit::Border(border))) if model.popups.is_empty() => Some(Drag::Border(*border)),
        Some((area, Hit::Chart(_))) if model.popups.is_empty() => Some(Drag::Window(*area, column)),
        _ => None,
    };
}

fn drag(model: &mut Model, column: u16, row: u16) {
    let domain = domain(model);
    match model.drag {
        Some(Drag::Border(border)) => {
            let tab = model.regions.tab;
            let share = match border {
                Border::Below => f64::from(row.saturating_sub(tab.y)) / f64::from(tab.height.max(1)),
                Border::Between => f64::from(column.saturating_sub(tab.x)) / f64::from(tab.width.max(1)),
            };
            model.layout.drag(border, share);
        }
        Some(Drag::Window(area, before)) => {
            let by = (f64::from(before) - f64::from(column)) * Chart::column(area);
            model.charts.view.pan(by, domain);
            model.drag = Some(Drag::Window(area, column));
        }
        Some(Drag::Crosshair(area)) => {
            let inside = column.clamp(area.x, area.right().saturating_sub(1));
            if let Some(fraction) = Chart::fraction(area, inside) {
                model.charts.view.set_crosshair(fraction, domain);
            }
        }
        None => {}
    }
}

type At = Option<(ratatui::layout::Rect, Hit)>;

fn click(model: &mut Model, at: At, column: u16) -> Vec<Command> {
    if !model.popups.is_empty() {
        match at {
            Some((_, Hit::PopupRow(row))) => {
                if popups::choose(model, row) {
                    return popups::accept(model);
                }
            }
            Some((_, Hit::Popup)) => {}
            _ => popups::click_outside(model),
        }
        return Vec::new();
    }
    let Some((area, hit)) = at else { return Vec::new() };
    match hit {
        Hit::Do(action) => return act(model, action),
        Hit::Tab(page) => {
            match page {
                Page::Caption => return super::captions::open(model),
                Page::Data => return super::datasets::open(model),
                _ => {}
            }
            if page == Page::Evaluate {
                return super::evaluate::open(model);
            }
            if model.watched.is_some() {
                model.page = page;
            }
        }
        Hit::Pane(pane) => model.pane = pane,
        // The titles of the panes stand on it.
        Hit::Border(Border::Below) => {
            let below = model.regions.pane_at(column, area.y);
            model.pane = below.unwrap_or(model.pane);
        }
        Hit::Border(Border::Between) => {}
        Hit::Run(0) => {}
        Hit::Run(run) => {
            if let Some(other) = model.others.get_mut(run - 1) {
                other.hidden = !other.hidden;
            }
        }
        Hit::Chart(index) => {
            if model.pane == Pane::Charts && model.charts.selected == index {
                let domain = domain(model);
                if let Some(fraction) = Chart::fraction(area, column) {
                    model.charts.view.set_crosshair(fraction, domain);
                }
            }
            model.pane = Pane::Charts;
            model.charts.selected = index;
        }
        Hit::Tensor(row) => {
            (model.devices.focus, model.devices.tensor) = (crate::tui::devices::Focus::Tensors, row);
        }
        Hit::Row(row) => {
            if let (Page::Evaluate, None, Some(view)) =
                (model.page, &model.evaluate.prompts, &mut model.evaluate.view)
            {
                if view.chosen(view.part) == row {
                    return act(model, Action::Enter);
                }
                view.choose(row);
                return Vec::new();
            }
            let evaluate = &mut model.evaluate;
            let selected = match model.page {
                Page::Evaluate => match (&mut evaluate.prompts, evaluate.pane) {
                    (Some(prompts), _) => &mut prompts.selected,
                    (None, crate::tui::evaluate::Pane::Queue) => &mut evaluate.item,
                    (None, crate::tui::evaluate::Pane::Results) => &mut evaluate.row,
                },
                Page::Runs => &mut model.runs.selected,
                Page::Devices => {
                    model.devices.focus = crate::tui::devices::Focus::Mesh;
                    &mut model.devices.rank
                }
                Page::Settings => &mut model.form.selected,
                Page::Caption => &mut model.captions.selected,
                Page::Data => super::datasets::selected(model),
                _ => return Vec::new(),
            };
            if std::mem::replace(selected, row) == row {
                return act(model, Action::Enter);
            }
            if model.page == Page::Data {
                super::datasets::clicked(model);
            }
        }
        Hit::Popup | Hit::PopupRow(_) => {}
    }
    Vec::new()
}

fn wheel(model: &mut Model, at: At, column: u16, up: bool) -> Vec<Command> {
    if !model.popups.is_empty() {
        let lines = if up { -1 } else { 1 } * WHEEL.cast_signed();
        popups::scroll(model, lines);
        return Vec::new();
    }
    match at {
        Some((area, Hit::Chart(_))) => {
            let domain = domain(model);
            let fraction = Chart::fraction(area, column).unwrap_or(1.0);
            model.charts.view.zoom_at(fraction, if up { 0.8 } else { 1.25 }, domain);
            Vec::new()
        }
        Some((_, Hit::Pane(pane))) if model.page == Page::Run => {
            let focused = std::mem::replace(&mut model.pane, pane);
            let (action, times) = match (pane, up) {
                (Pane::Samples, true) => (Action::Left, 1),
                (Pane::Samples, false) => (Action::Right, 1),
                (_, true) => (Action::Up, WHEEL),
                (_, false) => (Action::Down, WHEEL),
            };
            let commands = (0..times).flat_map(|_| act(model, action)).collect();
            model.pane = focused;
            commands
        }
        _ if model.page == Page::Run => Vec::new(),
        _ => (0..WHEEL).flat_map(|_| act(model, if up { Action::Up } else { Action::Down })).collect(),
    }
}
