//! A decoded picture.

/// What Pillow holds a picture as, where resizing it depends on that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Colours or greys.
    Plain,
    /// A palette, or black and white: never mixed.
    Nearest,
    /// With transparency, a byte a pixel: colours weigh as much as they are seen.
    Alpha(Vec<u8>),
    /// Printing inks, four bytes a pixel: mixed as inks.
    Cmyk(Vec<u8>),
    /// Greys of 16 bits: mixed so, and then all above 255 is white.
    Grey16(Vec<u16>),
}

/// A decoded picture: RGB, 8 bits a channel, rows from the top, pixels from the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    mode: Mode,
}

impl Picture {
    /// A picture of `width` x `height` pixels of three bytes; none when the sizes do not fit together or are 0.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        Self::with_mode((width, height), rgb, Mode::Plain)
    }

    pub(super) fn with_mode((width, height): (usize, usize), rgb: Vec<u8>, mode: Mode) -> Option<Self> {
        let pixels = width.checked_mul(height)?;
        let fits = match &mode {
            Mode::Plain | Mode::Nearest => true,
            Mode::Alpha(alpha) => alpha.len() == pixels,
            Mode::Cmyk(inks) => Some(inks.len()) == pixels.checked_mul(4),
            Mode::Grey16(greys) => greys.len() == pixels,
        };
        (fits && pixels > 0 && Some(rgb.len()) == pixels.checked_mul(3)).then_some(Self {
            width,
            height,
            rgb,
            mode,
        })
    }

    pub(super) fn from_rgba(size: (usize, usize), rgba: &[u8]) -> Option<Self> {
        let pixels = rgba.as_chunks::<4>().0;
        let rgb = pixels.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        Self::with_mode(size, rgb, Mode::Alpha(pixels.iter().map(|[.., a]| *a).collect()))
    }

    pub(super) fn from_cmyk(size: (usize, usize), inks: Vec<u8>) -> Option<Self> {
        Self::with_mode(size, cmyk_to_rgb(&inks), Mode::Cmyk(inks))
    }

    pub(super) fn from_grey16(size: (usize, usize), greys: Vec<u16>) -> Option<Self> {
        Self::with_mode(size, grey16_to_rgb(&greys), Mode::Grey16(greys))
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels: `height` rows of `width` pixels of three bytes, converted as Pillow does. Transparency is dropped.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.mode
    }

    /// How much memory the pixels take, in bytes.
    pub fn bytes(&self) -> usize {
        let more = match &self.mode {
            Mode::Plain | Mode::Nearest => 0,
            Mode::Alpha(bytes) | Mode::Cmyk(bytes) => bytes.len(),
            Mode::Grey16(greys) => greys.len() * 2,
        };
        self.rgb.len() + more
    }
}

/// `a` x `b` / 255, rounded as Pillow's macro does.
pub(super) fn share(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

pub(super) fn cmyk_to_rgb(inks: &[u8]) -> Vec<u8> {
    let pixel = |[c, m, y, k]: &[u8; 4]| {
        let light = 255 - k;
        [c, m, y].map(|ink| light.saturating_sub(share(*ink, light)))
    };
    inks.as_chunks::<4>().0.iter().flat_map(pixel).collect()
}

pub(super) fn grey16_to_rgb(greys: &[u16]) -> Vec<u8> {
    greys.iter().flat_map(|grey| [(*grey).min(255) as u8; 3]).collect()
}
