//! The grid of curves.

use super::specs::{self, Spec};
use crate::tui::chart::{Chart, ChartMark, ChartStyle, Domain, MarkKind, Series};
use crate::tui::format::{cut, safe};
use crate::tui::model::{Model, Pane, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use run::history::History;
use std::collections::BTreeSet;

/// The domain that all charts share: that of every run on them.
pub fn domain(model: &Model) -> Domain {
    let view = &model.charts.view;
    let all = specs::visible(model).into_iter().map(|one| {
        let units = one.units(model);
        Domain::of_units(one.watched.history.curves.values(), view, units)
    });
    all.flatten().reduce(Domain::and).unwrap_or_default()
}

fn chart_style(theme: Theme) -> ChartStyle {
    ChartStyle {
        border: theme.border(false),
        focus: theme.border(true),
        title: theme.strong(),
        dim: theme.dim(),
        mark: theme.warn(),
        error: theme.bad(),
        badge: theme.warn(),
    }
}

/// Edits, checkpoints, evaluations, restarts and alerts as marks.
fn marks(watched: &Watched) -> Vec<ChartMark> {
    let history = &watched.history;
    let plain = |step: &u64, kind| ChartMark { step: *step, kind, label: String::new() };
    let edits = history.marks.iter().map(|m| {
        let all: Vec<String> = m.changes.iter().map(|(n, v)| format!("{n} {v}")).collect();
        ChartMark { step: m.step, kind: MarkKind::Setting, label: safe(&all.join(", ")).into_owned() }
    });
    let checkpoints = history.checkpoints.iter().map(|step| plain(step, MarkKind::Checkpoint));
    let evaluations = evaluations(history);
    let resumes = history.resumes.iter().map(|step| ChartMark {
        step: *step,
        kind: MarkKind::Restart,
        label: "resumed".to_owned(),
    });
    let alerts = watched.alerts.all.iter().map(|a| plain(&a.step, MarkKind::Alert));
    evaluations
        .iter()
        .map(|step| plain(step, MarkKind::Evaluation))
        .chain(checkpoints)
        .chain(edits)
        .chain(resumes)
        .chain(alerts)
        .collect()
}

/// Steps with evaluations other than the held-out loss, whose dots stand in the charts.
fn evaluations(history: &History) -> BTreeSet<u64> {
    let tasks = history.evaluations.keys().filter(|task| *task != "held_out");
    let curves = tasks.flat_map(|task| {
        let prefix = format!("{task}.");
        history.curves.iter().filter(move |(name, _)| name.starts_with(&prefix))
    });
    curves.flat_map(|(_, c)| c.steps.iter().copied()).collect()
}

/// Draws the grid, or the chosen chart alone.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let specs = specs::specs(model);
    regions.add(area, Hit::Pane(Pane::Charts));
    let area = legend(model, frame, area, regions);
    let chosen = model.charts.selected.min(specs.len().saturating_sub(1));
    let marks = marks(watched);
    let domain = domain(model);
    if specs.is_empty() {
        let filter = model.charts.filter.value();
        let text = if filter.is_empty() {
            " no curves yet".to_owned()
        } else {
            format!(" no chart's name has '{}'", safe(filter))
        };
        frame.render_widget(
            Line::from(Span::styled(text, theme.dim())),
            Rect { height: area.height.min(1), ..area },
        );
        return;
    }
    let (columns, rows) = if model.maximised { (1, 1) } else { grid(area, specs.len()) };
    let per_page = columns * rows;
    regions.chart_columns = columns;
    regions.charts_per_page = per_page;
    let page = chosen / per_page;
    for (i, spec) in specs.iter().enumerate().skip(page * per_page).take(per_page) {
        let place = cell(area, columns, rows, i - page * per_page);
        let mut view = model.charts.view.clone();
        if model.charts.log.contains(&spec.name) {
            view.toggle_log();
        }
        let series = series(model, spec);
        let focused = model.pane == Pane::Charts && i == chosen;
        let chart = Chart::new(&spec.name, &series, &view, domain)
            .marks(&marks)
            .best(specs::direction(&spec.name))
            .focused(focused)
            .style(chart_style(theme));
        frame.render_widget(chart, place);
        regions.add(place, Hit::Chart(i));
    }
}

fn series<'a>(model: &Model, spec: &'a Spec<'a>) -> Vec<Series<'a>> {
    let several = specs::compared(model);
    let made = spec.parts.iter().enumerate().map(|(n, part)| {
        let style = if several { run_style(model.theme, part.colour) } else { series_style(model.theme, n) };
        let line = if part.dots {
            Series::dots(&part.label, part.curve, style)
        } else {
            Series::line(&part.label, part.curve, style)
        };
        line.near(part.near).units(part.units).number(several.then_some(part.number))
    });
    made.collect()
}

/// Colours of the series of one chart; without colours, weight tells the first two apart and labels the rest.
fn series_style(theme: Theme, i: usize) -> Style {
    match theme.series(i) {
        Some(colour) => Style::new().fg(colour),
        None if i == 0 => Style::new(),
        None => Style::new().add_modifier(Modifier::BOLD),
    }
}

/// The colour of a run; without colours, the number at a line's end tells.
fn run_style(theme: Theme, colour: usize) -> Style {
    theme.series(colour).map_or_else(Style::new, |c| Style::new().fg(c))
}

/// A line with the runs on the charts, when there are several; gives the rest of the area.
fn legend(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) -> Rect {
    if !specs::several(model) || area.height < 5 {
        return area;
    }
    let theme = model.theme;
    let (mut x, colours) = (area.x + 1, specs::colours(model));
    let mut names: Vec<(String, bool)> = Vec::new();
    names.extend(model.watched.as_ref().map(|w| (model.label(&w.run), false)));
    names.extend(model.others.iter().map(|o| (o.label.clone(), o.hidden)));
    let room = usize::from(area.width) / names.len().max(1);
    for (i, ((name, hidden), colour)) in names.iter().zip(colours).enumerate() {
        let style = if *hidden { theme.dim() } else { run_style(theme, colour) };
        let sign = if *hidden { "○" } else { "━" };
        let line = Line::from(vec![
            Span::styled(format!("{sign}{} ", i + 1), style),
            Span::styled(
                cut(name, room.saturating_sub(5).max(4)),
                if *hidden { theme.dim() } else { theme.text() },
            ),
        ]);
        let width = u16::try_from(line.width()).unwrap_or(0);
        let place = Rect { x, y: area.y, width, height: 1 }.intersection(area);
        frame.render_widget(line, place);
        regions.add(place, Hit::Run(i));
        x = x.saturating_add(width + 2);
    }
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// The window, the smoothing and the page, in words for the header; whether the window stands still.
pub fn badge(model: &Model) -> (String, bool) {
    let view = &model.charts.view;
    let mut words = vec![if view.is_frozen() { view.badge() } else { view.badge().to_lowercase() }];
    if words.first().is_some_and(|w| w == "all") {
        "all steps".clone_into(&mut words[0]);
    }
    if view.smoothing() > 0.0 {
        words.push(format!("smooth {}", view.smoothing()));
    }
    if view.axis() != crate::tui::chart::Axis::Step {
        words.push(format!("by {}", view.axis().name()));
    }
    if view.is_log_x() {
        words.push("log x".to_owned());
    }
    if !model.charts.filter.value().is_empty() || model.charts.filtering {
        let cursor = if model.charts.filtering { "▏" } else { "" };
        words.push(format!("/{}{cursor}", safe(model.charts.filter.value())));
    }
    let per_page = model.regions.charts_per_page.max(1);
    let pages = specs::specs(model).len().div_ceil(per_page);
    if pages > 1 && !model.maximised {
        words.push(format!("charts {} of {pages}", model.charts.selected / per_page + 1));
    }
    (words.join(" · "), view.is_frozen())
}

/// Columns and rows of the grid: as many charts as stay readable, no more than there are.
fn grid(area: Rect, count: usize) -> (usize, usize) {
    let columns = usize::from(area.width / 26).clamp(1, 3).min(count.max(1));
    let rows = usize::from(area.height / 6).clamp(1, 3);
    // Six charts are the standard: two rows of three, or three of two.
    let rows = if columns == 3 { rows.min(2) } else { rows };
    (columns, rows.min(count.div_ceil(columns)).max(1))
}

/// The place of a chart in the grid; the last column and row take what division leaves over.
#[allow(clippy::cast_possible_truncation)]
fn cell(area: Rect, columns: usize, rows: usize, at: usize) -> Rect {
    let edge = |total: u16, parts: usize, i: usize| (usize::from(total) * i / parts.max(1)) as u16;
    let (column, row) = (at % columns.max(1), at / columns.max(1));
    let (x, y) = (edge(area.width, columns, column), edge(area.height, rows, row));
    Rect {
        x: area.x + x,
        y: area.y + y,
        width: edge(area.width, columns, column + 1) - x,
        height: edge(area.height, rows, row + 1) - y,
    }
}
