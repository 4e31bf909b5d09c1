//! `cocaptain eval retrieval`: pictures found by captions, captions by pictures.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use run::serve::{Reply, Request, Way};
use serde_json::{Value, json};

use super::record::{Record, weights_mark, whole_path};
use super::{asked, test_data};
use crate::cli::serving::{self, End, Progress, Serving};
use crate::cli::{Done, Failure, print};
use crate::evaluations::opened::{IMAGES, TEXTS};

/// The command.
pub fn command() -> Command {
    Command::new("retrieval").about(
        "Recall at 1, 5 and 10 of captions by pictures and of pictures by captions, mean and median rank",
    )
}

/// Carries it out.
pub fn evaluate(m: &ArgMatches) -> Done {
    let asked = asked::read("retrieval", m)?;
    let settings = asked::precise(serving::settings(m)?, &asked);
    let root = PathBuf::from(&settings.output_dir);
    let set = test_data(m, settings.model.as_deref(), &root)?;
    let mut images: Vec<Option<PathBuf>> = vec![None; set.images()];
    let (mut texts, mut image_of_text) = (Vec::new(), Vec::new());
    for index in 0..set.len() {
        let (Some(image), Some(number)) = (set.image(index), set.image_number(index)) else { continue };
        if let Some(slot) = images.get_mut(number) {
            slot.get_or_insert_with(|| image.path());
        }
        for caption in set.captions(index) {
            texts.push(caption.to_owned());
            image_of_text.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }
    let images: Vec<PathBuf> = images.into_iter().map(Option::unwrap_or_default).collect();
    if texts.is_empty() {
        return Err(Failure::Failed(format!("{}: there is no caption", set.path().display())));
    }
    super::warn_of_memory(&asked, &settings, &root);
    let serving = Serving::start_several(settings, asked::processes(&asked))?;
    let request = json!({
        "task": "retrieval", "weights": weights_mark(serving.weights()), "data": whole_path(set.path()),
        "fingerprint": set.fingerprint(), "precision": asked.precision,
    });
    let (record, _) = Record::open(&root, "retrieval", serving.model(), &request, true)?;
    let mut progress = Progress::new("pictures and captions");
    let mut figures = BTreeMap::new();
    let mut unreadable: BTreeMap<String, String> = BTreeMap::new();
    let names = images.clone();
    let mut of_images = Ranked::new(images.len());
    let mut of_texts = Ranked::new(texts.len());
    let captions: Vec<(String, u32)> = texts.iter().cloned().zip(image_of_text.iter().copied()).collect();
    let ask = Request::Retrieve { images, texts, image_of_text, batch: serving::batch(m) };
    let end = serving.ask(ask, |reply| {
        match reply {
            Reply::Progress { done, total } => progress.say(done, total),
            Reply::Retrieved { figures: found } => figures = found,
            Reply::Ranks { of: Way::Image, ranks } => of_images.rank(ranks),
            Reply::Ranks { of: Way::Text, ranks } => of_texts.rank(ranks),
            Reply::Found { of: Way::Image, index, top } => of_images.find(index, top),
            Reply::Found { of: Way::Text, index, top } => of_texts.find(index, top),
            Reply::Unreadable { index, why } => {
                let name = names.get(usize::try_from(index).unwrap_or(usize::MAX));
                let name = name.map_or(Path::new("?"), PathBuf::as_path).display().to_string();
                unreadable.insert(name, why);
            }
            _ => {}
        }
        Ok(())
    })?;
    serving::clear();
    if end == End::Cancelled {
        return Err(Failure::Failed("stopped; there is no result".to_owned()));
    }
    let mut result = json!(figures);
    if let Some(object) = result.as_object_mut() {
        object.insert("model".to_owned(), json!(serving.model()));
        object.insert("how".to_owned(), json!(asked::how(&asked)));
        object.insert("unreadable".to_owned(), json!(unreadable));
    }
    let image = |(at, path): (usize, &PathBuf)| of_images.line(at, json!({ "image": whole_path(path) }));
    let text = |(at, (text, image)): (usize, &(String, u32))| {
        of_texts.line(at, json!({ "text": text, "image": image }))
    };
    record.file(IMAGES, names.iter().enumerate().map(image).collect::<String>().as_bytes())?;
    record.file(TEXTS, captions.iter().enumerate().map(text).collect::<String>().as_bytes())?;
    let place = record.finish(&result)?;
    if m.get_flag("json") {
        if let Some(object) = result.as_object_mut() {
            object.insert("result".to_owned(), json!(place));
        }
        return print(&format!("{result}\n"));
    }
    let figure = |name: &str| figures.get(name).copied().unwrap_or(f64::NAN);
    let mut text = format!(
        "{:<16} {:>7} {:>7} {:>7} {:>10} {:>12}\n",
        "", "R@1", "R@5", "R@10", "mean rank", "median rank"
    );
    for (title, way) in [("picture to text", "image_to_text"), ("text to picture", "text_to_image")] {
        let recall = |k: u32| 100.0 * figure(&format!("{way}_R@{k}"));
        text += &format!(
            "{title:<16} {:>6.2}% {:>6.2}% {:>6.2}% {:>10.1} {:>12.0}\n",
            recall(1),
            recall(5),
            recall(10),
            figure(&format!("{way}_mean_rank")),
            figure(&format!("{way}_median_rank"))
        );
    }
    text += &format!("{} pictures, {} captions", figure("images"), figure("texts"));
    if !unreadable.is_empty() {
        text += &format!("; {} pictures could not be read and are left out", unreadable.len());
    }
    text += &format!("\n{}\n", run::escape::line(&place.display().to_string()));
    print(&text)
}

/// What came of all pictures, or of all texts.
struct Ranked {
    /// Ranks from 1; those that could not be read have none.
    ranks: Vec<Option<u64>>,
    /// What stands first for those whose ranks are worst.
    found: HashMap<usize, Vec<(u64, f32)>>,
}

impl Ranked {
    fn new(count: usize) -> Self {
        Self { ranks: vec![None; count], found: HashMap::new() }
    }

    fn rank(&mut self, ranks: Vec<(u64, u64)>) {
        for (index, rank) in ranks {
            if let Some(place) = usize::try_from(index).ok().and_then(|at| self.ranks.get_mut(at)) {
                *place = Some(rank);
            }
        }
    }

    fn find(&mut self, index: u64, top: Vec<(u64, f32)>) {
        self.found.insert(usize::try_from(index).unwrap_or(usize::MAX), top);
    }

    /// A line for who looks at the result; its number is that of the picture or text.
    fn line(&self, at: usize, mut value: Value) -> String {
        if let Some(object) = value.as_object_mut() {
            object.insert("rank".to_owned(), json!(self.ranks.get(at).copied().flatten()));
            if let Some(top) = self.found.get(&at) {
                object.insert("top".to_owned(), json!(top));
            }
        }
        format!("{value}\n")
    }
}
