//! Whatever a person or the terminal sends, the workbench stands.

use super::fixture::{events, model, run_dir, screen};
use crate::tui::message::{Msg, News};
use crate::tui::model::Model;
use crate::tui::theme::Theme;
use crate::tui::update::{start, update};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Msg> {
    let code = prop_oneof![
        4 => proptest::sample::select(vec![
            KeyCode::Up, KeyCode::Down, KeyCode::Left, KeyCode::Right, KeyCode::Enter, KeyCode::Esc, KeyCode::Tab,
            KeyCode::BackTab, KeyCode::Home, KeyCode::End, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Backspace,
            KeyCode::Delete, KeyCode::F(1),
        ]),
        6 => proptest::sample::select("12346rqSPCNdfkjhlxyzst+-<>0/aRnuUme:?gvwcFbMio. ".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        1 => any::<char>().prop_map(KeyCode::Char),
    ];
    let modifiers = prop_oneof![
        8 => Just(KeyModifiers::NONE),
        1 => Just(KeyModifiers::SHIFT),
        1 => Just(KeyModifiers::CONTROL),
    ];
    (code, modifiers).prop_map(|(c, m)| Msg::Key(KeyEvent::new(c, m)))
}

fn mouse() -> impl Strategy<Value = Msg> {
    let kind = proptest::sample::select(vec![
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::ScrollUp,
        MouseEventKind::ScrollDown,
    ]);
    (kind, 0..170u16, 0..50u16).prop_map(|(kind, column, row)| {
        Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    })
}

fn any_msg() -> impl Strategy<Value = Msg> {
    prop_oneof![10 => key(), 3 => mouse(), 1 => any::<String>().prop_map(Msg::Paste), 1 => Just(()).prop_map(|()| Msg::Tick)]
}

fn stands(mut model: Model, msgs: Vec<Msg>, sizes: Vec<(u16, u16)>) {
    for (i, msg) in msgs.into_iter().enumerate() {
        update(&mut model, msg);
        if i % 4 == 0 {
            let (width, height) = sizes[i / 4 % sizes.len()];
            screen(&mut model, width, height);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_input_makes_it_panic(
        msgs in proptest::collection::vec(any_msg(), 1..80),
        sizes in proptest::collection::vec((1..170u16, 1..50u16), 1..6),
    ) {
        stands(model(), msgs, sizes);
    }

    #[test]
    fn an_empty_run_does_not_either(
        msgs in proptest::collection::vec(any_msg(), 1..80),
        sizes in proptest::collection::vec((1..170u16, 1..50u16), 1..6),
        watched: bool,
        few in 0..12u64,
    ) {
        let mut model = Model::new("/nowhere".into(), Theme::plain(false), 0.0);
        start(&mut model, watched.then(|| run_dir("a")));
        let generation = model.generation;
        let events = events(few);
        update(&mut model, Msg::Watch { generation, news: News::Events { events, read: 1, total: 2 } });
        stands(model, msgs, sizes);
    }
}
