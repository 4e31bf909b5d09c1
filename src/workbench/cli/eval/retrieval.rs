//! `cocaptain eval retrieval`: pictures found by captions, captions by pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use run::serve::{Reply, Request};
use serde_json::json;

use super::record::{Record, weights_mark};
use super::{asked, test_data};
use crate::cli::serving::{self, End, Progress, Serving};
use crate::cli::{Done, Failure, print};

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
    let serving = Serving::start_several(settings, asked::processes(&asked))?;
    let request = json!({
        "task": "retrieval", "weights": weights_mark(serving.weights()), "data": set.path(),
        "fingerprint": set.fingerprint(), "precision": asked.precision,
    });
    let (record, _) = Record::open(&root, "retrieval", serving.model(), &request, true)?;
    let mut progress = Progress::new("pictures and captions");
    let mut figures = BTreeMap::new();
    let mut unreadable: BTreeMap<String, String> = BTreeMap::new();
    let names = images.clone();
    let ask = Request::Retrieve { images, texts, image_of_text, batch: serving::batch(m) };
    let end = serving.ask(ask, |reply| {
        match reply {
            Reply::Progress { done, total } => progress.say(done, total),
            Reply::Retrieved { figures: found } => figures = found,
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
    let place = record.finish(&result)?;
    if m.get_flag("json") {
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
