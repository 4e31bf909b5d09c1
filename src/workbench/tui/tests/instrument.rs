//! The instrument: runs laid over one another, the list of runs, logs of other programs, keys, looks, panes.

use super::fixture::{BEGAN, events, model, press, run_dir, runs, screen, settings, type_text};
use crate::foreign::Item;
use crate::tui::instrument::Effect;
use crate::tui::layout::Layout;
use crate::tui::message::{Command, Msg, News};
use crate::tui::model::{Model, Page};
use crate::tui::regions::Hit;
use crate::tui::theme::Looks;
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use run::events::{Body, Event, Metrics};
use run::history::Status;
use run::settings::Settings;

fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn mouse(model: &mut Model, kind: MouseEventKind, column: u16, row: u16) -> Vec<Command> {
    update(model, Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

fn last_note(model: &Model) -> &str {
    model.notes.all.last().map_or("", |n| &n.text)
}

/// The workbench with `first-try` laid over `demo-1`.
fn two_runs() -> Model {
    let mut m = model();
    type_text(&mut m, "r/first");
    press(&mut m, KeyCode::Enter);
    let commands = key(&mut m, KeyCode::Char(' '));
    let [Command::WatchOther { generation, run }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(run.name(), "first-try");
    let generation = *generation;
    let mut other = events(800);
    for event in &mut other {
        if let Body::Metrics(m) = &mut event.body {
            m.loss += 1.0;
        }
    }
    let mut news = |news| drop(update(&mut m, Msg::Watch { generation, news }));
    news(News::Config(Ok(Box::new(Settings { weight_decay: 0.3, seed: 7, ..settings() }))));
    news(News::Events { events: other, read: 1, total: 1 });
    news(News::Status(Status::Ended(run::events::Outcome::Completed)));
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Esc);
    assert_eq!(m.page, Page::Run);
    m
}

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
        matches!(&commands[..], [Command::Instrument(Effect::Label { labels, .. })] if labels.tags == ["good", "old"]),
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
        matches!(&commands[..], [Command::Instrument(Effect::Delete { run })] if run.name() == "first-try"),
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
fn panes_are_dragged_nudged_and_reset() {
    let mut m = model();
    screen(&mut m, 160, 48);
    let border = (0..48).find(|y| matches!(m.regions.at(3, *y), Some((_, Hit::Border(_))))).unwrap();
    mouse(&mut m, MouseEventKind::Down(MouseButton::Left), 3, border);
    mouse(&mut m, MouseEventKind::Drag(MouseButton::Left), 3, border - 8);
    let commands = mouse(&mut m, MouseEventKind::Up(MouseButton::Left), 3, border - 8);
    assert!(
        matches!(&commands[..], [Command::Instrument(Effect::KeepLayout(l))] if l.below.is_some()),
        "{commands:?}"
    );
    screen(&mut m, 160, 48);
    assert!(matches!(m.regions.at(3, border - 8), Some((_, Hit::Border(_)))));
    update(&mut m, Msg::Key(KeyEvent::new(KeyCode::Right, KeyModifiers::CONTROL)));
    assert_eq!(m.layout.left, Some(56));
    type_text(&mut m, "Z");
    assert_eq!(m.layout, Layout::default());
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
    let [Command::Instrument(Effect::Export { runs, out, .. })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((runs.len(), out.to_str()), (2, Some("a.csv")));
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
