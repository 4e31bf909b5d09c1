//! A run's history as it was folded once, kept in the user's cache folder, so that a run of a million steps stands on the
//! screen at once. It is a cache: it can be deleted, and is used only while the events that it was made from are there.

use crate::curve::{Curve, Stands};
use crate::dir::RunDir;
use crate::events::Sample;
use crate::history::History;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Changes with the form of what is kept.
const MAGIC: &[u8; 8] = b"CCINDEX1";

/// Bytes of the events' beginning, and of their end as far as they were folded, by which they are known again.
const SEEN: u64 = 512;

/// The largest file that is read back.
const LARGEST: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Meta {
    build: String,
    position: u64,
    seen: (Vec<u8>, Vec<u8>),
    history: History,
    samples: Vec<Sample>,
}

fn place(run: &RunDir) -> Option<PathBuf> {
    let path = run.path().canonicalize().ok()?;
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    Some(crate::dir::cache_folder()?.join("curves").join(format!("{:016x}", hasher.finish())))
}

fn seen(run: &RunDir, position: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut file = File::open(run.events())?;
    if file.metadata()?.len() < position {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut part = |from: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(SEEN.min(position - from)).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    Ok((part(0)?, part(position.saturating_sub(SEEN))?))
}

/// What was kept of a run, and the byte of its events from which to go on; none where that cannot be used.
pub fn restore(run: &RunDir) -> Option<(History, u64)> {
    let file = File::open(place(run)?).ok()?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    let mut rest = Bytes(&bytes);
    if rest.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let length = usize::try_from(rest.number()?).ok()?;
    let meta: Meta = serde_json::from_slice(rest.take(length)?).ok()?;
    if meta.build != crate::BUILD_ID || seen(run, meta.position).ok()? != meta.seen {
        return None;
    }
    let mut history = meta.history;
    history.samples = meta.samples.into_iter().map(|s| ((s.step, s.index), s)).collect();
    for _ in 0..rest.number()? {
        let length = usize::try_from(rest.number()?).ok()?;
        let name = String::from_utf8(rest.take(length)?.to_vec()).ok()?;
        let points = usize::try_from(rest.number()?).ok()?;
        let stands = usize::try_from(rest.number()?).ok()?;
        let steps = rest.numbers(points)?.map(u64::from_le_bytes).collect();
        let times = rest.numbers(points)?.map(f64::from_le_bytes).collect();
        let values = rest.numbers(points)?.map(f64::from_le_bytes).collect();
        let stands = rest.numbers(stands)?.map(|b| {
            let [a, b, c, d, e, f, g, h] = b;
            Stands { count: u32::from_le_bytes([a, b, c, d]), mean: f32::from_le_bytes([e, f, g, h]) }
        });
        let stands = stands.collect();
        history.curves.insert(name, Curve { steps, times, values, stands });
    }
    Some((history, meta.position))
}

/// Keeps a run's history, its events folded up to byte `position`.
///
/// # Errors
/// What the system said; a run without a home to keep it in.
pub fn keep(run: &RunDir, history: &History, position: u64) -> io::Result<()> {
    let path = place(run).ok_or(io::ErrorKind::NotFound)?;
    let samples = history.samples.values().cloned().collect();
    let mut plain = history.clone();
    let curves = std::mem::take(&mut plain.curves);
    plain.samples.clear();
    let seen = seen(run, position)?;
    let meta = Meta { build: crate::BUILD_ID.to_owned(), position, seen, history: plain, samples };
    let meta = serde_json::to_vec(&meta)?;
    let mut bytes = MAGIC.to_vec();
    let number = |bytes: &mut Vec<u8>, n: usize| bytes.extend((n as u64).to_le_bytes());
    number(&mut bytes, meta.len());
    bytes.extend(meta);
    number(&mut bytes, curves.len());
    for (name, curve) in curves {
        number(&mut bytes, name.len());
        bytes.extend(name.as_bytes());
        number(&mut bytes, curve.values.len());
        number(&mut bytes, curve.stands.len());
        curve.steps.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        curve.times.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        curve.values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        for s in &curve.stands {
            bytes.extend(s.count.to_le_bytes());
            bytes.extend(s.mean.to_le_bytes());
        }
    }
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    crate::dir::replace_file(&path, &bytes)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(part)
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|b| u64::from_le_bytes(*b))
    }

    fn numbers(&mut self, n: usize) -> Option<impl Iterator<Item = [u8; 8]> + use<'a>> {
        let part = self.take(n.checked_mul(8)?)?;
        Some(part.chunks_exact(8).filter_map(|b| b.first_chunk().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Body, Metrics};
    use crate::log::Writer;

    #[test]
    fn what_is_kept_comes_back_and_other_events_are_noticed() {
        // The cache folder is the user's: a run of an own place has a name of its own in it.
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let mut writer = Writer::open(&run).unwrap();
        for step in 1..=3000 {
            writer.append(Body::Metrics(Metrics { step, loss: step as f64, ..Metrics::default() })).unwrap();
        }
        let sample = Sample { step: 7, index: 1, caption: "a cat".into(), ..Sample::default() };
        writer.append(Body::Sample(sample)).unwrap();
        let mut history = History { most_points: Some(500), ..History::default() };
        let mut follower = crate::log::Follower::new(run.events());
        while let Some(events) = follower.poll().unwrap() {
            events.into_iter().for_each(|e| history.apply(e));
        }
        if keep(&run, &history, follower.position).is_err() {
            // A machine without a home.
            return;
        }
        let (back, position) = restore(&run).unwrap();
        assert_eq!((&back, position), (&history, follower.position));
        assert!(back.curves["loss"].values.len() <= 500 && back.samples[&(7, 1)].caption == "a cat");
        // More events change nothing; others make it void; a damaged file too.
        writer.append(Body::Heartbeat { step: 3000 }).unwrap();
        assert!(restore(&run).is_some());
        let kept = place(&run).unwrap();
        let bytes = std::fs::read(&kept).unwrap();
        for cut in [0, 7, 20, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&kept, &bytes[..cut]).unwrap();
            assert!(restore(&run).is_none(), "cut at {cut}");
        }
        std::fs::write(&kept, &bytes).unwrap();
        let mut events = std::fs::read(run.events()).unwrap();
        events[100] = b' ';
        std::fs::write(run.events(), events).unwrap();
        assert!(restore(&run).is_none());
        std::fs::remove_file(kept).unwrap();
    }
}
