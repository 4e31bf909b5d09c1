//! coco_karpathy JSON: an array of `{"caption", "image", "image_id"}`; and JSON lines of the same objects.
//!
//! In training files `caption` is one string and an image has several entries; in validation and test files it
//! is a list of strings. Both are read, and other fields are passed over.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::{Line, Lines};
use super::{Entry, Format, ReadError, ReadOptions, Reader, Sink, io_error, open_plain};
use crate::json::entry::{self, Keys};
use crate::json::{Fault, Holds, Scanner, Span};
use crate::sample::{Broken, Origin};

/// The largest annotation file that is taken into memory.
const MAX_FILE: u64 = 8 << 30;

/// The entry at hand: its fields as they are written.
struct Fields {
    keys: Keys,
    spans: Vec<Span>,
}

impl Fields {
    fn new(keys: &Keys) -> Self {
        Self { keys: keys.clone(), spans: Vec::new() }
    }

    /// Reads an object; the fault is where something is not as it should be.
    fn read<'a>(&mut self, scanner: &mut Scanner<'a>, number: u32) -> Result<Found<'a>, Fault> {
        self.spans.clear();
        if scanner.peek() != Some(b'{') {
            return scanner
                .fault(format!("entry {number}: expected an object with \"image\" and \"caption\""));
        }
        let found = entry::read(scanner, &self.keys, &mut self.spans)?;
        let bytes = scanner.bytes();
        let missing = |keys: &[String]| {
            Fault::new(found.at, format!("entry {number} has no \"{}\"", keys.join("\" or \"")))
        };
        if found.image.holds == Holds::Nothing {
            return Err(missing(&self.keys.image));
        }
        let text = |span: Span| {
            if span.holds == Holds::Text {
                return span.strict(bytes);
            }
            let mut there = Scanner::new(bytes);
            there.jump(span.at);
            there.wrong("a string")
        };
        let image = text(found.image)?;
        if found.caption.holds == Holds::Nothing {
            return Err(missing(&self.keys.caption));
        }
        let mut captions = Vec::with_capacity(self.spans.len());
        for span in found.captions_in(&self.spans) {
            captions.push(text(*span)?);
        }
        let whole =
            |digits: &[u8]| digits.strip_prefix(b"-").unwrap_or(digits).iter().all(u8::is_ascii_digit);
        let id = match found.id.holds {
            Holds::Nothing | Holds::Null => None,
            Holds::Number if whole(found.id.raw(bytes)) => Some(found.id.text(bytes)),
            Holds::Text => Some(found.id.strict(bytes)?),
            _ => return Err(Fault::new(found.id.at, "expected an id (a string or a whole number)")),
        };
        Ok(Found { image, captions, id })
    }
}

/// An entry's texts.
struct Found<'a> {
    image: Cow<'a, str>,
    captions: Vec<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
}

impl Found<'_> {
    fn give(&self, sink: &mut dyn Sink, origin: Origin) -> Result<(), ReadError> {
        let Self { image, captions, id } = self;
        sink.entry(Entry { image, range: None, captions, id: id.as_deref(), origin })
    }
}

/// Reader of coco_karpathy annotations, and of custom ones in the same form.
#[derive(Debug)]
pub(super) struct Karpathy {
    path: PathBuf,
    roots: Arc<[PathBuf]>,
    keys: Keys,
}

impl Karpathy {
    pub fn new(path: &Path, options: &ReadOptions) -> Self {
        let keys = Keys::karpathy(options.image_key.as_ref(), options.caption_key.as_ref());
        Self { path: path.to_path_buf(), roots: options.roots(path), keys }
    }
}

impl Reader for Karpathy {
    fn format(&self) -> Format {
        Format::Karpathy
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        self.roots.clone()
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let bytes = read_whole(&self.path)?;
        let file = sink.file(&self.path);
        let mut scanner = Scanner::new(&bytes);
        // A byte order mark is no JSON, but editors write it.
        if bytes.starts_with(b"\xef\xbb\xbf") {
            scanner.jump(3);
        }
        let fatal = |fault: Fault| {
            let before = bytes.get(..fault.at).unwrap_or(&bytes);
            let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            ReadError::Annotation {
                path: self.path.clone(),
                line: memchr::memchr_iter(b'\n', before).count() + 1,
                column: before.len() - line_start + 1,
                problem: fault.problem,
            }
        };
        scanner.expect(b'[', "an array of entries").map_err(fatal)?;
        let (mut entry, mut line, mut counted) = (0u32, 1u32, 0);
        let mut fields = Fields::new(&self.keys);
        let mut more = !scanner.take(b']');
        while more {
            scanner.peek();
            let start = scanner.at;
            let lines = memchr::memchr_iter(b'\n', bytes.get(counted..start).unwrap_or_default()).count();
            line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            counted = start;
            let origin = Origin { file, line, entry, offset: start as u64 };
            match fields.read(&mut scanner, entry) {
                Ok(found) => found.give(sink, origin)?,
                Err(fault) => {
                    // A wrong field leaves the array whole; wrong syntax does not.
                    scanner.jump(start);
                    scanner.value().map_err(fatal)?;
                    sink.broken(Broken { origin, problem: fault.problem })?;
                }
            }
            entry = entry.saturating_add(1);
            more = scanner.take(b',');
            if !more {
                scanner.expect(b']', "',' or ']'").map_err(fatal)?;
            }
        }
        if scanner.peek().is_some() {
            return Err(fatal(Fault {
                at: scanner.at,
                problem: "trailing characters after the array".into(),
            }));
        }
        if entry == 0 { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

/// Reads a plain file that may become longer or shorter meanwhile.
fn read_whole(path: &Path) -> Result<Vec<u8>, ReadError> {
    let file = open_plain(path)?;
    let about = file.metadata().map_err(io_error(path))?;
    let refuse = |problem: &str| {
        Err(ReadError::Spec { what: path.display().to_string(), problem: problem.to_owned() })
    };
    if about.len() > MAX_FILE {
        return refuse("larger than 8 GiB: write it as JSON lines, which are read one by one");
    }
    let mut bytes = Vec::with_capacity(about.len() as usize + 1);
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io_error(path))?;
    Ok(bytes)
}

/// Reader of JSON lines: one object a line, empty lines passed over.
#[derive(Debug)]
pub(super) struct JsonLines {
    path: PathBuf,
    roots: Arc<[PathBuf]>,
    keys: Keys,
}

impl JsonLines {
    pub fn new(path: &Path, options: &ReadOptions) -> Self {
        let keys = Keys::lines(options.image_key.as_ref(), options.caption_key.as_ref());
        Self { path: path.to_path_buf(), roots: options.roots(path), keys }
    }
}

impl Reader for JsonLines {
    fn format(&self) -> Format {
        Format::JsonLines
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        self.roots.clone()
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        let mut lines = Lines::open(&self.path)?;
        let (mut entry, mut fields) = (0u32, Fields::new(&self.keys));
        while let Some(Line { number, offset, text }) = lines.next().map_err(io_error(&self.path))? {
            let origin = Origin { file, line: number, entry, offset };
            let problem = match text {
                Ok(text) => {
                    let text =
                        if offset == 0 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
                    if text.trim_ascii().is_empty() {
                        continue;
                    }
                    let mut scanner = Scanner::new(text);
                    let result = fields.read(&mut scanner, entry).and_then(|found| {
                        let end = scanner.peek().is_none();
                        if end { Ok(found) } else { scanner.fault("trailing characters after the object") }
                    });
                    match result {
                        Ok(found) => {
                            found.give(sink, origin)?;
                            None
                        }
                        Err(fault) => Some(format!("column {}: {}", fault.at + 1, fault.problem)),
                    }
                }
                Err(problem) => Some(problem),
            };
            if let Some(problem) = problem {
                sink.broken(Broken { origin, problem })?;
            }
            entry = entry.saturating_add(1);
        }
        if entry == 0 { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}
