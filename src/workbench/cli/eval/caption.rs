//! `cocaptain eval caption`: captions scored against references.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use data::Dataset;
use data::scores::{Scored, Scores, score};
use run::serve::{Reply, Request};
use serde_json::{Value, json};

use super::record::{Record, weights_mark, whole_path};
use super::{asked, test_data};
use crate::cli::caption::decoding;
use crate::cli::serving::{self, End, Progress, Serving};
use crate::cli::{Done, Failure, print};
use crate::evaluations::opened::PICTURES;

/// The command.
pub fn command() -> Command {
    let command = Command::new("caption")
        .about("BLEU-1..4, ROUGE-L and CIDEr-D of captions against a data set's (METEOR and SPICE need Java and are absent)")
        .arg(
            Arg::new("predictions")
                .long("predictions")
                .value_name("F")
                .value_parser(value_parser!(PathBuf))
                .help("Score these captions instead of a model's: COCO results, or JSON lines with image and caption"),
        );
    decoding::flags(command)
}

/// What is captioned: a picture with its references.
struct Picture {
    name: String,
    id: Option<String>,
    path: PathBuf,
    references: Vec<String>,
}

/// Carries it out.
pub fn evaluate(m: &ArgMatches) -> Done {
    let as_json = m.get_flag("json");
    if let Some(file) = m.get_one::<PathBuf>("predictions") {
        let pictures = pictures(&test_data(m, None, Path::new("."))?);
        let captions = predictions(file)?;
        let caption = |p: &Picture| captions.get(&p.name).or_else(|| captions.get(p.id.as_ref()?)).cloned();
        let found: Vec<Option<String>> = pictures.iter().map(caption).collect();
        if found.iter().all(Option::is_none) {
            return Err(Failure::Failed(format!(
                "{}: none of its images is one of the data's {}",
                file.display(),
                pictures.len()
            )));
        }
        let (scores, _, missing) = scored(&pictures, &found);
        return print(&words(as_json, &scores, found.len() - missing, missing, None));
    }
    let asked = asked::read("caption", m)?;
    let decoding = decoding::read(m)?;
    let settings = serving::settings(m)?;
    let root = PathBuf::from(&settings.output_dir);
    let set = test_data(m, settings.model.as_deref(), &root)?;
    let pictures = pictures(&set);
    super::warn_of_memory(&asked, &settings, &root);
    let serving = Serving::start_several(settings, asked::processes(&asked))?;
    let request = json!({
        "task": "caption", "weights": weights_mark(serving.weights()), "data": whole_path(set.path()),
        "fingerprint": set.fingerprint(), "decoding": decoding,
    });
    let (mut record, known) = Record::open(&root, "caption", serving.model(), &request, m.get_flag("fresh"))?;
    let kept = |p: &Picture| Some(known.get(&p.name)?.get("caption")?.as_str()?.to_owned());
    let mut captions: Vec<Option<String>> = pictures.iter().map(kept).collect();
    let left: Vec<usize> = (0..pictures.len()).filter(|i| captions[*i].is_none()).collect();
    let mut unreadable = BTreeMap::new();
    if !left.is_empty() {
        let mut progress = Progress::new("captioning");
        let ask = Request::Caption {
            images: left.iter().map(|i| pictures[*i].path.clone()).collect(),
            decoding,
            batch: serving::batch(m),
            stream: false,
        };
        let end = serving.ask(ask, |reply| {
            let of = |index: u64| left.get(usize::try_from(index).unwrap_or(usize::MAX)).copied();
            match reply {
                Reply::Progress { done, total } => progress.say(done, total),
                Reply::Caption { index, captions: written, .. } => {
                    if let (Some(at), Some(best)) = (of(index), written.into_iter().next()) {
                        record.keep(&json!({ "image": pictures[at].name, "caption": best.text }))?;
                        captions[at] = Some(best.text);
                    }
                }
                Reply::Unreadable { index, why } => {
                    if let Some(at) = of(index) {
                        unreadable.insert(pictures[at].name.clone(), why);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        serving::clear();
        if end == End::Cancelled {
            return Err(Failure::Failed("stopped; the same command goes on from here".to_owned()));
        }
    }
    let (scores, each, missing) = scored(&pictures, &captions);
    if pictures.len() == missing {
        return Err(super::nothing_read(&unreadable));
    }
    let coco = |(at, p): (usize, &Picture)| {
        let caption = captions[at].as_ref()?;
        Some(json!({ "image_id": coco_id(p), "image": p.name, "caption": caption }))
    };
    let results: Vec<Value> = pictures.iter().enumerate().filter_map(coco).collect();
    let place = record.file("results.json", Value::from(results).to_string().as_bytes())?;
    record.file(PICTURES, lines(&pictures, &captions, &each).as_bytes())?;
    let mut result = figures(&scores, pictures.len() - missing);
    if let Some(object) = result.as_object_mut() {
        object.insert("model".to_owned(), json!(serving.model()));
        object.insert("how".to_owned(), json!(asked::how(&asked)));
        object.insert("unreadable".to_owned(), json!(unreadable));
    }
    record.finish(&result)?;
    print(&words(as_json, &scores, pictures.len() - missing, missing, Some(&place)))
}

/// The pictures of a data set, each once, with all captions that it has.
fn pictures(set: &Dataset) -> Vec<Picture> {
    let mut all: Vec<Option<Picture>> = Vec::new();
    all.resize_with(set.images(), || None);
    for index in 0..set.len() {
        let (Some(image), Some(number)) = (set.image(index), set.image_number(index)) else { continue };
        let Some(slot) = all.get_mut(number) else { continue };
        let picture = slot.get_or_insert_with(|| Picture {
            path: image.path(),
            name: image.name,
            id: set.id(index).map(str::to_owned),
            references: Vec::new(),
        });
        picture.references.extend(set.captions(index).map(str::to_owned));
    }
    all.into_iter().flatten().filter(|p| !p.references.is_empty()).collect()
}

/// A line for each picture with a caption, for who looks at the result: the caption, its references, its scores.
fn lines(pictures: &[Picture], captions: &[Option<String>], each: &[Scores]) -> String {
    let with_caption = pictures.iter().zip(captions).filter_map(|(p, c)| Some((p, c.as_ref()?)));
    let line = |((p, caption), s): ((&Picture, &String), &Scores)| {
        let value = json!({
            "image": whole_path(&p.path), "caption": caption, "references": p.references,
            "cider": s.cider, "bleu4": s.bleu[3], "rouge_l": s.rouge_l,
        });
        format!("{value}\n")
    };
    with_caption.zip(each).map(line).collect()
}

/// Scores of those that have a caption, together and each, and how many have none.
fn scored(pictures: &[Picture], captions: &[Option<String>]) -> (Scores, Vec<Scores>, usize) {
    let pair = |(p, caption): (&Picture, &Option<String>)| {
        Some(Scored::new(caption.as_deref()?, p.references.iter().map(String::as_str)))
    };
    let set: Vec<Scored> = pictures.iter().zip(captions).filter_map(pair).collect();
    let (all, each) = score(&set);
    (all, each, pictures.len() - set.len())
}

/// COCO counts its pictures: the number at the end of an id or a file name, where there is one.
fn coco_id(p: &Picture) -> Value {
    let name = p.id.as_deref().unwrap_or(&p.name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let digits: String = stem.chars().rev().take_while(char::is_ascii_digit).collect();
    let number = digits.chars().rev().collect::<String>().parse::<u64>();
    number.map_or_else(|_| json!(name), |n| json!(n))
}

/// Captions of a file, by image and by image_id: a JSON array (COCO results) or JSON lines.
fn predictions(file: &Path) -> Result<HashMap<String, String>, Failure> {
    let fail = |what: String| Failure::Failed(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| fail(e.to_string()))?;
    let entries: Vec<Value> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|e| fail(format!("not COCO results: {e}")))?
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = |(at, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| fail(format!("line {}: not JSON: {e}", at + 1)))
        };
        lines.map(read).collect::<Result<_, _>>()?
    };
    let mut captions = HashMap::new();
    for entry in &entries {
        let Some(caption) = entry.get("caption").and_then(Value::as_str) else { continue };
        for key in ["image", "image_id"] {
            let name = match entry.get(key) {
                Some(Value::String(name)) => name.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => continue,
            };
            captions.insert(name, caption.to_owned());
        }
    }
    Ok(captions)
}

fn figures(scores: &Scores, n: usize) -> Value {
    let [bleu1, bleu2, bleu3, bleu4] = scores.bleu;
    json!({
        "bleu1": bleu1, "bleu2": bleu2, "bleu3": bleu3, "bleu4": bleu4,
        "rouge_l": scores.rouge_l, "cider": scores.cider, "n": n,
    })
}

fn words(as_json: bool, scores: &Scores, n: usize, missing: usize, place: Option<&Path>) -> String {
    if as_json {
        return format!("{}\n", figures(scores, n));
    }
    let [b1, b2, b3, b4] = scores.bleu.map(|b| 100.0 * b);
    let mut text = format!(
        "BLEU-1 {b1:.1}  BLEU-2 {b2:.1}  BLEU-3 {b3:.1}  BLEU-4 {b4:.1}  ROUGE-L {:.1}  CIDEr {:.1} (all times 100), {n} pictures",
        100.0 * scores.rouge_l,
        100.0 * scores.cider
    );
    if missing > 0 {
        text += &format!(", {missing} without a caption left out");
    }
    if let Some(place) = place {
        text += &format!("\n{}", run::escape::line(&place.display().to_string()));
    }
    text.push('\n');
    text
}
