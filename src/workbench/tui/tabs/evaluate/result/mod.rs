//! An opened result: its rows (classes with their bars, confused pairs, wrong pictures; pictures and texts with their
//! ranks; captions with their scores), and the chosen one with its picture.

mod detail;
mod rows;
mod spread;

use super::percent;
use crate::evaluations::opened::Opened;
use crate::evaluations::short_model;
use crate::tui::evaluate::{Part, View};
use crate::tui::format::{count, cut};
use crate::tui::model::Model;
use crate::tui::popup::typed;
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
    let head = summary(model, view, usize::from(area.width));
    let rows = view::cells(head.len());
    let [above, body] = Layout::vertical([Constraint::Length(rows), Constraint::Min(3)]).areas(area);
    frame.render_widget(Paragraph::new(head), above);
    if view.large {
        regions.rows = 1;
        return detail::draw(model, view, frame, body, regions);
    }
    if area.width < WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(56), Constraint::Percentage(44)]).areas(body);
        list(model, view, view.part, frame, left, regions);
        return detail::draw(model, view, frame, right, regions);
    }
    // What could not be read takes the place of another part while it is looked at.
    let instead = |part: Part| if view.part == Part::Unreadable { Part::Unreadable } else { part };
    let third = [Constraint::Percentage(34), Constraint::Percentage(33), Constraint::Percentage(33)];
    let [left, middle, right] = Layout::horizontal(third).areas(body);
    match view.opened.outcome.task.as_str() {
        "zero-shot" => {
            let [pairs, wrong] = Layout::vertical([Constraint::Percentage(40); 2]).areas(middle);
            let wrong = Rect { height: middle.bottom().saturating_sub(wrong.y), ..wrong };
            list(model, view, Part::Classes, frame, left, regions);
            list(model, view, Part::Pairs, frame, pairs, regions);
            list(model, view, instead(Part::Wrong), frame, wrong, regions);
        }
        "retrieval" => {
            for (area, part) in [(left, Part::Images), (middle, instead(Part::Texts))] {
                let [rows, below] = with_spread(area);
                list(model, view, part, frame, rows, regions);
                spread::draw(model, view, part, frame, below);
            }
        }
        _ => {
            let wide = Rect { width: left.width + middle.width, ..left };
            let [rows, below] = with_spread(wide);
            list(model, view, instead(Part::Captions), frame, rows, regions);
            spread::draw(model, view, Part::Captions, frame, below);
        }
    }
    detail::draw(model, view, frame, right, regions);
}

fn with_spread(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Min(3), Constraint::Length(spread::ROWS)]).areas(area)
}

/// What it is a result of, and its figures.
fn summary(model: &Model, view: &View, width: usize) -> Vec<Line<'static>> {
    let (theme, opened) = (model.theme, &view.opened);
    let outcome = &opened.outcome;
    let mut spans = vec![
        Span::styled(format!(" {} ", cut(&short_model(&outcome.model), 32)), theme.strong()),
        Span::styled("on ", theme.dim()),
        Span::raw(cut(&crate::evaluations::short_data(&outcome.data), 28)),
    ];
    if let (Some(top1), Some(top5)) = (outcome.figures.get("top1"), outcome.figures.get("top5")) {
        spans.push(Span::raw(format!("   top-1 {}", percent(*top1))));
        spans.extend(interval(theme, opened, "top1"));
        spans.push(Span::raw(format!("  top-5 {}", percent(*top5))));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = |name: &str| outcome.figures.get(name).map_or(0, |n| n.max(0.0) as u64);
    match outcome.task.as_str() {
        "retrieval" => {
            let text = format!("   {} pictures, {} captions", count(whole("images")), count(whole("texts")));
            spans.push(Span::raw(text));
        }
        "caption" => spans.push(Span::raw(format!("   {} pictures", count(whole("n"))))),
        _ => {}
    }
    if !outcome.how.is_empty() {
        spans.push(Span::styled(format!("  {}", cut(&outcome.how, 40)), theme.dim()));
    }
    if !opened.unreadable.is_empty() {
        spans.push(Span::styled(
            format!("  {} unreadable", count(opened.unreadable.len() as u64)),
            theme.warn(),
        ));
    }
    let mut lines = vec![Line::from(spans)];
    match outcome.task.as_str() {
        "retrieval" => {
            lines.extend(["image_to_text", "text_to_image"].map(|way| recalls(theme, opened, way)));
        }
        "caption" => lines.push(scores(theme, opened)),
        _ => {}
    }
    if view.filtering {
        let mut line = typed(theme, &view.filter, width.saturating_sub(4));
        line.spans.insert(0, Span::styled(" / ", theme.key()));
        lines.push(line);
    } else if !view.filter.value().is_empty() {
        let text = format!(" only with: {}   Esc shows all", cut(view.filter.value(), 60));
        lines.push(Line::from(Span::styled(text, theme.warn())));
    }
    lines
}

fn interval(theme: Theme, opened: &Opened, figure: &str) -> Option<Span<'static>> {
    let [low, high] = opened.outcome.interval(figure)?;
    Some(Span::styled(format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high), theme.dim()))
}

/// The figures of one way of retrieval.
fn recalls(theme: Theme, opened: &Opened, way: &str) -> Line<'static> {
    let figure =
        |name: &str| opened.outcome.figures.get(&format!("{way}_{name}")).copied().unwrap_or(f64::NAN);
    let title = if way == "image_to_text" { "→ text" } else { "→ picture" };
    let mut spans = vec![Span::styled(format!(" {title:<9}"), theme.dim())];
    for k in [1, 5, 10] {
        spans.push(Span::styled(format!(" R@{k} "), theme.dim()));
        spans.push(Span::raw(format!("{:.1}", 100.0 * figure(&format!("R@{k}")))));
        if k == 1 {
            spans.extend(interval(theme, opened, &format!("{way}_R@1")));
        }
    }
    let ranks = format!(" %  mean rank {:.1}, median {:.0}", figure("mean_rank"), figure("median_rank"));
    spans.push(Span::raw(ranks));
    Line::from(spans)
}

/// The scores of captions, times 100.
fn scores(theme: Theme, opened: &Opened) -> Line<'static> {
    let names = [
        ("CIDEr-D", "cider"),
        ("BLEU-1", "bleu1"),
        ("-2", "bleu2"),
        ("-3", "bleu3"),
        ("-4", "bleu4"),
        ("ROUGE-L", "rouge_l"),
    ];
    let mut spans = vec![Span::raw(" ")];
    for (title, name) in names {
        let value = opened.outcome.figures.get(name).copied().unwrap_or(f64::NAN);
        spans.push(Span::styled(format!("{title} "), theme.dim()));
        spans.push(Span::raw(format!("{:.1}  ", 100.0 * value)));
    }
    spans.push(Span::styled("(×100)", theme.dim()));
    Line::from(spans)
}

fn list(model: &Model, view: &View, part: Part, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let focused = part == view.part;
    let rows = view.rows(part);
    let all = view.count(part);
    let mut title = view::title(theme, part.title());
    let many = match part {
        Part::Wrong if view.opened.wrong_count > all => {
            format!("{} of {} ", count(rows as u64), count(view.opened.wrong_count as u64))
        }
        _ if rows < all => format!("{} of {} ", count(rows as u64), count(all as u64)),
        _ => format!("{} ", count(rows as u64)),
    };
    let note = if part.sorts() { format!("{many}{} ", view.order.words()) } else { many };
    title.push_span(Span::styled(note, theme.dim()));
    let block = view::block(theme, title, focused);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, visible) = (usize::from(inner.width), usize::from(inner.height));
    if rows == 0 {
        let text = rows::nothing(view, part);
        frame.render_widget(Span::styled(cut(&format!(" {text}"), width), theme.dim()), inner);
        return;
    }
    let selected = view.chosen(part);
    let start = first_visible(selected, rows, visible);
    if focused {
        regions.rows = visible;
    }
    for i in (start..rows).take(visible) {
        let place = Rect { y: inner.y + view::cells(i - start), height: 1, ..inner };
        let mut line = rows::line(theme, view, part, i, width);
        if i == selected && focused {
            line = view::selected_line(theme, &line, width);
        }
        frame.render_widget(line, place);
        if focused {
            regions.add(place, Hit::Row(i));
        }
    }
}
