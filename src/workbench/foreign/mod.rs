//! Runs of other programs, read-only: any folder with TensorBoard's event files, and open_clip's log folders.
//!
//! A [`Follower`] reads what such a folder says while it grows, [`take`] folds it into a [`History`], so that the same
//! charts, plots and exports serve. Well-known tags become the names that our own curves have ([`curve_name`]), so that
//! somebody else's run can be laid over one of ours; all others keep their tag.

mod find;
mod follow;
mod names;
mod open_clip;

pub use find::{find, is_foreign};
pub use follow::Follower;
pub use names::curve_name;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use run::events::{Notice, Sample, Started};
use run::history::{History, Noted, Status};

/// Seconds without anything new after which a log is not growing any more.
const SILENT: f64 = 60.0;

/// What a log says.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A point of a curve.
    Point {
        /// The curve.
        name: String,
        /// Its step.
        step: u64,
        /// When: seconds since the Unix epoch.
        time: f64,
        /// The value.
        value: f64,
    },
    /// A picture or a text of a step.
    Sample(Sample),
    /// What was said of this step and later ones is void.
    Void {
        /// From this step on.
        step: u64,
    },
    /// What the program was started with, as far as it says.
    Parameters(BTreeMap<String, String>),
    /// What is known of its length and data.
    Started(Box<Started>),
    /// Something that a person should know of the files.
    Notice(String),
    /// The files were replaced: all that was said before is void.
    Anew,
}

/// Folds an item into the history; the parameters come back.
pub fn take(history: &mut History, item: Item) -> Option<BTreeMap<String, String>> {
    match item {
        Item::Point { name, step, time, value } => history.point(&name, step, time, value),
        Item::Sample(mut sample) => {
            if let Some(known) = history.samples.get(&(sample.step, sample.index)) {
                // A picture and its text come one after the other.
                if sample.image.is_empty() {
                    sample.image.clone_from(&known.image);
                }
                if sample.caption.is_empty() {
                    sample.caption.clone_from(&known.caption);
                    sample.reference.clone_from(&known.reference);
                }
            }
            history.samples.insert((sample.step, sample.index), sample);
        }
        Item::Void { step } => history.rewind(step.saturating_sub(1)),
        Item::Started(started) => history.started = Some(*started),
        Item::Parameters(parameters) => return Some(parameters),
        Item::Notice(message) => {
            let t = history.last_time.unwrap_or(0.0);
            let notice = Notice { kind: "file".to_owned(), message, ..Notice::default() };
            history.notices.push(Noted { t, error: false, notice });
        }
        Item::Anew => *history = History { most_points: history.most_points, ..History::default() },
    }
    None
}

/// Reads all that a folder says so far, and what its program was started with.
///
/// # Errors
/// What the system said.
pub fn read(folder: &Path, most_points: Option<usize>) -> io::Result<(History, BTreeMap<String, String>)> {
    let mut history = History { most_points, ..History::default() };
    let mut parameters = BTreeMap::new();
    let mut follower = Follower::new(folder);
    while let Some(items) = follower.poll()? {
        parameters.extend(items.into_iter().filter_map(|i| take(&mut history, i)).flatten());
    }
    Ok((history, parameters))
}

/// What can be said of a log whose newest file was written at `changed` (seconds since the Unix epoch).
pub fn status(changed: Option<f64>, now: f64) -> Status {
    Status::Foreign { growing: changed.is_some_and(|t| now - t < SILENT) }
}

/// The name of a picture within a larger file, as samples carry it.
pub fn part_name(file: &Path, offset: u64, length: u64) -> String {
    format!("{}#bytes={offset}+{length}", file.display())
}

/// The file and the part of it that such a name means.
pub fn part_of(name: &str) -> Option<(PathBuf, u64, u64)> {
    let (file, part) = name.rsplit_once("#bytes=")?;
    let (offset, length) = part.split_once('+')?;
    Some((PathBuf::from(file), offset.parse().ok()?, length.parse().ok()?))
}

/// Reads such a part.
///
/// # Errors
/// What the system said; a part that is not all there.
pub fn read_part(file: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(file)?;
    if file.metadata()?.len() < offset.saturating_add(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
