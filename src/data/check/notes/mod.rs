//! Annotations in memory, whatever their format: entries and fields by their places.
//!
//! JSON and tables are one file in memory ([`json`], [`table`]), so that a finding has its exact byte. What stands in
//! several files (shards, parts, folders) is gathered from its reader ([`gathered`]), and a finding has the place of
//! its entry.

mod gathered;
mod json;
mod table;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Finding, Kind, NOWHERE, Related};
use super::options::Watch;
use crate::json::Span;
pub(super) use crate::json::entry::Entry;
use crate::reader::{Format, Range, ReadOptions, Reader};
use crate::sample::{Origin, Part};

/// The largest annotation file that is taken into memory.
const MAX_FILE: u64 = 8 << 30;

/// A fault of the writing.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// What.
    pub kind: Kind,
    /// Its byte.
    pub at: usize,
    /// The entry that it is in or before, from 0.
    pub entry: usize,
    /// What is wrong and what to do.
    pub message: Cow<'static, str>,
}

/// What annotations hold.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The file as it is; of gathered entries, their texts one behind the other.
    pub bytes: Vec<u8>,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Captions of all entries.
    pub captions: Vec<Span>,
    /// Faults; after some hundred of them reading ends.
    pub problems: Vec<Problem>,
    /// Whether there is one object a line instead of an array.
    pub lines: bool,
}

impl Texts {
    /// The captions of an entry.
    pub fn captions_of(&self, entry: &Entry) -> &[Span] {
        entry.captions_in(&self.captions)
    }

    /// A text or number.
    pub fn text(&self, span: &Span) -> Cow<'_, str> {
        span.text(&self.bytes)
    }
}

/// Where gathered entries stand.
#[derive(Debug, Default)]
struct Gathered {
    files: Vec<Arc<Path>>,
    origins: Vec<Origin>,
    parts: Vec<Arc<Part>>,
    /// Where pictures stand in parts; empty where they are files.
    ranges: Vec<Option<Range>>,
}

/// One split's annotations.
#[derive(Debug)]
pub(super) struct Notes {
    /// The annotation file, or the folder.
    pub file: Arc<Path>,
    pub format: Format,
    pub texts: Texts,
    gathered: Option<Gathered>,
    /// The folders that its pictures may lie in.
    pub roots: Arc<[PathBuf]>,
    /// Whether its findings are wanted; a sibling is only there to be compared with.
    pub asked: bool,
}

impl Notes {
    /// Reads and scans what a reader would read.
    pub fn open(
        reader: &dyn Reader,
        options: &ReadOptions,
        asked: bool,
        watch: &Watch<'_>,
    ) -> Result<Self, Box<Finding>> {
        let (file, format): (Arc<Path>, _) = (reader.path().into(), reader.format());
        let mut gathered = None;
        let texts = match format {
            Format::Karpathy | Format::JsonLines => {
                let bytes = read(&file).map_err(|problem| unreadable(&file, problem))?;
                json::scan(bytes, format, options, watch)
            }
            Format::Table => {
                let bytes = read(&file).map_err(|problem| unreadable(&file, problem))?;
                table::scan(bytes, &file, options)
            }
            Format::Laion | Format::Webdataset | Format::Sidecar | Format::Classes => {
                let (texts, places) = gathered::read(reader, watch);
                gathered = Some(places);
                texts
            }
        };
        Ok(Self { file, format, texts, gathered, roots: reader.roots(), asked })
    }

    /// A finding at a place of it.
    pub fn finding(
        &self,
        kind: Kind,
        at: usize,
        entry: Option<usize>,
        message: impl Into<Cow<'static, str>>,
    ) -> Finding {
        let mut finding = Finding {
            kind,
            file: self.file.clone(),
            line: 0,
            column: 0,
            offset: at,
            entry,
            related: None,
            message: message.into(),
        };
        if let Some(gathered) = &self.gathered {
            finding.offset = NOWHERE;
            gathered.place(self, at, &mut finding);
        }
        finding
    }

    /// Whether places are bytes of [`Self::file`], so that line and column can be found by them.
    pub fn is_one_file(&self) -> bool {
        self.gathered.is_none()
    }

    /// A hash of its text.
    pub fn sum(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.texts.bytes)
    }

    /// One of its entries, as the other one of a pair.
    pub fn related(&self, entry: usize) -> Option<Box<Related>> {
        Some(Box::new(Related { file: self.file.clone(), entry: Some(entry) }))
    }

    /// Where the picture of an entry stands, when it is no file of its own.
    pub fn range(&self, entry: usize) -> Option<(&Arc<Part>, Range)> {
        let gathered = self.gathered.as_ref()?;
        let range = (*gathered.ranges.get(entry)?)?;
        Some((gathered.parts.get(range.part as usize)?, range))
    }
}

impl Gathered {
    /// Says where the entry of a finding stands, as far as its format has such places.
    fn place(&self, notes: &Notes, at: usize, finding: &mut Finding) {
        let Some(entry) = finding.entry else { return };
        let Some(origin) = self.origins.get(entry) else { return };
        if notes.format == Format::Sidecar {
            return self.beside(notes, entry, at, finding);
        }
        let file = self.files.get(origin.file as usize).unwrap_or(&finding.file);
        if notes.format == Format::Classes {
            let name = notes.texts.entries.get(entry).map(|entry| notes.texts.text(&entry.image));
            finding.file = name.map_or_else(|| file.clone(), |name| file.join(&*name).into());
            return;
        }
        finding.file = file.clone();
        finding.offset = usize::try_from(origin.offset).unwrap_or(usize::MAX);
        finding.line = origin.line as usize;
        finding.column = usize::from(origin.line > 0);
    }

    /// The place of a caption in the text file beside its picture.
    fn beside(&self, notes: &Notes, entry: usize, at: usize, finding: &mut Finding) {
        let Some(own) = notes.texts.entries.get(entry) else { return };
        let name = notes.texts.text(&own.image);
        if name.is_empty() {
            return;
        }
        let picture = finding.file.join(&*name);
        let Some(caption) = notes.texts.captions_of(own).iter().find(|span| span.at == at) else {
            finding.file = picture.into();
            return;
        };
        let beside = picture.with_extension("txt");
        let (wanted, all) = (notes.texts.text(caption), std::fs::read(&beside).unwrap_or_default());
        finding.file = beside.into();
        let mut from = 0;
        for (number, line) in all.split(|byte| *byte == b'\n').enumerate() {
            if String::from_utf8_lossy(line).trim() == wanted {
                let space = String::from_utf8_lossy(line);
                let space = space.len() - space.trim_start().len();
                (finding.line, finding.column, finding.offset) = (number + 1, space + 1, from + space);
                return;
            }
            from += line.len() + 1;
        }
    }
}

/// A finding on a whole file.
pub(super) fn unreadable(file: &Path, message: impl Into<Cow<'static, str>>) -> Box<Finding> {
    Box::new(Finding {
        kind: Kind::Unreadable,
        file: file.into(),
        line: 0,
        column: 0,
        offset: NOWHERE,
        entry: None,
        related: None,
        message: message.into(),
    })
}

/// A plain file's bytes.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let fail = |error: std::io::Error| format!("cannot be read: {error}");
    let about = std::fs::metadata(file).map_err(fail)?;
    if !about.is_file() {
        return Err("not a plain file: name an annotation file or a folder".into());
    }
    if about.len() > MAX_FILE {
        return Err("larger than 8 GiB: cut it into several files".into());
    }
    // It may become longer or shorter meanwhile.
    let mut bytes = Vec::with_capacity(about.len() as usize + 1);
    std::fs::File::open(file).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes)).map_err(fail)?;
    Ok(bytes)
}
