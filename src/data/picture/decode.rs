//! Decodes JPEG, PNG, WebP, GIF, BMP and TIFF, keeping what Pillow's resizing depends on.

use std::io::Cursor;
use std::ops::Range;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::jpeg::{self, Colours};
use super::picture::{Mode, Picture};

/// The longest side of a picture that is taken, in pixels.
const MAX_SIDE: u32 = 32_768;
/// The most pixels of a picture that is taken; Pillow refuses at about the same size.
const MAX_PIXELS: u64 = 178_956_970;

/// Why a picture could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// It is none of the formats that are read.
    #[error("not a picture in JPEG, PNG, WebP, GIF, BMP or TIFF format")]
    Format,
    /// It says that it is too large to be taken into memory.
    #[error("{width}x{height} pixels is too large (at most {MAX_PIXELS} pixels, {MAX_SIDE} on a side)")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// It is damaged.
    #[error("damaged picture: {0}")]
    Damaged(String),
}

/// Decodes a file's bytes; the format is told from them, never from a name.
///
/// Orientation tags are ignored, as open_clip does; of animations the first picture is taken. The size is checked
/// before memory is taken.
///
/// # Errors
/// When the bytes are no picture, or a damaged or an absurdly large one.
pub fn decode(bytes: &[u8]) -> Result<Picture, DecodeError> {
    decode_columns(bytes, &|width, _| 0..width)
}

/// The same where only some columns of a picture of (width, height) will be looked at: the others may be left black.
pub(super) fn decode_columns(
    bytes: &[u8],
    wanted: &dyn Fn(usize, usize) -> Range<usize>,
) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return from_jpeg(bytes, wanted);
    }
    if bytes.starts_with(b"GIF8") {
        return from_gif(bytes);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(damaged)?;
    let format = reader.format().ok_or(DecodeError::Format)?;
    // The exact check follows; this one guards what a decoder takes before it tells its size.
    let mut limits = Limits::default();
    limits.max_alloc = Some(most_memory(bytes, format));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(to_error)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let size = (width as usize, height as usize);
    let decoded = DynamicImage::from_decoder(decoder).map_err(to_error)?;
    let decoded = if has_clear_colour(bytes, format) { without_alpha(decoded) } else { decoded };
    let picture = match (decoded, has_nearest(bytes, format)) {
        (decoded, true) => Picture::with_mode(size, decoded.into_rgb8().into_raw(), Mode::Nearest),
        (DynamicImage::ImageLuma16(grey), _) => Picture::from_grey16(size, grey.into_raw()),
        (DynamicImage::ImageRgb16(rgb), _) => Picture::new(size.0, size.1, high_bytes(rgb.as_raw())),
        (DynamicImage::ImageRgba16(rgba), _) => Picture::from_rgba(size, &high_bytes(rgba.as_raw())),
        (DynamicImage::ImageLumaA16(pair), _) => {
            let rgba = high_bytes(pair.as_raw())
                .as_chunks::<2>()
                .0
                .iter()
                .flat_map(|[l, a]| [*l, *l, *l, *a])
                .collect::<Vec<_>>();
            Picture::from_rgba(size, &rgba)
        }
        (decoded, _) if decoded.color().has_alpha() && format != ImageFormat::Bmp => {
            Picture::from_rgba(size, decoded.into_rgba8().as_raw())
        }
        (decoded, _) => Picture::new(size.0, size.1, decoded.into_rgb8().into_raw()),
    };
    picture.ok_or_else(|| DecodeError::Damaged(format!("{width}x{height} pixels")))
}

/// Bytes that decoding may take. A PNG says its size at once: a profile or text in it that unpacks to a gigabyte is not
/// a large picture.
fn most_memory(bytes: &[u8], format: ImageFormat) -> u64 {
    let side =
        |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|n| u32::from_be_bytes(*n));
    let pixels = match (format, side(16), side(20)) {
        (ImageFormat::Png, Some(width), Some(height)) => u64::from(width) * u64::from(height),
        _ => MAX_PIXELS,
    };
    pixels.min(MAX_PIXELS) * 8 + (16 << 20)
}

fn check_size(width: usize, height: usize) -> Result<(), DecodeError> {
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    too_large(width, height).map_or(Ok(()), Err)
}

/// Why a picture of this size is not taken, if it is too large.
pub fn too_large(width: u32, height: u32) -> Option<DecodeError> {
    let large = width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS;
    large.then_some(DecodeError::TooLarge { width, height })
}

fn from_jpeg(bytes: &[u8], wanted: &dyn Fn(usize, usize) -> Range<usize>) -> Result<Picture, DecodeError> {
    let check = |width, height| check_size(width, height).map(|()| wanted(width, height));
    let jpeg = jpeg::decode(bytes, check, DecodeError::Damaged)?;
    let size = (jpeg.width, jpeg.height);
    match jpeg.colours {
        Colours::Rgb => Picture::new(size.0, size.1, jpeg.pixels),
        Colours::Grey => Picture::new(size.0, size.1, jpeg.pixels.iter().flat_map(|l| [*l; 3]).collect()),
        Colours::Cmyk => Picture::from_cmyk(size, jpeg.pixels.iter().map(|ink| 255 - ink).collect()),
    }
    .ok_or_else(|| DecodeError::Damaged(format!("{}x{} pixels", size.0, size.1)))
}

/// The first picture of a GIF on its canvas.
fn from_gif(bytes: &[u8]) -> Result<Picture, DecodeError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    check_size(width, height)?;
    let shared = decoder.global_palette().map(<[u8]>::to_vec).unwrap_or_default();
    let frame =
        decoder.read_next_frame().map_err(damaged)?.ok_or_else(|| DecodeError::Damaged("no frame".into()))?;
    let palette = frame.palette.as_deref().unwrap_or(&shared);
    let colour = |index: u8| {
        palette.get(usize::from(index) * 3..).and_then(|c| c.first_chunk::<3>()).copied().unwrap_or_default()
    };
    let mut rgb = colour(frame.transparent.unwrap_or(0)).repeat(width * height);
    let (left, top, across) =
        (usize::from(frame.left), usize::from(frame.top), usize::from(frame.width).max(1));
    for (row, indices) in frame.buffer.chunks(across).enumerate() {
        let pixels =
            rgb.chunks_exact_mut((width * 3).max(1)).nth(top + row).and_then(|row| row.get_mut(left * 3..));
        for (pixel, index) in pixels.into_iter().flat_map(|row| row.as_chunks_mut::<3>().0).zip(indices) {
            *pixel = colour(*index);
        }
    }
    Picture::with_mode((width, height), rgb, Mode::Nearest)
        .ok_or_else(|| DecodeError::Damaged(format!("{width}x{height} pixels")))
}

/// Whether Pillow opens the file with a palette or with one bit a pixel: these it resizes by nearest neighbours.
fn has_nearest(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        // Bits a channel and the kind of colour, in the first chunk.
        ImageFormat::Png => matches!(bytes.get(24..26), Some([_, 3] | [1, 0])),
        ImageFormat::Bmp => bmp_has_palette(bytes).unwrap_or(false),
        _ => false,
    }
}

/// Whether a PNG's transparency may be but one colour that stands for it: Pillow shows that colour as it is.
fn has_clear_colour(bytes: &[u8], format: ImageFormat) -> bool {
    format == ImageFormat::Png && matches!(bytes.get(25), Some(0 | 2))
}

/// The same without transparency, every number as it was.
fn without_alpha(decoded: DynamicImage) -> DynamicImage {
    match decoded {
        DynamicImage::ImageLumaA8(_) => DynamicImage::ImageLuma8(decoded.into_luma8()),
        DynamicImage::ImageLumaA16(_) => DynamicImage::ImageLuma16(decoded.into_luma16()),
        DynamicImage::ImageRgba8(_) => DynamicImage::ImageRgb8(decoded.into_rgb8()),
        DynamicImage::ImageRgba16(_) => DynamicImage::ImageRgb16(decoded.into_rgb16()),
        other => other,
    }
}

/// Whether a BMP has a palette that is no ramp of greys.
fn bmp_has_palette(bytes: &[u8]) -> Option<bool> {
    let number = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|n| u32::from_le_bytes(*n) as usize);
    let header = number(14)?;
    let (at, entry) = if header == 12 { (24, 3) } else { (28, 4) };
    let bits = u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    if bits > 8 {
        return Some(false);
    }
    if bits == 1 {
        return Some(true);
    }
    let told = if header == 12 { 0 } else { number(46)? };
    let count = if told == 0 { 1 << bits } else { told.min(256) };
    let palette = bytes.get(14 + header..)?.get(..count * entry)?;
    let ramp = palette
        .chunks(entry)
        .enumerate()
        .all(|(i, colour)| colour.iter().take(3).all(|c| usize::from(*c) == i));
    Some(!ramp)
}

/// The high byte of every number: what Pillow keeps of 16 bits.
fn high_bytes(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().map(|number| (number >> 8) as u8).collect()
}

fn damaged(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::Damaged(error.to_string())
}

fn to_error(error: ImageError) -> DecodeError {
    match error {
        ImageError::Unsupported(_) => DecodeError::Format,
        other => damaged(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    fn png(width: u32, height: u32) -> Vec<u8> {
        let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    #[test]
    fn a_png_comes_back_as_it_was() {
        let picture = decode(&png(7, 5)).unwrap();
        assert_eq!((picture.width(), picture.height()), (7, 5));
        assert!(picture.rgb().iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
    }

    #[test]
    fn unfit_bytes_are_errors() {
        assert!(matches!(decode(b""), Err(DecodeError::Empty)));
        assert!(matches!(decode(b"hello, I am no picture"), Err(DecodeError::Format)));
        let whole = png(40, 40);
        for cut in [9, 30, 60, whole.len() / 2] {
            assert!(matches!(decode(&whole[..cut]), Err(DecodeError::Damaged(_))), "{cut}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_memory_is_taken() {
        // A PNG header that promises 60000 x 60000 pixels, with a valid checksum.
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = b"IHDR".to_vec();
        header.extend(60_000u32.to_be_bytes());
        header.extend(60_000u32.to_be_bytes());
        header.extend([8, 2, 0, 0, 0]);
        bytes.extend(13u32.to_be_bytes());
        bytes.extend(&header);
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        bytes.extend(crc.sum().to_be_bytes());
        bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        assert!(
            matches!(decode(&bytes), Err(DecodeError::TooLarge { width: 60_000, .. })),
            "{:?}",
            decode(&bytes)
        );
    }
}
