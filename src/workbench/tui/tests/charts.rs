//! The charts: runs laid over one another, filter, alerts, the mouse on them, exports.

use super::fixture::{events, key, last_note, model, mouse, press, screen, two_runs, type_text};
use crate::tui::chart::Axis;
use crate::tui::message::{Command, Msg, News};
use crate::tui::model::Model;
use crate::tui::regions::Hit;
use crate::tui::update::update;
use crossterm::event::{KeyCode, MouseButton, MouseEventKind};
use run::events::{Body, Event, Metrics};

fn kept(name: &str, model: &mut Model) {
    let text = screen(model, 160, 48);
    insta::assert_snapshot!(format!("{name}_160x48"), text);
}

#[test]
fn runs_are_laid_over_one_another_hidden_and_taken_off() {
    let mut m = two_runs();
    kept("compared", &mut m);
    type_text(&mut m, "v");
    press(&mut m, KeyCode::Down);
    kept("compared_popup", &mut m);
    type_text(&mut m, " ");
    press(&mut m, KeyCode::Esc);
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("○2 first-try") && !text.contains("─ first-try"), "{text}");
    // A click into the legend shows it again.
    let row =
        (0..48).find(|y| (0..160).any(|x| matches!(m.regions.at(x, *y), Some((_, Hit::Run(1)))))).unwrap();
    let column = (0..160).find(|x| matches!(m.regions.at(*x, row), Some((_, Hit::Run(1))))).unwrap();
    mouse(&mut m, MouseEventKind::Down(MouseButton::Left), column, row);
    assert!(screen(&mut m, 160, 48).contains("─ first-try"));
    type_text(&mut m, "v");
    press(&mut m, KeyCode::Down);
    assert!(matches!(&key(&mut m, KeyCode::Char('x'))[..], [Command::Forget { .. }]));
    assert!(m.others.is_empty());
}

#[test]
fn the_differences_of_the_settings_stand_side_by_side() {
    let mut m = two_runs();
    type_text(&mut m, "D");
    kept("differences", &mut m);
    let (names, rows) = crate::tui::update::differences(&m);
    assert_eq!(names, ["demo-1", "first-try"]);
    let decay = rows.iter().find(|(n, _)| n == "weight_decay").unwrap();
    assert_eq!(decay.1[1], Some("0.3".to_owned()));
    assert!(rows.iter().all(|(n, _)| n == "weight_decay" || n == "seed"), "{rows:?}");
}

#[test]
fn another_of_the_runs_is_watched_and_the_first_stays_on_the_charts() {
    let mut m = two_runs();
    type_text(&mut m, "v");
    press(&mut m, KeyCode::Down);
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        commands.iter().any(|c| matches!(c, Command::Watch { run, .. } if run.name() == "first-try")),
        "{commands:?}"
    );
    assert!(commands.iter().any(|c| matches!(c, Command::WatchOther { run, .. } if run.name() == "demo-1")));
    assert_eq!(m.others.len(), 1);
}

#[test]
fn a_first_key_shows_what_may_follow() {
    let mut m = model();
    type_text(&mut m, ";");
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("; and then") && text.contains("log x"), "{text}");
    type_text(&mut m, "x");
    assert!(m.charts.view.is_log_x() && !screen(&mut m, 80, 24).contains("; and then"));
    kept("log_x", &mut m);
    type_text(&mut m, ";");
    press(&mut m, KeyCode::Esc);
    assert!(m.prefix.is_none());
}

#[test]
fn charts_are_filtered_by_words_and_expressions() {
    let mut m = model();
    type_text(&mut m, "/rate|norm");
    press(&mut m, KeyCode::Enter);
    let text = screen(&mut m, 160, 48);
    assert!(
        text.contains("learning_rate") && text.contains("grad_norm") && !text.contains("caption_loss"),
        "{text}"
    );
    type_text(&mut m, "/(");
    screen(&mut m, 160, 48);
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Esc);
    assert!(screen(&mut m, 160, 48).contains("caption_loss"));
}

#[test]
fn what_stands_out_is_marked_and_gone_to() {
    let mut m = model();
    let generation = m.generation;
    let metrics = Metrics { step: 1001, loss: f64::NAN, step_seconds: 0.1, ..Metrics::default() };
    let event = Event { v: 1, t: m.now, seq: 1 << 20, attempt: 0, body: Body::Metrics(metrics) };
    update(&mut m, Msg::Watch { generation, news: News::Events { events: vec![event], read: 1, total: 1 } });
    assert!(last_note(&m).contains("loss is not finite at step 1001"), "{}", last_note(&m));
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("NaN 1"), "{text}");
    type_text(&mut m, "n");
    assert_eq!(m.charts.view.crosshair(), Some(1001.0));
    type_text(&mut m, "n");
    assert!(last_note(&m).contains("nothing more"));
    m.now += 100.0;
    update(&mut m, Msg::Tick);
    assert!(last_note(&m).contains("no step since"), "{}", last_note(&m));
}

#[test]
fn the_mouse_drags_the_window_and_the_crosshair() {
    let mut m = model();
    screen(&mut m, 160, 48);
    type_text(&mut m, "+++");
    let before = m.charts.view.clone();
    let chart = m.regions.chart(0).unwrap();
    mouse(&mut m, MouseEventKind::Down(MouseButton::Left), chart.x + 20, chart.y + 4);
    mouse(&mut m, MouseEventKind::Drag(MouseButton::Left), chart.x + 30, chart.y + 4);
    mouse(&mut m, MouseEventKind::Up(MouseButton::Left), chart.x + 30, chart.y + 4);
    assert!(m.charts.view.is_frozen() && m.charts.view != before);
    mouse(&mut m, MouseEventKind::Down(MouseButton::Right), chart.x + 20, chart.y + 4);
    let first = m.charts.view.crosshair().unwrap();
    mouse(&mut m, MouseEventKind::Drag(MouseButton::Right), chart.x + 25, chart.y + 4);
    assert!(m.charts.view.crosshair().unwrap() > first);
}

#[test]
fn curves_are_exported_as_they_are_seen() {
    let mut m = two_runs();
    type_text(&mut m, "e");
    for _ in 0..20 {
        press(&mut m, KeyCode::Backspace);
    }
    type_text(&mut m, "a.gif");
    assert!(key(&mut m, KeyCode::Enter).is_empty() && m.popups.len() == 1);
    for _ in 0..3 {
        press(&mut m, KeyCode::Backspace);
    }
    type_text(&mut m, "csv");
    let commands = key(&mut m, KeyCode::Enter);
    let [Command::ExportCurves { runs, out, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((runs.len(), out.to_str()), (2, Some("a.csv")));
}

/// A point without a loss, which stands out.
fn not_finite(m: &Model, step: u64) -> Event {
    let metrics = Metrics { step, loss: f64::NAN, step_seconds: 0.1, ..Metrics::default() };
    Event { v: 1, t: m.now, seq: (1 << 20) + step, attempt: 0, body: Body::Metrics(metrics) }
}

fn take_in(m: &mut Model, events: Vec<Event>) {
    let generation = m.generation;
    update(m, Msg::Watch { generation, news: News::Events { events, read: 1, total: 1 } });
}

#[test]
fn a_class_of_the_charts_filter_keeps_its_letter() {
    let mut m = model();
    type_text(&mut m, "/^\\D+$");
    let names: Vec<String> = crate::tui::tabs::run::specs(&m).into_iter().map(|s| s.name).collect();
    assert!(names.iter().any(|n| n == "loss"), "{names:?}");
}

#[test]
fn what_stands_out_after_a_step_back_is_told() {
    let mut m = model();
    let event = not_finite(&m, 1001);
    take_in(&mut m, vec![event]);
    let body = Body::Resumed { from_step: 900 };
    let back = Event { v: 1, t: m.now, seq: 1 << 21, attempt: 1, body };
    let event = not_finite(&m, 901);
    take_in(&mut m, vec![back, event]);
    assert!(m.notes.all.iter().any(|n| n.text.contains("not finite at step 901")), "{:?}", m.notes.all);
}

#[test]
fn on_the_axis_of_time_an_alert_moves_no_window() {
    let mut m = model();
    let event = not_finite(&m, 1001);
    take_in(&mut m, vec![event]);
    screen(&mut m, 160, 48);
    for _ in 0..4 {
        if m.charts.view.axis() != Axis::Time {
            type_text(&mut m, "t");
        }
    }
    assert_eq!(m.charts.view.axis(), Axis::Time);
    type_text(&mut m, "+++<<<<");
    let before = m.charts.view.clone();
    type_text(&mut m, "n");
    assert!(m.charts.view == before && last_note(&m).contains("step 1001"));
}

#[test]
fn a_run_laid_over_does_not_replace_what_is_kept_of_it() {
    for kept in [false, true] {
        let mut m = model();
        type_text(&mut m, "r/first");
        press(&mut m, KeyCode::Enter);
        let commands = key(&mut m, KeyCode::Char(' '));
        let [Command::WatchOther { generation, .. }] = commands[..] else { panic!("{commands:?}") };
        let total = 100 << 20;
        if kept {
            let news = News::Restored { history: Box::default(), read: 1 << 20, total };
            update(&mut m, Msg::Watch { generation, news });
        }
        let news = News::Events { events: events(5), read: total, total };
        let commands = update(&mut m, Msg::Watch { generation, news });
        let keeps = commands.iter().any(|c| matches!(c, Command::KeepHistory { .. }));
        assert_eq!(keeps, !kept, "{commands:?}");
    }
}
