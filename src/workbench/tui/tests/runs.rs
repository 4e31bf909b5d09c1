//! The runs list: what is done with runs, folders of other programs, a workbench that only looks.

use super::fixture::{BEGAN, key, last_note, model, press, run_dir, runs, screen, type_text};
use crate::foreign::Item;
use crate::tui::message::{Command, Msg, News};
use crate::tui::model::Model;
use crate::tui::update::update;
use crossterm::event::KeyCode;
use run::history::Status;

fn kept(name: &str, model: &mut Model) {
    let text = screen(model, 160, 48);
    insta::assert_snapshot!(format!("{name}_160x48"), text);
}

#[test]
fn runs_are_filtered_sorted_tagged_put_away_and_deleted_after_a_question() {
    let mut m = model();
    type_text(&mut m, "r/state:crashed");
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("broken") && !text.contains("first-try") && text.contains("1 of 3"), "{text}");
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "s");
    assert_eq!(m.runs.visible()[0].run.name(), "broken");
    type_text(&mut m, "sss");
    type_text(&mut m, "/first");
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "tgood old");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[..], [Command::Label { labels, .. }] if labels.tags == ["good", "old"]),
        "{commands:?}"
    );
    type_text(&mut m, "mfrom before");
    press(&mut m, KeyCode::Enter);
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("#good #old") && text.contains("from before"), "{text}");
    type_text(&mut m, "A");
    assert!(m.runs.visible().is_empty());
    press(&mut m, KeyCode::Esc);
    assert_eq!(m.runs.visible().len(), 2);
    type_text(&mut m, "/archived");
    press(&mut m, KeyCode::Enter);
    // Deleting: a question that Enter alone does not answer.
    assert!(key(&mut m, KeyCode::Char('X')).is_empty() && m.popups.len() == 1);
    assert!(key(&mut m, KeyCode::Enter).is_empty() && m.popups.len() == 1);
    kept("delete", &mut m);
    let commands = key(&mut m, KeyCode::Char('y'));
    assert!(
        matches!(&commands[..], [Command::DeleteRun { run }] if run.name() == "first-try"),
        "{commands:?}"
    );
    // One that is alive is not deleted.
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "/demo");
    press(&mut m, KeyCode::Enter);
    assert!(key(&mut m, KeyCode::Char('X')).is_empty() && m.popups.is_empty());
    assert!(last_note(&m).contains("stop it first"));
}

#[test]
fn another_programs_log_is_watched_and_never_steered() {
    let mut m = model();
    type_text(&mut m, "r/first");
    press(&mut m, KeyCode::Enter);
    key(&mut m, KeyCode::Enter);
    let generation = m.generation;
    let mut items: Vec<Item> = (1..=300u64)
        .flat_map(|step| {
            let point = move |name: &str, value| Item::Point {
                name: name.to_owned(),
                step,
                time: BEGAN + step as f64,
                value,
            };
            [point("loss", 1.0 / step as f64), point("layer/3/norm", 2.0)]
        })
        .collect();
    items.push(Item::Parameters([("lr".to_owned(), "0.1".to_owned())].into()));
    let mut news = |news| drop(update(&mut m, Msg::Watch { generation, news }));
    news(News::Items { items, read: 1, total: 1 });
    news(News::Status(Status::Foreign { growing: true }));
    kept("foreign", &mut m);
    for c in ['S', 'P', 'C'] {
        assert!(key(&mut m, KeyCode::Char(c)).is_empty());
        assert!(last_note(&m).contains("not steered"), "{}", last_note(&m));
    }
    type_text(&mut m, "3");
    assert!(screen(&mut m, 160, 48).contains("lr"));
}

#[test]
fn read_only_says_why() {
    let mut m = model();
    m.read_only = true;
    for c in ['S', 'P', 'C'] {
        assert!(key(&mut m, KeyCode::Char(c)).is_empty() && m.popups.is_empty());
        assert!(last_note(&m).starts_with("read-only"));
    }
    type_text(&mut m, "rX");
    assert!(m.popups.is_empty());
    type_text(&mut m, "t");
    assert!(m.popups.is_empty());
    // Looking is not forbidden.
    type_text(&mut m, "D");
    assert_eq!(m.popups.len(), 1);
}

#[test]
fn a_folder_is_opened_beside_the_runs() {
    let mut m = model();
    m.runs.rows = Some(runs());
    type_text(&mut m, "ro/somewhere/logs");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(matches!(&commands[..], [Command::ListRuns { opened, .. }] if opened.len() == 1), "{commands:?}");
    assert_eq!(run_dir("a").name(), "a");
}

#[test]
fn what_is_pasted_into_a_filter_does_what_typing_does() {
    let paste = |m: &mut Model, text: &str| update(m, Msg::Paste(text.to_owned()));
    let mut m = model();
    m.charts.selected = 3;
    type_text(&mut m, "/");
    paste(&mut m, "rate|norm");
    assert_eq!((m.charts.selected, m.charts.filter.value()), (0, "rate|norm"));
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "r");
    m.runs.selected = 2;
    type_text(&mut m, "/");
    paste(&mut m, "e");
    assert_eq!(m.runs.selected, 0);
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "2/");
    m.devices.tensor = 5;
    paste(&mut m, "visual");
    assert_eq!(m.devices.tensor, 0);
    press(&mut m, KeyCode::Enter);
    // The setting of that name is chosen, not the first one whose description has it.
    type_text(&mut m, "3/");
    paste(&mut m, "weight decay");
    let pasted = m.form.selected;
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "/weight decay");
    assert_eq!(pasted, m.form.selected);
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Enter);
    assert!(screen(&mut m, 160, 48).contains(" weight_decay "));
    press(&mut m, KeyCode::Esc);
    // A line that says the same as before leaves the choice where it is.
    type_text(&mut m, "r/");
    m.runs.selected = 1;
    paste(&mut m, "\n");
    assert_eq!(m.runs.selected, 1);
}

#[test]
fn the_run_that_is_drawn_as_chosen_is_the_chosen_one() {
    let mut m = model();
    type_text(&mut m, "r");
    m.runs.selected = 99;
    assert_eq!(m.runs.chosen().map(|r| r.run.name()), m.runs.visible().last().map(|r| r.run.name()));
    assert!(m.runs.chosen().is_some());
}

#[test]
fn a_deleted_run_is_watched_no_more() {
    let mut m = model();
    let watch = m.generation;
    for row in m.runs.rows.iter_mut().flatten() {
        row.status = Status::Crashed;
    }
    type_text(&mut m, "r/demo");
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "X");
    let commands = key(&mut m, KeyCode::Char('y'));
    assert!(
        matches!(&commands[..], [Command::Forget { generation }, Command::DeleteRun { run }] if *generation == watch && run.name() == "demo-1"),
        "{commands:?}"
    );
    assert!(m.watched.is_none() && m.generation != watch);
}

#[test]
fn runs_are_sorted_by_the_loss_without_its_noise() {
    let mut m = model();
    type_text(&mut m, "r");
    for (i, row) in m.runs.rows.iter_mut().flatten().enumerate() {
        (row.loss, row.smoothed) = (Some(i as f64), Some(3.0 - i as f64));
    }
    for _ in 0..5 {
        type_text(&mut m, "s");
    }
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("by smoothed loss") && text.contains("smoothed "), "{text}");
    let smoothed: Vec<f64> = m.runs.visible().iter().filter_map(|r| r.smoothed).collect();
    assert_eq!(smoothed, [1.0, 2.0, 3.0]);
    assert_eq!(m.runs.visible()[0].loss, Some(2.0));
    type_text(&mut m, "/smoothed<1.5");
    assert!(screen(&mut m, 160, 48).contains("1 of 3"));
}
