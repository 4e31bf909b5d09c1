//! Colours by meaning. ANSI-16 names only, body text in the terminal's own colours, so that light and dark terminals
//! and people's own palettes work; under `NO_COLOR` the same meanings are told by weight and reverse video.

use ratatui::style::{Color, Modifier, Style};

/// The styles of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used.
    pub colour: bool,
}

impl Theme {
    /// Colours unless `NO_COLOR` is set or the terminal is dumb.
    pub fn from_environment() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self { colour: !no_colour && !dumb }
    }

    fn tint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Body text.
    pub fn text(self) -> Style {
        Style::new()
    }

    /// Text of second rank: labels, units, hints.
    pub fn dim(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Headings and values that matter.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What has the focus; links and keys.
    pub fn accent(self) -> Style {
        self.tint(Color::Cyan)
    }

    /// A key in hints.
    pub fn key(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD)
    }

    /// Well.
    pub fn good(self) -> Style {
        self.tint(Color::Green)
    }

    /// Needs a look.
    pub fn warn(self) -> Style {
        self.tint(Color::Yellow)
    }

    /// Broken.
    pub fn bad(self) -> Style {
        self.tint(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A value that was edited and is not in effect yet.
    pub fn edited(self) -> Style {
        self.tint(Color::Magenta).add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Border of a pane.
    pub fn border(self, focused: bool) -> Style {
        match (focused, self.colour) {
            (true, true) => self.accent(),
            (true, false) => Style::new().add_modifier(Modifier::BOLD),
            (false, _) => self.dim(),
        }
    }
}
