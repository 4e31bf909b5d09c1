//! The runs list: pick one, watch it.

use crate::tui::format::{ago, count, cut, number, pad, pad_left, percent};
use crate::tui::message::RunSummary;
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws the list.
pub fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let Some(rows) = model.runs.rows.as_deref() else {
        let block = view::block(theme, view::title(theme, "runs"), true);
        frame.render_widget(
            Paragraph::new(Span::styled(" looking for runs …", theme.dim())).block(block),
            area,
        );
        return;
    };
    let live = rows.iter().filter(|r| r.status.is_alive()).count();
    let mut title = view::title(theme, "runs");
    title.push_span(Span::styled(format!("{} · {live} alive ", rows.len()), theme.dim()));
    let block = view::block(theme, title, true);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if rows.is_empty() {
        let text = vec![
            Line::from(""),
            Line::from(Span::styled(" There are no runs yet.", theme.strong())),
            Line::from(""),
            Line::from(" Try the demo:          cocaptain demo"),
            Line::from(" Train on your own:     cocaptain train --train_data PATH --attach"),
        ];
        frame.render_widget(Paragraph::new(text), inner);
        return;
    }
    let width = usize::from(inner.width);
    let several = rows.iter().any(|r| r.run.path().parent() != rows[0].run.path().parent());
    let columns = Columns::new(width, several);
    let head = Span::styled(columns.head(), theme.dim());
    frame.render_widget(head, Rect { height: inner.height.min(1), ..inner });
    let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let visible = usize::from(list.height);
    regions.rows = visible;
    let selected = model.runs.selected.min(rows.len() - 1);
    let start = first_visible(selected, rows.len(), visible);
    for (i, row) in rows.iter().enumerate().skip(start).take(visible) {
        let y = list.y + view::cells(i - start);
        let place = Rect { y, height: 1, ..list };
        let watched = model.watched.as_ref().is_some_and(|w| w.run == row.run);
        let mut line = columns.line(theme, row, watched, model.now);
        if i == selected {
            line = view::selected_line(theme, &line, width);
        }
        frame.render_widget(line, place);
        regions.add(place, Hit::Row(i));
    }
}

/// The first row to draw so that the selected one is in sight, near the middle while there is more on both sides.
pub fn first_visible(selected: usize, count: usize, visible: usize) -> usize {
    selected.saturating_sub(visible / 2).min(count.saturating_sub(visible))
}

struct Columns {
    name: usize,
    model: usize,
    root: usize,
}

impl Columns {
    fn new(width: usize, several: bool) -> Self {
        // Mark 2, status 13, step 25, loss 9, age 12.
        let left = width.saturating_sub(61);
        let root = if several && left > 60 { left - 46 } else { 0 };
        let model = if left - root > 40 { 18 } else { 0 };
        Self { name: (left - root - model).max(10), model, root }
    }

    fn head(&self) -> String {
        format!(
            "  {}{}{}{}{}{}{}",
            pad("run", self.name),
            pad("status", 13),
            pad_left("step", 18),
            pad_left("", 7),
            pad_left("loss", 9),
            pad_left("last event", 12),
            if self.model > 0 {
                format!("  {}", pad("model", self.model.saturating_sub(2)))
            } else {
                String::new()
            }
        )
    }

    #[allow(clippy::cast_precision_loss)]
    fn line(&self, theme: Theme, row: &RunSummary, watched: bool, now: f64) -> Line<'static> {
        let (dot, word, style) = view::status_look(theme, Some(row.status));
        let (share, step) = match row.total.filter(|t| *t > 0) {
            Some(total) => {
                (percent(row.step as f64 / total as f64), format!("{} / {}", count(row.step), count(total)))
            }
            None => (String::new(), count(row.step)),
        };
        let mut spans = vec![
            Span::styled(if watched { "▸ " } else { "  " }, theme.accent()),
            Span::styled(pad(&cut(&row.run.name(), self.name - 1), self.name), theme.strong()),
            Span::styled(pad(&format!("{dot} {word}"), 13), style),
            Span::raw(pad_left(&step, 18)),
            Span::styled(pad_left(&share, 7), theme.dim()),
            Span::raw(pad_left(&row.loss.map_or_else(|| "–".to_owned(), number), 9)),
            Span::styled(
                pad_left(&row.last_time.map_or_else(|| "–".to_owned(), |t| ago(now - t)), 12),
                theme.dim(),
            ),
        ];
        if self.model > 0 {
            let name = row.model.as_deref().unwrap_or("");
            spans.push(Span::raw(format!("  {}", pad(name, self.model - 2))));
        }
        if self.root > 0 {
            let root = row.run.path().parent().map_or_else(String::new, |p| p.display().to_string());
            spans.push(Span::styled(format!(" {}", cut(&root, self.root - 1)), theme.dim()));
        }
        Line::from(spans)
    }
}
