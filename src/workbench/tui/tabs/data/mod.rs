//! The data tab: entries or findings on the left, the selected entry on the right.

mod entry;
mod findings;
mod list;

use crate::tui::datasets::Side;
use crate::tui::format::{count, cut, many, percent, safe, span, wrap};
use crate::tui::model::Model;
use crate::tui::regions::Regions;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws the tab.
pub fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let datasets = &model.datasets;
    let Some(open) = &datasets.open else { return nothing(model, frame, area) };
    let problem = problem(model, usize::from(area.width.saturating_sub(4)));
    let height = u16::try_from(problem.len()).unwrap_or(0);
    let [body, wrong, state] =
        Layout::vertical([Constraint::Min(5), Constraint::Length(height), Constraint::Length(1)]).areas(area);
    let left = if datasets.wide { 0 } else { (area.width * 2 / 5).clamp(28, 72) };
    let [left, right] = Layout::horizontal([Constraint::Length(left), Constraint::Min(1)]).areas(body);
    if !datasets.wide {
        match datasets.side {
            Side::Entries => list::draw(model, open, frame, left, regions),
            Side::Findings => findings::draw(model, frame, left, regions),
        }
    }
    entry::draw(model, open, frame, right, regions);
    frame.render_widget(
        Paragraph::new(problem),
        Rect { x: wrong.x + 1, width: wrong.width.saturating_sub(2), ..wrong },
    );
    frame.render_widget(status(model, usize::from(state.width)), Rect { x: state.x + 1, ..state });
}

/// Before anything was opened.
fn nothing(model: &Model, frame: &mut Frame, area: Rect) {
    let (theme, datasets) = (model.theme, &model.datasets);
    let block = view::block(theme, view::title(theme, "data"), true);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width.saturating_sub(2));
    let named = datasets.source.as_ref().map_or_else(String::new, |s| s.path.display().to_string());
    let mut lines: Vec<Line> = Vec::new();
    match (&datasets.problem, datasets.opening) {
        (Some(problem), _) => {
            let text = wrap(&format!("✕ {problem}"), width);
            lines.extend(text.into_iter().map(|line| Line::from(Span::styled(line, theme.bad()))));
            if datasets.awaiting.is_some() {
                let text = wrap("it is watched, and opened as soon as it can be", width);
                lines.extend(text.into_iter().map(|line| Line::from(Span::styled(line, theme.dim()))));
            }
        }
        (None, Some(since)) => {
            let text = format!("… reading {}, {}", safe(&named), span(model.now - since));
            lines.push(Line::from(Span::styled(cut(&text, width), theme.warn())));
        }
        (None, None) => {}
    }
    lines.push(Line::from(""));
    let text = "g opens an annotation file (JSON, JSON lines, CSV), tar shards, a .filelist or a folder; pasting a path does so too.";
    lines.extend(wrap(text, width).into_iter().map(|line| Line::from(Span::styled(line, theme.dim()))));
    frame.render_widget(
        Paragraph::new(lines),
        Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner },
    );
}

/// What is wrong with the file as it is now, while its last good state is shown.
fn problem(model: &Model, width: usize) -> Vec<Line<'static>> {
    let Some(problem) = &model.datasets.problem else { return Vec::new() };
    let text = if model.datasets.awaiting.is_none() {
        format!("✕ not readable now, its last good state is shown: {problem}")
    } else {
        format!("✕ {problem} (it is watched, and opened when it can be)")
    };
    let lines = wrap(&text, width.max(20)).into_iter().take(3);
    lines.map(|line| Line::from(Span::styled(line, model.theme.bad()))).collect()
}

/// What goes on: reading, searching, checking; else what the last check found.
#[allow(clippy::cast_precision_loss)]
fn status(model: &Model, width: usize) -> Line<'static> {
    let (theme, datasets) = (model.theme, &model.datasets);
    let mut spans: Vec<Span> = Vec::new();
    if let Some(checking) = &datasets.checking {
        let share = checking.done as f64 / checking.all.max(1) as f64;
        let stage = checking.stage as usize + 1;
        let name = checking.stage.name();
        let what = if checking.cancelling { "cancelling" } else { "checking" };
        spans.push(Span::styled(format!("… {what}, stage {stage} of 3 ({name}) "), theme.warn()));
        if width >= 100 {
            spans.extend(view::bar(theme, share, 12));
        }
        let found = count(checking.count as u64);
        spans.push(Span::raw(format!(
            " {} of {}  {}  {found} found  ",
            count(checking.done as u64),
            count(checking.all as u64),
            percent(share)
        )));
        spans.push(Span::styled("x cancels", theme.dim()));
    } else if let Some(since) = datasets.opening {
        spans.push(Span::styled(format!("… reading it again, {}", span(model.now - since)), theme.warn()));
    } else if let Some((found, work)) = &datasets.found {
        use data::check::Severity::{Error, Info, Warning};
        for (severity, word, style) in
            [(Error, "error", theme.bad()), (Warning, "warning", theme.warn()), (Info, "note", theme.dim())]
        {
            let n = found.count(severity) as u64;
            let style = if n == 0 { theme.dim() } else { style };
            spans.push(Span::styled(format!("{}  ", many(n, word)), style));
        }
        let used: usize = spans.iter().map(Span::width).sum();
        let text = format!("looked at: {work}");
        spans.push(Span::styled(cut(&text, width.saturating_sub(used + 2)), theme.dim()));
    } else {
        let open = datasets.open.as_ref();
        let broken = open.map_or(0, |open| open.dataset.broken_count());
        if broken > 0 {
            let text = format!("{} entries are no samples  ", count(broken as u64));
            spans.push(Span::styled(text, theme.warn()));
        }
        let seconds = open.map_or(0.0, |open| open.seconds);
        let text = format!("not checked: c checks annotations and pictures · read in {seconds:.2} s");
        spans.push(Span::styled(cut(&text, width.saturating_sub(2)), theme.dim()));
    }
    Line::from(spans)
}
