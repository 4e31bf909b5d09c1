//! Colours by meaning. The default uses ANSI-16 names only and the terminal's own colours for body text, so that light and
//! dark terminals and people's own palettes work; others are for 256 colours, on dark and on light, and for people who see
//! fewer. Under `NO_COLOR` the same meanings are told by weight and reverse video.

use super::abilities::{self, Colours};
use ratatui::style::{Color, Modifier, Style};

/// How many colours series and runs have.
pub const SERIES: usize = 7;

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Looks {
    /// The terminal's own sixteen.
    #[default]
    Plain,
    /// The sixteen that are legible on a light ground.
    PlainLight,
    /// 256 colours on a dark ground.
    Dark,
    /// 256 colours on a light ground.
    Light,
    /// As `Dark`, for people who see fewer colours.
    SafeDark,
    /// As `Light`, for people who see fewer colours.
    SafeLight,
}

/// The colours of one set: dim, accent, good, warn, bad, edited, and those of series.
struct Palette {
    dim: Color,
    accent: Color,
    good: Color,
    warn: Color,
    bad: Color,
    edited: Color,
    series: [Color; SERIES],
}

const fn x(n: u8) -> Color {
    Color::Indexed(n)
}

const PLAIN: Palette = Palette {
    dim: Color::DarkGray,
    accent: Color::Cyan,
    good: Color::Green,
    warn: Color::Yellow,
    bad: Color::Red,
    edited: Color::Magenta,
    series: [
        Color::Cyan,
        Color::Magenta,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Red,
        Color::DarkGray,
    ],
};

// No yellow and little cyan: on white they are hardly seen.
const PLAIN_LIGHT: Palette = Palette {
    dim: Color::DarkGray,
    accent: Color::Blue,
    good: Color::Green,
    warn: Color::Magenta,
    bad: Color::Red,
    edited: Color::Magenta,
    series: [
        Color::Blue,
        Color::Magenta,
        Color::Red,
        Color::Green,
        Color::Cyan,
        Color::Black,
        Color::DarkGray,
    ],
};

const DARK: Palette = Palette {
    dim: x(245),
    accent: x(80),
    good: x(114),
    warn: x(221),
    bad: x(203),
    edited: x(176),
    series: [x(80), x(176), x(114), x(221), x(75), x(209), x(250)],
};

const LIGHT: Palette = Palette {
    dim: x(242),
    accent: x(25),
    good: x(28),
    warn: x(130),
    bad: x(160),
    edited: x(127),
    series: [x(25), x(127), x(28), x(130), x(30), x(160), x(240)],
};

// After Okabe and Ito (2008): blue, orange, vermilion and the rest stay apart for people who see no red or no green.
const SAFE_DARK: Palette = Palette {
    dim: x(245),
    accent: x(75),
    good: x(75),
    warn: x(220),
    bad: x(208),
    edited: x(175),
    series: [x(75), x(208), x(36), x(220), x(175), x(32), x(250)],
};

const SAFE_LIGHT: Palette = Palette {
    dim: x(242),
    accent: x(25),
    good: x(25),
    warn: x(136),
    bad: x(166),
    edited: x(132),
    series: [x(25), x(166), x(29), x(136), x(132), x(38), x(240)],
};

impl Looks {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::PlainLight, Self::Dark, Self::Light, Self::SafeDark, Self::SafeLight];

    /// Its name, as it is read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::PlainLight => "plain-light",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::SafeDark => "safe-dark",
            Self::SafeLight => "safe-light",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.name() == name)
    }

    /// The one behind it.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|l| *l == self).map_or(0, |at| at + 1);
        Self::ALL.get(at).copied().unwrap_or_default()
    }

    fn palette(self) -> &'static Palette {
        match self {
            Self::Plain => &PLAIN,
            Self::PlainLight => &PLAIN_LIGHT,
            Self::Dark => &DARK,
            Self::Light => &LIGHT,
            Self::SafeDark => &SAFE_DARK,
            Self::SafeLight => &SAFE_LIGHT,
        }
    }
}

/// The styles of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used.
    pub colour: bool,
    /// Which.
    pub looks: Looks,
    /// Whether only ASCII may be drawn.
    pub ascii: bool,
}

impl Theme {
    /// The default's colours, or none.
    #[cfg(test)]
    pub fn plain(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// What the terminal can, as the environment tells: no colours under `NO_COLOR`, ASCII where the locale needs it.
    pub fn from_environment() -> Self {
        let light = std::env::var("COLORFGBG").ok().and_then(|v| ground(&v));
        let mut theme = Self {
            colour: abilities::colours() != Colours::None,
            looks: Looks::Plain,
            ascii: !abilities::unicode(),
        };
        if let Some(light) = light {
            theme.on(light);
        }
        theme
    }

    /// The ground is light or dark: takes the colours that are legible on it.
    pub fn on(&mut self, light: bool) {
        self.on_with(light, abilities::colours());
    }

    fn on_with(&mut self, light: bool, colours: Colours) {
        if colours < Colours::Cube {
            self.looks = if light { Looks::PlainLight } else { Looks::Plain };
        } else {
            self.looks = match (self.looks, light) {
                (Looks::SafeDark | Looks::SafeLight, true) => Looks::SafeLight,
                (Looks::SafeDark | Looks::SafeLight, false) => Looks::SafeDark,
                (_, true) => Looks::Light,
                (_, false) => Looks::Dark,
            };
        }
    }

    /// The colour of a series or a run, by number; none without colours.
    pub fn series(self, i: usize) -> Option<Color> {
        self.looks.palette().series.get(i % SERIES).copied().filter(|_| self.colour)
    }

    fn tint(self, colour: fn(&Palette) -> Color) -> Style {
        if self.colour { Style::new().fg(colour(self.looks.palette())) } else { Style::new() }
    }

    /// Body text.
    pub fn text(self) -> Style {
        Style::new()
    }

    /// Text of second rank: labels, units, hints.
    pub fn dim(self) -> Style {
        if self.colour { self.tint(|p| p.dim) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Headings and values that matter; in the text's colour even where it stands in a dim border.
    pub fn strong(self) -> Style {
        self.tint(|_| Color::Reset).add_modifier(Modifier::BOLD)
    }

    /// What has the focus; links and keys.
    pub fn accent(self) -> Style {
        self.tint(|p| p.accent)
    }

    /// A key in hints.
    pub fn key(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD)
    }

    /// Well.
    pub fn good(self) -> Style {
        self.tint(|p| p.good)
    }

    /// Needs a look.
    pub fn warn(self) -> Style {
        self.tint(|p| p.warn)
    }

    /// Broken.
    pub fn bad(self) -> Style {
        self.tint(|p| p.bad).add_modifier(Modifier::BOLD)
    }

    /// A value that was edited and is not in effect yet.
    pub fn edited(self) -> Style {
        self.tint(|p| p.edited).add_modifier(Modifier::BOLD)
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

/// Whether the ground is light, by rxvt's `COLORFGBG` ("15;0": the last number is the ground's).
fn ground(variable: &str) -> Option<bool> {
    let number: u8 = variable.rsplit(';').next()?.trim().parse().ok()?;
    match number {
        0..=6 | 8 => Some(false),
        7 | 9..=15 => Some(true),
        _ => None,
    }
}

/// Whether the ground is light, by a terminal's answer to the question for it ("11;rgb:ffff/ffff/dddd").
pub fn told_ground(answer: &str) -> Option<bool> {
    let colour = answer.strip_prefix("11;rgb:")?;
    let parts: Vec<f64> = colour
        .split('/')
        .filter_map(|p| {
            let most = 16f64.powi(i32::try_from(p.len()).ok()?) - 1.0;
            Some(f64::from(u32::from_str_radix(p, 16).ok()?) / most)
        })
        .collect();
    let [red, green, blue] = parts[..] else { return None };
    // ITU-R BT.601's weights.
    Some(0.299 * red + 0.587 * green + 0.114 * blue > 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_is_understood() {
        assert_eq!((ground("15;0"), ground("0;default;15"), ground("x")), (Some(false), Some(true), None));
        assert_eq!(told_ground("11;rgb:ffff/ffff/dddd"), Some(true));
        assert_eq!(told_ground("11;rgb:1e/1e/2e"), Some(false));
        assert_eq!(
            (told_ground("11;rgb:1e/1e"), told_ground("10;rgb:0/0/0"), told_ground("11;rgb://")),
            (None, None, None)
        );
    }

    #[test]
    fn the_ground_and_the_number_of_colours_choose_a_set() {
        let on = |looks, light, colours| {
            let mut theme = Theme { looks, ..Theme::plain(true) };
            theme.on_with(light, colours);
            theme.looks
        };
        for (was, light, colours, is) in [
            (Looks::Plain, true, Colours::Sixteen, Looks::PlainLight),
            (Looks::PlainLight, false, Colours::Sixteen, Looks::Plain),
            (Looks::Plain, true, Colours::True, Looks::Light),
            (Looks::Plain, false, Colours::Cube, Looks::Dark),
            (Looks::SafeDark, true, Colours::Cube, Looks::SafeLight),
        ] {
            assert_eq!(on(was, light, colours), is);
        }
    }

    #[test]
    fn every_set_has_a_name_and_seven_series_apart() {
        for looks in Looks::ALL {
            assert_eq!(Looks::named(looks.name()), Some(looks));
            let series = looks.palette().series;
            assert!((0..SERIES).all(|i| (0..i).all(|j| series[i] != series[j])), "{looks:?}");
        }
        assert_eq!(Theme::plain(false).series(0), None);
    }
}
