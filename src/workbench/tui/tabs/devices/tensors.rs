//! The model's tensors: pick one and see its shape, what each rank has of it, and who owns which elements.

use crate::tui::devices::{Shard, Tensors};
use crate::tui::format::{bytes, count, cut, many, pad, pad_left, tail};
use crate::tui::model::{Model, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws list and detail.
pub fn draw(
    model: &Model,
    watched: &Watched,
    rank: usize,
    focused: bool,
    frame: &mut Frame,
    area: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let devices = &model.devices;
    let mut title = view::title(theme, "tensors");
    if devices.filtering || !devices.filter.value().is_empty() {
        let cursor = if devices.filtering { "▏" } else { "" };
        title.push_span(Span::styled(
            format!("/{}{cursor} ", cut(devices.filter.value(), 24)),
            theme.accent(),
        ));
    }
    let block = view::block(theme, title, focused).padding(ratatui::widgets::Padding::horizontal(1));
    let Some(tensors) = &watched.tensors else {
        let text = Span::styled("the run has not told its layout yet", theme.dim());
        frame.render_widget(Paragraph::new(text).block(block), area);
        return;
    };
    let listed = tensors.listed(devices.filter.value());
    let chosen = devices.tensor.min(listed.len().saturating_sub(1));
    let ranks = watched.history.layout.as_ref().map_or(0, |l| l.ranks.len());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let need = view::cells(ranks).saturating_add(2).min(inner.height / 2).max(3);
    let [list, detail] = Layout::vertical([Constraint::Min(2), Constraint::Length(need)]).areas(inner);
    let width = usize::from(inner.width);
    if listed.is_empty() {
        frame.render_widget(Span::styled("no such name; Esc clears the filter", theme.dim()), list);
        return;
    }
    let room = usize::from(list.height);
    let first = first_visible(chosen, listed.len(), room);
    for (y, (row, index)) in (list.y..list.bottom()).zip(listed.iter().enumerate().skip(first)) {
        let mut line = name_line(theme, tensors, *index, rank, width);
        if row == chosen && focused {
            line = view::selected_line(theme, &line, width);
        }
        let place = Rect { y, height: 1, ..list };
        frame.render_widget(line, place);
        regions.add(place, Hit::Tensor(row));
    }
    if focused {
        (regions.rows, regions.total_rows) = (room, listed.len());
    }
    if let Some(index) = listed.get(chosen) {
        let lines = detail_lines(theme, tensors, *index, rank, ranks, usize::from(detail.height), width);
        frame.render_widget(Paragraph::new(lines), detail);
    }
}

fn shape(dimensions: &[i64]) -> String {
    let text: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
    format!("[{}]", text.join(","))
}

fn name_line(theme: Theme, tensors: &Tensors, index: usize, rank: usize, width: usize) -> Line<'static> {
    let Some(spec) = tensors.specs.get(index) else { return Line::default() };
    let rank = u32::try_from(rank).unwrap_or(0);
    let own = tensors.shard(index, rank).map_or(0, |s| s.bytes);
    let numel = u64::try_from(spec.numel()).unwrap_or(0);
    let name = width.saturating_sub(13 + 9 + 10).max(12);
    Line::from(vec![
        Span::raw(pad(&tail(&spec.name, name), name)),
        Span::styled(pad_left(&cut(&shape(&spec.shape), 12), 13), theme.dim()),
        Span::raw(pad_left(&bytes(numel * 4), 9)),
        Span::styled(pad_left(&bytes(own), 10), if own == 0 { theme.dim() } else { theme.text() }),
    ])
}

/// The tensor in whole, then one line a rank.
fn detail_lines(
    theme: Theme,
    tensors: &Tensors,
    index: usize,
    rank: usize,
    ranks: usize,
    height: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let Some(spec) = tensors.specs.get(index) else { return Vec::new() };
    let numel = u64::try_from(spec.numel()).unwrap_or(0);
    let here = u32::try_from(rank).unwrap_or(0);
    let block = tensors.block(index, here).map_or_else(String::new, |(name, held)| match name.is_empty() {
        true => ", in no block".to_owned(),
        false => format!(", of a block with {} here", bytes(held.parameters)),
    });
    let head =
        format!("{} float32, {}, {}{block}", shape(&spec.shape), many(numel, "element"), bytes(numel * 4));
    let mut lines = vec![
        Line::from(Span::styled(cut(&spec.name, width), theme.strong())),
        Line::from(Span::styled(cut(&head, width), theme.dim())),
    ];
    let room = height.saturating_sub(lines.len());
    let first = first_visible(rank, ranks, room);
    let mut shown = Vec::new();
    for rank in (first..ranks).take(room) {
        let number = u32::try_from(rank).unwrap_or(0);
        let Some(shard) = tensors.shard(index, number) else { continue };
        let part = match shard.whole {
            true => "whole".to_owned(),
            false => format!("part {}", shape(&shard.shape)),
        };
        let owns = match &shard.owns {
            Some(range) => format!("owns {}..{}", count(range.start as u64), count(range.end as u64)),
            None => "owns nothing".to_owned(),
        };
        shown.push((rank, part, owns, shard));
    }
    let widest =
        |of: fn(&(usize, String, String, Shard)) -> usize| shown.iter().map(of).max().unwrap_or(0) + 2;
    let (parts, owned) = (widest(|s| s.1.len()), widest(|s| s.2.len()));
    for (rank, part, owns, shard) in &shown {
        lines.push(Line::from(vec![
            Span::styled(pad(&format!("rank {rank}"), 9), theme.strong()),
            Span::raw(pad(part, parts)),
            Span::styled(pad(owns, owned), if shard.owns.is_some() { theme.good() } else { theme.dim() }),
            Span::styled(format!("holds {}", bytes(shard.bytes)), theme.dim()),
        ]));
    }
    lines
}
