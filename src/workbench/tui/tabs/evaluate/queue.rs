//! The queue: what waits, is at work and is over.

use crate::evaluations::queue::{Entry, Phase};
use crate::evaluations::{short_data, short_model};
use crate::tui::evaluate::Pane;
use crate::tui::format::{cut, pad, span};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

pub(super) fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, tab) = (model.theme, &model.evaluate);
    let focused = tab.pane == Pane::Queue;
    let waiting = tab.entries.iter().filter(|e| !e.state.phase.is_over()).count();
    let mut title = view::title(theme, "queue");
    if waiting > 0 {
        title.push_span(Span::styled(format!("{waiting} to do "), theme.dim()));
    }
    let block = view::block(theme, title, focused);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if focused {
        regions.rows = usize::from(inner.height);
    }
    let width = usize::from(inner.width);
    if tab.entries.is_empty() {
        let text = if tab.seen { " nothing is in the queue: n starts an evaluation" } else { " looking …" };
        frame.render_widget(Span::styled(cut(text, width), theme.dim()), inner);
        return;
    }
    let selected = tab.item.min(tab.entries.len() - 1);
    let start = first_visible(selected, tab.entries.len(), usize::from(inner.height));
    for (i, entry) in tab.entries.iter().enumerate().skip(start).take(usize::from(inner.height)) {
        let place = Rect { y: inner.y + view::cells(i - start), height: 1, ..inner };
        let mut line = line(theme, entry, width, model.now);
        if i == selected && focused {
            line = view::selected_line(theme, &line, width);
        }
        frame.render_widget(line, place);
        if focused {
            regions.add(place, Hit::Row(i));
        }
    }
}

/// The mark, the word and the style of a phase.
fn look(theme: Theme, entry: &Entry) -> (&'static str, &'static str, Style) {
    match entry.state.phase {
        _ if entry.cancelling => ("◑", "ending", theme.warn()),
        Phase::Waiting => ("○", "waiting", theme.dim()),
        Phase::Running => ("●", "running", theme.good()),
        Phase::Done => ("✓", "done", theme.good()),
        Phase::Failed => ("✕", "failed", theme.bad()),
        Phase::Cancelled => ("○", "cancelled", theme.warn()),
    }
}

fn line(theme: Theme, entry: &Entry, width: usize, now: f64) -> Line<'static> {
    let settings = &entry.item.settings;
    let (mark, word, style) = look(theme, entry);
    let model = settings.model.as_deref().map_or("newest run".to_owned(), short_model);
    let data = settings.data.as_deref().map_or("its own data".to_owned(), short_data);
    let mut spans = vec![
        Span::styled(format!(" {:>3} ", entry.item.id), theme.dim()),
        Span::styled(format!("{mark} {}", pad(word, 10)), style),
        Span::raw(format!("{} ", pad(&settings.task, 9))),
    ];
    // What it is, and how far: both in what is left.
    let left = width.saturating_sub(28);
    let state = far(theme, entry, left / 2, now);
    let used: usize = state.iter().map(Span::width).sum();
    spans.push(Span::raw(pad(&format!("{model} on {data}"), left.saturating_sub(used + 1))));
    spans.push(Span::raw(" "));
    spans.extend(state);
    Line::from(spans)
}

#[allow(clippy::cast_precision_loss)]
fn far(theme: Theme, entry: &Entry, width: usize, now: f64) -> Vec<Span<'static>> {
    let since = now - entry.state.since;
    match (entry.state.phase, &entry.progress) {
        (Phase::Running, Some(p)) if p.total > 0 => {
            let eta = p.left.map_or(String::new(), |s| format!(", {} to go", span(s)));
            // What is counted goes first where there is little room.
            let text = format!(" {} of {}{eta} · {}", p.done, p.total, p.what);
            let bar = width.saturating_sub(text.chars().count()).min(12);
            let mut spans = view::bar(theme, p.done as f64 / p.total as f64, bar);
            spans.push(Span::raw(cut(&text, width.saturating_sub(bar))));
            spans
        }
        (Phase::Running, _) => {
            vec![Span::styled(cut(&format!("loading the model, {}", span(since)), width), theme.dim())]
        }
        (Phase::Failed, _) => {
            let why = entry.state.message.as_deref().unwrap_or("o shows its log");
            vec![Span::styled(cut(why, width), theme.bad())]
        }
        (Phase::Done, _) => vec![Span::styled(cut("Enter opens it", width), theme.dim())],
        _ => Vec::new(),
    }
}
