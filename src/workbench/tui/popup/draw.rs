//! Draws popups.

use super::{Edit, Popup, STOPS, find, name_problem};
use crate::tui::action::{Place, table};
use crate::tui::format::{ago, cut, pad, safe, wrap};
use crate::tui::message::RestartPlan;
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Padding, Paragraph};
use run::settings::{Changes, Value};
use tui_input::Input;

impl Popup {
    /// What the footer says while it is open.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Help { .. } | Self::Notices { .. } => "↑ ↓ PgUp PgDn scroll   Esc close",
            Self::Palette { .. } => "type to find   ↑ ↓ choose   Enter do it   Esc close",
            Self::Stop { .. } => "↑ ↓ choose   Enter do it   Esc cancel",
            Self::Edit(edit) if !edit.choices().is_empty() => "← → choose   Enter take over   Esc cancel",
            Self::Edit(_) => "type the value   Enter take over   Esc cancel",
            Self::Apply { .. } => "Enter or y send   Esc cancel",
            Self::Restart { .. } => "Enter or y restart   Esc cancel",
            Self::NewRun { .. } => "type a name   Enter start   Esc cancel",
            Self::Export { .. } => "type a path   Enter write   Esc cancel",
            Self::GoTo { .. } => "type or paste a path   Enter go   Esc cancel",
            Self::Models { .. } => "type to find, or a path   ↑ ↓ choose   Enter take it   Esc cancel",
            Self::Evaluate(popup) => super::evaluate::hint(popup),
            Self::Charts(popup) => super::charts::hint(popup),
            Self::Runs(popup) => super::runs::hint(popup),
            Self::Decoding(_) => "↑ ↓ choose   type the value   Enter take over   Esc cancel",
        }
    }
}

/// Draws a popup over `body`; the topmost one gets the regions.
pub fn draw(model: &Model, popup: &Popup, frame: &mut Frame, body: Rect, regions: Option<&mut Regions>) {
    let mut own = Regions::default();
    let regions = regions.unwrap_or(&mut own);
    match popup {
        Popup::Help { scroll } => help(model, *scroll, frame, body, regions),
        Popup::Notices { scroll } => notices(model, *scroll, frame, body, regions),
        Popup::Palette { input, selected } => palette(model, input, *selected, frame, body, regions),
        Popup::Stop { selected } => stop(model, *selected, frame, body, regions),
        Popup::Edit(edit) => edit_box(model, edit, frame, body, regions),
        Popup::Apply { changes } => apply(model, changes, frame, body, regions),
        Popup::Restart { plan } => restart(model, plan, frame, body, regions),
        Popup::GoTo { input } => super::captions::go_to(model, input, frame, body, regions),
        Popup::Export { input } => super::datasets::export(model, input, frame, body, regions),
        Popup::Models { slot, input, selected } => {
            super::captions::models(model, *slot, input, *selected, frame, body, regions)
        }
        Popup::Decoding(form) => super::captions::decoding(model, form, frame, body, regions),
        Popup::Charts(popup) => super::charts::draw(model, popup, frame, body, regions),
        Popup::Runs(popup) => super::runs::draw(model, popup, frame, body, regions),
        Popup::Evaluate(popup) => super::evaluate::draw(model, popup, frame, body, regions),
        Popup::NewRun { input, .. } => new_run(model, input, frame, body, regions),
    }
}

/// An empty box of at most this size in the middle; says where its inside is.
pub(super) fn open(
    theme: Theme,
    title: &str,
    (width, height): (u16, u16),
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) -> Rect {
    let (width, height) = (width.min(body.width.saturating_sub(2)), height.min(body.height));
    let place =
        Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height };
    let block = view::block(theme, view::title(theme, title), true).padding(Padding::horizontal(1));
    let inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    regions.add(place, Hit::Popup);
    inner
}

/// Lines in a box, scrolled; the scroll never leaves the last page.
pub(super) fn scrolled(
    theme: Theme,
    title: &str,
    (lines, scroll): (Vec<Line<'static>>, usize),
    width: u16,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let count = lines.len();
    let inner = open(theme, title, (width, view::cells(count + 2)), frame, body, regions);
    let visible = usize::from(inner.height);
    regions.popup_rows = visible;
    let scroll = scroll.min(count.saturating_sub(visible));
    if count > visible {
        let text = format!(" {}-{} of {count} ", scroll + 1, scroll + visible);
        let line = Line::from(Span::styled(text, theme.dim())).right_aligned();
        frame.render_widget(line, Rect { y: inner.bottom(), height: 1, ..inner });
    }
    let shown: Vec<Line> = lines.into_iter().skip(scroll).take(visible).collect();
    frame.render_widget(Paragraph::new(shown), inner);
}

fn help(model: &Model, scroll: usize, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let mut lines = Vec::new();
    let width = body.width.saturating_sub(4).min(92);
    let mut places = model.places();
    for other in Place::ALL {
        if !places.contains(&other) {
            places.push(other);
        }
    }
    for place in places {
        if !lines.is_empty() {
            lines.push(Line::from(""));
        }
        lines.push(Line::from(Span::styled(place.title(), theme.strong())));
        for entry in table().iter().filter(|e| e.place == place) {
            let keys: Vec<String> = entry.keys.iter().map(ToString::to_string).collect();
            let text = usize::from(width).saturating_sub(4 + 20);
            for (i, doc) in wrap(entry.description, text).into_iter().enumerate() {
                let keys = if i == 0 { keys.join(" ") } else { String::new() };
                lines.push(Line::from(vec![
                    Span::styled(format!("  {}", pad(&keys, 18)), theme.key()),
                    Span::raw(doc),
                ]));
            }
        }
    }
    scrolled(theme, "keys", (lines, scroll), width, frame, body, regions);
}

fn notices(model: &Model, scroll: usize, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let width = body.width.saturating_sub(4).min(100);
    let mut lines = Vec::new();
    for note in model.notes.all.iter().rev() {
        for (i, text) in wrap(&note.text, usize::from(width).saturating_sub(26)).into_iter().enumerate() {
            let (age, word) =
                if i == 0 { (ago(model.now - note.t), note.kind.word()) } else { (String::new(), "") };
            lines.push(Line::from(vec![
                Span::styled(pad(&age, 12), theme.dim()),
                Span::styled(pad(word, 9), view::note_style(theme, note.kind)),
                Span::raw(text),
            ]));
        }
    }
    if lines.is_empty() {
        lines.push(Line::from(Span::styled("no messages yet", theme.dim())));
    }
    scrolled(theme, "messages, newest first", (lines, scroll), width, frame, body, regions);
}

/// A line of text that is typed, its end in sight.
pub fn typed(theme: Theme, input: &Input, width: usize) -> Line<'static> {
    let scroll = input.visual_scroll(width.saturating_sub(1));
    let chars: Vec<char> = input.value().chars().collect();
    let cursor = input.cursor();
    let mut spans = Vec::new();
    let mut used = 0;
    for (i, c) in chars.iter().enumerate().skip(scroll) {
        used += 1;
        if used >= width {
            break;
        }
        let style = if i == cursor { theme.selected() } else { theme.text() };
        spans.push(Span::styled(safe(&c.to_string()).into_owned(), style));
    }
    if cursor >= chars.len() {
        spans.push(Span::styled(" ", theme.selected()));
    }
    Line::from(spans)
}

/// A box with a line to type below what is said of it.
pub(super) fn line(
    model: &Model,
    title: &str,
    text: &str,
    input: &Input,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let mut lines: Vec<Line> =
        wrap(text, 70).into_iter().map(|l| Line::from(Span::styled(l, theme.dim()))).collect();
    lines.push(Line::from(""));
    lines.push(typed(theme, input, 70));
    let inner = open(theme, title, (76, view::cells(lines.len() + 2)), frame, body, regions);
    frame.render_widget(Paragraph::new(lines), inner);
}

/// A popup that lists what a typed line leaves: opens it, draws the line, gives the place of the list.
pub(super) fn search_popup(
    theme: Theme,
    title: &str,
    input: &Input,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) -> Rect {
    let inner = open(theme, title, (84, 20), frame, body, regions);
    let mut line = typed(theme, input, usize::from(inner.width).saturating_sub(2));
    line.spans.insert(0, Span::styled("› ", theme.key()));
    frame.render_widget(line, Rect { height: inner.height.min(1), ..inner });
    let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(2), ..inner };
    regions.popup_rows = usize::from(list.height);
    list
}

fn palette(
    model: &Model,
    input: &Input,
    selected: usize,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let found = find(input.value(), &model.places());
    let list = search_popup(theme, "commands", input, frame, body, regions);
    let (width, visible) = (usize::from(list.width), usize::from(list.height));
    if found.is_empty() {
        frame.render_widget(
            Span::styled("nothing matches", theme.dim()),
            Rect { height: list.height.min(1), ..list },
        );
        return;
    }
    let selected = selected.min(found.len() - 1);
    let start = first_visible(selected, found.len(), visible);
    for (i, f) in found.iter().enumerate().skip(start).take(visible) {
        let place = Rect { y: list.y + view::cells(i - start), height: 1, ..list };
        let key = f.entry.keys.first().map_or_else(String::new, ToString::to_string);
        let text = width.saturating_sub(20 + 10);
        let mut line = Line::from(vec![
            Span::raw(pad(f.entry.name, 20)),
            Span::styled(pad(f.entry.description, text), theme.dim()),
            Span::styled(format!(" {}", pad(&key, 9)), theme.key()),
        ]);
        if i == selected {
            line = view::selected_line(theme, &line, width);
        }
        frame.render_widget(line, place);
        regions.add(place, Hit::PopupRow(i));
    }
}

fn stop(model: &Model, selected: usize, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let name = model.watched.as_ref().map_or_else(String::new, |w| w.run.name());
    let inner = open(theme, &format!("stop {name}?"), (70, 10), frame, body, regions);
    for (i, (what, why)) in STOPS.iter().enumerate() {
        let y = inner.y + 1 + view::cells(i * 2);
        if y + 1 > inner.bottom() {
            break;
        }
        let place = Rect { y, height: 1, ..inner };
        let style = if i == selected { theme.selected() } else { theme.strong() };
        frame.render_widget(Span::styled(pad(&format!(" {what}"), usize::from(inner.width)), style), place);
        let below = Rect { y: y + 1, ..place }.intersection(inner);
        frame.render_widget(Span::styled(format!("   {why}"), theme.dim()), below);
        regions.add(place, Hit::PopupRow(i));
    }
}

fn edit_box(model: &Model, edit: &Edit, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let setting = edit.setting;
    let width = 78.min(body.width.saturating_sub(2));
    let text = usize::from(width.saturating_sub(4));
    let mut lines: Vec<Line> =
        wrap(setting.doc, text).into_iter().map(|l| Line::from(Span::styled(l, theme.dim()))).collect();
    lines.push(Line::from(""));
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" {}", setting.unit) };
    let label = |l: &str| Span::styled(pad(l, 9), theme.dim());
    lines.push(Line::from(vec![label("now"), Span::raw(cut(&format!("{}{unit}", edit.current), text - 9))]));
    let choices = edit.choices();
    let at = view::cells(lines.len());
    if choices.is_empty() {
        let mut line = typed(theme, &edit.input, text.saturating_sub(10 + unit.len()));
        line.spans.insert(0, label("new"));
        line.spans.push(Span::styled(unit, theme.dim()));
        lines.push(line);
    } else {
        let mut spans = vec![label("new")];
        for (i, word) in choices.iter().enumerate() {
            let style = if edit.choice() == Some(i) { theme.selected() } else { theme.text() };
            spans.push(Span::styled(format!(" {word} "), style));
        }
        lines.push(Line::from(spans));
    }
    let verdict = match edit.value() {
        Ok(Value::Unset) => ("✓", "unset: it follows another setting, or is absent".to_owned(), theme.good()),
        Ok(_) => ("✓", format!("takes {}", setting.rule()), theme.good()),
        Err(_) => ("✕", format!("takes {}", setting.rule()), theme.bad()),
    };
    for (i, line) in wrap(&verdict.1, text.saturating_sub(9)).into_iter().enumerate() {
        let sign = if i == 0 { verdict.0 } else { "" };
        lines.push(Line::from(vec![
            Span::styled(pad(&format!("       {sign}"), 9), verdict.2),
            Span::styled(line, if edit.value().is_ok() { theme.dim() } else { verdict.2 }),
        ]));
    }
    lines.push(Line::from(vec![label("a change"), Span::raw(setting.applies.to_string())]));
    let inner = open(theme, setting.name, (width, view::cells(lines.len() + 2)), frame, body, regions);
    frame.render_widget(Paragraph::new(lines), inner);
    let mut x = inner.x + 9;
    for (i, word) in choices.iter().enumerate() {
        let width = view::cells(word.len() + 2);
        regions.add(Rect { x, y: inner.y + at, width, height: 1 }.intersection(inner), Hit::PopupRow(i));
        x += width;
    }
}

/// One line for each change: name, value now, new value.
fn differences(model: &Model, changes: &Changes, width: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let current = model.watched.as_ref().and_then(|w| w.settings());
    changes
        .iter()
        .map(|(name, new)| {
            let now = current.as_ref().and_then(|c| c.get(name)).unwrap_or(Value::Unset);
            let value = width.saturating_sub(36) / 2;
            Line::from(vec![
                Span::raw(format!("  {}", pad(name, 30))),
                Span::styled(cut(&now.to_string(), value), theme.dim()),
                Span::raw(" → "),
                Span::styled(cut(&new.to_string(), value), theme.edited()),
            ])
        })
        .collect()
}

fn paragraph(
    model: &Model,
    title: &str,
    lines: Vec<Line<'static>>,
    width: u16,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let inner = open(model.theme, title, (width, view::cells(lines.len() + 2)), frame, body, regions);
    frame.render_widget(Paragraph::new(lines), inner);
}

fn apply(model: &Model, changes: &Changes, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let mut lines = vec![Line::from("These take effect at the run's next step:"), Line::from("")];
    lines.extend(differences(model, changes, 72));
    lines.push(Line::from(""));
    let text = "The run acknowledges the step; the curves get a mark there.";
    lines.push(Line::from(Span::styled(text, model.theme.dim())));
    paragraph(model, "send these edits?", lines, 76, frame, body, regions);
}

fn restart(model: &Model, plan: &RestartPlan, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let mut lines = Vec::new();
    let first = if plan.alive {
        "The run finishes its step, saves, stops, and goes on from there with:"
    } else {
        "The run goes on from its last complete checkpoint with:"
    };
    lines.push(Line::from(first));
    lines.push(Line::from(""));
    let before = lines.len();
    lines.extend(differences(model, &plan.live, 72));
    lines.extend(differences(model, &plan.restart, 72));
    if lines.len() == before {
        lines.push(Line::from(Span::styled("  no edits: the same settings", theme.dim())));
    }
    lines.push(Line::from(""));
    let text = "The edits are written to the run's config.toml.";
    lines.push(Line::from(Span::styled(text, theme.dim())));
    paragraph(model, "restart with edits?", lines, 76, frame, body, regions);
}

fn new_run(model: &Model, input: &Input, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let problem = name_problem(input.value().trim());
    let mut line = typed(theme, input, 54);
    line.spans.insert(0, Span::styled(pad("name", 7), theme.dim()));
    let verdict = match &problem {
        None => Span::styled("       ✓ [A-Za-z0-9._-]+, no dot first", theme.dim()),
        Some(text) => Span::styled(format!("       ✕ {}", cut(text, 64)), theme.bad()),
    };
    let mut lines = vec![
        Line::from("A new run from the start, with these settings and the edits."),
        Line::from(""),
        line,
        Line::from(verdict),
    ];
    let never = model.form.edits.len();
    if never > 0 {
        lines.push(Line::from(""));
        let edits: Changes = model.form.edits.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        lines.extend(differences(model, &edits, 72));
    }
    paragraph(model, "start a new run", lines, 76, frame, body, regions);
}
