//! The entries: only the rows in sight are made.

use crate::tui::datasets::{Order, Shared};
use crate::tui::format::{count, cut, pad, pad_left, tail};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use data::check::Severity;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Width from which the picture's name stands beside the caption.
const WIDE: usize = 52;

/// The sign and style of a finding's severity.
pub fn sign(theme: Theme, severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Error => ("✕", theme.bad()),
        Severity::Warning => ("!", theme.warn()),
        Severity::Info => ("i", theme.accent()),
    }
}

/// Draws the list.
pub fn draw(model: &Model, open: &Shared, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, datasets) = (model.theme, &model.datasets);
    let width = usize::from(area.width.saturating_sub(2));
    let total = open.dataset.len();
    let split = if open.source.path.extension().is_some() { "" } else { open.source.split.name() };
    let room = width.saturating_sub(4 + split.len() + usize::from(!split.is_empty()));
    let path = tail(&open.source.path.display().to_string(), room);
    let title = if split.is_empty() { path } else { format!("{path} {split}") };
    let listed = datasets.count();
    let mut parts = vec![if listed == total {
        count(total as u64)
    } else {
        format!("{} of {}", count(listed as u64), count(total as u64))
    }];
    if datasets.order != Order::File || datasets.reversed {
        parts.push(format!("{}{}", datasets.order.name(), if datasets.reversed { ", reversed" } else { "" }));
    }
    if datasets.only_marked {
        parts.push("marked only".to_owned());
    } else if !datasets.marks.is_empty() {
        parts.push(format!("{} marked", count(datasets.marks.len() as u64)));
    }
    let told = cut(&parts.join(" · "), width.saturating_sub(2));
    let mut block = view::block(theme, view::title(theme, &title), true)
        .title_bottom(Line::from(Span::styled(format!(" {told} "), theme.dim())).right_aligned());
    let inner_top = block.inner(area);
    let mut inner = inner_top;
    if datasets.filtering || !datasets.filter.value().is_empty() {
        let line = Rect { height: inner.height.min(1), ..inner };
        frame.render_widget(filter(model, width), line);
        inner.y += line.height;
        inner.height -= line.height;
        if let Some(problem) = &datasets.filter_problem {
            let text = cut(&format!("✕ {problem}"), width);
            frame.render_widget(
                Span::styled(text, theme.bad()),
                Rect { height: inner.height.min(1), ..inner },
            );
            inner.y += 1.min(inner.height);
            inner.height = inner.height.saturating_sub(1);
        }
    }
    block = block.title_top(Line::default());
    frame.render_widget(block, area);
    regions.rows = usize::from(inner.height);
    if listed == 0 {
        let text = if datasets.searching { "… searching" } else { "nothing matches" };
        frame.render_widget(Paragraph::new(Span::styled(text, theme.dim())), inner);
        return;
    }
    let selected = datasets.selected.min(listed - 1);
    let start = first_visible(selected, listed, usize::from(inner.height));
    let digits = count(total as u64).len();
    for (y, place) in (inner.y..inner.bottom()).zip(start..listed) {
        let Some(sample) = datasets.sample_at(place) else { continue };
        let row = Rect { y, height: 1, ..inner };
        frame.render_widget(line(model, open, sample, (width, digits), place == selected), row);
        regions.add(row, Hit::Row(place));
    }
}

/// The line in which words to find are typed.
fn filter(model: &Model, width: usize) -> Line<'static> {
    let (theme, datasets) = (model.theme, &model.datasets);
    let sign = if datasets.regex { "regex " } else { "/" };
    let cursor = if datasets.filtering { "▏" } else { "" };
    let busy = if datasets.searching { " …" } else { "" };
    let text = cut(datasets.filter.value(), width.saturating_sub(sign.len() + 3));
    Line::from(vec![
        Span::styled(sign, theme.key()),
        Span::styled(format!("{text}{cursor}"), theme.accent()),
        Span::styled(busy, theme.warn()),
    ])
}

fn line(
    model: &Model,
    open: &Shared,
    sample: u32,
    (width, digits): (usize, usize),
    selected: bool,
) -> Line<'static> {
    let (theme, datasets) = (model.theme, &model.datasets);
    let index = sample as usize;
    let mark = if datasets.marks.contains(&sample) { "●" } else { " " };
    let (sign, style) = datasets.worst(sample).map_or((" ", theme.dim()), |worst| sign(theme, worst));
    let entry = open.dataset.origin(index).map_or(0, |origin| origin.entry);
    let number = pad_left(&count(u64::from(entry)), digits);
    let mut captions = open.dataset.captions(index);
    let (more, first) = (captions.len(), captions.next().unwrap_or("(no caption)"));
    let more = if more > 1 { format!(" +{}", more - 1) } else { String::new() };
    let room = width.saturating_sub(3 + digits + 1);
    // A name's end tells more than the folders in front of it.
    let name = open.dataset.image_name(index).unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or(name);
    let name_width = if width >= WIDE { (room / 3).min(26) } else { 0 };
    let text = room.saturating_sub(name_width + usize::from(name_width > 0) + more.len());
    let caption = pad(first, text);
    let name =
        if name_width > 0 { format!("{} ", pad(&tail(name, name_width), name_width)) } else { String::new() };
    if selected {
        let text = format!("{mark}{sign} {number} {name}{caption}{more}");
        return Line::from(Span::styled(text, theme.selected()));
    }
    Line::from(vec![
        Span::styled(mark, theme.edited()),
        Span::styled(sign, style),
        Span::styled(format!(" {number} {name}"), theme.dim()),
        Span::raw(caption),
        Span::styled(more, theme.dim()),
    ])
}
