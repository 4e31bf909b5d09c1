//! The Evaluate tab: its screens, and what the disk and the model say folded in.

use super::fixture::{BEGAN, model, press, screen, type_text};
use crate::evaluations::check::Check;
use crate::evaluations::opened::{Captioned, Class, Image, Opened, Pair, Text, Wrong};
use crate::evaluations::progress::Progress;
use crate::evaluations::queue::{Entry, Item, Phase, State};
use crate::evaluations::results::Outcome;
use crate::tui::evaluate::{Effect, News, Part, Popup as Own, SLOT, Stand};
use crate::tui::message::{Command, Msg};
use crate::tui::model::{Model, Page};
use crate::tui::popup::Popup;
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::serve::{LOADING, Reply, Request, Tuned};
use run::settings::EvaluationSettings;
use std::collections::BTreeMap;

fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn news(model: &mut Model, news: News) -> Vec<Command> {
    update(model, Msg::Evaluate(news))
}

fn kept(name: &str, model: &mut Model) {
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("evaluate_{name}_{width}x{height}"), screen(model, width, height));
    }
}

fn entry(id: u64, phase: Phase, model: &str) -> Entry {
    let model = Some(model.to_owned());
    let settings = EvaluationSettings { model, data: Some("/d/imagenet/val".into()), ..Default::default() };
    let item = Item { id, asked: BEGAN, from: "/".into(), settings };
    let state = State { phase, since: BEGAN + 1000.0, attempts: 1, ..State::default() };
    Entry { item, state, progress: None, cancelling: false }
}

fn outcome(model: &str, data: &str, top1: f64, t: f64) -> Outcome {
    let figures = [("top1", top1), ("top5", top1 + 0.2), ("n", 1000.0)];
    Outcome {
        folder: format!("/nowhere/evaluations/{model}").into(),
        task: "zero-shot".into(),
        model: model.into(),
        data: data.into(),
        how: String::new(),
        figures: figures.map(|(k, v)| (k.to_owned(), v)).into(),
        t,
    }
}

fn seen() -> News {
    let mut running = entry(2, Phase::Running, "runs/demo-1/checkpoints/step-1000");
    running.progress = Some(Progress {
        what: "pictures".into(),
        done: 12_000,
        total: 50_000,
        rate: 61.5,
        left: Some(618.0),
        folder: None,
    });
    let mut failed = entry(1, Phase::Failed, "w\x1b[31m.pt");
    failed.state.message = Some("a weights file alone does not tell the model's shape".into());
    let outcomes = vec![
        outcome("runs/demo-1/checkpoints/step-1000", "/d/drawn/zero_shot", 0.632, BEGAN + 900.0),
        outcome("runs/demo-1/checkpoints/step-500", "/d/drawn/zero_shot", 0.301, BEGAN + 700.0),
        outcome("runs/demo-1/checkpoints/step-500", "/d/imagenet/val", 0.051, BEGAN + 500.0),
    ];
    News::Seen { entries: vec![failed, running, entry(3, Phase::Waiting, "demo-1")], outcomes }
}

fn tab() -> Model {
    let mut m = model();
    let commands = key(&mut m, KeyCode::Char('5'));
    assert!(matches!(&commands[..], [Command::Evaluate(Effect::Look { .. })]), "{commands:?}");
    news(&mut m, seen());
    m
}

fn opened() -> Opened {
    let class = |name: &str, top1: f64| Class { name: name.into(), n: 50, top1, top5: 0.9 };
    let wrong = |i: u32, class: u32, first: u32| Wrong {
        picture: format!("/d/zero_shot/images/{class}/{i:04}.png").into(),
        class,
        top: vec![(first, 27.5), (class, 26.9), (3, 24.0)],
    };
    Opened {
        outcome: outcome("runs/demo-1/checkpoints/step-1000", "/d/drawn/zero_shot", 0.632, BEGAN),
        classes: vec![
            class("blue star", 0.96),
            class("red ring", 0.12),
            class("green\x07 cross", 0.5),
            class("cyan square", 1.0),
        ],
        pairs: vec![
            Pair { class: "red ring".into(), taken_for: "blue star".into(), n: 31 },
            Pair { class: "green\x07 cross".into(), taken_for: "cyan square".into(), n: 9 },
        ],
        wrong: vec![wrong(4, 1, 0), wrong(7, 1, 0), wrong(1, 2, 3)],
        wrong_count: 3,
        pictures: (0..8u32).map(|i| (format!("/d/{i}.png").into(), i % 4)).collect(),
        templates: vec!["a photo of a {}.".into(), "a drawing of a {}.".into()],
        images: Vec::new(),
        texts: Vec::new(),
        captioned: Vec::new(),
        unreadable: vec![("9.png".into(), "empty".into())],
    }
}

#[test]
fn queue_and_results() {
    let mut m = tab();
    kept("tab", &mut m);
    // The best of the second column first; its cell is opened.
    key(&mut m, KeyCode::Right);
    key(&mut m, KeyCode::Char('s'));
    assert_eq!(m.evaluate.table.rows, ["demo-1-step-1000", "demo-1-step-500"]);
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[..], [Command::Evaluate(Effect::Open { folder })] if folder.ends_with("step-1000")),
        "{commands:?}"
    );
    // The queue: what is over is taken off, what is not is cancelled; what ends is told.
    key(&mut m, KeyCode::Tab);
    let first = key(&mut m, KeyCode::Char('x'));
    assert!(matches!(&first[..], [Command::Evaluate(Effect::Remove { id: 1, .. })]), "{first:?}");
    key(&mut m, KeyCode::Down);
    let second = key(&mut m, KeyCode::Char('x'));
    assert!(matches!(&second[..], [Command::Evaluate(Effect::Cancel { id: 2, .. })]), "{second:?}");
    let News::Seen { mut entries, outcomes } = seen() else { unreachable!() };
    entries[1].state.phase = Phase::Done;
    entries[1].state.folder = Some("/nowhere/evaluations/x".into());
    news(&mut m, News::Seen { entries, outcomes });
    assert!(screen(&mut m, 80, 24).contains("item 2: there is a result"));
    let open = key(&mut m, KeyCode::Enter);
    assert!(matches!(&open[..], [Command::Evaluate(Effect::Open { .. })]), "{open:?}");
    let log = key(&mut m, KeyCode::Char('o'));
    assert!(matches!(&log[..], [Command::Evaluate(Effect::Log { id: 2, .. })]), "{log:?}");
    news(&mut m, News::Log { id: 2, lines: vec!["top-1\x1b[2J 63.2 %".into()] });
    kept("log", &mut m);
}

#[test]
fn without_anything_it_says_what_to_do() {
    let mut m = model();
    key(&mut m, KeyCode::Char('5'));
    news(&mut m, News::Seen { entries: vec![], outcomes: vec![] });
    kept("empty", &mut m);
    key(&mut m, KeyCode::Enter);
    key(&mut m, KeyCode::Char('e'));
    assert!(screen(&mut m, 80, 24).contains("there are no results yet"));
}

/// The number and the settings of the newest look at a form.
fn looked(commands: &[Command]) -> (u64, EvaluationSettings) {
    let find = |c: &Command| match c {
        Command::Evaluate(Effect::Check { generation, settings, .. }) => {
            Some((*generation, settings.clone()))
        }
        _ => None,
    };
    commands.iter().find_map(find).unwrap()
}

#[test]
fn a_form_starts_only_what_is_right() {
    let mut m = tab();
    let commands = key(&mut m, KeyCode::Char('n'));
    let (first, settings) = looked(&commands);
    assert_eq!(settings.model.as_deref(), Some("/nowhere/runs/demo-1"), "the run that is watched");
    // Old sight does not count.
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Down);
    let (second, settings) = looked(&key(&mut m, KeyCode::Char('x')));
    assert_eq!(settings.data.as_deref(), Some("x"));
    let problems = BTreeMap::from([("data", "x/images: no such folder".to_owned())]);
    news(&mut m, News::Checked { generation: first, check: Check::default() });
    assert!(screen(&mut m, 80, 24).contains("looking at what it names"));
    // Enter before the look is over waits for it; what is wrong is not started.
    assert!(key(&mut m, KeyCode::Enter).is_empty());
    let facts = BTreeMap::from([("model", "demo-1-step-1000 · 0.4 million parameters".to_owned())]);
    let warning =
        Some("memory will not do: 79.5 GiB of 80.0 GiB are in use on cuda:0 (run demo-1)".to_owned());
    let check = Check { problems, facts, warning };
    assert!(news(&mut m, News::Checked { generation: second, check }).is_empty());
    kept("form", &mut m);
    assert!(key(&mut m, KeyCode::Enter).is_empty() && !m.popups.is_empty());

    let (third, _) = looked(&key(&mut m, KeyCode::Backspace));
    press(&mut m, KeyCode::Up);
    press(&mut m, KeyCode::Up);
    press(&mut m, KeyCode::Up);
    let (fourth, settings) = looked(&key(&mut m, KeyCode::Right));
    assert!(fourth > third && settings.task == "retrieval" && settings.data.is_none());
    assert!(!screen(&mut m, 80, 24).contains("templates"), "retrieval has none");
    // A checkpoint from the list.
    update(&mut m, Msg::Key(KeyEvent::new(KeyCode::Char('o'), KeyModifiers::CONTROL)));
    let choice =
        crate::tui::captions::Choice { label: "b  step 7".into(), model: "/r/b/checkpoints/step-7".into() };
    update(&mut m, Msg::Models(vec![choice]));
    let (fifth, settings) = looked(&key(&mut m, KeyCode::Enter));
    assert_eq!(settings.model.as_deref(), Some("/r/b/checkpoints/step-7"));
    assert!(key(&mut m, KeyCode::Enter).is_empty());
    let commands = news(&mut m, News::Checked { generation: fifth, check: Check::default() });
    assert!(
        matches!(&commands[..], [Command::Evaluate(Effect::Add { settings: s, .. })] if *s == settings),
        "{commands:?}"
    );
    assert!(m.popups.is_empty() && m.page == Page::Evaluate);
}

#[test]
fn a_result_is_looked_at_and_its_prompts_are_edited() {
    let mut m = tab();
    news(&mut m, News::Opened(Ok(Box::new(opened()))));
    kept("result", &mut m);
    assert_eq!(m.evaluate.view.as_ref().unwrap().class(), Some(1), "the worst class first");
    key(&mut m, KeyCode::Right);
    assert_eq!(m.evaluate.view.as_ref().unwrap().wrong().unwrap().class, 1);
    key(&mut m, KeyCode::Right);
    key(&mut m, KeyCode::Down);
    screen(&mut m, 80, 24);
    let commands = key(&mut m, KeyCode::Down);
    let wanted =
        commands.iter().any(|c| matches!(c, Command::LoadPicture(w) if w.image().ends_with("2/0001.png")));
    assert!(wanted, "{commands:?}");
    assert_eq!(m.evaluate.view.as_ref().unwrap().part, Part::Wrong);
    kept("wrong", &mut m);

    // What could not be read is listed behind the others.
    key(&mut m, KeyCode::Right);
    assert_eq!(m.evaluate.view.as_ref().unwrap().part, Part::Unreadable);
    assert!(screen(&mut m, 160, 48).contains("9.png"));
    key(&mut m, KeyCode::Right);
    let commands = key(&mut m, KeyCode::Char('t'));
    let [Command::LoadModel { slot: SLOT, generation, .. }, Command::AskModel { id, request, .. }] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    let (generation, id) = (*generation, *id);
    let Request::Tune { images, class: 1, prompts, .. } = request else { panic!("{request:?}") };
    assert_eq!((images.len(), &prompts[1][0]), (8, &"a photo of a red ring.".to_owned()));
    let tuned = |first, probability| Tuned {
        n: 2,
        first,
        among_five: 2,
        probability,
        others: 6,
        claimed: 1,
        all_first: 4 + first,
    };
    let say = |m: &mut Model, id, reply| update(m, Msg::Engine { slot: SLOT, generation, id, reply });
    say(
        &mut m,
        LOADING,
        Reply::Loaded {
            model: "m".into(),
            weights: "w".into(),
            parameters: 1,
            device: "cpu".into(),
            seconds: 0.1,
            resident: 0,
        },
    );
    // What is typed meanwhile is asked when the first answer is there.
    key(&mut m, KeyCode::Enter);
    for c in " {}!".chars() {
        assert!(key(&mut m, KeyCode::Char(c)).is_empty());
    }
    say(&mut m, id, Reply::Tuned(tuned(0, 0.31)));
    let next = say(&mut m, id, Reply::Done { seconds: 0.1 });
    let [Command::AskModel { id: second, request: Request::Tune { prompts, .. }, .. }] = &next[..] else {
        panic!("{next:?}")
    };
    assert_eq!(prompts[1][0], "a photo of a red ring. red ring!");
    assert_eq!(prompts[0][0], "a photo of a blue star.", "the others keep theirs");
    let second = *second;
    say(&mut m, second, Reply::Tuned(tuned(1, 0.523)));
    assert!(say(&mut m, second, Reply::Done { seconds: 0.1 }).is_empty(), "nothing has changed");
    kept("prompts", &mut m);
    assert_eq!(m.evaluate.prompts.as_ref().unwrap().stand, Stand::Ready);
    // A line without a place for the name is told, and not kept.
    for _ in 0..20 {
        key(&mut m, KeyCode::Backspace);
    }
    type_text(&mut m, "q");
    key(&mut m, KeyCode::Enter);
    assert!(screen(&mut m, 80, 24).contains("has no {}") && m.evaluate.is_typing());
    key(&mut m, KeyCode::Esc);
    // Esc goes up a level at a time, and the model's memory is given back.
    let commands = key(&mut m, KeyCode::Esc);
    assert!(commands.contains(&Command::Unload { slot: SLOT }), "{commands:?}");
    assert!(m.evaluate.view.is_some());
    key(&mut m, KeyCode::Esc);
    assert!(m.evaluate.view.is_none() && m.page == Page::Evaluate);
    key(&mut m, KeyCode::Esc);
    assert_eq!(m.page, Page::Run);
}

fn of_task(task: &str, figures: &[(&str, f64)]) -> Opened {
    let mut opened = Opened {
        classes: vec![],
        pairs: vec![],
        wrong: vec![],
        wrong_count: 0,
        pictures: vec![],
        templates: vec![],
        unreadable: vec![],
        ..opened()
    };
    opened.outcome.task = task.into();
    opened.outcome.figures = figures.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
    opened
}

#[test]
fn retrieval_is_looked_at_by_picture_and_by_text() {
    let mut m = tab();
    let figures = [
        ("image_to_text_R@1", 0.5),
        ("image_to_text_R@5", 0.75),
        ("image_to_text_R@10", 1.0),
        ("image_to_text_mean_rank", 2.3),
        ("image_to_text_median_rank", 2.0),
        ("text_to_image_R@1", 0.25),
        ("text_to_image_R@5", 0.75),
        ("text_to_image_R@10", 1.0),
        ("text_to_image_mean_rank", 3.1),
        ("text_to_image_median_rank", 3.0),
        ("images", 3.0),
        ("texts", 4.0),
    ];
    let image = |n: usize, rank, texts: Vec<usize>, top: Vec<(usize, f32)>| Image {
        path: format!("/d/{n:04}.jpg").into(),
        rank,
        texts,
        top,
    };
    let text = |text: &str, image, rank, top: Vec<(usize, f32)>| Text { text: text.into(), image, rank, top };
    let mut opened = of_task("retrieval", &figures);
    opened.images = vec![
        image(0, Some(1), vec![0, 1], vec![(0, 0.31), (2, 0.3)]),
        image(1, Some(4), vec![2], vec![(0, 0.29), (1, 0.28), (3, 0.27), (2, 0.26)]),
        image(2, None, vec![3], vec![]),
    ];
    opened.texts = vec![
        text("a blue star", 0, Some(1), vec![(0, 0.31), (1, 0.29)]),
        text("a star that is blue\x1b[2J", 0, Some(2), vec![(1, 0.28), (0, 0.2)]),
        text("a red ring", 1, Some(12), vec![(0, 0.3), (1, 0.26)]),
        text("nothing", 2, None, vec![]),
    ];
    opened.unreadable = vec![("/d/0002.jpg".into(), "it is no picture".into())];
    news(&mut m, News::Opened(Ok(Box::new(opened))));
    kept("retrieval", &mut m);
    let chosen = |m: &Model| {
        let view = m.evaluate.view.as_ref().unwrap();
        (view.part, view.chosen_at(view.part).unwrap())
    };
    assert_eq!(chosen(&m), (Part::Images, 1), "the worst first");
    // To the text that stands first in its place, and on to the picture that this one finds.
    key(&mut m, KeyCode::Enter);
    assert_eq!(chosen(&m), (Part::Texts, 0));
    key(&mut m, KeyCode::Enter);
    assert_eq!(chosen(&m), (Part::Images, 0));
    key(&mut m, KeyCode::Char('s'));
    assert_eq!(chosen(&m), (Part::Images, 0), "the best first");
    // Words of the captions find the picture.
    key(&mut m, KeyCode::Char('/'));
    type_text(&mut m, "red");
    assert_eq!(chosen(&m), (Part::Images, 1));
    kept("retrieval_filter", &mut m);
    key(&mut m, KeyCode::Enter);
    key(&mut m, KeyCode::Enter);
    assert_eq!(chosen(&m), (Part::Texts, 0), "what the filter hides is gone to all the same");
    assert!(m.evaluate.view.as_ref().unwrap().filter.value().is_empty());
    key(&mut m, KeyCode::Right);
    assert_eq!(chosen(&m), (Part::Unreadable, 0));
    assert!(screen(&mut m, 80, 24).contains("it is no picture"));
    key(&mut m, KeyCode::Char('t'));
    assert!(screen(&mut m, 80, 24).contains("prompts are of zero-shot"));
}

#[test]
fn captions_are_looked_at_with_their_references() {
    let mut m = tab();
    let figures = [
        ("bleu1", 0.71),
        ("bleu2", 0.53),
        ("bleu3", 0.39),
        ("bleu4", 0.28),
        ("rouge_l", 0.51),
        ("cider", 0.93),
        ("n", 2.0),
    ];
    let mut opened = of_task("caption", &figures);
    let captioned = |n: usize, caption: &str, cider| Captioned {
        path: format!("/d/{n:04}.jpg").into(),
        caption: caption.into(),
        references: vec!["a red ring left of a star".into(), "a ring and\x07 a star".into()],
        cider,
        bleu4: 0.1,
        rouge_l: 0.4,
    };
    opened.captioned = vec![captioned(1, "a red ring", 1.7), captioned(2, "a blue square", 0.02)];
    news(&mut m, News::Opened(Ok(Box::new(opened))));
    kept("captions", &mut m);
    let view = m.evaluate.view.as_ref().unwrap();
    assert_eq!((view.part, view.chosen_at(Part::Captions)), (Part::Captions, Some(1)), "the worst first");
    key(&mut m, KeyCode::Enter);
    assert!(m.evaluate.view.as_ref().unwrap().large);
    kept("captions_large", &mut m);
    key(&mut m, KeyCode::Esc);
    key(&mut m, KeyCode::Esc);
    assert!(m.evaluate.view.is_none());
    // A result of an older version says why there is nothing to see.
    news(&mut m, News::Opened(Ok(Box::new(of_task("caption", &figures)))));
    assert!(screen(&mut m, 160, 48).contains("evaluate anew"));
}

#[test]
fn results_are_exported() {
    let mut m = tab();
    key(&mut m, KeyCode::Char('e'));
    for _ in 0..2 {
        key(&mut m, KeyCode::Backspace);
    }
    type_text(&mut m, "svg");
    kept("export", &mut m);
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[..], [Command::Evaluate(Effect::Export { outcomes, file })]
            if outcomes.len() == 3 && file.ends_with("results.svg")),
        "{commands:?}"
    );
    assert!(!m.popups.iter().any(|p| matches!(p, Popup::Evaluate(Own::Export { .. }))));
    news(&mut m, News::Done(Err("results.svg: no space".into())));
    assert!(screen(&mut m, 80, 24).contains("no space"));
}
