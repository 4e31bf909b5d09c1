//! Looks and panes.

use super::fixture::{model, mouse, screen, two_runs, type_text};
use crate::tui::layout::Layout;
use crate::tui::message::{Command, Msg};
use crate::tui::regions::Hit;
use crate::tui::theme::Looks;
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEventKind};

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
