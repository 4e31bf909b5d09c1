//! CSV and TSV with a header line and chosen columns, as open_clip reads them with pandas.
//!
//! A field may stand in double quotes, where a quote is doubled and separators and line ends are text. Each row is a
//! sample; rows of the same picture share it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::{Line, Lines};
use super::{Entry, Format, ReadError, ReadOptions, Reader, Sink, io_error};
use crate::sample::{Broken, Origin};

/// The longest row; a quote that is never closed ends there.
const MAX_ROW: usize = 1 << 20;

/// Reader of CSV and TSV.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    roots: Arc<[PathBuf]>,
    separator: Option<u8>,
    image_key: Option<String>,
    caption_key: Option<String>,
}

impl Table {
    pub fn new(path: &Path, options: &ReadOptions) -> Self {
        let tsv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tsv"));
        Self {
            path: path.to_path_buf(),
            roots: options.roots(path),
            separator: options.separator.or(tsv.then_some(b'\t')),
            image_key: options.image_key.clone(),
            caption_key: options.caption_key.clone(),
        }
    }

    /// Where picture and caption stand: the named column, else the first of the usual names.
    fn column(
        &self,
        header: &[Cow<'_, str>],
        own: &Option<String>,
        usual: &[&str],
        setting: &str,
    ) -> Result<usize, ReadError> {
        let place = |name: &str| header.iter().position(|column| column.trim() == name);
        let found = match own {
            Some(own) => place(own),
            None => usual.iter().find_map(|name| place(name)),
        };
        found.ok_or_else(|| {
            let wanted = own.clone().unwrap_or_else(|| usual.join("' or '"));
            let has: Vec<String> = header.iter().take(12).map(|c| format!("'{}'", c.escape_default())).collect();
            ReadError::Annotation {
                path: self.path.clone(),
                line: 1,
                column: 1,
                problem: format!("there is no column '{wanted}' but {}: name it by {setting}, and what separates columns by csv_separator", has.join(", ")),
            }
        })
    }
}

/// The fields of a row; those without quotes are borrowed.
fn fields(row: &str, separator: char) -> Vec<Cow<'_, str>> {
    let mut fields = Vec::new();
    let mut rest = Some(row);
    while let Some(text) = rest {
        let Some(quoted) = text.strip_prefix('"') else {
            let (field, after) = text.split_once(separator).map_or((text, None), |(a, b)| (a, Some(b)));
            fields.push(Cow::Borrowed(field));
            rest = after;
            continue;
        };
        let (mut field, mut from) = (String::new(), quoted);
        // What follows the closing quote belongs to the field, as pandas has it.
        let after = loop {
            let Some((inside, after)) = from.split_once('"') else {
                field.push_str(from);
                break "";
            };
            field.push_str(inside);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    from = more;
                }
                None => break after,
            }
        };
        let (tail, more) = after.split_once(separator).map_or((after, None), |(a, b)| (a, Some(b)));
        field.push_str(tail);
        fields.push(Cow::Owned(field));
        rest = more;
    }
    fields
}

/// Where a row is between its quotes, told piece by piece: a row of many lines is looked through once.
#[derive(Debug, Clone, Copy)]
struct Quotes {
    /// A quoted field is open.
    open: bool,
    /// A quote that comes next opens one.
    begins: bool,
}

impl Quotes {
    const NONE: Self = Self { open: false, begins: true };

    fn pass(&mut self, piece: &[u8], separator: u8) {
        for byte in piece {
            match byte {
                b'"' if self.open => self.open = false,
                // A quote within a bare field is text; one behind a closing quote is a doubled one.
                b'"' if self.begins => self.open = true,
                _ => {}
            }
            self.begins = !self.open && (*byte == separator || *byte == b'"');
        }
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
        self.roots.clone()
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        let mut lines = Lines::open(&self.path)?;
        let (mut separator, mut columns) = (self.separator, None);
        let (mut row, mut entry, mut origin) = (Vec::new(), 0u32, Origin::default());
        let (mut quotes, mut passed) = (Quotes::NONE, 0);
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
                (quotes, passed) = (Quotes::NONE, 0);
            }
            let mut problem = match text {
                Ok(text) => {
                    if !row.is_empty() {
                        row.push(b'\n');
                    }
                    row.extend_from_slice(text);
                    None
                }
                Err(problem) => Some(problem),
            };
            let by = *separator.get_or_insert_with(|| if row.contains(&b'\t') { b'\t' } else { b',' });
            quotes.pass(row.get(passed..).unwrap_or_default(), by);
            passed = row.len();
            if problem.is_none() && quotes.open {
                if row.len() < MAX_ROW {
                    continue;
                }
                problem = Some(format!("a row of more than {} MiB: is a quote not closed?", MAX_ROW >> 20));
            }
            if problem.is_none() && row.trim_ascii().is_empty() {
                row.clear();
                continue;
            }
            let parsed = match problem {
                Some(problem) => Err(problem),
                None => std::str::from_utf8(&row)
                    .map(|text| fields(text.trim_start_matches('\u{feff}'), char::from(by)))
                    .map_err(|error| {
                        format!("the text is not UTF-8 (byte {} of the row)", error.valid_up_to())
                    }),
            };
            match (parsed, columns) {
                (Ok(header), None) => {
                    let image = self.column(
                        &header,
                        &self.image_key,
                        &["filepath", "image", "file_name"],
                        "csv_img_key",
                    )?;
                    let caption = self.column(
                        &header,
                        &self.caption_key,
                        &["title", "caption", "text"],
                        "csv_caption_key",
                    )?;
                    let id = header.iter().position(|column| column.trim() == "image_id");
                    columns = Some((image, caption, id));
                    row.clear();
                    continue;
                }
                (Err(problem), None) => {
                    return Err(ReadError::Annotation {
                        path: self.path.clone(),
                        line: 1,
                        column: 1,
                        problem,
                    });
                }
                (Ok(fields), Some((image, caption, id))) => match (fields.get(image), fields.get(caption)) {
                    (Some(image), Some(caption)) if !image.is_empty() => {
                        let captions = std::slice::from_ref(caption);
                        let id =
                            id.and_then(|id| fields.get(id)).map(Cow::as_ref).filter(|id| !id.is_empty());
                        sink.entry(Entry { image, range: None, captions, id, origin })?;
                    }
                    (Some(_), Some(_)) => {
                        sink.broken(Broken { origin, problem: "names no picture".to_owned() })?;
                    }
                    _ => {
                        let problem = format!("has {} columns, too few", fields.len());
                        sink.broken(Broken { origin, problem })?;
                    }
                },
                (Err(problem), Some(_)) => sink.broken(Broken { origin, problem })?,
            }
            row.clear();
            entry = entry.saturating_add(1);
        }
        if entry == 0 { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let all = |row| fields(row, ',').into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(all("a,b"), ["a", "b"]);
        assert_eq!(all("\"a,\"\"x\"\"\",b,"), ["a,\"x\"", "b", ""]);
        assert_eq!(all("a \"b\",c"), ["a \"b\"", "c"]);
        let is_open = |row: &[u8]| {
            let mut quotes = Quotes::NONE;
            row.chunks(2).for_each(|piece| quotes.pass(piece, b','));
            quotes.open
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
