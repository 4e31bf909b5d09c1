//! An entry of annotations: an object with a picture, captions and an id.

use super::{Fault, Holds, Scanner, Span};

/// The names of the fields; the first that an object has is taken.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub image: Vec<String>,
    pub caption: Vec<String>,
}

impl Keys {
    /// The named fields, else the usual ones.
    fn new(image: Option<&String>, caption: Option<&String>, usual: [&[&str]; 2]) -> Self {
        let of = |own: Option<&String>, known: &[&str]| match own {
            Some(own) => vec![own.clone()],
            None => known.iter().map(|&name| name.to_owned()).collect(),
        };
        Self { image: of(image, usual[0]), caption: of(caption, usual[1]) }
    }

    /// Those of coco_karpathy files.
    pub fn karpathy(image: Option<&String>, caption: Option<&String>) -> Self {
        Self::new(image, caption, [&["image"], &["caption"]])
    }

    /// Those of JSON lines.
    pub fn lines(image: Option<&String>, caption: Option<&String>) -> Self {
        let images: &[&str] = &["image", "filepath", "file_name", "path"];
        Self::new(image, caption, [images, &["caption", "captions", "title", "text"]])
    }
}

/// An entry's place and those of its fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its opening brace.
    pub at: usize,
    /// Bytes up to its closing brace; 0 where it is no object.
    pub len: u32,
    /// Whether it is written as a Python literal.
    pub python: bool,
    /// Its picture.
    pub image: Span,
    /// Its id.
    pub id: Span,
    /// Its caption field: text or a list.
    pub caption: Span,
    /// The first of its captions among those of all entries.
    pub first_caption: u32,
    /// How many there are.
    pub captions: u32,
}

impl Entry {
    /// One without fields.
    pub fn blank(at: usize, captions: usize) -> Self {
        let [image, id, caption] = [Span::NOTHING; 3];
        let first_caption = u32::try_from(captions).unwrap_or(u32::MAX);
        Self { at, len: 0, python: false, image, id, caption, first_caption, captions: 0 }
    }

    /// Its captions among those of all entries.
    pub fn captions_in<'a>(&self, all: &'a [Span]) -> &'a [Span] {
        let first = self.first_caption as usize;
        all.get(first..first + self.captions as usize).unwrap_or(&[])
    }
}

/// Reads the object that begins here; its captions are put behind `captions`.
pub(crate) fn read(scanner: &mut Scanner<'_>, keys: &Keys, captions: &mut Vec<Span>) -> Result<Entry, Fault> {
    scanner.peek();
    let mut entry = Entry::blank(scanner.at, captions.len());
    let bytes = scanner.bytes();
    let (mut image_rank, mut caption_rank) = (usize::MAX, usize::MAX);
    let first = captions.len();
    let whole = scanner.object(|scanner, key| {
        let name = key.bytes(bytes);
        let rank = |names: &[String]| names.iter().position(|known| known.as_bytes() == &*name);
        let mut is_again = false;
        if let Some(rank) = rank(&keys.caption) {
            is_again = caption_rank == rank;
            if rank > caption_rank {
                return scanner.value().map(drop);
            }
            caption_rank = rank;
            captions.truncate(first);
            entry.caption = if scanner.peek() == Some(b'[') {
                scanner.list(|scanner| {
                    captions.push(scanner.value()?);
                    Ok(())
                })?
            } else {
                let field = scanner.value()?;
                captions.push(field);
                field
            };
            entry.captions = u32::try_from(captions.len() - first).unwrap_or(u32::MAX);
        } else if let Some(rank) = rank(&keys.image) {
            is_again = image_rank == rank;
            let value = scanner.value()?;
            if rank <= image_rank {
                (entry.image, image_rank) = (value, rank);
            }
        } else if &*name == b"image_id" {
            is_again = entry.id.holds != Holds::Nothing;
            entry.id = scanner.value()?;
        } else {
            scanner.value()?;
        }
        if is_again && let Some(tolerated) = &mut scanner.tolerated {
            tolerated.again.push(key);
        }
        Ok(())
    });
    let whole = whole.inspect_err(|_| captions.truncate(first))?;
    entry.len = whole.len;
    Ok(entry)
}
