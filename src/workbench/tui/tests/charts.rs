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

/// A run of 40,000 steps, whose curves are thinned, and a window on some hundred of them in its middle: what is asked for.
fn zoomed() -> (Model, Vec<Event>, Command) {
    let mut m = model();
    let generation = m.generation;
    let metrics = |step: u64| Metrics {
        step,
        loss: 2.0 + (step % 97) as f64 * 0.01,
        step_seconds: 1.0,
        ..Metrics::default()
    };
    let event =
        |step| Event { v: 1, t: step as f64, seq: step, attempt: 0, body: Body::Metrics(metrics(step)) };
    let all: Vec<Event> = (1..=40_000).map(event).collect();
    update(&mut m, Msg::Watch { generation, news: News::Anew });
    let news = News::Events { events: all.clone(), read: 1, total: 1 };
    update(&mut m, Msg::Watch { generation, news });
    assert!(m.watched.as_ref().unwrap().history.curves["loss"].values.len() <= 16_384);
    let mut asked = Vec::new();
    for key_pressed in "+".repeat(18).chars().chain("<".repeat(90).chars()) {
        screen(&mut m, 160, 48);
        assert!(asked.is_empty() || m.watched.as_ref().unwrap().part_awaited);
        let commands = key(&mut m, KeyCode::Char(key_pressed));
        asked.extend(commands.into_iter().filter(|c| matches!(c, Command::ReadPart { .. })));
    }
    assert_eq!(asked.len(), 1, "it is asked once, until there is an answer");
    (m, all, asked.remove(0))
}

#[test]
fn a_zoomed_window_of_a_long_run_shows_every_step() {
    let (mut m, all, asked) = zoomed();
    let part = |asked: Command| {
        let Command::ReadPart { generation, around, most, .. } = asked else { panic!("{asked:?}") };
        let mut curves = std::collections::BTreeMap::new();
        all.iter().for_each(|e| run::part::take(&mut curves, e, &around, most));
        (generation, crate::tui::model::Part { steps: around, curves: Some(curves), most })
    };
    // The window went on while it was read: what it shows now is asked for.
    let (generation, first) = part(asked);
    let again = update(&mut m, Msg::Part { generation, part: Ok(first) });
    let [asked @ Command::ReadPart { .. }] = &again[..] else { panic!("{again:?}") };
    let (generation, second) = part(asked.clone());
    let seen = second.steps.clone();
    assert!(update(&mut m, Msg::Part { generation, part: Ok(second) }).is_empty());
    let text = screen(&mut m, 160, 48);
    let specs = crate::tui::tabs::run::specs(&m);
    let near = specs[0].parts[0].near.expect("the thinned curve is drawn");
    assert_eq!(near.steps, (*seen.start().max(&1)..=*seen.end()).collect::<Vec<u64>>(), "steps are missing");
    // The title's newest and best are the whole run's.
    assert!(text.contains("loss 2.36 best 2 @97"), "{text}");
    // Within what is there nothing more is read.
    for pressed in ['+', '+', '<', '>'] {
        assert!(key(&mut m, KeyCode::Char(pressed)).is_empty());
        screen(&mut m, 160, 48);
    }
}

#[test]
fn a_part_that_reaches_the_end_of_a_run_goes_on_with_it() {
    let (mut m, all, asked) = zoomed();
    let Command::ReadPart { generation, most, .. } = asked else { panic!("{asked:?}") };
    let mut curves = std::collections::BTreeMap::new();
    // The last ten events came while it was read.
    all[..39_990].iter().for_each(|e| run::part::take(&mut curves, e, &(39_000..=50_000), most));
    let part = crate::tui::model::Part { steps: 39_000..=50_000, curves: Some(curves), most };
    update(&mut m, Msg::Part { generation, part: Ok(part) });
    let Body::Metrics(last) = all[39_999].body.clone() else { panic!("no step") };
    let next = Event { body: Body::Metrics(Metrics { step: 40_001, ..last }), ..all[39_999].clone() };
    update(&mut m, Msg::Watch { generation, news: News::Events { events: vec![next], read: 1, total: 1 } });
    let part = m.watched.as_ref().unwrap().part.as_ref().unwrap();
    assert_eq!(part.curves.as_ref().unwrap()["loss"].steps, (39_000..=40_001).collect::<Vec<u64>>());
}

#[test]
fn a_part_that_cannot_be_read_is_said_once_and_the_kept_curves_stay() {
    let (mut m, _, asked) = zoomed();
    let Command::ReadPart { generation, .. } = asked else { panic!("{asked:?}") };
    update(&mut m, Msg::Part { generation, part: Err("events.jsonl: gone".to_owned()) });
    assert!(last_note(&m).contains("as they were kept") && screen(&mut m, 160, 48).contains("loss"));
    type_text(&mut m, "<<");
    assert!(!update(&mut m, Msg::Tick).iter().any(|c| matches!(c, Command::ReadPart { .. })));
}

#[test]
fn one_crosshair_reads_every_chart_and_every_run() {
    let mut m = two_runs();
    screen(&mut m, 160, 48);
    type_text(&mut m, "x");
    press(&mut m, KeyCode::Left);
    let text = screen(&mut m, 160, 48);
    let at = m.charts.view.label(m.charts.view.crosshair().unwrap());
    // In the title of each of the six charts, and on their axes.
    assert!(text.matches(&format!("@{at}")).count() >= 6, "{at}: {text}");
    let reversed = text.matches(&format!(" {at} ")).count();
    assert!(reversed >= 6, "{reversed} axes: {text}");
    press(&mut m, KeyCode::Esc);
    assert!(!screen(&mut m, 160, 48).contains(&format!("@{at}")));
}
