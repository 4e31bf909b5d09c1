//! Follows the files of a folder while they grow.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use run::events::{Sample, Started};

use super::open_clip::{self, Line};
use super::{Item, curve_name, part_name};
use crate::tensorboard::{Content, Reader, Told, is_event_file};

/// Bytes of a log that are taken in at once, and the most event files of one folder.
const SLICE: u64 = 1 << 20;
const MOST_FILES: usize = 10_000;

/// The pictures and texts of a step that are kept: further tags are left out.
const MOST_TAGS: usize = 64;

/// Follows one run of another program.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    readers: Vec<Reader>,
    /// The files that they read.
    known: HashSet<PathBuf>,
    /// Event files that were told to be damaged.
    told: BTreeSet<PathBuf>,
    /// For each curve, the newest file that had a point of it, and from which step: an older file's later points are void.
    newest: BTreeMap<String, (usize, u64)>,
    tags: BTreeMap<String, u32>,
    out_log: Option<OutLog>,
    parameters: BTreeMap<String, String>,
    begun: bool,
    /// Steps of one pass over the data, once they are known: open_clip's validation counts passes.
    steps_per_epoch: Option<u64>,
    /// When the newest file was written last: seconds since the Unix epoch.
    pub changed: Option<f64>,
    /// Bytes read so far, and bytes there are.
    pub read: u64,
    /// All bytes of the files.
    pub total: u64,
}

#[derive(Debug)]
struct OutLog {
    path: PathBuf,
    position: u64,
    time: f64,
    step: u64,
}

impl Follower {
    /// Follows the run in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            readers: Vec::new(),
            known: HashSet::new(),
            told: BTreeSet::new(),
            newest: BTreeMap::new(),
            tags: BTreeMap::new(),
            out_log: None,
            parameters: BTreeMap::new(),
            begun: false,
            steps_per_epoch: None,
            changed: None,
            read: 0,
            total: 0,
        }
    }

    /// The next things that the files say; `None` when there is nothing new for now.
    ///
    /// # Errors
    /// What the system said of the folder.
    pub fn poll(&mut self) -> io::Result<Option<Vec<Item>>> {
        let mut items = Vec::new();
        let mut any = self.read_on(&mut items)?;
        // Which files there are is looked at between two times of reading on, not for every slice.
        if !any {
            self.look(&mut items)?;
            any = self.read_on(&mut items)?;
        }
        self.read = self.readers.iter().map(|r| r.position).sum::<u64>();
        self.read += self.out_log.as_ref().map_or(0, |l| l.position);
        Ok((any || !items.is_empty()).then_some(items))
    }

    /// Looks which files there are; all begins anew where those known are not the same any more.
    fn look(&mut self, items: &mut Vec<Item>) -> io::Result<()> {
        let mut paths = files(&self.folder)?;
        let own_log = self.folder.join("out.log");
        let open_clip = own_log.is_file();
        if open_clip {
            for entry in std::fs::read_dir(&self.folder)?.flatten().filter(|e| e.path().is_dir()) {
                paths.extend(files(&entry.path()).unwrap_or_default());
            }
        }
        // By name, which begins with the time: later files supersede earlier ones.
        paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
        // The newest are kept: one of them may grow.
        paths.drain(..paths.len().saturating_sub(MOST_FILES));
        let size = |p: &Path| std::fs::metadata(p).map_or(0, |m| m.len());
        let shorter = self.readers.iter().any(|r| size(r.path()) < r.position)
            || self.out_log.as_ref().is_some_and(|l| size(&l.path) < l.position);
        if shorter {
            *self = Self::new(&self.folder);
            items.push(Item::Anew);
            return Ok(());
        }
        for path in &paths {
            if self.known.insert(path.clone()) {
                self.readers.push(Reader::new(path));
            }
        }
        if open_clip && self.out_log.is_none() {
            self.out_log = Some(OutLog { path: own_log, position: 0, time: 0.0, step: 0 });
        }
        let logs = self.out_log.iter().map(|l| l.path.clone());
        let (mut total, mut changed) = (0, self.changed);
        for path in paths.into_iter().chain(logs) {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            total += meta.len();
            let time = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            changed = time.map(|t| t.as_secs_f64()).into_iter().chain(changed).reduce(f64::max);
        }
        (self.total, self.changed) = (total, changed);
        Ok(())
    }

    fn read_on(&mut self, items: &mut Vec<Item>) -> io::Result<bool> {
        if !self.begun && self.out_log.is_some() {
            self.begun = true;
            let text = std::fs::read_to_string(self.folder.join("params.txt")).unwrap_or_default();
            self.parameters = open_clip::parameters(&text);
            if !self.parameters.is_empty() {
                items.push(Item::Parameters(self.parameters.clone()));
            }
        }
        // The log first: it tells how long a pass is.
        if let Some(mut log) = self.out_log.take() {
            let lines = log.lines();
            self.out_log = Some(log);
            // A log that cannot be read now is looked at again later.
            let lines = lines.unwrap_or_default();
            if !lines.is_empty() {
                lines.iter().for_each(|l| self.take_line(l, items));
                return Ok(true);
            }
        }
        let mut readers = std::mem::take(&mut self.readers);
        let mut any = false;
        for (at, reader) in readers.iter_mut().enumerate() {
            match reader.poll() {
                Ok(Some(told)) => {
                    any = true;
                    let path = reader.path().to_owned();
                    told.into_iter().for_each(|t| self.take_told(t, at, &path, items));
                }
                Ok(None) => {}
                Err(e) => self.complain(reader.path(), &e.to_string(), items),
            }
            if let Some(byte) = reader.broken {
                let what = format!("is damaged at byte {byte}: nothing behind it can be read");
                self.complain(reader.path(), &what, items);
            } else if reader.damaged > 0 {
                self.complain(reader.path(), "has records whose checksum is wrong; they are left out", items);
            }
            if any {
                break;
            }
        }
        self.readers = readers;
        Ok(any)
    }

    fn complain(&mut self, path: &Path, what: &str, items: &mut Vec<Item>) {
        if self.told.insert(path.to_owned()) {
            items.push(Item::Notice(format!("{}: {what}", path.display())));
        }
    }

    fn take_told(&mut self, told: Told, at: usize, path: &Path, items: &mut Vec<Item>) {
        match told {
            Told::Restart { step } => items.push(Item::Void { step }),
            Told::Value { tag, step, time, content: Content::Scalar(value) } => {
                let passes = tag.starts_with("val/") && self.out_log.is_some();
                let step = match self.steps_per_epoch {
                    Some(steps) if passes => step.saturating_mul(steps),
                    _ => step,
                };
                let name = curve_name(&tag);
                if name == "epoch" {
                    return;
                }
                let newest = self.newest.entry(name.clone()).or_insert((at, step));
                if at > newest.0 {
                    *newest = (at, step);
                } else if at < newest.0 && step >= newest.1 {
                    return;
                }
                items.push(Item::Point { name, step, time, value });
            }
            Told::Value { tag, step, content: Content::Text(text), .. } => {
                if tag == "settings" {
                    let lines = text.lines().filter_map(|l| l.trim().split_once(" = "));
                    let pairs = lines.map(|(n, v)| (n.to_owned(), v.trim_matches('"').to_owned()));
                    self.parameters.extend(pairs);
                    items.push(Item::Parameters(self.parameters.clone()));
                } else {
                    // Our own event files say both in one text.
                    let part = |label: &str| {
                        let mut lines = text.lines().map(str::trim);
                        lines.find_map(|l| l.strip_prefix(label)).map(|l| l.trim().to_owned())
                    };
                    let (caption, reference) = match (part("model:"), part("reference:")) {
                        (Some(caption), Some(reference)) => (caption, reference),
                        _ => (text, String::new()),
                    };
                    self.sample(&tag, step, String::new(), caption, reference, items);
                }
            }
            Told::Value { tag, step, content: Content::Picture { offset, length }, .. } => {
                let image = part_name(path, offset, length);
                self.sample(&tag, step, image, String::new(), String::new(), items);
            }
        }
    }

    fn sample(
        &mut self,
        tag: &str,
        step: u64,
        image: String,
        caption: String,
        reference: String,
        items: &mut Vec<Item>,
    ) {
        let base = tag.trim_end_matches("/captions").trim_end_matches("/text_summary");
        let next = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
        let full = self.tags.len() >= MOST_TAGS;
        let index = match self.tags.get(base) {
            Some(index) => *index,
            None if full => return,
            None => *self.tags.entry(base.to_owned()).or_insert(next),
        };
        let reference = if reference.is_empty() { base.to_owned() } else { reference };
        items.push(Item::Sample(Sample { step, index, image, reference, caption }));
    }

    fn take_line(&mut self, line: &str, items: &mut Vec<Item>) {
        // Every event file says more exactly what the log says.
        let only_log = self.readers.is_empty();
        let Some(log) = &mut self.out_log else { return };
        let message = match open_clip::moment(line) {
            Some((time, message)) => {
                log.time = time;
                message
            }
            None => line,
        };
        let per_step = open_clip::samples_per_step(&self.parameters);
        match open_clip::read(message) {
            Some(Line::Train { epoch, samples, of, values }) => {
                let steps = per_step.map_or(of, |n| of.div_ceil(n)).max(1);
                let step =
                    epoch * steps + per_step.map_or(samples, |n| samples.div_ceil(n).saturating_sub(1));
                log.step = step;
                if self.steps_per_epoch.replace(steps) != Some(steps) {
                    items.push(Item::Started(Box::new(started(&self.parameters, per_step, of, steps))));
                }
                if only_log {
                    let time = log.time;
                    items.extend(values.into_iter().map(|(name, value)| Item::Point {
                        name,
                        step,
                        time,
                        value,
                    }));
                }
            }
            Some(Line::Evaluation { epoch, values }) if only_log => {
                let step = self.steps_per_epoch.map_or(log.step, |steps| epoch * steps);
                let time = log.time;
                items.extend(values.into_iter().map(|(name, value)| Item::Point { name, step, time, value }));
            }
            Some(Line::Parameter(name, value)) => {
                self.parameters.insert(name, value);
                items.push(Item::Parameters(self.parameters.clone()));
            }
            _ => {}
        }
    }
}

fn started(
    parameters: &BTreeMap<String, String>,
    per_step: Option<u64>,
    samples: u64,
    steps: u64,
) -> Started {
    let number = |name: &str| parameters.get(name).and_then(|v| v.parse::<u64>().ok());
    Started {
        model: parameters.get("model").cloned().unwrap_or_default(),
        samples,
        batch_size: per_step.unwrap_or(1),
        total_steps: number("epochs").unwrap_or(0).saturating_mul(steps),
        world_size: number("world_size").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        ..Started::default()
    }
}

/// The event files in a folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.flatten();
    let named = entries.filter(|e| e.file_name().to_str().is_some_and(is_event_file));
    Ok(named.map(|e| e.path()).filter(|p| p.is_file()).collect())
}

impl OutLog {
    /// The whole lines that came, at most about 1 MiB of them.
    fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        file.take(SLICE).read_to_end(&mut bytes)?;
        let whole = match bytes.iter().rposition(|b| *b == b'\n') {
            Some(at) => at + 1,
            // A line longer than a slice says nothing that is shown.
            None if bytes.len() as u64 >= SLICE => bytes.len(),
            None => return Ok(Vec::new()),
        };
        self.position += whole as u64;
        let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default());
        Ok(text.lines().map(str::to_owned).collect())
    }
}
