//! The table of results: a row for each checkpoint, a column for each figure of a data set.

use crate::evaluations::results::{Cell, Sort};
use crate::tui::evaluate::Pane;
use crate::tui::format::{ago, count, cut, pad, pad_left};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of the screen for a column of the table: mark, value, interval.
const COLUMN: usize = 24;

pub(super) fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, tab) = (model.theme, &model.evaluate);
    let table = &tab.table;
    let focused = tab.pane == Pane::Results;
    let mut title = view::title(theme, "results");
    let order = match tab.sort {
        _ if table.rows.is_empty() => String::new(),
        Sort::Newest => "newest first ".to_owned(),
        Sort::Name => "by name ".to_owned(),
        Sort::Column(at) => table
            .columns
            .get(at)
            .map_or_else(String::new, |c| format!("best {} of {} first ", c.figure().1, c.words())),
    };
    title.push_span(Span::styled(cut(&order, usize::from(area.width).saturating_sub(14)), theme.dim()));
    let block = view::block(theme, title, focused);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    if table.rows.is_empty() {
        let text = if tab.seen {
            vec![
                Line::from(Span::styled(" There are no results yet.", theme.strong())),
                Line::from(" n starts an evaluation; `cocaptain eval zero-shot` leaves its result here too."),
            ]
        } else {
            vec![Line::from(Span::styled(" looking …", theme.dim()))]
        };
        frame.render_widget(Paragraph::new(text), inner);
        return;
    }
    let name = (width / 4).clamp(16, 40);
    let fit = (width.saturating_sub(name) / COLUMN).max(1).min(table.columns.len());
    let first = tab.column.saturating_sub(fit - 1).min(table.columns.len().saturating_sub(fit));
    let shown = first..first + fit;
    let mut heads = [pad("checkpoint", name), pad("", name)];
    for at in shown.clone() {
        let Some(column) = table.columns.get(at) else { continue };
        heads[0] += &pad_left(&end(&column.words(), COLUMN - 2), COLUMN);
        heads[1] += &pad_left(column.figure().1, COLUMN);
    }
    for (y, head) in heads.iter().enumerate() {
        let place =
            Rect { y: inner.y + view::cells(y), height: inner.height.min(1), ..inner }.intersection(inner);
        frame.render_widget(Span::styled(head.clone(), theme.dim()), place);
    }
    let more = table.columns.len() - fit;
    if more > 0 {
        let text = format!(" columns {}-{} of {} ", first + 1, first + fit, table.columns.len());
        let line = Line::from(Span::styled(text, theme.dim())).right_aligned();
        frame.render_widget(line, Rect { y: area.bottom().saturating_sub(1), height: 1, ..inner });
    }
    let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(3), ..inner };
    let visible = usize::from(list.height);
    if focused {
        regions.rows = visible;
    }
    let selected = tab.row.min(table.rows.len() - 1);
    let start = first_visible(selected, table.rows.len(), visible);
    for (i, checkpoint) in table.rows.iter().enumerate().skip(start).take(visible) {
        let place = Rect { y: list.y + view::cells(i - start), height: 1, ..list };
        let chosen = i == selected && focused;
        let style = if chosen { theme.key() } else { theme.text() };
        let mut spans = vec![Span::styled(pad(checkpoint, name), style)];
        for at in shown.clone() {
            let cell = table.cell(i, at);
            let text = cell.map_or_else(|| "–".to_owned(), words);
            let style = match cell {
                _ if chosen && at == tab.column => theme.selected(),
                Some(cell) if cell.best => theme.good().patch(theme.strong()),
                Some(_) => theme.text(),
                None => theme.dim(),
            };
            spans.push(Span::styled(pad_left(&text, COLUMN), style));
        }
        frame.render_widget(Line::from(spans), place);
        if focused {
            regions.add(place, Hit::Row(i));
        }
    }
    detail(model, frame, Rect { y: inner.bottom().saturating_sub(1), height: inner.height.min(1), ..inner });
}

fn words(cell: &Cell) -> String {
    let best = if cell.best { "★ " } else { "" };
    let interval = cell.interval.map_or(String::new(), |[low, high]| format!(" [{low:.1}, {high:.1}]"));
    format!("{best}{:.2}{interval}", cell.value)
}

/// The end of a text that is too long tells more than its beginning.
fn end(text: &str, width: usize) -> String {
    let over = text.chars().count().saturating_sub(width);
    if over == 0 {
        text.to_owned()
    } else {
        format!("…{}", text.chars().skip(over + 1).collect::<String>())
    }
}

/// More of the chosen cell.
fn detail(model: &Model, frame: &mut Frame, area: Rect) {
    let Some(outcome) = model.evaluate.chosen_outcome() else { return };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = |name: &str| outcome.figures.get(name).map(|n| count(n.max(0.0) as u64));
    let n = match (whole("n"), whole("images"), whole("texts")) {
        (Some(n), ..) => format!("{n} pictures"),
        (None, Some(images), Some(texts)) => format!("{images} pictures, {texts} captions"),
        _ => String::new(),
    };
    let text = format!(" {} · {n} · {} · ★ best, [95 % interval]", outcome.data, ago(model.now - outcome.t));
    frame.render_widget(Span::styled(cut(&text, usize::from(area.width)), model.theme.dim()), area);
}
