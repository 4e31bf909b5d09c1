//! Pictures inline on the plain command line, by viuer.

use crate::tui::{options, picture};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use std::sync::LazyLock;

/// Rows of the terminal that a picture may take.
const PICTURE_ROWS: u32 = 16;

/// How pictures are drawn here: as the option `images` and `COCAPTAIN_IMAGES` say, which hold for the workbench too. None: not
/// at all.
///
/// viuer's own question to the terminal waits for an answer for ever: it is asked only where ours was answered.
static WAY: LazyLock<Option<viuer::Config>> = LazyLock::new(|| {
    // Without a line's end an answer would not arrive.
    let raw = enable_raw_mode().is_ok();
    let ability = picture::detect(options::load().0.images).ability;
    if raw {
        let _ = disable_raw_mode();
    }
    let (auto, named) = (ability.mode() == picture::Mode::Auto, ability.mode().name());
    let config = viuer::Config {
        absolute_offset: false,
        height: Some(PICTURE_ROWS),
        use_kitty: ability.answered_kitty() && (auto || named == "kitty"),
        use_iterm: auto || named == "iterm2",
        ..viuer::Config::default()
    };
    (ability.mode() != picture::Mode::Off).then_some(config)
});

/// Prints a picture, given its file's bytes, at the cursor.
///
/// # Errors
/// What is wrong with the picture or the terminal.
pub fn show(bytes: &[u8]) -> Result<(), String> {
    let Some(config) = WAY.as_ref() else { return Ok(()) };
    let picture = data::picture::decode(bytes).map_err(|e| e.to_string())?;
    let side = |n: usize| u32::try_from(n).unwrap_or(1);
    let rgb =
        image::RgbImage::from_raw(side(picture.width()), side(picture.height()), picture.rgb().to_vec());
    let Some(rgb) = rgb else { return Ok(()) };
    viuer::print(&image::DynamicImage::ImageRgb8(rgb), config).map_err(|e| e.to_string())?;
    Ok(())
}
