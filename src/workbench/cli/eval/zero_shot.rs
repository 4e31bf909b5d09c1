//! `cocaptain eval zero-shot`: classification by class names alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Arg, ArgMatches, Command};
use data::scores::classes::ClassScores;
use data::zero_shot::{ClassFolders, Templates};
use run::serve::{Reply, Request};
use serde_json::{Value, json};

use super::record::{Record, weights_mark};
use super::{asked, flags};
use crate::cli::serving::{self, End, Progress, Serving};
use crate::cli::{Done, Failure, print};
use crate::evaluations::check;

/// Classes that are kept of each picture.
const KEEP: u32 = 5;

/// Confusions that people are shown.
const SHOWN: usize = 5;

/// The command.
pub fn command() -> Command {
    Command::new("zero-shot")
        .about("Top-1 and top-5 over class folders: ImageNet's val folder, images/ with labels.txt and templates.txt, or any class folders")
        .arg(
            Arg::new("templates")
                .long("templates")
                .value_name("WORD|F")
                .default_value("own")
                .help("own (the set's, else ImageNet's 80 for ImageNet), imagenet, simple (7), or a file with a template a line"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..))
                .help("Classes to keep of each picture in answers.jsonl (default 5)"),
        )
}

/// Carries it out.
pub fn evaluate(m: &ArgMatches) -> Done {
    let asked = asked::read("zero-shot", m)?;
    let mut settings = serving::settings(m)?;
    flags::assign_some(&mut settings, m, super::SETTINGS).map_err(|e| Failure::Usage(e.to_string()))?;
    let settings = asked::precise(settings, &asked);
    let root = PathBuf::from(&settings.output_dir);
    let folder = check::zero_shot_folder(asked.data.as_deref(), settings.model.as_deref(), &root)
        .map_err(Failure::Usage)?;
    let folder = folder.canonicalize().unwrap_or(folder);
    let templates = Templates::named(&asked.templates);
    let set = ClassFolders::with_templates(&folder, &templates).map_err(Failure::failed)?;
    let batch = u32::try_from(asked.batch).unwrap_or(u32::MAX);
    let keep = m.get_one::<u32>("keep").copied().unwrap_or(KEEP).max(KEEP);

    super::warn_of_memory(&asked, &settings, &root);
    let serving = Serving::start_several(settings, asked::processes(&asked))?;
    let prompts = set.all_prompts();
    let request = json!({
        "task": "zero-shot", "weights": weights_mark(serving.weights()), "set": folder, "keep": keep,
        "prompts": format!("{:016x}", xxhash_rust::xxh3::xxh3_64(json!(prompts).to_string().as_bytes())),
        "pictures": set.images.len(), "templates": asked.templates, "precision": asked.precision,
    });
    let (mut record, known) =
        Record::open(&root, "zero-shot", serving.model(), &request, m.get_flag("fresh"))?;
    let mut scores = ClassScores::new(set.classes.len());
    let mut left = Vec::new();
    for (name, class) in &set.images {
        match known.get(name).and_then(answered) {
            Some(classes) => scores.add(number(*class), classes),
            None => left.push((name.as_str(), *class)),
        }
    }
    let before = set.images.len() - left.len();
    if before > 0 {
        eprintln!("{before} of {} pictures have their answer already", set.images.len());
    }

    let mut unreadable = BTreeMap::new();
    let (began, mut built) = (Instant::now(), None);
    if !left.is_empty() {
        let (mut texts, mut pictures) = (Progress::new("classifier"), Progress::new("pictures"));
        let images = left.iter().map(|(name, _)| set.image(name)).collect();
        let end = serving.ask(Request::Classify { images, prompts, keep, batch }, |reply| {
            match reply {
                Reply::Classifier { done, total } => {
                    texts.say(done, total);
                    built = Some(Instant::now());
                }
                Reply::Progress { done, total } => pictures.say(done, total),
                Reply::Classified { index, top } => {
                    if let Some((name, class)) = left.get(usize::try_from(index).unwrap_or(usize::MAX)) {
                        scores.add(number(*class), top.iter().map(|(class, _)| *class));
                        record.keep(&json!({ "image": name, "class": class, "top": top }))?;
                    }
                }
                Reply::Unreadable { index, why } => {
                    if let Some((name, _)) = left.get(usize::try_from(index).unwrap_or(usize::MAX)) {
                        unreadable.insert((*name).to_owned(), why);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        serving::clear();
        if end == End::Cancelled {
            let n = scores.total().n;
            return Err(Failure::Failed(format!(
                "stopped: {n} of {} pictures have their answer; the same command goes on from here",
                set.images.len()
            )));
        }
    }
    // A classifier that was found took no time to speak of.
    let start = built.unwrap_or(began);
    let seconds = json!({
        "classifier": (start - began).as_secs_f64(), "pictures": start.elapsed().as_secs_f64(), "answered": left.len(),
    });
    report(
        m.get_flag("json"),
        &set,
        &scores,
        (&unreadable, seconds),
        (serving.model(), &asked::how(&asked)),
        &record,
    )
}

fn report(
    as_json: bool,
    set: &ClassFolders,
    scores: &ClassScores,
    (unreadable, seconds): (&BTreeMap<String, String>, Value),
    (model, how): (&str, &str),
    record: &Record,
) -> Done {
    let total = scores.total();
    let name = |class: u32| set.classes.get(class as usize).map_or("?", String::as_str);
    let per_class: Vec<Value> = set
        .classes
        .iter()
        .zip(&set.folders)
        .zip(scores.classes())
        .map(|((name, folder), s)| {
            json!({ "class": name, "folder": folder, "n": s.n, "top1": s.top1(), "top5": s.top5() })
        })
        .collect();
    let confusions = scores.confusions();
    let confused: Vec<Value> = confusions
        .iter()
        .map(|c| json!({ "class": name(c.class), "taken_for": name(c.taken_for), "n": c.n }))
        .collect();
    let result = json!({
        "top1": total.top1(), "top5": total.top5(), "n": total.n, "ci95": total.ci95(),
        "model": model, "how": how, "templates": set.templates.len(), "unreadable": unreadable,
        "per_class": per_class, "confusions": confused, "seconds": seconds,
    });
    if total.n == 0 {
        return Err(super::nothing_read(unreadable));
    }
    let place = record.finish(&result)?;
    if as_json {
        let short = json!({
            "top1": total.top1(), "top5": total.top5(), "n": total.n, "ci95": total.ci95(),
            "unreadable": unreadable.len(), "result": place,
        });
        return print(&format!("{short}\n"));
    }
    let percent = |share: f64| 100.0 * share;
    let [low, high] = total.ci95().map(percent);
    let mut text = format!(
        "top-1 {:.2} % (95 % interval {low:.2} to {high:.2}), top-5 {:.2} %, {} pictures of {} classes, {} templates\n",
        percent(total.top1()),
        percent(total.top5()),
        total.n,
        set.classes.len(),
        set.templates.len()
    );
    for c in confusions.iter().take(SHOWN) {
        text += &format!("  {} taken for {}: {}\n", escaped(name(c.class)), escaped(name(c.taken_for)), c.n);
    }
    if !unreadable.is_empty() {
        text += &format!("{} pictures could not be read:\n", unreadable.len());
        for (name, why) in unreadable.iter().take(SHOWN) {
            text += &format!("  {}: {}\n", escaped(name), escaped(why));
        }
    }
    text += &format!("{}\n", escaped(&place.display().to_string()));
    print(&text)
}

/// The classes of a kept answer, where it is one.
fn answered(answer: &Value) -> Option<Vec<u32>> {
    let class = |pair: &Value| u32::try_from(pair.get(0)?.as_u64()?).ok();
    answer.get("top")?.as_array()?.iter().map(class).collect()
}

fn number(class: usize) -> u32 {
    u32::try_from(class).unwrap_or(u32::MAX)
}

fn escaped(text: &str) -> String {
    run::escape::line(text).to_string()
}
