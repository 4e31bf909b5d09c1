//! The workbench's own options, in `workbench.toml` of the user's config folder: looks, mouse, keys.
//!
//! ```toml
//! theme = "dark"          # auto, plain, plain-light, dark, light, safe-dark, safe-light
//! mouse = false
//! read_only = true
//! ascii = false
//! images = "kitty"        # auto, kitty, sixel, iterm2, halfblocks, off
//! bell = true             # ring for errors: a run fails, a loss is no number
//! notify = true           # tell the desktop that a run ends or something stands out, while another window has the focus
//!
//! [keys.charts]           # a place's name, then actions' names
//! smoothing = ["s", "ctrl-s"]
//! log_x = "; x"           # two keys, one after the other
//! ```
//!
//! What cannot be used is told with its line, and the rest is used. [`form`] are those that stand in the Settings tab, which
//! [`keep`] writes.

pub mod form;
mod keep;

pub use keep::keep;

use super::action::{Entry, Place, TABLE, overlap};
use super::key::{Key, KeySequence};
use super::picture::Mode;
use super::theme::Looks;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Table};

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Colours; as the terminal's ground needs them without it.
    pub looks: Option<Looks>,
    /// Whether the mouse is listened to.
    pub mouse: bool,
    /// Whether nothing may be asked of runs, changed or deleted.
    pub read_only: bool,
    /// Whether only ASCII may be drawn; as the locale needs it without it.
    pub ascii: Option<bool>,
    /// How pictures are drawn; as the terminal can without it.
    pub images: Option<Mode>,
    /// Whether the terminal's bell rings for errors.
    pub bell: bool,
    /// Whether the desktop is told what happens while another window has the focus; where it is known to work without it.
    pub notify: Option<bool>,
    /// The table of actions with the person's own keys.
    pub table: Vec<Entry>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            looks: None,
            mouse: true,
            read_only: false,
            ascii: None,
            images: None,
            bell: false,
            notify: None,
            table: TABLE.to_vec(),
        }
    }
}

/// Where they are kept: `$XDG_CONFIG_HOME/cocaptain/workbench.toml`, else below `~/.config`.
pub fn path() -> Option<PathBuf> {
    run::dir::config_folder().map(|f| f.join("workbench.toml"))
}

/// Reads them; the complaints are for the person.
pub fn load() -> (Options, Vec<String>) {
    let Some(path) = path() else { return (Options::default(), Vec::new()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => read(&text, &path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (Options::default(), Vec::new()),
        Err(e) => (Options::default(), vec![format!("{}: {e}; the defaults are used", path.display())]),
    }
}

/// The options of a text; `path` is for the complaints.
pub fn read(text: &str, path: &Path) -> (Options, Vec<String>) {
    let line = |offset: Option<std::ops::Range<usize>>| {
        let end = offset.map_or(0, |s| s.start);
        1 + text.bytes().take(end).filter(|b| *b == b'\n').count()
    };
    let place = |line: usize| format!("{}:{line}", path.display());
    let mut options = Options::default();
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(e) => {
            let what =
                format!("{}: not TOML: {}; the defaults are used", place(line(e.span())), e.message().trim());
            return (options, vec![what]);
        }
    };
    let mut complaints = Vec::new();
    for (name, item) in document.iter() {
        let at = line(document.key(name).and_then(toml_edit::Key::span).or_else(|| item.span()));
        let mut wrong = |rule: &str| complaints.push(format!("{}: {name} {rule}", place(at)));
        let truth = item.as_bool();
        match (name, truth) {
            ("theme", _) => match item.as_str() {
                Some("auto") => {}
                Some(text) if Looks::named(text).is_some() => options.looks = Looks::named(text),
                _ => wrong("is one of auto, plain, plain-light, dark, light, safe-dark, safe-light"),
            },
            ("images", _) => match item.as_str().and_then(|text| text.parse().ok()) {
                Some(mode) => options.images = Some(mode),
                None => wrong("is one of auto, kitty, sixel, iterm2, halfblocks, off"),
            },
            ("mouse", Some(v)) => options.mouse = v,
            ("read_only", Some(v)) => options.read_only = v,
            ("ascii", Some(v)) => options.ascii = Some(v),
            ("bell", Some(v)) => options.bell = v,
            ("notify", Some(v)) => options.notify = Some(v),
            ("notify", None) if item.as_str() == Some("auto") => {}
            ("notify", None) => wrong("is true, false or \"auto\""),
            ("mouse" | "read_only" | "ascii" | "bell", None) => wrong("is true or false"),
            ("keys", _) => {
                if let Some(table) = item.as_table() {
                    keys(table, &mut options.table, &|span| place(line(span)), &mut complaints);
                } else {
                    wrong("is a table: [keys.charts] and so on");
                }
            }
            _ => wrong("is no option; there are theme, mouse, read_only, ascii, images, bell, notify, keys"),
        }
    }
    (options, complaints)
}

/// A file with every option and key as they are without it.
pub fn template() -> String {
    let place =
        path().map_or_else(|| "~/.config/cocaptain/workbench.toml".to_owned(), |p| p.display().to_string());
    let mut text = format!(
        "# Options of the workbench: a copy of this, changed, belongs in {place}\n\
         theme = \"auto\" # {}\nmouse = true\nread_only = false\n# ascii = true\n# images = \"auto\" # kitty, sixel, iterm2, halfblocks, off\nbell = false\n\
         # A notice on the desktop (OSC 9) when a run ends or something stands out while another window has the focus.\n\
         notify = \"auto\" # where the terminal is known to show it; true, false\n",
        Looks::ALL.map(Looks::name).join(", ")
    );
    for place in Place::ALL {
        text += &format!("\n[keys.{}]\n", place.word());
        for entry in TABLE.iter().filter(|e| e.place == place) {
            let keys: Vec<String> = entry.keys.iter().map(|k| format!("'{}'", k.spelled())).collect();
            text += &format!("{} = [{}]\n", entry.action.word(), keys.join(", "));
        }
    }
    text
}

type Where<'a> = &'a dyn Fn(Option<std::ops::Range<usize>>) -> String;

/// Takes a person's keys over; a key that means something else already at that place stays as it was.
fn keys(places: &Table, table: &mut [Entry], told: Where, complaints: &mut Vec<String>) {
    let mut own: Vec<(usize, String)> = Vec::new();
    let before = table.to_vec();
    for (place_name, actions) in places.iter() {
        let span = places.key(place_name).and_then(toml_edit::Key::span).or_else(|| actions.span());
        let Some(place) = Place::ALL.into_iter().find(|p| p.word() == place_name) else {
            let all: Vec<_> = Place::ALL.iter().map(|p| p.word()).collect();
            complaints.push(format!(
                "{}: keys.{place_name}: there is no such place; there are {}",
                told(span),
                all.join(", ")
            ));
            continue;
        };
        let Some(actions) = actions.as_table() else {
            complaints
                .push(format!("{}: keys.{place_name} is a table of actions and their keys", told(span)));
            continue;
        };
        for (name, item) in actions.iter() {
            let span = actions.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let at = told(span);
            let Some(index) = table.iter().position(|e| e.place == place && e.action.word() == name) else {
                let all: Vec<_> =
                    before.iter().filter(|e| e.place == place).map(|e| e.action.word()).collect();
                complaints.push(format!(
                    "{at}: keys.{place_name}.{name}: there is no such action; there are {}",
                    all.join(", ")
                ));
                continue;
            };
            match sequences(item) {
                Ok(keys) => {
                    if let Some(entry) = table.get_mut(index) {
                        // Kept as long as the program runs, as the table's own are.
                        entry.keys = Box::leak(keys.into_boxed_slice());
                        own.push((index, at));
                    }
                }
                Err(what) => complaints.push(format!("{at}: keys.{place_name}.{name}: {what}")),
            }
        }
    }
    // Only now: two actions may have changed their keys with each other. One that gets its old keys back may clash with
    // another that has taken them meanwhile: all are looked at until nothing changes any more.
    loop {
        let count = own.len();
        own.retain(|(index, at)| keeps_its_keys(*index, at, table, &before, complaints));
        if own.len() == count {
            break;
        }
    }
}

/// Whether an action's own keys are nobody else's; it gets its old ones back otherwise.
fn keeps_its_keys(
    index: usize,
    at: &str,
    table: &mut [Entry],
    before: &[Entry],
    complaints: &mut Vec<String>,
) -> bool {
    let Some(entry) = table.get(index).copied() else { return false };
    let clash = table.iter().enumerate().find_map(|(i, other)| {
        let near = i != index && overlap(entry.place, other.place);
        let key = near.then(|| entry.keys.iter().find(|k| other.keys.iter().any(|o| k.clashes(*o))))??;
        Some((*other, *key))
    });
    let Some((other, key)) = clash else { return true };
    complaints.push(format!(
        "{at}: {key} is '{}' ({}) already; '{}' keeps its old keys",
        other.name,
        other.place.title(),
        entry.name
    ));
    if let (Some(entry), Some(old)) = (table.get_mut(index), before.get(index)) {
        entry.keys = old.keys;
    }
    false
}

fn sequences(item: &Item) -> Result<Vec<KeySequence>, String> {
    let texts: Vec<&str> = match (item.as_str(), item.as_array()) {
        (Some(text), _) => vec![text],
        (_, Some(array)) => {
            let texts: Option<Vec<&str>> = array.iter().map(toml_edit::Value::as_str).collect();
            texts.ok_or("keys are texts, such as \"ctrl-s\"")?
        }
        _ => return Err("takes a key or a list of keys, such as \"s\" or [\"s\", \"ctrl-s\"]".to_owned()),
    };
    texts
        .into_iter()
        .map(|text| {
            sequence(text).ok_or_else(|| {
                format!(
                    "'{}' is no key; keys are such as s, S, ctrl-s, alt-x, shift-left, f5, space, 'g r'",
                    run::escape::line(text)
                )
            })
        })
        .collect()
}

/// A key, or two with a space between.
fn sequence(text: &str) -> Option<KeySequence> {
    if text == " " {
        return Some(KeySequence::one(Key::named("space")?));
    }
    let mut words = text.split_whitespace();
    let first = Key::named(words.next()?)?;
    let second = words.next().map(Key::named);
    match (second, words.next()) {
        (None, _) => Some(KeySequence::one(first)),
        (Some(Some(second)), None) => Some(KeySequence::two(first, second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        read(text, Path::new("w.toml")).1
    }

    #[test]
    fn options_and_keys_are_taken_over() {
        let text = "theme = \"safe-dark\"\nmouse = false\nread_only = true\nbell = true\nnotify = false\nascii = true\nimages = \"sixel\"\n\n[keys.charts]\nsmoothing = [\"ctrl-s\", \"g s\"]\n\n[keys.anywhere]\nquit = \"Q\"\n";
        let (options, complaints) = read(text, Path::new("w.toml"));
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(
            (options.looks, options.mouse, options.read_only, options.ascii),
            (Some(Looks::SafeDark), false, true, Some(true))
        );
        assert_eq!((options.images.map(Mode::name), options.notify), (Some("sixel"), Some(false)));
        let keys = |action, place| {
            let e = options.table.iter().find(|e| e.action == action && e.place == place).unwrap();
            e.keys.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(keys(Action::Smoothing, Place::Charts), ["Ctrl-S", "g s"]);
        assert_eq!(keys(Action::Quit, Place::Anywhere), ["Q"]);
    }

    #[test]
    fn a_conflict_is_told_with_its_line_and_changes_nothing() {
        let text = "[keys.charts]\nsmoothing = \"y\"\n";
        let (options, told) = read(text, Path::new("w.toml"));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("w.toml:2: y is 'log y' (Charts) already"), "{told:?}");
        assert_eq!(options.table, TABLE);
        // A key of every place clashes with that of each.
        assert!(complaints("[keys.charts]\n\nsmoothing = \"q\"\n")[0].starts_with("w.toml:3: q is 'quit'"));
        // Two that change places do not.
        assert!(complaints("[keys.charts]\nsmoothing = \"y\"\nlog_scale = \"s\"\n").is_empty());
        // The first key of two must mean nothing itself.
        assert_eq!(complaints("[keys.charts]\nsmoothing = \"y y\"\n").len(), 1);
    }

    #[test]
    fn keys_that_are_given_back_are_nobody_elses() {
        // log_scale's q is that of quit: it gets y back, which smoothing has taken meanwhile.
        let (options, told) =
            read("[keys.charts]\nsmoothing = \"y\"\nlog_scale = \"q\"\n", Path::new("w.toml"));
        assert_eq!(options.table, TABLE, "{told:?}");
        assert!(told.len() == 2 && told[1].starts_with("w.toml:2: y is 'log y'"), "{told:?}");
    }

    #[test]
    fn the_template_reads_back_as_the_defaults() {
        let (options, told) = read(&template(), Path::new("w.toml"));
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(options, Options::default());
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        for (text, wanted) in [
            ("a = ", "w.toml:1: not TOML"),
            ("\nthem = 1", "w.toml:2: them is no option"),
            ("mouse = 1", "w.toml:1: mouse is true or false"),
            ("theme = \"x\"", "w.toml:1: theme is one of auto"),
            ("images = \"jpeg\"", "w.toml:1: images is one of auto, kitty"),
            ("notify = 1", "w.toml:1: notify is true, false or \"auto\""),
            ("images = 1", "w.toml:1: images is one of auto, kitty"),
            ("[keys.chart]\n", "w.toml:1: keys.chart: there is no such place"),
            ("[keys.charts]\nsmoth = \"s\"", "w.toml:2: keys.charts.smoth: there is no such action"),
            ("[keys.charts]\nsmoothing = \"strl-x\"", "w.toml:2: keys.charts.smoothing: 'strl-x' is no key"),
            ("[keys.charts]\nsmoothing = 3", "w.toml:2: keys.charts.smoothing: takes a key"),
        ] {
            let told = complaints(text);
            assert!(told.len() == 1 && told[0].starts_with(wanted), "{text}: {told:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_taken(text: String) {
            read(&text, Path::new("w.toml"));
        }

        #[test]
        fn every_key_reads_back(index in 0..TABLE.len()) {
            for key in TABLE[index].keys {
                proptest::prop_assert_eq!(sequence(&key.spelled()), Some(*key));
            }
        }
    }
}
