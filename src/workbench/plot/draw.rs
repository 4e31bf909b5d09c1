//! Draws panels in a grid, the legend above them.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::panel::{Line, Panel, share_x};
use super::{Options, Run};
use crate::run_colours;

/// Colours that people who see fewer of them tell apart too (Okabe and Ito 2008), and a grey.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// Lengths of dashes and gaps, in pixels: a copy without colours tells the runs apart too.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 3.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// Strokes, in fine pixels.
const THICK: u32 = 7;
const THIN: u32 = 3;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(225, 228, 232);
const PANEL: (u32, u32) = (560, 300);
const LEGEND_ROW: u32 = 22;

/// How much finer than its size a picture is drawn: plotters knows whole pixels only.
pub const FINE: u32 = 4;
const K: f64 = FINE as f64;

/// A length on the paper in the fine pixels.
#[allow(clippy::cast_possible_truncation)]
fn fine(length: i32) -> i32 {
    length * FINE as i32
}

/// The size for so many panels and runs.
pub fn size(panels: usize, runs: usize, title: bool) -> (u32, u32) {
    let n = |n: usize| u32::try_from(n).unwrap_or(u32::MAX / 4096);
    let columns = if panels > 1 { 2 } else { 1 };
    let rows = n(panels.div_ceil(columns).max(1));
    let width = if columns == 1 { PANEL.0 + 200 } else { n(columns) * PANEL.0 };
    let height = if columns == 1 { PANEL.1 + 120 } else { PANEL.1 };
    (width, rows * height + head(runs, width, title))
}

fn head(runs: usize, width: u32, title: bool) -> u32 {
    let per_row = (width / 280).max(1);
    let rows = if runs > 1 { u32::try_from(runs).unwrap_or(64).min(64).div_ceil(per_row) } else { 0 };
    rows * LEGEND_ROW + if title || runs == 1 { 34 } else { 12 }
}

type Area<'a, B> = DrawingArea<B, Shift>;

/// Draws it all. `joined` tells whether a line is drawn in one piece: plotters' bitmaps draw joints of wide lines as spikes
/// that stand out of the plot, so there each stretch is a line of its own.
pub fn draw<B: DrawingBackend>(
    area: &Area<B>,
    runs: &[Run],
    metrics: &[String],
    options: &Options,
    joined: bool,
) -> Result<(), String> {
    let fail = |e: DrawingAreaErrorKind<B::ErrorType>| e.to_string();
    area.fill(&WHITE).map_err(fail)?;
    let width = area.dim_in_pixel().0 / FINE;
    let names: Vec<&str> = runs.iter().map(|r| r.name.as_str()).collect();
    let looks: Vec<(RGBColor, usize)> = run_colours::assign(&names, COLOURS.len())
        .into_iter()
        .enumerate()
        .map(|(i, c)| {
            (COLOURS.get(c).copied().unwrap_or(INK), if runs.len() > 1 { i % DASHES.len() } else { 0 })
        })
        .collect();
    let title =
        options.title.clone().or_else(|| (runs.len() == 1).then(|| names.first().unwrap_or(&"").to_string()));
    let (above, below) = area.split_vertically(head(runs.len(), width, title.is_some()) * FINE);
    legend(&above, title.as_deref(), &names, &looks).map_err(fail)?;
    let columns = if metrics.len() > 1 { 2 } else { 1 };
    let cells = below.split_evenly((metrics.len().div_ceil(columns), columns));
    let mut panels: Vec<Panel> = metrics.iter().map(|metric| Panel::of(runs, metric, options)).collect();
    share_x(&mut panels, options);
    for ((cell, metric), panel) in cells.iter().zip(metrics).zip(&panels) {
        draw_panel(cell, metric, panel, &looks, (options, joined)).map_err(fail)?;
    }
    area.present().map_err(fail)
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

fn words<'a>(size: i32, colour: RGBColor, (h, v): (HPos, VPos)) -> TextStyle<'a> {
    ("sans-serif", fine(size)).into_font().color(&colour).pos(Pos::new(h, v))
}

fn legend<B: DrawingBackend>(
    area: &Area<B>,
    title: Option<&str>,
    names: &[&str],
    looks: &[(RGBColor, usize)],
) -> Drawn<B> {
    let width = area.dim_in_pixel().0 / FINE;
    let mut y = 10;
    if let Some(title) = title {
        let style = ("sans-serif", fine(17), FontStyle::Bold).into_font().color(&INK);
        area.draw(&Text::new(plain(title, 100), (fine(16), fine(y)), style))?;
        y += 26;
    }
    if names.len() < 2 {
        return Ok(());
    }
    let per_row = (width / 280).max(1) as usize;
    for (i, (name, look)) in names.iter().zip(looks).enumerate() {
        let x = 16 + i32::try_from(i % per_row).unwrap_or(0) * 280;
        let y = y + 6 + i32::try_from(i / per_row).unwrap_or(0) * LEGEND_ROW as i32;
        let sample =
            [(f64::from(fine(x)), f64::from(fine(y))), (f64::from(fine(x + 34)), f64::from(fine(y)))];
        line(area, &sample, look.0, THICK, (look.1, true))?;
        area.draw(&Text::new(
            plain(name, 28),
            (fine(x + 42), fine(y)),
            words(13, INK, (HPos::Left, VPos::Center)),
        ))?;
    }
    Ok(())
}

/// Foreign text without what a picture must not hold, cut to `most` characters.
fn plain(text: &str, most: usize) -> String {
    let text = run::escape::line(text);
    if text.chars().count() <= most {
        text.into_owned()
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}

#[allow(clippy::cast_possible_truncation)]
fn draw_panel<B: DrawingBackend>(
    area: &Area<B>,
    metric: &str,
    panel: &Panel,
    looks: &[(RGBColor, usize)],
    (options, joined): (&Options, bool),
) -> Drawn<B> {
    let (width, height) = area.dim_in_pixel();
    let (left, right, top, bottom) =
        (70.0 * K, f64::from(width) - 30.0 * K, 36.0 * K, f64::from(height) - 42.0 * K);
    let x = |v: f64| left + panel.x.share(v) * (right - left);
    let y = |v: f64| bottom - panel.y.share(v) * (bottom - top);
    let bold = ("sans-serif", fine(14), FontStyle::Bold).into_font().color(&INK);
    area.draw(&Text::new(plain(metric, 60), (left as i32, fine(14)), bold))?;
    let mut notes = Vec::new();
    notes.extend((options.smoothing > 0.0).then(|| format!("smoothed {}", options.smoothing)));
    notes.extend(
        (panel.clipped > 0)
            .then(|| format!("{} point{} beyond", panel.clipped, if panel.clipped == 1 { "" } else { "s" })),
    );
    notes.extend(options.log_y.then(|| "log".to_owned()));
    let style = words(11, RGBColor(110, 115, 125), (HPos::Right, VPos::Top));
    area.draw(&Text::new(notes.join(", "), (right as i32, fine(17)), style))?;
    for (tick, label) in &panel.y.ticks {
        let at = y(*tick).round();
        area.draw(&PathElement::new(
            vec![(left as i32, at as i32), (right as i32, at as i32)],
            FAINT.stroke_width(FINE),
        ))?;
        let style = words(12, INK, (HPos::Right, VPos::Center));
        area.draw(&Text::new(label.clone(), (left as i32 - fine(7), at as i32), style))?;
    }
    for (tick, label) in &panel.x.ticks {
        let at = x(*tick).round() as i32;
        area.draw(&PathElement::new(
            vec![(at, bottom as i32), (at, bottom as i32 + fine(4))],
            INK.stroke_width(FINE),
        ))?;
        let style = words(12, INK, (HPos::Center, VPos::Top));
        area.draw(&Text::new(label.clone(), (at, bottom as i32 + fine(8)), style))?;
    }
    let corner = vec![(left as i32, top as i32), (left as i32, bottom as i32), (right as i32, bottom as i32)];
    area.draw(&PathElement::new(corner, INK.stroke_width(FINE)))?;
    let style = words(12, RGBColor(110, 115, 125), (HPos::Right, VPos::Bottom));
    area.draw(&Text::new(options.axis.name(), (right as i32, height as i32 - fine(2)), style))?;
    let plot = Frame { left, right, top, bottom, joined };
    let place =
        |piece: &[(f64, f64)]| -> Vec<(f64, f64)> { piece.iter().map(|p| (x(p.0), y(p.1))).collect() };
    // Raw lines first, so that no smoothed one is hidden.
    for one in &panel.lines {
        let look = looks.get(one.run).copied().unwrap_or((INK, 0));
        let colour = if one.smooth.is_empty() { look.0 } else { light(look.0) };
        // Dashes would make a mush of a line that is nothing but noise.
        let few = one.raw.iter().map(Vec::len).sum::<usize>() < 400;
        let clear = few && one.smooth.is_empty() && !one.dots;
        let (stroke, dash) = if clear { (THICK, look.1) } else { (THIN, 0) };
        for piece in &one.raw {
            plot.line(area, &place(piece), colour, stroke, dash)?;
        }
    }
    for one in &panel.lines {
        let look = looks.get(one.run).copied().unwrap_or((INK, 0));
        for piece in &one.smooth {
            plot.line(area, &place(piece), look.0, THICK, look.1)?;
        }
        if one.dots {
            dots(area, one, &plot, &place, look.0)?;
        }
    }
    if panel.lines.iter().all(|l| l.raw.is_empty()) {
        let middle = (((left + right) / 2.0) as i32, ((top + bottom) / 2.0) as i32);
        area.draw(&Text::new("no data here", middle, words(13, INK, (HPos::Center, VPos::Center))))?;
    }
    Ok(())
}

/// Where points of a curve lie in the picture.
type Placing<'a> = dyn Fn(&[(f64, f64)]) -> Vec<(f64, f64)> + 'a;

#[allow(clippy::cast_possible_truncation)]
fn dots<B: DrawingBackend>(
    area: &Area<B>,
    line: &Line,
    plot: &Frame,
    place: &Placing<'_>,
    colour: RGBColor,
) -> Drawn<B> {
    let points: Vec<(f64, f64)> = line.raw.iter().flat_map(|p| place(p)).filter(|p| plot.holds(*p)).collect();
    if points.len() > 120 {
        return Ok(());
    }
    for (x, y) in points {
        area.draw(&Circle::new((x.round() as i32, y.round() as i32), fine(3), colour.filled()))?;
    }
    Ok(())
}

/// A colour half as strong: of the raw line behind a smoothed one.
fn light(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let half = |c: u8| (u16::from(c) * 35 / 100 + 255 * 65 / 100) as u8;
    RGBColor(half(r), half(g), half(b))
}

/// Where lines are drawn, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    joined: bool,
}

impl Frame {
    fn holds(&self, (x, y): (f64, f64)) -> bool {
        x >= self.left - K && x <= self.right + K && y >= self.top - K && y <= self.bottom + K
    }

    /// A line, what lies above or below being cut off at the edge.
    fn line<B: DrawingBackend>(
        &self,
        area: &Area<B>,
        points: &[(f64, f64)],
        colour: RGBColor,
        stroke: u32,
        dash: usize,
    ) -> Drawn<B> {
        let mut part: Vec<(f64, f64)> = Vec::new();
        for pair in points.windows(2) {
            let [a, b] = pair else { continue };
            match clip(*a, *b, (self.top, self.bottom)) {
                Some((from, to)) => {
                    if part.last() != Some(&from) {
                        line(area, &part, colour, stroke, (dash, self.joined))?;
                        part = vec![from];
                    }
                    part.push(to);
                }
                None => {
                    line(area, &part, colour, stroke, (dash, self.joined))?;
                    part.clear();
                }
            }
        }
        if let [only] = points
            && self.holds(*only)
        {
            part = vec![*only, (only.0 + K, only.1)];
        }
        line(area, &part, colour, stroke, (dash, self.joined))
    }
}

type Segment = ((f64, f64), (f64, f64));

/// The part of a segment between two heights.
fn clip(a: (f64, f64), b: (f64, f64), (top, bottom): (f64, f64)) -> Option<Segment> {
    let (low, high) = (a.1.min(b.1), a.1.max(b.1));
    if high < top || low > bottom {
        return None;
    }
    let at =
        |y: f64| if (b.1 - a.1).abs() < 1e-12 { a.0 } else { a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1) };
    let inside = |p: (f64, f64)| {
        let y = p.1.clamp(top, bottom);
        if (y - p.1).abs() < 1e-12 { p } else { (at(y), y) }
    };
    Some((inside(a), inside(b)))
}

#[allow(clippy::cast_possible_truncation)]
fn line<B: DrawingBackend>(
    area: &Area<B>,
    points: &[(f64, f64)],
    colour: RGBColor,
    stroke: u32,
    (dash, joined): (usize, bool),
) -> Drawn<B> {
    let pixel = |p: &(f64, f64)| (p.0.round() as i32, p.1.round() as i32);
    let style = colour.stroke_width(stroke);
    let path = |points: &[(f64, f64)]| -> Drawn<B> {
        let points: Vec<(i32, i32)> = points.iter().map(pixel).collect();
        if joined {
            return area.draw(&PathElement::new(points, style));
        }
        points.windows(2).try_for_each(|pair| area.draw(&PathElement::new(pair.to_vec(), style)))
    };
    let pattern = DASHES.get(dash).copied().unwrap_or_default();
    if points.len() < 2 {
        return Ok(());
    }
    if pattern.is_empty() {
        return path(points);
    }
    let length_of = |at: usize| pattern.get(at).map_or(K, |l| l * K);
    let (mut at, mut left) = (0, length_of(0));
    let mut part: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let [mut from, to] = *pair else { continue };
        loop {
            let length = ((to.0 - from.0).powi(2) + (to.1 - from.1).powi(2)).sqrt();
            if length <= left {
                left -= length;
                part.push(to);
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            part.push(from);
            if at % 2 == 0 && part.len() > 1 {
                path(&part)?;
            }
            part = vec![from];
            at = (at + 1) % pattern.len();
            left = length_of(at);
        }
    }
    if at % 2 == 0 && part.len() > 1 {
        path(&part)?;
    }
    Ok(())
}
