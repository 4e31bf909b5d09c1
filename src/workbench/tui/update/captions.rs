//! The caption tab: browsing, asking models, taking in what they say.

use super::actions::moved;
use super::typed_path::typed_path;
use crate::tui::action::Action;
use crate::tui::captions::{Asked, BATCH, DecodingForm, Folder, Loading, SLOTS, Shown, Slot, score_words};
use crate::tui::format::{bytes, count};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::picture;
use crate::tui::popup::Popup;
use run::dir::RunDir;
use run::serve::{LOADING, Reply, Request};
use run::settings::Settings;
use std::path::{Path, PathBuf};
use tui_input::Input;

/// What the annotation file of a folder is called.
const ANNOTATIONS: &str = "captions.json";

/// Opens the tab; the first time it looks into the folder that the workbench was started in.
pub fn open(model: &mut Model) -> Vec<Command> {
    model.page = Page::Caption;
    if model.captions.folder.is_none() { browse(model, PathBuf::from(".")) } else { Vec::new() }
}

fn browse(model: &mut Model, path: PathBuf) -> Vec<Command> {
    model.captions.generation += 1;
    vec![Command::Browse { generation: model.captions.generation, path }]
}

/// Goes to a path that was typed or pasted.
pub fn go_to(model: &mut Model, text: &str) -> Vec<Command> {
    let Some(path) = typed_path(text) else { return Vec::new() };
    // A relative one is meant from the folder on the screen; whose home `~` is, the effect knows.
    let folder = model.captions.folder.as_ref().filter(|_| !path.starts_with("~"));
    let path = folder.map_or_else(|| path.clone(), |f| f.path.join(&path));
    browse(model, path)
}

/// Takes a folder.
pub fn on_folder(model: &mut Model, generation: u64, folder: Result<Folder, String>) {
    if generation != model.captions.generation {
        return;
    }
    let captions = &mut model.captions;
    match folder {
        Err(e) => {
            if captions.folder.is_none() {
                captions.problem = Some(e.clone());
            }
            model.notes.add(model.now, Kind::Error, e);
        }
        Ok(folder) => {
            captions.problem = None;
            // Going up selects where one came from.
            let came_from = captions.folder.as_ref().and_then(|f| f.path.strip_prefix(&folder.path).ok());
            let came_from =
                came_from.and_then(|rest| rest.iter().next()).map(|n| n.to_string_lossy().into_owned());
            let select = folder.select.clone().or(came_from);
            captions.folder = Some(folder);
            captions.filter.reset();
            captions.filtering = false;
            let at = select.and_then(|name| captions.visible().iter().position(|e| e.name == name));
            captions.selected = at.unwrap_or(0);
        }
    }
}

/// Carries out an action on the tab.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let visible = model.captions.visible().len();
    model.captions.selected = moved(model.captions.selected, action, visible, model.regions.rows);
    match action {
        Action::Enter | Action::Right => match model.captions.chosen() {
            Some((entry, path)) if entry.folder => return browse(model, path),
            Some((_, path)) if action == Action::Enter => return caption(model, vec![path]),
            _ => {}
        },
        Action::Left => {
            let parent = model.captions.folder.as_ref().and_then(|f| f.path.parent()).map(Path::to_owned);
            return parent.map_or_else(Vec::new, |parent| browse(model, parent));
        }
        Action::Search => model.captions.filtering = true,
        Action::Hidden => model.captions.hidden = !model.captions.hidden,
        Action::GoTo => model.popups.push(Popup::GoTo { input: Input::default() }),
        Action::CaptionFolder => {
            let pictures = model.captions.pictures();
            if pictures.is_empty() {
                model.notes.add(model.now, Kind::Warning, "there is no picture in this folder");
                return Vec::new();
            }
            return caption(model, pictures);
        }
        Action::CancelCaptions => return cancel(model),
        Action::ChooseModel => {
            model.captions.before_model.clear();
            return choose_model(model, 0);
        }
        Action::Compare => return choose_model(model, 1),
        Action::Decoding => {
            let form = DecodingForm::new(&model.captions.decoding());
            model.popups.push(Popup::Decoding(form));
        }
        Action::Copy => {
            let captions = model.captions.picture().and_then(|p| model.captions.captions_of(&p));
            return match captions.and_then(|c| c.into_iter().next()) {
                Some(text) => {
                    model.notes.add(model.now, Kind::Good, "caption copied");
                    vec![Command::Copy(run::escape::line(&text).into_owned())]
                }
                None => nothing(model, "there is no caption to copy yet: Enter makes one"),
            };
        }
        Action::KeepOne => {
            let path = model.captions.picture();
            let captions = path.and_then(|p| model.captions.captions_of(&p).map(|c| (p, c)));
            return match captions {
                Some(one) => vec![Command::Keep { file: None, captions: vec![one] }],
                None => nothing(model, "there is no caption to keep yet: Enter makes one"),
            };
        }
        Action::KeepAll => {
            let all = model.captions.pictures();
            let all = all.into_iter().filter_map(|p| model.captions.captions_of(&p).map(|c| (p, c)));
            let captions: Vec<_> = all.collect();
            let file = model.captions.folder.as_ref().map(|f| f.path.join(ANNOTATIONS));
            if captions.is_empty() {
                return nothing(model, "there is no caption to keep yet: a captions the folder");
            }
            return vec![Command::Keep { file, captions }];
        }
        _ => {}
    }
    Vec::new()
}

fn nothing(model: &mut Model, why: &str) -> Vec<Command> {
    model.notes.add(model.now, Kind::Warning, why);
    Vec::new()
}

fn choose_model(model: &mut Model, slot: usize) -> Vec<Command> {
    model.popups.push(Popup::Models { slot, input: Input::default(), selected: 0 });
    vec![Command::ListModels { root: model.root.clone() }]
}

/// A model was chosen for a slot: it is loaded, and captions what was asked for before there was one.
pub fn choose(model: &mut Model, slot: usize, name: &str) -> Vec<Command> {
    let mut commands = load(model, slot, name);
    if slot == 0 && !name.is_empty() && !model.captions.before_model.is_empty() {
        let images = std::mem::take(&mut model.captions.before_model);
        commands.extend(caption(model, images));
    }
    commands
}

/// Loads a model into a slot, in place of the one there; an empty name only takes that one away.
fn load(model: &mut Model, slot: usize, name: &str) -> Vec<Command> {
    if slot >= SLOTS {
        return Vec::new();
    }
    model.captions.slots[slot] = None;
    if name.is_empty() {
        return vec![Command::Unload { slot }];
    }
    model.last_id += 1;
    let generation = model.last_id;
    model.captions.slots[slot] = Some(Slot {
        model: name.to_owned(),
        generation,
        loading: Loading::Since(model.now),
        asked: Vec::new(),
        shown: std::collections::BTreeMap::new(),
    });
    let settings = Settings {
        model: Some(name.to_owned()),
        output_dir: model.root.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    vec![Command::LoadModel { slot, generation, settings: Box::new(settings) }]
}

/// Asks every model for captions of these pictures.
fn caption(model: &mut Model, images: Vec<PathBuf>) -> Vec<Command> {
    let mut commands = Vec::new();
    if model.captions.slots[0].is_none() {
        let Some(watched) = &model.watched else {
            model.captions.before_model = images;
            return choose_model(model, 0);
        };
        let run = watched.run.path().to_string_lossy().into_owned();
        commands.extend(load(model, 0, &run));
    }
    let decoding = model.captions.decoding();
    for (number, slot) in model.captions.slots.iter_mut().enumerate() {
        let Some(slot) = slot.as_mut().filter(|s| !matches!(s.loading, Loading::Failed(_))) else { continue };
        model.last_id += 1;
        let id = model.last_id;
        for image in &images {
            slot.shown.insert(image.clone(), Shown::Waiting);
        }
        slot.asked.push(Asked { id, images: images.clone(), done: 0, scores: score_words(&decoding) });
        let request = Request::Caption {
            images: images.clone(),
            decoding: decoding.clone(),
            batch: BATCH,
            stream: true,
        };
        commands.push(Command::AskModel { slot: number, id, request });
    }
    if commands.is_empty() { nothing(model, "the model cannot be used: m chooses another") } else { commands }
}

fn cancel(model: &mut Model) -> Vec<Command> {
    let mut commands = Vec::new();
    for (slot, s) in model.captions.slots.iter().enumerate() {
        for asked in s.iter().flat_map(|s| &s.asked) {
            model.last_id += 1;
            let request = Request::Cancel { id: asked.id };
            commands.push(Command::AskModel { slot, id: model.last_id, request });
        }
    }
    if commands.is_empty() { nothing(model, "nothing is being captioned") } else { commands }
}

/// Takes what an engine says.
pub fn on_reply(model: &mut Model, slot: usize, generation: u64, id: u64, reply: Reply) {
    let now = model.now;
    let Some(slot) = model.captions.slots.get_mut(slot).and_then(Option::as_mut) else { return };
    if slot.generation != generation {
        return;
    }
    let image = |slot: &Slot, index: u64| {
        let asked = slot.asked.iter().find(|a| a.id == id)?;
        asked.images.get(usize::try_from(index).ok()?).cloned()
    };
    match reply {
        Reply::Loaded { parameters, device, seconds, resident, .. } => {
            let memory = if resident > 0 { bytes(resident) } else { "memory n/a".to_owned() };
            let words =
                format!("loaded in {seconds:.1} s · {memory} · {device} · {} parameters", count(parameters));
            slot.loading = Loading::Loaded(words);
        }
        Reply::Failed { message, .. } if id == LOADING => {
            for asked in std::mem::take(&mut slot.asked) {
                unasked(slot, &asked, &Shown::Failed("the model cannot be used".to_owned()));
            }
            slot.loading = Loading::Failed(message.clone());
            model.notes.add(now, Kind::Error, message);
        }
        Reply::Token { index, caption, text } => {
            let Some(image) = image(slot, index) else { return };
            let shown = slot.shown.entry(image).or_insert(Shown::Waiting);
            if !matches!(shown, Shown::Growing(_)) {
                *shown = Shown::Growing(Vec::new());
            }
            // An engine that counts wildly fills no memory.
            if let (Shown::Growing(texts), Ok(at @ 0..64)) = (shown, usize::try_from(caption)) {
                texts.resize(texts.len().max(at + 1), String::new());
                texts[at] = text;
            }
        }
        Reply::Caption { index, captions, seconds } => {
            let Some(image) = image(slot, index) else { return };
            let scores = slot.asked.iter().find(|a| a.id == id).map_or("", |a| a.scores);
            slot.shown.insert(image, Shown::Done(captions, seconds, scores));
            step(slot, id);
        }
        Reply::Unreadable { index, why } => {
            let Some(image) = image(slot, index) else { return };
            slot.shown.insert(image, Shown::Failed(why));
            step(slot, id);
        }
        Reply::Note { message } => model.notes.add(now, Kind::Warning, message),
        // Evaluations are asked for elsewhere.
        Reply::Progress { .. }
        | Reply::Classifier { .. }
        | Reply::Classified { .. }
        | Reply::Tuned(_)
        | Reply::Retrieved { .. }
        | Reply::Ranks { .. }
        | Reply::Found { .. } => {}
        Reply::Done { .. } | Reply::Cancelled | Reply::Failed { .. } => {
            let Some(at) = slot.asked.iter().position(|a| a.id == id) else { return };
            let asked = slot.asked.remove(at);
            match reply {
                Reply::Failed { message, .. } => {
                    unasked(slot, &asked, &Shown::Failed(message.clone()));
                    model.notes.add(now, Kind::Error, message);
                }
                Reply::Cancelled => {
                    // As if it had not been asked for: nothing is wrong with these pictures.
                    let open = |s: &Shown| matches!(s, Shown::Waiting | Shown::Growing(_));
                    slot.shown.retain(|image, shown| !open(shown) || waits(&slot.asked, image));
                    let text = format!("cancelled; {} of {} are done", asked.done, asked.images.len());
                    model.notes.add(now, Kind::Info, text);
                }
                _ if asked.images.len() > 1 => {
                    let text = format!("{} pictures captioned; w keeps the captions", asked.images.len());
                    model.notes.add(now, Kind::Good, text);
                }
                _ => {}
            }
        }
    }
}

/// Whether a request that is not done has the picture.
fn waits(asked: &[Asked], image: &Path) -> bool {
    asked.iter().any(|a| a.images.iter().any(|i| i == image))
}

fn step(slot: &mut Slot, id: u64) {
    if let Some(asked) = slot.asked.iter_mut().find(|a| a.id == id) {
        asked.done += 1;
    }
}

/// What did not come will not come.
fn unasked(slot: &mut Slot, asked: &Asked, why: &Shown) {
    for image in &asked.images {
        if let Some(shown @ (Shown::Waiting | Shown::Growing(_))) = slot.shown.get_mut(image) {
            *shown = why.clone();
        }
    }
}

/// Asks for the pictures that belong on the screen, unless they are there or on their way.
pub fn want_pictures(model: &mut Model) -> Vec<Command> {
    if model.page != Page::Caption {
        return Vec::new();
    }
    let mut commands = Vec::new();
    let Some(folder) = model.captions.folder.as_ref().map(|f| RunDir::at(&f.path)) else { return commands };
    if let (Some(area), Some(path)) = (model.regions.picture, model.captions.picture()) {
        let wanted = picture::Wanted::new(&path.to_string_lossy(), &folder, area, &model.pictures);
        if wanted.is_some() && wanted != model.captions.wanted {
            model.captions.wanted.clone_from(&wanted);
            commands.extend(wanted.map(Command::LoadPicture));
        }
    }
    let wanted = model.regions.thumbnails.iter().filter_map(|(area, path)| {
        picture::Wanted::new(&path.to_string_lossy(), &folder, *area, &model.pictures)
    });
    let wanted: Vec<_> = wanted.collect();
    model.captions.thumbnails.retain(|(w, _)| wanted.contains(w));
    for wanted in wanted {
        if !model.captions.thumbnails.iter().any(|(w, _)| *w == wanted) {
            model.captions.thumbnails.push((wanted.clone(), None));
            commands.push(Command::LoadPicture(wanted));
        }
    }
    commands
}

/// Takes a picture that was asked for here; gives it back when it was not.
pub fn on_picture(model: &mut Model, loaded: picture::Loaded) -> Option<picture::Loaded> {
    if model.captions.wanted.as_ref() == Some(loaded.wanted()) {
        model.captions.shown = Some(loaded);
        return None;
    }
    let at = model.captions.thumbnails.iter().position(|(w, _)| w == loaded.wanted());
    match at.and_then(|at| model.captions.thumbnails.get_mut(at)) {
        Some(place) => {
            place.1 = Some(loaded);
            None
        }
        None => Some(loaded),
    }
}
