//! docs/settings.md and docs/keys.md, made from the tables that the programs themselves use. `make docs` writes them; the
//! tests fail when they are not what the tables say.

use crate::tui::action::{Place, TABLE};
use crate::tui::options::form::LINES;
use crate::tui::settings_form::default;
use run::settings::Settings;
use std::path::Path;

fn settings() -> String {
    let mut text = "# Settings\n\nMade from the settings' declaration (`src/run/settings`) by `make docs`. Each is a key of a run's TOML file and a flag\n\
        of `cocaptain train` (`--learning_rate 1e-4`; dashes and `=` work too). \"applies at once\" may be edited while a run\n\
        lives: in the Settings tab, or by `cocaptain set RUN key=value`. The last group are no settings of a run: the Settings\n\
        tab keeps them in `workbench.toml` (docs/workbench.md).\n"
        .to_owned();
    let mut group = "";
    for setting in Settings::ALL.iter().chain(&LINES) {
        if setting.group != group {
            group = setting.group;
            text += &format!(
                "\n## {group}\n\n| setting | takes | default | a change | what it does |\n|---|---|---|---|---|\n"
            );
        }
        let default = default(setting).to_string();
        let unit = if setting.unit.is_empty() || default == "unset" {
            String::new()
        } else {
            format!(" {}", setting.unit)
        };
        let cell = |text: &str| text.replace('|', "\\|");
        text += &format!(
            "| `{}` | {} | {}{unit} | {} | {} |\n",
            setting.name,
            cell(&setting.rule()),
            cell(&default),
            setting.applies,
            cell(setting.doc)
        );
    }
    text
}

fn keys() -> String {
    let mut text = "# Keys\n\nMade from the workbench's table of actions (`src/workbench/tui/action.rs`) by `make docs`. `?` shows the same on the\n\
        screen, `:` finds an action by name, description or key.\n"
        .to_owned();
    let mut place: Option<Place> = None;
    for entry in TABLE {
        if place != Some(entry.place) {
            place = Some(entry.place);
            text +=
                &format!("\n## {}\n\n| keys | action | what it does |\n|---|---|---|\n", entry.place.title());
        }
        let keys: Vec<String> =
            entry.keys.iter().map(|k| format!("`{}`", k.to_string().replace('|', "\\|"))).collect();
        text += &format!("| {} | {} | {} |\n", keys.join(" "), entry.name, entry.description);
    }
    text
}

fn current(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("COCAPTAIN_WRITE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/{file} is not what the table says: run `make docs`");
}

#[test]
fn docs_of_settings_are_current() {
    current("settings.md", &settings());
}

#[test]
fn docs_of_keys_are_current() {
    current("keys.md", &keys());
}

/// All Rust sources below a folder, one behind the other.
fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn docs_of_behaviours_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/behaviours.md")).unwrap();
    let mut all = String::new();
    ["src", "tests"].iter().for_each(|folder| sources(&root.join(folder), &mut all));
    let mut rows = Vec::new();
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = cells.get(1).and_then(|cell| cell.parse::<u32>().ok());
        let named = if number.is_some() { cells.get(3) } else { cells.get(2) };
        let names: Vec<&str> = named.copied().unwrap_or_default().split('`').skip(1).step_by(2).collect();
        for name in &names {
            // A function without arguments behind an attribute: a test, in a module or in `proptest!`.
            let found = all.match_indices(&format!("fn {name}(")).any(|(at, _)| {
                let before: String = all.get(..at).unwrap_or_default().lines().rev().take(3).collect();
                before.contains("#[test]")
            });
            assert!(found, "docs/behaviours.md names a test that does not exist: {name}");
        }
        if let Some(number) = number {
            assert!(!names.is_empty(), "behaviour {number} has no test");
            rows.push(number);
        }
    }
    assert_eq!(rows, (1..=36).collect::<Vec<u32>>());
}
