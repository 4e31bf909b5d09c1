//! Decodes JPEG, PNG and WebP to 8-bit RGB.

use std::io::Cursor;

use image::{ImageDecoder, ImageError, ImageReader, Limits};

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
    /// It is no JPEG, PNG or WebP.
    #[error("not a picture in JPEG, PNG or WebP format")]
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

/// Why a picture of this size is not taken, if it is too large.
pub fn too_large(width: u32, height: u32) -> Option<DecodeError> {
    let large = width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS;
    large.then_some(DecodeError::TooLarge { width, height })
}

/// A decoded picture: RGB, 8 bits a channel, rows from the top, pixels from the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of `width` x `height` pixels of three bytes; none when the sizes do not fit together or are 0.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && bytes == rgb.len()).then_some(Self { width, height, rgb })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels: `height` rows of `width` pixels of three bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// Decodes a file's bytes; the format is told from them, never from a name.
///
/// Grey becomes RGB, transparency is dropped, 16 bits are cut to 8; orientation tags are ignored, as open_clip
/// does. The size is checked before memory is taken.
///
/// # Errors
/// When the bytes are no picture, or a damaged or an absurdly large one.
pub fn decode(bytes: &[u8]) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| DecodeError::Damaged(error.to_string()))?;
    if reader.format().is_none() {
        return Err(DecodeError::Format);
    }
    // The exact check follows; this one guards what a decoder takes before it tells its size.
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(to_error)?;
    let (width, height) = decoder.dimensions();
    if let Some(error) = too_large(width, height) {
        return Err(error);
    }
    let decoded = image::DynamicImage::from_decoder(decoder).map_err(to_error)?;
    Picture::new(width as usize, height as usize, decoded.into_rgb8().into_raw())
        .ok_or_else(|| DecodeError::Damaged(format!("{width}x{height} pixels")))
}

fn to_error(error: ImageError) -> DecodeError {
    match error {
        ImageError::Unsupported(_) => DecodeError::Format,
        other => DecodeError::Damaged(other.to_string()),
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
