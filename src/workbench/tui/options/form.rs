//! The options as lines of the Settings tab, below the settings of the run: what they take and what they are now.

use super::Options;
use crate::tui::model::Model;
use crate::tui::picture::Mode;
use run::settings::{Applies, Kind, Setting, Value};

/// The heading under which they stand.
pub const GROUP: &str = "This workbench";

const fn line(name: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting { name, group: GROUP, doc, unit: "", kind, optional: false, applies: Applies::Live }
}

/// The lines. Keys are too many for one; `read_only` is for whoever starts the workbench; for `notify` the terminal is asked at
/// the start.
pub const LINES: [Setting; 5] = [
    line(
        "images",
        Kind::Choice(&["auto", "kitty", "sixel", "iterm2", "halfblocks", "off"]),
        "How pictures are drawn: auto is as well as the terminal says that it can.",
    ),
    line(
        "theme",
        Kind::Choice(&["auto", "plain", "plain-light", "dark", "light", "safe-dark", "safe-light"]),
        "Colours: auto fits the terminal's ground; plain ones are the terminal's own sixteen, safe ones for people who see fewer.",
    ),
    line(
        "mouse",
        Kind::Bool,
        "Whether the mouse is listened to, or left to the terminal, which then selects text.",
    ),
    line(
        "ascii",
        Kind::Bool,
        "Whether only ASCII is drawn: for terminals and fonts without the other characters.",
    ),
    line("bell", Kind::Bool, "Whether the terminal's bell rings for errors."),
];

/// Whether a line of the Settings tab is an option, not a setting of the run.
pub fn is_option(setting: &Setting) -> bool {
    setting.group == GROUP
}

/// What an option is now.
pub fn now(model: &Model, name: &str) -> Value {
    match name {
        "images" => Value::Text(model.pictures.mode().name().to_owned()),
        "theme" if model.fixed_looks => Value::Text(model.theme.looks.name().to_owned()),
        "theme" => Value::Text("auto".to_owned()),
        "mouse" => Value::Bool(model.mouse),
        "ascii" => Value::Bool(model.theme.ascii),
        "bell" => Value::Bool(model.bell),
        _ => Value::Unset,
    }
}

/// What it is when nobody chose.
pub fn default(name: &str) -> Value {
    let options = Options::default();
    match name {
        "images" => Value::Text(Mode::default().name().to_owned()),
        "theme" => Value::Text("auto".to_owned()),
        "mouse" => Value::Bool(options.mouse),
        "ascii" => Value::Bool(options.ascii.unwrap_or_default()),
        "bell" => Value::Bool(options.bell),
        _ => Value::Unset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::Looks;

    #[test]
    fn lines_take_what_the_file_takes() {
        let words = |name: &str| match LINES.iter().find(|l| l.name == name).unwrap().kind {
            Kind::Choice(words) => words.to_vec(),
            _ => vec!["true", "false"],
        };
        assert_eq!(words("images"), Mode::ALL.map(Mode::name));
        assert_eq!(words("theme")[1..], Looks::ALL.map(Looks::name));
        for line in LINES {
            line.check(&default(line.name)).unwrap();
            for word in words(line.name) {
                let quote = if matches!(line.kind, Kind::Bool) { "" } else { "\"" };
                let text = format!("{} = {quote}{word}{quote}", line.name);
                let (_, told) = super::super::read(&text, std::path::Path::new("w.toml"));
                assert!(told.is_empty(), "{text}: {told:?}");
            }
        }
    }
}
