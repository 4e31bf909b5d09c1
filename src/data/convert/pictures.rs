//! Gets pictures to where the output wants them: their bytes, copies, links, or only their names.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use image::ImageEncoder;

use super::out::Layout;
use super::{ConvertError, Item, Trouble, io_error};
use crate::dataset::Dataset;
use crate::sample::Place;

/// What becomes of the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// They stay where they are; the output names them as the input does.
    Keep,
    /// Their bytes are copied, unchanged.
    Copy,
    /// Hard links to the files; copies where the file system cannot.
    Link,
}

/// Pictures whose place is looked at to tell whether the output finds them.
const LOOKED_AT: usize = 64;

/// The pictures of an output.
pub(super) struct Gallery {
    /// What was asked for.
    asked: Option<Pictures>,
    folder: PathBuf,
    roots: Vec<PathBuf>,
    own_roots: Vec<PathBuf>,
    /// The name of each picture that was written.
    names: Vec<Option<String>>,
    /// Names that are taken, without their endings.
    taken: HashSet<String>,
    looked: usize,
    pub written: usize,
    pub reencoded: usize,
    pub image_root: Option<PathBuf>,
}

impl Gallery {
    pub fn new(layout: &Layout, asked: Option<Pictures>, dataset: &Dataset) -> Self {
        Self {
            asked,
            folder: PathBuf::new(),
            roots: layout.roots(),
            own_roots: dataset.roots().to_vec(),
            names: vec![None; dataset.images()],
            taken: HashSet::new(),
            looked: 0,
            written: 0,
            reencoded: 0,
            image_root: None,
        }
    }

    /// Pictures are copied to this folder from now on.
    pub fn turn_to(&mut self, folder: PathBuf) {
        self.folder = folder;
    }

    /// What annotations call the picture: its name, or that of its copy.
    pub fn name(&mut self, item: &Item<'_>) -> Result<String, Trouble> {
        let is_file = matches!(item.image.place, Place::Roots(_));
        match self.asked {
            Some(Pictures::Keep) if !is_file => Err(ConvertError::Cannot(
                "the pictures stand inside of shards or parts: annotations cannot name them there, copy them"
                    .into(),
            )
            .into()),
            None | Some(Pictures::Keep) if is_file => {
                self.look(item);
                Ok(item.image.name.clone())
            }
            _ => self.copy(item, ""),
        }
    }

    /// Notes the folder of the pictures when the output does not find them by itself.
    fn look(&mut self, item: &Item<'_>) {
        if self.looked >= LOOKED_AT || self.image_root.is_some() {
            return;
        }
        self.looked += 1;
        let name = &item.image.name;
        if self.roots.iter().any(|root| root.join(name).is_file()) {
            return;
        }
        let found = self.own_roots.iter().find(|root| root.join(name).is_file());
        self.image_root = found.and_then(|root| std::path::absolute(root).ok());
    }

    /// Copies the picture below the gallery's folder, into the folder `under`, once: its name from the gallery's folder.
    pub fn copy(&mut self, item: &Item<'_>, under: &str) -> Result<String, Trouble> {
        if let Some(Some(name)) = self.names.get(item.number).filter(|_| under.is_empty()) {
            return Ok(name.clone());
        }
        let left_out =
            |error: std::io::Error| Trouble::LeftOut(format!("the picture cannot be read: {error}"));
        let file = matches!(item.image.place, Place::Roots(_)).then(|| item.image.path());
        let (end, bytes) = match file.as_deref() {
            // A link needs no more than the first bytes.
            Some(path) if self.asked == Some(Pictures::Link) => {
                match ending(&start_of(path).map_err(left_out)?) {
                    Some(end) if TAKEN.contains(&end) => (end, None),
                    _ => self.bytes(item).map(|(bytes, end)| (end, Some(bytes)))?,
                }
            }
            _ => self.bytes(item).map(|(bytes, end)| (end, Some(bytes)))?,
        };
        let name = self.free_name(&item.image.name, under, end);
        let path = self.folder.join(&name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io_error(folder))?;
        }
        let linked = match (&bytes, &file) {
            (None, Some(from)) => {
                let from = std::fs::canonicalize(from).map_err(left_out)?;
                std::fs::hard_link(&from, &path).or_else(|_| std::fs::copy(&from, &path).map(|_| ()))
            }
            (bytes, _) => std::fs::write(&path, bytes.as_deref().unwrap_or_default()),
        };
        linked.map_err(io_error(&path))?;
        self.written += 1;
        if let Some(place) = self.names.get_mut(item.number).filter(|_| under.is_empty()) {
            *place = Some(name.clone());
        }
        Ok(name)
    }

    /// A name like `wanted` below the folder `under` that leads nowhere else, ends in `end`, and whose stem is free.
    fn free_name(&mut self, wanted: &str, under: &str, end: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        for part in Path::new(wanted).components() {
            if let Component::Normal(part) = part {
                // Of a laion picture, `part:line`; a dot in front would hide it.
                let part = part.to_string_lossy().replace([':', '\0', '\n', '\r'], "-");
                let part = part.trim_start_matches('.');
                parts.push(if part.is_empty() { "_".to_owned() } else { part.to_owned() });
            }
        }
        // In a folder for each class there are no more folders.
        if !under.is_empty() {
            parts = vec![under.to_owned(), parts.join("_")];
        }
        let whole = if parts.is_empty() { "picture".to_owned() } else { parts.join("/") };
        let same =
            |own: &str| own.eq_ignore_ascii_case(end) || (end == "jpg" && own.eq_ignore_ascii_case("jpeg"));
        let (stem, end) = match whole.rsplit_once('.') {
            Some((stem, own)) if same(own) && !stem.is_empty() && !stem.ends_with('/') => (stem, own),
            Some((stem, own)) if TAKEN.iter().any(|end| own.eq_ignore_ascii_case(end)) => (stem, end),
            _ => (whole.as_str(), end),
        };
        let mut free = stem.to_owned();
        let mut number = 2;
        // Folders that ignore case must not mix two up either.
        while !self.taken.insert(free.to_lowercase()) {
            free = format!("{stem}-{number}");
            number += 1;
        }
        format!("{free}.{end}")
    }

    /// The picture's bytes and the ending of their format, one that every reader takes; others are encoded anew.
    pub fn bytes(&mut self, item: &Item<'_>) -> Result<(Vec<u8>, &'static str), Trouble> {
        let bytes = item
            .image
            .read()
            .map_err(|error| Trouble::LeftOut(format!("the picture cannot be read: {error}")))?;
        match ending(&bytes) {
            None => Err(Trouble::LeftOut("not a picture in a format that is read".to_owned())),
            Some(end) if TAKEN.contains(&end) => Ok((bytes, end)),
            Some(_) => {
                let png = encode_anew(&bytes).map_err(Trouble::LeftOut)?;
                self.reencoded += 1;
                Ok((png, "png"))
            }
        }
    }
}

/// Endings of the formats that shards and folders are read in.
const TAKEN: [&str; 3] = ["jpg", "png", "webp"];

/// The usual ending of a picture's format, by its first bytes.
fn ending(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0xff, 0xd8, 0xff, ..] => "jpg",
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "tiff",
        _ => return None,
    })
}

fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a plain file"));
    }
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(16).read_to_end(&mut start)?;
    Ok(start)
}

fn encode_anew(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let picture = crate::picture::decode(bytes).map_err(|error| error.to_string())?;
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png)
        .write_image(
            picture.rgb(),
            side(picture.width()),
            side(picture.height()),
            image::ExtendedColorType::Rgb8,
        )
        .map_err(|error| error.to_string())?;
    Ok(png)
}
