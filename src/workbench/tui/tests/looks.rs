//! Looks and panes.

use super::fixture::{model, mouse, press, screen, two_runs, type_text};
use crate::tui::layout::Layout;
use crate::tui::message::{Command, Msg};
use crate::tui::model::{Model, Page};
use crate::tui::options::form;
use crate::tui::regions::Hit;
use crate::tui::theme::Looks;
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEventKind};
use run::settings::{Kind, Value};

#[test]
fn panes_are_dragged_nudged_and_reset() {
    let mut m = model();
    screen(&mut m, 160, 48);
    let border = (0..48).find(|y| matches!(m.regions.at(3, *y), Some((_, Hit::Border(_))))).unwrap();
    mouse(&mut m, MouseEventKind::Down(MouseButton::Left), 3, border);
    mouse(&mut m, MouseEventKind::Drag(MouseButton::Left), 3, border - 8);
    let commands = mouse(&mut m, MouseEventKind::Up(MouseButton::Left), 3, border - 8);
    assert!(matches!(&commands[..], [Command::KeepLayout(l)] if l.below.is_some()), "{commands:?}");
    screen(&mut m, 160, 48);
    assert!(matches!(m.regions.at(3, border - 8), Some((_, Hit::Border(_)))));
    update(&mut m, Msg::Key(KeyEvent::new(KeyCode::Right, KeyModifiers::CONTROL)));
    assert_eq!(m.layout.left, Some(56));
    type_text(&mut m, "Z");
    assert_eq!(m.layout, Layout::default());
}

#[test]
fn every_set_of_colours_says_the_same() {
    let mut m = two_runs();
    m.notes.all.clear();
    let plain = screen(&mut m, 160, 48);
    for looks in Looks::ALL {
        m.theme.looks = looks;
        assert_eq!(screen(&mut m, 160, 48), plain);
    }
    // Without colours a run is told by its number.
    m.theme.colour = false;
    let text = screen(&mut m, 160, 48);
    assert!(text == plain && text.contains("━1 demo-1") && text.contains("━2 first-try"));
}

fn pressed(m: &mut Model, code: KeyCode) -> Vec<Command> {
    update(m, Msg::Key(KeyEvent::from(code)))
}

/// Opens the options and goes to one.
fn to_option(m: &mut Model, name: &str) {
    type_text(m, "O");
    for _ in form::LINES.iter().take_while(|l| l.name != name) {
        press(m, KeyCode::Down);
    }
}

#[test]
fn options_are_chosen_in_the_settings_tab_and_kept() {
    let nothing_open = Model::new("/nowhere/runs".into(), crate::tui::theme::Theme::default(), 0.0);
    for mut m in [model(), nothing_open] {
        let kept = |commands: &[Command]| {
            let kept = commands.iter().find_map(|c| match c {
                Command::KeepOption { order, name, value } => Some((*order, *name, value.clone())),
                _ => None,
            });
            kept.unwrap_or_else(|| panic!("{commands:?}"))
        };
        let mut last = 0;
        for line in form::LINES {
            to_option(&mut m, line.name);
            screen(&mut m, 160, 48);
            assert_eq!(m.page, Page::Settings);
            let words = if let Kind::Choice(words) = line.kind { words.len() } else { 2 };
            let mut seen = vec![form::now(&m, line.name).to_string()];
            for _ in 0..words {
                press(&mut m, KeyCode::Enter);
                press(&mut m, KeyCode::Right);
                let commands = pressed(&mut m, KeyCode::Enter);
                let (order, name, value) = kept(&commands);
                assert_eq!((name, &value), (line.name, &form::now(&m, line.name)));
                assert!(order > last, "{order} after {last}");
                last = order;
                seen.push(value.to_string());
            }
            assert_eq!(seen.first(), seen.last());
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), words, "{seen:?}");
        }
        // They are no edits of the run.
        assert!(m.form.edits.is_empty() && m.popups.is_empty());
        // What else has to be done at once.
        to_option(&mut m, "images");
        press(&mut m, KeyCode::Enter);
        type_text(&mut m, "o");
        assert_eq!(pressed(&mut m, KeyCode::Enter)[0], Command::Redraw);
        assert_eq!(m.pictures.name(), "off");
        to_option(&mut m, "mouse");
        press(&mut m, KeyCode::Enter);
        type_text(&mut m, "f");
        assert_eq!(pressed(&mut m, KeyCode::Enter)[0], Command::Mouse(false));
        // The keys do the same as the lines.
        let (_, name, value) = kept(&pressed(&mut m, KeyCode::Char('I')));
        assert_eq!((name, value), ("images", Value::Text("auto".to_owned())));
        m.fitting_looks = Looks::Light;
        let (_, name, _) = kept(&pressed(&mut m, KeyCode::Char('T')));
        assert_eq!((name, m.fixed_looks), ("theme", true));
        to_option(&mut m, "theme");
        press(&mut m, KeyCode::Enter);
        type_text(&mut m, "a");
        press(&mut m, KeyCode::Enter);
        assert_eq!((m.theme.looks, m.fixed_looks), (Looks::Light, false));
    }
}
