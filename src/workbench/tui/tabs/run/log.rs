//! The log pane: notices, the supervisor's log, the ranks' logs.

use super::stacked;
use crate::tui::format::{ago, cut, safe, wrap};
use crate::tui::model::{Log, Model, Pane, Watched};
use crate::tui::regions::{Hit, Regions};
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use regex::{Regex, RegexBuilder};

/// Which lines of the log there are to see.
#[derive(Debug, Default)]
pub struct Lines {
    /// All that are kept.
    all: usize,
    /// Those with what is searched for, by number; empty when nothing is.
    pub found: Vec<usize>,
    /// Whether only these are shown.
    only: bool,
}

impl Lines {
    /// How many are shown.
    pub fn count(&self) -> usize {
        if self.only { self.found.len() } else { self.all }
    }

    /// The number of a shown line among all.
    fn number(&self, shown: usize) -> usize {
        if self.only { self.found.get(shown).copied().unwrap_or_default() } else { shown }
    }

    /// Where a line stands among those that are shown.
    pub fn place(&self, number: usize) -> Option<usize> {
        if self.only { self.found.binary_search(&number).ok() } else { Some(number) }
    }
}

/// The lines of the chosen log; none without a run.
pub fn lines(model: &Model) -> Option<Lines> {
    model.watched.as_ref().map(|watched| of(watched, &model.log))
}

fn of(watched: &Watched, log: &Log) -> Lines {
    let all = match log.source.as_str() {
        "" => watched.history.notices.len(),
        source => watched.logs.get(source).map_or(0, std::collections::VecDeque::len),
    };
    let Some(pattern) = pattern(log) else { return Lines { all, ..Lines::default() } };
    let found = (0..all).filter(|i| pattern.is_match(text(watched, log, *i))).collect();
    Lines { all, found, only: log.only }
}

fn text<'a>(watched: &'a Watched, log: &Log, i: usize) -> &'a str {
    if log.source.is_empty() {
        return watched.history.notices.get(i).map_or("", |n| &n.notice.message);
    }
    watched.logs.get(&log.source).and_then(|l| l.get(i)).map_or("", String::as_str)
}

/// What is searched for: an expression, or the words as they stand where they are none.
fn pattern(log: &Log) -> Option<Regex> {
    let words = log.search.value();
    let build = |text: &str| RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 18).build();
    let found = || build(words).or_else(|_| build(&regex::escape(words))).ok();
    (!words.is_empty()).then(found).flatten()
}

/// Draws the pane.
pub fn draw(model: &Model, watched: &Watched, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let log = &model.log;
    let mut title = if stacked(frame, model) {
        vec![
            Span::styled(" samples", theme.dim()),
            Span::styled("  log ", theme.strong()),
            Span::styled("· ", theme.dim()),
        ]
    } else {
        vec![Span::styled(" log ", theme.strong()), Span::styled("· ", theme.dim())]
    };
    for name in watched.sources() {
        let label = if name.is_empty() { "notices" } else { name.trim_end_matches(".log") };
        let style = if name == log.source { theme.accent() } else { theme.dim() };
        title.push(Span::styled(format!("{} ", safe(label)), style));
    }
    let (shown, pattern) = (of(watched, log), pattern(log));
    let count = shown.count();
    let rows = usize::from(area.height.saturating_sub(2));
    regions.log_rows = rows;
    let above = log.above_end.min(count.saturating_sub(rows));
    let mut block = view::block(theme, Line::from(title), model.pane == Pane::Log);
    if log.searching || pattern.is_some() {
        let cursor = if log.searching { "▏" } else { "" };
        let at = log.found.and_then(|f| shown.found.iter().position(|i| *i == f));
        let of = match at {
            Some(at) => format!("{} of {}", at + 1, shown.found.len()),
            None => format!("{} lines", shown.found.len()),
        };
        let only = if log.only { ", only these" } else { "" };
        let text = format!(" /{}{cursor} {of}{only} ", cut(log.search.value(), 30));
        block = block.title_bottom(Line::from(Span::styled(text, theme.accent())));
    }
    let (words, style) = if above == 0 {
        (" following ".to_owned(), theme.dim())
    } else {
        (format!(" held, {above} below · f follows "), theme.warn())
    };
    if count > 0 {
        block = block.title_bottom(Line::from(Span::styled(words, style)).right_aligned());
    }
    let width = usize::from(area.width.saturating_sub(2));
    let mut drawn: Vec<Line> = Vec::new();
    // From the last line up, until the pane is full: broken lines take several rows.
    for i in (0..count - above).rev() {
        if drawn.len() >= rows {
            break;
        }
        let number = shown.number(i);
        let mut row = match watched.history.notices.get(number).filter(|_| log.source.is_empty()) {
            Some(noted) => notice(model, noted, width),
            None if log.wrap => wrap(text(watched, log, number), width)
                .into_iter()
                .map(|l| Line::from(Span::raw(l)))
                .collect(),
            None => vec![Line::from(Span::raw(cut(text(watched, log, number), width)))],
        };
        if let Some(pattern) = &pattern {
            let found = if log.found == Some(number) {
                theme.accent().patch(theme.selected())
            } else {
                theme.selected()
            };
            row = row.into_iter().map(|line| marked(line, pattern, found)).collect();
        }
        drawn.extend(row.into_iter().rev());
    }
    drawn.truncate(rows);
    drawn.reverse();
    if count == 0 {
        let text = match (shown.all, log.source.is_empty()) {
            (1.., _) => " no line has that",
            (0, true) => " no warnings, no errors",
            (0, false) => " empty so far",
        };
        drawn = vec![Line::from(Span::styled(text, theme.dim()))];
    }
    frame.render_widget(Paragraph::new(drawn).block(block), area);
    regions.add(area, Hit::Pane(Pane::Log));
}

/// The last span of a line, what is searched for in it marked.
fn marked(mut line: Line<'static>, pattern: &Regex, style: Style) -> Line<'static> {
    let Some(last) = line.spans.pop() else { return line };
    let mut from = 0;
    for found in pattern.find_iter(&last.content).filter(|f| !f.is_empty()) {
        let before = last.content.get(from..found.start()).unwrap_or_default();
        line.spans.push(Span::styled(before.to_owned(), last.style));
        line.spans.push(Span::styled(found.as_str().to_owned(), last.style.patch(style)));
        from = found.end();
    }
    line.spans.push(Span::styled(last.content.get(from..).unwrap_or_default().to_owned(), last.style));
    line
}

fn notice(model: &Model, noted: &run::history::Noted, width: usize) -> Vec<Line<'static>> {
    let theme = model.theme;
    let (word, style) = if noted.error { ("error", theme.bad()) } else { ("warning", theme.warn()) };
    let n = &noted.notice;
    let mut place = String::new();
    if let Some(step) = n.step {
        place += &format!("step {} ", crate::tui::format::count(step));
    }
    if let Some(rank) = n.rank {
        place += &format!("rank {rank} ");
    }
    let age = format!("{:>10} ", ago(model.now - noted.t));
    let used = age.len() + 8 + place.len();
    let room = width.saturating_sub(used);
    let mut pieces =
        if model.log.wrap && room > 10 { wrap(&n.message, room) } else { vec![cut(&n.message, room)] };
    let rest = if pieces.len() > 1 { pieces.split_off(1) } else { Vec::new() };
    let first = Line::from(vec![
        Span::styled(age, theme.dim()),
        Span::styled(format!("{word:<8}"), style),
        Span::styled(place, theme.dim()),
        Span::raw(pieces.pop().unwrap_or_default()),
    ]);
    let indent = " ".repeat(used);
    let rest = rest.into_iter().map(|piece| Line::from(vec![Span::raw(indent.clone()), Span::raw(piece)]));
    std::iter::once(first).chain(rest).collect()
}
