//! The data tab: its screens, and what its work says folded in.

use super::fixture::{model, press, screen, type_text};
use crate::datasets::entry::{Caption, Facts};
use crate::tui::datasets::{
    CheckNews, Detail, Findings, Found, News, Opened, Places, Shared, Side, Unread, Watched,
};
use crate::tui::message::{Command, Msg, News as RunNews};
use crate::tui::model::{Model, Page};
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use data::check::{Finding, Kind, Severity, Stage};
use data::reader::{Entry, Format, ReadError, Reader, Sink};
use data::sample::Origin;
use data::{Dataset, ReadOptions, Tokenizer};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "/nowhere/pictures/annotations/coco_karpathy_train.json";

/// A made-up annotation file.
struct Made {
    entries: Vec<(String, Vec<String>)>,
    path: PathBuf,
}

impl Reader for Made {
    fn format(&self) -> Format {
        Format::Karpathy
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        Arc::new([PathBuf::from("/nowhere/pictures/images")])
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        for (at, (image, captions)) in self.entries.iter().enumerate() {
            let captions: Vec<Cow<'_, str>> = captions.iter().map(|c| Cow::Borrowed(c.as_str())).collect();
            let entry = u32::try_from(at).unwrap();
            let origin = Origin { file, line: entry + 2, entry, offset: 40 * at as u64 };
            sink.entry(Entry { image, range: None, captions: &captions, id: Some("coco_1"), origin })?;
        }
        Ok(())
    }
}

fn made(entries: Vec<(String, Vec<String>)>) -> Shared {
    let dataset = Dataset::read(&Made { entries, path: FILE.into() }, &ReadOptions::default()).unwrap();
    let source = crate::tui::update::datasets::source(PathBuf::from(FILE));
    let view = source.view;
    let tokenizer = Tokenizer::clip().unwrap();
    let opened = Opened {
        source,
        dataset,
        tokenizer,
        tokenizer_name: "CLIP".to_owned(),
        view,
        seconds: 0.1,
        watched: Watched { files: vec![FILE.into()], stamps: vec![None] },
    };
    Shared(Arc::new(opened))
}

fn entries() -> Vec<(String, Vec<String>)> {
    let words = ["red", "green", "blue", "small", "large"];
    let plain = (0..2000).map(|n| {
        let caption = format!("a {} circle beside a {} square", words[n % 5], words[n / 5 % 5]);
        (format!("train2014/COCO_train2014_{n:012}.jpg"), vec![caption])
    });
    let mut all: Vec<_> = plain.collect();
    all[1].1 = vec!["\u{1b}[2Ja hostile caption".to_owned(), "and a second one".to_owned()];
    all[2].1 = vec!["many words ".repeat(50)];
    all
}

fn key(model: &mut Model, code: KeyCode) -> Vec<Command> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn number(commands: &[Command]) -> u64 {
    let of = |c: &Command| match c {
        Command::SearchData { number, .. } | Command::CheckData { number, .. } => Some(*number),
        _ => None,
    };
    commands.iter().find_map(of).unwrap_or_else(|| panic!("{commands:?}"))
}

fn opened(model: &mut Model, data: Shared) -> Vec<Command> {
    let generation = model.datasets.generation;
    let news = News { data, selected: None, marks: [].into(), found: None, changed: None };
    update(model, Msg::DataOpened { generation, result: Ok(Box::new(news)) })
}

/// Answers the questions for the selected entry.
fn look(model: &mut Model) {
    let data = model.datasets.open.clone().unwrap();
    let sample = model.datasets.sample().unwrap();
    let captions = data.dataset.captions(sample as usize);
    let captions = captions.map(|text| Caption::new(text, &data.tokenizer, 76)).collect();
    let header = Ok(("jpg".to_owned(), 640, 480, 123_456));
    let facts = Some(Facts { path: "/nowhere/pictures/images/a.jpg".into(), offset: None, header });
    update(model, Msg::DataEntry(Box::new(Detail { data, sample, captions, facts })));
}

/// The tab on a made-up dataset.
fn tab() -> Model {
    let mut m = model();
    let commands = key(&mut m, KeyCode::Char('6'));
    assert!(matches!(&commands[..], [Command::OpenData { generation: 1, .. }]), "{commands:?}");
    assert_eq!(m.page, Page::Data);
    let commands = opened(&mut m, made(entries()));
    assert!(commands.iter().any(|c| matches!(c, Command::WatchData { .. })), "{commands:?}");
    assert!(commands.iter().any(|c| matches!(c, Command::LookAtEntry { sample: 0, .. })), "{commands:?}");
    look(&mut m);
    m
}

fn found(kind: Kind, entry: usize, message: &str) -> Found {
    let finding = Finding {
        kind,
        file: Path::new(FILE).into(),
        line: entry + 2,
        column: 14,
        offset: 40 * entry,
        entry: Some(entry),
        related: None,
        message: message.to_owned().into(),
    };
    Found { finding, sample: u32::try_from(entry).ok() }
}

fn findings() -> Vec<Found> {
    vec![
        found(Kind::TerminalEscape, 1, "control characters (U+001B) in a caption: remove them"),
        found(
            Kind::LongCaption,
            2,
            "102 tokens, and the model reads 76: 'many words' is cut off; shorten it",
        ),
        found(Kind::MissingFile, 5, "no picture 'train2014/COCO_train2014_000000000005.jpg'"),
        found(Kind::MissingFile, 900, "no picture \u{1b}[31m'train2014/COCO_train2014_000000000900.jpg'"),
    ]
}

fn all(found: Vec<Found>) -> Arc<Findings> {
    Arc::new(found.into())
}

fn listed(number: u64, rows: &[u32]) -> Msg {
    Msg::DataListed { number, whole: true, result: Ok(Arc::new(rows.to_vec())) }
}

fn unread(problem: &str, path: &str) -> Unread {
    let watched = Watched { files: vec![path.into()], stamps: vec![None] };
    Unread { problem: problem.to_owned(), watched }
}

fn kept(name: &str, model: &mut Model) {
    for (width, height) in [(80, 24), (160, 48)] {
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen(model, width, height));
    }
}

#[test]
fn entries_are_listed_and_looked_at() {
    let mut m = tab();
    kept("data", &mut m);
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Down);
    look(&mut m);
    let text = screen(&mut m, 160, 48);
    assert!(text.contains("26 are cut off") && text.contains("102 tokens of 76"), "{text}");
    press(&mut m, KeyCode::Enter);
    kept("data_wide", &mut m);
    press(&mut m, KeyCode::Esc);
    assert!(!m.datasets.wide && m.page == Page::Data);
    press(&mut m, KeyCode::End);
    assert_eq!(m.datasets.sample(), Some(1999));
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("1,999") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn words_narrow_the_list_and_stale_answers_are_dropped() {
    let mut m = tab();
    type_text(&mut m, "/re");
    let commands = key(&mut m, KeyCode::Char('d'));
    let newest = number(&commands);
    update(&mut m, listed(newest - 1, &[1]));
    assert!(m.datasets.searching && m.datasets.rows.is_none());
    update(&mut m, listed(newest, &[7, 3, 900]));
    press(&mut m, KeyCode::Enter);
    assert_eq!((m.datasets.sample(), m.datasets.count()), (Some(7), 3));
    look(&mut m);
    kept("data_filter", &mut m);
    // A wrong expression is told, and the list stays.
    let commands = key(&mut m, KeyCode::Char('e'));
    let result = Err("unclosed group".to_owned());
    update(&mut m, Msg::DataListed { number: number(&commands), whole: true, result });
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("✕ unclosed group") && text.contains("3 of 2,000"), "{text}");
    // One level up: all entries, the selected one stays.
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Esc);
    assert_eq!((m.datasets.count(), m.datasets.sample()), (2000, Some(3)));
    press(&mut m, KeyCode::Esc);
    assert_eq!(m.page, Page::Run);
}

/// A search that takes long is shown as it goes: no letter waits for it, and none is lost on it.
#[test]
fn what_was_found_so_far_is_listed_until_the_rest_has_come() {
    let mut m = tab();
    type_text(&mut m, "/");
    let so_far =
        |number, rows: &[u32]| Msg::DataListed { number, whole: false, result: Ok(Arc::new(rows.to_vec())) };
    let among = |commands: &[Command]| match commands {
        [Command::SearchData { query, .. }, ..] => query.among.as_ref().map(|rows| rows.to_vec()),
        other => panic!("{other:?}"),
    };
    let commands = key(&mut m, KeyCode::Char('r'));
    update(&mut m, so_far(number(&commands), &[7, 3]));
    assert!(m.datasets.searching && m.datasets.count() == 2);
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("/r▏ …") && text.contains("2 of 2,000"), "{text}");
    // Not all was found: the next letter looks at all entries.
    let commands = key(&mut m, KeyCode::Char('e'));
    assert_eq!(among(&commands), None);
    update(&mut m, so_far(number(&commands), &[9, 3]));
    update(&mut m, listed(number(&commands), &[9, 3, 5]));
    assert!(!m.datasets.searching && m.datasets.sample() == Some(9));
    // Behind a whole answer the next letter looks at that, however far the search in between came.
    let commands = key(&mut m, KeyCode::Char('d'));
    assert_eq!(among(&commands), Some(vec![9, 3, 5]));
    update(&mut m, so_far(number(&commands), &[3]));
    let commands = key(&mut m, KeyCode::Char(' '));
    assert_eq!(among(&commands), Some(vec![9, 3, 5]));
    press(&mut m, KeyCode::Enter);
    // Whoever has moved meanwhile stays at that entry.
    update(&mut m, so_far(number(&commands), &[3, 5]));
    press(&mut m, KeyCode::Down);
    update(&mut m, listed(number(&commands), &[9, 3, 5]));
    assert_eq!((m.datasets.sample(), m.datasets.selected), (Some(5), 2));
}

#[test]
fn a_check_streams_and_its_findings_lead_to_entries() {
    let mut m = tab();
    let commands = key(&mut m, KeyCode::Char('c'));
    let number = number(&commands);
    let news = CheckNews::Progress { stage: Stage::Content, done: 500, all: 2000 };
    update(&mut m, Msg::DataCheck { number, news });
    update(
        &mut m,
        Msg::DataCheck { number, news: CheckNews::Found { count: 3, found: findings()[..3].to_vec() } },
    );
    assert_eq!(m.datasets.worst(5), Some(Severity::Error));
    kept("data_checking", &mut m);
    assert!(key(&mut m, KeyCode::Char('x')).contains(&Command::CancelCheck));
    let news = CheckNews::Done { found: all(findings()), cancelled: false, work: "2,000 entries".into() };
    update(&mut m, Msg::DataCheck { number, news });
    // By the list: the next entry with a finding, from there to the finding, and back.
    press(&mut m, KeyCode::Char('n'));
    assert_eq!(m.datasets.sample(), Some(1));
    press(&mut m, KeyCode::Char('F'));
    assert_eq!(m.datasets.side, Side::Findings);
    look(&mut m);
    m.notes.dismiss();
    kept("data_findings", &mut m);
    press(&mut m, KeyCode::Home);
    press(&mut m, KeyCode::Enter);
    press(&mut m, KeyCode::Down);
    press(&mut m, KeyCode::Down);
    assert_eq!(m.datasets.sample(), Some(900), "the entry follows the finding");
    assert!(!screen(&mut m, 160, 48).contains('\u{1b}'));
    press(&mut m, KeyCode::Enter);
    assert_eq!((m.datasets.side, m.datasets.sample()), (Side::Entries, Some(900)));
    // Stale news of a check that was replaced are dropped.
    press(&mut m, KeyCode::Char('c'));
    let news = CheckNews::Done { found: all(Vec::new()), cancelled: false, work: String::new() };
    update(&mut m, Msg::DataCheck { number, news });
    assert!(m.datasets.checking.is_some());
}

#[test]
fn marks_are_listed_and_exported() {
    let mut m = tab();
    type_text(&mut m, " ");
    press(&mut m, KeyCode::Down);
    type_text(&mut m, " ");
    assert_eq!(m.datasets.marks, [0, 2].into());
    let commands = key(&mut m, KeyCode::Char('m'));
    assert!(matches!(&commands[0], Command::SearchData { query, .. } if query.marked == Some([0, 2].into())));
    press(&mut m, KeyCode::Char('w'));
    kept("data_export", &mut m);
    press(&mut m, KeyCode::Backspace);
    type_text(&mut m, "l");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[0], Command::ExportData { samples, out, .. } if *samples == [0, 2] && out.ends_with("marked.jsol")),
        "{commands:?}"
    );
    update(&mut m, Msg::DataExported(Err("/x is there already".into())));
    assert!(screen(&mut m, 80, 24).contains("/x is there already"));
}

#[test]
fn a_change_outside_is_read_and_a_wrong_file_leaves_the_last_good_state() {
    let mut m = tab();
    for _ in 0..7 {
        press(&mut m, KeyCode::Down);
    }
    press(&mut m, KeyCode::Char('c'));
    let work = "3 entries judged, 1 headers read".to_owned();
    let news = CheckNews::Done { found: all(findings()), cancelled: false, work };
    let number = m.datasets.checks;
    update(&mut m, Msg::DataCheck { number, news });
    let generation = m.datasets.watching;
    let commands = update(&mut m, Msg::DataChanged { generation });
    let [Command::OpenData { generation, before: Some(before), .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(before.selected, Some(7));
    assert!(before.found.is_some(), "what was found moves with its entries where the file is read, not here");
    let problem = format!("{FILE}:3:17: expected ',' or '}}', found 'x'");
    let result = Err(unread(&problem, FILE));
    let commands = update(&mut m, Msg::DataOpened { generation: *generation, result });
    assert!(!commands.iter().any(|c| matches!(c, Command::WatchData { .. })), "it is still watched");
    kept("data_wrong", &mut m);
    assert_eq!((m.datasets.count(), m.datasets.sample()), (2000, Some(7)));
    // Mended: it is checked again, the selection stays on its entry.
    let generation = m.datasets.watching;
    update(&mut m, Msg::DataChanged { generation });
    let generation = m.datasets.generation;
    let mut more = entries();
    more.insert(0, ("new.jpg".into(), vec!["new".into()]));
    let places = Places { shift: 1, count: 2000, ..Places::default() };
    let found = Some(Arc::new(m.datasets.findings().moved(&places)));
    let news = News { data: made(more), selected: Some(8), marks: [].into(), found, changed: Some(1) };
    let commands = update(&mut m, Msg::DataOpened { generation, result: Ok(Box::new(news)) });
    assert!(commands.iter().any(|c| matches!(c, Command::CheckData { .. })), "{commands:?}");
    assert!(commands.iter().any(|c| matches!(c, Command::Free(_))), "very many are let go of elsewhere");
    assert_eq!((m.datasets.count(), m.datasets.sample()), (2001, Some(8)));
    assert!(m.datasets.problem.is_none());
    assert_eq!(m.datasets.worst(6), Some(Severity::Error), "findings stay with their entries");
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("1 entry changed"), "{text}");
}

#[test]
fn what_the_model_sees_is_drawn_again_on_demand() {
    let mut m = tab();
    screen(&mut m, 80, 24);
    let commands = key(&mut m, KeyCode::Char('v'));
    // One picture is on its way: the next is asked for when it has come.
    assert!(!commands.iter().any(|c| matches!(c, Command::LoadPicture(_))) || m.datasets.picture_asked);
    assert!(screen(&mut m, 80, 24).contains("as the model sees it: 224x224"));
    press(&mut m, KeyCode::Char('a'));
    assert!(screen(&mut m, 160, 48).contains("epoch 1"));
    press(&mut m, KeyCode::Char('v'));
    assert!(m.datasets.seen.is_none());
}

#[test]
fn settings_that_come_while_data_is_looked_for_open_their_own() {
    let mut m = model();
    key(&mut m, KeyCode::Char('6'));
    let settings = run::settings::Settings { train_data: Some("/drawn".into()), ..Default::default() };
    let news = RunNews::Config(Ok(Box::new(settings)));
    let generation = m.generation;
    let commands = update(&mut m, Msg::Watch { generation, news });
    assert!(
        matches!(&commands[..], [Command::OpenData { source, .. }] if source.path == Path::new("/drawn")),
        "{commands:?}"
    );
    // That nothing was found is the answer to the first question, which nobody asks any more.
    update(&mut m, Msg::DataOpened { generation: 1, result: Err(unread("", "")) });
    assert!(m.popups.is_empty());
}

#[test]
fn without_data_a_path_is_asked_for() {
    let mut m = model();
    key(&mut m, KeyCode::Char('6'));
    let result = Err(unread("", ""));
    update(&mut m, Msg::DataOpened { generation: 1, result });
    kept("data_none", &mut m);
    // The run's settings come later than the key: then its data is opened, unless somebody is typing.
    let settings = run::settings::Settings { train_data: Some("/drawn".into()), ..Default::default() };
    let generation = m.generation;
    let news = || Msg::Watch { generation, news: RunNews::Config(Ok(Box::new(settings.clone()))) };
    type_text(&mut m, "x");
    assert!(!update(&mut m, news()).iter().any(|c| matches!(c, Command::OpenData { .. })));
    press(&mut m, KeyCode::Backspace);
    let commands = update(&mut m, news());
    assert!(
        commands
            .iter()
            .any(|c| matches!(c, Command::OpenData { source, .. } if source.path == Path::new("/drawn")))
    );
    assert!(m.popups.is_empty());
    let generation = m.datasets.generation;
    update(&mut m, Msg::DataOpened { generation, result: Err(unread("", "")) });
    type_text(&mut m, "~/x.json");
    let commands = key(&mut m, KeyCode::Enter);
    assert!(
        matches!(&commands[..], [Command::OpenData { source, .. }] if source.path == Path::new("~/x.json")),
        "{commands:?}"
    );
    let result = Err(unread("/home/x.json: no such file or folder", "/home/x.json"));
    let commands = update(&mut m, Msg::DataOpened { generation: 3, result });
    assert!(
        matches!(&commands[..], [Command::WatchData { generation: 3, watched, awaited: true }] if watched.files == [Path::new("/home/x.json")]),
        "{commands:?}"
    );
    let text = screen(&mut m, 80, 24);
    assert!(text.contains("✕ /home/x.json: no such file") && text.contains("it is watched"), "{text}");
    // When it is there, it is opened.
    let commands = update(&mut m, Msg::DataChanged { generation: 3 });
    assert!(
        matches!(&commands[..], [Command::OpenData { generation: 4, source, before: None }] if source.path == Path::new("~/x.json")),
        "{commands:?}"
    );
    // A pasted path is opened.
    let commands = update(&mut m, Msg::Paste("'/data/a b.csv'\n".into()));
    assert!(
        matches!(&commands[..], [Command::OpenData { source, .. }] if source.path == Path::new("/data/a b.csv"))
    );
    opened(&mut m, made(entries()));
    assert!(m.datasets.problem.is_none() && m.datasets.awaiting.is_none());
    // Another one that cannot be opened: what is shown stays, both are watched.
    type_text(&mut m, "g~/y.json");
    key(&mut m, KeyCode::Enter);
    let generation = m.datasets.generation;
    let result = Err(unread("/home/y.json: no such file or folder", "/home/y.json"));
    let commands = update(&mut m, Msg::DataOpened { generation, result });
    assert!(commands.iter().any(|c| matches!(c, Command::WatchData { awaited: true, .. })));
    let text = screen(&mut m, 80, 24);
    assert!(
        text.contains("✕ /home/y.json") && !text.contains("last good state") && text.contains("2,000"),
        "{text}"
    );
    let generation = m.datasets.watching;
    let commands = update(&mut m, Msg::DataChanged { generation });
    assert!(commands.iter().any(|c| matches!(c, Command::OpenData { before: Some(_), .. })));
}
