//! `cocaptain tokenize`: the ids of texts, as the model is given them.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use data::Tokenizer;

use super::{Done, Failure, print};

/// Ids of a caption in every CoCa model: its context of 77 less the place of the class token.
pub const CONTEXT: usize = 76;

pub fn command() -> Command {
    Command::new("tokenize")
        .about("Show the ids that texts become")
        .arg(Arg::new("TEXT").num_args(1..).help("Texts"))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .conflicts_with("TEXT")
                .help("A file with a text on each line"),
        )
        .arg(
            Arg::new("tokenizer")
                .long("tokenizer")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("A tokenizer.json [default: CLIP's vocabulary]"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print {\"ids\":[[...]...]}"))
}

pub fn tokenize(m: &ArgMatches) -> Done {
    let texts = match m.get_one::<PathBuf>("file") {
        Some(file) => lines_of(file)?,
        None => m.get_many::<String>("TEXT").into_iter().flatten().cloned().collect(),
    };
    if texts.is_empty() && !m.contains_id("file") {
        return Err(Failure::Usage("no text: give some, or a file of lines with --file".into()));
    }
    let tokenizer = match m.get_one::<PathBuf>("tokenizer") {
        Some(file) => Tokenizer::from_file(file),
        None => Tokenizer::clip(),
    }
    .map_err(Failure::failed)?;
    let mut rows = Vec::with_capacity(texts.len());
    let mut shown = String::new();
    for text in &texts {
        let mut row = vec![0; CONTEXT];
        let count = tokenizer.encode_into(text, &mut row).map_err(Failure::failed)?;
        if !m.get_flag("json") {
            shown.push_str(&describe(&tokenizer, text, &row, count)?);
        }
        rows.push(row);
    }
    if m.get_flag("json") {
        return print(&format!("{}\n", serde_json::json!({ "ids": rows })));
    }
    print(&shown)
}

/// The lines of a text file, without what ends them.
pub fn lines_of(file: &Path) -> Result<Vec<String>, Failure> {
    let bytes = std::fs::read(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line =
            e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::Failed(format!("{}:{line}: not UTF-8; convert the file", file.display()))
    })?;
    // As Python reads lines: "\r\n" and "\r" end one too.
    Ok(text.replace("\r\n", "\n").replace('\r', "\n").lines().map(str::to_string).collect())
}

/// Ids above their pieces, and what was cut off.
fn describe(tokenizer: &Tokenizer, text: &str, row: &[i64], count: usize) -> Result<String, Failure> {
    let mut out = format!("{}\n", run::escape::line(text));
    let used = count.min(row.len());
    for (at, id) in row.iter().take(used).enumerate() {
        let piece = if at == 0 {
            "start of text".to_string()
        } else if at + 1 == used {
            "end of text".to_string()
        } else {
            run::escape::line(&tokenizer.decode(&[*id])).to_string()
        };
        out.push_str(&format!("  {at:>3} {id:>6}  {piece}\n"));
    }
    if count > row.len() {
        let all = tokenizer.encode_ids(text).map_err(Failure::failed)?;
        let cut: Vec<i64> = all.iter().skip(row.len().saturating_sub(2)).map(|id| i64::from(*id)).collect();
        let words = tokenizer.decode(&cut);
        out.push_str(&format!(
            "  cut: {} of {count} ids do not fit: {}\n",
            cut.len(),
            run::escape::line(&words)
        ));
    } else {
        out.push_str(&format!("  {used} ids, then {} of padding (0)\n", row.len() - used));
    }
    Ok(out)
}
