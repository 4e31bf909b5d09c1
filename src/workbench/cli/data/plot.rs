//! Histograms of a dataset as a picture: SVG or PNG, by plotters.

use std::path::Path;

use data::stats::{Spread, Stats};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::super::{Done, Failure};
use crate::plot::paper::{self, Kind};

const SIZE: (u32, u32) = (1000, 900);
const BARS: usize = 48;

/// Whether the name is of a kind that can be drawn.
pub fn check(out: &Path) -> Done {
    Kind::of(out).map(drop).map_err(Failure::Usage)
}

/// Draws the histograms of captions and pictures.
///
/// # Errors
/// What could not be written, and why.
pub fn histograms(told: &Stats, out: &Path) -> Result<(), String> {
    paper::register()?;
    let fail = |e: String| format!("{}: {e}", out.display());
    if Kind::of(out)? == Kind::Svg {
        let mut text = String::new();
        draw(told, &SVGBackend::with_string(&mut text, SIZE).into_drawing_area()).map_err(fail)?;
        return std::fs::write(out, text).map_err(|e| fail(e.to_string()));
    }
    let mut pixels = vec![255; SIZE.0 as usize * SIZE.1 as usize * 3];
    draw(told, &BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area()).map_err(fail)?;
    image::save_buffer(out, &pixels, SIZE.0, SIZE.1, image::ExtendedColorType::Rgb8)
        .map_err(|e| fail(e.to_string()))
}

fn draw<B: DrawingBackend>(told: &Stats, area: &DrawingArea<B, Shift>) -> Result<(), String> {
    let fail = |e: DrawingAreaErrorKind<B::ErrorType>| e.to_string();
    area.fill(&WHITE).map_err(fail)?;
    let all = [
        ("tokens of a caption", &told.tokens),
        ("words of a caption", &told.words),
        ("captions of a picture", &told.captions_per_image),
        ("characters of a caption", &told.characters),
        ("width of pictures [pixels]", &told.pictures.width),
        ("height of pictures [pixels]", &told.pictures.height),
    ];
    for (panel, (title, spread)) in area.split_evenly((3, 2)).iter().zip(all) {
        histogram(title, spread, panel).map_err(fail)?;
    }
    area.present().map_err(fail)
}

fn histogram<B: DrawingBackend>(
    title: &str,
    spread: &Spread,
    area: &DrawingArea<B, Shift>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let bars = spread.bars(BARS);
    let step = bars.get(1).map_or(1, |(second, _)| second - spread.min);
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(1);
    let (from, to) = (spread.min, bars.last().map_or(1, |(last, _)| last + step));
    let caption = if spread.count == 0 {
        format!("{title}: n/a")
    } else {
        format!("{title}: mean {:.1}, 95 % up to {}", spread.mean, spread.p95)
    };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(from..to, 0..most + most / 20 + 1)?;
    chart.configure_mesh().disable_x_mesh().label_style(("sans-serif", 13)).draw()?;
    let fill = RGBColor(38, 110, 180).filled();
    chart.draw_series(bars.into_iter().map(|(x, n)| Rectangle::new([(x, 0), (x + step, n)], fill)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Spread::new([(5, 10), (9, 3), (70, 1)].into());
        let told = Stats { tokens, ..empty() };
        let (svg, png) = (dir.path().join("a.svg"), dir.path().join("a.png"));
        histograms(&told, &svg).unwrap();
        histograms(&told, &png).unwrap();
        let text = std::fs::read_to_string(svg).unwrap();
        assert!(text.contains("tokens of a caption: mean") && text.matches("<rect").count() > 3, "{text}");
        let drawn = data::picture::decode(&std::fs::read(png).unwrap()).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (1000, 900));
        let blue = drawn.rgb().chunks_exact(3).filter(|p| **p == [38, 110, 180]).count();
        let black = drawn.rgb().chunks_exact(3).filter(|p| p.iter().all(|v| *v < 60)).count();
        assert!(blue > 1000 && black > 1000, "bars {blue}, letters and lines {black}");
        assert!(check(Path::new("a.gif")).is_err());
    }

    fn empty() -> Stats {
        Stats {
            path: String::new(),
            format: String::new(),
            entries: 0,
            broken: 0,
            images: 0,
            captions: 0,
            captions_per_image: Spread::default(),
            tokens: Spread::default(),
            words: Spread::default(),
            characters: Spread::default(),
            context_length: 76,
            cut: 0,
            lost_share: 0.0,
            vocabulary: 0,
            once: 0,
            top_words: Vec::new(),
            token_ids: (0, 0),
            pictures: data::stats::Pictures::default(),
            decoding: None,
        }
    }
}
