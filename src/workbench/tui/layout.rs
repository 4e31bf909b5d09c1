//! How the panes of the run tab share it. What a person dragged is kept from one time to the next.

use serde::{Deserialize, Serialize};

/// A border that can be dragged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Between the charts and what lies below them.
    Below,
    /// Between samples and log.
    Between,
}

/// What the mouse drags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drag {
    /// A border.
    Border(Border),
    /// The window of the charts: the chart's area, and the column where the mouse was last.
    Window(ratatui::layout::Rect, u16),
    /// The crosshair, in the chart's area.
    Crosshair(ratatui::layout::Rect),
}

/// Shares in percent; as the program thinks best where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// Of the height, for samples and log.
    pub below: Option<u16>,
    /// Of the width, for the samples.
    pub left: Option<u16>,
}

/// The least and the most of a share.
const RANGE: std::ops::RangeInclusive<u16> = 12..=85;

impl Layout {
    /// Rows for samples and log in a tab of this height.
    pub fn below(self, height: u16) -> u16 {
        match self.below {
            Some(share) => {
                let rows = u32::from(height) * u32::from(share.clamp(*RANGE.start(), *RANGE.end())) / 100;
                u16::try_from(rows).unwrap_or(height).clamp(3, height.saturating_sub(5).max(3))
            }
            None if height >= 34 => (height * 2 / 5).min(18),
            None => (height * 2 / 5).min(9),
        }
    }

    /// Percent of the width for the samples.
    pub fn left(self) -> u16 {
        self.left.unwrap_or(52).clamp(*RANGE.start(), *RANGE.end())
    }

    /// A border is dragged to this share of the tab, 0 to 1 from its top or left.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn drag(&mut self, border: Border, share: f64) {
        let percent = |share: f64| {
            ((share * 100.0).round().clamp(0.0, 100.0) as u16).clamp(*RANGE.start(), *RANGE.end())
        };
        match border {
            Border::Below => self.below = Some(percent(1.0 - share)),
            Border::Between => self.left = Some(percent(share)),
        }
    }

    /// A border is moved by so many percent; what it is now is taken from a tab of this height.
    pub fn nudge(&mut self, border: Border, by: i16, height: u16) {
        let now = match border {
            Border::Below => self.below(height) * 100 / height.max(1),
            Border::Between => self.left(),
        };
        let new = now.saturating_add_signed(by).clamp(*RANGE.start(), *RANGE.end());
        match border {
            Border::Below => self.below = Some(new),
            Border::Between => self.left = Some(new),
        }
    }
}

fn file() -> Option<std::path::PathBuf> {
    run::dir::state_folder().map(|folder| folder.join("layout.json"))
}

/// What was kept; nothing where that cannot be read.
pub fn kept() -> Layout {
    let bytes = file().and_then(|f| std::fs::read(f).ok());
    bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

/// Keeps it. Failing to is no error: it is a comfort.
pub fn keep(layout: Layout) {
    let (Some(file), Ok(bytes)) = (file(), serde_json::to_vec(&layout)) else { return };
    let _ = file.parent().map(std::fs::create_dir_all);
    let _ = run::dir::replace_file(&file, &bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_leaves_room_for_both() {
        for height in 8..80 {
            for below in [None, Some(0), Some(50), Some(100)] {
                let rows = Layout { below, left: None }.below(height);
                assert!(rows >= 3 && (rows + 3 <= height), "{rows} of {height}");
            }
        }
        let mut layout = Layout::default();
        layout.drag(Border::Below, 0.25);
        layout.drag(Border::Between, 2.0);
        assert_eq!(layout, Layout { below: Some(75), left: Some(85) });
        layout.nudge(Border::Below, -5, 40);
        assert_eq!(layout.below, Some(70));
    }
}
