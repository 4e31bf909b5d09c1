//! Opens a dataset, for the first time or again; finds the selected and marked entries of its older state.

use crate::datasets::own_tokenizer;
use crate::tui::datasets::{Before, News, Opened, Places, Shared, Source, Stamp, Unread, Watched};
use data::loader::View;
use data::reader::Reader;
use data::{Dataset, Tokenizer};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Opens it; without a path PaddleMIX's folder of captions.
///
/// # Errors
/// What cannot be read, with file, line and column, and what to watch until it can; nothing when there is nothing to
/// begin with.
pub fn open(mut source: Source, before: Option<Before>) -> Result<Box<News>, Unread> {
    if source.path.as_os_str().is_empty() {
        let default = run::settings::Settings::default().training_data();
        source.path = default.map(PathBuf::from).ok_or_else(|| unread(String::new(), Watched::default()))?;
    }
    source.path = crate::tui::effects::home(&source.path);
    // From before anything is read: what changes meanwhile is seen then.
    let named = Watched { files: vec![source.path.clone()], stamps: vec![stamp(&source.path)] };
    let reader = match data::reader::find(&source.path, source.split, &source.read) {
        Ok(reader) => reader,
        Err(error) => return Err(unread(error.to_string(), named)),
    };
    let own = reader.path().to_path_buf();
    let first = Watched { stamps: vec![stamp(&own)], files: vec![own] };
    read(source, &*reader, &first, before).map_err(|problem| unread(problem, first))
}

fn unread(problem: String, watched: Watched) -> Unread {
    Unread { problem, watched }
}

/// Reads it all. `first` is the reader's own file as it was before.
fn read(
    source: Source,
    reader: &dyn Reader,
    first: &Watched,
    before: Option<Before>,
) -> Result<Box<News>, String> {
    let began = Instant::now();
    let dataset = Dataset::read(reader, &source.read).map_err(|e| e.to_string())?;
    let files = dataset.files().to_vec();
    let known = |file: &PathBuf| first.files.iter().position(|other| other == file);
    let stamps = files.iter().map(|file| match known(file).and_then(|at| first.stamps.get(at)) {
        Some(stamp) => *stamp,
        None => stamp(file),
    });
    let watched = Watched { stamps: stamps.collect(), files };
    let kept = before.as_ref().map(|before| &before.data).filter(|data| data.source == source);
    let (tokenizer, tokenizer_name) = match kept {
        Some(data) => (data.tokenizer.clone(), data.tokenizer_name.clone()),
        None => tokenizer(&source, &dataset)?,
    };
    let mut news = (None, BTreeSet::new(), None, None);
    if let Some(before) = &before {
        let old = &before.data.dataset;
        let (places, changed) = find_again(old, &dataset);
        let selected = before.selected.and_then(|sample| select_again(old, sample, &places, &dataset));
        let marks = before.marks.iter().filter_map(|sample| places.of(*sample)).collect();
        let found = before.found.as_ref().map(|found| Arc::new(found.moved(&places)));
        news = (selected, marks, found, Some(changed));
    }
    let (selected, marks, found, changed) = news;
    let config = source.config.as_deref().and_then(|name| models::source::named_config(name).ok());
    let side = config.and_then(|config| usize::try_from(config.vision.image_size).ok());
    let view = View { side: side.unwrap_or(source.view.side), ..source.view };
    let seconds = began.elapsed().as_secs_f64();
    let data =
        Shared(Arc::new(Opened { source, dataset, tokenizer, tokenizer_name, view, seconds, watched }));
    Ok(Box::new(News { data, selected, marks, found, changed }))
}

fn tokenizer(source: &Source, dataset: &Dataset) -> Result<(Tokenizer, String), String> {
    let file = source.tokenizer.clone().or_else(|| own_tokenizer(dataset.path()));
    match file {
        Some(file) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Tokenizer::from_file(&file).map(|t| (t, name)).map_err(|e| e.to_string())
        }
        None => Tokenizer::clip().map(|t| (t, "CLIP".to_owned())).map_err(|e| e.to_string()),
    }
}

/// How far from its place an edited entry is looked for.
const NEAR: usize = 10_000;

/// What makes an entry the same: its picture and captions.
fn identity(dataset: &Dataset, index: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    dataset.image_name(index).hash(&mut hasher);
    dataset.id(index).hash(&mut hasher);
    for caption in dataset.captions(index) {
        caption.hash(&mut hasher);
    }
    hasher.finish()
}

/// Where the older state's samples stand in the new one, and how many entries changed.
fn find_again(old: &Dataset, new: &Dataset) -> (Places, usize) {
    let (old_ids, new_ids) = identities(old, new);
    // Entries at both ends that are as they were need no search: an edit is somewhere between.
    let front = old_ids.iter().zip(&new_ids).take_while(|(a, b)| a == b).count();
    let most = old_ids.len().min(new_ids.len()) - front;
    let back = old_ids.iter().rev().zip(new_ids.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
    let (old_end, new_end) = (old_ids.len() - back, new_ids.len() - back);
    for (place, id) in new_ids.iter().enumerate().take(new_end).skip(front) {
        places.entry(*id).or_default().push_back(place);
    }
    // Equal entries keep their order.
    let between: Vec<Option<u32>> = old_ids
        .iter()
        .take(old_end)
        .skip(front)
        .map(|id| {
            places.get_mut(id).and_then(VecDeque::pop_front).and_then(|place| u32::try_from(place).ok())
        })
        .collect();
    let same = between.iter().flatten().count();
    let changed = (old_end - front).max(new_end - front) - same;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let shift = new_ids.len() as i64 - old_ids.len() as i64;
    (Places { front: number(front), between, shift, count: number(old_ids.len()) }, changed)
}

/// The selected sample in the new state: itself, else the edited one of its picture, else the one at its place.
fn select_again(old: &Dataset, sample: u32, places: &Places, new: &Dataset) -> Option<u32> {
    let index = sample as usize;
    let alike = || {
        let name = old.image_name(index)?;
        let near = index.saturating_sub(NEAR)..(index + NEAR).min(new.len());
        near.filter(|place| new.image_name(*place) == Some(name)).min_by_key(|place| place.abs_diff(index))
    };
    let found = places.of(sample).map(|place| place as usize).or_else(alike);
    let found = found.unwrap_or(index.min(new.len().saturating_sub(1)));
    u32::try_from(found).ok().filter(|_| !new.is_empty())
}

/// The identities of both, at the same time.
fn identities(old: &Dataset, new: &Dataset) -> (Vec<u64>, Vec<u64>) {
    let all = |dataset: &Dataset| (0..dataset.len()).map(|index| identity(dataset, index)).collect();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| all(old));
        let second = all(new);
        (first.join().unwrap_or_default(), second)
    })
}

/// What tells a file from a changed one: its size and time.
pub fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.len(), about.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{ReadOptions, Split};

    fn source(path: &Path) -> Source {
        let read = ReadOptions::default();
        let view = View::default();
        Source {
            path: path.to_owned(),
            split: Split::Train,
            read,
            tokenizer: None,
            context: 76,
            config: None,
            view,
        }
    }

    fn file(path: &Path, captions: &[&str]) {
        let all: Vec<_> = captions
            .iter()
            .enumerate()
            .map(|(n, c)| serde_json::json!({"image": format!("{}.png", n % 100), "caption": c}))
            .collect();
        std::fs::write(path, serde_json::Value::from(all).to_string()).unwrap();
    }

    #[test]
    fn the_selection_and_the_marks_stay_on_their_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let lines = |all: &[(&str, &str)]| {
            let text: String = all
                .iter()
                .map(|(image, c)| serde_json::json!({"image": image, "caption": c}).to_string() + "\n")
                .collect();
            std::fs::write(&path, text).unwrap();
        };
        lines(&[("0", "a"), ("1", "b"), ("2", "c"), ("3", "d")]);
        let first = open(source(&path), None).unwrap();
        let finding = |sample: u32| {
            let file = path.as_path().into();
            let (line, column, offset, entry, related, message) = (1, 1, 0, None, None, "".into());
            let finding = data::check::Finding {
                kind: data::check::Kind::Dark,
                file,
                line,
                column,
                offset,
                entry,
                related,
                message,
            };
            crate::tui::datasets::Found { finding, sample: Some(sample) }
        };
        let found: Arc<crate::tui::datasets::Findings> = Arc::new(vec![finding(2), finding(3)].into());
        let before = |selected| Before {
            data: first.data.clone(),
            selected: Some(selected),
            marks: [0, 2, 3].into(),
            found: Some(found.clone()),
        };
        // One in front, one changed, one gone.
        lines(&[("9", "new"), ("0", "a"), ("1", "b"), ("2", "edited"), ("8", "more"), ("3", "d")]);
        let again = open(source(&path), Some(before(3))).unwrap();
        assert_eq!((again.selected, again.marks), (Some(5), [1, 5].into()));
        assert_eq!(again.changed, Some(3));
        let found = again.found.unwrap();
        let samples = [0, 1].map(|number| found.get(number).and_then(|found| found.sample));
        assert_eq!(samples, [None, Some(5)], "what was found moves with its entries");
        let again = open(source(&path), Some(before(2))).unwrap();
        assert_eq!(again.selected, Some(3), "the edited entry of the same picture");
        let again = open(source(&path), Some(before(0))).unwrap();
        assert_eq!(again.selected, Some(1));
        file(&dir.path().join("b.json"), &["x"]);
        let other = open(source(&dir.path().join("b.json")), Some(before(2))).unwrap();
        assert_eq!((other.selected, other.marks.len()), (Some(0), 0));
        let gone = dir.path().join("gone.json");
        let error = open(source(&gone), None).unwrap_err();
        assert!(error.problem.contains("no such file"), "{error:?}");
        assert_eq!(error.watched, Watched { files: vec![gone], stamps: vec![None] });
        file(&dir.path().join("c.json"), &["x"]);
        std::fs::create_dir_all(dir.path().join("set/annotations")).unwrap();
        let broken = dir.path().join("set/annotations/coco_karpathy_train.json");
        std::fs::write(&broken, "[").unwrap();
        let error = open(source(&dir.path().join("set")), None).unwrap_err();
        assert_eq!(error.watched.files, [broken], "the file that is wrong");
    }
}
