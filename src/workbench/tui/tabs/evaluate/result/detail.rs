//! The chosen row of a result: its picture, and all that is known of it.

use super::rows;
use crate::evaluations::opened::{Captioned, Image, Text, Wrong};
use crate::tui::evaluate::{Part, View, file_name};
use crate::tui::format::{count, cut, pad, pad_left, wrap};
use crate::tui::model::Model;
use crate::tui::picture;
use crate::tui::regions::Regions;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Width from which the picture has more of the whole tab than the words.
const BESIDE: u16 = 100;

/// Rows of the words about a wrong picture, with their box.
const WRONG: u16 = 9;

pub(super) fn draw(model: &Model, view: &View, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    if view.large {
        let share = if area.width >= BESIDE { 60 } else { 45 };
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(share), Constraint::Min(1)]).areas(area);
        picture(model, view, frame, left, regions);
        let (title, lines) = words(theme, view, usize::from(right.width.saturating_sub(2)));
        return said(theme, title, lines, None, frame, right);
    }
    let (title, lines) = words(theme, view, usize::from(area.width.saturating_sub(2)));
    // The words have what they need, up to three fifths; those of wrong pictures always the same.
    let wanted = match view.part {
        Part::Classes | Part::Pairs | Part::Wrong => WRONG,
        Part::Unreadable => area.height,
        _ => (view::cells(lines.len()) + 2).min(area.height * 3 / 5).max(6),
    };
    let [large, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(wanted)]).areas(area);
    if large.height > 2 {
        picture(model, view, frame, large, regions);
    }
    said(theme, title, lines, Some('z'), frame, below);
}

/// Words in their box; `more` is the key that makes room for those that do not fit.
fn said(
    theme: Theme,
    title: &str,
    lines: Vec<Line<'static>>,
    more: Option<char>,
    frame: &mut Frame,
    area: Rect,
) {
    let block = view::block(theme, view::title(theme, title), false);
    let inner = block.inner(area);
    let hidden = lines.len().saturating_sub(usize::from(inner.height));
    frame.render_widget(Paragraph::new(lines).block(block), area);
    if hidden > 0 {
        let key = more.map_or(String::new(), |key| format!(": {key}"));
        let text = Line::from(Span::styled(format!(" {hidden} more{key} "), theme.dim())).right_aligned();
        frame.render_widget(text, Rect { y: area.bottom().saturating_sub(1), height: 1, ..inner });
    }
}

fn picture(model: &Model, view: &View, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let path = view.picture();
    let name = path.map_or_else(|| "no picture".to_owned(), file_name);
    let room = usize::from(area.width.saturating_sub(4));
    let block = view::block(theme, view::title(theme, &cut(&name, room)), false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    match path {
        Some(path) => {
            regions.picture = Some(inner);
            let path = path.to_string_lossy();
            picture::draw(view.shown.as_ref(), &path, theme.dim(), inner, frame.buffer_mut());
        }
        None => {
            let right = view.part == Part::Classes && view.class().is_some();
            let text = if right { " all of its pictures are right" } else { "" };
            frame.render_widget(Span::styled(text, theme.dim()), inner);
        }
    }
}

/// What is said of the chosen row, with its heading.
fn words(theme: Theme, view: &View, width: usize) -> (&'static str, Vec<Line<'static>>) {
    let opened = &view.opened;
    let at = view.chosen_at(view.part).unwrap_or(usize::MAX);
    match view.part {
        Part::Images => (
            "what it finds",
            opened.images.get(at).map_or_else(Vec::new, |i| of_image(theme, view, i, width)),
        ),
        Part::Texts => {
            ("what it finds", opened.texts.get(at).map_or_else(Vec::new, |t| of_text(theme, view, t, width)))
        }
        Part::Captions => {
            ("caption", opened.captioned.get(at).map_or_else(Vec::new, |c| of_caption(theme, c, width)))
        }
        Part::Unreadable => {
            let mut lines = Vec::new();
            if let Some((name, why)) = opened.unreadable.get(at) {
                wrapped(&mut lines, " ", name, theme.strong(), width);
                wrapped(&mut lines, " ", why, theme.warn(), width);
            }
            ("could not be read", lines)
        }
        _ => ("top-5 scores", view.wrong().map_or_else(Vec::new, |w| five(theme, view, w, width))),
    }
}

/// Adds text as so many lines as it needs; `mark` stands before the first.
fn wrapped(lines: &mut Vec<Line<'static>>, mark: &str, text: &str, style: Style, width: usize) {
    let indent = mark.chars().count();
    for (i, part) in wrap(text, width.saturating_sub(indent + 1)).into_iter().enumerate() {
        let before = if i == 0 { mark.to_owned() } else { " ".repeat(indent) };
        lines.push(Line::from(Span::styled(format!("{before}{part}"), style)));
    }
}

fn dim(theme: Theme, text: &str, width: usize) -> Line<'static> {
    Line::from(Span::styled(cut(text, width), theme.dim()))
}

/// "rank 3 of 25,000 captions"
fn rank(theme: Theme, rank: Option<u64>, of: usize, what: &str, width: usize) -> Line<'static> {
    let text = match rank {
        Some(rank) => format!(" rank {} of {} {what}", count(rank), count(of as u64)),
        None => " it could not be read and has no rank".to_owned(),
    };
    let style = if rank == Some(1) { theme.good() } else { theme.strong() };
    Line::from(Span::styled(cut(&text, width), style))
}

const NOT_KEPT: &str = " what stands first is kept of the 2,000 worst only";

fn of_image(theme: Theme, view: &View, image: &Image, width: usize) -> Vec<Line<'static>> {
    let texts = &view.opened.texts;
    let mut lines = vec![rank(theme, image.rank, texts.len(), "captions", width)];
    if image.top.is_empty() && image.rank.is_some() {
        lines.push(dim(theme, NOT_KEPT, width));
    } else if image.rank.is_some() {
        lines.push(dim(theme, " first of all (cosine):", width));
    }
    for (text, score) in &image.top {
        let own = image.texts.contains(text);
        let words = texts.get(*text).map_or("?", |t| t.text.as_str());
        lines.push(found(theme, own, *score, words, width));
    }
    lines.push(dim(theme, " its own, with the rank of the picture among all:", width));
    for text in image.texts.iter().filter_map(|t| texts.get(*t)) {
        let rank = text.rank.map_or("–".to_owned(), count);
        let mark = format!(" {} ", pad_left(&rank, 6));
        wrapped(&mut lines, &mark, &text.text, theme.text(), width);
    }
    lines
}

fn of_text(theme: Theme, view: &View, text: &Text, width: usize) -> Vec<Line<'static>> {
    let images = &view.opened.images;
    let mut lines = vec![rank(theme, text.rank, images.len(), "pictures", width)];
    wrapped(&mut lines, " ", &text.text, theme.text(), width);
    if text.top.is_empty() && text.rank.is_some() {
        lines.push(dim(theme, NOT_KEPT, width));
    } else if text.rank.is_some() {
        lines.push(dim(theme, " first of all (cosine):", width));
    }
    for (image, score) in &text.top {
        let own = *image == text.image;
        let words = images.get(*image).map_or_else(String::new, |i| {
            let caption = i.texts.first().and_then(|t| view.opened.texts.get(*t));
            format!("{} · {}", file_name(&i.path), caption.map_or("", |t| t.text.as_str()))
        });
        lines.push(found(theme, own, *score, &words, width));
    }
    lines
}

fn found(theme: Theme, own: bool, score: f32, words: &str, width: usize) -> Line<'static> {
    let (mark, style) = if own { ("✓", theme.good()) } else { (" ", theme.text()) };
    let words = cut(words, width.saturating_sub(9));
    Line::from(vec![
        Span::styled(format!("{mark}{} ", pad_left(&format!("{score:.3}"), 6)), theme.dim()),
        Span::styled(words, style),
    ])
}

fn of_caption(theme: Theme, captioned: &Captioned, width: usize) -> Vec<Line<'static>> {
    let [cider, bleu, rouge] =
        [captioned.cider, captioned.bleu4, captioned.rouge_l].map(|x| format!("{:.1}", 100.0 * x));
    let mut lines = vec![Line::from(vec![
        Span::styled(" CIDEr-D ", theme.dim()),
        Span::styled(cider, rows::score(theme, captioned.cider)),
        Span::styled("  BLEU-4 ", theme.dim()),
        Span::raw(bleu),
        Span::styled("  ROUGE-L ", theme.dim()),
        Span::raw(rouge),
    ])];
    wrapped(&mut lines, " ", &captioned.caption, theme.strong(), width);
    lines.push(dim(theme, " references:", width));
    for reference in &captioned.references {
        wrapped(&mut lines, " - ", reference, theme.text(), width);
    }
    lines
}

/// The five likeliest classes of a wrong picture.
fn five(theme: Theme, view: &View, wrong: &Wrong, width: usize) -> Vec<Line<'static>> {
    let text = format!(" it is: {}", view.opened.class(wrong.class));
    let mut lines = vec![Line::from(Span::styled(cut(&text, width), theme.strong()))];
    let name = width.saturating_sub(20).min(30);
    let high = wrong.top.first().map_or(1.0, |(_, logit)| f64::from(*logit));
    for (class, logit) in wrong.top.iter().take(5) {
        let right = *class == wrong.class;
        let mark = if right { "✓" } else { " " };
        let style = if right { theme.good() } else { theme.text() };
        let mut spans = vec![Span::styled(format!("{mark}{} ", pad(view.opened.class(*class), name)), style)];
        // exp of the difference: how likely next to the first.
        let share = (f64::from(*logit) - high).exp();
        spans.extend(view::bar(theme, share, width.saturating_sub(name + 12).min(20)));
        spans.push(Span::raw(pad_left(&format!("{logit:.2}"), 8)));
        lines.push(Line::from(spans));
    }
    if !wrong.top.iter().any(|(class, _)| *class == wrong.class) {
        lines.push(Line::from(Span::styled(" the right class is not among them", theme.warn())));
    }
    lines
}
