//! `cocaptain data show`: one entry, with its picture.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::Dataset;
use serde_json::json;

use super::super::{Done, Failure, print};
use super::read;
use crate::datasets::entry::{Caption, Facts};
use crate::inline;

/// The command.
pub fn command() -> Command {
    let command = Command::new("show")
        .about("Show an entry: its picture, captions, their ids and where they are cut")
        .arg(
            Arg::new("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, shards or folder; see docs/datasets.md"),
        )
        .arg(
            Arg::new("ENTRY")
                .value_parser(value_parser!(u32))
                .default_value("0")
                .help("Number of the entry in the file, from 0, as `data check` names it"),
        )
        .arg(
            Arg::new("part")
                .long("part")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .default_value("0")
                .help("Of several shards or parts, which one, from 0"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(
            Arg::new("no_picture")
                .long("no_picture")
                .alias("no-picture")
                .action(ArgAction::SetTrue)
                .help("Don't show the picture on the terminal"),
        );
    read::flags(read::token_flags(command))
}

/// Carries it out.
pub fn show(m: &ArgMatches) -> Done {
    let dataset = read::open(m, "FILE")?;
    let (entry, part) = (number(m, "ENTRY"), number(m, "part"));
    let index = find(&dataset, part, entry)?;
    let tokenizer = read::tokenizer(m, dataset.path())?;
    let context = read::context_length(m);
    let captions: Vec<Caption> =
        dataset.captions(index).map(|text| Caption::new(text, &tokenizer, context)).collect();
    let facts = Facts::of(&dataset, index);
    let origin = dataset.origin(index).unwrap_or_default();
    let file = dataset.files().get(origin.file as usize).cloned().unwrap_or_default();
    let image = dataset.image(index).map(|image| image.name).unwrap_or_default();
    if m.get_flag("json") {
        let told: Vec<_> = captions
            .iter()
            .map(|caption| {
                let tokens = caption.tokens.as_deref().unwrap_or_default();
                json!({
                    "caption": caption.text,
                    "tokens": tokens.iter().map(|t| json!({"id": t.id, "text": t.text})).collect::<Vec<_>>(),
                    "lost": caption.lost().len(),
                })
            })
            .collect();
        let header = facts.as_ref().map(|facts| match &facts.header {
            Ok((format, width, height, bytes)) => {
                json!({"path": facts.path, "format": format, "width": width, "height": height, "bytes": bytes})
            }
            Err(problem) => json!({"path": facts.path, "error": problem}),
        });
        let whole = json!({
            "file": file, "line": origin.line, "offset": origin.offset, "entry": origin.entry,
            "image": image, "image_id": dataset.id(index), "picture": header, "captions": told,
            "context_length": context,
        });
        return print(&format!("{whole:#}\n"));
    }
    let line = |text: &str| format!("{}\n", run::escape::line(text));
    let place = if origin.line > 0 { format!(":{}", origin.line) } else { String::new() };
    let of = if dataset.files().len() == 1 { format!(" of {}", entries(&dataset)) } else { String::new() };
    let mut out = line(&format!("{}{place}  entry {}{of}", file.display(), origin.entry));
    out += &line(&format!("image    {image}"));
    if let Some(id) = dataset.id(index) {
        out += &line(&format!("id       {id}"));
    }
    if let Some(facts) = &facts {
        let offset = facts.offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        out += &line(&format!("file     {}{offset}", facts.path));
        out += &line(&format!("picture  {}", facts.words()));
    }
    print(&out)?;
    let terminal = std::io::stdout().is_terminal();
    if terminal
        && !m.get_flag("no_picture")
        && let Some(Ok(bytes)) = dataset.image(index).map(|image| image.read())
    {
        // One that cannot be shown is no loss: what is wrong with it stands above.
        let _ = inline::show(&bytes);
    }
    let mut out = String::new();
    for (at, caption) in captions.iter().enumerate() {
        out += &line(&format!("caption {}  {}", at + 1, caption.text));
        match &caption.tokens {
            Err(problem) => out += &line(&format!("  no tokens: {problem}")),
            Ok(tokens) => {
                let kept = tokens.len() - caption.lost().len();
                for (at, token) in tokens.iter().take(kept).enumerate() {
                    // The end stands at the last place, whatever is cut.
                    let token = if at + 1 == kept { tokens.last().unwrap_or(token) } else { token };
                    out += &format!("  {at:>3} {:>6}  {}", token.id, line(&token.text));
                }
                if !caption.lost().is_empty() {
                    let lost: Vec<&str> = caption.lost().iter().map(|t| t.text.as_str()).collect();
                    let count = lost.len();
                    let told = format!(
                        "  cut: {count} of {} tokens do not fit into {context}: {}",
                        tokens.len(),
                        lost.join(" ")
                    );
                    out += &line(&told);
                }
            }
        }
    }
    if captions.is_empty() {
        out += "no caption\n";
    }
    print(&out)
}

fn number(m: &ArgMatches, name: &str) -> u32 {
    m.get_one::<u32>(name).copied().unwrap_or(0)
}

fn entries(dataset: &Dataset) -> usize {
    dataset.len() + dataset.broken_count()
}

/// The sample that an entry became.
fn find(dataset: &Dataset, part: u32, entry: u32) -> Result<usize, Failure> {
    let at = |index: usize| dataset.origin(index).map(|origin| (origin.file, origin.entry));
    // Samples are in the order of files and entries.
    let (mut low, mut high) = (0, dataset.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if at(middle) < Some((part, entry)) { low = middle + 1 } else { high = middle }
    }
    if at(low) == Some((part, entry)) {
        return Ok(low);
    }
    let broken = dataset.broken().iter().find(|b| (b.origin.file, b.origin.entry) == (part, entry));
    let path = dataset.path().display();
    Err(Failure::Failed(match broken {
        Some(broken) => {
            format!("{path}:{}: entry {entry} is no sample: {}", broken.origin.line, broken.problem)
        }
        None => format!("{path}: there is no entry {entry}: it has {}, counted from 0", entries(dataset)),
    }))
}
