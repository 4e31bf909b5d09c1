//! Divides samples into splits so that no picture stands in two of them.

use std::collections::HashMap;
use std::path::{Component, Path};

use rand::seq::SliceRandom;

use super::ConvertError;
use crate::dataset::Dataset;
use crate::progress::Progress;
use crate::random::{Purpose, stream};
use crate::reader::Split;

/// What belongs together, and therefore into one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Entries of the same picture.
    Picture,
    /// Entries of the same picture or of the same id.
    Id,
    /// Entries of the same picture or of pictures with the same bytes.
    Content,
}

/// How samples are divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The splits and their shares of the samples, in any unit.
    pub shares: Vec<(Split, f64)>,
    /// Another seed, another division; with the same one the same pictures fall together, whatever their order.
    pub seed: u64,
    /// What belongs together.
    pub group: Group,
}

impl Plan {
    /// Reads `train=0.8,val=0.1,test=0.1`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, seed: u64, group: Group) -> Result<Self, String> {
        let mut shares: Vec<(Split, f64)> = Vec::new();
        for part in text.split(',') {
            let fault =
                || format!("'{part}': a split is train=0.8, val=0.1 or test=0.1, with commas between");
            let (name, share) = part.split_once('=').ok_or_else(fault)?;
            let split = [Split::Train, Split::Val, Split::Test].into_iter().find(|s| s.name() == name.trim());
            let share: f64 = share.trim().parse().map_err(|_| fault())?;
            if !share.is_finite() || share <= 0.0 {
                return Err(format!("'{part}': a share is larger than 0"));
            }
            let split = split.ok_or_else(fault)?;
            if shares.iter().any(|(other, _)| *other == split) {
                return Err(format!("{} stands twice", split.name()));
            }
            shares.push((split, share));
        }
        Ok(Self { shares, seed, group })
    }
}

/// Sets that are joined one by one.
struct Sets(Vec<u32>);

impl Sets {
    fn of(&mut self, mut one: u32) -> u32 {
        loop {
            let up = self.0.get(one as usize).copied().unwrap_or(one);
            if up == one {
                return one;
            }
            // Every second step is left out the next time.
            let next = self.0.get(up as usize).copied().unwrap_or(up);
            if let Some(place) = self.0.get_mut(one as usize) {
                *place = next;
            }
            one = next;
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of(a), self.of(b));
        if let Some(place) = self.0.get_mut(a.max(b) as usize) {
            *place = a.min(b);
        }
    }
}

/// A picture's name as the file system understands it: `./a//b` is `a/b`.
fn plain(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(name).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            other => parts.extend(other.as_os_str().to_str()),
        }
    }
    parts.join("/")
}

/// A split, none where a dataset is not divided, and its samples.
pub type Part = (Option<Split>, Vec<u32>);

/// The samples of each split, in their order. What belongs together falls into one split; the sizes come as near to
/// the shares as that allows.
///
/// # Errors
/// When it is stopped.
pub fn divide(
    dataset: &Dataset,
    samples: &[u32],
    plan: &Plan,
    progress: &Progress<'_>,
) -> Result<Vec<Part>, ConvertError> {
    let mut sets = Sets((0..dataset.images() as u32).collect());
    let mut names: HashMap<String, u32> = HashMap::new();
    let mut ids: HashMap<&str, u32> = HashMap::new();
    let mut contents: HashMap<u128, u32> = HashMap::new();
    let (mut seen, mut counts) = (vec![false; dataset.images()], vec![0usize; dataset.images()]);
    for (at, &sample) in samples.iter().enumerate() {
        let sample = sample as usize;
        let Some(number) = dataset.image_number(sample) else { continue };
        let image = number as u32;
        if let Some(count) = counts.get_mut(number) {
            *count += 1;
        }
        if plan.group == Group::Id
            && let Some(id) = dataset.id(sample)
        {
            sets.join(*ids.entry(id).or_insert(image), image);
        }
        if seen.get_mut(number).is_none_or(|seen| std::mem::replace(seen, true)) {
            continue;
        }
        let Some(picture) = dataset.image(sample) else { continue };
        // Pictures inside of parts are told apart by their place; their names may be the same.
        if matches!(picture.place, crate::sample::Place::Roots(_)) {
            sets.join(*names.entry(plain(&picture.name)).or_insert(image), image);
        }
        if plan.group == Group::Content {
            if !progress.goes_on(at, samples.len()) {
                return Err(ConvertError::Cancelled);
            }
            // One that cannot be read is told of when it is written.
            if let Ok(bytes) = picture.read() {
                sets.join(*contents.entry(xxhash_rust::xxh3::xxh3_128(&bytes)).or_insert(image), image);
            }
        }
    }
    // Groups by the least name of their pictures: the division does not depend on the order of the entries.
    let mut groups: HashMap<u32, (String, usize)> = HashMap::new();
    for &sample in samples {
        let Some(number) = dataset.image_number(sample as usize) else { continue };
        let Some(count) = counts.get_mut(number).map(std::mem::take).filter(|count| *count > 0) else {
            continue;
        };
        let name = dataset.image(sample as usize).map_or_else(String::new, |picture| plain(&picture.name));
        let group = groups.entry(sets.of(number as u32)).or_insert_with(|| (name.clone(), 0));
        group.1 += count;
        if name < group.0 {
            group.0 = name;
        }
    }
    let mut order: Vec<(String, u32, usize)> =
        groups.into_iter().map(|(group, (name, count))| (name, group, count)).collect();
    order.sort();
    order.shuffle(&mut stream(plan.seed, Purpose::Split, 0, 0));
    let whole: f64 = plan.shares.iter().map(|(_, share)| share).sum();
    let mut split_of: HashMap<u32, usize> = HashMap::with_capacity(order.len());
    let mut sizes = vec![0usize; plan.shares.len()];
    for (_, group, count) in order {
        // The split that lacks most, by its share, takes the next group.
        let lack = |at: usize| {
            let share = plan.shares.get(at).map_or(0.0, |(_, share)| share / whole);
            share * samples.len() as f64 - sizes.get(at).copied().unwrap_or(0) as f64
        };
        let most = (0..sizes.len()).max_by(|a, b| lack(*a).total_cmp(&lack(*b)).then(b.cmp(a))).unwrap_or(0);
        if let Some(size) = sizes.get_mut(most) {
            *size += count;
        }
        split_of.insert(group, most);
    }
    let mut parts: Vec<Part> = plan.shares.iter().map(|(split, _)| (Some(*split), Vec::new())).collect();
    for &sample in samples {
        let Some(number) = dataset.image_number(sample as usize) else { continue };
        let at = split_of.get(&sets.of(number as u32)).copied().unwrap_or(0);
        if let Some((_, part)) = parts.get_mut(at) {
            part.push(sample);
        }
    }
    Ok(parts)
}
