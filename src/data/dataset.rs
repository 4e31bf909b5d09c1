//! A dataset in memory: samples packed so that hundreds of thousands take little more than their text.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reader::{ReadError, Reader, Split, find};
use crate::sample::{ImageRef, Sample};

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
    roots: Arc<[PathBuf]>,
    /// The picture of each sample, as an index into `images`.
    image_of: Vec<u32>,
    images: Strings,
    /// Where the captions of each sample end in `captions`.
    caption_ends: Vec<u32>,
    captions: Strings,
    /// The id of each sample; empty where there is none.
    ids: Strings,
}

impl Dataset {
    /// Opens `data`: an annotation file, or a dataset folder, of which the annotations of `split` are taken.
    ///
    /// `image_root` is the folder of the pictures, where the annotations do not lie beside them.
    ///
    /// # Errors
    /// When there is no dataset, or its annotations are faulty: with file, line and column.
    pub fn open(data: &Path, split: Split, image_root: Option<&Path>) -> Result<Self, ReadError> {
        Self::read(&*find(data, split, image_root)?)
    }

    /// Takes all samples of a reader.
    ///
    /// # Errors
    /// Those of the reader, and when there are too many samples to count.
    pub fn read(reader: &dyn Reader) -> Result<Self, ReadError> {
        let mut dataset = Self::new(reader.path());
        let mut known = HashMap::new();
        reader.read(&mut |sample| dataset.push(&sample, &mut known))?;
        drop(known);
        let most = u32::MAX as usize;
        if dataset.image_of.len() > most || dataset.captions.len() > most {
            return Err(ReadError::TooLarge(dataset.path));
        }
        dataset.roots = likeliest_first(&dataset);
        Ok(dataset)
    }

    fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            roots: Arc::new([]),
            image_of: Vec::new(),
            images: Strings::default(),
            caption_ends: Vec::new(),
            captions: Strings::default(),
            ids: Strings::default(),
        }
    }

    fn push(&mut self, sample: &Sample, known: &mut HashMap<String, u32>) {
        if self.roots.is_empty() {
            self.roots = sample.image.roots.clone();
        }
        let image = match known.get(&sample.image.name) {
            Some(image) => *image,
            None => {
                let image = self.images.len() as u32;
                self.images.push(&sample.image.name);
                known.insert(sample.image.name.clone(), image);
                image
            }
        };
        self.image_of.push(image);
        for caption in &sample.captions {
            self.captions.push(caption);
        }
        self.caption_ends.push(self.captions.len() as u32);
        self.ids.push(sample.id.as_deref().unwrap_or(""));
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

    /// Where the picture of a sample is.
    pub fn image(&self, index: usize) -> Option<ImageRef> {
        let name = self.images.get(self.image_number(index)?)?.to_string();
        Some(ImageRef { name, roots: self.roots.clone() })
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
        let mut sum = flate2::Crc::new();
        let numbers =
            |sum: &mut flate2::Crc, all: &[u32]| all.iter().for_each(|n| sum.update(&n.to_le_bytes()));
        numbers(&mut sum, &self.image_of);
        numbers(&mut sum, &self.caption_ends);
        for strings in [&self.images, &self.captions] {
            sum.update(strings.text.as_bytes());
            strings.ends.iter().for_each(|end| sum.update(&(*end as u64).to_le_bytes()));
        }
        sum.sum()
    }

    /// A whole sample.
    pub fn sample(&self, index: usize) -> Option<Sample> {
        let captions = self.captions(index).map(str::to_string).collect();
        Some(Sample { image: self.image(index)?, captions, id: self.id(index).map(str::to_string) })
    }
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
            Dataset::open(&path, Split::Train, None).unwrap().fingerprint()
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
    fn samples_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let annotations = dir.path().join("annotations");
        std::fs::create_dir_all(dir.path().join("images/v")).unwrap();
        std::fs::create_dir(&annotations).unwrap();
        std::fs::write(dir.path().join("images/v/a.jpg"), "x").unwrap();
        let json = r#"[{"caption":"one","image":"v/a.jpg","image_id":"1"},
            {"caption":"two","image":"v/a.jpg"}, {"caption":["three","vier","fünf"],"image":"v/b.jpg"}]"#;
        std::fs::write(annotations.join("coco_karpathy_train.json"), json).unwrap();
        let dataset = Dataset::open(dir.path(), Split::Train, None).unwrap();
        assert_eq!((dataset.len(), dataset.images()), (3, 2));
        assert_eq!(dataset.image_number(0), dataset.image_number(1));
        assert_ne!(dataset.image_number(0), dataset.image_number(2));
        assert_eq!(dataset.captions(2).collect::<Vec<_>>(), ["three", "vier", "fünf"]);
        assert_eq!(dataset.captions(1).collect::<Vec<_>>(), ["two"]);
        assert_eq!((dataset.id(0), dataset.id(1)), (Some("1"), None));
        let image = dataset.image(1).unwrap();
        assert_eq!(image.roots[0], annotations.join("../images"));
        assert_eq!(image.read().unwrap(), b"x");
        assert!(dataset.sample(3).is_none() && dataset.captions(3).len() == 0);
        let elsewhere = Dataset::open(dir.path(), Split::Train, Some(Path::new("/nowhere"))).unwrap();
        assert_eq!(elsewhere.image(0).unwrap().path(), Path::new("/nowhere/v/a.jpg"));
    }
}
