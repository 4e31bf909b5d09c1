//! The caption tab: the browser, the picture, what the models write of it.

use super::runs::first_visible;
use crate::tui::captions::{Loading, Shown, Slot, words};
use crate::tui::format::{cut, pad, safe, span, wrap};
use crate::tui::model::Model;
use crate::tui::picture;
use crate::tui::regions::{Hit, Regions};
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Height from which thumbnails stand below the picture, and the size of one.
const TALL: u16 = 30;
const THUMBNAIL: (u16, u16) = (14, 6);

/// Draws the tab.
pub fn draw(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let list = (area.width * 2 / 5).clamp(26, 52);
    let [list, right] = Layout::horizontal([Constraint::Length(list), Constraint::Min(1)]).areas(area);
    browser(model, frame, list, regions);
    let two = model.captions.slots.iter().flatten().count() > 1;
    let words = if area.height < TALL { 8 } else { 12 } + if two && right.width < 90 { 3 } else { 0 };
    let thumbnails = if area.height < TALL { 0 } else { THUMBNAIL.1 };
    let [large, small, captions] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(thumbnails), Constraint::Length(words)])
            .areas(right);
    large_picture(model, frame, large, regions);
    if thumbnails > 0 {
        strip(model, frame, small, regions);
    }
    written(model, frame, captions);
}

fn browser(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, captions) = (model.theme, &model.captions);
    let visible = captions.visible();
    let width = usize::from(area.width.saturating_sub(2));
    let path = captions.folder.as_ref().map_or_else(|| "…".to_owned(), |f| f.path.display().to_string());
    let path = safe(&path).into_owned();
    // Of a long path its end tells more.
    let over = path.chars().count().saturating_sub(width.saturating_sub(4));
    let path =
        if over > 0 { format!("…{}", path.chars().skip(over + 1).collect::<String>()) } else { path };
    let mut block = view::block(theme, view::title(theme, &path), true);
    if captions.filtering || !captions.filter.value().is_empty() {
        let cursor = if captions.filtering { "▏" } else { "" };
        let text = format!(" /{}{cursor} ", cut(captions.filter.value(), 20));
        block = block.title_bottom(Line::from(Span::styled(text, theme.accent())));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    regions.rows = usize::from(inner.height);
    if visible.is_empty() {
        let text = match (&captions.problem, &captions.folder) {
            (Some(problem), _) => problem.clone(),
            (None, None) => "looking …".to_owned(),
            (None, Some(_)) => "no picture and no folder here; ← goes up, g goes to a path".to_owned(),
        };
        let lines: Vec<Line> = wrap(&text, width).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).style(theme.dim()), inner);
        return;
    }
    let selected = captions.selected.min(visible.len() - 1);
    let start = first_visible(selected, visible.len(), usize::from(inner.height));
    for (i, entry) in visible.iter().enumerate().skip(start).take(usize::from(inner.height)) {
        let place = Rect { y: inner.y + view::cells(i - start), height: 1, ..inner };
        let file = captions.folder.as_ref().map(|f| f.path.join(&entry.name)).unwrap_or_default();
        let shown = captions.slots.iter().flatten().find_map(|s| s.shown.get(&file));
        let (mark, style) = match shown {
            None => (" ", theme.text()),
            Some(Shown::Waiting) => ("·", theme.dim()),
            Some(Shown::Growing(_)) => ("…", theme.accent()),
            Some(Shown::Done(..)) => ("✓", theme.good()),
            Some(Shown::Failed(_)) => ("✕", theme.bad()),
        };
        let name = if entry.folder { format!("{}/", entry.name) } else { entry.name.clone() };
        let name = pad(&name, width.saturating_sub(2));
        let line = if i == selected {
            Line::from(Span::styled(format!("{mark} {name}"), theme.selected()))
        } else {
            let of_name = if entry.folder { theme.accent() } else { theme.text() };
            Line::from(vec![Span::styled(format!("{mark} "), style), Span::styled(name, of_name)])
        };
        frame.render_widget(line, place);
        regions.add(place, Hit::Row(i));
    }
}

fn large_picture(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let chosen = model.captions.chosen();
    let name = chosen.as_ref().map_or("picture", |(e, _)| e.name.as_str());
    let block = view::block(theme, view::title(theme, &cut(name, 40)), false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    match chosen {
        Some((entry, path)) if !entry.folder => {
            regions.picture = Some(inner);
            let (shown, path) = (model.captions.shown.as_ref(), path.to_string_lossy());
            picture::draw(shown, &path, theme.dim(), inner, frame.buffer_mut());
        }
        Some(_) => frame.render_widget(Span::styled(" a folder: Enter opens it", theme.dim()), inner),
        None => frame.render_widget(Span::styled(" choose a picture", theme.dim()), inner),
    }
}

/// The pictures around the selected one.
fn strip(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let (theme, captions) = (model.theme, &model.captions);
    let visible = captions.visible();
    let pictures: Vec<usize> =
        (0..visible.len()).filter(|i| visible.get(*i).is_some_and(|e| !e.folder)).collect();
    let Some(folder) = &captions.folder else { return };
    let room = usize::from(area.width / THUMBNAIL.0);
    let at = pictures.iter().position(|i| *i >= captions.selected).unwrap_or(0);
    let start = first_visible(at, pictures.len(), room);
    for (n, i) in pictures.iter().skip(start).take(room).enumerate() {
        let Some(entry) = visible.get(*i) else { continue };
        let x = area.x + u16::try_from(n).unwrap_or(0) * THUMBNAIL.0;
        let place = Rect { x, width: THUMBNAIL.0 - 1, height: area.height.saturating_sub(1), ..area };
        let path = folder.path.join(&entry.name);
        let name = path.to_string_lossy();
        let loaded = captions
            .thumbnails
            .iter()
            .filter_map(|(_, loaded)| loaded.as_ref())
            .find(|l| l.wanted().image() == name && l.wanted().size() == place.as_size());
        picture::draw(loaded, &name, theme.dim(), place, frame.buffer_mut());
        let line = Rect { y: place.bottom(), height: 1, ..place };
        let style = if *i == captions.selected { theme.selected() } else { theme.dim() };
        frame.render_widget(Span::styled(cut(&entry.name, usize::from(line.width)), style), line);
        regions.add(Rect { height: area.height, ..place }, Hit::Row(*i));
        regions.thumbnails.push((place, path));
    }
}

fn written(model: &Model, frame: &mut Frame, area: Rect) {
    let slots: Vec<&Slot> = model.captions.slots.iter().flatten().collect();
    if slots.len() < 2 {
        return one(model, slots.first().copied(), frame, area);
    }
    let half = Constraint::Ratio(1, 2);
    let parts = if area.width >= 90 {
        Layout::horizontal([half; 2]).areas::<2>(area)
    } else {
        Layout::vertical([half; 2]).areas::<2>(area)
    };
    for (slot, part) in slots.into_iter().zip(parts) {
        one(model, Some(slot), frame, part);
    }
}

/// What one model wrote of the selected picture.
fn one(model: &Model, slot: Option<&Slot>, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let title = slot.map_or_else(|| "captions".to_owned(), |s| short(&s.model));
    let how = format!(" {} ", cut(&words(&model.captions.decoding()), 30));
    let block = view::block(theme, view::title(theme, &cut(&title, 40)), false)
        .title(Line::from(Span::styled(how, theme.dim())).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line> = Vec::new();
    let Some(slot) = slot else {
        let text =
            "Enter captions the picture, a all of the list; m chooses the model, e how captions are written.";
        lines.extend(wrap(text, width).into_iter().map(|l| Line::from(Span::styled(l, theme.dim()))));
        frame.render_widget(Paragraph::new(lines), inner);
        return;
    };
    match &slot.loading {
        Loading::Since(t) => {
            let text = format!("… loading the model, {}", span(model.now - t));
            lines.push(Line::from(Span::styled(text, theme.warn())));
        }
        Loading::Loaded(words) => lines.push(Line::from(Span::styled(cut(words, width), theme.dim()))),
        Loading::Failed(why) => {
            let text = wrap(&format!("✕ {why}"), width).into_iter().take(4);
            lines.extend(text.map(|l| Line::from(Span::styled(l, theme.bad()))));
        }
    }
    for asked in slot.asked.iter().filter(|a| a.images.len() > 1) {
        #[allow(clippy::cast_precision_loss)]
        let share = asked.done as f64 / asked.images.len() as f64;
        let mut spans = view::bar(theme, share, 16);
        spans.push(Span::raw(format!("  {} of {}   x cancels", asked.done, asked.images.len())));
        lines.push(Line::from(spans));
    }
    let shown = model.captions.picture().and_then(|path| slot.shown.get(&path));
    match shown {
        None => lines.push(Line::from(Span::styled("no caption yet: Enter makes one", theme.dim()))),
        Some(Shown::Waiting) => lines.push(Line::from(Span::styled("waits for its turn", theme.dim()))),
        Some(Shown::Growing(texts)) => {
            for text in texts.iter().filter(|text| !text.is_empty()) {
                lines.extend(wrap(&format!("{text}▏"), width).into_iter().map(Line::from));
            }
        }
        Some(Shown::Done(all, seconds, scores)) => {
            for caption in all {
                let score = caption.score.map_or(String::new(), |s| format!("  {s:.2}"));
                let text = wrap(&caption.text, width.saturating_sub(score.len()).max(10));
                for (i, line) in text.into_iter().enumerate() {
                    let mut spans = vec![Span::styled(line, theme.strong())];
                    if i == 0 {
                        spans.push(Span::styled(score.clone(), theme.dim()));
                    }
                    lines.push(Line::from(spans));
                }
            }
            let scored = all.iter().any(|c| c.score.is_some());
            let scored = if scored { format!(" · score: {scores}") } else { String::new() };
            let text = format!("{:.0} ms{scored}", seconds * 1000.0);
            lines.push(Line::from(Span::styled(cut(&text, width), theme.dim())));
        }
        Some(Shown::Failed(why)) => {
            let text = wrap(&format!("✕ {why}"), width);
            lines.extend(text.into_iter().map(|l| Line::from(Span::styled(l, theme.bad()))));
        }
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// A model's name for a title: of a checkpoint its run and step, else the end of the path.
fn short(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty()).collect();
    match parts[..] {
        [.., run, "checkpoints", step] => format!("{run} {step}"),
        [.., last] => last.to_owned(),
        [] => name.to_owned(),
    }
}
