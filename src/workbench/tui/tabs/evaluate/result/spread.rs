//! How ranks and scores are spread.

use crate::tui::evaluate::{Part, View};
use crate::tui::format::{count, pad, pad_left};
use crate::tui::model::Model;
use crate::tui::tabs::evaluate::percent;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Rows of its box.
pub(super) const ROWS: u16 = 8;

/// Last ranks of the bars, and what stands at them.
const RANKS: [(u64, &str); 6] =
    [(1, "1"), (5, "2 to 5"), (10, "6 to 10"), (50, "11 to 50"), (100, "51 to 100"), (u64::MAX, "above 100")];

/// Least CIDEr of the bars, and what stands at them.
const SCORES: [(f64, &str); 6] = [
    (2.0, "200 and more"),
    (1.5, "150 to 200"),
    (1.0, "100 to 150"),
    (0.5, "50 to 100"),
    (0.1, "10 to 50"),
    (f64::NEG_INFINITY, "under 10"),
];

#[allow(clippy::cast_precision_loss)]
pub(super) fn draw(model: &Model, view: &View, part: Part, frame: &mut Frame, area: Rect) {
    let theme = model.theme;
    let opened = &view.opened;
    let mut bars = [0u64; 6];
    let mut take = |at: Option<usize>| {
        if let Some(bar) = at.and_then(|at| bars.get_mut(at)) {
            *bar += 1;
        }
    };
    let of_rank = |rank: Option<u64>| RANKS.iter().position(|(last, _)| rank.is_some_and(|r| r <= *last));
    let (title, names) = match part {
        Part::Images => {
            opened.images.iter().for_each(|i| take(of_rank(i.rank)));
            ("rank of the first own text", RANKS.map(|(_, name)| name))
        }
        Part::Texts => {
            opened.texts.iter().for_each(|t| take(of_rank(t.rank)));
            ("rank of the own picture", RANKS.map(|(_, name)| name))
        }
        Part::Captions => {
            opened
                .captioned
                .iter()
                .for_each(|c| take(SCORES.iter().position(|(least, _)| c.cider >= *least)));
            ("CIDEr-D ×100 of the captions", SCORES.map(|(_, name)| name))
        }
        _ => return,
    };
    let block = view::block(theme, view::title(theme, title), false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let all: u64 = bars.iter().sum();
    let bar = usize::from(inner.width).saturating_sub(34).min(60);
    let lines: Vec<Line> = names
        .iter()
        .zip(bars)
        .map(|(name, n)| {
            let share = n as f64 / all.max(1) as f64;
            let mut spans = vec![Span::styled(format!(" {} ", pad(name, 13)), theme.dim())];
            spans.extend(view::bar(theme, share, bar));
            spans.push(Span::raw(pad_left(&percent(share), 8)));
            spans.push(Span::styled(pad_left(&count(n), 9), theme.dim()));
            Line::from(spans)
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}
