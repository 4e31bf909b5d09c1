//! Webdataset tar shards: `key.jpg` (png, jpeg, webp) and `key.txt` side by side; other members are passed over, but
//! for the list `captions` and the `image_id` in a `key.json`, which `data convert` writes where a text cannot hold all.
//!
//! A shard is indexed once, by its headers alone and the texts, so that pictures can be read in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::Row;
use super::laion::give;
use super::{Format, ReadError, ReadOptions, Reader, Sink};
use crate::sample::Encoding;

/// The longest caption and the longest path of a member that are read.
const MAX_TEXT: u64 = 1 << 20;
/// More shards than anybody has.
const MAX_SHARDS: usize = 1_000_000;
/// Ends of pictures' names.
pub(super) const PICTURES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Reader of shards.
#[derive(Debug)]
pub(super) struct Webdataset {
    shards: Vec<PathBuf>,
    options: ReadOptions,
}

impl Webdataset {
    /// A reader of these shards.
    pub fn new(shards: Vec<PathBuf>, options: &ReadOptions) -> Self {
        Self { shards, options: options.clone() }
    }
}

impl Reader for Webdataset {
    fn format(&self) -> Format {
        Format::Webdataset
    }

    fn path(&self) -> &Path {
        self.shards.first().map_or(Path::new(""), PathBuf::as_path)
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        Arc::new([])
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        give(&self.shards, "tar", Encoding::Plain, &self.options, sink, index)
    }
}

/// The paths that `a-{00..12}.tar::b.tar` names; braces may hold a range or words with commas.
pub(super) fn expand(spec: &str) -> Result<Vec<PathBuf>, ReadError> {
    let fault = |problem: &str| ReadError::Spec { what: spec.to_owned(), problem: problem.to_owned() };
    let mut done = Vec::new();
    let mut open: Vec<String> = spec.split("::").filter(|one| !one.is_empty()).map(str::to_owned).collect();
    // The last one is taken first.
    open.reverse();
    while let Some(one) = open.pop() {
        let Some((before, rest)) = one.split_once('{') else {
            done.push(PathBuf::from(one));
            continue;
        };
        let (inside, after) = rest.split_once('}').ok_or_else(|| fault("a '{' without its '}'"))?;
        let words: Vec<String> = match inside.split_once("..") {
            None => inside.split(',').map(str::to_owned).collect(),
            Some((first, last)) => {
                let number = |text: &str| text.parse::<u64>().map_err(|_| fault("a range is {000..123}"));
                let (from, to) = (number(first)?, number(last)?);
                let width = if first.starts_with('0') || last.starts_with('0') {
                    first.len().max(last.len())
                } else {
                    0
                };
                if to < from || to - from >= MAX_SHARDS as u64 {
                    return Err(fault(
                        "a range goes from the smaller number to the larger, over less than a million",
                    ));
                }
                (from..=to).map(|n| format!("{n:0width$}")).collect()
            }
        };
        if done.len() + open.len() + words.len() > MAX_SHARDS {
            return Err(fault("names more than a million shards"));
        }
        open.extend(words.into_iter().rev().map(|word| format!("{before}{word}{after}")));
    }
    Ok(done)
}

/// What a `key.json` says that a text cannot; other fields, and another form of these, are passed over.
#[derive(Default)]
struct More {
    captions: Option<Vec<String>>,
    id: Option<String>,
}

impl More {
    fn read(json: &[u8]) -> Self {
        let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(json) else { return Self::default() };
        let captions = value.get_mut("captions").map(serde_json::Value::take);
        let id = match value.get("image_id") {
            Some(serde_json::Value::String(id)) => Some(id.clone()),
            Some(serde_json::Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        Self { captions: captions.and_then(|all| serde_json::from_value(all).ok()), id }
    }
}

/// What a key has so far.
#[derive(Default)]
struct Parts {
    picture: Option<(String, u64, u64)>,
    caption: Option<Result<String, String>>,
    more: More,
    offset: u64,
}

/// The samples of a shard.
fn index(path: &Path) -> Result<Vec<Row>, ReadError> {
    let fault = |error: std::io::Error| ReadError::Io { path: path.to_path_buf(), source: error };
    let file = File::open(path).map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut keys: Vec<(String, Parts)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut long_name: Option<Vec<u8>> = None;
    // A damaged or cut shard gives what stands before the damage; the rest is one broken entry.
    let mut damage = None;
    // Raw entries: names that are too long come as members of their own, which are read within limits here.
    for member in archive.entries_with_seek().map_err(fault)?.raw(true) {
        let mut member = match member {
            Ok(member) => member,
            Err(error) => {
                damage = Some(format!("the shard is damaged: {error}"));
                break;
            }
        };
        let kind = member.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut text = Vec::new();
            let read = (&mut member).take(MAX_TEXT).read_to_end(&mut text);
            if read.is_ok() {
                long_name = if kind.is_gnu_longname() { Some(text) } else { pax_path(&text) };
            }
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| member.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        if !kind.is_file() {
            continue;
        }
        let base = name.rfind('/').map_or(0, |at| at + 1);
        let Some(dot) = name.get(base..).and_then(|base| base.find('.')).map(|at| base + at) else {
            continue;
        };
        let (key, end) = (name.get(..dot).unwrap_or_default(), name.get(dot + 1..).unwrap_or_default());
        let end = end.to_ascii_lowercase();
        let is_picture = PICTURES.contains(&end.as_str());
        if !is_picture && end != "txt" && end != "json" {
            continue;
        }
        let at = *known.entry(key.to_owned()).or_insert_with(|| {
            keys.push((key.to_owned(), Parts { offset: member.raw_header_position(), ..Parts::default() }));
            keys.len() - 1
        });
        let (start, size) = (member.raw_file_position(), member.size());
        if start.saturating_add(size) > length {
            damage = Some(format!("the shard is cut short within '{}'", name.escape_default()));
            keys.truncate(at);
            break;
        }
        let Some((_, parts)) = keys.get_mut(at) else { continue };
        if is_picture {
            parts.picture.get_or_insert((name, start, size));
        } else if end == "json" {
            let mut text = Vec::new();
            if size <= MAX_TEXT && (&mut member).take(MAX_TEXT).read_to_end(&mut text).is_ok() {
                parts.more = More::read(&text);
            }
        } else if size > MAX_TEXT {
            parts.caption = Some(Err("a caption of more than 1 MiB".to_owned()));
        } else {
            let mut text = Vec::new();
            let read = (&mut member).take(MAX_TEXT).read_to_end(&mut text);
            parts.caption = Some(match (read, String::from_utf8(text)) {
                (Ok(_), Ok(text)) => Ok(text.trim().to_owned()),
                (Err(error), _) => Err(error.to_string()),
                (_, Err(_)) => Err("the caption is not UTF-8".to_owned()),
            });
        }
    }
    let mut rows: Vec<Row> = keys
        .into_iter()
        // A .json alone is no sample.
        .filter(|(_, parts)| parts.picture.is_some() || parts.caption.is_some())
        .map(|(key, parts)| {
            let mut row = Row { n: key, o: (0, parts.offset), ..Row::default() };
            let problem = match (parts.picture, parts.caption) {
                (Some((name, start, size)), Some(Ok(caption))) => {
                    (row.n, row.c, row.r) = (name, caption, (start, size));
                    (row.m, row.i) = (parts.more.captions, parts.more.id);
                    return row;
                }
                (None, _) => "has no picture".to_owned(),
                (_, None) => "has no .txt".to_owned(),
                (_, Some(Err(problem))) => problem,
            };
            row.p = Some(format!("'{}' {problem}", row.n.escape_default()));
            row
        })
        .collect();
    if let Some(problem) = damage {
        rows.push(Row { p: Some(problem), o: (0, length), ..Row::default() });
    }
    Ok(rows)
}

/// The path in a pax header: records of `length path=value`.
fn pax_path(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    while let Some(space) = rest.iter().position(|b| *b == b' ') {
        let length: usize = std::str::from_utf8(rest.get(..space)?).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec());
        }
        rest = rest.get(length..)?;
    }
    None
}
