//! What an evaluation leaves: its folder, the answers that came so far, the result.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::cli::Failure;
use crate::evaluations::{self, short_model};

/// The folder of one evaluation.
#[derive(Debug)]
pub struct Record {
    folder: PathBuf,
    answers: File,
}

impl Record {
    /// Opens the folder of the evaluation that `request` describes, and gives the answers that are there already, by
    /// their "image". With `fresh` they are dropped.
    pub fn open(
        root: &Path,
        task: &str,
        model: &str,
        request: &Value,
        fresh: bool,
    ) -> Result<(Self, HashMap<String, Value>), Failure> {
        let text = request.to_string();
        let letter = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
        let model: String = short_model(model).chars().map(letter).take(60).collect();
        let name = format!("{task}-{model}-{:012x}", xxh3_64(text.as_bytes()) >> 16);
        let folder = evaluations::folder(root).join(name);
        let io = |path: &Path, e: std::io::Error| Failure::Failed(format!("{}: {e}", path.display()));
        std::fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
        let told = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        evaluations::progress::tell(true, |p| p.folder = Some(told));
        let place = folder.join("request.json");
        run::dir::replace_file(&place, text.as_bytes()).map_err(|e| io(&place, e))?;
        let place = folder.join("answers.jsonl");
        let known = if fresh { HashMap::new() } else { read(&place) };
        // Written anew: a torn last line goes, and a fresh start is one.
        let mut lines = String::new();
        for answer in known.values() {
            lines += &format!("{answer}\n");
        }
        run::dir::replace_file(&place, lines.as_bytes()).map_err(|e| io(&place, e))?;
        let answers = File::options().append(true).open(&place).map_err(|e| io(&place, e))?;
        Ok((Self { folder, answers }, known))
    }

    /// Keeps an answer; it has an "image".
    pub fn keep(&mut self, answer: &Value) -> Result<(), Failure> {
        // One write, so that a kill tears at most the last line.
        let line = format!("{answer}\n");
        self.answers
            .write_all(line.as_bytes())
            .map_err(|e| Failure::Failed(format!("{}: {e}", self.folder.join("answers.jsonl").display())))
    }

    /// Keeps the result; says where.
    pub fn finish(&self, result: &Value) -> Result<PathBuf, Failure> {
        let place = self.folder.join("result.json");
        let text = format!("{result:#}\n");
        run::dir::replace_file(&place, text.as_bytes())
            .map_err(|e| Failure::Failed(format!("{}: {e}", place.display())))?;
        Ok(place)
    }

    /// A file beside the result.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let place = self.folder.join(name);
        run::dir::replace_file(&place, bytes)
            .map_err(|e| Failure::Failed(format!("{}: {e}", place.display())))?;
        Ok(place)
    }
}

/// Answers of a file, by their "image"; lines that make no sense are passed over.
fn read(path: &Path) -> HashMap<String, Value> {
    let Ok(file) = File::open(path) else { return HashMap::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let answer = |line: String| {
        let answer: Value = serde_json::from_str(&line).ok()?;
        Some((answer.get("image")?.as_str()?.to_owned(), answer))
    };
    lines.filter_map(answer).collect()
}

/// A path that means the same from every folder.
pub fn whole_path(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// What tells weights apart without reading them: their path, size and time of change.
pub fn weights_mark(path: &str) -> Value {
    let about = std::fs::metadata(path).ok();
    let changed = about.as_ref().and_then(|a| a.modified().ok());
    let changed = changed.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    serde_json::json!({
        "path": path,
        "bytes": about.map(|a| a.len()),
        "changed": changed.map(|t| t.as_secs_f64()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_survive_and_a_torn_line_goes() {
        let root = tempfile::tempdir().unwrap();
        let request = json!({"set": "x"});
        let open = |fresh| Record::open(root.path(), "zero-shot", "runs/a b", &request, fresh).unwrap();
        let (mut record, known) = open(false);
        assert!(known.is_empty());
        record.keep(&json!({"image": "a", "top": [1]})).unwrap();
        record.keep(&json!({"image": "b", "top": [2]})).unwrap();
        let file = record.folder.join("answers.jsonl");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"image\": \"c\", \"to");
        std::fs::write(&file, text).unwrap();
        let (_, known) = open(false);
        assert_eq!((known.len(), &known["b"]["top"][0]), (2, &json!(2)));
        assert!(std::fs::read_to_string(&file).unwrap().ends_with("}\n"));
        let other = Record::open(root.path(), "zero-shot", "runs/a b", &json!({"set": "y"}), false).unwrap();
        assert!(other.1.is_empty());
        assert!(open(true).1.is_empty());
    }
}
