//! CSV and TSV with a header line and chosen columns, as open_clip reads them with pandas.
//!
//! A field may stand in double quotes, where a quote is doubled and separators and line ends are text. Each row is a
//! sample; rows of the same picture share it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::{Line, Lines};
use super::{Entry, Format, ReadError, ReadOptions, Reader, Sink, io_error};
use crate::json::{Holds, Span, Written};
use crate::sample::{Broken, Origin};

/// The longest row; a quote that is never closed ends there.
pub(crate) const MAX_ROW: usize = 1 << 20;

/// Which columns are taken, and what stands between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// What separates columns.
    pub separator: u8,
    /// The column of the picture.
    pub image: usize,
    /// The column of the caption.
    pub caption: usize,
    /// The column of the id, if there is one.
    pub id: Option<usize>,
    /// How many columns there are.
    pub columns: usize,
}

impl Layout {
    /// As the header says: the named columns, else the first of the usual names.
    ///
    /// # Errors
    /// When there is no such column, in words.
    pub fn of(header: &[u8], path: &Path, options: &ReadOptions) -> Result<Self, String> {
        if header.len() > MAX_ROW {
            return Err(format!(
                "the first line is longer than {} MiB, and should name the columns",
                MAX_ROW >> 20
            ));
        }
        let tsv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tsv"));
        let tab = tsv || memchr::memchr(b'\t', header).is_some();
        let separator = options.separator.unwrap_or(if tab { b'\t' } else { b',' });
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let names: Vec<_> = fields(header, separator).iter().map(|field| field.text(header)).collect();
        let column = |own: &Option<String>, usual: &[&str], setting: &str| {
            let place = |name: &str| names.iter().position(|column| column.trim() == name);
            let found = match own {
                Some(own) => place(own),
                None => usual.iter().find_map(|name| place(name)),
            };
            found.ok_or_else(|| {
                let wanted = own.clone().unwrap_or_else(|| usual.join("' or '"));
                let has: Vec<String> =
                    names.iter().take(12).map(|c| format!("'{}'", short(c).escape_default())).collect();
                format!("there is no column '{wanted}' but {}: name it by {setting}, and what separates columns by csv_separator", has.join(", "))
            })
        };
        Ok(Self {
            separator,
            image: column(&options.image_key, &["filepath", "image", "file_name"], "csv_img_key")?,
            caption: column(&options.caption_key, &["title", "caption", "text"], "csv_caption_key")?,
            id: names.iter().position(|column| column.trim() == "image_id"),
            columns: names.len(),
        })
    }
}

/// The beginning of a name.
fn short(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(at, _)| name.get(..at).unwrap_or(name))
}

/// The fields of a row, as places in it.
pub(crate) fn fields(row: &[u8], separator: u8) -> Vec<Span> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = row.get(at..).unwrap_or_default();
        let quoted = rest.first() == Some(&b'"');
        // A separator within quotes is text.
        let mut from = usize::from(quoted);
        if quoted {
            loop {
                let after = rest.get(from..).unwrap_or_default();
                let Some(quote) = memchr::memchr(b'"', after) else {
                    from = rest.len();
                    break;
                };
                from += quote + 1;
                if rest.get(from) != Some(&b'"') {
                    break;
                }
                from += 1;
            }
        }
        let end = memchr::memchr(separator, rest.get(from..).unwrap_or_default());
        let end_at = at + end.map_or(rest.len(), |end| from + end);
        let written = if quoted { Written::Doubled } else { Written::Plain };
        fields.push(Span::new(at, end_at, Holds::Text, written));
        if end.is_none() {
            return fields;
        }
        at = end_at + 1;
    }
}

/// Whether a quoted field is still open, line after line of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotes {
    open: bool,
    begins: bool,
}

impl Quotes {
    /// At the beginning of a row.
    pub const START: Self = Self { open: false, begins: true };

    /// Takes more of the row; says whether a field is open behind it.
    pub fn take(&mut self, text: &[u8], separator: u8) -> bool {
        for byte in text {
            match byte {
                b'"' if self.open => self.open = false,
                // A quote within a bare field is text; one behind a closing quote is a doubled one.
                b'"' if self.begins => self.open = true,
                _ => {}
            }
            self.begins = !self.open && (*byte == separator || (*byte == b'"'));
        }
        self.open
    }
}

/// Reader of CSV and TSV.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    options: ReadOptions,
}

impl Table {
    pub fn new(path: &Path, options: &ReadOptions) -> Self {
        Self { path: path.to_path_buf(), options: options.clone() }
    }
}

impl Reader for Table {
    fn format(&self) -> Format {
        Format::Table
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        self.options.roots(&self.path)
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        let mut lines = Lines::open(&self.path)?;
        let mut layout: Option<Layout> = None;
        let (mut row, mut entry, mut origin, mut quotes) =
            (Vec::new(), 0u32, Origin::default(), Quotes::START);
        loop {
            let Some(Line { number, offset, text }) = lines.next().map_err(io_error(&self.path))? else {
                if row.is_empty() {
                    break;
                }
                let problem = "a quoted field is not closed before the file ends".to_owned();
                sink.broken(Broken { origin, problem })?;
                entry += 1;
                break;
            };
            if row.is_empty() {
                origin = Origin { file, line: number, entry, offset };
                quotes = Quotes::START;
            }
            let mut problem = match text {
                Ok(text) => {
                    if !row.is_empty() {
                        row.push(b'\n');
                    }
                    row.extend_from_slice(text);
                    // A header is one line.
                    let open = layout.is_some_and(|layout| quotes.take(text, layout.separator));
                    if open && row.len() < MAX_ROW {
                        continue;
                    }
                    open.then(|| format!("a row of more than {} MiB: is a quote not closed?", MAX_ROW >> 20))
                }
                Err(problem) => Some(problem),
            };
            if problem.is_none() && row.trim_ascii().is_empty() {
                row.clear();
                continue;
            }
            if problem.is_none() {
                problem = std::str::from_utf8(&row)
                    .err()
                    .map(|error| format!("the text is not UTF-8 (byte {} of the row)", error.valid_up_to()));
            }
            match (problem, layout) {
                (Some(problem), Some(_)) => sink.broken(Broken { origin, problem })?,
                (None, Some(layout)) => give(&row, layout, sink, origin)?,
                (problem, None) => {
                    let found = match problem {
                        Some(problem) => Err(problem),
                        None => Layout::of(&row, &self.path, &self.options),
                    };
                    layout = Some(found.map_err(|problem| ReadError::Annotation {
                        path: self.path.clone(),
                        line: number as usize,
                        column: 1,
                        problem,
                    })?);
                    row.clear();
                    continue;
                }
            }
            row.clear();
            entry = entry.saturating_add(1);
        }
        if entry == 0 { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

/// Gives the entry of a row.
fn give(row: &[u8], layout: Layout, sink: &mut dyn Sink, origin: Origin) -> Result<(), ReadError> {
    let fields = fields(row, layout.separator);
    let text = |column: usize| fields.get(column).map(|field| field.text(row));
    let broken = |problem: String| Broken { origin, problem };
    match (text(layout.image), text(layout.caption)) {
        (Some(image), Some(caption)) if !image.is_empty() => {
            let id = layout.id.and_then(text).filter(|id| !id.is_empty());
            let captions = [caption];
            sink.entry(Entry { image: &image, range: None, captions: &captions, id: id.as_deref(), origin })
        }
        (Some(_), Some(_)) => sink.broken(broken("names no picture".to_owned())),
        _ => sink.broken(broken(format!("has {} columns, too few", fields.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let all = |row: &str| {
            let row = row.as_bytes();
            fields(row, b',').iter().map(|field| field.text(row).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all("a,b"), ["a", "b"]);
        assert_eq!(all("\"a,\"\"x\"\"\",b,"), ["a,\"x\"", "b", ""]);
        assert_eq!(all("a \"b\",c"), ["a \"b\"", "c"]);
        assert_eq!(all("\"a\"b,\"\",\"c,"), ["ab", "", "c,"]);
        let is_open = |row: &[u8]| {
            let mut quotes = Quotes::START;
            quotes.take(row, b',')
        };
        assert!(is_open(b"a,\"b") && is_open(b"\"a\"\","));
        assert!(!is_open(b"a,\"b\"\"c\",d") && !is_open(b"a 5\" b,c"));
    }

    /// A quote that is never closed, over a million short lines: in the time of one look, not of a million.
    #[test]
    fn an_open_quote_over_many_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let mut text = b"image,caption\na.jpg,ok\nb.jpg,\"".to_vec();
        text.extend(vec![b'\n'; 3 << 20]);
        std::fs::write(&path, text).unwrap();
        let dataset = crate::Dataset::open(&path, crate::Split::Train, &ReadOptions::default()).unwrap();
        assert_eq!(dataset.len(), 1);
        assert!(dataset.broken()[0].problem.contains("more than 1 MiB"), "{:?}", dataset.broken());
    }
}
