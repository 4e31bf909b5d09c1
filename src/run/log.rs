//! Appends to `events.jsonl` and follows it.

use crate::dir::RunDir;
use crate::events::{Body, Event, VERSION};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The one writer of a run's events: the supervisor, which holds the run's lock.
#[derive(Debug)]
pub struct Writer {
    file: File,
    seq: u64,
    /// Counts the starts of the engine.
    pub attempt: u32,
}

impl Writer {
    /// Opens a run's events to append. A torn last line, left by a crash or a full disk, is repaired: completed with
    /// its line break when it is whole JSON, else cut off.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(run: &RunDir) -> io::Result<Self> {
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(run.events())?;
        repair(&mut file)?;
        let (mut seq, mut attempt) = (0, None);
        let mut reader = Follower::new(run.events());
        while let Some(events) = reader.poll()? {
            for e in events {
                seq = seq.max(e.seq + 1);
                attempt = attempt.max(Some(e.attempt));
            }
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, seq, attempt: attempt.map_or(0, |a| a + 1) })
    }

    /// Appends one event and says what was written. The line reaches the kernel before this returns.
    ///
    /// # Errors
    /// What the system said; the line is taken back then, so that the file stays whole.
    pub fn append(&mut self, body: Body) -> io::Result<Event> {
        let attempt = self.attempt;
        self.append_of(crate::now(), attempt, body)
    }

    /// Appends an event of an earlier moment, which could not be written then.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_of(&mut self, t: f64, attempt: u32, body: Body) -> io::Result<Event> {
        let event = Event { v: VERSION, t, seq: self.seq, attempt, body };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        let end = self.file.stream_position()?;
        if let Err(e) = self.file.write_all(&line) {
            let _ = self.file.set_len(end);
            let _ = self.file.seek(SeekFrom::Start(end));
            return Err(e);
        }
        self.seq += 1;
        Ok(event)
    }

    /// Whether somebody deleted the file: what is written to it then is gone with this process.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.nlink() == 0)
    }

    /// Waits until all events are on the disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn repair(file: &mut File) -> io::Result<()> {
    let mut bytes = Vec::new();
    let len = file.seek(SeekFrom::End(0))?;
    // One event is far shorter than this; a longer tail without a line break is no event.
    let start = len.saturating_sub(1 << 20);
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let tail = &bytes[whole..];
    if tail.is_empty() {
        return Ok(());
    }
    if serde_json::from_slice::<Event>(tail).is_ok() {
        file.write_all(b"\n")
    } else {
        file.set_len(start + whole as u64)
    }
}

/// Follows a growing `events.jsonl`, whole lines only, a slice at a time.
///
/// It keeps nothing but the end of the last whole line, so a torn end that a new supervisor repairs is never seen.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of whole lines read so far.
    pub position: u64,
    /// Lines, or pieces of endless ones, that were no events.
    pub damaged: u64,
    /// The version of events that a program newer than this one wrote.
    pub newer: Option<u32>,
    /// Bytes taken in by one [`Follower::poll`], where an event is not longer.
    pub slice: u64,
}

/// Bytes taken in by one [`Follower::poll`] where nobody wants another number: no event is longer.
const SLICE: u64 = 1 << 20;

impl Follower {
    /// Follows the file at `path`, which need not exist yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            file: None,
            position: 0,
            damaged: 0,
            newer: None,
            slice: SLICE,
        }
    }

    /// The next events, at most about 1 MiB of them; `None` when there is nothing new for now.
    ///
    /// # Errors
    /// What the system said; a file that is not there yet is no error.
    pub fn poll(&mut self) -> io::Result<Option<Vec<Event>>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(f) => self.file = Some(f),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        let Some(file) = &mut self.file else { return Ok(None) };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.position))?;
        let mut whole = 0;
        for most in [self.slice.min(SLICE), SLICE] {
            Read::by_ref(file).take(most - bytes.len() as u64).read_to_end(&mut bytes)?;
            whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            if whole > 0 {
                break;
            }
        }
        if whole == 0 && (bytes.len() as u64) < SLICE {
            return Ok(None);
        }
        if whole == 0 {
            // A slice without any line break is no event: pass over it.
            self.damaged += 1;
            whole = bytes.len();
        }
        self.position += whole as u64;
        let mut events = Vec::new();
        for line in bytes[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice::<Event>(line) {
                Ok(e) => {
                    if e.v > VERSION {
                        self.newer = self.newer.max(Some(e.v));
                    }
                    events.push(e);
                }
                Err(_) => self.damaged += 1,
            }
        }
        Ok(Some(events))
    }

    /// Whether the file that is read is still the one at the path, and not shorter than what was read of it; false when
    /// it was replaced by another or cut: its events are to be read anew then, by a new follower.
    ///
    /// # Errors
    /// What the system said: that the file is not there any more.
    pub fn is_same(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let (there, read) = (std::fs::metadata(&self.path)?, file.metadata()?);
        let same = (there.dev(), there.ino()) == (read.dev(), read.ino());
        Ok(same && there.len() >= self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(run: &RunDir) -> Vec<Event> {
        let mut f = Follower::new(run.events());
        let mut v = Vec::new();
        while let Some(e) = f.poll().unwrap() {
            v.extend(e);
        }
        assert_eq!(f.damaged, 0);
        v
    }

    #[test]
    fn torn_lines_are_repaired_and_numbering_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut w = Writer::open(&run).unwrap();
        for step in 0..3 {
            w.append(Body::Heartbeat { step }).unwrap();
        }
        drop(w);
        let whole = std::fs::read(run.events()).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(run.events(), &whole[..cut]).unwrap();
            let mut w = Writer::open(&run).unwrap();
            w.append(Body::Heartbeat { step: 9 }).unwrap();
            let events = all(&run);
            let seqs: Vec<u64> = events.iter().map(|e| e.seq).collect();
            assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
            assert!(matches!(events.last().unwrap().body, Body::Heartbeat { step: 9 }));
        }
    }

    #[test]
    fn a_file_that_is_deleted_cut_or_replaced_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut f = Follower::new(run.events());
        assert!(f.poll().unwrap().is_none() && f.is_same().unwrap());
        let mut w = Writer::open(&run).unwrap();
        w.append(Body::Heartbeat { step: 1 }).unwrap();
        assert_eq!(f.poll().unwrap().unwrap().len(), 1);
        assert!(f.is_same().unwrap() && !w.is_deleted());
        w.append(Body::Heartbeat { step: 2 }).unwrap();
        assert!(f.is_same().unwrap());
        // Cut by somebody.
        std::fs::File::options().write(true).open(run.events()).unwrap().set_len(3).unwrap();
        assert!(!f.is_same().unwrap());
        // Another file of the same name and content.
        let mut f = Follower::new(run.events());
        f.poll().unwrap();
        std::fs::copy(run.events(), root.path().join("b")).unwrap();
        std::fs::rename(root.path().join("b"), run.events()).unwrap();
        assert!(!f.is_same().unwrap() && w.is_deleted());
        std::fs::remove_file(run.events()).unwrap();
        assert_eq!(f.is_same().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn newer_events_and_endless_lines_are_counted() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let mut bytes = b"{\"v\":7,\"t\":1,\"seq\":0,\"attempt\":0,\"type\":\"telepathy\"}\n".to_vec();
        bytes.extend(vec![0; (SLICE as usize) + 10]);
        bytes.extend(b"\n{\"v\":1,\"t\":1,\"seq\":1,\"attempt\":0,\"type\":\"heartbeat\",\"step\":3}\n");
        std::fs::write(&path, bytes).unwrap();
        let (mut f, mut events) = (Follower::new(&path), Vec::new());
        while let Some(e) = f.poll().unwrap() {
            events.extend(e);
        }
        assert_eq!((events.len(), f.newer), (2, Some(7)));
        assert!(f.damaged >= 1, "{}", f.damaged);
    }

    #[test]
    fn attempts_count_up() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        for attempt in 0..3 {
            let mut w = Writer::open(&run).unwrap();
            assert_eq!(w.attempt, attempt);
            w.append(Body::Heartbeat { step: 0 }).unwrap();
        }
    }

    #[test]
    fn an_event_longer_than_a_slice_is_read() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut w = Writer::open(&run).unwrap();
        w.append(Body::warning("long", "x".repeat(5000))).unwrap();
        w.append(Body::Heartbeat { step: 1 }).unwrap();
        let mut f = Follower::new(run.events());
        f.slice = 1000;
        let mut events = Vec::new();
        while let Some(some) = f.poll().unwrap() {
            events.extend(some);
        }
        assert_eq!((events.len(), f.damaged), (2, 0));
    }

    #[test]
    fn a_follower_sees_lines_as_they_come() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("e");
        let mut f = Follower::new(&path);
        assert!(f.poll().unwrap().is_none());
        let mut file = File::create(&path).unwrap();
        file.write_all(br#"{"v":1,"t":0,"seq":0,"attempt":0,"type":"heart"#).unwrap();
        assert!(f.poll().unwrap().is_none());
        file.write_all(b"beat\",\"step\":4}\nrubbish\n").unwrap();
        assert_eq!(f.poll().unwrap().unwrap().len(), 1);
        assert_eq!(f.damaged, 1);
        assert!(f.poll().unwrap().is_none());
    }
}
