//! The devices tab: memory and load of each rank, what its bytes are, how parameters lie on the ranks.

use crate::tui::format::{bytes, count, cut, pad, pad_left, percent, safe};
use crate::tui::model::{Model, Watched};
use crate::tui::regions::Regions;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use run::events::{Layout, Memory, Place};

/// Draws the tab.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let history = &watched.history;
    let width = usize::from(area.width.saturating_sub(4));
    let mut lines: Vec<Line> = Vec::new();
    for (rank, memory) in &history.memory {
        let course = history.memory_course.get(rank).map(Vec::as_slice).unwrap_or_default();
        lines.extend(rank_lines(theme, memory, course, width));
        lines.push(Line::from(""));
    }
    if history.memory.is_empty() {
        let text = "no memory report yet: each rank sends one every few seconds while it trains";
        lines.push(Line::from(Span::styled(text, theme.dim())));
        lines.push(Line::from(""));
    }
    match &history.layout {
        Some(layout) => lines.extend(layout_lines(theme, layout, width)),
        None => lines.push(Line::from(Span::styled("layout: not reported yet", theme.dim()))),
    }
    let visible = usize::from(area.height.saturating_sub(2));
    regions.rows = visible;
    regions.total_rows = lines.len();
    let scroll = model.devices_scroll.min(lines.len().saturating_sub(visible));
    let mut block = view::block(theme, view::title(theme, "devices"), true);
    if lines.len() > visible {
        let last = (scroll + visible).min(lines.len());
        let text = format!(" {}-{last} of {} ", scroll + 1, lines.len());
        block = block.title_bottom(Line::from(Span::styled(text, theme.dim())).right_aligned());
    }
    let shown: Vec<Line> = lines.into_iter().skip(scroll).take(visible).collect();
    frame.render_widget(
        Paragraph::new(shown).block(block.padding(ratatui::widgets::Padding::horizontal(1))),
        area,
    );
}

fn rank_lines(theme: Theme, m: &Memory, course: &[(f64, u64)], width: usize) -> Vec<Line<'static>> {
    let why = |names: &[&str]| {
        let note = names.iter().find_map(|n| m.notes.get(*n)).or_else(|| m.notes.values().next());
        note.map_or_else(|| "n/a".to_owned(), |n| format!("n/a: {}", safe(n)))
    };
    let label = |text: &str| Span::styled(pad(text, 11), theme.dim());
    let mut head =
        vec![Span::styled(format!("rank {:<4} ", m.rank), theme.strong()), Span::raw(cut(&m.device, 40))];
    if let Some(load) = m.cpu_load {
        head.push(Span::styled("  CPU load ", theme.dim()));
        head.push(Span::raw(format!("{load:.2}")));
        head.push(Span::styled(" cores", theme.dim()));
    }
    head.push(Span::styled("  as of step ", theme.dim()));
    head.push(Span::raw(count(m.step)));
    let used: usize = head.iter().map(Span::width).sum();
    if let Some(uuid) = m.uuid.as_ref().filter(|_| width > used + 14) {
        head.push(Span::styled(format!("  {}", cut(uuid, width - used - 2)), theme.dim()));
    }

    let mut device = vec![label("device")];
    match (m.device_used, m.device_total) {
        (Some(used), Some(total)) if total > 0 => {
            let share = ratio(used, total);
            let style = if share > 0.95 { theme.warn() } else { theme.text() };
            device.extend(view::bar(theme, share, 20));
            device.push(Span::styled(format!("  {} of {} used", bytes(used), bytes(total)), style));
            device.push(Span::styled(format!("  {} by all", percent(share)), theme.dim()));
        }
        _ => device
            .push(Span::styled(cut(&why(&["device_used", "device_total", "nvml"]), width - 11), theme.dim())),
    }

    let mut allocator = vec![label("allocator")];
    if m.allocated.is_none() && m.reserved.is_none() && m.peak.is_none() {
        allocator.push(Span::styled(cut(&why(&["allocated", "reserved", "peak"]), width - 11), theme.dim()));
    } else {
        for (name, value) in [("allocated", m.allocated), ("reserved", m.reserved), ("peak", m.peak)] {
            let value = value.map_or_else(|| "n/a".to_owned(), bytes);
            allocator.push(Span::raw(pad_left(&value, 9)));
            allocator.push(Span::styled(format!(" {name}   "), theme.dim()));
        }
    }

    let mut process = vec![label("process")];
    match m.resident {
        Some(resident) => {
            process.push(Span::raw(bytes(resident)));
            process.push(Span::styled(" resident", theme.dim()));
            if let Some(peak) = m.resident_peak {
                process.push(Span::raw(format!("   {}", bytes(peak))));
                process.push(Span::styled(" peak", theme.dim()));
            }
        }
        None => process.push(Span::styled(cut(&why(&["resident"]), width - 11), theme.dim())),
    }
    let used: usize = process.iter().map(Span::width).sum();
    if width > used + 16 && course.len() > 1 {
        let room = (width - used - 12).min(40);
        process.push(Span::styled("   over time ", theme.dim()));
        process.push(Span::styled(spark(course, room.saturating_sub(10)), theme.accent()));
    }
    let mut lines = vec![Line::from(head), Line::from(device), Line::from(allocator), Line::from(process)];
    lines.extend(split(theme, m, width));
    lines
}

/// The bytes of a rank by what they are: the known ones, and the rest of what was measured.
fn split(theme: Theme, m: &Memory, width: usize) -> Vec<Line<'static>> {
    let known = m.parameters + m.gradients + m.optimiser;
    let measured = m.peak.or(m.resident_peak).or(m.resident);
    let mut parts = vec![
        ("parameters", m.parameters, "█", theme.accent()),
        ("gradients", m.gradients, "▓", theme.good()),
        ("optimiser", m.optimiser, "▒", theme.edited()),
    ];
    if let Some(measured) = measured {
        parts.push(("rest", measured.saturating_sub(known), "░", theme.dim()));
    }
    let total: u64 = parts.iter().map(|p| p.1).sum();
    let mut spans = vec![Span::styled(pad("bytes", 11), theme.dim())];
    let mut words: Vec<Span> = Vec::new();
    for (name, value, sign, style) in &parts {
        words.push(Span::styled(format!("  {sign} "), *style));
        words.push(Span::raw(bytes(*value)));
        words.push(Span::styled(format!(" {name}"), theme.dim()));
    }
    let used: usize = words.iter().map(Span::width).sum();
    if measured.is_none() {
        words.push(Span::styled("  rest n/a: nothing measured", theme.dim()));
    }
    if width >= 11 + used + 16 {
        spans.extend(stacked_bar(&parts, total, (width - 11 - used).min(32)));
        spans.extend(words);
        return vec![Line::from(spans)];
    }
    // The words stand below the bar, two and two, where they do not fit beside it.
    spans.extend(stacked_bar(&parts, total, width.saturating_sub(11).min(48)));
    let mut lines = vec![Line::from(spans)];
    for pair in words.chunks(6) {
        let mut line = vec![Span::raw(" ".repeat(9))];
        for part in pair.chunks(3) {
            line.extend(part.iter().cloned());
            let wide: usize = part.iter().map(Span::width).sum();
            line.push(Span::raw(" ".repeat(26_usize.saturating_sub(wide))));
        }
        lines.push(Line::from(line));
    }
    lines
}

/// Each part gets its share of the columns, rounded so that the bar is full.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn stacked_bar(parts: &[(&str, u64, &'static str, Style)], total: u64, width: usize) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    let (mut sum, mut at) = (0_u64, 0_usize);
    for (_, value, sign, style) in parts.iter().filter(|_| total > 0) {
        sum += value;
        let end = ((sum as f64 / total as f64) * width as f64).round() as usize;
        spans.push(Span::styled(sign.repeat(end.saturating_sub(at)), *style));
        at = end.max(at);
    }
    spans
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The newest values of a course as a row of bars, from 0 to its highest.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn spark(course: &[(f64, u64)], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = course.get(course.len().saturating_sub(width)..).unwrap_or_default();
    let most = shown.iter().map(|(_, b)| *b).max().unwrap_or(1);
    shown.iter().map(|(_, b)| BARS[((ratio(*b, most) * 7.0).round() as usize).min(7)]).collect()
}

/// A rank's place in the mesh, the samples that it reads, and its bytes between two steps.
fn place_line(theme: Theme, rank: usize, place: &Place, width: usize) -> Line<'static> {
    let at = place.at;
    let head = format!(
        "rank {rank:<3} node {:<2} data {:<2} shard {:<2} tensor {:<2} samples {:<12}",
        place.node,
        at.data_parallel,
        at.sharding,
        at.tensor_parallel,
        format!("{}..{}", place.first_row, place.first_row + place.rows)
    );
    let state = match place.measured {
        Some(m) => format!(
            "{} (parameters {}, gradients {}, optimiser {}; {} predicted)",
            bytes(m.sum()),
            bytes(m.parameters),
            bytes(m.gradients),
            bytes(m.optimiser),
            bytes(place.predicted.sum())
        ),
        None => format!("{} predicted, measured after the first step", bytes(place.predicted.sum())),
    };
    let room = width.saturating_sub(head.len());
    Line::from(vec![Span::styled(head, theme.dim()), Span::raw(cut(&state, room))])
}

fn layout_lines(theme: Theme, layout: &Layout, width: usize) -> Vec<Line<'static>> {
    let mut mesh = vec![
        Span::styled("layout  ", theme.strong()),
        Span::styled("data ", theme.dim()),
        Span::raw(layout.data_parallel.to_string()),
        Span::styled(" × sharding ", theme.dim()),
        Span::raw(layout.sharding.to_string()),
        Span::styled(" × tensor ", theme.dim()),
        Span::raw(layout.tensor_parallel.to_string()),
    ];
    if !layout.stage.is_empty() {
        mesh.push(Span::styled("   stage ", theme.dim()));
        mesh.push(Span::raw(cut(&layout.stage, 12)));
    }
    let ranks = layout.rows.iter().map(|r| r.ranks.len()).max().unwrap_or(0);
    let sums: Vec<u64> =
        (0..ranks).map(|i| layout.rows.iter().filter_map(|r| r.ranks.get(i)).sum()).collect();
    if let (Some(most), Some(least)) = (sums.iter().max(), sums.iter().min())
        && ranks > 1
        && *most > 0
    {
        mesh.push(Span::styled("   imbalance ", theme.dim()));
        mesh.push(Span::raw(format!("{:.1} %", (1.0 - ratio(*least, *most)) * 100.0)));
    }
    let mut lines = vec![Line::from(mesh)];
    lines.extend(layout.ranks.iter().enumerate().map(|(rank, place)| place_line(theme, rank, place, width)));
    let name_width = layout
        .rows
        .iter()
        .map(|r| r.name.len())
        .max()
        .unwrap_or(4)
        .clamp(10, width.saturating_sub(24).max(10))
        .min(44);
    let columns = ranks.min(width.saturating_sub(name_width + 12) / 12);
    let mut head = format!("{}{}", pad("parameters", name_width), pad_left("whole", 12));
    for i in 0..columns {
        head += &pad_left(&format!("rank {i}"), 12);
    }
    if columns < ranks {
        head += " …";
    }
    lines.push(Line::from(Span::styled(head, theme.dim())));
    for row in &layout.rows {
        let mut spans =
            vec![Span::raw(pad(&row.name, name_width)), Span::raw(pad_left(&bytes(row.bytes), 12))];
        for i in 0..columns {
            let on = row.ranks.get(i).copied().unwrap_or(0);
            let style = if on == 0 { theme.dim() } else { theme.text() };
            spans.push(Span::styled(pad_left(&bytes(on), 12), style));
        }
        lines.push(Line::from(spans));
    }
    let whole: u64 = layout.rows.iter().map(|r| r.bytes).sum();
    let mut total = vec![
        Span::styled(pad("total", name_width), theme.strong()),
        Span::styled(pad_left(&bytes(whole), 12), theme.strong()),
    ];
    total.extend(sums.iter().take(columns).map(|b| Span::styled(pad_left(&bytes(*b), 12), theme.strong())));
    lines.push(Line::from(total));
    lines
}
