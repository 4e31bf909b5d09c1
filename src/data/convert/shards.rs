//! Webdataset shards: `key.jpg`, `key.txt`, and `key.json` with what a text cannot hold.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::out::create;
use super::pictures::Gallery;
use super::{ConvertError, Item, Options, Trouble, Writer, io_error};

/// Writes one shard, or a folder of them.
pub(super) struct Shards {
    /// The shard, or the folder.
    path: PathBuf,
    one: bool,
    shard: Option<(PathBuf, tar::Builder<BufWriter<File>>)>,
    size: usize,
    samples: usize,
}

impl Shards {
    pub fn new(path: &Path, options: &Options) -> Result<Self, ConvertError> {
        let one = path.extension().is_some_and(|end| end == "tar");
        let size = if one { usize::MAX } else { options.shard.max(1) };
        Ok(Self { path: path.to_path_buf(), one, shard: None, size, samples: 0 })
    }

    /// The shard that the next sample goes to.
    fn shard(&mut self) -> Result<&mut (PathBuf, tar::Builder<BufWriter<File>>), ConvertError> {
        if self.samples.is_multiple_of(self.size) && self.shard.is_some() {
            self.close()?;
        }
        if self.shard.is_none() {
            let number = self.samples / self.size;
            let path = if self.one { self.path.clone() } else { self.path.join(format!("{number:05}.tar")) };
            self.shard = Some((path.clone(), tar::Builder::new(create(&path)?)));
        }
        self.shard.as_mut().ok_or_else(|| ConvertError::Cannot("no shard is open".to_owned()))
    }

    fn close(&mut self) -> Result<(), ConvertError> {
        let Some((path, builder)) = self.shard.take() else { return Ok(()) };
        let file = builder.into_inner().map_err(io_error(&path))?;
        file.into_inner().map(|_| ()).map_err(|error| ConvertError::Io { path, source: error.into_error() })
    }
}

impl Writer for Shards {
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble> {
        let (picture, end) = gallery.bytes(item)?;
        let key = format!("{:09}", self.samples);
        let text = item.captions.first().copied().unwrap_or_default();
        // What the text alone would lose: several captions, none, spaces at its ends, an id.
        let plain = item.captions.len() == 1 && text.trim() == text && item.id.is_none();
        let more = (!plain).then(|| {
            let mut more = json!({ "captions": item.captions, "image": item.image.name });
            if let Some(id) = item.id {
                more["image_id"] = json!(id);
            }
            more.to_string()
        });
        let (path, shard) = self.shard()?;
        // Members of a sample stand side by side: webdataset takes a sample to end where the key changes.
        let mut members: Vec<(&str, &[u8])> = vec![(end, &picture), ("txt", text.as_bytes())];
        members.extend(more.as_deref().map(|more| ("json", more.as_bytes())));
        for (end, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            shard.append_data(&mut header, format!("{key}.{end}"), bytes).map_err(io_error(path))?;
        }
        self.samples += 1;
        gallery.written += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ConvertError> {
        if self.samples == 0 {
            // An empty dataset is a shard without members.
            self.shard()?;
        }
        self.close()
    }
}
