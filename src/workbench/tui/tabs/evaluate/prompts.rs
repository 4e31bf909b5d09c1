//! Prompts that are edited, and at once how the class fares with them.

use super::percent;
use crate::tui::evaluate::{Prompts, Scope, Stand};
use crate::tui::format::{count, cut, pad, pad_left, wrap};
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
use run::serve::Tuned;

pub(super) fn draw(model: &Model, prompts: &Prompts, frame: &mut Frame, area: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let [above, below] = Layout::vertical([Constraint::Min(4), Constraint::Length(10)]).areas(area);
    let mut title = view::title(theme, "templates");
    let whose = match prompts.scope {
        Scope::Class => format!("of {} alone ", cut(&prompts.name, 30)),
        Scope::All => "of all classes ".to_owned(),
    };
    title.push_span(Span::styled(whose, theme.dim()));
    let block = view::block(theme, title, true);
    let inner = block.inner(above);
    frame.render_widget(block, above);
    let (width, visible) = (usize::from(inner.width), usize::from(inner.height));
    regions.rows = visible;
    let count = prompts.templates.len();
    let selected = prompts.selected.min(count.saturating_sub(1));
    let start = first_visible(selected, count, visible);
    for (i, template) in prompts.templates.iter().enumerate().skip(start).take(visible) {
        let place = Rect { y: inner.y + view::cells(i - start), height: 1, ..inner };
        let changed = prompts.before.get(i) != Some(template);
        let mark = if changed { "*" } else { " " };
        let line = match (&prompts.typing, i == selected) {
            (Some(input), true) => {
                let problem = Prompts::problem(input.value());
                let room = width.saturating_sub(4 + problem.map_or(0, |p| p.len() + 4));
                let mut line = typed(theme, input, room);
                line.spans.insert(0, Span::styled(" › ", theme.key()));
                if let Some(problem) = problem {
                    line.spans.push(Span::styled(format!("  ✕ {problem}"), theme.bad()));
                }
                line
            }
            (None, true) => {
                Line::from(Span::styled(pad(&format!(" {mark} {template}"), width), theme.selected()))
            }
            (_, false) => {
                let style = if changed { theme.edited() } else { theme.text() };
                Line::from(Span::styled(cut(&format!(" {mark} {template}"), width), style))
            }
        };
        frame.render_widget(line, place);
        regions.add(place, Hit::Row(i));
    }
    fares(model, prompts, frame, below);
}

fn fares(model: &Model, prompts: &Prompts, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let mut title = view::title(theme, &format!("how {} fares", cut(&prompts.name, 30)));
    title.push_span(Span::styled(stand(prompts), theme.dim()));
    let block = view::block(theme, title, false).padding(ratatui::widgets::Padding::horizontal(1));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    if let Stand::Failed(why) = &prompts.stand {
        let text = wrap(&format!("✕ {why}"), width);
        let lines: Vec<Line> = text.into_iter().map(|l| Line::from(Span::styled(l, theme.bad()))).collect();
        frame.render_widget(Paragraph::new(lines), inner);
        return;
    }
    let (Some(first), Some(now)) = (&prompts.first, &prompts.now) else {
        let (own, all) = (
            prompts.pictures.iter().filter(|(_, class)| *class == prompts.class).count(),
            prompts.pictures.len(),
        );
        let text = format!(
            "{own} pictures of the class and {} others are looked at once; after that an edit costs one text.",
            all - own
        );
        let lines: Vec<Line> =
            wrap(&text, width).into_iter().map(|l| Line::from(Span::styled(l, theme.dim()))).collect();
        frame.render_widget(Paragraph::new(lines), inner);
        return;
    };
    let head =
        format!("{}{}{}{}", pad("", 34), pad_left("before", 12), pad_left("now", 12), pad_left("change", 12));
    let mut lines = vec![Line::from(Span::styled(head, theme.dim()))];
    #[allow(clippy::cast_precision_loss)]
    let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let top1 = |t: &Tuned| share(t.first, t.n);
    let top5 = |t: &Tuned| share(t.among_five, t.n);
    let claimed = |t: &Tuned| share(t.claimed, t.others);
    let all = |t: &Tuned| share(t.all_first, t.n + t.others);
    let pictures = format!("top-1, {} pictures", count(now.n));
    let others = format!("{} others taken for it", count(now.others));
    lines.push(compared(theme, "its mean probability", first.probability, now.probability, true));
    lines.push(compared(theme, &pictures, top1(first), top1(now), true));
    lines.push(compared(theme, "top-5", top5(first), top5(now), true));
    lines.push(compared(theme, &others, claimed(first), claimed(now), false));
    lines.push(compared(theme, "top-1 of all of these pictures", all(first), all(now), true));
    frame.render_widget(Paragraph::new(lines), inner);
}

fn compared(theme: Theme, name: &str, before: f64, now: f64, more_is_good: bool) -> Line<'static> {
    let change = 100.0 * (now - before);
    let style = if change.abs() < 0.05 {
        theme.dim()
    } else if (change > 0.0) == more_is_good {
        theme.good()
    } else {
        theme.bad()
    };
    Line::from(vec![
        Span::raw(pad(name, 34)),
        Span::styled(pad_left(&percent(before), 12), theme.dim()),
        Span::styled(pad_left(&percent(now), 12), theme.strong()),
        Span::styled(pad_left(&format!("{change:+.1}"), 12), style),
    ])
}

/// Where the model is, in words.
fn stand(prompts: &Prompts) -> String {
    match &prompts.stand {
        Stand::Loading => "loading the model … ".to_owned(),
        Stand::Busy(what, done, total) => format!("{what} {done} of {total} … "),
        Stand::Ready if prompts.asked.is_some() => "… ".to_owned(),
        Stand::Ready | Stand::Failed(_) => String::new(),
    }
}
