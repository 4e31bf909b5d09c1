//! The log pane: notices, the supervisor's log, the ranks' logs.

use super::stacked;
use crate::tui::format::{ago, cut, safe};
use crate::tui::model::{Model, Pane, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Lines of a log; "" is the notices.
pub fn length(watched: &Watched, source: &str) -> usize {
    if source.is_empty() {
        watched.history.notices.len()
    } else {
        watched.logs.get(source).map_or(0, std::collections::VecDeque::len)
    }
}

/// Draws the pane.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let source = model.log.source.as_str();
    let mut title = if stacked(frame, model) {
        vec![
            Span::styled(" samples", theme.dim()),
            Span::styled("  log ", theme.strong()),
            Span::styled("· ", theme.dim()),
        ]
    } else {
        vec![Span::styled(" log ", theme.strong()), Span::styled("· ", theme.dim())]
    };
    for name in watched.sources() {
        let label = if name.is_empty() { "notices" } else { name.trim_end_matches(".log") };
        let style = if name == source { theme.accent() } else { theme.dim() };
        title.push(Span::styled(format!("{} ", safe(label)), style));
    }
    let count = length(watched, source);
    let rows = usize::from(area.height.saturating_sub(2));
    regions.log_rows = rows;
    let above = model.log.above_end.min(count.saturating_sub(rows));
    let mut block = view::block(theme, Line::from(title), model.pane == Pane::Log);
    let (text, style) = if above == 0 {
        (" following ".to_owned(), theme.dim())
    } else {
        (format!(" held, {above} below · f follows "), theme.warn())
    };
    if count > 0 {
        block = block.title_bottom(Line::from(Span::styled(text, style)).right_aligned());
    }
    let end = count - above;
    let start = end.saturating_sub(rows);
    let width = usize::from(area.width.saturating_sub(2));
    let lines: Vec<Line> = if count == 0 {
        let text = if source.is_empty() { " no warnings, no errors" } else { " empty so far" };
        vec![Line::from(Span::styled(text, theme.dim()))]
    } else if source.is_empty() {
        let notices = watched.history.notices.get(start..end).unwrap_or_default();
        notices.iter().map(|n| notice(model, n, width)).collect()
    } else {
        let log = watched.logs.get(source).into_iter().flatten();
        log.skip(start).take(end - start).map(|l| Line::from(cut(l, width))).collect()
    };
    frame.render_widget(Paragraph::new(lines).block(block), area);
    regions.add(area, Hit::Pane(Pane::Log));
}

fn notice(model: &Model, noted: &run::history::Noted, width: usize) -> Line<'static> {
    let theme = model.theme;
    let (word, style) = if noted.error { ("error", theme.bad()) } else { ("warning", theme.warn()) };
    let n = &noted.notice;
    let mut place = String::new();
    if let Some(step) = n.step {
        place += &format!("step {} ", crate::tui::format::count(step));
    }
    if let Some(rank) = n.rank {
        place += &format!("rank {rank} ");
    }
    let age = format!("{:>10} ", ago(model.now - noted.t));
    let used = age.len() + 8 + place.len();
    Line::from(vec![
        Span::styled(age, theme.dim()),
        Span::styled(format!("{word:<8}"), style),
        Span::styled(place, theme.dim()),
        Span::raw(cut(&n.message, width.saturating_sub(used))),
    ])
}
