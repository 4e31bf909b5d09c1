//! Where the last frame drew what: the mouse's map, and the heights that page-wise scrolling needs.

use super::action::Action;
use super::model::{Page, Pane};
use ratatui::layout::{Position, Rect};

/// What lies at a place of the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Hit {
    /// A click does this.
    Do(Action),
    /// A tab.
    Tab(Page),
    /// A pane: a click focuses it, the wheel scrolls it.
    Pane(Pane),
    /// A chart of the grid, by number.
    Chart(usize),
    /// A run of the charts' legend, by number; the watched one is 0.
    Run(usize),
    /// The border between two panes: dragging it moves it.
    Border(super::layout::Border),
    /// A row of the page's list, by number.
    Row(usize),
    /// A row of the list of tensors, by number.
    Tensor(usize),
    /// A row of the topmost popup's list, by number.
    PopupRow(usize),
    /// The topmost popup's box.
    Popup,
}

/// The regions of one frame.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    hits: Vec<(Rect, Hit)>,
    /// The run tab.
    pub tab: Rect,
    /// Columns of the grid of charts.
    pub chart_columns: usize,
    /// Charts on one page of the grid.
    pub charts_per_page: usize,
    /// Rows of the page's list or scrolled area.
    pub rows: usize,
    /// All rows of the scrolled area, those out of sight too.
    pub total_rows: usize,
    /// Rows of the log.
    pub log_rows: usize,
    /// Rows of the topmost popup's list.
    pub popup_rows: usize,
    /// Where the picture of the page is drawn.
    pub picture: Option<Rect>,
    /// Where thumbnails are drawn, and of which files.
    pub thumbnails: Vec<(Rect, std::path::PathBuf)>,
}

impl Regions {
    /// Notes what lies where; later ones lie above.
    pub fn add(&mut self, area: Rect, hit: Hit) {
        self.hits.push((area, hit));
    }

    /// The topmost thing at a place, with its area.
    pub fn at(&self, column: u16, row: u16) -> Option<(Rect, &Hit)> {
        let there = Position::new(column, row);
        self.hits.iter().rev().find(|(area, _)| area.contains(there)).map(|(area, hit)| (*area, hit))
    }

    /// The pane at a place, whatever lies over it.
    pub fn pane_at(&self, column: u16, row: u16) -> Option<Pane> {
        let there = Position::new(column, row);
        self.hits.iter().rev().find_map(|(area, hit)| match hit {
            Hit::Pane(pane) if area.contains(there) => Some(*pane),
            _ => None,
        })
    }

    /// The area of a chart, when it was drawn.
    pub fn chart(&self, index: usize) -> Option<Rect> {
        self.hits.iter().find(|(_, hit)| *hit == Hit::Chart(index)).map(|(area, _)| *area)
    }
}
