//! A terminal's grid as a picture.

use ab_glyph::{Font, FontRef, ScaleFont};
use image::{Rgb, RgbImage};
use std::collections::BTreeSet;

/// Pixels of a cell.
const CELL: (u32, u32) = (10, 20);
/// Where lines cross in a cell: the middle of a pixel, so that they are sharp.
const MIDDLE: (f32, f32) = (5.5, 10.5);
/// Pixels around the grid.
const MARGIN: u32 = 12;
/// Colours where the program sets none.
const FOREGROUND: Rgb<u8> = Rgb([0xd4, 0xd7, 0xdd]);
const BACKGROUND: Rgb<u8> = Rgb([0x14, 0x16, 0x1b]);

/// The first 16 colours.
const PALETTE: [[u8; 3]; 16] = [
    [0x24, 0x27, 0x2e],
    [0xe0, 0x5f, 0x65],
    [0x78, 0xc3, 0x79],
    [0xe5, 0xc0, 0x6a],
    [0x63, 0xa0, 0xe8],
    [0xc3, 0x82, 0xdb],
    [0x4f, 0xc1, 0xc9],
    [0xbf, 0xc4, 0xcd],
    [0x6b, 0x72, 0x80],
    [0xf0, 0x7f, 0x84],
    [0x97, 0xdb, 0x95],
    [0xf2, 0xd5, 0x8d],
    [0x8a, 0xbb, 0xf5],
    [0xd9, 0xa5, 0xeb],
    [0x7d, 0xda, 0xe0],
    [0xf2, 0xf4, 0xf8],
];

/// Draws characters that line up from cell to cell (lines, blocks, Braille) as shapes, all others with a font.
pub struct Raster<'a> {
    regular: FontRef<'a>,
    bold: FontRef<'a>,
    /// Characters that the font does not have.
    pub missing: BTreeSet<String>,
}

/// The pixels of one cell.
struct Place<'a> {
    image: &'a mut RgbImage,
    left: u32,
    top: u32,
    ink: Rgb<u8>,
}

impl Place<'_> {
    /// Mixes ink into a pixel of the cell.
    fn blend(&mut self, x: i32, y: i32, share: f32) {
        let at = (i64::from(self.left) + i64::from(x), i64::from(self.top) + i64::from(y));
        let (Ok(x), Ok(y)) = (u32::try_from(at.0), u32::try_from(at.1)) else { return };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            *pixel = mix(*pixel, self.ink, share);
        }
    }

    /// A rectangle with edges between pixels, in pixels of the cell.
    fn rectangle(&mut self, x0: f32, y0: f32, x1: f32, y1: f32) {
        let cover =
            |at: i32, low: f32, high: f32| (high.min(at as f32 + 1.0) - low.max(at as f32)).clamp(0.0, 1.0);
        for y in y0.floor() as i32..y1.ceil() as i32 {
            for x in x0.floor() as i32..x1.ceil() as i32 {
                self.blend(x, y, cover(x, x0, x1) * cover(y, y0, y1));
            }
        }
    }

    /// A dot.
    fn dot(&mut self, x: f32, y: f32, radius: f32) {
        for py in (y - radius - 1.0).floor() as i32..=(y + radius + 1.0).ceil() as i32 {
            for px in (x - radius - 1.0).floor() as i32..=(x + radius + 1.0).ceil() as i32 {
                let far = ((px as f32 + 0.5 - x).powi(2) + (py as f32 + 0.5 - y).powi(2)).sqrt();
                self.blend(px, py, (radius + 0.5 - far).clamp(0.0, 1.0));
            }
        }
    }
}

impl<'a> Raster<'a> {
    /// With a font and its bold cut.
    pub fn new(regular: &'a [u8], bold: &'a [u8]) -> Result<Self, ab_glyph::InvalidFont> {
        Ok(Self {
            regular: FontRef::try_from_slice(regular)?,
            bold: FontRef::try_from_slice(bold)?,
            missing: BTreeSet::new(),
        })
    }

    /// The picture of a screen, without the cursor.
    pub fn draw(&mut self, screen: &vt100::Screen) -> RgbImage {
        let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
        let size = (u32::from(columns) * CELL.0 + 2 * MARGIN, u32::from(rows) * CELL.1 + 2 * MARGIN);
        let mut image = RgbImage::from_pixel(size.0, size.1, BACKGROUND);
        for row in 0..rows {
            for column in 0..columns {
                let Some(cell) = screen.cell(row, column) else { continue };
                let corner = (MARGIN + u32::from(column) * CELL.0, MARGIN + u32::from(row) * CELL.1);
                self.cell(cell, corner, &mut image);
            }
        }
        image
    }

    fn cell(&mut self, cell: &vt100::Cell, (left, top): (u32, u32), image: &mut RgbImage) {
        let (mut ink, mut paper) = (colour(cell.fgcolor(), FOREGROUND), colour(cell.bgcolor(), BACKGROUND));
        if cell.inverse() {
            std::mem::swap(&mut ink, &mut paper);
        }
        if cell.dim() {
            ink = mix(paper, ink, 0.55);
        }
        if paper != BACKGROUND {
            for y in top..top + CELL.1 {
                for x in left..left + CELL.0 {
                    image.put_pixel(x, y, paper);
                }
            }
        }
        let mut place = Place { image, left, top, ink };
        if cell.underline() {
            place.rectangle(0.0, 17.0, CELL.0 as f32, 18.0);
        }
        let text = cell.contents();
        let Some(c) = text.chars().next().filter(|c| *c != ' ') else { return };
        if !shape(&mut place, c) && !self.glyph(&mut place, c, cell.bold()) {
            self.missing.insert(text.to_owned());
        }
    }

    /// Draws a character of the font; says whether it has it.
    fn glyph(&self, place: &mut Place, c: char, bold: bool) -> bool {
        let fonts = if bold { [&self.bold, &self.regular] } else { [&self.regular, &self.regular] };
        let Some(font) = fonts.into_iter().find(|f| f.glyph_id(c).0 != 0) else { return false };
        // The size at which an "M" is as wide as a cell.
        let unit = font.as_scaled(100.0);
        let size = 100.0 * CELL.0 as f32 / unit.h_advance(font.glyph_id('M'));
        let scaled = font.as_scaled(size);
        let baseline = ((CELL.1 as f32 - scaled.height()) / 2.0 + scaled.ascent()).round();
        let glyph = font.glyph_id(c).with_scale_and_position(size, ab_glyph::point(0.0, baseline));
        if let Some(outline) = font.outline_glyph(glyph) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, share| {
                place.blend(x as i32 + corner.x as i32, y as i32 + corner.y as i32, share)
            });
        }
        true
    }
}

/// Draws a character that is a shape; says whether it is one.
fn shape(place: &mut Place, c: char) -> bool {
    let (w, h) = (CELL.0 as f32, CELL.1 as f32);
    let code = c as u32;
    match c {
        '▀' => place.rectangle(0.0, 0.0, w, h / 2.0),
        '\u{2581}'..='\u{2588}' => place.rectangle(0.0, h - h * (code - 0x2580) as f32 / 8.0, w, h),
        '\u{2589}'..='\u{258f}' => place.rectangle(0.0, 0.0, w * (0x2590 - code) as f32 / 8.0, h),
        '▐' => place.rectangle(w / 2.0, 0.0, w, h),
        '░' | '▒' | '▓' => {
            let share = (code - 0x2590) as f32 * 0.25;
            for y in 0..CELL.1 as i32 {
                (0..CELL.0 as i32).for_each(|x| place.blend(x, y, share));
            }
        }
        '▔' => place.rectangle(0.0, 0.0, w, h / 8.0),
        '▕' => place.rectangle(w * 7.0 / 8.0, 0.0, w, h),
        '\u{2596}'..='\u{259f}' => {
            // Quarters: upper left, upper right, lower left, lower right.
            const QUARTERS: [u8; 10] =
                [0b0010, 0b0001, 0b1000, 0b1011, 0b1001, 0b1110, 0b1101, 0b0100, 0b0110, 0b0111];
            let bits = QUARTERS.get((code - 0x2596) as usize).copied().unwrap_or_default();
            for (bit, x, y) in [(8, 0.0, 0.0), (4, 1.0, 0.0), (2, 0.0, 1.0), (1, 1.0, 1.0)] {
                if bits & bit != 0 {
                    place.rectangle(x * w / 2.0, y * h / 2.0, (x + 1.0) * w / 2.0, (y + 1.0) * h / 2.0);
                }
            }
        }
        '\u{2800}'..='\u{28ff}' => {
            const DOTS: [(f32, f32); 8] = [
                (1.0, 1.0),
                (1.0, 3.0),
                (1.0, 5.0),
                (3.0, 1.0),
                (3.0, 3.0),
                (3.0, 5.0),
                (1.0, 7.0),
                (3.0, 7.0),
            ];
            for (_, (x, y)) in DOTS.iter().enumerate().filter(|(i, _)| code >> i & 1 == 1) {
                place.dot(x * w / 4.0, y * h / 8.0, 1.4);
            }
        }
        _ => return lines(place, c),
    }
    true
}

/// Box drawing. Arms go up, right, down and left from the middle: 0 none, 1 light, 2 heavy, 3 double.
fn lines(place: &mut Place, c: char) -> bool {
    let (w, h) = (CELL.0 as f32, CELL.1 as f32);
    let (mx, my) = MIDDLE;
    let arms: [u8; 4] = match c {
        '─' | '┄' | '┈' | '╌' => [0, 1, 0, 1],
        '━' | '┅' | '┉' | '╍' => [0, 2, 0, 2],
        '│' | '┆' | '┊' | '╎' => [1, 0, 1, 0],
        '┃' | '┇' | '┋' | '╏' => [2, 0, 2, 0],
        '┌' => [0, 1, 1, 0],
        '┐' => [0, 0, 1, 1],
        '└' => [1, 1, 0, 0],
        '┘' => [1, 0, 0, 1],
        '├' => [1, 1, 1, 0],
        '┤' => [1, 0, 1, 1],
        '┬' => [0, 1, 1, 1],
        '┴' => [1, 1, 0, 1],
        '┼' => [1, 1, 1, 1],
        '┏' => [0, 2, 2, 0],
        '┓' => [0, 0, 2, 2],
        '┗' => [2, 2, 0, 0],
        '┛' => [2, 0, 0, 2],
        '═' => [0, 3, 0, 3],
        '║' => [3, 0, 3, 0],
        '╴' => [0, 0, 0, 1],
        '╵' => [1, 0, 0, 0],
        '╶' => [0, 1, 0, 0],
        '╷' => [0, 0, 1, 0],
        '╸' => [0, 0, 0, 2],
        '╹' => [2, 0, 0, 0],
        '╺' => [0, 2, 0, 0],
        '╻' => [0, 0, 2, 0],
        '╭' | '╮' | '╯' | '╰' => {
            round(place, c);
            return true;
        }
        _ => return false,
    };
    // Gaps along the way, of the cell's length.
    let dashes = match c {
        '┄' | '┅' | '┆' | '┇' => 3,
        '┈' | '┉' | '┊' | '┋' => 4,
        '╌' | '╍' | '╎' | '╏' => 2,
        _ => 0,
    };
    if dashes > 0 {
        let upright = arms.first() != Some(&0);
        let half = if arms.contains(&2) { 1.0 } else { 0.5 };
        for i in 0..dashes {
            let length = if upright { h } else { w } / dashes as f32;
            let (from, to) = (i as f32 * length + length * 0.2, (i + 1) as f32 * length - length * 0.2);
            if upright {
                place.rectangle(mx - half, from, mx + half, to);
            } else {
                place.rectangle(from, my - half, to, my + half);
            }
        }
        return true;
    }
    for (arm, (dx, dy)) in arms.into_iter().zip([(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0f32)]) {
        let offsets: &[f32] = if arm == 3 { &[-1.5, 1.5] } else { &[0.0] };
        let half = match arm {
            0 => continue,
            2 => 1.0,
            _ => 0.5,
        };
        for offset in offsets {
            let (cx, cy) = (mx + offset * f32::abs(dy), my + offset * f32::abs(dx));
            let to_edge = |d: f32, middle: f32, edge: f32| match d {
                d if d > 0.0 => edge,
                d if d < 0.0 => 0.0,
                _ => middle,
            };
            let (ex, ey) = (to_edge(dx, cx, w), to_edge(dy, cy, h));
            place.rectangle(
                cx.min(ex) - half * f32::abs(dy),
                cy.min(ey) - half * f32::abs(dx),
                cx.max(ex) + half * f32::abs(dy),
                cy.max(ey) + half * f32::abs(dx),
            );
        }
    }
    true
}

/// A rounded corner: a quarter of a circle and the straight rest of the longer arm.
fn round(place: &mut Place, c: char) {
    let (w, h) = (CELL.0 as f32, CELL.1 as f32);
    let (mx, my) = MIDDLE;
    let (right, down) = (matches!(c, '╭' | '╰'), matches!(c, '╭' | '╮'));
    let radius = if right { w - mx } else { mx };
    let centre =
        (if right { mx + radius } else { mx - radius }, if down { my + radius } else { my - radius });
    for y in 0..CELL.1 as i32 {
        for x in 0..CELL.0 as i32 {
            let (dx, dy) = (x as f32 + 0.5 - centre.0, y as f32 + 0.5 - centre.1);
            if (dx < 0.0) == right && (dy < 0.0) == down {
                place.blend(x, y, (1.0 - ((dx * dx + dy * dy).sqrt() - radius).abs()).clamp(0.0, 1.0));
            }
        }
    }
    let (from, to) = if down { (centre.1, h) } else { (0.0, centre.1) };
    place.rectangle(mx - 0.5, from, mx + 0.5, to);
}

fn mix(under: Rgb<u8>, over: Rgb<u8>, share: f32) -> Rgb<u8> {
    let mixed = |i: usize| (f32::from(under[i]) * (1.0 - share) + f32::from(over[i]) * share).round() as u8;
    Rgb([mixed(0), mixed(1), mixed(2)])
}

fn colour(colour: vt100::Color, default: Rgb<u8>) -> Rgb<u8> {
    match colour {
        vt100::Color::Default => default,
        vt100::Color::Rgb(r, g, b) => Rgb([r, g, b]),
        vt100::Color::Idx(i @ 0..=15) => Rgb(PALETTE[usize::from(i)]),
        vt100::Color::Idx(i @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let i = i - 16;
            Rgb([level(i / 36), level(i / 6 % 6), level(i % 6)])
        }
        vt100::Color::Idx(i) => Rgb([8 + 10 * (i - 232); 3]),
    }
}
