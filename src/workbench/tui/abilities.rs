//! What the environment says of the terminal: colours, text.

use std::env;

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// None: `NO_COLOR`, a dumb terminal.
    None,
    /// The sixteen that every terminal names.
    Sixteen,
    /// The cube of 256.
    Cube,
    /// All.
    True,
}

impl Colours {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sixteen => "16",
            Self::Cube => "256",
            Self::True => "true colour",
        }
    }
}

/// As many as `NO_COLOR`, `COLORTERM` and `TERM` say.
pub fn colours() -> Colours {
    colours_of(&|name| env::var(name).unwrap_or_default())
}

fn colours_of(variable: &dyn Fn(&str) -> String) -> Colours {
    let (term, colour) = (variable("TERM"), variable("COLORTERM"));
    if !variable("NO_COLOR").is_empty() || term == "dumb" || term == "vt100" || term.ends_with("-mono") {
        return Colours::None;
    }
    if matches!(colour.as_str(), "truecolor" | "24bit") || term.contains("direct") {
        return Colours::True;
    }
    if term.contains("256") { Colours::Cube } else { Colours::Sixteen }
}

/// Whether text is UTF-8: `COCAPTAIN_ASCII` decides, else the locale does.
pub fn unicode() -> bool {
    unicode_of(&|name| env::var(name).unwrap_or_default())
}

fn unicode_of(variable: &dyn Fn(&str) -> String) -> bool {
    match variable("COCAPTAIN_ASCII").as_str() {
        "" => {}
        "0" | "false" => return true,
        _ => return false,
    }
    // The first that is set decides (POSIX, 8.2).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable).into_iter().find(|v| !v.is_empty());
    // Without a locale most terminals are UTF-8 all the same; the Linux console's own is too.
    locale.is_none_or(|l| {
        let l = l.to_lowercase();
        l.contains("utf-8") || l.contains("utf8") || (l != "c" && l != "posix" && !l.contains('.'))
    })
}

/// Whether the terminal shows a notice of OSC 9 on the desktop, as far as the environment tells. Others ignore it, but for
/// the Linux console, which prints it. Inside tmux or screen nobody knows what is around them.
pub fn notices() -> bool {
    notices_of(&|name| env::var(name).unwrap_or_default())
}

fn notices_of(variable: &dyn Fn(&str) -> String) -> bool {
    let (term, program) = (variable("TERM"), variable("TERM_PROGRAM"));
    if !variable("TMUX").is_empty() || term.starts_with("screen") || term.starts_with("tmux") {
        return false;
    }
    let by_name = matches!(program.as_str(), "iTerm.app" | "WezTerm" | "ghostty" | "rio");
    let by_term = ["xterm-kitty", "xterm-ghostty", "foot", "wezterm", "contour", "rio"]
        .iter()
        .any(|t| term.starts_with(t));
    by_name || by_term || !variable("KITTY_WINDOW_ID").is_empty() || !variable("WT_SESSION").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_where_they_are_known() {
        assert!(
            notices_of(&with(&[("TERM", "xterm-kitty")]))
                && notices_of(&with(&[("TERM_PROGRAM", "WezTerm")]))
        );
        for unknown in [
            ("TERM", "linux"),
            ("TERM", "xterm-256color"),
            ("TERM_PROGRAM", "Apple_Terminal"),
            ("TERM", "dumb"),
        ] {
            assert!(!notices_of(&with(&[unknown])), "{unknown:?}");
        }
        assert!(!notices_of(&with(&[("TERM_PROGRAM", "WezTerm"), ("TMUX", "/tmp/tmux-0/default,1,0")])));
    }

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> String + 'a {
        |name| pairs.iter().find(|(n, _)| *n == name).map_or_else(String::new, |(_, v)| (*v).to_owned())
    }

    #[test]
    fn colours_by_the_variables() {
        assert_eq!(colours_of(&with(&[("TERM", "xterm-256color")])), Colours::Cube);
        assert_eq!(colours_of(&with(&[("TERM", "xterm"), ("COLORTERM", "truecolor")])), Colours::True);
        assert_eq!(colours_of(&with(&[("TERM", "linux")])), Colours::Sixteen);
        assert_eq!(colours_of(&with(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")])), Colours::None);
        assert_eq!(colours_of(&with(&[("TERM", "dumb")])), Colours::None);
    }

    #[test]
    fn text_by_the_locale() {
        assert!(unicode_of(&with(&[("LANG", "de_DE.UTF-8")])));
        assert!(unicode_of(&with(&[("LC_ALL", "C.utf8"), ("LANG", "C")])));
        assert!(!unicode_of(&with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!unicode_of(&with(&[("LANG", "de_DE.ISO-8859-1")])));
        assert!(unicode_of(&with(&[])));
        assert!(!unicode_of(&with(&[("COCAPTAIN_ASCII", "1"), ("LANG", "C.UTF-8")])));
    }
}
