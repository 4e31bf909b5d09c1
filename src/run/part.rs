//! Curves of some steps of a run, read again from its events: what a thinned curve leaves out between two of its points.

use crate::curve::Curve;
use crate::events::{Body, Event};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

/// Bytes of events between two looks at where the file is.
const BLOCK: u64 = 256 << 10;

/// Bytes of one look; an event of a step is far shorter.
const LOOK: u64 = 8 << 10;

/// Where the file is at a byte: the attempt and the step of the first event behind it.
type Place = Option<(u32, u64)>;

/// The curves of these steps, by name, as [`crate::history::History`] names them: those that every step has. Each keeps at
/// most about `most` points. None when more than `budget` bytes would have to be read.
///
/// # Errors
/// What the system said.
pub fn curves(
    events: &Path,
    steps: RangeInclusive<u64>,
    most: usize,
    budget: u64,
) -> io::Result<Option<BTreeMap<String, Curve>>> {
    let mut file = File::open(events)?;
    let length = file.metadata()?.len();
    let starts: Vec<u64> = (0..length).step_by(BLOCK as usize).collect();
    let mut places = Vec::with_capacity(starts.len());
    for start in &starts {
        places.push(look(&mut file, *start)?);
    }
    let wanted: Vec<u64> = starts
        .iter()
        .enumerate()
        .filter(|(i, _)| {
            may_have(places.get(*i).copied().flatten(), places.get(i + 1).copied().flatten(), &steps)
        })
        .map(|(_, start)| *start)
        .collect();
    if wanted.len() as u64 * BLOCK > budget {
        return Ok(None);
    }
    let mut all = BTreeMap::new();
    for start in wanted {
        // Where the block begins amid a line, the line is the block's before.
        let before = start.saturating_sub(1);
        let mut bytes = read(&mut file, before, BLOCK + start - before)?;
        // And its own last line is read to the end.
        while bytes.last().is_some_and(|b| *b != b'\n') && bytes.len() < 4 * BLOCK as usize {
            let more = read(&mut file, before + bytes.len() as u64, LOOK)?;
            if more.is_empty() {
                break;
            }
            let end = more.iter().position(|b| *b == b'\n').map_or(more.len(), |i| i + 1);
            bytes.extend(more.get(..end).unwrap_or_default());
        }
        for line in bytes.get(first_line(&bytes, start)..).unwrap_or_default().split(|b| *b == b'\n') {
            if let Ok(event) = serde_json::from_slice::<Event>(line) {
                take(&mut all, &event, &steps, most);
            }
        }
    }
    Ok(Some(all))
}

/// Takes in an event as far as it is of these steps.
pub fn take(all: &mut BTreeMap<String, Curve>, event: &Event, steps: &RangeInclusive<u64>, most: usize) {
    match &event.body {
        Body::Resumed { from_step } => all.values_mut().for_each(|c| c.truncate_after(*from_step)),
        Body::Metrics(m) if steps.contains(&m.step) => {
            for (name, value) in m.curves() {
                let curve = match all.get_mut(&*name) {
                    Some(curve) => curve,
                    None => all.entry(name.into_owned()).or_default(),
                };
                curve.push(m.step, event.t, value);
                curve.thin(most);
            }
        }
        _ => {}
    }
}

/// Whether a block between two places may have some of the steps. Where an attempt begins in it, nobody can say.
fn may_have(from: Place, to: Place, steps: &RangeInclusive<u64>) -> bool {
    match (from, to) {
        (Some((a, low)), Some((b, high))) if a == b && low <= high => {
            low <= *steps.end() && high >= *steps.start()
        }
        // The last block goes to the end of the run.
        (Some((_, low)), None) => low <= *steps.end(),
        _ => true,
    }
}

/// Where the file is behind a byte, as its next event tells; none when that is not within sight.
fn look(file: &mut File, start: u64) -> io::Result<Place> {
    let bytes = read(file, start.saturating_sub(1), LOOK)?;
    let lines = bytes.get(first_line(&bytes, start)..).unwrap_or_default().split(|b| *b == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok());
    let mut places = events.filter_map(|event| match event.body {
        Body::Metrics(m) => Some((event.attempt, m.step)),
        _ => None,
    });
    Ok(places.next())
}

/// Where the first line begins in bytes that begin with the one before `start`.
fn first_line(bytes: &[u8], start: u64) -> usize {
    if start == 0 { 0 } else { bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| i + 1) }
}

fn read(file: &mut File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dir::RunDir;
    use crate::events::Metrics;
    use crate::history::History;
    use crate::log::Writer;

    /// A run of two attempts: 9,000 steps, then from 6,000 to 12,000.
    fn run(root: &Path) -> RunDir {
        let run = RunDir::create(root, "a").unwrap();
        let mut w = Writer::open(&run).unwrap();
        let step = |w: &mut Writer, step: u64, loss: f64| {
            w.append(Body::Metrics(Metrics { step, loss, ..Metrics::default() })).unwrap();
        };
        (1..=9000).for_each(|s| step(&mut w, s, s as f64));
        w.attempt += 1;
        w.append(Body::Resumed { from_step: 6000 }).unwrap();
        (6001..=12_000).for_each(|s| step(&mut w, s, 0.5 + s as f64));
        run
    }

    #[test]
    fn a_part_is_what_all_events_say_of_its_steps() {
        let root = tempfile::tempdir().unwrap();
        let run = run(root.path());
        assert!(std::fs::metadata(run.events()).unwrap().len() > 6 * BLOCK, "too short to have parts");
        let whole = &History::read(&run).unwrap().curves["loss"];
        for steps in [1..=10, 100..=900, 3000..=7000, 5990..=6010, 8990..=9100, 11_900..=20_000, 1..=12_000] {
            let part = curves(&run.events(), steps.clone(), usize::MAX, u64::MAX).unwrap().unwrap();
            let part = &part["loss"];
            let at = |i: &usize| steps.contains(&whole.steps[*i]);
            let wanted: Vec<(u64, f64)> =
                (0..whole.steps.len()).filter(at).map(|i| (whole.steps[i], whole.values[i])).collect();
            let found: Vec<(u64, f64)> =
                part.steps.iter().copied().zip(part.values.iter().copied()).collect();
            assert_eq!(found, wanted, "{steps:?}");
        }
        assert!(curves(&run.events(), 50_000..=60_000, 100, u64::MAX).unwrap().unwrap().is_empty());
        // More than may be read at once; fewer points where there are too many.
        assert!(curves(&run.events(), 1..=12_000, 100, BLOCK).unwrap().is_none());
        assert!(curves(&run.events(), 1..=100, 100, 4 * BLOCK).unwrap().is_some());
        let few = curves(&run.events(), 1..=12_000, 400, u64::MAX).unwrap().unwrap();
        assert!(few["loss"].values.len() <= 400);
    }
}
