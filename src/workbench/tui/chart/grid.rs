//! A grid of Braille dots: 2 x 4 in each cell of the terminal.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Dots of one plot. A later layer takes over the cells that it touches, so that a line stays clean over the points
/// behind it, and no cell mixes two colours.
pub struct Grid {
    width: usize,
    height: usize,
    cells: Vec<(u8, u16)>,
    styles: Vec<Style>,
}

impl Grid {
    /// An empty grid for `width` x `height` cells.
    pub fn new(width: u16, height: u16) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        Self { width, height, cells: vec![(0, 0); width * height], styles: Vec::new() }
    }

    /// Dots across.
    pub fn dots_x(&self) -> i32 {
        i32::try_from(self.width * 2).unwrap_or(i32::MAX)
    }

    /// Dots from top to bottom.
    pub fn dots_y(&self) -> i32 {
        i32::try_from(self.height * 4).unwrap_or(i32::MAX)
    }

    /// Begins a layer: what is drawn next has this style.
    pub fn layer(&mut self, style: Style) {
        self.styles.push(style);
    }

    /// Sets a dot; one outside is left out.
    pub fn set(&mut self, x: i32, y: i32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width * 2 || y >= self.height * 4 {
            return;
        }
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let bit = BITS.get(y % 4).and_then(|row| row.get(x % 2)).copied().unwrap_or_default();
        let layer = u16::try_from(self.styles.len()).unwrap_or(u16::MAX);
        if let Some(cell) = self.cells.get_mut(y / 4 * self.width + x / 2) {
            if cell.1 != layer {
                *cell = (0, layer);
            }
            cell.0 |= bit;
        }
    }

    /// A line of dots between two dots, both drawn. Parts outside are left out.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32)) {
        let Some((from, to)) = clip(from, to, (self.dots_x() - 1, self.dots_y() - 1)) else { return };
        let ((dx, dy), mut at) = (((to.0 - from.0).abs(), -(to.1 - from.1).abs()), from);
        let (sx, sy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        let mut error = dx + dy;
        loop {
            self.set(at.0, at.1);
            if at == to {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                at.0 += sx;
            }
            if twice <= dx {
                error += dx;
                at.1 += sy;
            }
        }
    }

    /// Writes the cells that have dots.
    pub fn write(&self, area: Rect, buf: &mut Buffer) {
        for (at, (bits, layer)) in self.cells.iter().enumerate().filter(|(_, cell)| cell.0 != 0) {
            let (x, y) = (at % self.width.max(1), at / self.width.max(1));
            let place = u16::try_from(x).ok().zip(u16::try_from(y).ok());
            let cell =
                place.and_then(|(x, y)| buf.cell_mut((area.x.checked_add(x)?, area.y.checked_add(y)?)));
            let glyph = char::from_u32(0x2800 + u32::from(*bits));
            if let (Some(cell), Some(glyph)) = (cell, glyph) {
                let style =
                    self.styles.get(usize::from(*layer).saturating_sub(1)).copied().unwrap_or_default();
                cell.set_char(glyph).set_style(style);
            }
        }
    }
}

/// The part of a line that lies within 0..=max (Liang and Barsky).
#[allow(clippy::cast_possible_truncation)]
fn clip(from: (i32, i32), to: (i32, i32), max: (i32, i32)) -> Option<((i32, i32), (i32, i32))> {
    let f = |p: (i32, i32)| (f64::from(p.0), f64::from(p.1));
    let ((x, y), (x1, y1)) = (f(from), f(to));
    let (dx, dy) = (x1 - x, y1 - y);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, x), (dx, f64::from(max.0) - x), (-dy, y), (dy, f64::from(max.1) - y)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            enter = enter.max(q / p);
        } else {
            leave = leave.min(q / p);
        }
    }
    let at = |t: f64| ((x + t * dx).round() as i32, (y + t * dy).round() as i32);
    (enter <= leave).then(|| (at(enter), at(leave)))
}
