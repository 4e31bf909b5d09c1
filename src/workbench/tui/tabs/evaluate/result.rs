//! An opened result: classes with their bars, what is taken for what, the pictures that went wrong with their scores.

use super::percent;
use crate::evaluations::opened::{Opened, Wrong};
use crate::evaluations::short_model;
use crate::tui::evaluate::{Part, View};
use crate::tui::format::{count, cut, number, pad, pad_left};
use crate::tui::model::Model;
use crate::tui::picture;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Width from which all parts are seen at once.
const WIDE: u16 = 120;

pub(super) fn draw(model: &Model, view: &View, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let opened = &view.opened;
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(3)]).areas(area);
    summary(model, opened, frame, head);
    if opened.outcome.task != "zero-shot" {
        return figures(model, opened, frame, body);
    }
    if area.width >= WIDE {
        let third = [Constraint::Percentage(34), Constraint::Percentage(33), Constraint::Percentage(33)];
        let [left, middle, right] = Layout::horizontal(third).areas(body);
        let [pairs, wrong] = Layout::vertical([Constraint::Percentage(40); 2]).areas(middle);
        let wrong = Rect { height: middle.bottom().saturating_sub(wrong.y), ..wrong };
        list(model, view, Part::Classes, frame, left, regions);
        list(model, view, Part::Pairs, frame, pairs, regions);
        list(model, view, Part::Wrong, frame, wrong, regions);
        return detail(model, view, frame, right, regions);
    }
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(56), Constraint::Percentage(44)]).areas(body);
    list(model, view, view.part, frame, left, regions);
    detail(model, view, frame, right, regions);
}

fn summary(model: &Model, opened: &Opened, frame: &mut Frame, area: Rect) {
    let (theme, outcome) = (model.theme, &opened.outcome);
    let mut spans = vec![
        Span::styled(format!(" {} ", cut(&short_model(&outcome.model), 32)), theme.strong()),
        Span::styled("on ", theme.dim()),
        Span::raw(cut(&crate::evaluations::short_data(&outcome.data), 28)),
    ];
    if let (Some(top1), Some(top5)) = (outcome.figures.get("top1"), outcome.figures.get("top5")) {
        spans.push(Span::raw(format!("   top-1 {}", percent(*top1))));
        if let Some([low, high]) = outcome.interval("top1") {
            spans.push(Span::styled(format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high), theme.dim()));
        }
        spans.push(Span::raw(format!("  top-5 {}", percent(*top5))));
    }
    if !opened.unreadable.is_empty() {
        spans.push(Span::styled(format!("  {} unreadable", opened.unreadable.len()), theme.warn()));
    }
    frame.render_widget(Line::from(spans), area);
}

/// The figures of a result that has no classes.
fn figures(model: &Model, opened: &Opened, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let block = view::block(theme, view::title(theme, &opened.outcome.task), true)
        .padding(ratatui::widgets::Padding::horizontal(1));
    let mut lines: Vec<Line> = Vec::new();
    for (name, value) in &opened.outcome.figures {
        let mut spans =
            vec![Span::styled(pad(name, 28), theme.dim()), Span::raw(pad_left(&number(*value), 10))];
        if let Some([low, high]) = opened.outcome.interval(name) {
            let text = format!("   95 % interval {} to {}", percent(low), percent(high));
            spans.push(Span::styled(text, theme.dim()));
        }
        lines.push(Line::from(spans));
    }
    for (name, why) in opened.unreadable.iter().take(20) {
        lines.push(Line::from(Span::styled(
            format!("unreadable: {}: {}", cut(name, 60), cut(why, 60)),
            theme.warn(),
        )));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn list(model: &Model, view: &View, part: Part, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let focused = part == view.part;
    let rows = view.rows(part);
    let mut title = view::title(theme, part.title());
    let note = match part {
        Part::Classes if view.by_name => "by name ".to_owned(),
        Part::Classes => "worst first ".to_owned(),
        Part::Wrong if view.opened.wrong_count > rows => {
            format!("{} of {} ", count(rows as u64), count(view.opened.wrong_count as u64))
        }
        _ => format!("{} ", count(rows as u64)),
    };
    title.push_span(Span::styled(note, theme.dim()));
    let block = view::block(theme, title, focused);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, visible) = (usize::from(inner.width), usize::from(inner.height));
    if rows == 0 {
        let text = if part == Part::Classes { "no classes" } else { "none: every class came first" };
        frame.render_widget(Span::styled(format!(" {text}"), theme.dim()), inner);
        return;
    }
    let selected = view.chosen(part);
    let start = first_visible(selected, rows, visible);
    if focused {
        regions.rows = visible;
    }
    for i in (start..rows).take(visible) {
        let place = Rect { y: inner.y + view::cells(i - start), height: 1, ..inner };
        let mut line = match part {
            Part::Classes => class_line(theme, view, i, width),
            Part::Pairs => pair_line(theme, view, i, width),
            Part::Wrong => wrong_line(theme, view, i, width),
        };
        if i == selected && focused {
            line = view::selected_line(theme, &line, width);
        }
        frame.render_widget(line, place);
        if focused {
            regions.add(place, Hit::Row(i));
        }
    }
}

fn class_line(theme: Theme, view: &View, i: usize, width: usize) -> Line<'static> {
    let Some(class) = view.order.get(i).and_then(|at| view.opened.classes.get(*at)) else {
        return Line::default();
    };
    let bar = (width / 4).clamp(6, 24);
    let name = width.saturating_sub(bar + 17);
    let mut spans = vec![Span::raw(format!(" {} ", pad(&class.name, name)))];
    spans.extend(view::bar(theme, class.top1, bar));
    spans.push(Span::raw(pad_left(&percent(class.top1), 8)));
    spans.push(Span::styled(pad_left(&count(class.n), 7), theme.dim()));
    Line::from(spans)
}

fn pair_line(theme: Theme, view: &View, i: usize, width: usize) -> Line<'static> {
    let Some(pair) = view.opened.pairs.get(i) else { return Line::default() };
    let room = width.saturating_sub(10);
    Line::from(vec![
        Span::raw(format!(" {}", pad(&pair.class, room / 2))),
        Span::styled(" → ", theme.dim()),
        Span::raw(pad(&pair.taken_for, room - room / 2)),
        Span::styled(pad_left(&pair.n.to_string(), 5), theme.warn()),
    ])
}

fn wrong_line(theme: Theme, view: &View, i: usize, width: usize) -> Line<'static> {
    let Some(wrong) = view.opened.wrong.get(i) else { return Line::default() };
    let answer = wrong.top.first().map_or("?", |(class, _)| view.opened.class(*class));
    let file = wrong.picture.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let room = width.saturating_sub(6);
    Line::from(vec![
        Span::styled(format!(" {} ", pad(&file, room / 4)), theme.dim()),
        Span::raw(pad(view.opened.class(wrong.class), room * 3 / 8)),
        Span::styled(" → ", theme.dim()),
        Span::raw(cut(answer, room * 3 / 8)),
    ])
}

/// The picture with its five likeliest classes.
fn detail(model: &Model, view: &View, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let wrong = view.picture();
    let title = match (wrong, view.part) {
        (Some(w), _) => w.picture.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        (None, _) => "no wrong picture".to_owned(),
    };
    let [large, scores] = Layout::vertical([Constraint::Min(3), Constraint::Length(9)]).areas(area);
    let block = view::block(theme, view::title(theme, &cut(&title, 40)), false);
    let inner = block.inner(large);
    frame.render_widget(block, large);
    if let Some(wrong) = wrong {
        regions.picture = Some(inner);
        let path = wrong.picture.to_string_lossy();
        picture::draw(view.shown.as_ref(), &path, theme.dim(), inner, frame.buffer_mut());
    } else {
        frame.render_widget(Span::styled(" all of its pictures are right", theme.dim()), inner);
    }
    five(theme, view, wrong, frame, scores);
}

fn five(theme: Theme, view: &View, wrong: Option<&Wrong>, frame: &mut Frame, area: Rect) {
    let block = view::block(theme, view::title(theme, "top-5 scores"), false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line> = Vec::new();
    if let Some(wrong) = wrong {
        let text = format!(" it is: {}", view.opened.class(wrong.class));
        lines.push(Line::from(Span::styled(cut(&text, width), theme.strong())));
        let name = width.saturating_sub(20).min(30);
        let high = wrong.top.first().map_or(1.0, |(_, logit)| f64::from(*logit));
        for (class, logit) in wrong.top.iter().take(5) {
            let right = *class == wrong.class;
            let mark = if right { "✓" } else { " " };
            let style = if right { theme.good() } else { theme.text() };
            let mut spans =
                vec![Span::styled(format!("{mark}{} ", pad(view.opened.class(*class), name)), style)];
            // exp of the difference: how likely next to the first.
            let share = (f64::from(*logit) - high).exp();
            spans.extend(view::bar(theme, share, width.saturating_sub(name + 12).min(20)));
            spans.push(Span::raw(pad_left(&format!("{logit:.2}"), 8)));
            lines.push(Line::from(spans));
        }
        if !wrong.top.iter().any(|(class, _)| *class == wrong.class) {
            lines.push(Line::from(Span::styled(" the right class is not among them", theme.warn())));
        }
    }
    frame.render_widget(Paragraph::new(lines), inner);
}
