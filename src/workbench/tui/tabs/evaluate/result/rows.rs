//! One line of a part of a result.

use crate::evaluations::opened::{Captioned, Class, Image, Pair, Text, Wrong};
use crate::tui::evaluate::{Part, View, file_name};
use crate::tui::format::{count, cut, pad, pad_left};
use crate::tui::tabs::evaluate::percent;
use crate::tui::theme::Theme;
use crate::tui::view;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// What stands where there are no rows.
pub(super) fn nothing(view: &View, part: Part) -> &'static str {
    if view.count(part) > 0 {
        return "none has these words";
    }
    match part {
        Part::Classes => "no classes",
        Part::Pairs | Part::Wrong => "none: every class came first",
        Part::Images | Part::Texts | Part::Captions => {
            "this result was made before its entries were kept: evaluate anew to see them"
        }
        Part::Unreadable => "none",
    }
}

/// The line of a row.
pub(super) fn line(theme: Theme, view: &View, part: Part, row: usize, width: usize) -> Line<'static> {
    let opened = &view.opened;
    let Some(at) = view.at(part, row) else { return Line::default() };
    let line = match part {
        Part::Classes => opened.classes.get(at).map(|class| of_class(theme, class, width)),
        Part::Pairs => opened.pairs.get(at).map(|pair| of_pair(theme, pair, width)),
        Part::Wrong => opened.wrong.get(at).map(|wrong| of_wrong(theme, view, wrong, width)),
        Part::Images => opened.images.get(at).map(|image| of_image(theme, view, image, width)),
        Part::Texts => opened.texts.get(at).map(|text| of_text(theme, text, width)),
        Part::Captions => opened.captioned.get(at).map(|c| of_caption(theme, c, width)),
        Part::Unreadable => opened.unreadable.get(at).map(|(name, why)| {
            Line::from(vec![
                Span::raw(format!(" {}", pad(name, width / 2))),
                Span::styled(format!(" {}", cut(why, width.saturating_sub(width / 2 + 2))), theme.warn()),
            ])
        }),
    };
    line.unwrap_or_default()
}

fn of_class(theme: Theme, class: &Class, width: usize) -> Line<'static> {
    let bar = (width / 4).clamp(6, 24);
    let name = width.saturating_sub(bar + 17);
    let mut spans = vec![Span::raw(format!(" {} ", pad(&class.name, name)))];
    spans.extend(view::bar(theme, class.top1, bar));
    spans.push(Span::raw(pad_left(&percent(class.top1), 8)));
    spans.push(Span::styled(pad_left(&count(class.n), 7), theme.dim()));
    Line::from(spans)
}

fn of_pair(theme: Theme, pair: &Pair, width: usize) -> Line<'static> {
    let room = width.saturating_sub(10);
    Line::from(vec![
        Span::raw(format!(" {}", pad(&pair.class, room / 2))),
        Span::styled(" → ", theme.dim()),
        Span::raw(pad(&pair.taken_for, room - room / 2)),
        Span::styled(pad_left(&pair.n.to_string(), 5), theme.warn()),
    ])
}

fn of_wrong(theme: Theme, view: &View, wrong: &Wrong, width: usize) -> Line<'static> {
    let answer = wrong.top.first().map_or("?", |(class, _)| view.opened.class(*class));
    let room = width.saturating_sub(6);
    Line::from(vec![
        Span::styled(format!(" {} ", pad(&file_name(&wrong.picture), room / 4)), theme.dim()),
        Span::raw(pad(view.opened.class(wrong.class), room * 3 / 8)),
        Span::styled(" → ", theme.dim()),
        Span::raw(cut(answer, room * 3 / 8)),
    ])
}

/// A rank, green where it is the first.
fn rank(theme: Theme, rank: Option<u64>) -> Span<'static> {
    let style = match rank {
        Some(1) => theme.good(),
        Some(2..=10) => theme.text(),
        Some(_) => theme.warn(),
        None => theme.dim(),
    };
    Span::styled(pad_left(&rank.map_or("–".to_owned(), count), 8), style)
}

fn of_image(theme: Theme, view: &View, image: &Image, width: usize) -> Line<'static> {
    let own = image.texts.first().and_then(|t| view.opened.texts.get(*t)).map_or("", |t| t.text.as_str());
    let room = width.saturating_sub(11);
    Line::from(vec![
        rank(theme, image.rank),
        Span::styled(format!("  {} ", pad(&file_name(&image.path), room * 2 / 5)), theme.dim()),
        Span::raw(cut(own, room.saturating_sub(room * 2 / 5))),
    ])
}

fn of_text(theme: Theme, text: &Text, width: usize) -> Line<'static> {
    let words = cut(&text.text, width.saturating_sub(11));
    Line::from(vec![rank(theme, text.rank), Span::raw(format!("  {words}"))])
}

fn of_caption(theme: Theme, captioned: &Captioned, width: usize) -> Line<'static> {
    let style = score(theme, captioned.cider);
    let room = width.saturating_sub(11);
    Line::from(vec![
        Span::styled(pad_left(&format!("{:.1}", 100.0 * captioned.cider), 8), style),
        Span::styled(format!("  {} ", pad(&file_name(&captioned.path), room / 3)), theme.dim()),
        Span::raw(cut(&captioned.caption, room.saturating_sub(room / 3))),
    ])
}

/// How a picture's CIDEr looks: a caption that shares nothing with its references is bad.
pub(super) fn score(theme: Theme, cider: f64) -> Style {
    match cider {
        x if x >= 1.0 => theme.good(),
        x if x < 0.1 => theme.bad(),
        _ => theme.text(),
    }
}
