//! `cocaptain eval queue`: what waits, is at work and is over; and the runner itself.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::asked;
use crate::cli::{Done, Failure, output_dir, print, root_of};
use crate::evaluations::queue::{Entry, Phase, Queue};
use crate::evaluations::{runner, short_data, short_model};

/// Flags that an item of the queue cannot hold.
const NOT_QUEUED: [&str; 4] = ["predictions", "captions", "keep", "fresh"];

/// The command.
pub fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u64)).help(help)
    };
    Command::new("queue")
        .about("Evaluations that wait, are at work or are over (`cocaptain eval TASK --queue` adds one)")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(number("cancel", "Cancel the item of this number"))
        .arg(number("remove", "Take an item that is over out of the list; its result stays"))
        .arg(number("log", "Print what the item of this number said"))
        .arg(output_dir())
}

/// The runner's command, which people need not know.
pub fn runner_command() -> Command {
    Command::new("run-queue").hide(true).about("Work on the queue until it is empty").arg(output_dir())
}

/// Works on the queue.
pub fn run(m: &ArgMatches) -> Done {
    // A session of its own: the end of the terminal is not the end of the queue. It fails only when we lead one already.
    let _ = rustix::process::setsid();
    runner::work(&root_of(m)).map_err(Failure::Failed)
}

/// Adds an evaluation.
pub fn add(task: &str, m: &ArgMatches) -> Done {
    let given = |name: &&&str| {
        m.try_contains_id(name).unwrap_or(false)
            && m.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
    };
    if let Some(name) = NOT_QUEUED.iter().find(given) {
        return Err(Failure::Usage(format!("--{name} does not go with --queue")));
    }
    let asked = asked::read(task, m)?;
    if task == "caption" {
        asked.decoding().map_err(|e| Failure::Usage(e.to_string()))?;
    }
    let root = root_of(m);
    let here = std::env::current_dir().map_err(Failure::failed)?;
    let queue = Queue::of(&root);
    let id = queue.add(&asked, &here).map_err(Failure::Failed)?;
    runner::ensure(&root).map_err(Failure::Failed)?;
    if m.get_flag("json") {
        return print(&format!("{}\n", json!({ "id": id })));
    }
    print(&format!("item {id} of the queue; see: cocaptain eval queue\n"))
}

/// Shows the queue, or changes it.
pub fn queue(m: &ArgMatches) -> Done {
    let root = root_of(m);
    let queue = Queue::of(&root);
    if let Some(id) = m.get_one::<u64>("cancel") {
        return queue.cancel(*id).map_err(Failure::Failed);
    }
    if let Some(id) = m.get_one::<u64>("remove") {
        return queue.remove(*id).map_err(Failure::Failed);
    }
    if let Some(id) = m.get_one::<u64>("log") {
        let log = queue.log(*id);
        let text = std::fs::read(&log).map_err(|e| Failure::Failed(format!("{}: {e}", log.display())))?;
        let text = String::from_utf8_lossy(&text);
        let lines: String = text.lines().map(|l| format!("{}\n", run::escape::line(l))).collect();
        return print(&lines);
    }
    if queue.is_stuck() {
        runner::ensure(&root).map_err(Failure::Failed)?;
    }
    let entries = queue.entries();
    if m.get_flag("json") {
        let all: Vec<Value> = entries.iter().map(as_json).collect();
        return print(&format!("{}\n", Value::from(all)));
    }
    if entries.is_empty() {
        return print("the queue is empty\n");
    }
    print(&entries.iter().map(line).collect::<String>())
}

fn as_json(entry: &Entry) -> Value {
    let progress = entry.progress.as_ref();
    json!({
        "id": entry.item.id, "state": entry.state.phase, "since": entry.state.since,
        "settings": entry.item.settings, "message": entry.state.message, "folder": entry.state.folder,
        "what": progress.map(|p| &p.what), "done": progress.map(|p| p.done), "total": progress.map(|p| p.total),
        "left": progress.and_then(|p| p.left),
    })
}

fn line(entry: &Entry) -> String {
    let settings = &entry.item.settings;
    let model = settings.model.as_deref().map_or("the newest run".to_owned(), short_model);
    let data = settings.data.as_deref().map_or("its own data".to_owned(), short_data);
    let more = match (&entry.state.phase, &entry.progress, &entry.state.message) {
        (Phase::Running, Some(p), _) if p.total > 0 => {
            let left = p.left.map_or(String::new(), |s| format!(", {s:.0} s to go"));
            format!("  {}: {} of {}{left}", p.what, p.done, p.total)
        }
        (_, _, Some(message)) => format!("  {}", run::escape::line(message)),
        _ => result(entry.state.folder.as_deref()),
    };
    let text = format!(
        "{:>4}  {:<10} {:<10} {model} on {data}",
        entry.item.id,
        entry.state.phase.word(),
        settings.task
    );
    format!("{}{more}\n", run::escape::line(&text))
}

fn result(folder: Option<&Path>) -> String {
    let Some(outcome) = folder.and_then(crate::evaluations::results::Outcome::read) else {
        return String::new();
    };
    let shown = crate::evaluations::results::shown(&outcome.task).iter();
    let figures = shown.filter_map(|(name, heading, factor, _)| {
        Some(format!("  {heading} {:.2}", outcome.figures.get(*name)? * factor))
    });
    figures.collect()
}
