//! The settings tab: the schema as a form.

use super::runs::first_visible;
use crate::tui::format::{count, cut, pad, safe, wrap};
use crate::tui::model::{Model, Watched};
use crate::tui::options::form::{LINES, is_option};
use crate::tui::regions::{Hit, Regions};
use crate::tui::settings_form::{default, now};
use crate::tui::theme::Theme;
use crate::tui::view::{self, cells};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use run::settings::{Applies, Setting, Settings, Value};
use unicode_width::UnicodeWidthStr;

/// Width from which the description stands beside the list.
const WIDE: u16 = 120;

/// Columns of the name and of when a change applies.
const NAME: usize = 30;
const APPLIES: usize = 15;

/// Height of the description where it stands below the list.
const DETAIL: u16 = 6;

/// Draws the tab: the run's settings, when there is a run that has some, and the workbench's own options.
pub fn draw(model: &Model, watched: Option<&Watched>, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let current = watched.and_then(Watched::settings);
    let mut area = area;
    if current.is_none() {
        let options = cells(LINES.len() + 3) + if area.width >= WIDE { 0 } else { DETAIL };
        // What another program's run was started with needs room; that no run is open does not.
        let much = watched.is_some_and(|w| w.is_foreign() || matches!(w.config, Some(Err(_))));
        let [top, rest] = match much {
            true => Layout::vertical([Constraint::Min(4), Constraint::Length(options)]).areas(area),
            false => Layout::vertical([Constraint::Length(3), Constraint::Min(options)]).areas(area),
        };
        without_settings(model, watched, frame, top);
        area = rest;
    }
    let (list, detail) = if area.width >= WIDE {
        let [l, d] = Layout::horizontal([Constraint::Min(1), Constraint::Length(48)]).areas(area);
        (l, d)
    } else {
        let [l, d] = Layout::vertical([Constraint::Min(1), Constraint::Length(DETAIL)]).areas(area);
        (l, d)
    };
    draw_list(model, current.as_ref(), frame, list, regions);
    draw_detail(model, watched, current.as_ref(), frame, detail);
}

/// Why there are no settings of a run, or what another program's was started with.
fn without_settings(model: &Model, watched: Option<&Watched>, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let text = match (watched, watched.and_then(|w| w.config.as_ref())) {
        (None, _) => vec![Line::from(Span::styled("no run is open: r lists the runs", theme.dim()))],
        (_, Some(Err(e))) => vec![
            Line::from(Span::styled("config.toml cannot be used", theme.bad())),
            Line::from(safe(e).into_owned()),
        ],
        (Some(watched), _) if watched.is_foreign() => {
            let mut lines = vec![Line::from(Span::styled(
                "Another program writes this run; it was started with:",
                theme.dim(),
            ))];
            let told = watched.parameters.iter();
            lines.extend(told.map(|(name, value)| {
                Line::from(vec![
                    Span::styled(format!("{} ", pad(name, NAME)), theme.dim()),
                    Span::raw(cut(value, 80)),
                ])
            }));
            if watched.parameters.is_empty() {
                lines.push(Line::from(Span::styled("nothing that it tells of", theme.dim())));
            }
            lines
        }
        _ => vec![Line::from(Span::styled("reading config.toml …", theme.dim()))],
    };
    let block = view::block(theme, view::title(theme, "settings"), false);
    let text = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: false });
    frame.render_widget(text.block(block.padding(ratatui::widgets::Padding::horizontal(1))), area);
}

enum Row {
    Heading(&'static str),
    Setting(usize, &'static Setting),
}

fn draw_list(
    model: &Model,
    current: Option<&Settings>,
    frame: &mut Frame,
    area: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let visible = model.form.visible(current);
    let selected = model.form.selected.min(visible.len().saturating_sub(1));
    let mut rows = Vec::new();
    let (mut group, mut selected_row) = ("", 0);
    for (i, setting) in visible.iter().enumerate() {
        if setting.group != group {
            group = setting.group;
            rows.push(Row::Heading(group));
        }
        if i == selected {
            selected_row = rows.len();
        }
        rows.push(Row::Setting(i, setting));
    }
    let mut title = view::title(theme, if current.is_some() { "settings" } else { "options" });
    if model.form.searching || !model.form.search.value().is_empty() {
        let cursor = if model.form.searching { "▏" } else { "" };
        title.push_span(Span::styled(
            format!("/{}{cursor} ", cut(model.form.search.value(), 30)),
            theme.accent(),
        ));
    }
    if model.form.only_set {
        title.push_span(Span::styled("changed from default only ", theme.warn()));
    }
    let all = LINES.len() + if current.is_some() { Settings::ALL.len() } else { 0 };
    if visible.len() < all {
        title.push_span(Span::styled(format!("{} of {all} ", visible.len()), theme.dim()));
    }
    let mut block = view::block(theme, title, true);
    if let Some(line) = edits_line(model, theme) {
        block = block.title_bottom(line);
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    regions.rows = usize::from(inner.height);
    if rows.is_empty() {
        let text = Span::styled(" nothing matches; Esc clears the search", theme.dim());
        frame.render_widget(text, Rect { height: 1, ..inner });
        return;
    }
    let width = usize::from(inner.width);
    let value = width.saturating_sub(NAME + APPLIES + 5).clamp(16, 56);
    let start = first_visible(selected_row, rows.len(), usize::from(inner.height));
    for (y, row) in rows.iter().skip(start).take(usize::from(inner.height)).enumerate() {
        let place = Rect { y: inner.y + cells(y), height: 1, ..inner };
        match row {
            Row::Heading(group) => {
                let rule = "─".repeat(width.saturating_sub(group.len() + 3));
                let line = Line::from(vec![
                    Span::styled(format!(" {group} "), theme.strong()),
                    Span::styled(rule, theme.dim()),
                ]);
                frame.render_widget(line, place);
            }
            Row::Setting(i, setting) => {
                let mut line = setting_line(model, current, setting, value);
                if *i == selected {
                    line = view::selected_line(theme, &line, width);
                }
                frame.render_widget(line, place);
                regions.add(place, Hit::Row(*i));
            }
        }
    }
}

fn setting_line(model: &Model, current: Option<&Settings>, setting: &Setting, value: usize) -> Line<'static> {
    let theme = model.theme;
    let now = now(model, current, setting);
    let is_default = default(setting) == now;
    let now_style = if is_default || now == Value::Unset { theme.dim() } else { theme.text() };
    let mut spans = vec![Span::raw(format!("  {} ", pad(setting.name, NAME - 1)))];
    // An edit stands behind the value it replaces; a value alone has all the room.
    match model.form.edits.get(setting.name) {
        Some(new) => {
            let (half, now) = (value / 2, now.to_string());
            let now = cut(&now, half.saturating_sub(1));
            let waiting = model.pending_edit(setting.name);
            let (mark, style) = if waiting { (" …", theme.warn()) } else { ("", theme.edited()) };
            let rest = value.saturating_sub(now.width() + 1);
            spans.push(Span::styled(format!("{now} "), now_style));
            spans.push(Span::styled(pad(&format!("→ {new}{mark}"), rest), style));
        }
        None => spans.push(Span::styled(pad(&now.to_string(), value), now_style)),
    }
    spans.push(Span::raw(" "));
    spans.push(Span::styled(setting.applies.to_string(), applies_style(theme, setting.applies)));
    Line::from(spans)
}

fn applies_style(theme: Theme, applies: Applies) -> ratatui::style::Style {
    match applies {
        Applies::Live => theme.good(),
        Applies::Restart => theme.warn(),
        Applies::Never => theme.dim(),
    }
}

fn edits_line(model: &Model, theme: Theme) -> Option<Line<'static>> {
    if model.form.edits.is_empty() {
        return None;
    }
    let of = |a| model.form.edits_of(a).len();
    let mut words = Vec::new();
    for (n, key, what) in [
        (of(Applies::Live), "a", "at once"),
        (of(Applies::Restart), "R", "with a restart"),
        (of(Applies::Never), "n", "in a new run"),
    ] {
        if n > 0 {
            words.push(Span::styled(format!(" {n} {what} "), theme.edited()));
            words.push(Span::styled(key, theme.key()));
        }
    }
    words.push(Span::raw(" "));
    Some(Line::from(words))
}

fn draw_detail(
    model: &Model,
    watched: Option<&Watched>,
    current: Option<&Settings>,
    frame: &mut Frame,
    area: Rect,
) {
    let theme = model.theme;
    let Some(setting) = model.form.chosen(current) else {
        frame.render_widget(view::block(theme, "", false), area);
        return;
    };
    let width = usize::from(area.width.saturating_sub(4));
    let block = view::block(theme, view::title(theme, setting.name), false)
        .padding(ratatui::widgets::Padding::horizontal(1));
    let tall = area.height > 10;
    let mut lines: Vec<Line> = wrap(setting.doc, width).into_iter().map(Line::from).collect();
    if tall {
        lines.push(Line::from(""));
    }
    let mut pair = |label: &str, spans: Vec<Span<'static>>| {
        let mut all = vec![Span::styled(pad(label, 9), theme.dim())];
        all.extend(spans);
        lines.push(Line::from(all));
    };
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" {}", setting.unit) };
    let now = now(model, current, setting);
    let default = default(setting);
    let mut value = vec![
        Span::styled(format!("{}{unit}", safe(&now.to_string())), theme.strong()),
        Span::styled(format!("   default {}", safe(&default.to_string())), theme.dim()),
    ];
    if let Some(new) = model.form.edits.get(setting.name) {
        value.insert(1, Span::styled(format!(" → {}{unit}", safe(&new.to_string())), theme.edited()));
    }
    pair("value", value);
    if !tall && setting.group == "Parallel" {
        // A small box has room for what matters here: what it would cost.
        lines.truncate(1);
        lines.extend(watched.map_or_else(Vec::new, |w| what_if(model, w, (width, tall))));
        frame.render_widget(Paragraph::new(lines).block(block), area);
        return;
    }
    let mut pair = |label: &str, spans: Vec<Span<'static>>| {
        let mut all = vec![Span::styled(pad(label, 9), theme.dim())];
        all.extend(spans);
        lines.push(Line::from(all));
    };
    for (i, line) in wrap(&setting.rule(), width.saturating_sub(9)).into_iter().enumerate() {
        pair(if i == 0 { "takes" } else { "" }, vec![Span::raw(line)]);
    }
    if tall {
        let applies = Span::styled(setting.applies.to_string(), applies_style(theme, setting.applies));
        pair("a change", vec![applies]);
    }
    let mut keys = vec![("Enter", "choose; workbench.toml keeps it")];
    if let (Some(watched), Some(current), false) = (watched, current, is_option(setting)) {
        of_run(model, watched, current, setting, &mut lines, (width, tall));
        keys = vec![
            ("Enter", "edit"),
            ("u", "take the edit back"),
            ("a", "send edits that apply at once"),
            ("R", "restart with all edits"),
            ("n", "new run from this config"),
        ];
    }
    if tall {
        lines.push(Line::from(""));
        for (key, what) in keys {
            lines.push(Line::from(vec![
                Span::styled(pad(key, 7), theme.key()),
                Span::styled(what, theme.dim()),
            ]));
        }
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// What there is to say of a run's setting besides its declaration.
fn of_run(
    model: &Model,
    watched: &Watched,
    current: &Settings,
    setting: &Setting,
    lines: &mut Vec<Line<'static>>,
    (width, tall): (usize, bool),
) {
    let theme = model.theme;
    // Where this setting was edited before.
    let edits: Vec<String> = watched
        .history
        .marks
        .iter()
        .rev()
        .filter_map(|m| Some(format!("{} since step {}", m.changes.get(setting.name)?, count(m.step))))
        .collect();
    if !edits.is_empty() {
        lines.push(Line::from(vec![
            Span::styled(pad("edited", 9), theme.dim()),
            Span::raw(cut(&edits.join(", "), width.saturating_sub(9))),
        ]));
    }
    if let Err(e) = model.form.edited(current) {
        // What contradicts comes first: a small box has room for little more.
        let told = wrap(&e.to_string(), width).into_iter().map(|l| Line::from(Span::styled(l, theme.bad())));
        lines.splice(0..0, told);
    }
    if tall {
        lines.push(Line::from(""));
        lines.extend(what_if(model, watched, (width, tall)));
    }
}

/// What the edited settings would cost.
fn what_if(model: &Model, watched: &Watched, (width, tall): (usize, bool)) -> Vec<Line<'static>> {
    let measured = watched.history.layout.iter().flat_map(|l| &l.ranks).filter_map(|r| r.measured);
    let now = measured.map(|bytes| bytes.sum()).max();
    crate::tui::what_if::lines(model.theme, &model.what_if, now, (width, tall))
}
