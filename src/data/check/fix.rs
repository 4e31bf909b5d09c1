//! Writes a cleaned copy of annotations; the original is never touched.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};

use super::finding::{Finding, Kind, Report, Severity};
use super::notes::{Entry, Notes};
use super::options::Watch;
use super::sources;
use crate::json::{Fault, Holds, Scanner};
use crate::reader::{Format, ReadOptions};

/// Why no cleaned copy could be written.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The copy would lie on something that is there.
    #[error("{0} is there already: --fix writes a new file, name another one")]
    Exists(PathBuf),
    /// The annotations cannot be read any more.
    #[error("{path}: {problem}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The numbers of entries would not fit.
    #[error("{0} has changed since it was checked: check it again")]
    Changed(PathBuf),
    /// There is no one file to copy.
    #[error("{path} is {}: --fix copies one JSON, JSON lines or table file; `cocaptain data convert` makes one of it",
        format.name())]
    Format {
        /// What was checked.
        path: PathBuf,
        /// Its format.
        format: Format,
    },
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Entries in the copy.
    pub kept: usize,
    /// Entries, and other pieces of text, left out.
    pub left_out: usize,
    /// Where each of those is named, with why.
    pub list: PathBuf,
}

/// Whether an entry with this finding is left out: what cannot be mended and is an error, or a repetition.
fn leaves_out(finding: &Finding) -> bool {
    match finding.kind {
        Kind::PythonLiteral | Kind::DuplicateField | Kind::BadJson => false,
        Kind::DuplicateEntry => true,
        _ => finding.severity() == Severity::Error,
    }
}

/// Whether it is a finding on the entry's picture: told once, of the first entry that names the picture.
fn is_of_picture(kind: Kind) -> bool {
    use Kind::{
        CaseMismatch, CorruptPicture, MissingFile, PathEscape, TooLarge, TruncatedPicture, Unreadable,
    };
    matches!(
        kind,
        PathEscape | CaseMismatch | MissingFile | CorruptPicture | TruncatedPicture | TooLarge | Unreadable
    )
}

/// Writes the entries of `file` that `report` has nothing grave against to `out`, and beside it a list of what
/// was left out (`out` with `.left_out.json`). Python literals become JSON; what is right is copied to the byte.
///
/// # Errors
/// When a file cannot be read or written, `out` is there already, or `file` has changed since the report.
pub fn fix(file: &Path, options: &ReadOptions, report: &Report, out: &Path) -> Result<Fixed, FixError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| FixError::Io { path, source }
    };
    let list = out.with_extension("left_out.json");
    for path in [out, &list] {
        if path.symlink_metadata().is_ok() {
            return Err(FixError::Exists(path.to_path_buf()));
        }
    }
    let notes = open(file, options)?;
    if !report.sums.contains(&(notes.file.to_path_buf(), notes.sum())) {
        return Err(FixError::Changed(notes.file.to_path_buf()));
    }
    let own = || report.findings.iter().filter(|finding| finding.file == notes.file);
    let mut against: HashMap<usize, Vec<&Finding>> = HashMap::new();
    let mut unread: HashMap<usize, Vec<&Finding>> = HashMap::new();
    let mut again = HashSet::new();
    for (finding, entry) in own().filter_map(|finding| Some((finding, finding.entry?))) {
        if leaves_out(finding) {
            against.entry(entry).or_default().push(finding);
        }
        match finding.kind {
            Kind::DuplicateField => drop(again.insert(entry)),
            Kind::BadJson => unread.entry(entry).or_default().push(finding),
            _ => {}
        }
    }
    // What is wrong with a picture is wrong with every entry that names it.
    let image = |entry: &Entry| notes.texts.text(&entry.image);
    let mut pictures: HashMap<Cow<'_, str>, Vec<&Finding>> = HashMap::new();
    for (number, entry) in notes.texts.entries.iter().enumerate() {
        let own = against.get(&number).into_iter().flatten().filter(|finding| is_of_picture(finding.kind));
        let own: Vec<&Finding> = own.copied().collect();
        if !own.is_empty() {
            pictures.insert(image(entry), own);
        }
    }
    if !pictures.is_empty() {
        for (number, entry) in notes.texts.entries.iter().enumerate().filter(|(_, entry)| entry.len > 0) {
            let Some(of_picture) = pictures.get(&image(entry)) else { continue };
            let reasons = against.entry(number).or_default();
            if !reasons.iter().any(|finding| is_of_picture(finding.kind)) {
                reasons.extend(of_picture);
            }
        }
    }
    let table = notes.format == Format::Table;
    let lines = notes.texts.lines;
    let mut left = Vec::new();
    let mut kept = 0;
    let mut to = BufWriter::new(std::fs::File::create_new(out).map_err(io(out))?);
    let mut put = |text: &[u8]| to.write_all(text).map_err(io(out));
    if table {
        let end = notes.texts.entries.first().map_or(notes.texts.bytes.len(), |entry| entry.at);
        put(notes.texts.bytes.get(..end).unwrap_or_default())?;
    }
    for (number, entry) in notes.texts.entries.iter().enumerate() {
        let reasons = against.get(&number).map_or(&[][..], Vec::as_slice);
        let raw = notes.texts.bytes.get(entry.at..entry.at.saturating_add(entry.len as usize));
        let raw = raw.unwrap_or_default();
        let again = again.contains(&number);
        let mended = if reasons.is_empty() { mended(entry, raw, &notes, again) } else { None };
        let Some(text) = mended else {
            let reason = |f: &Finding| json!({"kind": f.kind.name(), "message": f.message});
            let reasons = match reasons {
                [] => unread.get(&number).map_or(&[][..], Vec::as_slice),
                grave => grave,
            };
            let reasons: Vec<Value> = reasons.iter().copied().map(reason).collect();
            let text = if entry.len == 0 { unread_text(&notes, number) } else { raw };
            left.push(json!({"entry": number, "reasons": reasons, "text": String::from_utf8_lossy(text)}));
            continue;
        };
        match (table || lines, kept) {
            (true, _) => {}
            (false, 0) => put(b"[\n")?,
            (false, _) => put(b",\n")?,
        }
        put(&text)?;
        if table || lines {
            put(b"\n")?;
        }
        kept += 1;
    }
    if !table && !lines {
        put(if kept == 0 { b"[]\n" } else { b"\n]\n" })?;
    }
    to.flush().map_err(io(out))?;
    // Text behind the last entry that could not be read as one is left out too, and named.
    let words = |at: usize| notes.texts.bytes.iter().skip(at).any(|byte| !b" \t\r\n,]}".contains(byte));
    let behind = own().filter(|finding| finding.entry.is_none_or(|entry| entry >= notes.texts.entries.len()));
    left.extend(behind.filter(|finding| finding.kind == Kind::BadJson && words(finding.offset)).map(
        |finding| {
            json!({"entry": Value::Null, "offset": finding.offset,
            "reasons": [{"kind": finding.kind.name(), "message": finding.message}]})
        },
    ));
    let mut to = BufWriter::new(std::fs::File::create_new(&list).map_err(io(&list))?);
    let written = serde_json::to_writer_pretty(&mut to, &left).map_err(std::io::Error::from);
    written.and_then(|()| to.flush()).map_err(io(&list))?;
    Ok(Fixed { kept, left_out: left.len(), list })
}

fn open(file: &Path, options: &ReadOptions) -> Result<Notes, FixError> {
    let unreadable = |finding: Box<Finding>| FixError::Unreadable {
        path: finding.file.to_path_buf(),
        problem: finding.message.into_owned(),
    };
    let sources = sources::of(file, options).map_err(unreadable)?;
    let one_file = |format| matches!(format, Format::Karpathy | Format::JsonLines | Format::Table);
    let Some((reader, _)) = sources.into_iter().next() else {
        return Err(FixError::Changed(file.to_path_buf()));
    };
    if !one_file(reader.format()) {
        return Err(FixError::Format { path: file.to_path_buf(), format: reader.format() });
    }
    let cancel = AtomicBool::new(false);
    Notes::open(&*reader, options, true, &Watch::silent(&cancel)).map_err(unreadable)
}

/// The text of something that could not be read as an entry, up to the next one.
fn unread_text(notes: &Notes, number: usize) -> &[u8] {
    /// Bytes that are named.
    const MOST: usize = 4096;
    let texts = &notes.texts;
    let from = texts.entries.get(number).map_or(0, |entry| entry.at);
    let to = texts.entries.get(number + 1).map_or(texts.bytes.len(), |entry| entry.at);
    let text = texts.bytes.get(from..to.min(from.saturating_add(MOST))).unwrap_or_default();
    let end = text.iter().rposition(|byte| !b" \t\r\n,".contains(byte)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// An entry as it goes into the copy: as it is where it is right, else written anew.
fn mended(entry: &Entry, raw: &[u8], notes: &Notes, again: bool) -> Option<Vec<u8>> {
    if entry.len == 0 {
        return None;
    }
    if notes.format == Format::Table {
        return Some(raw.to_vec());
    }
    let mut strict = Scanner::new(raw);
    let right = std::str::from_utf8(raw).is_ok() && strict.value().is_ok_and(|value| value.len == entry.len);
    let lines = notes.texts.lines && memchr::memchr(b'\n', raw).is_some();
    if right && !again && !lines {
        return Some(raw.to_vec());
    }
    let value = value(&mut Scanner::tolerant(raw, 0)).ok().filter(Value::is_object)?;
    serde_json::to_vec(&value).ok()
}

/// What a tolerant scanner understands, as JSON. Of a field that stands twice the last one is kept, as Python does.
fn value(scanner: &mut Scanner<'_>) -> Result<Value, Fault> {
    let bytes = scanner.bytes();
    match scanner.peek() {
        Some(b'{') => {
            let mut fields = Map::new();
            scanner.object(|scanner, key| {
                let value = value(scanner)?;
                fields.insert(key.text(bytes).into_owned(), value);
                Ok(())
            })?;
            Ok(Value::Object(fields))
        }
        Some(b'[') => {
            let mut items = Vec::new();
            scanner.list(|scanner| {
                items.push(value(scanner)?);
                Ok(())
            })?;
            Ok(Value::Array(items))
        }
        _ => {
            let span = scanner.value()?;
            Ok(match span.holds {
                Holds::Text => Value::String(span.text(bytes).into_owned()),
                Holds::Bool => Value::Bool(span.raw(bytes).eq_ignore_ascii_case(b"true")),
                Holds::Number => serde_json::from_slice(span.raw(bytes)).unwrap_or(Value::Null),
                _ => Value::Null,
            })
        }
    }
}
