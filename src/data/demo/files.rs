//! Writes the demo dataset to disk, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::language::describe;
use super::paint::paint;
use super::scene::{Colour, Object, Scene, Shape, Size, draw_scene, pick};
use super::vocabulary;
use crate::random::{Purpose, Rng, stream};

/// Raised whenever the same options would give other pictures or captions than before.
pub const GENERATOR_VERSION: u32 = 2;

/// Captions given for each picture of the validation and test splits.
const CAPTIONS_HELD_OUT: usize = 5;
/// The manifest: its presence says that the dataset is complete.
const MANIFEST: &str = "demo.json";
const TEMPLATES: [&str; 6] =
    ["a small {}", "a large {}", "a tiny {}", "a big {}", "there is a little {}", "a picture of a huge {}"];

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoOptions {
    /// Seed of everything drawn.
    pub seed: u64,
    /// Pictures for training.
    pub train: usize,
    /// Pictures for validation.
    pub val: usize,
    /// Pictures for testing.
    pub test: usize,
    /// Width and height of a picture in pixels (at least 16).
    pub side: usize,
    /// Pictures of each of the 48 zero-shot classes.
    pub zero_shot_per_class: usize,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { seed: 2026, train: 32_000, val: 500, test: 1_000, side: 48, zero_shot_per_class: 20 }
    }
}

impl DemoOptions {
    /// A name for the dataset that these options give, fit for a folder in a cache.
    pub fn key(&self) -> String {
        let Self { seed, train, val, test, side, zero_shot_per_class } = self;
        format!("v{GENERATOR_VERSION}-seed{seed}-{train}-{val}-{test}-{zero_shot_per_class}-{side}px")
    }
}

/// What was drawn; also the manifest of a complete dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoSummary {
    /// The version of the generator that drew it.
    pub generator_version: u32,
    /// The options that it was drawn with.
    pub options: DemoOptions,
    /// All pictures, those for zero-shot included.
    pub pictures: usize,
    /// Ids of its tokenizer.
    pub vocabulary: usize,
}

/// Why a demo dataset could not be drawn or read.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds something else already.
    #[error(
        "{0} exists and is not a demo dataset drawn with these options; name another folder or remove this one"
    )]
    Occupied(PathBuf),
    /// The pictures would be too small to tell anything apart.
    #[error("side is {0} pixels; a demo picture needs 16 to 4096")]
    Side(usize),
    /// There would be nothing to train on.
    #[error("train is 0; a demo dataset needs training pictures")]
    NoTraining,
    /// A picture could not be encoded.
    #[error("{path}: cannot encode the picture: {source}")]
    Encode {
        /// The picture.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// The tokenizer could not be trained or written.
    #[error("cannot make the tokenizer of the demo: {0}")]
    Tokenizer(String),
    /// A JSON file of the dataset is not as it was written.
    #[error("{path}: {source}; draw the dataset again")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> DemoError {
    let path = path.to_path_buf();
    |source| DemoError::Io { path, source }
}

/// An entry of the training annotations: one caption.
#[derive(Serialize)]
struct TrainEntry {
    caption: String,
    image: String,
    image_id: String,
}

/// An entry of the validation and test annotations: several captions, and the truth that they tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthEntry {
    /// Truthful captions in varied wording.
    pub caption: Vec<String>,
    /// The picture, relative to images/.
    pub image: String,
    /// Its id.
    pub image_id: String,
    /// What it shows.
    pub scene: Scene,
}

/// The parts of a dataset; the number selects the random streams of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Train = 1,
    Val = 2,
    Test = 3,
    ZeroShot = 4,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::ZeroShot => "zero_shot",
        }
    }
}

/// The complete demo dataset in `dir`, if there is one drawn with these options by this generator.
pub fn is_complete(dir: &Path, options: &DemoOptions) -> Option<DemoSummary> {
    let text = fs::read_to_string(dir.join(MANIFEST)).ok()?;
    let summary: DemoSummary = serde_json::from_str(&text).ok()?;
    (summary.generator_version == GENERATOR_VERSION && summary.options == *options).then_some(summary)
}

/// Draws the dataset into `dir`, on all cores; one that is there already and complete is left as it is.
///
/// It appears whole or not at all: it is drawn beside `dir` and renamed. `progress` is told the number of
/// pictures drawn and of all pictures, from several threads.
///
/// # Errors
/// When `dir` holds something else, when the options make no sense, or when a file cannot be written.
pub fn draw(
    dir: &Path,
    options: &DemoOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<DemoSummary, DemoError> {
    if let Some(summary) = is_complete(dir, options) {
        return Ok(summary);
    }
    if !(16..=4096).contains(&options.side) {
        return Err(DemoError::Side(options.side));
    }
    if options.train == 0 {
        return Err(DemoError::NoTraining);
    }
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DemoError::Occupied(dir.to_path_buf()));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_error(parent))?;
    let temporary = tempfile::Builder::new().prefix(".demo-").tempdir_in(parent).map_err(io_error(parent))?;
    // A folder within: the temporary one is closed to others, and the dataset shall not be.
    let work = temporary.path().join("demo");
    let summary = Drawing::new(&work, options, progress).all()?;
    match fs::rename(&work, dir) {
        Ok(()) => Ok(summary),
        // Somebody else may have drawn the same meanwhile.
        Err(source) => {
            is_complete(dir, options).ok_or_else(|| DemoError::Io { path: dir.to_path_buf(), source })
        }
    }
}

/// The validation or test entries of a demo dataset, with the truth of each picture.
///
/// # Errors
/// When the file cannot be read, or an entry has no scene.
pub fn read_truth(annotations: &Path) -> Result<Vec<TruthEntry>, DemoError> {
    let file = File::open(annotations).map_err(io_error(annotations))?;
    serde_json::from_reader(BufReader::new(file))
        .map_err(|source| DemoError::Json { path: annotations.to_path_buf(), source })
}

/// One run of the generator.
struct Drawing<'a> {
    root: &'a Path,
    options: &'a DemoOptions,
    progress: &'a (dyn Fn(usize, usize) + Sync),
    drawn: AtomicUsize,
    total: usize,
}

impl<'a> Drawing<'a> {
    fn new(root: &'a Path, options: &'a DemoOptions, progress: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        let classes = Colour::ALL.len() * Shape::ALL.len();
        let total = options.train + options.val + options.test + classes * options.zero_shot_per_class;
        Self { root, options, progress, drawn: AtomicUsize::new(0), total }
    }

    fn all(&self) -> Result<DemoSummary, DemoError> {
        self.folder("annotations")?;
        let captions = self.train()?;
        self.held_out(Split::Val, self.options.val)?;
        self.held_out(Split::Test, self.options.test)?;
        self.zero_shot()?;
        let tokenizer = self.root.join("tokenizer.json");
        vocabulary::train(&captions, &tokenizer).map_err(|error| DemoError::Tokenizer(error.to_string()))?;
        let vocabulary = tokenizers::Tokenizer::from_file(&tokenizer)
            .map_err(|error| DemoError::Tokenizer(error.to_string()))?
            .get_vocab_size(true);
        let summary = DemoSummary {
            generator_version: GENERATOR_VERSION,
            options: self.options.clone(),
            pictures: self.total,
            vocabulary,
        };
        self.text("README.md", include_str!("README.md"))?;
        let path = self.root.join(MANIFEST);
        let manifest = serde_json::to_string_pretty(&summary)
            .map_err(|source| DemoError::Json { path: path.clone(), source })?;
        fs::write(&path, manifest).map_err(io_error(&path))?;
        Ok(summary)
    }

    /// Draws the training pictures and writes their annotations; gives the captions back.
    fn train(&self) -> Result<Vec<String>, DemoError> {
        self.folder("images/train")?;
        let entries = self.pictures(self.options.train, |index| {
            let (scene, image, mut rng) = self.one(Split::Train, index)?;
            let image_id = format!("demo_train_{index:05}");
            Ok(TrainEntry { caption: describe(&scene, &mut rng), image, image_id })
        })?;
        self.annotations(Split::Train, &entries)?;
        Ok(entries.into_iter().map(|entry| entry.caption).collect())
    }

    /// Draws a split that training never sees and writes its annotations with the truth.
    fn held_out(&self, split: Split, count: usize) -> Result<(), DemoError> {
        self.folder(&format!("images/{}", split.name()))?;
        let entries = self.pictures(count, |index| {
            let (scene, image, mut rng) = self.one(split, index)?;
            let mut caption: Vec<String> = Vec::with_capacity(CAPTIONS_HELD_OUT);
            while caption.len() < CAPTIONS_HELD_OUT {
                let told = describe(&scene, &mut rng);
                if !caption.contains(&told) {
                    caption.push(told);
                }
            }
            Ok(TruthEntry { caption, image, image_id: format!("demo_{}_{index:05}", split.name()), scene })
        })?;
        self.annotations(split, &entries)
    }

    /// Draws one picture of a captioned split: its scene, its name, and what is left of its random stream.
    fn one(&self, split: Split, index: usize) -> Result<(Scene, String, Rng), DemoError> {
        let mut rng = stream(self.options.seed, Purpose::Demo, split as u64, index as u64);
        let scene = draw_scene(split != Split::Train, &mut rng);
        let image = format!("{}/{index:05}.png", split.name());
        self.picture(&self.root.join("images").join(&image), &scene, &mut rng)?;
        Ok((scene, image, rng))
    }

    fn zero_shot(&self) -> Result<(), DemoError> {
        let per_class = self.options.zero_shot_per_class;
        let combinations = Colour::ALL.iter().flat_map(|c| Shape::ALL.iter().map(move |s| (*c, *s)));
        // Folder names in sorted order, as readers list them.
        let classes: BTreeMap<String, (Colour, Shape)> =
            combinations.map(|(c, s)| (format!("{}_{}", c.word(), s.word()), (c, s))).collect();
        let classes: Vec<_> = classes.into_iter().collect();
        for (folder, _) in &classes {
            self.folder(&format!("zero_shot/images/{folder}"))?;
        }
        self.pictures(classes.len() * per_class, |index| {
            let mut rng = stream(self.options.seed, Purpose::Demo, Split::ZeroShot as u64, index as u64);
            let (folder, (colour, shape)) = &classes[index / per_class];
            let object = Object { size: pick(Size::ALL, &mut rng), colour: *colour, shape: *shape };
            let path = self.root.join(format!("zero_shot/images/{folder}/{:04}.png", index % per_class));
            self.picture(&path, &Scene { first: object, second: None }, &mut rng)
        })?;
        let labels: Vec<String> = classes.iter().map(|(folder, _)| folder.replace('_', " ")).collect();
        self.text("zero_shot/labels.txt", &(labels.join("\n") + "\n"))?;
        self.text("zero_shot/templates.txt", &(TEMPLATES.join("\n") + "\n"))
    }

    /// Runs `draw` for each index on all cores and reports progress; results come in order.
    fn pictures<T: Send>(
        &self,
        count: usize,
        draw: impl Fn(usize) -> Result<T, DemoError> + Sync,
    ) -> Result<Vec<T>, DemoError> {
        (0..count)
            .into_par_iter()
            .map(|index| {
                let result = draw(index)?;
                (self.progress)(self.drawn.fetch_add(1, Ordering::Relaxed) + 1, self.total);
                Ok(result)
            })
            .collect()
    }

    fn picture(&self, path: &Path, scene: &Scene, rng: &mut Rng) -> Result<(), DemoError> {
        let side = self.options.side;
        let pixels = paint(scene, side, rng);
        let mut png = Vec::with_capacity(pixels.len());
        // A side is at most 4096 here.
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub)
            .write_image(&pixels, side as u32, side as u32, ExtendedColorType::Rgb8)
            .map_err(|source| DemoError::Encode { path: path.to_path_buf(), source })?;
        fs::write(path, png).map_err(io_error(path))
    }

    /// Writes a JSON array, an entry a line.
    fn annotations<T: Serialize>(&self, split: Split, entries: &[T]) -> Result<(), DemoError> {
        let path = self.root.join(format!("annotations/coco_karpathy_{}.json", split.name()));
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(&path)?);
            for (index, entry) in entries.iter().enumerate() {
                file.write_all(if index == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut file, entry)?;
            }
            file.write_all(if entries.is_empty() { b"[]\n" } else { b"\n]\n" })?;
            file.flush()
        };
        write().map_err(io_error(&path))
    }

    fn folder(&self, name: &str) -> Result<(), DemoError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(io_error(&path))
    }

    fn text(&self, name: &str, text: &str) -> Result<(), DemoError> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(io_error(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{is_held_out, parse};
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    fn small() -> DemoOptions {
        DemoOptions { seed: 5, train: 400, val: 30, test: 40, side: 24, zero_shot_per_class: 2 }
    }

    /// Every file below `dir` with its content.
    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![dir.to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn the_same_options_give_the_same_bytes_and_another_seed_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (dir.path().join("a"), dir.path().join("deep/b"), dir.path().join("c"));
        let total = AtomicUsize::new(0);
        let summary = draw(&a, &small(), &|_, all| total.store(all, Ordering::Relaxed)).unwrap();
        assert_eq!(summary.pictures, 400 + 30 + 40 + 96);
        assert_eq!(total.into_inner(), summary.pictures);
        draw(&b, &small(), &|_, _| ()).unwrap();
        let (in_a, in_b) = (contents(&a), contents(&b));
        assert!(in_a.keys().eq(in_b.keys()));
        let differing: Vec<_> = in_a.iter().filter(|(path, bytes)| in_b[*path] != **bytes).collect();
        assert!(differing.is_empty(), "{:?}", differing.iter().map(|(path, _)| path).collect::<Vec<_>>());
        draw(&c, &DemoOptions { seed: 6, ..small() }, &|_, _| ()).unwrap();
        let picture = "images/train/00000.png";
        assert_ne!(fs::read(a.join(picture)).unwrap(), fs::read(c.join(picture)).unwrap());
        let left_over = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left_over, 3, "no temporary folder stays behind");
    }

    #[test]
    fn a_complete_dataset_is_kept_and_anything_else_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("demo");
        draw(&target, &small(), &|_, _| ()).unwrap();
        draw(&target, &small(), &|_, _| panic!("drawn again")).unwrap();
        let other = DemoOptions { train: 9, ..small() };
        assert!(matches!(draw(&target, &other, &|_, _| ()), Err(DemoError::Occupied(_))));
        assert!(matches!(
            draw(&dir.path().join("x"), &DemoOptions { side: 3, ..small() }, &|_, _| ()),
            Err(DemoError::Side(3))
        ));
    }

    #[test]
    fn captions_tell_the_truth_and_training_lacks_the_held_out_combinations() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("demo");
        draw(&target, &small(), &|_, _| ()).unwrap();
        let train: Vec<serde_json::Value> =
            serde_json::from_slice(&fs::read(target.join("annotations/coco_karpathy_train.json")).unwrap())
                .unwrap();
        assert_eq!(train.len(), 400);
        for entry in &train {
            let scene = parse(entry["caption"].as_str().unwrap()).unwrap();
            assert!(!scene.is_novel());
            assert!(target.join("images").join(entry["image"].as_str().unwrap()).is_file());
        }
        let test = read_truth(&target.join("annotations/coco_karpathy_test.json")).unwrap();
        assert_eq!(test.len(), 40);
        assert!(test.iter().any(|entry| entry.scene.is_novel()));
        for entry in &test {
            assert_eq!(entry.caption.len(), CAPTIONS_HELD_OUT);
            assert!(entry.caption.iter().all(|caption| parse(caption) == Some(entry.scene)));
        }
    }

    #[test]
    fn zero_shot_classes_are_all_combinations_in_sorted_order() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("demo");
        draw(&target, &small(), &|_, _| ()).unwrap();
        let folders: BTreeSet<String> = fs::read_dir(target.join("zero_shot/images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let labels = fs::read_to_string(target.join("zero_shot/labels.txt")).unwrap();
        let named: Vec<String> = labels.lines().map(|label| label.replace(' ', "_")).collect();
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), named);
        assert_eq!(named.len(), 48);
        let held_out = named
            .iter()
            .filter(|name| {
                let (colour, shape) = name.split_once('_').unwrap();
                is_held_out(Colour::from_word(colour).unwrap(), Shape::from_word(shape).unwrap())
            })
            .count();
        assert_eq!(held_out, 6);
    }

    #[test]
    fn every_word_is_one_token_and_padding_is_zero() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("demo");
        let summary = draw(&target, &DemoOptions { train: 2000, ..small() }, &|_, _| ()).unwrap();
        let tokenizer = tokenizers::Tokenizer::from_file(target.join("tokenizer.json")).unwrap();
        assert_eq!(tokenizer.token_to_id("<pad>"), Some(0));
        assert_eq!(tokenizer.token_to_id("<start_of_text>"), Some(1));
        assert_eq!(tokenizer.token_to_id("<end_of_text>"), Some(2));
        assert_eq!(summary.vocabulary, tokenizer.get_vocab_size(true));
        assert!(summary.vocabulary < 256, "{}", summary.vocabulary);
        let mut words = HashSet::new();
        for entry in read_truth(&target.join("annotations/coco_karpathy_test.json")).unwrap() {
            for caption in entry.caption {
                words.extend(caption.split(' ').map(str::to_string));
                let ids = tokenizer.encode(caption.as_str(), false).unwrap();
                assert_eq!(ids.get_ids().len(), caption.split(' ').count(), "{caption}");
                assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), caption);
            }
        }
        assert!(words.len() > 30, "{}", words.len());
    }
}
