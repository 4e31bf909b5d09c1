//! coco_karpathy JSON: an array of `{"caption", "image", "image_id"}`; and JSON lines of the same objects.
//!
//! In training files `caption` is one string and an image has several entries; in validation and test files it
//! is a list of strings. Both are read, and other fields are passed over.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::json::{Fault, Scanner};
use super::lines::{Line, Lines};
use super::{Entry, Format, ReadError, ReadOptions, Reader, Sink, io_error};
use crate::sample::{Broken, Origin};

/// The largest annotation file that is taken into memory.
const MAX_FILE: u64 = 8 << 30;

/// The names of the fields; the first that an object has is taken.
#[derive(Debug, Clone)]
struct Keys {
    image: Vec<String>,
    caption: Vec<String>,
}

impl Keys {
    fn new(options: &ReadOptions, image: &[&str], caption: &[&str]) -> Self {
        let of = |own: &Option<String>, known: &[&str]| match own {
            Some(own) => vec![own.clone()],
            None => known.iter().map(|&name| name.to_owned()).collect(),
        };
        Self { image: of(&options.image_key, image), caption: of(&options.caption_key, caption) }
    }
}

/// The fields of one entry.
#[derive(Default)]
struct Fields<'a> {
    image: Option<Cow<'a, str>>,
    captions: Vec<Cow<'a, str>>,
    has_caption: bool,
    id: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// Reads an object into this memory; the fault is where something is not as it should be.
    fn read(&mut self, scanner: &mut Scanner<'a>, keys: &Keys, number: u32) -> Result<(), Fault> {
        self.image = None;
        self.captions.clear();
        self.has_caption = false;
        self.id = None;
        let start = scanner.at;
        if scanner.peek() != Some(b'{') {
            return scanner
                .fault(format!("entry {number}: expected an object with \"image\" and \"caption\""));
        }
        scanner.at += 1;
        if !scanner.take(b'}') {
            loop {
                let key = scanner.string()?;
                scanner.expect(b':', "':'")?;
                if keys.image.iter().any(|name| *name == key) {
                    self.image = Some(scanner.string()?);
                } else if keys.caption.iter().any(|name| *name == key) {
                    self.captions(scanner)?;
                } else if key == "image_id" {
                    self.id(scanner)?;
                } else {
                    scanner.skip()?;
                }
                if scanner.take(b'}') {
                    break;
                }
                scanner.expect(b',', "',' or '}'")?;
            }
        }
        let missing = |keys: &[String]| Fault {
            at: start,
            problem: format!("entry {number} has no \"{}\"", keys.join("\" or \"")),
        };
        if self.image.is_none() {
            return Err(missing(&keys.image));
        }
        if self.has_caption { Ok(()) } else { Err(missing(&keys.caption)) }
    }

    fn captions(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Fault> {
        self.captions.clear();
        self.has_caption = true;
        if !scanner.take(b'[') {
            self.captions.push(scanner.string()?);
            return Ok(());
        }
        if scanner.take(b']') {
            return Ok(());
        }
        loop {
            self.captions.push(scanner.string()?);
            if scanner.take(b']') {
                return Ok(());
            }
            scanner.expect(b',', "',' or ']'")?;
        }
    }

    /// An id: a string or a whole number; null is none.
    fn id(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Fault> {
        if scanner.peek() == Some(b'"') {
            self.id = Some(scanner.string()?);
            return Ok(());
        }
        let at = scanner.at;
        let word = scanner.word();
        if word == "null" {
            return Ok(());
        }
        if word.is_empty() || !word.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) {
            scanner.at = at;
            return scanner.fault("expected an id (a string or a whole number)");
        }
        self.id = Some(Cow::Borrowed(word));
        Ok(())
    }

    fn give(&self, sink: &mut dyn Sink, origin: Origin) -> Result<(), ReadError> {
        sink.entry(Entry {
            image: self.image.as_deref().unwrap_or_default(),
            range: None,
            captions: &self.captions,
            id: self.id.as_deref(),
            origin,
        })
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
        let keys = Keys::new(options, &["image"], &["caption"]);
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
            scanner.at = 3;
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
        let (mut entry, mut line, mut counted, mut fields) = (0u32, 1u32, 0, Fields::default());
        let mut more = !scanner.take(b']');
        while more {
            scanner.peek();
            let start = scanner.at;
            let lines = memchr::memchr_iter(b'\n', bytes.get(counted..start).unwrap_or_default()).count();
            line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            counted = start;
            let origin = Origin { file, line, entry, offset: start as u64 };
            match fields.read(&mut scanner, &self.keys, entry) {
                Ok(()) => fields.give(sink, origin)?,
                Err(fault) => {
                    // A wrong field leaves the array whole; wrong syntax does not.
                    scanner.at = start;
                    scanner.skip().map_err(fatal)?;
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
    let file = std::fs::File::open(path).map_err(io_error(path))?;
    let about = file.metadata().map_err(io_error(path))?;
    let refuse = |problem: &str| {
        Err(ReadError::Spec { what: path.display().to_string(), problem: problem.to_owned() })
    };
    if !about.is_file() {
        return refuse("not a plain file");
    }
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
        let keys = Keys::new(
            options,
            &["image", "filepath", "file_name", "path"],
            &["caption", "captions", "title", "text"],
        );
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
        let mut entry = 0u32;
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
                    let mut fields = Fields::default();
                    let result = fields.read(&mut scanner, &self.keys, entry).and_then(|()| {
                        let end = scanner.peek().is_none();
                        if end { Ok(()) } else { scanner.fault("trailing characters after the object") }
                    });
                    match result {
                        Ok(()) => {
                            fields.give(sink, origin)?;
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
