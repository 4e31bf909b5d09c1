//! Messages in, commands and state out.

use super::{Msg, start, update};
use crate::tui::message::{Command, JobResult, News, RestartPlan};
use crate::tui::model::{Model, Page, Pane};
use crate::tui::notes::Kind;
use crate::tui::popup::Popup;
use crate::tui::regions::Hit;
use crate::tui::tests::fixture::{events, model, press, run_dir, runs, screen, type_text};
use crate::tui::theme::Theme;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use run::control::{Reply, Request};
use run::events::{Body, Event, State};
use run::history::Status;
use run::settings::Value;
use std::collections::BTreeMap;

fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn asked(commands: &[Command]) -> Vec<&Request> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::Ask { request, .. } => Some(request),
            _ => None,
        })
        .collect()
}

fn note(model: &Model) -> (Kind, &str) {
    model.notes.all.last().map_or((Kind::Info, ""), |n| (n.kind, n.text.as_str()))
}

fn edit_weight_decay(model: &mut Model) {
    type_text(model, "3/weight_decay");
    press(model, KeyCode::Enter);
    press(model, KeyCode::Enter);
    for _ in 0..10 {
        press(model, KeyCode::Backspace);
    }
    type_text(model, "0.2");
    press(model, KeyCode::Enter);
}

#[test]
fn without_a_run_the_newest_live_one_is_opened() {
    let mut m = Model::new("/nowhere".into(), Theme::plain(true), 0.0);
    assert!(matches!(start(&mut m, None)[..], [Command::ListRuns { .. }]));
    let commands = update(&mut m, Msg::Runs { generation: 0, runs: runs() });
    assert!(matches!(&commands[..], [Command::Watch { run, .. }] if run.name() == "demo-1"), "{commands:?}");
    assert_eq!(m.page, Page::Run);
    // Live ones stand first.
    assert_eq!(m.runs.rows.unwrap()[0].run.name(), "demo-1");
}

#[test]
fn without_a_live_run_the_list_stays() {
    let mut m = Model::new("/nowhere".into(), Theme::plain(true), 0.0);
    start(&mut m, None);
    let runs = runs().into_iter().filter(|r| !r.status.is_alive()).collect();
    assert!(update(&mut m, Msg::Runs { generation: 0, runs }).is_empty());
    assert_eq!(m.page, Page::Runs);
    let commands = key(&mut m, KeyCode::Enter);
    assert!(matches!(&commands[..], [Command::Watch { run, .. }] if run.name() == "broken"));
}

#[test]
fn news_of_an_older_watch_is_dropped() {
    let mut m = model();
    start(&mut m, Some(run_dir("other")));
    let old = m.generation - 1;
    update(
        &mut m,
        Msg::Watch { generation: old, news: News::Events { events: events(5), read: 1, total: 1 } },
    );
    assert_eq!(m.watched.as_ref().unwrap().history.step, 0);
    let generation = m.generation;
    update(&mut m, Msg::Watch { generation, news: News::Events { events: events(5), read: 1, total: 1 } });
    assert_eq!(m.watched.as_ref().unwrap().history.step, 5);
}

#[test]
fn stop_asks_how() {
    let mut m = model();
    assert!(key(&mut m, KeyCode::Char('S')).is_empty());
    assert_eq!(asked(&key(&mut m, KeyCode::Enter)), [&Request::Stop { now: false }]);
    key(&mut m, KeyCode::Char('S'));
    key(&mut m, KeyCode::Down);
    assert_eq!(asked(&key(&mut m, KeyCode::Enter)), [&Request::Stop { now: true }]);
    key(&mut m, KeyCode::Char('S'));
    assert!(key(&mut m, KeyCode::Esc).is_empty() && m.popups.is_empty());
    assert_eq!(m.pending.len(), 2);
}

#[test]
fn a_request_is_pending_until_it_is_acknowledged() {
    let mut m = model();
    let commands = key(&mut m, KeyCode::Char('P'));
    let [Command::Ask { id, request: Request::Pause, .. }] = commands[..] else { panic!("{commands:?}") };
    assert!(screen(&mut m, 120, 24).contains("pause requested"));
    update(&mut m, Msg::Answered { id, result: Ok(Reply::Done { step: 1234, message: None }) });
    assert!(m.pending.is_empty());
    assert_eq!(note(&m), (Kind::Good, "pause acknowledged at step 1,234"));
    let generation = m.generation;
    update(&mut m, Msg::Watch { generation, news: News::Status(Status::Alive(State::Paused)) });
    assert_eq!(asked(&key(&mut m, KeyCode::Char('P'))), [&Request::Resume]);
}

#[test]
fn a_refusal_stays_on_the_screen() {
    let mut m = model();
    let commands = key(&mut m, KeyCode::Char('C'));
    let [Command::Ask { id, .. }] = commands[..] else { panic!("{commands:?}") };
    update(&mut m, Msg::Answered { id, result: Err("disk full".to_owned()) });
    m.now += 1e6;
    update(&mut m, Msg::Tick);
    assert!(screen(&mut m, 80, 24).contains("save checkpoint: disk full"));
    key(&mut m, KeyCode::Char('d'));
    assert!(!screen(&mut m, 80, 24).contains("disk full"));
}

#[test]
fn a_dead_run_is_asked_nothing() {
    let mut m = model();
    let generation = m.generation;
    update(&mut m, Msg::Watch { generation, news: News::Status(Status::Crashed) });
    assert_eq!(note(&m).0, Kind::Error);
    for c in ['S', 'P', 'C'] {
        assert!(key(&mut m, KeyCode::Char(c)).is_empty());
        assert!(m.popups.is_empty() && note(&m).1.contains("--resume demo-1"));
    }
}

#[test]
fn live_edits_are_one_request_and_vanish_when_acknowledged() {
    let mut m = model();
    edit_weight_decay(&mut m);
    assert_eq!(m.form.edits.get("weight_decay"), Some(&Value::Real(0.2)));
    key(&mut m, KeyCode::Char('a'));
    let commands = key(&mut m, KeyCode::Enter);
    let changes = BTreeMap::from([("weight_decay".to_owned(), Value::Real(0.2))]);
    assert_eq!(asked(&commands), [&Request::Set { changes: changes.clone() }]);
    assert!(m.pending_edit("weight_decay"));
    let body = Body::SettingChanged { changes, previous: BTreeMap::new(), requested: 0.0, applied_at: 1001 };
    let event = Event { v: 1, t: m.now, seq: 9999, attempt: 0, body };
    let generation = m.generation;
    update(&mut m, Msg::Watch { generation, news: News::Events { events: vec![event], read: 1, total: 1 } });
    assert!(m.form.edits.is_empty());
    assert_eq!(note(&m), (Kind::Good, "weight_decay = 0.2 since step 1,001"));
    assert_eq!(m.watched.as_ref().unwrap().settings().unwrap().weight_decay, 0.2);
}

#[test]
fn a_value_against_the_rule_stays_in_the_field() {
    let mut m = model();
    type_text(&mut m, "3/weight_decay");
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Enter);
    type_text(&mut m, "oops");
    press(&mut m, KeyCode::Enter);
    assert!(matches!(m.popups.last(), Some(Popup::Edit(_))) && m.form.edits.is_empty());
    press(&mut m, KeyCode::Esc);
    assert!(m.popups.is_empty() && m.form.edits.is_empty());
}

#[test]
fn a_restart_takes_all_edits_but_those_of_a_new_run() {
    let mut m = model();
    edit_weight_decay(&mut m);
    m.form.edits.insert("eval_samples", Value::Integer(64));
    m.form.edits.insert("seed", Value::Integer(1));
    key(&mut m, KeyCode::Char('R'));
    assert!(m.popups.is_empty() && note(&m).1.contains("seed takes a new run"));
    m.form.edits.remove("seed");
    key(&mut m, KeyCode::Char('R'));
    let commands = key(&mut m, KeyCode::Char('y'));
    let [Command::Restart { id, plan: RestartPlan { alive: true, live, restart, .. } }] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!((live.len(), restart.len()), (1, 1));
    let done = JobResult { message: "on it goes".to_owned(), run: run_dir("demo-1") };
    update(&mut m, Msg::JobDone { id: *id, result: Ok(done) });
    assert!(m.form.edits.is_empty() && m.pending.is_empty());
}

#[test]
fn a_new_run_takes_a_name_and_is_watched() {
    let mut m = model();
    type_text(&mut m, "3n");
    type_text(&mut m, "/");
    assert!(key(&mut m, KeyCode::Enter).is_empty());
    press(&mut m, KeyCode::Backspace);
    let commands = key(&mut m, KeyCode::Enter);
    let [Command::NewRun { id, name, root, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((name.as_str(), root.to_str()), ("demo-2", Some("/nowhere/runs")));
    let done = JobResult { message: String::new(), run: run_dir("demo-2") };
    let commands = update(&mut m, Msg::JobDone { id: *id, result: Ok(done) });
    assert!(matches!(&commands[..], [Command::Watch { run, .. }] if run.name() == "demo-2"));
}

#[test]
fn escape_goes_one_level_up() {
    let mut m = model();
    screen(&mut m, 80, 24);
    type_text(&mut m, "x");
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Esc);
    assert!(m.charts.view.crosshair().is_none() && m.maximised);
    press(&mut m, KeyCode::Esc);
    assert!(!m.maximised);
    type_text(&mut m, "3");
    type_text(&mut m, "?");
    press(&mut m, KeyCode::Esc);
    assert_eq!((m.page, m.popups.len()), (Page::Settings, 0));
    press(&mut m, KeyCode::Esc);
    assert_eq!(m.page, Page::Run);
    press(&mut m, KeyCode::Esc);
    assert!(!m.quit);
}

#[test]
fn every_action_of_the_palette_can_be_carried_out() {
    for page in ["1", "2", "3", "r"] {
        let count = crate::tui::popup::find("", &{
            let mut m = model();
            type_text(&mut m, page);
            m.places()
        })
        .len();
        for row in 0..count {
            let mut m = model();
            type_text(&mut m, page);
            type_text(&mut m, ":");
            (0..row).for_each(|_| press(&mut m, KeyCode::Down));
            press(&mut m, KeyCode::Enter);
            screen(&mut m, 80, 24);
        }
    }
}

#[test]
fn the_mouse_chooses_and_carries_out() {
    let mut m = model();
    let text = screen(&mut m, 80, 24);
    let click = |m: &mut Model, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        update(m, Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
    };
    // The footer's last word is the key of help or quit.
    assert!(text.lines().last().unwrap().contains("quit"));
    let chart = m.regions.chart(4).unwrap();
    click(&mut m, chart.x + 9, chart.y + 2);
    assert_eq!((m.charts.selected, m.pane), (4, Pane::Charts));
    let wheel = MouseEvent {
        kind: MouseEventKind::ScrollUp,
        column: chart.x + 9,
        row: chart.y + 2,
        modifiers: KeyModifiers::NONE,
    };
    update(&mut m, Msg::Mouse(wheel));
    assert!(m.charts.view.is_frozen());
    let tab = (0..80).find(|x| matches!(m.regions.at(*x, 0), Some((_, Hit::Tab(Page::Devices))))).unwrap();
    click(&mut m, tab, 0);
    assert_eq!(m.page, Page::Devices);
}

#[test]
fn scrubbing_samples_holds_and_follows() {
    let mut m = model();
    press(&mut m, KeyCode::Tab);
    press(&mut m, KeyCode::Left);
    assert_eq!(m.samples.step, Some(900));
    press(&mut m, KeyCode::Home);
    assert_eq!(m.samples.step, Some(100));
    press(&mut m, KeyCode::Down);
    assert_eq!(m.samples.index, 1);
    press(&mut m, KeyCode::End);
    assert_eq!(m.samples.step, None);
    press(&mut m, KeyCode::Right);
    assert_eq!(m.samples.step, None);
}

#[test]
fn a_held_log_stays_where_it_is() {
    let mut m = model();
    m.pane = Pane::Log;
    m.log.source = "supervisor.log".to_owned();
    screen(&mut m, 80, 24);
    press(&mut m, KeyCode::Up);
    let above = m.log.above_end;
    let generation = m.generation;
    let lines = vec!["one".to_owned(), "two".to_owned()];
    let news = News::Log { source: "supervisor.log".to_owned(), lines, anew: false };
    update(&mut m, Msg::Watch { generation, news });
    assert_eq!(m.log.above_end, above + 2);
    press(&mut m, KeyCode::End);
    assert_eq!(m.log.above_end, 0);
}
