//! Folders of pictures: a text beside each, or a folder for each class.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pictures::Gallery;
use super::{ConvertError, Item, Trouble, Writer, io_error};
use crate::dataset::Dataset;

/// More classes than anybody has: captions that are no classes.
const MAX_CLASSES: usize = 25_000;

/// The text of a caption in one line, without spaces at its ends.
fn in_line(caption: &str) -> String {
    caption.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pictures with their captions beside them, one a line.
pub(super) struct Sidecar {
    folder: PathBuf,
}

impl Sidecar {
    pub fn new(folder: &Path) -> Result<Self, ConvertError> {
        std::fs::create_dir_all(folder).map_err(io_error(folder))?;
        Ok(Self { folder: folder.to_path_buf() })
    }
}

impl Writer for Sidecar {
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble> {
        let name = gallery.copy(item, "")?;
        let path = self.folder.join(name).with_extension("txt");
        let captions =
            item.captions.iter().map(|caption| in_line(caption)).filter(|caption| !caption.is_empty());
        let text: String = captions.map(|caption| caption + "\n").collect();
        Ok(std::fs::write(&path, text).map_err(io_error(&path))?)
    }

    fn finish(&mut self) -> Result<(), ConvertError> {
        Ok(())
    }
}

/// The folders of classes by their captions.
pub(super) type Names = Arc<HashMap<String, String>>;

/// A class for each different first caption of these samples.
pub(super) fn classes<'a>(
    dataset: &Dataset,
    samples: impl Iterator<Item = &'a u32>,
) -> Result<Names, ConvertError> {
    let mut captions: HashSet<String> = HashSet::new();
    for sample in samples {
        captions
            .extend(dataset.captions(*sample as usize).map(in_line).filter(|caption| !caption.is_empty()));
        if captions.len() > MAX_CLASSES {
            return Err(ConvertError::Cannot(format!(
                "more than {MAX_CLASSES} different captions: these are no classes, and each would become a folder"
            )));
        }
    }
    if captions.is_empty() {
        return Err(ConvertError::Cannot("there are no captions to make classes of".to_owned()));
    }
    let mut captions: Vec<String> = captions.into_iter().collect();
    captions.sort();
    let mut taken = HashSet::new();
    let name = |caption: String| {
        let letters = caption.to_lowercase();
        let letters = letters.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        let base: String = letters.take(60).collect();
        // A name that is all dots and strokes would say nothing, and one in front is a hidden folder.
        let base = base.trim_matches('_');
        // Names of splits and of the pictures' folder mean something else to readers.
        let base = match base {
            "" => "class".to_owned(),
            "train" | "val" | "test" | "images" => format!("class_{base}"),
            other => other.to_owned(),
        };
        let (mut name, mut number) = (base.clone(), 2);
        while !taken.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        (caption, name)
    };
    Ok(Arc::new(captions.into_iter().map(name).collect()))
}

/// Writes labels.txt, line i for the i-th sorted folder, and the template that leaves a label as it is.
pub(super) fn write_names(folder: &Path, names: &Names) -> Result<(), ConvertError> {
    let mut sorted: Vec<(&String, &String)> = names.iter().map(|(caption, name)| (name, caption)).collect();
    sorted.sort();
    let labels: String = sorted.iter().map(|(_, caption)| format!("{caption}\n")).collect();
    for (file, text) in [("labels.txt", labels.as_str()), ("templates.txt", "{}\n")] {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(io_error(&path))?;
    }
    Ok(())
}

/// Pictures in a folder for each class.
pub(super) struct Classes {
    names: Names,
}

impl Classes {
    /// All folders are made, so that every split has the same.
    pub fn new(folder: &Path, names: Names) -> Result<Self, ConvertError> {
        for name in names.values() {
            let class = folder.join(name);
            std::fs::create_dir_all(&class).map_err(io_error(&class))?;
        }
        Ok(Self { names })
    }
}

impl Writer for Classes {
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble> {
        let caption = item.captions.first().map(|caption| in_line(caption)).unwrap_or_default();
        let name = self
            .names
            .get(&caption)
            .ok_or_else(|| Trouble::LeftOut("has no caption to be its class".into()))?;
        gallery.copy(item, name).map(|_| ())
    }

    fn finish(&mut self) -> Result<(), ConvertError> {
        Ok(())
    }
}
