//! The runs list: pick one, watch it.

use crate::tui::format::{ago, count, cut, number, pad, pad_left, percent};
use crate::tui::message::RunSummary;
use crate::tui::model::{Model, Order};
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
    let Some(all) = model.runs.rows.as_deref() else {
        let block = view::block(theme, view::title(theme, "runs"), true);
        frame.render_widget(
            Paragraph::new(Span::styled(" looking for runs …", theme.dim())).block(block),
            area,
        );
        return;
    };
    let rows = model.runs.visible();
    let live = all.iter().filter(|r| r.status.is_alive()).count();
    let mut title = view::title(theme, "runs");
    let count = if rows.len() == all.len() {
        rows.len().to_string()
    } else {
        format!("{} of {}", rows.len(), all.len())
    };
    title.push_span(Span::styled(format!("{count} · {live} alive "), theme.dim()));
    if model.runs.filtering || !model.runs.filter.value().is_empty() {
        let cursor = if model.runs.filtering { "▏" } else { "" };
        let text = format!("/{}{cursor} ", cut(model.runs.filter.value(), 50));
        title.push_span(Span::styled(text, theme.accent()));
    }
    let order = Line::from(Span::styled(format!(" by {} ", model.runs.order.word().0), theme.dim()));
    let block = view::block(theme, title, true).title(order.right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if rows.is_empty() && !all.is_empty() {
        let text =
            " No run is like that: Esc takes the filter off, `archived` in it finds runs that were put away.";
        frame.render_widget(Paragraph::new(Span::styled(text, theme.dim())), inner);
        return;
    }
    if rows.is_empty() {
        let text = vec![
            Line::from(""),
            Line::from(Span::styled(" There are no runs yet.", theme.strong())),
            Line::from(""),
            Line::from(" Try the demo:          cocaptain demo"),
            Line::from(" Train on your own:     cocaptain train --train_data PATH --attach"),
            Line::from(" Look at other logs:    o, or cocaptain open FOLDER (TensorBoard, open_clip)"),
        ];
        frame.render_widget(Paragraph::new(text), inner);
        return;
    }
    let width = usize::from(inner.width);
    let parent = |r: &RunSummary| r.run.path().parent().map(std::path::Path::to_owned);
    let several =
        model.opened.is_empty() && rows.iter().any(|r| Some(parent(r)) != rows.first().map(|f| parent(f)));
    let labelled = rows.iter().any(|r| !r.labels.tags.is_empty() || !r.labels.note.is_empty());
    let smoothed = model.runs.order == Order::Smoothed;
    let columns = Columns { smoothed, ..Columns::new(width, several, labelled) };
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
        let mark = if model.watched.as_ref().is_some_and(|w| w.run == row.run) {
            "▸ "
        } else if model.others.iter().any(|o| o.watched.run == row.run) {
            "+ "
        } else {
            "  "
        };
        let mut line = columns.line(theme, row, mark, model.now);
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
    /// The share of the steps that are done.
    share: usize,
    age: usize,
    best: usize,
    model: usize,
    labels: usize,
    root: usize,
    /// Whether the loss is the smoothed one.
    smoothed: bool,
}

impl Columns {
    fn new(width: usize, several: bool, labelled: bool) -> Self {
        // Mark 2, status 13, step 18, loss 9.
        let mut left = width.saturating_sub(42);
        // Before all others, where the name keeps enough to be told by.
        let mut needed = |width: usize| {
            let fits = left >= width + 14;
            left -= if fits { width } else { 0 };
            if fits { width } else { 0 }
        };
        let (share, age) = (needed(7), needed(12));
        // What there is room for beside a name of 22, the most useful first.
        let mut column = |wanted: bool, width: usize| {
            let fits = wanted && left >= width + 22;
            left -= if fits { width } else { 0 };
            if fits { width } else { 0 }
        };
        let best = column(true, 18);
        let labels = column(labelled, 26);
        let model = column(true, 18);
        let root = column(several, 30);
        Self { name: left.clamp(10, 60), share, age, best, model, labels, root, smoothed: false }
    }

    fn head(&self) -> String {
        format!(
            "  {}{}{}{}{}{}{}{}{}",
            pad("run", self.name),
            pad("status", 13),
            pad_left("step", 18),
            pad_left("", self.share),
            pad_left(if self.smoothed { "smoothed" } else { "loss" }, 9),
            if self.best > 0 { pad_left("best", self.best) } else { String::new() },
            pad_left("last event", self.age),
            if self.model > 0 {
                format!("  {}", pad("model", self.model.saturating_sub(2)))
            } else {
                String::new()
            },
            if self.labels > 0 { "  tags, note" } else { "" }
        )
    }

    #[allow(clippy::cast_precision_loss)]
    fn line(&self, theme: Theme, row: &RunSummary, mark: &'static str, now: f64) -> Line<'static> {
        let (dot, word, style) = view::status_look(theme, Some(row.status));
        let (share, step) = match row.total.filter(|t| *t > 0) {
            Some(total) => {
                (percent(row.step as f64 / total as f64), format!("{} / {}", count(row.step), count(total)))
            }
            None => (String::new(), count(row.step)),
        };
        let mut spans = vec![
            Span::styled(mark, theme.accent()),
            Span::styled(pad(&cut(&row.label, self.name - 1), self.name), theme.strong()),
            Span::styled(pad(&format!("{dot} {word}"), 13), style),
            Span::raw(pad_left(&step, 18)),
            Span::styled(pad_left(&share, self.share), theme.dim()),
            Span::raw(pad_left(
                &if self.smoothed { row.smoothed } else { row.loss }.map_or_else(|| "–".to_owned(), number),
                9,
            )),
            Span::styled(pad_left(&self.best(row), self.best), theme.dim()),
            Span::styled(
                pad_left(&row.last_time.map_or_else(|| "–".to_owned(), |t| ago(now - t)), self.age),
                theme.dim(),
            ),
        ];
        if self.model > 0 {
            let name = row.model.as_deref().unwrap_or("");
            spans.push(Span::raw(format!("  {}", pad(name, self.model - 2))));
        }
        if self.labels > 0 {
            let tags: String = row.labels.tags.iter().map(|t| format!("#{t} ")).collect();
            let put_away = if row.labels.archived { "(put away) " } else { "" };
            let tags = cut(&format!("{put_away}{tags}"), self.labels - 3);
            let room = (self.labels - 2).saturating_sub(unicode_width::UnicodeWidthStr::width(tags.as_str()));
            spans.push(Span::styled(format!("  {tags}"), theme.accent()));
            spans.push(Span::raw(pad(&row.labels.note, room)));
        }
        if self.root > 0 {
            let root = row.run.path().parent().map_or_else(String::new, |p| p.display().to_string());
            spans.push(Span::styled(format!(" {}", cut(&root, self.root - 1)), theme.dim()));
        }
        Line::from(spans)
    }

    fn best(&self, row: &RunSummary) -> String {
        match row.best.filter(|_| self.best > 0) {
            Some((step, value)) => format!("{} @{}", number(value), count(step)),
            None => String::new(),
        }
    }
}
