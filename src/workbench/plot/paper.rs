//! What every picture on paper needs: the font, and what the file's name says.

use std::path::Path;
use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

const PLAIN: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSansMono.ttf");
const BOLD: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSansMono-Bold.ttf");

/// The font is in the program, as "sans-serif" and as "mono": a machine without fonts draws too.
///
/// # Errors
/// In words, when it cannot be read.
pub fn register() -> Result<(), String> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let all = [
        ("sans-serif", FontStyle::Normal, PLAIN),
        ("sans-serif", FontStyle::Bold, BOLD),
        ("mono", FontStyle::Normal, PLAIN),
    ];
    let done = *DONE.get_or_init(|| {
        all.into_iter().all(|(name, style, bytes)| register_font(name, style, bytes).is_ok())
    });
    if done { Ok(()) } else { Err("the built-in font cannot be read".to_owned()) }
}

/// What a plot is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines and letters.
    Svg,
    /// Pixels.
    Png,
}

impl Kind {
    /// What the ending of the file's name says.
    ///
    /// # Errors
    /// In words, when it is another one.
    pub fn of(out: &Path) -> Result<Self, String> {
        match out.extension().and_then(|end| end.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(format!("{}: a plot's name ends in .svg or .png", out.display())),
        }
    }
}
