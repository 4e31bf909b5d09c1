//! The mesh: one row a rank, with as many columns as there is room for.

use crate::tui::devices::{Focus, RankRow, imbalance};
use crate::tui::format::{bytes, cut, pad_left, percent};
use crate::tui::model::{Model, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// A column: heading, width, how soon it gives way (0 never), what stands in it.
struct Column {
    head: &'static str,
    width: usize,
    gives_way: u8,
    cell: fn(&RankRow, Theme) -> (String, Style),
}

const COLUMNS: [Column; 17] = [
    Column { head: "rank", width: 4, gives_way: 0, cell: |r, t| (r.rank.to_string(), t.strong()) },
    Column { head: "node", width: 4, gives_way: 0, cell: |r, t| (r.node.to_string(), t.text()) },
    Column { head: "machine", width: 12, gives_way: 4, cell: |r, t| (r.host.clone(), t.dim()) },
    Column { head: "device", width: 6, gives_way: 0, cell: |r, t| (r.device.clone(), t.text()) },
    Column { head: "data", width: 4, gives_way: 0, cell: |r, t| (r.at[0].to_string(), t.text()) },
    Column { head: "shard", width: 5, gives_way: 0, cell: |r, t| (r.at[1].to_string(), t.text()) },
    Column { head: "tensor", width: 6, gives_way: 0, cell: |r, t| (r.at[2].to_string(), t.text()) },
    Column {
        head: "samples",
        width: 8,
        gives_way: 5,
        cell: |r, t| (format!("{}..{}", r.samples.start, r.samples.end), t.dim()),
    },
    Column {
        head: "state",
        width: 10,
        gives_way: 0,
        cell: |r, t| (r.state.clone(), if r.bad { t.bad() } else { t.good() }),
    },
    Column { head: "step s", width: 7, gives_way: 0, cell: |r, t| (seconds(r.step), t.text()) },
    Column {
        head: "own s",
        width: 8,
        gives_way: 0,
        cell: |r, t| match r.slow {
            true => (format!("{} ◄", seconds(r.own)), t.warn()),
            false => (format!("{}  ", seconds(r.own)), t.text()),
        },
    },
    Column { head: "parameters", width: 10, gives_way: 3, cell: |r, t| (bytes(r.held.parameters), t.text()) },
    Column { head: "gradients", width: 9, gives_way: 3, cell: |r, t| (bytes(r.held.gradients), t.text()) },
    Column { head: "optimiser", width: 9, gives_way: 3, cell: |r, t| (bytes(r.held.optimiser), t.text()) },
    Column {
        head: "state B",
        width: 9,
        gives_way: 1,
        cell: |r, t| (bytes(r.held.sum()), if r.measured { t.text() } else { t.dim() }),
    },
    Column {
        head: "activations",
        width: 11,
        gives_way: 2,
        cell: |r, t| (r.activations.map_or_else(|| "n/a".to_owned(), bytes), t.text()),
    },
    Column {
        head: "GPU used",
        width: 8,
        gives_way: 2,
        cell: |r, t| match r.device_memory {
            Some((used, _)) => (bytes(used), t.text()),
            None => ("n/a".to_owned(), t.dim()),
        },
    },
];

fn seconds(s: Option<f64>) -> String {
    match s {
        Some(s) if s < 10.0 => format!("{s:.3}"),
        Some(s) => format!("{s:.1}"),
        None => "n/a".to_owned(),
    }
}

/// The columns that there is room for.
fn columns(width: usize) -> Vec<&'static Column> {
    let mut shown: Vec<&'static Column> = COLUMNS.iter().collect();
    for gone in (1..=5).rev() {
        let need: usize = shown.iter().map(|c| c.width + 1).sum();
        if need <= width {
            break;
        }
        shown.retain(|c| c.gives_way != gone);
    }
    shown
}

/// Draws the grid.
pub fn draw(
    model: &Model,
    watched: &Watched,
    ranks: &[RankRow],
    frame: &mut Frame,
    area: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let focused = model.devices.focus == Focus::Mesh;
    let mut block = view::block(theme, view::title(theme, "mesh"), focused);
    if ranks.iter().any(|r| r.slow) {
        let legend = Span::styled(" ◄ the others wait for it ", theme.warn());
        block = block.title_bottom(Line::from(legend).right_aligned());
    }
    let block = block.padding(ratatui::widgets::Padding::horizontal(1));
    let inner = block.inner(area);
    let mut lines = vec![summary(theme, watched, ranks, usize::from(inner.width))];
    frame.render_widget(block, area);
    if ranks.is_empty() {
        lines = vec![Line::from(Span::styled("no rank has reported yet", theme.dim()))];
    }
    let width = usize::from(inner.width);
    let columns = columns(width);
    if !ranks.is_empty() {
        let head = columns.iter().map(|c| pad_left(c.head, c.width)).collect::<Vec<_>>().join(" ");
        lines.push(Line::from(Span::styled(head, theme.dim())));
    }
    let room = usize::from(inner.height).saturating_sub(lines.len());
    let chosen = model.devices.rank.min(ranks.len().saturating_sub(1));
    let first = first_visible(chosen, ranks.len(), room);
    let head = view::cells(lines.len());
    for (y, line) in (inner.y..inner.bottom()).zip(lines) {
        frame.render_widget(line, Rect { y, height: 1, ..inner });
    }
    let rows = ranks.iter().enumerate().skip(first).take(room);
    for (y, (index, rank)) in ((inner.y + head)..inner.bottom()).zip(rows) {
        let mut spans = Vec::new();
        for column in &columns {
            let (text, style) = (column.cell)(rank, theme);
            spans.push(Span::styled(pad_left(&cut(&text, column.width), column.width), style));
            spans.push(Span::raw(" "));
        }
        let mut line = Line::from(spans);
        if index == chosen {
            line = view::selected_line(theme, &line, width);
        }
        let place = Rect { y, height: 1, ..inner };
        frame.render_widget(line, place);
        regions.add(place, Hit::Row(index));
    }
    if focused {
        (regions.rows, regions.total_rows) = (room, ranks.len());
    }
}

/// The axes, what is sharded, how even it is; the newest word while ranks are awaited.
fn summary(theme: Theme, watched: &Watched, ranks: &[RankRow], width: usize) -> Line<'static> {
    let history = &watched.history;
    let Some(layout) = &history.layout else {
        let waits = history.state.as_ref().and_then(|(_, message)| message.clone()).unwrap_or_default();
        return Line::from(Span::styled(cut(&waits, width), theme.warn()));
    };
    let mut spans = vec![
        Span::styled("data ", theme.dim()),
        Span::raw(layout.data_parallel.to_string()),
        Span::styled(" × sharding ", theme.dim()),
        Span::raw(layout.sharding.to_string()),
        Span::styled(" × tensor ", theme.dim()),
        Span::raw(layout.tensor_parallel.to_string()),
    ];
    if !layout.stage.is_empty() {
        spans.push(Span::styled(format!("  {}", cut(&layout.stage, 12)), theme.text()));
    }
    #[allow(clippy::cast_precision_loss)]
    let uneven = [
        ("bytes", imbalance(ranks.iter().map(|r| r.held.sum() as f64))),
        ("own time", imbalance(ranks.iter().filter_map(|r| r.own))),
    ];
    let mut lead = "  uneven: ";
    for (what, share) in uneven {
        if let Some(share) = share {
            spans.push(Span::styled(format!("{lead}{what} "), theme.dim()));
            let style = if share > 0.15 { theme.warn() } else { theme.text() };
            spans.push(Span::styled(percent(share), style));
            lead = ", ";
        }
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_stays_on_a_narrow_screen() {
        let heads = |width| columns(width).iter().map(|c| c.head).collect::<Vec<_>>();
        let narrow = heads(76);
        for head in
            ["rank", "node", "device", "data", "shard", "tensor", "state", "step s", "own s", "state B"]
        {
            assert!(narrow.contains(&head), "{head} is missing in {narrow:?}");
        }
        assert_eq!(heads(170).len(), COLUMNS.len());
        let need: usize = columns(76).iter().map(|c| c.width + 1).sum();
        assert!(need <= 77, "{need}");
        assert!(COLUMNS.iter().all(|c| c.head.len() <= c.width));
    }
}
