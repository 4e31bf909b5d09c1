//! Which format something is in. The table is in [`super`].

use std::io;
use std::path::{Path, PathBuf};

use super::folder::{Folder, is_picture, walk};
use super::karpathy::{JsonLines, Karpathy};
use super::laion::Laion;
use super::table::Table;
use super::webdataset::{Webdataset, expand};
use super::{Format, ReadError, ReadOptions, Reader, Split, io_error};

/// Finds out what `data` is: an annotation file, tar shards, or a dataset folder that has `split`.
///
/// # Errors
/// When there is nothing that a reader knows.
pub fn find(data: &Path, split: Split, options: &ReadOptions) -> Result<Box<dyn Reader>, ReadError> {
    if let Some(shards) = shards(data, options)? {
        return Ok(Box::new(Webdataset::new(shards, options)));
    }
    let about = match std::fs::metadata(data) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not(data, split, "no such file or folder"));
        }
        Err(source) => return Err(ReadError::Io { path: data.to_path_buf(), source }),
    };
    if about.is_dir() { in_folder(data, split, options) } else { file(data, options) }
}

/// Whether a folder has annotations of `split` of its own, beside those of other splits.
pub fn has_split(folder: &Path, split: Split) -> bool {
    annotations(folder, split).is_some() || folder.join(split.name()).is_dir()
}

fn not(data: &Path, split: Split, problem: &'static str) -> ReadError {
    let wanted = format!("annotations/coco_karpathy_{}.json", split.name());
    ReadError::NotADataset { path: data.to_path_buf(), problem, wanted }
}

fn is_shard(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

/// The shards that `data` names, if it names shards.
fn shards(data: &Path, options: &ReadOptions) -> Result<Option<Vec<PathBuf>>, ReadError> {
    let text = data.to_string_lossy();
    let spec = (text.contains("::") || (text.contains('{') && text.contains('}'))) && !data.exists();
    let named = is_shard(&text) && !data.is_dir();
    if !(spec || named || options.format == Some(Format::Webdataset) && !data.is_dir()) {
        return Ok(None);
    }
    let shards = if spec { expand(&text)? } else { vec![data.to_path_buf()] };
    if shards.is_empty() {
        return Err(ReadError::Spec { what: text.into_owned(), problem: "names no shard".to_owned() });
    }
    if let Some(missing) = shards.iter().find(|shard| !shard.is_file()) {
        let problem = format!("{}: no such file", missing.display());
        return Err(ReadError::Spec { what: text.into_owned(), problem });
    }
    Ok(Some(shards))
}

/// The annotations of a split in a folder.
fn annotations(folder: &Path, split: Split) -> Option<PathBuf> {
    let split = split.name();
    let karpathy = format!("coco_karpathy_{split}.json");
    let mut places = vec![folder.join("annotations").join(&karpathy), folder.join(&karpathy)];
    places.extend(["jsonl", "csv", "tsv", "json"].map(|end| folder.join(format!("{split}.{end}"))));
    places.into_iter().find(|place| place.is_file())
}

fn in_folder(folder: &Path, split: Split, options: &ReadOptions) -> Result<Box<dyn Reader>, ReadError> {
    let asked = options.format;
    let wants = |format: Format| asked.is_none_or(|asked| asked == format);
    if !matches!(asked, Some(Format::Sidecar | Format::Classes | Format::Webdataset)) {
        let metadata = folder.join("metadata.jsonl");
        if let Some(place) = annotations(folder, split).or(Some(metadata).filter(|place| place.is_file())) {
            return file(&place, options);
        }
    }
    let own = folder.join(split.name());
    if wants(Format::Webdataset) {
        for place in [own.as_path(), folder] {
            let shards = shards_in(place).unwrap_or_default();
            if !shards.is_empty() {
                return Ok(Box::new(Webdataset::new(shards, options)));
            }
        }
    }
    let root = if own.is_dir() { own } else { folder.to_path_buf() };
    // The first pictures tell which of the two kinds it is.
    let (mut looked, mut texts, mut nested) = (0, 0, false);
    walk(&root, &mut |met| {
        if let Ok(path) = met
            && is_picture(path)
        {
            looked += 1;
            texts += usize::from(path.with_extension("txt").is_file());
            nested |= path.parent() != Some(root.as_path());
        }
        looked < 100
    })?;
    if looked > 0 && wants(Format::Sidecar) && (texts > 0 || asked.is_some()) {
        return Ok(Box::new(Folder::sidecar(&root)));
    }
    if nested && wants(Format::Classes) {
        let images = root.join("images");
        let classes = if images.is_dir() { images } else { root };
        return Ok(Box::new(Folder::classes(&classes, folder)?));
    }
    Err(not(folder, split, "holds no such annotations"))
}

fn shards_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_shard) && path.is_file() {
            shards.push(path);
        }
    }
    shards.sort();
    Ok(shards)
}

fn file(path: &Path, options: &ReadOptions) -> Result<Box<dyn Reader>, ReadError> {
    let format = match options.format {
        Some(format) => format,
        None => recognise(path)?,
    };
    Ok(match format {
        Format::JsonLines => Box::new(JsonLines::new(path, options)),
        Format::Table => Box::new(Table::new(path, options)),
        Format::Laion => Box::new(Laion::new(path, options)),
        Format::Sidecar | Format::Classes => {
            let problem = format!("a file, and the format {} is a folder of pictures", format.name());
            return Err(ReadError::Spec { what: path.display().to_string(), problem });
        }
        Format::Karpathy | Format::Webdataset => Box::new(Karpathy::new(path, options)),
    })
}

fn recognise(path: &Path) -> Result<Format, ReadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    Ok(match end {
        "jsonl" | "ndjson" => Format::JsonLines,
        "csv" | "tsv" => Format::Table,
        "filelist" => Format::Laion,
        "json" if first_byte(path)? == Some(b'{') => Format::JsonLines,
        "json" => Format::Karpathy,
        _ if name.contains("laion") => Format::Laion,
        _ => Format::Karpathy,
    })
}

/// The first byte that is no white space, of the first few.
fn first_byte(path: &Path) -> Result<Option<u8>, ReadError> {
    use std::io::Read as _;
    if !path.is_file() {
        return Ok(None);
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(io_error(path))?;
    file.take(4096).read_to_end(&mut start).map_err(io_error(path))?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    Ok(start.trim_ascii_start().first().copied())
}
