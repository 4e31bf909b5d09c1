//! The title line: what the chart shows, the newest values, the values under the crosshair, badges.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use run::curve::Curve;

use super::draw::Unseen;
use super::reduce::{self, Smoother};
use super::{Chart, Kind, Series, scale};

/// How much of it is written: the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Detail {
    /// Newest values with smoothed ones, and those under the crosshair.
    All,
    /// Those under the crosshair, else the newest.
    One,
    /// The same without the smoothed ones.
    Raw,
    /// Without the names of the series.
    Nameless,
    /// The title and one value.
    First,
}

/// Writes the title line into the first line of `area`: values to the left, badges to the right.
pub(super) fn draw(chart: &Chart, unseen: &Unseen, area: Rect, buf: &mut Buffer) {
    let room = usize::from(area.width.saturating_sub(2));
    let badges = badges(chart, unseen);
    let details = [Detail::All, Detail::One, Detail::Raw, Detail::Nameless, Detail::First];
    let with = |badges: usize| {
        details
            .iter()
            .map(|d| values(chart, *d))
            .find(|l| l.width() + if badges > 0 { badges + 1 } else { 0 } <= room)
    };
    let line = with(badges.width()).or_else(|| with(0)).unwrap_or_else(|| values(chart, Detail::First));
    let inset = u16::from(area.width > 2);
    buf.set_line(area.x + inset, area.y, &line, area.width.saturating_sub(2 * inset));
    if badges.width() > 0 && line.width() + badges.width() < room {
        let x = area.x + area.width - 1 - badges.width() as u16;
        buf.set_line(x, area.y, &badges, badges.width() as u16);
    }
}

fn values<'a>(chart: &Chart<'a>, detail: Detail) -> Line<'a> {
    let mut line = vec![Span::raw(" "), Span::styled(run::escape::line(chart.title), chart.style.title)];
    let named = chart.series.len() > 1;
    let crosshair = chart.view.crosshair().filter(|x| {
        let (from, to) = chart.view.window(chart.domain);
        (from..=to).contains(x)
    });
    if let Some(x) = crosshair.filter(|_| detail > Detail::All && detail < Detail::First) {
        line.push(Span::styled(format!(" @{}", chart.view.label(x)), chart.style.dim));
    }
    let shown = if detail == Detail::First { 1 } else { usize::MAX };
    for series in chart.series.iter().filter(|s| !s.curve.values.is_empty()).take(shown) {
        line.push(Span::raw(" "));
        if named && detail < Detail::Nameless {
            let sign = if series.kind == Kind::Dots { "●" } else { "─" };
            line.push(Span::styled(format!(" {sign} {} ", run::escape::line(series.name)), series.style));
        }
        let newest = series.curve.values.len() - 1;
        let units = series.units_in(chart.view);
        let under = crosshair.and_then(|x| reduce::nearest(series.drawn(), chart.view, units, x));
        let smoothed = detail <= Detail::One;
        match under {
            Some(i) if detail > Detail::All => line.push(point(chart, series, series.drawn(), i, smoothed)),
            Some(i) => {
                line.push(point(chart, series, series.curve, newest, true));
                let at = series.unit(chart.view, i).map(|x| chart.view.label(x)).unwrap_or_default();
                line.push(Span::styled(format!(" @{at} "), chart.style.dim));
                line.push(point(chart, series, series.drawn(), i, true));
            }
            None => line.push(point(chart, series, series.curve, newest, smoothed)),
        }
        // The best so far, of the series that has the fewest, exactest points: the held-out one where there is one.
        if let Some(lower) = chart.best.filter(|_| detail == Detail::All && crosshair.is_none())
            && chart.series.iter().all(|s| s.curve.values.len() >= series.curve.values.len())
            && let Some((step, value)) = series.curve.best(lower)
            && series.curve.values.len() > 1
        {
            let text = format!(" best {} @{}", scale::value(value), scale::number(super::view::steps(step)));
            line.push(Span::styled(text, chart.style.dim));
        }
    }
    line.push(Span::raw(" "));
    Line::from(line)
}

/// A point's value, and behind "~" the smoothed one.
fn point(chart: &Chart, series: &Series, curve: &Curve, i: usize, smoothed: bool) -> Span<'static> {
    let value = curve.values.get(i).copied().unwrap_or(f64::NAN);
    let style = if value.is_finite() { series.style } else { chart.style.error };
    let weight = chart.view.smoothing();
    let smooth = Some(weight).filter(|w| smoothed && *w > 0.0 && series.kind == Kind::Line);
    let smooth = smooth.and_then(|w| Smoother::at(w, curve, i)).filter(|v| v.is_finite());
    let smooth = smooth.map(|v| format!(" ~{}", scale::value(v))).unwrap_or_default();
    Span::styled(format!("{}{smooth}", scale::value(value)), style)
}

fn badges<'a>(chart: &Chart, unseen: &Unseen) -> Line<'a> {
    let mut words: Vec<(String, Style)> = Vec::new();
    let badge = chart.style.badge;
    if unseen.not_finite > 0 {
        words.push((format!("NaN {}", unseen.not_finite), chart.style.error));
    }
    if unseen.clipped > 0 {
        words.push((format!("clipped {}", unseen.clipped), badge));
    }
    if unseen.not_positive > 0 {
        words.push((format!("{} not > 0", unseen.not_positive), badge));
    }
    if chart.view.is_log() {
        words.push(("log".to_owned(), badge));
    }
    if chart.view.is_frozen() {
        words.push((chart.view.badge(), badge));
    }
    let mut line = Vec::new();
    for (word, style) in words {
        line.push(Span::raw(" "));
        line.push(Span::styled(word, style));
    }
    if !line.is_empty() {
        line.push(Span::raw(" "));
    }
    Line::from(line)
}
