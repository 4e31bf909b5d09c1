//! What a dataset is like: counts, lengths of captions, words, sizes of pictures, how fast they are decoded.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::picture::{Preprocess, decode};
use crate::progress::Progress;
use crate::sample::ImageRef;
use crate::tokenizer::Tokenizer;

/// Words that are told one by one.
const TOP: usize = 50;
/// Bytes of a picture's file that hold its header, nearly always.
const HEADER: u64 = 64 << 10;

/// What is counted, and by what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Counts tokens.
    pub tokenizer: Tokenizer,
    /// Tokens that the model reads, start and end included.
    pub context_length: usize,
    /// Pictures whose headers are read at most, spread evenly.
    pub pictures: usize,
    /// How long decoding is measured; none leaves it out.
    pub decoding: Option<Duration>,
    /// Width and height that the model takes, for the measurement.
    pub side: usize,
}

/// How values are spread.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How often each value occurs.
    pub counts: BTreeMap<u64, u64>,
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: u64,
    /// The middle one.
    pub median: u64,
    /// 95 of 100 are no larger.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of these counts of values.
    pub fn new(counts: BTreeMap<u64, u64>) -> Self {
        let count: u64 = counts.values().sum();
        let sum: f64 = counts.iter().map(|(value, n)| *value as f64 * *n as f64).sum();
        let at = |share: f64| {
            let wanted = ((count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let found = counts.iter().find(|(_, n)| {
                seen += **n;
                seen >= wanted
            });
            found.map_or(0, |(value, _)| *value)
        };
        Self {
            count,
            mean: if count == 0 { 0.0 } else { sum / count as f64 },
            min: counts.keys().next().copied().unwrap_or(0),
            median: at(0.5),
            p95: at(0.95),
            max: counts.keys().next_back().copied().unwrap_or(0),
            counts,
        }
    }

    /// At most `most` bars of equal width: the first value of each and how many fall into it.
    pub fn bars(&self, most: usize) -> Vec<(u64, u64)> {
        if self.count == 0 {
            return Vec::new();
        }
        let width = (self.max - self.min + 1).div_ceil(most.max(1) as u64).max(1);
        let bars = (self.max - self.min) / width + 1;
        let mut all: Vec<(u64, u64)> = (0..bars).map(|bar| (self.min + bar * width, 0)).collect();
        for (value, n) in &self.counts {
            if let Some((_, count)) = all.get_mut(((value - self.min) / width) as usize) {
                *count += n;
            }
        }
        all
    }
}

/// How fast pictures get ready for the model, on one thread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decoding {
    /// Pictures that were decoded.
    pub pictures: u64,
    /// How long that took, reading included.
    pub seconds: f64,
    /// Pictures a second.
    pub pictures_per_second: f64,
    /// Megabytes (10^6) of files a second.
    pub megabytes_per_second: f64,
    /// Pictures a second that are decoded, resized and normalised for a model.
    pub prepared_per_second: f64,
    /// The model's width and height.
    pub side: usize,
}

/// What the pictures are like, by their headers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pictures {
    /// Pictures whose headers were read.
    pub read: u64,
    /// Of these, how many are not there.
    pub missing: u64,
    /// Of these, how many are no pictures.
    pub broken: u64,
    /// Their formats.
    pub formats: BTreeMap<String, u64>,
    /// Bytes of their files together.
    pub bytes: u64,
    /// Widths in pixels.
    pub width: Spread,
    /// Heights in pixels.
    pub height: Spread,
    /// The commonest sizes, with how many.
    pub sizes: Vec<(String, u64)>,
}

/// What a dataset is like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// The annotation file or folder.
    pub path: String,
    /// Its format.
    pub format: String,
    /// Entries.
    pub entries: u64,
    /// Entries that are no samples.
    pub broken: u64,
    /// Different pictures.
    pub images: u64,
    /// Captions.
    pub captions: u64,
    /// Captions of a picture, over all of its entries.
    pub captions_per_image: Spread,
    /// Tokens of a caption, start and end included, before the cut.
    pub tokens: Spread,
    /// Words of a caption.
    pub words: Spread,
    /// Characters of a caption.
    pub characters: Spread,
    /// Tokens that the model reads.
    pub context_length: u64,
    /// Captions that are cut.
    pub cut: u64,
    /// Tokens of captions that are lost by the cut, of all.
    pub lost_share: f64,
    /// Different words, in lower case.
    pub vocabulary: u64,
    /// Words that occur once.
    pub once: u64,
    /// The commonest words, with how often they occur.
    pub top_words: Vec<(String, u64)>,
    /// Different token ids that occur, and ids that there are.
    pub token_ids: (u64, u64),
    /// The pictures.
    pub pictures: Pictures,
    /// How fast they are decoded.
    pub decoding: Option<Decoding>,
}

/// Counts of one thread, or of all.
#[derive(Default)]
struct Counts {
    captions: u64,
    tokens: HashMap<u64, u64>,
    words: HashMap<u64, u64>,
    characters: HashMap<u64, u64>,
    vocabulary: HashMap<String, u64>,
    ids: std::collections::HashSet<u32>,
    cut: u64,
    lost: u64,
}

impl Counts {
    fn take(&mut self, caption: &str, options: &Options) {
        self.captions += 1;
        let words =
            caption.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|word| !word.is_empty());
        let mut count = 0;
        for word in words {
            count += 1;
            let word = word.to_lowercase();
            *self.vocabulary.entry(word).or_default() += 1;
        }
        *self.words.entry(count).or_default() += 1;
        *self.characters.entry(caption.chars().count() as u64).or_default() += 1;
        // A text that the vocabulary cannot express is told of by the check.
        if let Ok(ids) = options.tokenizer.encode_ids(caption) {
            let length = ids.len() + 2;
            *self.tokens.entry(length as u64).or_default() += 1;
            self.cut += u64::from(length > options.context_length);
            self.lost += length.saturating_sub(options.context_length) as u64;
            self.ids.extend(ids);
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.captions += other.captions;
        self.cut += other.cut;
        self.lost += other.lost;
        let add = |to: &mut HashMap<u64, u64>, from: HashMap<u64, u64>| {
            for (value, count) in from {
                *to.entry(value).or_default() += count;
            }
        };
        add(&mut self.tokens, other.tokens);
        add(&mut self.words, other.words);
        add(&mut self.characters, other.characters);
        for (word, count) in other.vocabulary {
            *self.vocabulary.entry(word).or_default() += count;
        }
        self.ids.extend(other.ids);
        self
    }
}

fn spread(counts: HashMap<u64, u64>) -> Spread {
    Spread::new(counts.into_iter().collect())
}

/// Counts everything; none when it was stopped.
pub fn stats(dataset: &Dataset, options: &Options, progress: &Progress<'_>) -> Option<Stats> {
    let done = std::sync::atomic::AtomicUsize::new(0);
    let looked = dataset.images().min(options.pictures);
    let total = dataset.len() + looked;
    let tick = |n: usize| {
        let before = done.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        progress.goes_on(before + n, total)
    };
    let chunks: Vec<std::ops::Range<usize>> =
        (0..dataset.len()).step_by(1024).map(|from| from..(from + 1024).min(dataset.len())).collect();
    let counts = chunks
        .into_par_iter()
        .fold(Counts::default, |mut counts, range| {
            if tick(range.len()) {
                range.for_each(|index| {
                    dataset.captions(index).for_each(|caption| counts.take(caption, options))
                });
            }
            counts
        })
        .reduce(Counts::default, Counts::join);
    let mut per_image: Vec<u64> = vec![0; dataset.images()];
    for index in 0..dataset.len() {
        if let Some(place) = dataset.image_number(index).and_then(|number| per_image.get_mut(number)) {
            *place += dataset.captions(index).len() as u64;
        }
    }
    let mut captions_per_image = HashMap::new();
    per_image.into_iter().for_each(|count| *captions_per_image.entry(count).or_default() += 1);
    let chosen = spread_pictures(dataset, looked);
    let pictures = headers(dataset, &chosen, &tick);
    if progress.cancelled() {
        return None;
    }
    let decoding = options.decoding.and_then(|time| measure(dataset, &chosen, time, options.side));
    let tokens: u64 = counts.tokens.iter().map(|(value, count)| value * count).sum();
    let mut words: Vec<(String, u64)> = counts.vocabulary.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let (vocabulary, once) =
        (words.len() as u64, words.iter().filter(|(_, count)| *count == 1).count() as u64);
    words.truncate(TOP);
    Some(Stats {
        path: dataset.path().display().to_string(),
        format: dataset.format().name().to_owned(),
        entries: dataset.len() as u64 + dataset.broken_count() as u64,
        broken: dataset.broken_count() as u64,
        images: dataset.images() as u64,
        captions: counts.captions,
        captions_per_image: spread(captions_per_image),
        tokens: spread(counts.tokens),
        words: spread(counts.words),
        characters: spread(counts.characters),
        context_length: options.context_length as u64,
        cut: counts.cut,
        lost_share: if tokens == 0 { 0.0 } else { counts.lost as f64 / tokens as f64 },
        vocabulary,
        once,
        top_words: words,
        token_ids: (counts.ids.len() as u64, options.tokenizer.vocab_size() as u64),
        pictures,
        decoding,
    })
}

/// A sample of each of so many pictures, spread evenly.
fn spread_pictures(dataset: &Dataset, count: usize) -> Vec<usize> {
    let mut first: Vec<Option<usize>> = vec![None; dataset.images()];
    for index in 0..dataset.len() {
        if let Some(place) = dataset.image_number(index).and_then(|number| first.get_mut(number)) {
            place.get_or_insert(index);
        }
    }
    let all: Vec<usize> = first.into_iter().flatten().collect();
    (0..count).filter_map(|at| all.get(at * all.len() / count.max(1)).copied()).collect()
}

/// What a header may unpack to [bytes].
const MAX_UNPACKED: u64 = 16 << 20;

/// What a header says: the format, width and height, bytes of the file.
pub type Header = (String, u32, u32, u64);

/// What the header of a picture says; none where it is no picture.
///
/// # Errors
/// What the system said when it was opened.
pub fn header(image: &ImageRef) -> std::io::Result<Option<Header>> {
    let (start, length) = image.start(HEADER)?;
    let told = |bytes: &[u8]| {
        let mut reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        // Texts and profiles in a header may unpack to anything.
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(MAX_UNPACKED);
        reader.limits(limits);
        let format = reader.format()?;
        let (width, height) = reader.into_dimensions().ok()?;
        Some((format.extensions_str().first().copied().unwrap_or("?").to_owned(), width, height))
    };
    let found = told(&start).or_else(|| {
        // A long header, or a format whose size stands further behind; decoding tells in the end.
        let bytes = (start.len() as u64 == HEADER).then(|| image.read().ok())?.unwrap_or_default();
        told(&bytes)
    });
    let found = found.or_else(|| {
        let bytes = image.read().ok()?;
        let format = image::guess_format(&bytes).ok()?;
        let picture = decode(&bytes).ok()?;
        let name = format.extensions_str().first().copied().unwrap_or("?").to_owned();
        Some((name, u32::try_from(picture.width()).ok()?, u32::try_from(picture.height()).ok()?))
    });
    Ok(found.map(|(format, width, height)| (format, width, height, length)))
}

fn headers(dataset: &Dataset, chosen: &[usize], tick: &(impl Fn(usize) -> bool + Sync)) -> Pictures {
    let all: Vec<std::io::Result<Option<Header>>> = chosen
        .par_iter()
        .filter(|_| tick(1))
        .filter_map(|index| Some(header(&dataset.image(*index)?)))
        .collect();
    let mut told = Pictures { read: all.len() as u64, ..Pictures::default() };
    let (mut widths, mut heights, mut sizes) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
    for one in all {
        match one {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => told.missing += 1,
            Err(_) | Ok(None) => told.broken += 1,
            Ok(Some((format, width, height, bytes))) => {
                *told.formats.entry(format).or_default() += 1;
                told.bytes += bytes;
                *widths.entry(u64::from(width)).or_default() += 1;
                *heights.entry(u64::from(height)).or_default() += 1;
                *sizes.entry((width, height)).or_default() += 1;
            }
        }
    }
    (told.width, told.height) = (Spread::new(widths), Spread::new(heights));
    let mut sizes: Vec<((u32, u32), u64)> = sizes.into_iter().collect();
    sizes.sort_by_key(|(size, count)| (std::cmp::Reverse(*count), *size));
    told.sizes = sizes.into_iter().take(TOP).map(|((w, h), n)| (format!("{w}x{h}"), n)).collect();
    told
}

/// Decodes pictures on this thread for about so long.
fn measure(dataset: &Dataset, chosen: &[usize], time: Duration, side: usize) -> Option<Decoding> {
    let preprocess = Preprocess::new(side, crate::picture::CLIP_MEAN, crate::picture::CLIP_STD);
    let mut out = vec![0.0f32; preprocess.numbers()];
    let (mut pictures, mut bytes, mut decoding, mut preparing) = (0u64, 0u64, Duration::ZERO, Duration::ZERO);
    // Evenly spread ones, not the first: files of one folder are often alike.
    let step = (chosen.len() / 512).max(1);
    for index in chosen.iter().step_by(step) {
        let began = Instant::now();
        let Some(Ok(file)) = dataset.image(*index).map(|image| image.read()) else { continue };
        let Ok(picture) = decode(&file) else { continue };
        decoding += began.elapsed();
        let began = Instant::now();
        preprocess.evaluate(&picture, &mut out);
        preparing += began.elapsed();
        pictures += 1;
        bytes += file.len() as u64;
        if decoding + preparing > time {
            break;
        }
    }
    let seconds = decoding.as_secs_f64();
    (pictures > 0 && seconds > 0.0).then(|| Decoding {
        pictures,
        seconds,
        pictures_per_second: pictures as f64 / seconds,
        megabytes_per_second: bytes as f64 / 1e6 / seconds,
        prepared_per_second: pictures as f64 / (decoding + preparing).as_secs_f64(),
        side,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{ReadOptions, Split};
    use std::sync::atomic::AtomicBool;

    #[test]
    fn spreads() {
        let spread = Spread::new([(3, 2), (5, 1), (10, 1)].into());
        assert_eq!((spread.count, spread.min, spread.median, spread.p95, spread.max), (4, 3, 3, 10, 10));
        assert!((spread.mean - 5.25).abs() < 1e-9);
        assert_eq!(spread.bars(4), [(3, 2), (5, 1), (7, 0), (9, 1)]);
        assert_eq!(Spread::new(BTreeMap::new()).bars(4), []);
        assert_eq!(spread.bars(1), [(3, 4)]);
    }

    #[test]
    fn a_small_dataset_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let pixels = vec![120u8; 20 * 10 * 3];
        let mut png = Vec::new();
        image::ImageEncoder::write_image(
            image::codecs::png::PngEncoder::new(&mut png),
            &pixels,
            20,
            10,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
        std::fs::write(dir.path().join("a.png"), &png).unwrap();
        std::fs::write(dir.path().join("b.png"), "no picture").unwrap();
        let long = "cat ".repeat(100);
        let json = serde_json::json!([
            {"image": "a.png", "caption": ["A cat.", "the Cat's hat"]}, {"image": "a.png", "caption": long},
            {"image": "b.png", "caption": ""}, {"image": "c.png", "caption": "gone"}, {"image": 3},
        ]);
        let path = dir.path().join("x.json");
        std::fs::write(&path, json.to_string()).unwrap();
        let dataset = Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap();
        let options = Options {
            tokenizer: Tokenizer::clip().unwrap(),
            context_length: 76,
            pictures: 100,
            decoding: Some(Duration::from_millis(5)),
            side: 32,
        };
        let progress = Progress { tell: &|_, _| {}, cancel: &AtomicBool::new(false) };
        let told = stats(&dataset, &options, &progress).unwrap();
        assert_eq!((told.entries, told.broken, told.images, told.captions), (5, 1, 3, 5));
        assert_eq!(told.captions_per_image.counts, [(1, 2), (3, 1)].into());
        assert_eq!((told.cut, told.tokens.max), (1, 102));
        assert_eq!(told.top_words[0], ("cat".to_owned(), 101));
        assert_eq!((told.vocabulary, told.once), (6, 5));
        let pictures = &told.pictures;
        assert_eq!((pictures.read, pictures.missing, pictures.broken), (3, 1, 1));
        assert_eq!((pictures.sizes[0].0.as_str(), pictures.formats["png"]), ("20x10", 1));
        assert_eq!(told.decoding.unwrap().pictures, 1);
        let stopped = Progress { tell: &|_, _| {}, cancel: &AtomicBool::new(true) };
        assert!(stats(&dataset, &options, &stopped).is_none());
    }
}
