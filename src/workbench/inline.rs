//! Pictures inline on the plain command line, by viuer.

/// Rows of the terminal that a picture may take.
const PICTURE_ROWS: u32 = 16;

/// Prints a picture, given its file's bytes, at the cursor.
///
/// # Errors
/// What is wrong with the picture or the terminal.
pub fn show(bytes: &[u8]) -> Result<(), String> {
    let picture = data::picture::decode(bytes).map_err(|e| e.to_string())?;
    let side = |n: usize| u32::try_from(n).unwrap_or(1);
    let rgb =
        image::RgbImage::from_raw(side(picture.width()), side(picture.height()), picture.rgb().to_vec());
    let Some(rgb) = rgb else { return Ok(()) };
    let config =
        viuer::Config { absolute_offset: false, height: Some(PICTURE_ROWS), ..viuer::Config::default() };
    viuer::print(&image::DynamicImage::ImageRgb8(rgb), &config).map_err(|e| e.to_string())?;
    Ok(())
}
