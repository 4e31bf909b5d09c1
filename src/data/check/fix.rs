//! Writes a cleaned copy of annotations; the original is never touched.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::finding::{Finding, Kind, Report, Severity};
use super::scan::{Holds, scan};

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
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Entries in the copy.
    pub kept: usize,
    /// Entries left out.
    pub left_out: usize,
    /// Where each of those is named, with why.
    pub list: PathBuf,
}

/// Whether an entry with this finding can stay as it is, or can be mended.
fn leaves_out(finding: &Finding) -> bool {
    match finding.kind {
        Kind::PythonLiteral | Kind::DuplicateField | Kind::BadJson => false,
        Kind::DuplicateEntry | Kind::TruncatedPicture => true,
        _ => finding.severity() == Severity::Error,
    }
}

/// Writes the entries of `file` that `report` has nothing grave against to `out`, and beside it a list of what
/// was left out (`out` with `.left_out.json`). Python literals become JSON.
///
/// # Errors
/// When a file cannot be read or written, or `out` is there already.
pub fn fix(file: &Path, report: &Report, out: &Path) -> Result<Fixed, FixError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| FixError::Io { path, source }
    };
    let bytes = std::fs::read(file).map_err(io(file))?;
    let scan = scan(&bytes);
    let list = out.with_extension("left_out.json");
    for path in [out, &list] {
        if path.exists() {
            return Err(FixError::Exists(path.to_path_buf()));
        }
    }
    let mut against: HashMap<usize, Vec<&Finding>> = HashMap::new();
    for finding in report.findings.iter().filter(|finding| finding.file == file && leaves_out(finding)) {
        if let Some(entry) = finding.entry {
            against.entry(entry).or_default().push(finding);
        }
    }
    let mut kept = Vec::new();
    let mut left = Vec::new();
    for (number, entry) in scan.entries.iter().enumerate() {
        let raw = bytes.get(entry.at..entry.at + entry.len as usize).unwrap_or(&[]);
        let reasons = against.get(&number).map_or(&[][..], Vec::as_slice);
        let value = serde_json::from_slice::<Value>(raw).ok().or_else(|| {
            // Written as Python: what the scanner understood is written anew.
            let text = |field: &super::Field| Value::String(field.text(&bytes).into_owned());
            let captions = scan.captions_of(entry);
            let caption = match (entry.caption.holds, captions.first()) {
                (Holds::List, _) => Value::Array(captions.iter().map(text).collect()),
                (_, Some(caption)) => text(caption),
                _ => return None,
            };
            let mut value = json!({"caption": caption, "image": text(&entry.image)});
            match entry.id.holds {
                Holds::Text => value["image_id"] = text(&entry.id),
                Holds::Number => {
                    value["image_id"] = serde_json::from_slice(entry.id.raw(&bytes)).unwrap_or(Value::Null)
                }
                _ => {}
            }
            Some(value)
        });
        match value.filter(|value| reasons.is_empty() && value.is_object()) {
            Some(value) => kept.push(value),
            None => left.push(json!({
                "entry": number,
                "reasons": reasons.iter().map(|f| json!({"kind": f.kind.name(), "message": f.message})).collect::<Vec<_>>(),
                "text": String::from_utf8_lossy(raw),
            })),
        }
    }
    // Text that could not be read as an entry is left out too, and named.
    for finding in
        report.findings.iter().filter(|finding| finding.file == file && finding.kind == Kind::BadJson)
    {
        left.push(json!({"entry": Value::Null, "offset": finding.offset,
            "reasons": [{"kind": finding.kind.name(), "message": finding.message}]}));
    }
    write(out, &kept, scan.lines).map_err(io(out))?;
    write(&list, &left, false).map_err(io(&list))?;
    Ok(Fixed { kept: kept.len(), left_out: left.len(), list })
}

/// An array, or lines, an entry a line.
fn write(path: &Path, entries: &[Value], lines: bool) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create_new(path)?);
    for (number, entry) in entries.iter().enumerate() {
        match (lines, number) {
            (true, _) => {}
            (false, 0) => file.write_all(b"[\n")?,
            (false, _) => file.write_all(b",\n")?,
        }
        serde_json::to_writer(&mut file, entry)?;
        if lines {
            file.write_all(b"\n")?;
        }
    }
    if !lines {
        file.write_all(if entries.is_empty() { b"[]\n" } else { b"\n]\n" })?;
    }
    file.flush()
}
