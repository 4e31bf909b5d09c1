//! Snapshots of every page and popup, at the smallest full size and at a large one.

use super::fixture::{model, press, run_dir, screen, type_text};
use crate::tui::message::{Command, Msg};
use crate::tui::model::Model;
use crate::tui::theme::Theme;
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::settings::{Settings, Value};

/// Compares both sizes with the kept screens.
fn kept(name: &str, model: &mut Model) {
    for (width, height) in [(80, 24), (160, 48)] {
        let text = screen(model, width, height);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), text);
    }
}

#[test]
fn run_tab() {
    kept("run", &mut model());
}

#[test]
fn an_enlarged_chart_with_crosshair() {
    let mut m = model();
    screen(&mut m, 80, 24);
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "sx");
    press(&mut m, KeyCode::Left);
    kept("chart", &mut m);
}

#[test]
fn samples_and_log() {
    let mut m = model();
    press(&mut m, KeyCode::Tab);
    press(&mut m, KeyCode::Home);
    press(&mut m, KeyCode::Down);
    kept("samples", &mut m);
    press(&mut m, KeyCode::Tab);
    press(&mut m, KeyCode::Right);
    kept("log", &mut m);
}

#[test]
fn devices_tab() {
    let mut m = model();
    press(&mut m, KeyCode::Char('2'));
    kept("devices", &mut m);
    press(&mut m, KeyCode::Down);
    type_text(&mut m, "/text.transformer attn proj");
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Down);
    kept("devices_tensors", &mut m);
}

#[test]
fn what_another_mesh_would_cost() {
    let mut m = model();
    type_text(&mut m, "3/sharding");
    press(&mut m, KeyCode::Enter);
    let current = m.watched.as_ref().unwrap().settings().unwrap();
    for (name, value) in
        [("nproc_per_node", Value::Integer(4)), ("sharding", Value::Text("stage3".to_owned()))]
    {
        m.form.edit(Settings::setting(name).unwrap(), value, &current);
    }
    // The next key asks; an older answer is nobody's.
    let key = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
    let asked = update(&mut m, Msg::Key(key));
    let Some(Command::Forecast { number, settings }) =
        asked.into_iter().find(|c| matches!(c, Command::Forecast { .. }))
    else {
        panic!("nothing was asked")
    };
    let forecast = crate::forecast::of(&settings).unwrap();
    assert_eq!((forecast.ranks.len(), forecast.degrees.sharding), (4, 4));
    update(&mut m, Msg::Forecast { number: number - 1, result: Err("too late".to_owned()) });
    update(&mut m, Msg::Forecast { number, result: Ok(Box::new(forecast)) });
    assert!(update(&mut m, Msg::Tick).is_empty(), "it is asked once");
    kept("what_if", &mut m);
}

#[test]
fn settings_tab_with_edits() {
    let mut m = model();
    type_text(&mut m, "3/decay");
    press(&mut m, KeyCode::Enter);
    kept("settings_search", &mut m);
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "x");
    kept("settings_bad_value", &mut m);
    press(&mut m, KeyCode::Backspace);
    type_text(&mut m, "1");
    press(&mut m, KeyCode::Enter);
    kept("settings_edited", &mut m);
    type_text(&mut m, "a");
    kept("settings_apply", &mut m);
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "R");
    kept("settings_restart", &mut m);
    press(&mut m, KeyCode::Esc);
    type_text(&mut m, "n/");
    kept("settings_new_run", &mut m);
}

#[test]
fn the_workbenchs_own_options() {
    let mut m = model();
    type_text(&mut m, "O");
    kept("settings_options", &mut m);
    press(&mut m, KeyCode::Enter);
    kept("settings_option_choice", &mut m);
    let mut m = Model::new("/nowhere/runs".into(), Theme::plain(true), 0.0);
    type_text(&mut m, "3");
    kept("settings_options_alone", &mut m);
}

#[test]
fn a_choice() {
    let mut m = model();
    type_text(&mut m, "3/auto");
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Right);
    kept("settings_choice", &mut m);
}

#[test]
fn runs_list() {
    let mut m = model();
    type_text(&mut m, "r");
    kept("runs", &mut m);
    m.runs.rows = Some(Vec::new());
    m.watched = None;
    kept("runs_none", &mut m);
}

#[test]
fn popups() {
    for (name, keys) in [("help", "?"), ("palette", ":sav"), ("stop", "S"), ("messages", "N")] {
        let mut m = model();
        m.notes.add(
            m.now - 70.0,
            crate::tui::notes::Kind::Error,
            "rank 1 died: out of memory\nit is restarted",
        );
        type_text(&mut m, keys);
        kept(name, &mut m);
    }
}

#[test]
fn too_small() {
    insta::assert_snapshot!(screen(&mut model(), 50, 10));
}

#[test]
fn without_colours_the_same_words() {
    let mut m = model();
    let coloured = screen(&mut m, 80, 24);
    m.theme = Theme::plain(false);
    assert_eq!(screen(&mut m, 80, 24), coloured);
}

#[test]
fn a_long_name_gives_way_to_how_the_run_is() {
    let mut m = model();
    if let Some(watched) = &mut m.watched {
        watched.run = run_dir("demo-20261125-170947-of-a-long-name");
    }
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("demo-2026") && text.contains("● running"), "{text}");
}

#[test]
fn the_first_frame_waits_for_no_events_and_tells_how_far_they_are() {
    let mut m = Model::new("/nowhere/runs".into(), Theme::plain(true), super::fixture::BEGAN);
    crate::tui::update::start(&mut m, Some(run_dir("demo-1")));
    assert!(screen(&mut m, 120, 36).contains("reading events 0 %"));
    let generation = m.generation;
    let mut events = super::fixture::events(1000);
    let rest = events.split_off(events.len() / 2);
    let take = |m: &mut Model, events, read| {
        let news = crate::tui::message::News::Events { events, read, total: 100 };
        update(m, Msg::Watch { generation, news });
        screen(m, 120, 36)
    };
    let text = take(&mut m, events, 50);
    assert!(text.contains("reading events 50 %") && text.contains("loss"), "{text}");
    assert!(!take(&mut m, rest, 100).contains("reading events"));
}

#[test]
fn how_a_run_ended_is_said_with_its_cause() {
    use crate::tui::message::News;
    use run::events::{Body, Event, Outcome};
    use run::history::Status;
    let mut m = model();
    let generation = m.generation;
    let message = Some(
        "rank 1 was killed by signal 9 (out of memory) after step 1000. Its last words: torch".to_owned(),
    );
    let body = Body::Finished { outcome: Outcome::Failed, step: 1000, message };
    let event = Event { v: 1, t: m.now, seq: 1 << 20, attempt: 0, body };
    update(&mut m, Msg::Watch { generation, news: News::Events { events: vec![event], read: 1, total: 1 } });
    update(&mut m, Msg::Watch { generation, news: News::Status(Status::Ended(Outcome::Failed)) });
    let text = screen(&mut m, 160, 48);
    assert!(
        text.contains("✕ failed")
            && text.contains("rank 1 was killed")
            && text.contains("signal 9 (out of memory)"),
        "{text}"
    );
    // One whose supervisor is gone says how to go on.
    let mut m = model();
    update(&mut m, Msg::Watch { generation, news: News::Status(Status::Crashed) });
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("✕ crashed") && text.contains("--resume demo-1"), "{text}");
}

/// Sixty columns: how the run is, and every figure of the list, stay whole.
#[test]
fn narrow_screens_leave_out_what_matters_least() {
    let mut m = model();
    let text = screen(&mut m, 60, 20);
    assert!(
        text.contains("● running") && text.contains("1 Run") && text.contains("contrastive_loss"),
        "{text}"
    );
    type_text(&mut m, "r");
    let text = screen(&mut m, 60, 20);
    assert!(text.contains("loss") && text.contains("1,000 / 4,000") && !text.contains('…'), "{text}");
}
