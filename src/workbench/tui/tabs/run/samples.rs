//! The samples pane: a held-out picture, what a person wrote, what the model writes, step by step.

use super::stacked;
use crate::tui::format::{count, cut, pad_left, wrap};
use crate::tui::model::{Model, Pane, Samples, Watched};
use crate::tui::picture;
use crate::tui::regions::{Hit, Regions};
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use run::events::Sample;
use run::history::History;
use std::collections::BTreeSet;

/// The steps that have samples and the numbers of the pictures, both ascending.
pub fn axes(history: &History) -> (Vec<u64>, Vec<u32>) {
    let steps: BTreeSet<u64> = history.samples.keys().map(|(s, _)| *s).collect();
    let indices: BTreeSet<u32> = history.samples.keys().map(|(_, i)| *i).collect();
    (steps.into_iter().collect(), indices.into_iter().collect())
}

/// The sample on the screen: of the held step, or the newest one; the nearest earlier one that has the picture.
pub fn chosen<'a>(history: &'a History, samples: &Samples) -> Option<&'a Sample> {
    let index = samples.index;
    let up_to = samples.step.unwrap_or(u64::MAX);
    let mut all = history.samples.range(..=(up_to, u32::MAX)).rev();
    let newest = all.clone().next().map(|(_, s)| s);
    all.find(|((_, i), _)| *i == index).map(|(_, s)| s).or(newest)
}

/// Draws the pane.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let history = &watched.history;
    let focused = model.pane == Pane::Samples;
    regions.add(area, Hit::Pane(Pane::Samples));
    let mut title = vec![Span::styled(" samples ", theme.strong())];
    if stacked(frame, model) {
        title.push(Span::styled(" log ", theme.dim()));
    }
    let Some(sample) = chosen(history, &model.samples) else {
        let block = view::block(theme, Line::from(title), focused);
        let text = Span::styled(" no sample captions yet: they come every sample_steps steps", theme.dim());
        frame.render_widget(Paragraph::new(text).block(block), area);
        return;
    };
    let (steps, indices) = axes(history);
    let which = indices.iter().position(|i| *i == sample.index).map_or(0, |p| p + 1);
    let held = model.samples.step.is_some();
    let place = Line::from(vec![
        Span::raw(format!(" step {} ", count(sample.step))),
        if held { Span::styled("held", theme.warn()) } else { Span::styled("newest", theme.good()) },
        Span::styled(format!(" · picture {which} of {} ", indices.len()), theme.dim()),
    ]);
    let block = view::block(theme, Line::from(title), focused).title(place.right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // Cells are about twice as high as wide: a square picture takes two columns for a row.
    let width = (inner.height * 2).min(inner.width / 2);
    let picture = Rect { width, ..inner };
    regions.picture = Some(picture);
    picture::draw(model.samples.shown.as_ref(), &sample.image, theme.dim(), picture, frame.buffer_mut());
    let words = Rect { x: inner.x + width + 1, width: inner.width.saturating_sub(width + 1), ..inner };
    frame.render_widget(Paragraph::new(text(theme, history, sample, words, &steps)), words);
}

fn text(theme: Theme, history: &History, sample: &Sample, area: Rect, steps: &[u64]) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let height = usize::from(area.height);
    let mut lines = vec![Line::from(Span::styled("reference", theme.dim()))];
    lines.extend(wrap(&sample.reference, width).into_iter().take((height / 3).max(1)).map(Line::from));
    let verdict = if same_words(&sample.reference, &sample.caption) {
        Span::styled("  ✓ same words", theme.good())
    } else {
        Span::raw("")
    };
    lines.push(Line::from(vec![Span::styled("model", theme.dim()), verdict]));
    let known = words(&sample.reference);
    for line in wrap(&sample.caption, width).into_iter().take((height / 3).max(1)) {
        lines.push(Line::from(marked(theme, &line, &known)));
    }
    if height < lines.len() + 3 {
        return lines;
    }
    lines.push(Line::from(""));
    lines.push(Line::from(Span::styled("step by step", theme.dim())));
    // What the model wrote of this picture so far, the chosen step in sight.
    let told: Vec<&Sample> = steps.iter().filter_map(|s| history.samples.get(&(*s, sample.index))).collect();
    let room = height.saturating_sub(lines.len());
    let at = told.iter().position(|s| s.step == sample.step).unwrap_or(0);
    let start = (at + 1).saturating_sub(room.saturating_sub(room / 4)).min(told.len().saturating_sub(room));
    let digits = told.last().map_or(1, |s| count(s.step).len());
    for s in told.into_iter().skip(start).take(room) {
        let chosen = s.step == sample.step;
        let style = if chosen { theme.strong() } else { theme.text() };
        lines.push(Line::from(vec![
            Span::styled(if chosen { "▸ " } else { "  " }, theme.accent()),
            Span::styled(format!("{} ", pad_left(&count(s.step), digits)), theme.dim()),
            Span::styled(cut(&s.caption, width.saturating_sub(digits + 3)), style),
        ]));
    }
    lines
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(bare).collect()
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn same_words(a: &str, b: &str) -> bool {
    let of = |t: &str| t.split_whitespace().map(bare).collect::<Vec<_>>();
    of(a) == of(b)
}

/// The model's words, those that the reference does not have underlined.
fn marked(theme: Theme, line: &str, known: &BTreeSet<String>) -> Vec<Span<'static>> {
    let strange = theme.warn().patch(Style::new().add_modifier(Modifier::UNDERLINED));
    let mut spans = Vec::new();
    for (i, word) in line.split(' ').enumerate() {
        if i > 0 {
            spans.push(Span::raw(" "));
        }
        let style = if known.contains(&bare(word)) { theme.text() } else { strange };
        spans.push(Span::styled(word.to_owned(), style));
    }
    spans
}
