//! A made-up run: events with fixed times, folded as real ones are.

use crate::tui::message::{Command, Msg, News, RunSummary};
use crate::tui::model::{Model, Page};
use crate::tui::theme::Theme;
use crate::tui::update::{start, update};
use crate::tui::view::view;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use run::dir::RunDir;
use run::events::{
    Body, Evaluation, Event, Layout, LayoutRow, Memory, Metrics, Notice, Outcome, Place, Sample, Started,
    State, StateBytes,
};
use run::history::Status;
use run::mesh::Coordinates;
use run::settings::{Settings, Value};
use std::collections::BTreeMap;

/// When the made-up run began.
pub const BEGAN: f64 = 1_700_000_000.0;

/// What each of its ranks holds.
const STATE: StateBytes = StateBytes { parameters: 9_474_048, gradients: 9_474_048, optimiser: 9_474_072 };

/// The made-up run's folder, which does not exist.
pub fn run_dir(name: &str) -> RunDir {
    RunDir::at(format!("/nowhere/runs/{name}"))
}

/// The events of `steps` steps, one second each.
#[allow(clippy::cast_precision_loss)]
pub fn events(steps: u64) -> Vec<Event> {
    let mut bodies: Vec<(f64, Body)> = vec![
        (0.0, Body::State { state: State::Starting, step: 0, message: Some("loading data".to_owned()) }),
        (
            1.0,
            Body::Started(Started {
                model: "coca_demo".to_owned(),
                weights: "from scratch, seed 42".to_owned(),
                parameters: 2_345_678,
                device: "cpu, 2 threads".to_owned(),
                samples: 16_000,
                batch_size: 64,
                total_steps: 4000,
                world_size: 2,
                versions: BTreeMap::new(),
            }),
        ),
        (
            1.0,
            Body::Layout(Layout {
                data_parallel: 1,
                sharding: 2,
                tensor_parallel: 1,
                stage: "stage1".to_owned(),
                model: models::CoCaConfig::named("coca_demo").unwrap().to_json().unwrap(),
                rows: (0..6)
                    .map(|i| LayoutRow {
                        name: format!("visual.transformer.resblocks.{i}"),
                        bytes: 1_579_008,
                        ranks: vec![789_504, 789_504],
                    })
                    .collect(),
                ranks: (0..2)
                    .map(|rank| Place {
                        at: Coordinates { sharding: rank, ..Coordinates::default() },
                        node: 0,
                        host: "trainer".to_owned(),
                        first_row: u64::from(rank) * 32,
                        rows: 32,
                        predicted: STATE,
                        measured: Some(STATE),
                        activations: Some(34_200_000),
                    })
                    .collect(),
            }),
        ),
        (1.0, Body::State { state: State::Running, step: 0, message: None }),
    ];
    for step in 1..=steps {
        let (t, x) = (step as f64, step as f64);
        let wave = (x * 0.7).sin() * 0.05;
        let contrastive = 2.6 * (-x / 900.0).exp() + 0.5 + wave;
        let caption = 3.6 * (-x / 700.0).exp() + 0.35 - wave;
        bodies.push((
            t,
            Body::Metrics(Metrics {
                step,
                epoch: x / 250.0,
                loss: contrastive + caption,
                contrastive_loss: contrastive,
                caption_loss: caption,
                learning_rate: 1e-3 * (x / 100.0).min(1.0),
                learning_rates: BTreeMap::from([("visual".to_owned(), 5e-4 * (x / 100.0).min(1.0))]),
                logit_scale: 14.3 + x / 200.0,
                grad_norm: 1.2 + wave * 4.0,
                samples_per_second: 520.0,
                data_seconds: 0.005,
                step_seconds: 0.121,
            }),
        ));
        if step % 100 == 0 {
            let result = BTreeMap::from([("loss".to_owned(), contrastive + caption + 0.2)]);
            let task = "held_out".to_owned();
            bodies.push((
                t,
                Body::Evaluation(Evaluation { step, task, done: 512, total: 512, result: Some(result) }),
            ));
            for index in 0..2 {
                bodies.push((
                    t,
                    Body::Sample(Sample {
                        step,
                        index,
                        image: format!("/nowhere/images/{index:05}.png"),
                        reference: "a small red circle above a large blue square".to_owned(),
                        caption: if step < 600 {
                            "a small green circle"
                        } else {
                            "a small red circle above a large blue square"
                        }
                        .to_owned(),
                    }),
                ));
            }
        }
        if step % 500 == 0 {
            let path = format!("checkpoints/step-{step}");
            bodies.push((t, Body::Checkpoint { step, path, bytes: 28_000_000, seconds: 0.4, best: true }));
        }
        if step == 700 {
            bodies.push((
                t,
                Body::SettingChanged {
                    changes: BTreeMap::from([("learning_rate".to_owned(), Value::Real(6e-4))]),
                    previous: BTreeMap::from([("learning_rate".to_owned(), Value::Real(1e-3))]),
                    requested: BEGAN + t - 1.0,
                    applied_at: 700,
                },
            ));
        }
        if step == 800 {
            let notice = Notice {
                kind: "slow_data".to_owned(),
                message: "data takes 30 % of a step: more dataloader_num_workers would help".to_owned(),
                rank: Some(0),
                step: Some(800),
            };
            bodies.push((t, Body::Warning(notice)));
        }
    }
    for rank in 0..2 {
        bodies.push((steps as f64, Body::Memory(memory(rank, steps))));
    }
    let event = |(seq, (t, body)): (usize, (f64, Body))| Event {
        v: 1,
        t: BEGAN + t,
        seq: seq as u64,
        attempt: 0,
        body,
    };
    bodies.into_iter().enumerate().map(event).collect()
}

/// Rank 0 on a GPU, rank 1 on the CPU: both kinds of report on one screen.
fn memory(rank: u32, step: u64) -> Memory {
    let common = Memory {
        step,
        rank,
        resident: Some(812 << 20),
        resident_peak: Some(1020 << 20),
        cpu_load: Some(1.93),
        parameters: 9_382_712,
        gradients: 9_382_712,
        optimiser: 18_765_424,
        step_seconds: Some(0.121),
        own_seconds: Some(if rank == 0 { 0.119 } else { 0.084 }),
        activations: Some(33 << 20),
        ..Memory::default()
    };
    if rank == 0 {
        return Memory {
            device: "cuda:0".to_owned(),
            uuid: Some("GPU-01234567-89ab-cdef-0123-456789abcdef".to_owned()),
            device_used: Some(12 << 30),
            device_total: Some(80 << 30),
            allocated: Some(90 << 20),
            reserved: Some(256 << 20),
            peak: Some(180 << 20),
            ..common
        };
    }
    let notes = [
        ("device_used", "no GPU: this rank computes on the CPU"),
        ("allocated", "the CPU allocator keeps no statistics"),
    ];
    let notes = notes.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Memory { device: "cpu".to_owned(), notes, ..common }
}

/// The settings of the made-up run.
pub fn settings() -> Settings {
    let config = Some("coca_demo".to_owned());
    Settings { model_config: config, learning_rate: 1e-3, max_steps: Some(4000), ..Settings::default() }
}

/// The workbench on the made-up run, at work.
pub fn model() -> Model {
    let mut model = Model::new("/nowhere/runs".into(), Theme::plain(true), BEGAN + 1010.0);
    start(&mut model, Some(run_dir("demo-1")));
    let generation = model.generation;
    let mut news = |news| drop(update(&mut model, Msg::Watch { generation, news }));
    news(News::Config(Ok(Box::new(settings()))));
    news(News::Events { events: events(1000), read: 10, total: 10 });
    news(News::Status(Status::Alive(State::Running)));
    let lines = (0..30).map(|i| format!("step {i}: \x07ready")).collect();
    news(News::Log { source: "supervisor.log".to_owned(), lines, anew: false });
    news(News::Log {
        source: "rank-0.log".to_owned(),
        lines: vec!["Gloo connected".to_owned()],
        anew: false,
    });
    let generation = model.generation;
    update(&mut model, Msg::Runs { generation, runs: runs() });
    model
}

/// Rows of the runs list.
pub fn runs() -> Vec<RunSummary> {
    let row = |name: &str, status, step, loss, age| RunSummary {
        step,
        total: Some(4000),
        loss,
        model: Some("coca_demo".to_owned()),
        last_time: Some(BEGAN + 1010.0 - age),
        ..RunSummary::new(run_dir(name), status)
    };
    vec![
        row("broken", Status::Crashed, 77, Some(f64::NAN), 90.0),
        row("demo-1", Status::Alive(State::Running), 1000, Some(1.264), 1.0),
        row("first-try", Status::Ended(Outcome::Completed), 4000, Some(0.731), 7200.0),
    ]
}

/// Presses a key; what is to be done then.
pub fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// Does something with the mouse.
pub fn mouse(model: &mut Model, kind: MouseEventKind, column: u16, row: u16) -> Vec<Command> {
    update(model, Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

/// The newest message.
pub fn last_note(model: &Model) -> &str {
    model.notes.all.last().map_or("", |n| &n.text)
}

/// Presses a key.
pub fn press(model: &mut Model, code: KeyCode) {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

/// Presses the keys of these characters.
pub fn type_text(model: &mut Model, text: &str) {
    text.chars().for_each(|c| press(model, KeyCode::Char(c)));
}

/// The screen as text, after the frame that tells the model where things lie.
pub fn screen(model: &mut Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    for _ in 0..2 {
        let mut regions = None;
        terminal.draw(|frame| regions = Some(view(model, frame))).unwrap();
        model.regions = regions.unwrap();
    }
    terminal.backend().to_string()
}

/// The workbench with `first-try` laid over `demo-1`.
pub fn two_runs() -> Model {
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
