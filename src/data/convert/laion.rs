//! The seed's laion form: parts of lines with the picture in base64, and a file list that names them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;

use super::out::create;
use super::pictures::Gallery;
use super::{ConvertError, Item, Options, Trouble, Writer, io_error};

/// Writes parts and their list.
pub(super) struct Parts {
    list: PathBuf,
    /// The folder of the parts, beside the list.
    folder: String,
    names: Vec<String>,
    part: Option<(PathBuf, BufWriter<File>)>,
    size: usize,
    lines: usize,
}

impl Parts {
    pub fn new(list: &Path, options: &Options) -> Result<Self, ConvertError> {
        let stem = list.file_stem().map_or_else(|| "laion".into(), |stem| stem.to_string_lossy());
        let folder = format!("{stem}-parts");
        Ok(Self {
            list: list.to_path_buf(),
            folder,
            names: Vec::new(),
            part: None,
            size: options.shard.max(1),
            lines: 0,
        })
    }

    fn part(&mut self) -> Result<&mut (PathBuf, BufWriter<File>), ConvertError> {
        if self.lines.is_multiple_of(self.size) {
            self.close()?;
        }
        if self.part.is_none() {
            let name = format!("{}/part-{:05}", self.folder, self.names.len());
            let path = self.list.parent().unwrap_or(Path::new("")).join(&name);
            self.part = Some((path.clone(), create(&path)?));
            self.names.push(name);
        }
        self.part.as_mut().ok_or_else(|| ConvertError::Cannot("no part is open".to_owned()))
    }

    fn close(&mut self) -> Result<(), ConvertError> {
        let Some((path, mut file)) = self.part.take() else { return Ok(()) };
        file.flush().map_err(io_error(&path))
    }
}

impl Writer for Parts {
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble> {
        let (picture, _) = gallery.bytes(item)?;
        let caption = item.captions.first().copied().unwrap_or_default();
        // Columns 0, 1, 3 and 4 are not read; the first two keep the id and the name for people. JSON has no raw tab.
        let plain = |text: &str| text.replace(['\t', '\n', '\r'], " ");
        let id = plain(item.id.unwrap_or("0"));
        let name = plain(&item.image.name);
        let json = json!({ "caption_en": caption });
        let base64 = base64::engine::general_purpose::STANDARD.encode(&picture);
        let (path, file) = self.part()?;
        writeln!(file, "{id}\t{name}\t{json}\t0\t0\t{base64}").map_err(io_error(path))?;
        self.lines += 1;
        gallery.written += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ConvertError> {
        if self.names.is_empty() {
            self.part()?;
        }
        self.close()?;
        let mut list = create(&self.list)?;
        let text: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        list.write_all(text.as_bytes()).and_then(|()| list.flush()).map_err(io_error(&self.list))
    }
}
