//! Findings by kind, the gravest first.

use super::list::sign;
use crate::tui::datasets::Row;
use crate::tui::format::{count, cut, pad, wrap};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws them.
pub fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, datasets) = (model.theme, &model.datasets);
    let rows = datasets.finding_rows();
    let all = datasets.findings();
    let total = format!(" {} findings ", count(all.len() as u64));
    let block = view::block(theme, view::title(theme, "findings"), true)
        .title_bottom(Line::from(Span::styled(total, theme.dim())).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    regions.rows = usize::from(inner.height);
    if rows == 0 {
        let text = match (&datasets.checking, &datasets.found) {
            (Some(_), _) => "none so far",
            (None, Some(_)) => "none: all that was looked at is well",
            (None, None) => "not checked yet: c checks",
        };
        let lines: Vec<Line> =
            wrap(text, width).into_iter().map(|l| Line::from(Span::styled(l, theme.dim()))).collect();
        frame.render_widget(Paragraph::new(lines), inner);
        return;
    }
    let selected = datasets.finding.min(rows - 1);
    let start = first_visible(selected, rows, usize::from(inner.height));
    for (y, at) in (inner.y..inner.bottom()).zip(start..rows) {
        let Some(row) = datasets.finding_row(at) else { break };
        let place = Rect { y, height: 1, ..inner };
        let (mark, style, text) = match row {
            Row::Kind(kind, n) => {
                let fold = if datasets.unfolded.contains(&kind) { "▾" } else { "▸" };
                let (sign, style) = sign(theme, kind.severity());
                let n = count(n as u64);
                let name = kind.name().replace('_', " ");
                let text = format!("{fold} {} {n}", pad(&name, width.saturating_sub(5 + n.len())));
                (sign, style, text)
            }
            Row::Finding(number) => {
                let Some(found) = all.get(number) else { continue };
                let finding = &found.finding;
                let entry = finding.entry.map_or_else(String::new, |entry| format!("{entry}: "));
                (" ", theme.dim(), format!("  {entry}{}", finding.message))
            }
        };
        let text = pad(&text, width.saturating_sub(2));
        let line = if at == selected {
            Line::from(Span::styled(format!("{mark} {text}"), theme.selected()))
        } else {
            Line::from(vec![Span::styled(format!("{mark} "), style), Span::raw(text)])
        };
        frame.render_widget(line, place);
        regions.add(place, Hit::Row(at));
    }
}

/// The selected finding or kind in full, for the right side.
pub fn chosen(model: &Model, width: usize) -> Vec<Line<'static>> {
    let (theme, datasets) = (model.theme, &model.datasets);
    let Some(row) = datasets.finding_chosen() else { return Vec::new() };
    match row {
        Row::Kind(kind, _) => {
            let (sign, style) = sign(theme, kind.severity());
            let text = format!("{sign} {}", kind.doc());
            wrap(&text, width).into_iter().map(|line| Line::from(Span::styled(line, style))).collect()
        }
        Row::Finding(number) => {
            let Some(found) = datasets.findings().get(number) else { return Vec::new() };
            finding(model, found, width)
        }
    }
}

/// A finding in full: its place, what is wrong, what to do.
pub fn finding(model: &Model, found: &crate::tui::datasets::Found, width: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let finding = &found.finding;
    let (sign, style) = sign(theme, finding.severity());
    let mut lines: Vec<Line> = wrap(&format!("{sign} {}", finding.message), width)
        .into_iter()
        .map(|line| Line::from(Span::styled(line, style)))
        .collect();
    let name = finding.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let line = if finding.line > 0 { format!(":{}:{}", finding.line, finding.column) } else { String::new() };
    let byte = finding.byte().map_or_else(String::new, |byte| format!(" (byte {byte})"));
    let place = format!("{name}{line}{byte}");
    lines.push(Line::from(Span::styled(cut(&format!("  {place}"), width), theme.dim())));
    lines
}
