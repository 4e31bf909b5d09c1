//! Writes a dataset anew: in another format, divided into splits, with its pictures copied, linked or left where they are.
//!
//! A reader's samples ([`Dataset`]) go one by one to the [`Writer`] of the wanted format. All is written under a
//! temporary name beside its place and renamed at the end: what is there already is never touched, and what was
//! stopped leaves nothing.

mod annotations;
mod folders;
mod laion;
mod out;
mod pictures;
mod shards;
mod split;

use std::io;
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::progress::Progress;
use crate::reader::Format;
use crate::sample::ImageRef;

pub use pictures::Pictures;
pub use split::{Group, Part, Plan, divide};

use out::{Layout, Stage};
use pictures::Gallery;

/// How the captions of a picture are spread over entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captions {
    /// As the entries have them.
    Keep,
    /// An entry for each caption.
    Each,
    /// One entry for each picture, with all of its captions.
    Join,
}

/// How a dataset is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format to write.
    pub format: Format,
    /// How captions are spread; none: as the entries have them where the format can, see [`captions_of`].
    pub captions: Option<Captions>,
    /// What becomes of the pictures; none: they stay where they are, where the format can refer to them.
    pub pictures: Option<Pictures>,
    /// Samples of a tar shard or laion part.
    pub shard: usize,
    /// What separates the columns of a table: a comma or a tab.
    pub separator: u8,
    /// Divide into splits; none: one dataset.
    pub plan: Option<Plan>,
}

impl Options {
    /// Options for a format.
    pub fn new(format: Format) -> Self {
        Self { format, captions: None, pictures: None, shard: 1000, separator: b',', plan: None }
    }
}

/// How captions are spread when nobody says: formats with one caption an entry get an entry for each, a picture with a
/// text beside it holds all of its captions.
pub fn captions_of(format: Format) -> Captions {
    match format {
        Format::Karpathy | Format::JsonLines | Format::Webdataset => Captions::Keep,
        Format::Table | Format::Laion | Format::Classes => Captions::Each,
        Format::Sidecar => Captions::Join,
    }
}

/// The format that an output's name tells.
pub fn format_of(out: &Path) -> Option<Format> {
    let end = out.extension()?.to_str()?.to_ascii_lowercase();
    Some(match end.as_str() {
        "json" => Format::Karpathy,
        "jsonl" | "ndjson" => Format::JsonLines,
        "csv" | "tsv" => Format::Table,
        "filelist" => Format::Laion,
        "tar" => Format::Webdataset,
        _ => return None,
    })
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Something is there already.
    #[error("{0} is there already: nothing is overwritten, name another place")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is asked for does not go together.
    #[error("{0}")]
    Cannot(String),
    /// It was stopped; nothing is left of it.
    #[error("stopped: nothing was written")]
    Cancelled,
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ConvertError {
    let path = path.to_path_buf();
    |source| ConvertError::Io { path, source }
}

/// Why an entry was not written: the entry alone is left out, or all is given up.
#[derive(Debug)]
enum Trouble {
    LeftOut(String),
    Fatal(ConvertError),
}

impl From<ConvertError> for Trouble {
    fn from(error: ConvertError) -> Self {
        Self::Fatal(error)
    }
}

/// An entry to be written.
#[derive(Debug)]
struct Item<'a> {
    /// Its picture's number in the dataset.
    number: usize,
    /// Its picture.
    image: &'a ImageRef,
    /// Its captions.
    captions: Vec<&'a str>,
    /// Its id.
    id: Option<&'a str>,
}

/// Writes entries in one format.
trait Writer {
    /// Writes an entry.
    fn put(&mut self, item: &Item<'_>, gallery: &mut Gallery) -> Result<(), Trouble>;

    /// Ends the files.
    fn finish(&mut self) -> Result<(), ConvertError>;
}

/// An entry that was left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Its number in the annotation file.
    pub entry: u32,
    /// Its picture, as the annotations name it.
    pub image: String,
    /// Why.
    pub reason: String,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Converted {
    /// What to open: a file, a folder; of splits the folder that holds them.
    pub path: PathBuf,
    /// Entries written, by split; one number without splits.
    pub entries: Vec<usize>,
    /// Pictures written, or linked.
    pub pictures: usize,
    /// Of these, in how many the file was encoded anew, as PNG: the format reads no other.
    pub reencoded: usize,
    /// Entries that were left out, the first thousand.
    pub left_out: Vec<LeftOut>,
    /// How many there are.
    pub left_out_count: usize,
    /// Where the pictures lie, when they are not found from the output: for `--image_root`.
    pub image_root: Option<PathBuf>,
}

/// Entries left out that are named.
const NAMED: usize = 1000;

/// Writes the samples of `dataset` (those of `chosen`, when given) to `out`.
///
/// # Errors
/// When something is there already, cannot be written, or does not go together; then nothing is left.
pub fn convert(
    dataset: &Dataset,
    chosen: Option<&[u32]>,
    out: &Path,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Converted, ConvertError> {
    let layout = Layout::new(out, options, dataset)?;
    let all: Vec<u32> = chosen.map_or_else(|| (0..dataset.len() as u32).collect(), <[u32]>::to_vec);
    let parts: Vec<Part> = match &options.plan {
        None => vec![(None, all)],
        Some(plan) => divide(dataset, &all, plan, progress)?,
    };
    let spread = options.captions.unwrap_or(captions_of(options.format));
    let classes = match options.format {
        Format::Classes => Some(folders::classes(dataset, parts.iter().flat_map(|(_, all)| all))?),
        _ => None,
    };
    let stage = Stage::new(&layout)?;
    let mut gallery = Gallery::new(&layout, options.pictures, dataset);
    let mut done = Converted { path: out.to_path_buf(), ..Converted::default() };
    let (mut at, total) = (0, parts.iter().map(|(_, all)| all.len()).sum::<usize>());
    for (split, samples) in &parts {
        let mut writer: Box<dyn Writer> = match options.format {
            Format::Karpathy | Format::JsonLines | Format::Table => {
                Box::new(annotations::Annotations::new(&layout.annotations(&stage, *split), options)?)
            }
            Format::Laion => Box::new(laion::Parts::new(&layout.annotations(&stage, *split), options)?),
            Format::Webdataset => Box::new(shards::Shards::new(&layout.shards(&stage, *split), options)?),
            Format::Sidecar => Box::new(folders::Sidecar::new(&layout.folder(&stage, *split))?),
            Format::Classes => {
                let classes = classes.clone().unwrap_or_default();
                Box::new(folders::Classes::new(&layout.folder(&stage, *split), classes)?)
            }
        };
        gallery.turn_to(layout.gallery(&stage, *split));
        let mut entries = 0;
        for_each(dataset, samples, spread, |item, sample| {
            at += 1;
            if at % 64 == 0 && !progress.goes_on(at.min(total), total) {
                return Err(ConvertError::Cancelled);
            }
            match writer.put(&item, &mut gallery) {
                Ok(()) => entries += 1,
                Err(Trouble::Fatal(error)) => return Err(error),
                Err(Trouble::LeftOut(reason)) => {
                    done.left_out_count += 1;
                    if done.left_out.len() < NAMED {
                        let entry = dataset.origin(sample).map_or(0, |origin| origin.entry);
                        done.left_out.push(LeftOut { entry, image: item.image.name.clone(), reason });
                    }
                }
            }
            Ok(())
        })?;
        writer.finish()?;
        done.entries.push(entries);
    }
    if !progress.goes_on(total, total) {
        return Err(ConvertError::Cancelled);
    }
    if let Some(classes) = &classes {
        folders::write_names(&stage.path, classes)?;
    }
    (done.pictures, done.reencoded) = (gallery.written, gallery.reencoded);
    done.image_root = gallery.image_root.take();
    stage.place(&layout)?;
    Ok(done)
}

/// Gives the entries of these samples as they are to be spread, with the sample that each begins with.
fn for_each(
    dataset: &Dataset,
    samples: &[u32],
    spread: Captions,
    mut give: impl FnMut(Item<'_>, usize) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    // Of joined pictures the first sample stands for all.
    let mut rest: Vec<(usize, u32)> = Vec::new();
    if spread == Captions::Join {
        rest = samples.iter().filter_map(|s| Some((dataset.image_number(*s as usize)?, *s))).collect();
        let place: std::collections::HashMap<u32, usize> =
            samples.iter().enumerate().map(|(place, sample)| (*sample, place)).collect();
        rest.sort_by_key(|(number, sample)| (*number, place.get(sample).copied()));
    }
    let mut seen = std::collections::HashSet::new();
    for &first in samples {
        let sample = first as usize;
        let (Some(image), Some(number)) = (dataset.image(sample), dataset.image_number(sample)) else {
            continue;
        };
        let (image, id) = (&image, dataset.id(sample));
        let own: Vec<&str> = dataset.captions(sample).collect();
        match spread {
            Captions::Keep => give(Item { number, image, captions: own, id }, sample)?,
            Captions::Each if own.is_empty() => give(Item { number, image, captions: own, id }, sample)?,
            Captions::Each => {
                for caption in own {
                    give(Item { number, image, captions: vec![caption], id }, sample)?;
                }
            }
            Captions::Join if seen.insert(number) => {
                let from = rest.partition_point(|(other, _)| *other < number);
                let alike = rest.iter().skip(from).take_while(|(other, _)| *other == number);
                let captions = alike.flat_map(|(_, sample)| dataset.captions(*sample as usize)).collect();
                give(Item { number, image, captions, id }, sample)?;
            }
            Captions::Join => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
