//! The log pane: search, only what is found, long lines.

use super::fixture::{last_note, model, press, screen, type_text};
use crate::tui::message::{Msg, News};
use crate::tui::model::Model;
use crate::tui::update::update;
use crossterm::event::KeyCode;

fn log(lines: Vec<String>) -> Model {
    let mut m = model();
    let generation = m.generation;
    let news = News::Log { source: "supervisor.log".to_owned(), lines, anew: true };
    update(&mut m, Msg::Watch { generation, news });
    press(&mut m, KeyCode::Tab);
    press(&mut m, KeyCode::Tab);
    screen(&mut m, 160, 48);
    m
}

#[test]
fn the_log_is_searched_from_its_end_and_shows_only_what_is_found() {
    let mut m = log((0..200)
        .map(|i| format!("line {i}, {}", if i % 50 == 0 { "a Warning" } else { "ready" }))
        .collect());
    type_text(&mut m, "/warning|none");
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("/warning|none▏ 4 of 4") && text.contains("line 150, a Warning"), "{text}");
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "n");
    let text = screen(&mut m, 160, 48);
    assert!(
        text.contains("3 of 4") && text.contains("line 100, a Warning") && text.contains("held"),
        "{text}"
    );
    type_text(&mut m, "nnn");
    assert!(last_note(&m).contains("no line above has that"), "{}", last_note(&m));
    type_text(&mut m, "b");
    assert!(screen(&mut m, 160, 48).contains("line 50, a Warning"));
    // New lines below and old ones that are dropped leave the found one found.
    let generation = m.generation;
    let lines = (0..4900).map(|i| format!("later {i}")).collect();
    let news = News::Log { source: "supervisor.log".to_owned(), lines, anew: false };
    update(&mut m, Msg::Watch { generation, news });
    assert_eq!(m.log.found, None, "the line is not kept any more");
    type_text(&mut m, "n");
    assert!(screen(&mut m, 160, 48).contains("line 150, a Warning"));
    type_text(&mut m, "dm");
    let text = screen(&mut m, 160, 48);
    assert!(
        text.contains("only these") && !text.contains("ready") && text.contains("line 100, a Warning"),
        "{text}"
    );
    press(&mut m, KeyCode::Esc);
    assert!(!screen(&mut m, 160, 48).contains("only these") && m.log.search.value().is_empty());
    type_text(&mut m, "n");
    assert!(last_note(&m).contains("nothing is searched for"));
    // No expression: the words as they stand.
    type_text(&mut m, "d/later 7 (");
    assert!(screen(&mut m, 160, 48).contains("0 lines"));
}

#[test]
fn long_lines_are_cut_or_broken() {
    let long: Vec<String> = (0..40).map(|i| format!("word{i}")).collect();
    let mut m = log(vec!["before".to_owned(), long.join(" ")]);
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("word3") && !text.contains("word39"), "{text}");
    type_text(&mut m, "w");
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("before") && text.contains("word0 ") && text.contains("word39"), "{text}");
    // Words that are found in a broken line are marked, whatever surrounds them.
    type_text(&mut m, "/word39");
    assert!(screen(&mut m, 160, 48).contains("1 of 1"));
}
