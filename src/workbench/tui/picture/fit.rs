//! Scales a picture to the cells of an area, its shape kept.

use data::picture::Picture;
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use ratatui::layout::Size;
use ratatui_image::FontSize;

/// The picture as large as fits into `size` cells of `font` pixels, and the cells that it takes. Tiny pictures are
/// drawn large, with sharp pixels; large ones are averaged down. None without room.
pub fn fit(picture: &Picture, size: Size, font: FontSize) -> Option<(DynamicImage, Size)> {
    let (width, height) = (u32::try_from(picture.width()).ok()?, u32::try_from(picture.height()).ok()?);
    let (cell_w, cell_h) = (u32::from(font.width), u32::from(font.height));
    let (room_w, room_h) = (u32::from(size.width) * cell_w, u32::from(size.height) * cell_h);
    if room_w == 0 || room_h == 0 {
        return None;
    }
    let ratio = (f64::from(room_w) / f64::from(width)).min(f64::from(room_h) / f64::from(height));
    let scaled = |side: u32, room: u32| ((f64::from(side) * ratio).round() as u32).clamp(1, room);
    let (mut w, mut h) = (scaled(width, room_w), scaled(height, room_h));
    let cells = Size::new(w.div_ceil(cell_w) as u16, h.div_ceil(cell_h) as u16);
    if cell_w == 1 {
        // Half blocks have no half cells.
        (w, h) = (u32::from(cells.width), u32::from(cells.height) * cell_h);
    }
    let image = RgbImage::from_raw(width, height, picture.rgb().to_vec())?;
    let filter = match ratio {
        r if r >= 2.0 => FilterType::Nearest,
        r if r > 1.0 => FilterType::CatmullRom,
        _ => FilterType::Lanczos3,
    };
    // Boxes first where there is much to average: a filter over 12 million pixels takes a second.
    let image = if ratio < 0.25 { imageops::thumbnail(&image, w * 2, h * 2) } else { image };
    Some((imageops::resize(&image, w, h, filter).into(), cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height)
            .flat_map(|i| [(i % 256) as u8, if i % width < width / 2 { 255 } else { 0 }, 0]);
        Picture::new(width, height, rgb.collect()).unwrap()
    }

    #[test]
    fn shapes_are_kept() {
        for (w, h, cols, rows, font) in [
            (48, 48, 40, 20, FontSize::new(1, 2)),
            (48, 48, 10, 20, FontSize::new(8, 16)),
            (1000, 10, 30, 30, FontSize::new(8, 16)),
            (3, 500, 30, 30, FontSize::new(1, 2)),
            (1, 1, 7, 5, FontSize::new(9, 18)),
            (4000, 3000, 20, 10, FontSize::new(1, 2)),
        ] {
            let (image, cells) = fit(&picture(w, h), Size::new(cols, rows), font).unwrap();
            assert!(cells.width <= cols && cells.height <= rows && cells.width > 0 && cells.height > 0);
            assert!(cells.width == cols || cells.height == rows, "as large as fits");
            let bound = |pixels: u32, cells: u16, cell: u16| pixels <= u32::from(cells) * u32::from(cell);
            assert!(
                bound(image.width(), cells.width, font.width)
                    && bound(image.height(), cells.height, font.height)
            );
        }
        assert!(fit(&picture(4, 4), Size::new(0, 3), FontSize::new(1, 2)).is_none());
    }

    #[test]
    fn tiny_pictures_stay_sharp() {
        let (image, _) = fit(&picture(4, 4), Size::new(40, 20), FontSize::new(1, 2)).unwrap();
        let image = image.to_rgb8();
        assert_eq!((image.get_pixel(19, 3)[1], image.get_pixel(20, 3)[1]), (255, 0));
    }
}
