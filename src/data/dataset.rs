//! A dataset in memory: samples packed so that hundreds of thousands take little more than their text.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::reader::{Entry, Format, Range, ReadError, ReadOptions, Reader, Sink, Split, find};
use crate::sample::{Broken, ImageRef, MAX_CAPTION, Origin, Part, Place, Sample};

/// Broken entries whose fault is kept; the rest is counted.
const KEPT_BROKEN: usize = 10_000;

/// Many strings in one piece of memory.
#[derive(Debug, Default)]
struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(start..end)
    }
}

/// The samples of one split. Samples of the same picture know that they share it.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    format: Format,
    files: Vec<PathBuf>,
    roots: Arc<[PathBuf]>,
    parts: Vec<Arc<Part>>,
    /// The picture of each sample, as an index into `images`.
    image_of: Vec<u32>,
    images: Strings,
    /// Where pictures stand in parts; empty when they are files.
    ranges: Vec<Range>,
    /// Where the captions of each sample end in `captions`.
    caption_ends: Vec<u32>,
    captions: Strings,
    /// The id of each sample; empty where there is none.
    ids: Strings,
    /// Where each sample stands in the annotations.
    origins: Vec<Origin>,
    broken: Vec<Broken>,
    broken_count: usize,
}

/// Numbers of pictures by the hash of their name; the number of a hash that is taken is kept at the next one.
type Known = HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>;

/// A dataset that is being read.
struct Taker {
    dataset: Dataset,
    known: Known,
    in_a_row: usize,
    most_in_a_row: usize,
}

impl Sink for Taker {
    fn file(&mut self, path: &Path) -> u32 {
        self.dataset.files.push(path.to_path_buf());
        (self.dataset.files.len() - 1) as u32
    }

    fn part(&mut self, part: Arc<Part>) -> u32 {
        self.dataset.parts.push(part);
        (self.dataset.parts.len() - 1) as u32
    }

    fn entry(&mut self, entry: Entry<'_>) -> Result<(), ReadError> {
        if entry.captions.iter().any(|caption| caption.len() > MAX_CAPTION) {
            let problem = "a caption of more than 1 MiB".to_owned();
            return self.broken(Broken { origin: entry.origin, problem });
        }
        let set = &mut self.dataset;
        let most = u32::MAX as usize - 1;
        if set.image_of.len() >= most || set.captions.len() >= most - entry.captions.len().min(most) {
            return Err(ReadError::TooLarge(set.path.clone()));
        }
        self.in_a_row = 0;
        let image = if let Some(range) = entry.range {
            // Each stands for itself, whatever it is called.
            set.ranges.push(range);
            set.images.push(entry.image);
            (set.images.len() - 1) as u32
        } else {
            number(&mut set.images, &mut self.known, entry.image)
        };
        set.image_of.push(image);
        for caption in entry.captions {
            set.captions.push(caption);
        }
        set.caption_ends.push(set.captions.len() as u32);
        set.ids.push(entry.id.unwrap_or(""));
        set.origins.push(entry.origin);
        Ok(())
    }

    fn broken(&mut self, broken: Broken) -> Result<(), ReadError> {
        self.in_a_row += 1;
        self.dataset.broken_count += 1;
        if self.in_a_row > self.most_in_a_row {
            let file = self.dataset.files.get(broken.origin.file as usize);
            return Err(ReadError::TooManyBroken {
                path: file.unwrap_or(&self.dataset.path).clone(),
                count: self.in_a_row,
                entry: broken.origin.entry,
                line: broken.origin.line,
                problem: broken.problem,
            });
        }
        if self.dataset.broken.len() < KEPT_BROKEN {
            self.dataset.broken.push(broken);
        }
        Ok(())
    }
}

/// The number of a picture's name, a new one when it is not known yet.
fn number(images: &mut Strings, known: &mut Known, name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let mut hash = hasher.finish();
    loop {
        match known.get(&hash) {
            Some(image) if images.get(*image as usize) == Some(name) => return *image,
            Some(_) => hash = hash.wrapping_add(1),
            None => break,
        }
    }
    let image = images.len() as u32;
    images.push(name);
    known.insert(hash, image);
    image
}

impl Dataset {
    /// Opens `data`: an annotation file, tar shards, or a dataset folder, of which `split` is taken; see
    /// [`crate::reader`] for what is recognised how.
    ///
    /// # Errors
    /// When there is no dataset, or its annotations are faulty beside some broken entries: with file, line and column.
    pub fn open(data: &Path, split: Split, options: &ReadOptions) -> Result<Self, ReadError> {
        Self::read(&*find(data, split, options)?, options)
    }

    /// Takes all samples of a reader.
    ///
    /// # Errors
    /// Those of the reader; when all entries or too many in a row are broken; when there are too many to count.
    pub fn read(reader: &dyn Reader, options: &ReadOptions) -> Result<Self, ReadError> {
        let dataset = Self {
            path: reader.path().to_path_buf(),
            format: reader.format(),
            files: Vec::new(),
            roots: reader.roots(),
            parts: Vec::new(),
            image_of: Vec::new(),
            images: Strings::default(),
            ranges: Vec::new(),
            caption_ends: Vec::new(),
            captions: Strings::default(),
            ids: Strings::default(),
            origins: Vec::new(),
            broken: Vec::new(),
            broken_count: 0,
        };
        let most_in_a_row = options.max_broken_in_a_row;
        let mut taker = Taker { dataset, known: Known::default(), in_a_row: 0, most_in_a_row };
        reader.read(&mut taker)?;
        let mut dataset = taker.dataset;
        if dataset.is_empty()
            && let Some(broken) = dataset.broken.first()
        {
            return Err(ReadError::TooManyBroken {
                path: dataset.files.get(broken.origin.file as usize).unwrap_or(&dataset.path).clone(),
                count: dataset.broken_count,
                entry: broken.origin.entry,
                line: broken.origin.line,
                problem: broken.problem.clone(),
            });
        }
        dataset.roots = likeliest_first(&dataset);
        Ok(dataset)
    }

    /// What format it is in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The annotation files that [`Origin::file`] counts.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The folders that pictures are looked for in, the likeliest first; none where they stand in parts.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Where a sample stands in the annotations.
    pub fn origin(&self, index: usize) -> Option<Origin> {
        self.origins.get(index).copied()
    }

    /// The entries that are no samples, at most 10,000 of them, in their order.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// How many entries are no samples.
    pub fn broken_count(&self) -> usize {
        self.broken_count
    }

    /// The annotation file or folder that it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.image_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.image_of.is_empty()
    }

    /// How many different pictures there are.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The number of a sample's picture, below [`Self::images`]: equal for samples that share it.
    pub fn image_number(&self, index: usize) -> Option<usize> {
        self.image_of.get(index).map(|image| *image as usize)
    }

    /// What the annotations call the picture of a sample.
    pub fn image_name(&self, index: usize) -> Option<&str> {
        self.images.get(self.image_number(index)?)
    }

    /// Where the picture of a sample is.
    pub fn image(&self, index: usize) -> Option<ImageRef> {
        let number = self.image_number(index)?;
        let name = self.images.get(number)?.to_string();
        let place = match self.ranges.get(number) {
            None => Place::Roots(self.roots.clone()),
            Some(range) => Place::Range {
                part: self.parts.get(range.part as usize)?.clone(),
                start: range.start,
                length: range.length,
                encoding: range.encoding,
            },
        };
        Some(ImageRef { name, place })
    }

    /// The captions of a sample, as written.
    pub fn captions(&self, index: usize) -> impl ExactSizeIterator<Item = &str> {
        let end = self.caption_ends.get(index).map_or(0, |end| *end as usize);
        let start =
            if index == 0 { 0 } else { self.caption_ends.get(index - 1).map_or(0, |end| *end as usize) };
        (start.min(end)..end).map(|at| self.captions.get(at).unwrap_or(""))
    }

    /// The id of a sample, where the annotations give one.
    pub fn id(&self, index: usize) -> Option<&str> {
        self.ids.get(index).filter(|id| !id.is_empty())
    }

    /// A checksum of pictures' names, captions and their order: a run that goes on with another one would see
    /// other batches. What the picture files hold is not part of it.
    pub fn fingerprint(&self) -> u32 {
        // The same sum as over all of it in one go, made of the sums of pieces.
        let numbers = |all: &[u32]| -> Vec<flate2::Crc> {
            all.par_chunks(1 << 18).map(|piece| sum_of(piece.iter().map(|n| n.to_le_bytes()))).collect()
        };
        let texts = |strings: &Strings| -> Vec<flate2::Crc> {
            let text = strings.text.as_bytes().par_chunks(1 << 20).map(|piece| {
                let mut sum = flate2::Crc::new();
                sum.update(piece);
                sum
            });
            let ends = strings.ends.par_chunks(1 << 17);
            let ends = ends.map(|piece| sum_of(piece.iter().map(|end| (*end as u64).to_le_bytes())));
            text.chain(ends).collect()
        };
        let all = [
            numbers(&self.image_of),
            numbers(&self.caption_ends),
            texts(&self.images),
            texts(&self.captions),
        ];
        let mut sum = flate2::Crc::new();
        all.iter().flatten().for_each(|piece| sum.combine(piece));
        sum.sum()
    }

    /// A whole sample.
    pub fn sample(&self, index: usize) -> Option<Sample> {
        let captions = self.captions(index).map(str::to_string).collect();
        let (id, origin) = (self.id(index).map(str::to_string), self.origin(index)?);
        Some(Sample { image: self.image(index)?, captions, id, origin })
    }
}

/// The sum of small pieces.
fn sum_of<const N: usize>(pieces: impl Iterator<Item = [u8; N]>) -> flate2::Crc {
    let bytes: Vec<u8> = pieces.flatten().collect();
    let mut sum = flate2::Crc::new();
    sum.update(&bytes);
    sum
}

/// The folders, the one that has most of the first pictures in front: the others are then hardly asked.
fn likeliest_first(dataset: &Dataset) -> Arc<[PathBuf]> {
    let hits = |root: &PathBuf| {
        (0..dataset.images().min(8))
            .filter_map(|image| dataset.images.get(image))
            .filter(|name| root.join(name).is_file())
            .count()
    };
    let mut roots: Vec<(usize, PathBuf)> =
        dataset.roots.iter().map(|root| (hits(root), root.clone())).collect();
    roots.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
    roots.into_iter().map(|(_, root)| root).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_tells_datasets_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let print = |json: &str| {
            std::fs::write(&path, json).unwrap();
            Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap().fingerprint()
        };
        let one = print(r#"[{"image":"a","caption":"x"},{"image":"b","caption":"y"}]"#);
        assert_eq!(
            one,
            print(r#"[{"caption":"x","image":"a","image_id":3}, {"image":"b","caption":["y"]}]"#)
        );
        let others = [
            r#"[{"image":"b","caption":"y"},{"image":"a","caption":"x"}]"#,
            r#"[{"image":"a","caption":"x"},{"image":"a","caption":"y"}]"#,
            r#"[{"image":"a","caption":["x","y"]},{"image":"b","caption":[]}]"#,
            r#"[{"image":"a","caption":"x"}]"#,
        ];
        assert!(others.into_iter().all(|other| print(other) != one));
    }

    #[test]
    fn a_caption_without_end_is_no_sample() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let long = "x".repeat(MAX_CAPTION + 1);
        std::fs::write(
            &path,
            format!(r#"[{{"image":"a","caption":"x"}},{{"image":"b","caption":["y","{long}"]}}]"#),
        )
        .unwrap();
        let dataset = Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap();
        assert_eq!((dataset.len(), dataset.broken_count()), (1, 1));
        assert!(dataset.broken()[0].problem.contains("1 MiB"));
    }

    #[test]
    fn samples_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let annotations = dir.path().join("annotations");
        std::fs::create_dir_all(dir.path().join("images/v")).unwrap();
        std::fs::create_dir(&annotations).unwrap();
        std::fs::write(dir.path().join("images/v/a.jpg"), "x").unwrap();
        let json = r#"[{"caption":"one","image":"v/a.jpg","image_id":"1"},
            {"caption":"two","image":"v/a.jpg"}, {"caption":["three","vier","fünf"],"image":"v/b.jpg"}]"#;
        std::fs::write(annotations.join("coco_karpathy_train.json"), json).unwrap();
        let dataset = Dataset::open(dir.path(), Split::Train, &ReadOptions::default()).unwrap();
        assert_eq!((dataset.len(), dataset.images()), (3, 2));
        assert_eq!(dataset.image_number(0), dataset.image_number(1));
        assert_ne!(dataset.image_number(0), dataset.image_number(2));
        assert_eq!(dataset.captions(2).collect::<Vec<_>>(), ["three", "vier", "fünf"]);
        assert_eq!(dataset.captions(1).collect::<Vec<_>>(), ["two"]);
        assert_eq!((dataset.id(0), dataset.id(1)), (Some("1"), None));
        let image = dataset.image(1).unwrap();
        assert_eq!(dataset.roots()[0], annotations.join("../images"));
        assert_eq!(image.read().unwrap(), b"x");
        assert!(dataset.sample(3).is_none() && dataset.captions(3).len() == 0);
        let options = ReadOptions::with_image_root(Some(Path::new("/nowhere")));
        let elsewhere = Dataset::open(dir.path(), Split::Train, &options).unwrap();
        assert_eq!(elsewhere.image(0).unwrap().path(), Path::new("/nowhere/v/a.jpg"));
    }
}
