//! The caption tab: its screens, and what models say folded in.

use super::fixture::{model, press, screen, type_text};
use crate::tui::captions::{Choice, Entry, Folder, Shown};
use crate::tui::message::{Command, Msg};
use crate::tui::model::{Model, Page};
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use run::serve::{LOADING, Reply, Request, Written};
use std::path::{Path, PathBuf};

fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn folder() -> Folder {
    let entry = |(name, folder): (&str, bool)| Entry { name: name.to_owned(), folder };
    let all = [
        ("more", true),
        (".hidden.png", false),
        ("a\x1b[2J.png", false),
        ("cat.jpg", false),
        ("dog.jpg", false),
    ];
    Folder {
        path: "/nowhere/pictures".into(),
        entries: all.map(entry).into(),
        select: Some("cat.jpg".into()),
    }
}

/// The tab on a made-up folder, a picture chosen.
fn tab() -> Model {
    let mut m = model();
    let commands = key(&mut m, KeyCode::Char('4'));
    assert!(matches!(commands[..], [Command::Browse { generation: 1, .. }]), "{commands:?}");
    update(&mut m, Msg::Folder { generation: 1, folder: Ok(folder()) });
    m
}

fn say(m: &mut Model, slot: usize, id: u64, reply: Reply) {
    let generation = m.captions.slots[slot].as_ref().unwrap().generation;
    update(m, Msg::Engine { slot, generation, id, reply });
}

fn loaded() -> Reply {
    Reply::Loaded {
        model: "m".into(),
        weights: "w".into(),
        parameters: 1_234_567,
        device: "cpu, 2 threads".into(),
        seconds: 0.42,
        resident: 300 << 20,
    }
}

fn written(text: &str, score: f64) -> Written {
    Written { text: text.to_owned(), ids: vec![1, 2], score: Some(score) }
}

/// The number under which a model was asked last, and for what.
fn asked(commands: &[Command], slot: usize) -> (u64, Vec<PathBuf>) {
    let find = |c: &Command| match c {
        Command::AskModel { slot: s, id, request: Request::Caption { images, .. } } if *s == slot => {
            Some((*id, images.clone()))
        }
        _ => None,
    };
    commands.iter().find_map(find).unwrap()
}

#[test]
fn the_run_that_is_watched_captions_and_tokens_stream() {
    let mut m = tab();
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[0], Command::LoadModel { slot: 0, settings, .. } if settings.model.as_deref() == Some("/nowhere/runs/demo-1"))
    );
    let (id, images) = asked(&commands, 0);
    let cat = Path::new("/nowhere/pictures/cat.jpg");
    assert_eq!(images, [cat]);
    say(&mut m, 0, LOADING, loaded());
    say(&mut m, 0, id, Reply::Token { index: 0, caption: 0, text: "a c".into() });
    assert!(screen(&mut m, 80, 24).contains("a c▏"));
    let captions = vec![written("a cat\x1b[31m", -0.2), written("one cat", -0.9)];
    say(&mut m, 0, id, Reply::Caption { index: 0, captions, seconds: 0.05 });
    say(&mut m, 0, id, Reply::Done { seconds: 0.05 });
    assert!(m.captions.slots[0].as_ref().unwrap().asked.is_empty());
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("caption_{width}x{height}"), screen(&mut m, width, height));
    }
    assert_eq!(key(&mut m, KeyCode::Char('y'))[0], Command::Copy("a cat\u{fffd}[31m".into()));
    let keep = key(&mut m, KeyCode::Char('s'));
    assert!(matches!(&keep[..], [Command::Keep { file: None, captions }] if captions[0].1.len() == 2));
}

#[test]
fn a_folder_is_captioned_compared_and_cancelled() {
    let mut m = tab();
    key(&mut m, KeyCode::Char('v'));
    let choice = Choice {
        label: "demo-1  step 500".into(),
        model: "/nowhere/runs/demo-1/checkpoints/step-500".into(),
    };
    update(&mut m, Msg::Models(vec![choice]));
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("caption_models_{width}x{height}"), screen(&mut m, width, height));
    }
    type_text(&mut m, "500");
    press(&mut m, KeyCode::Enter);
    let commands = key(&mut m, KeyCode::Char('a'));
    let ((first, images), (second, _)) = (asked(&commands, 0), asked(&commands, 1));
    assert_eq!(images.len(), 3, "folders and hidden names are left out");
    say(&mut m, 0, first, Reply::Unreadable { index: 0, why: "not a picture".into() });
    say(&mut m, 0, first, Reply::Caption { index: 1, captions: vec![written("a cat", -0.1)], seconds: 0.1 });
    say(&mut m, 1, second, Reply::Token { index: 1, caption: 0, text: "a".into() });
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("caption_compare_{width}x{height}"), screen(&mut m, width, height));
    }
    let cancels = key(&mut m, KeyCode::Char('x'));
    let of = |id| {
        cancels
            .iter()
            .any(|c| matches!(c, Command::AskModel { request: Request::Cancel { id: i }, .. } if *i == id))
    };
    assert!(of(first) && of(second), "{cancels:?}");
    say(&mut m, 0, first, Reply::Cancelled);
    let shown = &m.captions.slots[0].as_ref().unwrap().shown;
    assert!(matches!(&shown[Path::new("/nowhere/pictures/cat.jpg")], Shown::Done(..)), "what is done stays");
    assert!(!shown.contains_key(Path::new("/nowhere/pictures/dog.jpg")), "nothing is wrong with it");
    assert!(screen(&mut m, 160, 48).contains("cancelled; 2 of 3 are done"));
}

#[test]
fn stale_folders_and_dead_engines() {
    let mut m = tab();
    update(&mut m, Msg::Folder { generation: 0, folder: Err("gone".into()) });
    assert!(m.captions.problem.is_none() && m.captions.picture().is_some());
    // A pasted path is gone to.
    let commands = update(&mut m, Msg::Paste("'/nowhere/a b.png'\n".into()));
    let browsed = |commands: &[Command]| match &commands[0] {
        Command::Browse { path, .. } => path.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(browsed(&commands), Path::new("/nowhere/a b.png"));
    for (pasted, path) in [
        ("file:///nowhere/a%20%C3%BC%.png", "/nowhere/a ü%.png"),
        ("file://localhost/x", "/x"),
        ("/nowhere/100%20.png", "/nowhere/100%20.png"),
    ] {
        assert_eq!(browsed(&update(&mut m, Msg::Paste(pasted.into()))), Path::new(path));
    }
    key(&mut m, KeyCode::Enter);
    say(&mut m, 0, LOADING, Reply::Failed { kind: "killed".into(), message: "the engine was killed".into() });
    assert!(screen(&mut m, 80, 24).contains("the engine was killed"));
    assert_eq!(m.page, Page::Caption);
    // Enter says why nothing happens.
    let commands = key(&mut m, KeyCode::Enter);
    assert!(!commands.iter().any(|c| matches!(c, Command::AskModel { .. })), "{commands:?}");
    assert!(screen(&mut m, 80, 24).contains("m chooses another"));
    // Answers of an engine that was replaced are dropped.
    update(&mut m, Msg::Engine { slot: 0, generation: 0, id: LOADING, reply: loaded() });
    assert!(screen(&mut m, 80, 24).contains("the engine was killed"));
}

#[test]
fn what_was_asked_for_before_there_was_a_model_is_captioned_by_the_one_that_is_chosen() {
    let mut m = tab();
    m.watched = None;
    assert!(key(&mut m, KeyCode::Enter).iter().any(|c| matches!(c, Command::ListModels { .. })));
    type_text(&mut m, "some.pt");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[0], Command::LoadModel { slot: 0, settings, .. } if settings.model.as_deref() == Some("some.pt"))
    );
    assert_eq!(asked(&commands, 0).1, [Path::new("/nowhere/pictures/cat.jpg")]);
    // A model that is only chosen captions nothing.
    key(&mut m, KeyCode::Char('m'));
    type_text(&mut m, "other.pt");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(!commands.iter().any(|c| matches!(c, Command::AskModel { .. })), "{commands:?}");
}

#[test]
fn the_form_says_what_is_wrong() {
    let mut m = tab();
    type_text(&mut m, "e");
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("caption_decoding_{width}x{height}"), screen(&mut m, width, height));
    }
    press(&mut m, KeyCode::Down);
    type_text(&mut m, "0");
    press(&mut m, KeyCode::Enter);
    assert!(screen(&mut m, 80, 24).contains("✕ captions = 10"), "it stays open");
    press(&mut m, KeyCode::Backspace);
    press(&mut m, KeyCode::Enter);
    assert!(m.popups.is_empty() && m.captions.decoding.is_some());
}
