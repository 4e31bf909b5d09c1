//! One rank: its device's memory, the allocator's, the process's, its times, and what its bytes are.

use crate::tui::format::{bytes, count, cut, pad, percent, safe};
use crate::tui::model::{Model, Watched};
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use run::events::{Memory, Place};

/// Draws the rank.
pub fn draw(model: &Model, watched: &Watched, rank: usize, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let history = &watched.history;
    let block = view::block(theme, view::title(theme, &format!("rank {rank}")), false)
        .padding(ratatui::widgets::Padding::horizontal(1));
    let width = usize::from(area.width.saturating_sub(4));
    let number = u32::try_from(rank).unwrap_or(0);
    let mut lines = match history.memory.get(&number) {
        Some(memory) => {
            let course = history.memory_course.get(&number).map(Vec::as_slice).unwrap_or_default();
            rank_lines(theme, memory, course, width)
        }
        None => {
            let text = "no memory report yet: ranks send one every few seconds while they train";
            vec![Line::from(Span::styled(cut(text, width), theme.dim()))]
        }
    };
    if let Some(place) = history.layout.as_ref().and_then(|l| l.ranks.get(rank)) {
        let kept = history.memory.get(&number).and_then(|m| m.activations);
        lines.extend(place_lines(theme, place, kept, width));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Bytes of the state and of activations as predicted before the start and as measured, and the samples that it reads.
fn place_lines(theme: Theme, place: &Place, kept: Option<u64>, width: usize) -> Vec<Line<'static>> {
    let room = width.saturating_sub(11);
    let parts = |b: &run::events::StateBytes| {
        let [all, params, grads, optim] = [b.sum(), b.parameters, b.gradients, b.optimiser].map(bytes);
        let named = format!("{all} = params {params} + grads {grads} + optim {optim}");
        // The order is that of the bar above.
        if named.len() <= room { named } else { format!("{all} = {params} + {grads} + {optim}") }
    };
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(pad(name, 11), theme.dim()), Span::raw(cut(&text, room))])
    };
    let known = |b: Option<u64>| b.map_or_else(|| "n/a".to_owned(), bytes);
    let measured = place.measured.map_or_else(|| "after the first step".to_owned(), |m| parts(&m));
    vec![
        line("predicted", parts(&place.predicted)),
        line("measured", measured),
        line("in a step", format!("activations {}, measured {}", known(place.activations), known(kept))),
        line("samples", format!("{}..{} of a step", place.first_row, place.first_row + place.rows)),
    ]
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
            allocator.push(Span::raw(value));
            allocator.push(Span::styled(format!(" {name}  "), theme.dim()));
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
    lines.push(times(theme, m, width, &why));
    lines.extend(split(theme, m, width));
    lines
}

/// How long a step takes, and how much of that the rank waits for others.
fn times(theme: Theme, m: &Memory, width: usize, why: &dyn Fn(&[&str]) -> String) -> Line<'static> {
    let mut spans = vec![Span::styled(pad("step", 11), theme.dim())];
    let Some(step) = m.step_seconds else {
        spans.push(Span::styled("no step since the last report", theme.dim()));
        return Line::from(spans);
    };
    spans.push(Span::raw(format!("{step:.3} s")));
    match m.own_seconds {
        Some(own) => {
            let waits = (step - own).max(0.0);
            spans.push(Span::raw(format!(
                " = own work {own:.3} s + waits {waits:.3} s ({})",
                percent(waits / step.max(f64::MIN_POSITIVE))
            )));
        }
        None => spans.push(Span::styled(
            cut(&format!("   own work {}", why(&["own_seconds"])), width.saturating_sub(20)),
            theme.dim(),
        )),
    }
    Line::from(spans)
}

/// The bytes of a rank by what they are: the known ones, and the rest of what was measured.
fn split(theme: Theme, m: &Memory, width: usize) -> Vec<Line<'static>> {
    let activations = m.activations.unwrap_or(0);
    let known = m.parameters + m.gradients + m.optimiser + activations;
    let measured = m.peak.or(m.resident_peak).or(m.resident);
    let mut parts = vec![
        ("parameters", m.parameters, "█", theme.accent()),
        ("gradients", m.gradients, "▓", theme.good()),
        ("optimiser", m.optimiser, "▒", theme.edited()),
    ];
    if m.activations.is_some() {
        parts.push(("activations", activations, "▞", theme.warn()));
    }
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
