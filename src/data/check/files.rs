//! The second stage: is every picture there, and what does its header say?

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::{ImageFormat, ImageReader};

use super::finding::Kind;
use super::options::Thresholds;
use crate::picture::too_large;

/// A picture's file, or what is wrong with it.
pub(super) struct Place {
    /// The file, when there is one that can be read.
    pub path: Option<PathBuf>,
    /// Bytes of it.
    pub size: u64,
    pub found: Vec<(Kind, String)>,
}

/// Names in a folder by their lower-case form.
type Listing = Arc<HashMap<String, String>>;

/// Finds pictures; remembers the folders that it had to list.
#[derive(Default)]
pub(super) struct Finder {
    listings: Mutex<HashMap<PathBuf, Listing>>,
}

impl Finder {
    /// Looks for picture `name` in `roots` and at its header.
    pub fn place(&self, name: &str, roots: &[PathBuf], limits: &Thresholds) -> Place {
        let mut place = Place { path: None, size: 0, found: Vec::new() };
        if name.contains('\0') {
            place
                .found
                .push((Kind::MissingFile, "the path holds a NUL byte: no file can have that name".into()));
            return place;
        }
        if let Some(message) = escapes(name) {
            place.found.push((Kind::PathEscape, message));
            return place;
        }
        let mut denied = None;
        for root in roots {
            let path = root.join(name);
            match std::fs::metadata(&path) {
                Ok(about) if about.is_file() => {
                    place.size = about.len();
                    place.found = header(&path, place.size, limits);
                    place.path = Some(path);
                    return place;
                }
                Ok(_) => denied = denied.or_else(|| Some(format!("{} is no plain file", path.display()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // A link that leads to itself, a name too long, a folder closed to us.
                Err(error) => denied = denied.or_else(|| Some(format!("{}: {error}", path.display()))),
            }
        }
        place.found.push(match (denied, self.other_case(name, roots)) {
            (_, Some(real)) => (
                Kind::CaseMismatch,
                format!("the file is called '{real}': write it so, upper and lower case alike"),
            ),
            (Some(message), None) => (Kind::Unreadable, message),
            (None, None) => {
                let looked: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
                let message = format!(
                    "no picture '{name}' in {}: correct the path or give --image_root",
                    looked.join(", ")
                );
                (Kind::MissingFile, message)
            }
        });
        place
    }

    /// The name that differs from `name` in case alone, if there is one.
    fn other_case(&self, name: &str, roots: &[PathBuf]) -> Option<String> {
        roots.iter().find_map(|root| {
            let mut real = PathBuf::new();
            for part in Path::new(name).components() {
                let Component::Normal(part) = part else { continue };
                let listing = self.listing(&root.join(&real));
                real.push(listing.get(&part.to_str()?.to_lowercase())?);
            }
            root.join(&real).is_file().then(|| real.to_string_lossy().into_owned())
        })
    }

    fn listing(&self, folder: &Path) -> Listing {
        let lock = || self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(folder) {
            return known.clone();
        }
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let listing: Listing = Arc::new(names.map(|name| (name.to_lowercase(), name)).collect());
        lock().insert(folder.to_path_buf(), listing.clone());
        listing
    }
}

/// Why a picture's path leaves its folder, if it does.
fn escapes(name: &str) -> Option<String> {
    if Path::new(name).is_absolute() || name.contains(":\\") {
        return Some(format!(
            "'{name}' is an absolute path: write it relative to the folder of the pictures"
        ));
    }
    let mut depth = 0i64;
    for part in Path::new(name).components() {
        depth += match part {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        };
        if depth < 0 {
            return Some(format!("'{name}' leaves the folder of the pictures: move the picture into it"));
        }
    }
    None
}

/// What the first bytes of a picture say.
fn header(path: &Path, size: u64, limits: &Thresholds) -> Vec<(Kind, String)> {
    let corrupt = |message: String| vec![(Kind::CorruptPicture, message)];
    if size == 0 {
        return corrupt("the picture's file is empty: get it again".into());
    }
    let reader = match File::open(path)
        .and_then(|file| ImageReader::new(BufReader::new(file)).with_guessed_format())
    {
        Ok(reader) => reader,
        Err(error) => return vec![(Kind::Unreadable, format!("{}: {error}", path.display()))],
    };
    let format = match reader.format() {
        Some(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        Some(other) => {
            return corrupt(format!("a picture in {other:?} format: convert it to JPEG, PNG or WebP"));
        }
        None => {
            return corrupt("not a picture in JPEG, PNG or WebP format: get it again or convert it".into());
        }
    };
    let mut found = Vec::new();
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    if let Some(ending) = ending {
        let named = match ending.as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" => Some(ImageFormat::Jpeg),
            other => ImageFormat::from_extension(other),
        };
        if named.is_some_and(|named| named != format) {
            let message = format!("the file is a {format:?} and is named .{ending}: rename it or convert it");
            found.push((Kind::FormatMismatch, message));
        }
    }
    // A header that cannot be read is told when the picture is decoded.
    let Ok((width, height)) = reader.into_dimensions() else { return found };
    if let Some(message) = too_large(width, height) {
        found.push((Kind::TooLarge, format!("{message}: make it smaller")));
        return found;
    }
    let (short, long) = (width.min(height), width.max(height));
    if short < limits.min_side {
        let message =
            format!("{width}x{height} pixels, and {} on a side are few: use a larger one", limits.min_side);
        found.push((Kind::SizeOutlier, message));
    }
    if f64::from(long) > f64::from(short) * limits.max_aspect {
        let message =
            format!("{width}x{height} pixels: the model sees only the middle square of it; cut it first");
        found.push((Kind::AspectOutlier, message));
    }
    found
}

/// Pictures in the folders of `named` that are not among them.
pub(super) fn unused(named: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let folders: BTreeSet<&Path> = named.iter().filter_map(|path| path.parent()).collect();
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
            if matches!(ending.as_str(), "jpg" | "jpeg" | "png" | "webp")
                && !named.contains(&path)
                && path.is_file()
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
