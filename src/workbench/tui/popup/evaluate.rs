//! The Evaluate tab's popups: the form of a new evaluation, a log, the file of an export.

use super::draw::{open, scrolled, typed};
use crate::tui::evaluate::{Form, Popup};
use crate::tui::format::{cut, pad, tail, wrap};
use crate::tui::model::Model;
use crate::tui::regions::Regions;
use crate::tui::tabs::runs::first_visible;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tui_input::Input;

/// Columns of a setting's name in the form.
const NAME: usize = 19;

/// Rows below the settings: an empty one, two of what is said, the verdict.
const BELOW: usize = 4;

/// What the footer says.
pub(super) fn hint(popup: &Popup) -> &'static str {
    match popup {
        Popup::Form(_) => "↑ ↓ line   ← → or type   Ctrl-O checkpoints   Enter start   Esc cancel",
        Popup::Log { .. } => "↑ ↓ PgUp PgDn scroll   r read again   Esc close",
        Popup::Export { .. } => "type a file name: .csv .md .svg .png   Enter write   Esc cancel",
    }
}

pub(super) fn draw(model: &Model, popup: &Popup, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    match popup {
        Popup::Form(form) => self::form(model, form, frame, body, regions),
        Popup::Log { id, lines, scroll } => {
            let width = body.width.saturating_sub(4).min(110);
            let room = usize::from(width.saturating_sub(4));
            let lines = lines.iter().flat_map(|l| wrap(l, room)).map(Line::from).collect();
            scrolled(
                model.theme,
                &format!("log of item {id}"),
                (lines, *scroll),
                width,
                frame,
                body,
                regions,
            );
        }
        Popup::Export { input } => export(model, input, frame, body, regions),
    }
}

fn form(model: &Model, form: &Form, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let lines = form.lines();
    let rows = view::cells(lines.len() + 8);
    let inner = open(theme, "new evaluation", (100, rows), frame, body, regions);
    let width = usize::from(inner.width);
    let selected = form.selected.min(lines.len().saturating_sub(1));
    // What is said of the chosen line, the warning and the verdict keep their place below.
    let visible = lines.len().min(usize::from(inner.height).saturating_sub(BELOW).max(1));
    let start = first_visible(selected, lines.len(), visible);
    if visible < lines.len() {
        let text = format!(" {}-{} of {} settings ", start + 1, start + visible, lines.len());
        let line = Line::from(Span::styled(text, theme.dim())).right_aligned();
        frame.render_widget(line, Rect { y: inner.bottom(), height: 1, ..inner });
    }
    for (i, (at, setting)) in lines.iter().enumerate().skip(start).take(visible) {
        let y = inner.y + view::cells(i - start);
        let place = Rect { y, height: 1, ..inner }.intersection(inner);
        let chosen = i == selected;
        let problem = form.problem(setting);
        let mark = if problem.is_some() { Span::styled("✕ ", theme.bad()) } else { Span::raw("  ") };
        let style = if chosen { theme.key() } else { theme.dim() };
        let mut spans = vec![
            Span::styled(if chosen { "› " } else { "  " }, theme.key()),
            Span::styled(pad(setting.name, NAME), style),
            mark,
        ];
        let words = Form::words(setting);
        if words.is_empty() {
            let Some(input) = form.inputs.get(*at) else { continue };
            let room = (width / 2).saturating_sub(NAME + 4).max(16);
            if chosen {
                spans.extend(typed(theme, input, room).spans);
            } else if input.value().is_empty() {
                spans.push(Span::styled("unset", theme.dim()));
            } else {
                spans.push(Span::raw(tail(input.value(), room)));
            }
        } else {
            for word in words {
                let here = form.is_at(setting, word);
                let style = match (here, chosen) {
                    (true, true) => theme.selected(),
                    (true, false) => theme.strong(),
                    (false, _) => theme.dim(),
                };
                spans.push(Span::styled(format!(" {word} "), style));
            }
        }
        let used: usize = spans.iter().map(Span::width).sum();
        let said = match (&problem, form.seen.as_ref().and_then(|s| s.facts.get(setting.name))) {
            (Some(problem), _) => Some(Span::styled(format!("  {problem}"), theme.bad())),
            (None, Some(fact)) => Some(Span::styled(format!("  {fact}"), theme.good())),
            (None, None) => None,
        };
        if let Some(said) = said {
            let text = cut(&said.content, width.saturating_sub(used));
            spans.push(Span::styled(text, said.style));
        }
        frame.render_widget(Line::from(spans), place);
    }
    let below = Rect {
        y: inner.y + view::cells(visible) + 1,
        height: inner.height.saturating_sub(view::cells(visible) + 1),
        ..inner
    };
    let mut words: Vec<Line> = Vec::new();
    if let Some((_, setting)) = lines.get(selected) {
        // What is wrong is said in full here; a line has little room.
        let (text, style) = match form.problem(setting) {
            Some(problem) => (problem, theme.bad()),
            None => (setting.doc.to_owned(), theme.dim()),
        };
        words.extend(wrap(&text, width).into_iter().take(2).map(|l| Line::from(Span::styled(l, style))));
    }
    if let Some(warning) = form.seen.as_ref().and_then(|s| s.warning.as_ref()) {
        let text = wrap(&format!("! {warning}"), width).into_iter().take(3);
        words.extend(text.map(|l| Line::from(Span::styled(l, theme.warn()))));
    }
    let wrong = lines.iter().filter(|(_, s)| form.problem(s).is_some()).count();
    let verdict = match (wrong, &form.seen) {
        (0, Some(_)) => Span::styled("✓ Enter puts it into the queue", theme.good()),
        (0, None) if form.start => Span::styled("… looking, then it starts", theme.warn()),
        (0, None) => Span::styled("… looking at what it names", theme.dim()),
        (n, _) => Span::styled(format!("✕ {n} to mend before it can start"), theme.bad()),
    };
    words.push(Line::from(verdict));
    frame.render_widget(Paragraph::new(words), below);
}

fn export(model: &Model, input: &Input, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let inner = open(theme, "export all results", (76, 5), frame, body, regions);
    let mut line = typed(theme, input, usize::from(inner.width.saturating_sub(7)));
    line.spans.insert(0, Span::styled(pad("file", 6), theme.dim()));
    let form = match input.value().rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => Span::styled("CSV: a figure a line, with its 95 % interval", theme.good()),
        Some("md") => Span::styled("Markdown: the table, the best in bold", theme.good()),
        Some("svg" | "png") => Span::styled("a picture: bars with their 95 % intervals", theme.good()),
        _ => Span::styled("✕ the ending says the form: .csv, .md, .svg or .png", theme.bad()),
    };
    frame.render_widget(Paragraph::new(vec![line, Line::from(""), Line::from(form)]), inner);
}
