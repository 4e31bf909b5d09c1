//! The seed's laion format: a file list with one part a line; a part's lines are TSV.
//!
//! Column 2 (from 0) is JSON with `caption_en`, else `blip_caption_en`, else the caption is empty; column 5 is the
//! picture in base64. A line is UTF-8, else gb18030. Parts may end in `.gz`. A part's name is looked for from the
//! file list's folder, then from the current one.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::{Row, rows, unpacked};
use super::lines::{Line, Lines};
use super::{Entry, Format, Range, ReadError, ReadOptions, Reader, Sink, io_error};
use crate::sample::{Broken, Encoding, Origin};

/// The largest file list that is read.
const MAX_LIST: u64 = 256 << 20;

/// Reader of a file list.
#[derive(Debug)]
pub(super) struct Laion {
    path: PathBuf,
    options: ReadOptions,
}

impl Laion {
    pub fn new(path: &Path, options: &ReadOptions) -> Self {
        Self { path: path.to_path_buf(), options: options.clone() }
    }

    fn parts(&self) -> Result<Vec<PathBuf>, ReadError> {
        let about = std::fs::metadata(&self.path).map_err(io_error(&self.path))?;
        if !about.is_file() || about.len() > MAX_LIST {
            let problem = "a file list is a plain file with one part a line".to_owned();
            return Err(ReadError::Spec { what: self.path.display().to_string(), problem });
        }
        let list = std::fs::read(&self.path).map_err(io_error(&self.path))?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut parts = Vec::new();
        for (at, line) in list.split(|b| *b == b'\n').enumerate() {
            let name = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            if name.is_empty() {
                continue;
            }
            let places = [folder.join(&name), PathBuf::from(&name)];
            let Some(place) = places.iter().find(|place| place.exists()) else {
                let problem = format!(
                    "there is no part '{}', neither beside the file list nor in the current folder",
                    name.escape_default().take(200).collect::<String>()
                );
                return Err(ReadError::Annotation {
                    path: self.path.clone(),
                    line: at + 1,
                    column: 1,
                    problem,
                });
            };
            parts.push(place.clone());
        }
        if parts.is_empty() { Err(ReadError::Empty(self.path.clone())) } else { Ok(parts) }
    }
}

impl Reader for Laion {
    fn format(&self) -> Format {
        Format::Laion
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        Arc::new([])
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        give(&self.parts()?, "laion", Encoding::Base64, &self.options, sink, index)
    }
}

/// Indexes parts, several at a time, and gives their entries in order.
pub(super) fn give(
    parts: &[PathBuf],
    kind: &str,
    encoding: Encoding,
    options: &ReadOptions,
    sink: &mut dyn Sink,
    index: impl Fn(&Path) -> Result<Vec<Row>, ReadError> + Sync,
) -> Result<(), ReadError> {
    let mut any = false;
    for some in parts.chunks(rayon::current_num_threads().max(1) * 2) {
        let found: Vec<_> = some
            .par_iter()
            .map(|path| {
                let part = unpacked(path, options)?;
                let rows = rows(&part, kind, options, || index(&part.path))?;
                Ok((part, rows))
            })
            .collect::<Result<_, ReadError>>()?;
        for (path, (part, rows)) in some.iter().zip(found) {
            let file = sink.file(path);
            let part = sink.part(Arc::new(part));
            for (entry, row) in rows.into_iter().enumerate() {
                any = true;
                let origin = Origin { file, line: row.o.0, entry: entry as u32, offset: row.o.1 };
                if let Some(problem) = row.p {
                    sink.broken(Broken { origin, problem })?;
                    continue;
                }
                let range = Some(Range { part, start: row.r.0, length: row.r.1, encoding });
                let captions = row.m.unwrap_or_else(|| vec![row.c]);
                let captions: Vec<Cow<'_, str>> = captions.into_iter().map(Cow::Owned).collect();
                let id = row.i.as_deref();
                sink.entry(Entry { image: &row.n, range, captions: &captions, id, origin })?;
            }
        }
    }
    match parts.first() {
        Some(first) if !any => Err(ReadError::Empty(first.clone())),
        _ => Ok(()),
    }
}

/// The lines of a part.
fn index(path: &Path) -> Result<Vec<Row>, ReadError> {
    let mut lines = Lines::open(path)?;
    let mut rows = Vec::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".unpacked").map_or(name.as_str(), |n| n);
    while let Some(Line { number, offset, text }) = lines.next().map_err(io_error(path))? {
        let mut row = Row { n: format!("{name}:{number}"), o: (number, offset), ..Row::default() };
        match text.and_then(columns) {
            Ok((caption, start, length)) => {
                row.c = caption;
                row.r = (offset + start as u64, length as u64);
            }
            Err(problem) => row.p = Some(problem),
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Caption, and where the picture stands in a line.
fn columns(text: &[u8]) -> Result<(String, usize, usize), String> {
    let trimmed = text.trim_ascii();
    let before = text.len() - text.trim_ascii_start().len();
    let mut from = 0;
    let mut json = None;
    for column in 0.. {
        let rest = trimmed.get(from..).unwrap_or_default();
        let end = memchr::memchr(b'\t', rest);
        let field = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        match column {
            2 => json = Some(field),
            5 if field.is_empty() => return Err("column 5 (the picture) is empty".to_owned()),
            5 => return Ok((caption(json.unwrap_or_default())?, before + from, field.len())),
            _ => {}
        }
        match end {
            Some(end) => from += end + 1,
            None => return Err(format!("has {} columns, and the picture is column 5 (from 0)", column + 1)),
        }
    }
    Err("has no columns".to_owned())
}

fn caption(json: &[u8]) -> Result<String, String> {
    let text = match std::str::from_utf8(json) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::GB18030
            .decode_without_bom_handling_and_without_replacement(json)
            .ok_or("the text is neither UTF-8 nor gb18030")?,
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("column 2 is not JSON: {error}"))?;
    let object = value.as_object().ok_or("column 2 is no JSON object")?;
    match object.get("caption_en").or_else(|| object.get("blip_caption_en")) {
        None => Ok(String::new()),
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("the caption is no text".to_owned()),
    }
}
