//! Draws the model. No I/O, no clock.

use super::action::{self, Action, Entry, Place, table};
use super::format::{count, cut, number, pad, percent, safe, span};
use super::model::{Model, Page, Watched};
use super::notes::Kind;
use super::regions::{Hit, Regions};
use super::theme::Theme;
use super::{popup, tabs};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use run::events::State;
use run::history::Status;

/// Smallest terminal that is drawn into, columns and rows.
pub const SMALLEST: (u16, u16) = (60, 15);

/// Draws one frame and says what lies where.
pub fn view(model: &Model, frame: &mut Frame) -> Regions {
    let area = frame.area();
    let mut regions = Regions::default();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!(
            "terminal too small ({}x{}, needs {}x{}); q quits",
            area.width, area.height, SMALLEST.0, SMALLEST.1
        );
        frame.render_widget(Line::from(text), Rect { height: area.height.min(1), ..area });
        return regions;
    }
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    header(model, frame, head, &mut regions);
    match (model.page, &model.watched) {
        (Page::Evaluate, _) => tabs::evaluate::draw(model, frame, body, &mut regions),
        (Page::Caption, _) => tabs::caption::draw(model, frame, body, &mut regions),
        (Page::Data, _) => tabs::data::draw(model, frame, body, &mut regions),
        (Page::Settings, watched) => tabs::settings::draw(model, watched.as_ref(), frame, body, &mut regions),
        (Page::Runs, _) | (_, None) => tabs::runs::draw(model, frame, body, &mut regions),
        (Page::Run, Some(watched)) => tabs::run::draw(model, watched, frame, body, &mut regions),
        (Page::Devices, Some(watched)) => tabs::devices::draw(model, watched, frame, body, &mut regions),
    }
    footer(model, frame, foot, &mut regions);
    toasts(model, frame, body);
    which_key(model, frame, body);
    for (i, popup) in model.popups.iter().enumerate() {
        let top = i + 1 == model.popups.len();
        popup::draw(model, popup, frame, body, top.then_some(&mut regions));
    }
    if model.theme.ascii {
        super::ascii::replace(frame.buffer_mut());
    }
    regions
}

/// What may follow the first key of two, while it waits.
fn which_key(model: &Model, frame: &mut Frame, body: Rect) {
    let theme = model.theme;
    let Some(prefix) = model.prefix else { return };
    let followers = action::followers(prefix, &model.places());
    let lines: Vec<Line> = followers
        .iter()
        .map(|(key, entry)| {
            Line::from(vec![
                Span::styled(pad(&format!(" {key}"), 8), theme.key()),
                Span::styled(pad(entry.name, 16), theme.strong()),
                Span::styled(cut(entry.description, usize::from(body.width).saturating_sub(30)), theme.dim()),
            ])
        })
        .collect();
    let height = cells(lines.len() + 2).min(body.height);
    let place = Rect { y: body.bottom().saturating_sub(height), height, ..body };
    let block = block(theme, title(theme, &format!("{prefix} and then")), true);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

/// A pane's box with its title.
pub fn block<'a>(theme: Theme, title: impl Into<Line<'a>>, focused: bool) -> Block<'a> {
    Block::bordered().border_type(BorderType::Rounded).border_style(theme.border(focused)).title(title.into())
}

/// A title in a pane's border.
pub fn title<'a>(theme: Theme, text: &str) -> Line<'a> {
    Line::from(Span::styled(format!(" {} ", safe(text)), theme.strong()))
}

/// So many rows or columns of the screen.
pub fn cells(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// The selected line of a list: one style over all of it, for colours turned around would make stripes.
pub fn selected_line(theme: Theme, line: &Line, width: usize) -> Line<'static> {
    let text: String = line.spans.iter().map(|s| s.content.as_ref()).collect();
    Line::from(Span::styled(pad(&text, width), theme.selected()))
}

/// The dot and the style of a status.
pub fn status_look(theme: Theme, status: Option<Status>) -> (&'static str, &'static str, Style) {
    match status {
        None => ("○", "loading", theme.dim()),
        Some(status) => {
            let (dot, style) = match status {
                Status::Alive(State::Paused) => ("◑", theme.warn()),
                Status::Alive(State::Stopping | State::Restarting) => ("◑", theme.warn()),
                Status::Alive(_) => ("●", theme.good()),
                Status::Ended(run::events::Outcome::Failed) | Status::Crashed => ("✕", theme.bad()),
                Status::Ended(run::events::Outcome::Completed) => ("✓", theme.good()),
                Status::Ended(_) | Status::New | Status::Foreign { growing: false } => ("○", theme.text()),
                Status::Foreign { growing: true } => ("●", theme.good()),
                Status::Stale => ("?", theme.warn()),
            };
            (dot, status.word(), style)
        }
    }
}

/// Words with what they cost to leave out: the highest number goes first when there is no room.
type Part = (u8, Vec<Span<'static>>);

/// Columns between the parts of a line.
const GAP: usize = 3;

/// Joins parts with gaps, leaving out what does not fit into `width`.
fn fit(mut parts: Vec<Part>, width: usize) -> Line<'static> {
    let wide = |parts: &[Part]| {
        parts
            .iter()
            .map(|(_, s)| s.iter().map(Span::width).sum::<usize>() + GAP)
            .sum::<usize>()
            .saturating_sub(GAP)
    };
    while wide(&parts) > width {
        let Some((at, _)) = parts.iter().enumerate().max_by_key(|(_, (rank, _))| *rank) else { break };
        parts.remove(at);
    }
    let mut spans = Vec::new();
    for (i, (_, part)) in parts.into_iter().enumerate() {
        if i > 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        spans.extend(part);
    }
    Line::from(spans)
}

fn header(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let tabs_width = tabs_line(model, frame, first, regions);
    let room = Rect { x: first.x + 1, width: first.width.saturating_sub(tabs_width + 3), ..first };
    let Some(watched) = &model.watched else {
        frame.render_widget(Line::from(Span::styled("cocaptain", theme.strong())), room);
        let root = format!("runs in {}", safe(&model.root.display().to_string()));
        let line = Line::from(Span::styled(cut(&root, usize::from(second.width)), theme.dim()));
        frame.render_widget(line, inset(second));
        return;
    };
    let (dot, word, style) = status_look(theme, watched.status);
    let status = Span::styled(format!("{dot} {word}"), style);
    // How the run is must be seen on any screen: a long name gives way to it.
    let name = usize::from(room.width).saturating_sub(status.width() + GAP).min(40);
    let mut parts: Vec<Part> = vec![
        (0, vec![Span::styled(cut(&model.label(&watched.run), name), theme.strong())]),
        (0, vec![status]),
    ];
    if let Some((_, Some(message))) = watched.history.state.as_ref().filter(|_| watched.is_alive()) {
        parts.push((3, vec![Span::styled(safe(message).into_owned(), theme.dim())]));
    } else if let Some((_, Some(message))) = &watched.history.finished {
        parts.push((3, vec![Span::styled(safe(message).into_owned(), theme.dim())]));
    }
    if model.page == Page::Run {
        let (text, frozen) = tabs::run::badge(model);
        parts.push((4, vec![Span::styled(text, if frozen { theme.warn() } else { theme.dim() })]));
    }
    for pending in &model.pending {
        let text = format!("{} requested, {}", safe(&pending.what), span(model.now - pending.since));
        parts.push((1, vec![Span::styled(format!("… {text}"), theme.warn())]));
    }
    if let Some(share) = watched.loading {
        parts.push((2, vec![Span::styled(format!("… reading events {}", percent(share)), theme.warn())]));
    }
    frame.render_widget(fit(parts, usize::from(room.width)), room);
    let width = usize::from(second.width.saturating_sub(2));
    frame.render_widget(fit(progress(model, watched, width), width), inset(second));
}

fn inset(area: Rect) -> Rect {
    Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area }
}

/// The tabs at the right end; says how wide they are.
fn tabs_line(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) -> u16 {
    let theme = model.theme;
    let labels: Vec<(Page, String)> = Page::TABS
        .iter()
        .zip([
            Action::OpenRunTab,
            Action::OpenDevicesTab,
            Action::OpenSettingsTab,
            Action::OpenCaptionTab,
            Action::OpenEvaluateTab,
            Action::OpenDataTab,
        ])
        // Without a run there is nothing on its tabs.
        .filter(|(page, _)| model.watched.is_some() || page.stands_alone())
        .map(|(page, action)| {
            // On a narrow screen the run's name needs room: other tabs say no more than their keys and a few letters.
            let letters = match area.width {
                _ if *page == model.page => 16,
                0..76 => 0,
                76..110 => 4,
                _ => 16,
            };
            let title: String = page.title().chars().take(letters).chain([' ']).collect();
            (*page, format!(" {} {}", key_of(action, model), title.trim_start()))
        })
        .collect();
    let width: usize = labels.iter().map(|(_, l)| l.len()).sum();
    let width = cells(width);
    let mut x = area.x + area.width.saturating_sub(width);
    for (page, label) in labels {
        let style = if page == model.page { theme.accent().patch(theme.selected()) } else { theme.dim() };
        let width = u16::try_from(label.len()).unwrap_or(0);
        let place = Rect { x, width, ..area }.intersection(area);
        frame.render_widget(Span::styled(label, style), place);
        regions.add(place, Hit::Tab(page));
        x += width;
    }
    width
}

/// The first key of an action, as text.
fn key_of(action: Action, model: &Model) -> String {
    action::entry(action, &model.places())
        .or_else(|| table().iter().find(|e| e.action == action))
        .and_then(|e| e.keys.first())
        .map_or_else(String::new, ToString::to_string)
}

#[allow(clippy::cast_precision_loss)]
fn progress(model: &Model, watched: &Watched, width: usize) -> Vec<Part> {
    let theme = model.theme;
    let history = &watched.history;
    let labelled = |label: &'static str, value: String| {
        vec![Span::styled(format!("{label} "), theme.dim()), Span::raw(value)]
    };
    let with_unit = |value: String, unit: &'static str| {
        vec![Span::raw(value), Span::styled(format!(" {unit}"), theme.dim())]
    };
    let mut parts: Vec<Part> = Vec::new();
    let total = history.started.as_ref().map(|s| s.total_steps).filter(|t| *t > 0);
    match total {
        Some(total) => {
            let share = history.step as f64 / total as f64;
            let mut spans = labelled("step", format!("{} / {}", count(history.step), count(total)));
            if width >= 110 {
                spans.push(Span::raw("  "));
                spans.extend(bar(theme, share, 16));
            }
            spans.push(Span::raw(format!("  {}", percent(share))));
            parts.push((0, spans));
        }
        None => parts.push((0, labelled("step", count(history.step)))),
    }
    if history.epoch > 0.0 && history.epoch.is_finite() {
        parts.push((5, labelled("epoch", format!("{:.2}", history.epoch))));
    }
    if watched.is_alive() {
        let paused = matches!(watched.status, Some(Status::Alive(State::Paused)));
        if let Some(seconds) = history.remaining_seconds() {
            let text = if paused { "paused".to_owned() } else { span(seconds) };
            parts.push((1, labelled("ETA", text)));
        }
    } else if let (Some(first), Some(last)) = (history.first_time, history.last_time) {
        parts.push((4, labelled("took", span(last - first))));
    }
    if let Some(m) = &history.metrics {
        if m.samples_per_second.is_finite() && m.samples_per_second > 0.0 {
            parts.push((2, with_unit(number(m.samples_per_second), "samples/s")));
        }
        if m.step_seconds > 0.0 && m.data_seconds.is_finite() {
            let share = m.data_seconds / m.step_seconds;
            let style = if share > 0.2 { theme.warn() } else { theme.text() };
            let value = Span::styled(percent(share), style);
            parts.push((3, vec![Span::styled("data wait ", theme.dim()), value]));
        }
        if m.step_seconds > 0.0 && m.step_seconds.is_finite() {
            let text = if m.step_seconds < 1.0 {
                with_unit(format!("{:.0}", m.step_seconds * 1000.0), "ms/step")
            } else {
                with_unit(number(m.step_seconds), "s/step")
            };
            parts.push((6, text));
        }
    }
    if let Some(started) = &history.started
        && !started.device.is_empty()
    {
        parts.push((8, vec![Span::styled(cut(&started.device, 30), theme.dim())]));
    }
    if history.attempt > 0 {
        parts.push((7, labelled("attempt", (history.attempt + 1).to_string())));
    }
    parts
}

/// A bar of `width` columns that is filled to `share`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub fn bar(theme: Theme, share: f64, width: usize) -> Vec<Span<'static>> {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = ((share * width as f64).round() as usize).min(width);
    vec![Span::styled("━".repeat(full), theme.accent()), Span::styled("─".repeat(width - full), theme.dim())]
}

fn footer(model: &Model, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let hint = if let Some(popup) = model.popups.last() {
        Some(popup.hint())
    } else if super::update::Line::of(model).is_some() {
        Some("type words   Enter keep   Esc clear   ↑ ↓ choose")
    } else if model.evaluate.is_typing() && model.page == Page::Evaluate {
        Some("type the template, {} is the class name   Enter keep   Esc as it was")
    } else {
        None
    };
    if let Some(hint) = hint {
        frame.render_widget(Span::styled(hint, theme.dim()), inset(area));
        return;
    }
    let places = model.places();
    let mut entries: Vec<&Entry> =
        table().iter().filter(|e| e.footer > 0 && places.contains(&e.place)).collect();
    entries.retain(|e| match e.action {
        Action::NextPane => {
            model.page == Page::Run || (model.page == Page::Evaluate && places.contains(&Place::Evaluate))
        }
        Action::OpenRuns => model.page != Page::Runs,
        Action::Apply | Action::Restart | Action::NewRun => model.watched.is_some(),
        Action::EditPrompts => {
            model.evaluate.view.as_ref().is_some_and(|v| v.opened.outcome.task == "zero-shot")
        }
        _ => true,
    });
    entries.sort_by_key(|e| e.footer);
    let width = |e: &Entry| {
        e.keys.first().map_or(0, |k| Span::raw(k.to_string()).width()) + 1 + Span::raw(e.name).width()
    };
    let total = |entries: &[&Entry]| entries.iter().map(|e| width(e) + 2).sum::<usize>();
    // Without room, the least useful keys of the pane go first; commands, help and quit stay.
    while total(&entries) > usize::from(area.width) && entries.len() > 3 {
        let at = entries.iter().rposition(|e| e.footer < 11).unwrap_or(0);
        entries.remove(at);
    }
    let mut x = area.x + 1;
    for entry in entries {
        let Some(key) = entry.keys.first() else { continue };
        let line = Line::from(vec![
            Span::styled(key.to_string(), theme.key()),
            Span::raw(" "),
            Span::raw(entry.name),
        ]);
        let width = cells(line.width());
        let place = Rect { x, width, ..area }.intersection(area);
        frame.render_widget(line, place);
        regions.add(place, Hit::Do(entry.action));
        x = x.saturating_add(width + 2);
    }
}

/// The style of a message's kind.
pub fn note_style(theme: Theme, kind: Kind) -> Style {
    match kind {
        Kind::Good => theme.good(),
        Kind::Info => theme.accent(),
        Kind::Warning => theme.warn(),
        Kind::Error => theme.bad(),
    }
}

fn toasts(model: &Model, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let width = area.width.saturating_sub(4).min(64);
    let mut lines: Vec<Line> = Vec::new();
    let mut errors = false;
    for note in model.notes.shown().take(4) {
        let mut text = super::format::wrap(&note.text, usize::from(width.saturating_sub(13)));
        if text.len() > 4 {
            text.truncate(4);
            text.iter_mut().skip(3).for_each(|t| t.push('…'));
        }
        errors |= note.kind == Kind::Error;
        for (i, text) in text.into_iter().enumerate() {
            let word = if i == 0 { note.kind.word() } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!(" {word:<8} "), note_style(theme, note.kind)),
                Span::raw(text),
            ]));
        }
    }
    if lines.is_empty() {
        return;
    }
    let height = cells(lines.len() + 2).min(area.height);
    let place = Rect {
        x: area.right().saturating_sub(width + 1),
        y: area.bottom().saturating_sub(height),
        width,
        height,
    };
    let hint = if errors { " d dismisses · N all messages " } else { " N all messages " };
    let block =
        block(theme, "", true).title_bottom(Line::from(Span::styled(hint, theme.dim())).right_aligned());
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

/// Every text on the screen that depends on the clock: nothing needs drawing while they stay the same.
pub fn clock_texts(model: &Model) -> String {
    use super::format::ago;
    let mut text = String::new();
    for pending in &model.pending {
        text += &span(model.now - pending.since);
    }
    text += &model.notes.shown().count().to_string();
    for slot in model.captions.slots.iter().flatten().filter(|_| model.page == Page::Caption) {
        if let super::captions::Loading::Since(t) = slot.loading {
            text += &span(model.now - t);
        }
    }
    if model.page == Page::Data {
        for since in [model.datasets.opening, model.datasets.checking.as_ref().map(|c| c.since)] {
            text += &since.map_or_else(String::new, |t| span(model.now - t));
        }
    }
    let mut age = |t: f64| text += &ago(model.now - t);
    if model.popups.iter().any(|p| matches!(p, popup::Popup::Notices { .. })) {
        model.notes.all.iter().rev().for_each(|n| age(n.t));
    }
    match model.page {
        Page::Runs => model.runs.rows.iter().flatten().filter_map(|r| r.last_time).for_each(age),
        Page::Run if model.log.source.is_empty() => {
            let notices = model.watched.iter().flat_map(|w| w.history.notices.iter().rev().take(100));
            notices.for_each(|n| age(n.t));
        }
        _ => {}
    }
    text
}
