//! Annotation files: karpathy JSON, JSON lines, CSV and TSV.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::out::create;
use super::pictures::Gallery;
use super::{ConvertError, Item, Options, Trouble, Writer, io_error};
use crate::reader::Format;

/// An entry as JSON has it: one caption is a string, others are a list.
#[derive(Serialize)]
struct Entry<'a> {
    caption: Caption<'a>,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Caption<'a> {
    One(&'a str),
    Several(&'a [&'a str]),
}

/// Writes an annotation file.
pub(super) struct Annotations {
    path: PathBuf,
    file: BufWriter<File>,
    format: Format,
    separator: char,
    entries: usize,
}

impl Annotations {
    pub fn new(path: &Path, options: &Options) -> Result<Self, ConvertError> {
        let tsv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tsv"));
        let separator = if tsv { '\t' } else { char::from(options.separator) };
        let mut file = create(path)?;
        if options.format == Format::Table {
            // The names that open_clip and this program read by default, and the id behind them.
            let header = ["filepath", "title", "image_id"].join(&separator.to_string());
            writeln!(file, "{header}").map_err(io_error(path))?;
        }
        Ok(Self { path: path.to_path_buf(), file, format: options.format, separator, entries: 0 })
    }

    fn write(&mut self, image: &str, item: &Item<'_>) -> std::io::Result<()> {
        if self.format == Format::Table {
            let caption = item.captions.first().copied().unwrap_or_default();
            let fields = [image, caption, item.id.unwrap_or_default()];
            let fields = fields.map(|field| quoted(field, self.separator));
            return writeln!(self.file, "{}", fields.join(&self.separator.to_string()));
        }
        let caption = match item.captions.as_slice() {
            [one] => Caption::One(one),
            several => Caption::Several(several),
        };
        let entry = Entry { caption, image, image_id: item.id };
        if self.format == Format::Karpathy {
            self.file.write_all(if self.entries == 0 { b"[\n" } else { b",\n" })?;
        }
        serde_json::to_writer(&mut self.file, &entry)?;
        if self.format == Format::JsonLines { self.file.write_all(b"\n") } else { Ok(()) }
    }
}

/// A field with one character for each line break: readers take the other away.
fn broken_once(field: &str) -> String {
    let mut plain = field.to_owned();
    while plain.contains("\r\n") {
        plain = plain.replace("\r\n", "\n");
    }
    plain
}

/// A field in quotes where it needs them.
fn quoted(field: &str, separator: char) -> String {
    let plain = broken_once(field);
    let needs = plain.contains([separator, '"', '\n', '\r', '\t', ',']) || plain.trim() != plain;
    if needs { format!("\"{}\"", plain.replace('"', "\"\"")) } else { plain }
}

impl Writer for Annotations {
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble> {
        if self.format == Format::Table && item.image.name.is_empty() {
            return Err(Trouble::LeftOut("names no picture".to_owned()));
        }
        let image = gallery.name(item)?;
        self.write(&image, item).map_err(io_error(&self.path))?;
        self.entries += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ConvertError> {
        let end: &[u8] = match (self.format, self.entries) {
            (Format::Karpathy, 0) => b"[]\n",
            (Format::Karpathy, _) => b"\n]\n",
            _ => b"",
        };
        self.file.write_all(end).and_then(|()| self.file.flush()).map_err(io_error(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(quoted("a b", ','), "a b");
        assert_eq!(quoted("a \"b\"", ','), "\"a \"\"b\"\"\"");
        assert_eq!(quoted(" a", ','), "\" a\"");
        assert_eq!(quoted("a\r\r\nb", '\t'), "\"a\nb\"");
        assert_eq!(quoted("a\rb", '\t'), "\"a\rb\"");
    }
}
