//! The data tab: opening, listing, and what the work says folded in.

mod findings;
mod marks;

pub use findings::on_check;
pub use marks::export_to;

use super::actions::moved;
use super::typed_path::typed_path;
use crate::tui::Browse;
use crate::tui::action::Action;
use crate::tui::datasets::{Before, Detail, News, Side, Source, Unread};
use crate::tui::format::count;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::picture;
use crate::tui::popup::Popup;
use data::loader::View;
use data::picture::CropOptions;
use data::{ReadOptions, Split};
use findings::{cancel, check, follow_finding, on_findings, step_finding, to_finding};
use marks::{export, mark};
use run::settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use tui_input::Input;

/// Ids of a caption in every CoCa model.
const CONTEXT: usize = 76;

/// Opens the tab; the first time with the run's data, else with PaddleMIX's folder where that is there.
pub fn open(model: &mut Model) -> Vec<Command> {
    model.page = Page::Data;
    if model.datasets.source.is_some() {
        return Vec::new();
    }
    let source = run_source(model);
    load(model, source)
}

/// The data of the watched run. Without a name the effect looks for PaddleMIX's folder.
fn run_source(model: &Model) -> Source {
    let mut source = source(PathBuf::new());
    let Some(settings) = model.watched.as_ref().and_then(|w| w.settings()) else { return source };
    let task = settings.task_name.clone().filter(|name| !name.starts_with("coco_"));
    source.path = settings.train_data.clone().or(task).map(PathBuf::from).unwrap_or_default();
    source.read = ReadOptions::from(&settings);
    if let Some(context) = settings.context_length {
        source.context = usize::try_from(context).unwrap_or(CONTEXT);
    }
    if let Some(file) = settings.tokenizer.clone().filter(|t| t != "clip" && t != "dataset") {
        source.tokenizer = Some(file.into());
    }
    let known = settings.model.as_deref().and_then(models::known).map(|known| known.config.to_owned());
    source.config = settings.model_config.clone().or(known);
    let least = settings.train_crop_min;
    let crop = (least < 1.0).then(|| CropOptions { scale: [least.max(0.01), 1.0], ..CropOptions::default() });
    source.view = View { crop, seed: settings.seed, ..View::default() };
    source
}

/// The run's settings have come: a tab that was opened before them, and had nothing to begin with, begins with its data.
pub fn on_settings(model: &mut Model) -> Vec<Command> {
    // Without a path: looking for PaddleMIX's folder, and not answered yet.
    let named = model.datasets.source.as_ref().is_some_and(|source| !source.path.as_os_str().is_empty());
    let waits = model.page == Page::Data && !named && model.datasets.open.is_none();
    let asks = match model.popups.as_slice() {
        [] => false,
        [Popup::GoTo { input }] => !input.value().is_empty(),
        _ => true,
    };
    let source = run_source(model);
    if !waits || asks || source.path.as_os_str().is_empty() {
        return Vec::new();
    }
    model.popups.clear();
    load(model, source)
}

/// Read as nobody says otherwise.
pub fn source(path: PathBuf) -> Source {
    let read = ReadOptions::from(&Settings::default());
    let view = View::default();
    Source { path, split: Split::Train, read, tokenizer: None, context: CONTEXT, config: None, view }
}

/// Opens the tab on a dataset that the command line names.
pub fn browse(model: &mut Model, browse: Browse) -> Vec<Command> {
    model.page = Page::Data;
    let Browse { path, split, read, tokenizer, context } = browse;
    let source = Source { split, read, tokenizer, context, ..source(path) };
    load(model, source)
}

/// Goes to a path that was typed or pasted.
pub fn go_to(model: &mut Model, text: &str) -> Vec<Command> {
    typed_path(text).map_or_else(Vec::new, |path| load(model, source(path)))
}

/// Opens a dataset in place of the one there.
pub fn load(model: &mut Model, source: Source) -> Vec<Command> {
    let datasets = &mut model.datasets;
    datasets.generation += 1;
    datasets.opening = Some(model.now);
    datasets.problem = None;
    datasets.awaiting = None;
    datasets.source = Some(source.clone());
    datasets.reading = Some(source.clone());
    let mut commands = vec![Command::OpenData { generation: datasets.generation, source, before: None }];
    if datasets.checking.is_some() {
        commands.push(Command::CancelCheck);
    }
    commands
}

/// Reads the dataset again, for its file has changed; or tries again what could not be opened.
pub fn on_changed(model: &mut Model, generation: u64) -> Vec<Command> {
    let selected = model.datasets.sample();
    let datasets = &mut model.datasets;
    let (source, before) = match (&datasets.open, &datasets.awaiting) {
        (_, Some((awaited, source))) if *awaited == generation => (source.clone(), None),
        (Some(data), _) if generation == datasets.watching => {
            let found = datasets.found.as_ref().map(|(found, _)| found.clone());
            let before = Before { data: data.clone(), selected, marks: datasets.marks.clone(), found };
            (data.source.clone(), Some(before))
        }
        _ => return Vec::new(),
    };
    datasets.generation += 1;
    datasets.opening = Some(model.now);
    datasets.reading = Some(source.clone());
    vec![Command::OpenData { generation: datasets.generation, source, before }]
}

/// What cannot be opened is told and watched; what is shown stays, and stays watched.
fn on_unread(model: &mut Model, generation: u64, unread: Unread) -> Vec<Command> {
    let now = model.now;
    let datasets = &mut model.datasets;
    let Unread { problem, watched } = unread;
    if problem.is_empty() {
        // There is no data that the tab could begin with.
        datasets.source = None;
        if model.page == Page::Data && model.popups.is_empty() {
            model.popups.push(Popup::GoTo { input: Input::default() });
        }
        return Vec::new();
    }
    datasets.problem = Some(problem.clone());
    // On the tab it stands beside the last good state.
    if model.page != Page::Data {
        model.notes.add(now, Kind::Error, problem);
    }
    let shown = datasets.open.as_ref().map(|open| &open.source);
    match datasets.reading.take() {
        Some(source) if shown != Some(&source) && !watched.files.is_empty() => {
            datasets.awaiting = Some((generation, source));
            vec![Command::WatchData { generation, watched, awaited: true }]
        }
        _ => Vec::new(),
    }
}

/// Takes a dataset that was opened, or what is wrong with it.
pub fn on_opened(model: &mut Model, generation: u64, result: Result<Box<News>, Unread>) -> Vec<Command> {
    let now = model.now;
    let datasets = &mut model.datasets;
    if generation != datasets.generation {
        return Vec::new();
    }
    datasets.opening = None;
    let news = match result {
        Ok(news) => *news,
        Err(unread) => return on_unread(model, generation, unread),
    };
    let again = datasets.open.as_ref().is_some_and(|open| open.source == news.data.source);
    datasets.problem = None;
    datasets.watching = generation;
    datasets.awaiting = None;
    let watched = news.data.watched.clone();
    let mut commands = vec![Command::WatchData { generation, watched, awaited: false }];
    datasets.source = Some(news.data.source.clone());
    datasets.open = Some(news.data.clone());
    datasets.detail_asked = None;
    datasets.scroll = 0;
    if again {
        datasets.marks = news.marks;
        // Until it is checked again, what was found stays with its entries. What a check has found meanwhile stands on
        // samples of the older state: the next check begins now, and shows what it finds as it goes.
        if let Some((old, work)) = datasets.found.take() {
            datasets.found = news.found.map(|found| (found, work));
            commands.push(Command::Free(old));
        }
        if let Some(changed) = news.changed {
            let text = match changed {
                0 => "read again: no entry changed".to_owned(),
                n => format!(
                    "read again: {} {} changed",
                    count(n as u64),
                    if n == 1 { "entry" } else { "entries" }
                ),
            };
            model.notes.add(now, Kind::Info, text);
        }
    } else {
        *datasets = crate::tui::datasets::Datasets {
            source: datasets.source.take(),
            open: datasets.open.take(),
            generation: datasets.generation,
            watching: datasets.watching,
            checks: datasets.checks,
            search: datasets.search,
            seen: datasets.seen,
            ..Default::default()
        };
    }
    // Samples have other numbers now: what was listed is listed anew.
    datasets.rows = None;
    (datasets.asked, datasets.answered) = (None, None);
    datasets.selected = news.selected.map_or(0, |sample| sample as usize);
    if again && datasets.follow {
        commands.extend(check(model));
    }
    let datasets = &mut model.datasets;
    if !datasets.query().is_plain() {
        datasets.selected = 0;
        commands.extend(search(model, news.selected));
    }
    commands
}

/// Lists what is to be listed, and stays at a sample when it is among it.
fn search(model: &mut Model, stay: Option<u32>) -> Vec<Command> {
    let datasets = &mut model.datasets;
    let Some(data) = datasets.open.clone() else { return Vec::new() };
    datasets.search += 1;
    datasets.stay = stay;
    datasets.placed = datasets.selected;
    let mut query = datasets.query();
    datasets.filter_problem = None;
    datasets.asked = Some(query.clone());
    if let Some((answered, rows)) = &datasets.answered
        && query.narrows(answered)
    {
        query.among = Some(rows.clone());
    }
    if query.is_plain() {
        datasets.rows = None;
        datasets.searching = false;
        stay_at(model);
        return Vec::new();
    }
    datasets.searching = true;
    vec![Command::SearchData { number: datasets.search, data, query: Box::new(query) }]
}

fn stay_at(model: &mut Model) {
    let datasets = &mut model.datasets;
    let place = datasets.stay.and_then(|sample| datasets.place_of(sample));
    datasets.selected = place.unwrap_or(0);
    datasets.placed = datasets.selected;
    datasets.scroll = 0;
}

/// Takes what was found; when it is not the `whole` of it, more comes.
pub fn on_listed(model: &mut Model, number: u64, whole: bool, result: Result<Arc<Vec<u32>>, String>) {
    let datasets = &mut model.datasets;
    if number != datasets.search {
        return;
    }
    datasets.searching = !whole;
    match result {
        Ok(rows) => {
            if datasets.selected != datasets.placed {
                datasets.stay = datasets.sample();
            }
            if whole {
                datasets.answered = datasets.asked.take().map(|asked| (asked, rows.clone()));
            }
            datasets.rows = Some(rows);
            stay_at(model);
        }
        // The list stays as it was until the expression is one.
        Err(problem) => datasets.filter_problem = Some(problem),
    }
}

/// What is typed has changed.
pub fn on_filter(model: &mut Model) -> Vec<Command> {
    search(model, None)
}

/// Takes what is known of an entry.
pub fn on_entry(model: &mut Model, detail: Detail) {
    let datasets = &mut model.datasets;
    let asked = datasets.detail_asked.as_ref();
    if asked.is_some_and(|(data, sample)| *data == detail.data && *sample == detail.sample) {
        datasets.detail_asked = None;
    }
    datasets.detail = Some(detail);
}

/// Asks for the selected entry and its picture, one at a time: keys that are held down must not pile up work.
pub fn want(model: &mut Model) -> Vec<Command> {
    let mut commands = Vec::new();
    if model.page != Page::Data {
        return commands;
    }
    let Some(data) = model.datasets.open.clone() else { return commands };
    let Some(sample) = model.datasets.sample() else { return commands };
    if model.datasets.chosen().is_none() && model.datasets.detail_asked.is_none() {
        model.datasets.detail_asked = Some((data.clone(), sample));
        commands.push(Command::LookAtEntry { data: data.clone(), sample });
    }
    if let (Some(area), false) = (model.regions.picture, model.datasets.picture_asked) {
        let seen = model.datasets.seen;
        let wanted = picture::Wanted::of_sample(&data, sample, seen, area, &model.pictures);
        if wanted.is_some() && wanted != model.datasets.wanted {
            model.datasets.wanted.clone_from(&wanted);
            model.datasets.picture_asked = true;
            commands.extend(wanted.map(Command::LoadPicture));
        }
    }
    commands
}

/// Takes a picture that was asked for here; gives it back when it was not.
pub fn on_picture(model: &mut Model, loaded: picture::Loaded) -> Option<picture::Loaded> {
    if model.datasets.wanted.as_ref() != Some(loaded.wanted()) {
        return Some(loaded);
    }
    model.datasets.picture_asked = false;
    model.datasets.shown = Some(loaded);
    None
}

/// Carries out an action on the tab.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    match action {
        Action::GoTo => model.popups.push(Popup::GoTo { input: Input::default() }),
        Action::NextSplit => return next_split(model),
        _ if model.datasets.open.is_none() => {}
        Action::Search => model.datasets.filtering = true,
        Action::Expression => {
            model.datasets.regex = !model.datasets.regex;
            let stay = model.datasets.sample();
            return search(model, stay);
        }
        Action::Sort | Action::Reverse => {
            let datasets = &mut model.datasets;
            if action == Action::Sort {
                datasets.order = datasets.order.next();
            } else {
                datasets.reversed = !datasets.reversed;
            }
            let stay = datasets.sample();
            return search(model, stay);
        }
        Action::Findings => {
            let datasets = &mut model.datasets;
            datasets.side = if datasets.side == Side::Entries { Side::Findings } else { Side::Entries };
            if datasets.found.is_none() && datasets.checking.is_none() {
                return check(model);
            }
        }
        Action::Check => return check(model),
        Action::CancelCheck => return cancel(model),
        Action::Seen => {
            model.datasets.seen = match model.datasets.seen {
                Some(_) => None,
                None => model.datasets.open.as_ref().map(|open| open.view),
            };
        }
        Action::DrawAgain => {
            let datasets = &mut model.datasets;
            datasets.seen = match (datasets.seen, &datasets.open) {
                (Some(view), _) => Some(View { epoch: view.epoch + 1, ..view }),
                (None, open) => open.as_ref().map(|open| open.view),
            };
        }
        Action::Mark | Action::MarkAll | Action::OnlyMarked | Action::UnmarkAll => {
            return mark(model, action);
        }
        Action::Export => export(model),
        Action::Copy => {
            let sample = model.datasets.sample();
            let open = model.datasets.open.as_ref();
            let caption = sample.zip(open).and_then(|(s, open)| open.dataset.captions(s as usize).next());
            if let Some(text) = caption.map(|text| run::escape::line(text).into_owned()) {
                model.notes.add(model.now, Kind::Good, "caption copied");
                return vec![Command::Copy(text)];
            }
        }
        Action::NextFinding | Action::PreviousFinding => step_finding(model, action == Action::NextFinding),
        _ if model.datasets.side == Side::Findings => on_findings(model, action),
        Action::ToFinding => {
            if !to_finding(model) {
                model.notes.add(model.now, Kind::Info, "no finding on this entry is known");
            }
        }
        Action::Enter => model.datasets.wide = !model.datasets.wide,
        Action::Right => model.datasets.scroll += 1,
        Action::Left => model.datasets.scroll = model.datasets.scroll.saturating_sub(1),
        _ => {
            let datasets = &mut model.datasets;
            let to = moved(datasets.selected, action, datasets.count(), model.regions.rows);
            if std::mem::replace(&mut datasets.selected, to) != to {
                datasets.scroll = 0;
            }
        }
    }
    Vec::new()
}

fn next_split(model: &mut Model) -> Vec<Command> {
    let Some(mut source) = model.datasets.source.clone() else { return Vec::new() };
    if source.path.extension().is_some() {
        model.notes.add(
            model.now,
            Kind::Warning,
            "splits are those of a folder, and one file is open: g opens the folder",
        );
        return Vec::new();
    }
    source.split = match source.split {
        Split::Train => Split::Val,
        Split::Val => Split::Test,
        Split::Test => Split::Train,
    };
    load(model, source)
}

/// One level up; false when there is none here.
pub fn back(model: &mut Model) -> bool {
    let datasets = &mut model.datasets;
    if datasets.wide {
        datasets.wide = false;
    } else if datasets.side == Side::Findings {
        datasets.side = Side::Entries;
    } else if !datasets.filter.value().is_empty() {
        datasets.filter.reset();
        return true;
    } else {
        return false;
    }
    true
}

/// The list as it is asked for now, after something changed it without a word.
pub fn list_anew(model: &mut Model) -> Vec<Command> {
    let stay = model.datasets.sample();
    search(model, stay)
}

/// The selected row of the list that is on the screen.
pub fn selected(model: &mut Model) -> &mut usize {
    let datasets = &mut model.datasets;
    if datasets.side == Side::Findings { &mut datasets.finding } else { &mut datasets.selected }
}

/// A row was chosen by the mouse.
pub fn clicked(model: &mut Model) {
    model.datasets.scroll = 0;
    if model.datasets.side == Side::Findings {
        follow_finding(model);
    }
}
