//! The grid of curves.

use crate::tui::chart::{Chart, ChartMark, ChartStyle, Domain, MarkKind, Series};
use crate::tui::format::safe;
use crate::tui::model::{Model, Pane, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use run::history::{Curve, History};
use std::sync::LazyLock;

/// What one chart shows.
#[derive(Debug)]
pub struct Spec<'a> {
    /// Its name.
    pub name: String,
    /// Lines: label and curve.
    pub lines: Vec<(String, &'a Curve)>,
    /// Few exact points: label and curve.
    pub dots: Vec<(String, &'a Curve)>,
}

/// The charts that are always there, even while they are empty, in the grid's order.
const STANDARD: [&str; 6] =
    ["loss", "contrastive_loss", "caption_loss", "learning_rate", "grad_norm", "logit_scale"];

static EMPTY: LazyLock<Curve> = LazyLock::new(Curve::default);

/// The charts of a run, in the grid's order.
pub fn specs(history: &History) -> Vec<Spec<'_>> {
    let curves = &history.curves;
    let mut all: Vec<Spec> = Vec::new();
    for name in STANDARD {
        let mut lines = vec![("training".to_owned(), curves.get(name).unwrap_or(&EMPTY))];
        let prefix = format!("{name}.");
        lines.extend(
            curves.iter().filter_map(|(n, c)| n.strip_prefix(&prefix).map(|group| (group.to_owned(), c))),
        );
        let dots = curves.get(&format!("held_out.{name}")).map(|c| ("held out".to_owned(), c));
        if lines.len() > 1
            && let Some((label, _)) = lines.first_mut()
        {
            "all".clone_into(label);
        }
        all.push(Spec { name: name.to_owned(), lines, dots: dots.into_iter().collect() });
    }
    // Figures of every other evaluation stand together, a chart for each task.
    for (name, curve) in curves {
        let Some((task, figure)) = name.split_once('.') else { continue };
        // How many pictures there were is no curve.
        let counts = figure == "n";
        if counts || STANDARD.contains(&task) || (task == "held_out" && STANDARD.contains(&figure)) {
            continue;
        }
        match all.iter_mut().find(|s| s.name == task) {
            Some(spec) => spec.dots.push((figure.to_owned(), curve)),
            None => all.push(Spec {
                name: task.to_owned(),
                lines: Vec::new(),
                dots: vec![(figure.to_owned(), curve)],
            }),
        }
    }
    for (name, parts) in [
        ("samples_per_second", &[("", "samples_per_second")][..]),
        ("seconds_per_step", &[("step", "step_seconds"), ("data wait", "data_seconds")][..]),
    ] {
        let lines: Vec<_> =
            parts.iter().filter_map(|(label, n)| Some(((*label).to_owned(), curves.get(*n)?))).collect();
        if !lines.is_empty() {
            all.push(Spec { name: name.to_owned(), lines, dots: Vec::new() });
        }
    }
    all
}

/// The domain that all charts share.
pub fn domain(history: &History, view: &crate::tui::chart::ChartView) -> Domain {
    Domain::of(history.curves.values(), view)
}

/// Colours of the series of one chart; without colours, weight tells the first two apart and labels the rest.
fn series_style(theme: Theme, i: usize) -> Style {
    const COLOURS: [Color; 6] =
        [Color::Cyan, Color::Magenta, Color::Green, Color::Yellow, Color::Blue, Color::Red];
    match (theme.colour, COLOURS.get(i % COLOURS.len())) {
        (true, Some(colour)) => Style::new().fg(*colour),
        _ if i == 0 => Style::new(),
        _ => Style::new().add_modifier(Modifier::BOLD),
    }
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

/// Edits, checkpoints and restarts as marks.
fn marks(history: &History) -> Vec<ChartMark> {
    let edits = history.marks.iter().map(|m| {
        let all: Vec<String> = m.changes.iter().map(|(n, v)| format!("{n} {v}")).collect();
        ChartMark { step: m.step, kind: MarkKind::Setting, label: safe(&all.join(", ")).into_owned() }
    });
    let checkpoints = history.checkpoints.iter().map(|step| ChartMark {
        step: *step,
        kind: MarkKind::Checkpoint,
        label: String::new(),
    });
    let resumes = history.resumes.iter().map(|step| ChartMark {
        step: *step,
        kind: MarkKind::Restart,
        label: "resumed".to_owned(),
    });
    checkpoints.chain(edits).chain(resumes).collect()
}

/// Draws the grid, or the chosen chart alone.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let specs = specs(&watched.history);
    let chosen = model.charts.selected.min(specs.len().saturating_sub(1));
    let marks = marks(&watched.history);
    let domain = domain(&watched.history, &model.charts.view);
    regions.add(area, Hit::Pane(Pane::Charts));
    let (columns, rows) = if model.maximised { (1, 1) } else { grid(area) };
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
        let series: Vec<Series> = spec
            .lines
            .iter()
            .map(|(label, curve)| (label, *curve, false))
            .chain(spec.dots.iter().map(|(label, curve)| (label, *curve, true)))
            .enumerate()
            .map(|(n, (label, curve, dots))| {
                let style = series_style(model.theme, n);
                if dots { Series::dots(label, curve, style) } else { Series::line(label, curve, style) }
            })
            .collect();
        let focused = model.pane == Pane::Charts && i == chosen;
        let chart = Chart::new(&spec.name, &series, &view, domain)
            .marks(&marks)
            .focused(focused)
            .style(chart_style(model.theme));
        frame.render_widget(chart, place);
        regions.add(place, Hit::Chart(i));
    }
}

/// The window, the smoothing and the page, in words for the header; whether the window stands still.
pub fn badge(model: &Model, watched: &Watched) -> (String, bool) {
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
    let per_page = model.regions.charts_per_page.max(1);
    let pages = specs(&watched.history).len().div_ceil(per_page);
    if pages > 1 && !model.maximised {
        words.push(format!("charts {} of {pages}", model.charts.selected / per_page + 1));
    }
    (words.join(" · "), view.is_frozen())
}

/// Columns and rows of the grid: as many charts as stay readable.
fn grid(area: Rect) -> (usize, usize) {
    let columns = usize::from(area.width / 26).clamp(1, 3);
    let rows = usize::from(area.height / 6).clamp(1, 3);
    // Six charts are the standard: two rows of three, or three of two.
    if columns == 3 { (3, rows.min(2)) } else { (columns, rows) }
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
