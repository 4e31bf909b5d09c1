//! The charts' popups: the runs on them, the differences of their settings, the file of an export.

use super::draw::{line, open, scrolled};
use crate::tui::format::{cut, pad};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::update::differences;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tui_input::Input;

/// A popup of the charts.
#[derive(Debug)]
pub enum ChartsPopup {
    /// The runs on the charts.
    Compared { selected: usize },
    /// Settings in which they differ.
    Differences { scroll: usize },
    /// Where the curves are written to.
    Export { input: Input },
}

/// What the footer says while it is open.
pub(super) fn hint(popup: &ChartsPopup) -> &'static str {
    match popup {
        ChartsPopup::Compared { .. } => {
            "↑ ↓ choose   Space hide/show   Enter watch   x take off   D differences   Esc close"
        }
        ChartsPopup::Differences { .. } => "↑ ↓ PgUp PgDn scroll   Esc close",
        ChartsPopup::Export { .. } => "type a file's name: .svg .png .csv .json   Enter write   Esc cancel",
    }
}

/// Draws one.
pub(super) fn draw(model: &Model, popup: &ChartsPopup, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    match popup {
        ChartsPopup::Compared { selected } => compared(model, *selected, frame, body, regions),
        ChartsPopup::Differences { scroll } => table(model, *scroll, frame, body, regions),
        ChartsPopup::Export { input } => {
            let text = "The curves of every run on the charts, as smoothed and on the axes that are seen; .csv and .json have every point.";
            line(model, "export curves", text, input, frame, body, regions);
        }
    }
}

fn compared(model: &Model, selected: usize, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let colours = crate::tui::tabs::run::colours(model);
    let main = model.watched.iter().map(|w| (model.label(&w.run), w, false));
    let rows: Vec<_> =
        main.chain(model.others.iter().map(|o| (o.label.clone(), &o.watched, o.hidden))).collect();
    let inner = open(theme, "runs on the charts", (78, view::cells(rows.len() + 4)), frame, body, regions);
    let width = usize::from(inner.width);
    for (i, ((name, watched, hidden), colour)) in rows.iter().zip(colours).enumerate() {
        let y = inner.y + view::cells(i);
        if y >= inner.bottom() {
            break;
        }
        let (dot, word, style) = view::status_look(theme, watched.status);
        let own = theme.series(colour).map_or_else(Style::new, |c| Style::new().fg(c));
        let role = match (i, hidden) {
            (0, _) => "watched",
            (_, true) => "hidden",
            (_, false) => "",
        };
        let loss = watched.history.curves.get("loss").and_then(run::curve::Curve::last);
        let text = Line::from(vec![
            Span::styled(format!(" ━{} ", i + 1), own),
            Span::raw(pad(name, 34)),
            Span::styled(pad(&format!("{dot} {word}"), 13), style),
            Span::raw(pad(
                &loss.map_or_else(String::new, |l| format!("loss {}", crate::tui::format::number(l))),
                13,
            )),
            Span::styled(pad(role, 8), theme.dim()),
        ]);
        let text = if i == selected { view::selected_line(theme, &text, width) } else { text };
        let place = Rect { y, height: 1, ..inner };
        frame.render_widget(text, place);
        regions.add(place, Hit::PopupRow(i));
    }
    if rows.len() < 2 {
        let hint = Span::styled(" Space in the list of runs (r) lays one over this one.", theme.dim());
        frame.render_widget(hint, Rect { y: inner.bottom().saturating_sub(1), height: 1, ..inner });
    }
}

/// Settings side by side, those only in which the runs differ.
fn table(model: &Model, scroll: usize, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let (names, rows) = differences(model);
    let width = body.width.saturating_sub(2).min(40 + 26 * u16::try_from(names.len()).unwrap_or(8));
    let room = usize::from(width.saturating_sub(4));
    let first = rows.iter().map(|(n, _)| n.len()).max().unwrap_or(8).clamp(8, 30) + 2;
    let each = room.saturating_sub(first).checked_div(names.len()).unwrap_or(room).max(6);
    let mut lines = Vec::new();
    let head =
        names.iter().enumerate().map(|(i, n)| pad(&format!("{} {n}", i + 1), each)).collect::<String>();
    lines.push(Line::from(vec![Span::raw(" ".repeat(first)), Span::styled(head, theme.strong())]));
    for (name, values) in &rows {
        let usual = values.first().cloned().flatten();
        let mut spans = vec![Span::styled(pad(name, first), theme.dim())];
        for value in values {
            let style = if *value == usual { theme.text() } else { theme.edited() };
            let text = value.as_deref().unwrap_or("-");
            spans.push(Span::styled(pad(&cut(text, each.saturating_sub(1)), each), style));
        }
        lines.push(Line::from(spans));
    }
    if names.len() < 2 {
        lines.push(Line::from(Span::styled(
            "Space in the list of runs (r) lays one over this one.",
            theme.dim(),
        )));
    } else if rows.is_empty() {
        lines.push(Line::from(Span::styled("The settings are the same.", theme.dim())));
    }
    scrolled(theme, "differences of the settings", (lines, scroll), width, frame, body, regions);
}
