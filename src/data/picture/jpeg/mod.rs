//! JPEG, equal to libjpeg-turbo's default decoding to the bit, which is what Pillow shows.
//!
//! No decoder of the ecosystem is: the sums of the inverse transform and the way in which colours are brought to full
//! size show in the pixels. Baseline, extended and progressive files of 8 bits with Huffman codes are read.
//! Damaged codes become zeros as in libjpeg; what is cut short is an error as in Pillow.

mod frame;
mod huffman;
mod idct;
mod scan;
mod upsample;

use std::ops::Range;

use frame::Frame;
use huffman::Huffman;
use scan::{Scan, Tables, natural};
use upsample::{row, ycc_to_rgb, ycck_to_cmyk};

/// The most scans that are read: a file of a hundred thousand empty ones would take hours.
const MAX_SCANS: usize = 256;

/// What the pixels of a decoded file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// One byte a pixel.
    Grey,
    /// Three bytes.
    Rgb,
    /// Four bytes, as they stand in the file (in Adobe's files 255 is no ink).
    Cmyk,
}

/// A decoded file.
#[derive(Debug)]
pub(super) struct Jpeg {
    pub width: usize,
    pub height: usize,
    pub colours: Colours,
    pub pixels: Vec<u8>,
}

/// What markers say, gathered on the way.
#[derive(Default)]
struct Header {
    tables: Tables,
    steps: [Option<[u16; 64]>; 4],
    restart: usize,
    jfif: bool,
    adobe: Option<u8>,
}

/// Decodes a file; `check` sees its width and height before memory is taken, and says which columns are wanted: the
/// others may be left black.
///
/// # Errors
/// What is wrong with it, in words, as the error that `check` gives or `error` makes of them.
pub(super) fn decode<E>(
    bytes: &[u8],
    check: impl Fn(usize, usize) -> Result<Range<usize>, E>,
    error: impl Fn(String) -> E,
) -> Result<Jpeg, E> {
    let fail = |text: &str| error(text.to_string());
    let cut = || error("the file is cut short".into());
    let (mut header, mut frame) = (Header::default(), None::<Frame>);
    let (mut at, mut scans) = (2, 0);
    loop {
        let (marker, begin) = next_marker(bytes, at).ok_or_else(cut)?;
        at = begin;
        if marker == 0xd9 {
            break;
        }
        // Markers without a body.
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let body = body(bytes, at).ok_or_else(cut)?;
        at += 2 + body.len();
        match marker {
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(fail("two pictures in one file"));
                }
                frame = Some(start(marker == 0xc2, body, &check, &error)?);
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(fail("a lossless, hierarchical or arithmetic-coded JPEG, which is not read"));
            }
            0xc4 => header.huffman(body).ok_or_else(|| fail("a damaged Huffman table"))?,
            0xdb => header.quantisation(body).ok_or_else(|| fail("a damaged quantisation table"))?,
            0xdd => header.restart = body.first_chunk().map_or(0, |n| usize::from(u16::from_be_bytes(*n))),
            0xe0 if body.starts_with(b"JFIF\0") => header.jfif = true,
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => header.adobe = body.get(11).copied(),
            0xda => {
                let frame = frame.as_mut().ok_or_else(|| fail("a scan before the picture's header"))?;
                let scan = header.scan(body, frame).ok_or_else(|| fail("a damaged header of a scan"))?;
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(fail("too many scans"));
                }
                for (part, ..) in &scan.parts {
                    let Some(part) = frame.parts.get_mut(*part) else { continue };
                    if part.steps.is_none() {
                        part.steps = header.steps.get(part.table).copied().flatten();
                    }
                    if part.steps.is_none() {
                        return Err(fail("a component without its quantisation table"));
                    }
                }
                let by_rows = !frame.progressive && scan.parts.len() == frame.parts.len();
                if scans == 1 {
                    // The shortest code of a block is a bit; a header that promises more than there is takes no memory.
                    if frame.blocks() / 8 > bytes.len() {
                        return Err(cut());
                    }
                    frame.allocate(by_rows);
                }
                let row_done = |frame: &mut Frame, row: usize| {
                    if by_rows {
                        frame.transform(row);
                    }
                };
                at = scan::decode(bytes, at, &scan, &header.tables, frame, row_done).map_err(&error)?;
                if by_rows {
                    return Ok(colour(frame, &header));
                }
            }
            _ => {}
        }
    }
    let mut frame = frame.filter(|_| scans > 0).ok_or_else(|| fail("there is no picture in it"))?;
    frame.transform(0);
    Ok(colour(&frame, &header))
}

/// The next marker, and the place after it.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        match bytes.get(at..)? {
            [0xff, 0x00 | 0xff, ..] => at += 1,
            [0xff, marker, ..] => return Some((*marker, at + 2)),
            [_, _, ..] => at += 1,
            _ => return None,
        }
    }
}

/// The body of a marker, its length at `at`.
fn body(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    bytes.get(at + 2..at + length)
}

fn start<E>(
    progressive: bool,
    body: &[u8],
    check: impl Fn(usize, usize) -> Result<Range<usize>, E>,
    error: impl Fn(String) -> E,
) -> Result<Frame, E> {
    let [precision, h1, h0, w1, w0, count, components @ ..] = body else {
        return Err(error("a damaged header".into()));
    };
    let (height, width) =
        (usize::from(u16::from_be_bytes([*h1, *h0])), usize::from(u16::from_be_bytes([*w1, *w0])));
    if *precision != 8 {
        return Err(error(format!("a JPEG of {precision} bits, which is not read")));
    }
    if width == 0 || height == 0 {
        return Err(error("no width or no height".into()));
    }
    let wanted = check(width, height)?;
    let components: Vec<_> = components
        .as_chunks::<3>()
        .0
        .iter()
        .take(usize::from(*count))
        .map(|[id, factors, table]| {
            (*id, usize::from(factors >> 4), usize::from(factors & 15), usize::from(*table))
        })
        .collect();
    if !matches!(components.len(), 1 | 3 | 4) || components.len() != usize::from(*count) {
        return Err(error(format!("{count} components, where there may be 1, 3 or 4")));
    }
    Frame::new(progressive, (width, height), wanted, &components).map_err(error)
}

impl Header {
    fn huffman(&mut self, mut body: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = body {
            let counts: &[u8; 16] = rest.first_chunk()?;
            let total = counts.iter().map(|n| usize::from(*n)).sum::<usize>();
            let symbols = rest.get(16..16 + total)?;
            let tables = if kind >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            *tables.get_mut(usize::from(kind & 15))? = Some(Huffman::new(counts, symbols)?);
            body = rest.get(16 + total..)?;
        }
        Some(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = body {
            let wide = kind >> 4 != 0;
            let bytes = rest.get(..if wide { 128 } else { 64 })?;
            let mut steps = [0u16; 64];
            for i in 0..64 {
                steps[natural(i)] = match bytes.get(if wide { i * 2..i * 2 + 2 } else { i..i + 1 })? {
                    [high, low] => u16::from_be_bytes([*high, *low]),
                    [step] => u16::from(*step),
                    _ => return None,
                };
            }
            *self.steps.get_mut(usize::from(kind & 15))? = Some(steps);
            body = rest.get(bytes.len()..)?;
        }
        Some(())
    }

    fn scan(&self, body: &[u8], frame: &Frame) -> Option<Scan> {
        let (count, rest) = body.split_first()?;
        let count = usize::from(*count);
        let mut parts: Vec<(usize, usize, usize)> = Vec::with_capacity(4);
        for [id, tables] in rest.as_chunks::<2>().0.get(..count)? {
            let part = frame.parts.iter().position(|part| part.id == *id)?;
            if parts.iter().any(|(other, ..)| *other == part) {
                return None;
            }
            parts.push((part, usize::from(tables >> 4), usize::from(tables & 15)));
        }
        let [first, last, bits, ..] = rest.get(2 * count..)? else { return None };
        let (first, last) = (usize::from(*first), usize::from(*last));
        let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
        let sound =
            first <= last && last < 64 && (first > 0 || last == 0) && (first == 0 || count == 1) && low <= 13;
        if count == 0 || frame.progressive && !sound {
            return None;
        }
        // An MCU has ten blocks at most.
        let of =
            |(part, ..): &(usize, usize, usize)| frame.parts.get(*part).map_or(0, |part| part.h * part.v);
        if count > 1 && parts.iter().map(of).sum::<usize>() > 10 {
            return None;
        }
        Some(Scan { parts, band: (first, last), high, low, restart: self.restart })
    }

    /// Whether three components are luma and chroma, as libjpeg tells it.
    fn has_luma(&self, frame: &Frame) -> bool {
        if self.jfif {
            return true;
        }
        match self.adobe {
            Some(transform) => transform != 0,
            None => !frame.parts.iter().map(|part| part.id).eq(*b"RGB"),
        }
    }
}

/// The samples of all components as pixels.
fn colour(frame: &Frame, header: &Header) -> Jpeg {
    let (width, height) = (frame.width, frame.height);
    let (colours, depth) = match frame.parts.len() {
        1 => (Colours::Grey, 1),
        3 => (Colours::Rgb, 3),
        _ => (Colours::Cmyk, 4),
    };
    let turn = match depth {
        3 => header.has_luma(frame),
        4 => header.adobe.is_some_and(|transform| transform != 0),
        _ => false,
    };
    let mut pixels = vec![0; width * height * depth];
    let mut rows = [0; 4].map(|_: u8| vec![0u8; width + 8]);
    let mut sums = vec![0u16; width + 8];
    let bytes = frame.wanted.start * depth..frame.wanted.end * depth;
    for (number, out) in pixels.chunks_exact_mut(width * depth).enumerate() {
        let Some(out) = out.get_mut(bytes.clone()) else { break };
        let mut ready: [&[u8]; 4] = [&[]; 4];
        for ((part, space), ready) in frame.parts.iter().zip(&mut rows).zip(&mut ready) {
            *ready = row(part.plane(), part.way, number, frame.wanted.clone(), space, &mut sums);
        }
        match (ready, turn) {
            ([y, cb, cr, _], true) if depth == 3 => ycc_to_rgb(y, cb, cr, out),
            (_, true) => ycck_to_cmyk(ready, out),
            _ => {
                for (channel, samples) in ready.iter().enumerate().take(depth) {
                    for (pixel, sample) in out.chunks_exact_mut(depth).zip(*samples) {
                        pixel[channel] = *sample;
                    }
                }
            }
        }
    }
    Jpeg { width, height, colours, pixels }
}
