//! The selected entry: picture, facts, captions with their ids and where they are cut, what was found about it.

use super::findings;
use crate::datasets::entry::Caption;
use crate::tui::datasets::{Shared, Side};
use crate::tui::format::{count, cut, safe, tail, wrap};
use crate::tui::model::Model;
use crate::tui::picture;
use crate::tui::regions::Regions;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr;

/// Draws the entry.
pub fn draw(model: &Model, open: &Shared, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, datasets) = (model.theme, &model.datasets);
    let Some(sample) = datasets.sample() else {
        let block = view::block(theme, view::title(theme, "entry"), false);
        return frame.render_widget(block, area);
    };
    let width = usize::from(area.width.saturating_sub(2));
    let lines = words(model, open, sample, width);
    // The words get what they need up to half of the height, the picture the rest; in a wide tab they stand side by
    // side.
    let (above, below) = if datasets.wide && area.width >= 100 {
        let half = area.width / 2;
        let [picture, text] = Layout::horizontal([Constraint::Length(half), Constraint::Min(1)]).areas(area);
        (picture, text)
    } else {
        let needed = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
        let most = if area.height < 30 { area.height * 3 / 5 } else { area.height / 2 };
        let [picture, text] =
            Layout::vertical([Constraint::Min(3), Constraint::Length(needed.min(most.max(4)))]).areas(area);
        (picture, text)
    };
    shown(model, open, sample, frame, above, regions);
    let lines = if below.width == area.width {
        lines
    } else {
        words(model, open, sample, usize::from(below.width.saturating_sub(2)))
    };
    let height = usize::from(below.height.saturating_sub(2));
    let scroll = datasets.scroll.min(lines.len().saturating_sub(height));
    let title = if datasets.side == Side::Findings { "finding and entry" } else { "entry" };
    let mut block = view::block(theme, view::title(theme, title), false);
    if lines.len() > height {
        let text =
            format!(" {}-{} of {} lines ← → ", scroll + 1, (scroll + height).min(lines.len()), lines.len());
        block = block.title_bottom(Line::from(Span::styled(text, theme.dim())).right_aligned());
    }
    let inner = block.inner(below);
    frame.render_widget(block, below);
    let lines: Vec<Line> = lines.into_iter().skip(scroll).take(height).collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

/// The picture, as it is or as the model sees it.
fn shown(model: &Model, open: &Shared, sample: u32, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, datasets) = (model.theme, &model.datasets);
    let name = open.dataset.image_name(sample as usize).unwrap_or_default();
    let short = tail(name, usize::from(area.width.saturating_sub(4)));
    let mut block = view::block(theme, view::title(theme, &short), false);
    if let Some(seen) = datasets.seen {
        let how = match seen.crop {
            Some(crop) => format!("crop {:.2}-{:.0}, epoch {}", crop.scale[0], crop.scale[1], seen.epoch),
            None => "middle".to_owned(),
        };
        let text = format!(" as the model sees it: {0}x{0}, {how} ", seen.side);
        let text = cut(&text, usize::from(area.width.saturating_sub(4)));
        block = block.title_bottom(Line::from(Span::styled(text, theme.warn())));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    regions.picture = Some(inner);
    let loaded = datasets.shown.as_ref().filter(|l| l.wanted().is_of(open, sample, datasets.seen));
    picture::draw(loaded, name, theme.dim(), inner, frame.buffer_mut());
}

/// What is known of the entry, in lines.
fn words(model: &Model, open: &Shared, sample: u32, width: usize) -> Vec<Line<'static>> {
    let (theme, datasets) = (model.theme, &model.datasets);
    let index = sample as usize;
    let mut lines: Vec<Line> = Vec::new();
    if datasets.side == Side::Findings {
        lines.extend(findings::chosen(model, width));
    }
    let origin = open.dataset.origin(index).unwrap_or_default();
    let file = open.dataset.files().get(origin.file as usize);
    let file = file.and_then(|file| file.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    let line = if origin.line > 0 { format!(":{}", origin.line) } else { String::new() };
    let id = open.dataset.id(index).map_or_else(String::new, |id| format!("  id {id}"));
    let place = format!("{file}{line}  entry {}{id}", count(u64::from(origin.entry)));
    lines.push(Line::from(Span::styled(cut(&place, width), theme.dim())));
    let Some(detail) = datasets.chosen() else {
        for caption in open.dataset.captions(index) {
            lines.extend(
                wrap(caption, width).into_iter().map(|line| Line::from(Span::styled(line, theme.strong()))),
            );
        }
        return lines;
    };
    if let Some(facts) = &detail.facts {
        let style = if facts.header.is_ok() { theme.dim() } else { theme.bad() };
        lines.push(Line::from(Span::styled(cut(&facts.words(), width), style)));
    }
    let chosen = datasets.seen.map(|view| drawn_caption(open, index, &view));
    for (at, caption) in detail.captions.iter().enumerate() {
        let mark = match (chosen, detail.captions.len()) {
            (Some(chosen), 2..) if chosen == at => "▶ ",
            (_, 2..) => "· ",
            _ => "",
        };
        let text = wrap(&format!("{mark}{}", caption.text), width);
        lines.extend(text.into_iter().map(|line| Line::from(Span::styled(line, theme.strong()))));
        lines.extend(tokens(model, open, caption, width));
    }
    if detail.captions.is_empty() {
        lines.push(Line::from(Span::styled("no caption", theme.warn())));
    }
    if datasets.side == Side::Entries {
        for found in datasets.findings_of(sample).take(8) {
            lines.extend(findings::finding(model, found, width));
        }
    }
    lines
}

/// Which caption goes with the picture in that epoch.
fn drawn_caption(open: &Shared, index: usize, view: &data::loader::View) -> usize {
    data::loader::caption_of(&open.dataset, index, view)
}

/// The tokens of a caption with their ids, and what is cut.
fn tokens(model: &Model, open: &Shared, caption: &Caption, width: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let all = match &caption.tokens {
        Ok(tokens) => tokens,
        Err(problem) => {
            return vec![Line::from(Span::styled(
                cut(&format!("✕ no tokens: {problem}"), width),
                theme.bad(),
            ))];
        }
    };
    let lost = caption.lost().len();
    let mut lines = Vec::new();
    let head = format!("{} tokens of {} ({})", all.len(), caption.context, open.tokenizer_name);
    let mut spans = vec![Span::styled(head, theme.dim())];
    if lost > 0 {
        spans.push(Span::styled(format!("  ✂ {lost} are cut off"), theme.bad()));
    }
    lines.push(Line::from(spans));
    // Pieces with their ids, as many in a line as fit.
    let cut_from = if lost > 0 { all.len() - 1 - lost } else { usize::MAX };
    let mut row: Vec<Span> = Vec::new();
    let mut used = 0;
    for (at, token) in all.iter().enumerate() {
        let piece = safe(&token.text).into_owned();
        let id = format!("·{} ", token.id);
        let wide = piece.width() + id.width();
        if used + wide > width && !row.is_empty() {
            lines.push(Line::from(std::mem::take(&mut row)));
            used = 0;
        }
        let style = match at {
            at if at == 0 || at + 1 == all.len() => theme.accent(),
            at if at >= cut_from => theme.bad(),
            _ => theme.text(),
        };
        if at == cut_from {
            row.push(Span::styled("✂ ", theme.bad()));
            used += 2;
        }
        row.push(Span::styled(piece, style));
        row.push(Span::styled(id, theme.dim()));
        used += wide;
    }
    if !row.is_empty() {
        lines.push(Line::from(row));
    }
    lines
}
