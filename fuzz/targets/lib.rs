//! Readers of files that others may have made, each as a function of bytes that must come back: with an answer or an
//! error, never a panic, in bounded time and memory. `fuzz/` gives them to libFuzzer; tests/mutations.rs gives them
//! real files with bytes changed.
//!
//! A target panics itself where a reader breaks its word: more numbers than the file has room for, pixels that are not
//! there.

use std::cell::RefCell;
use std::path::Path;

use data::picture::{CLIP_MEAN, CLIP_STD, Preprocess, decode};
use data::reader::Format;
use data::{Dataset, ReadOptions, Split, Tokenizer};
use models::{CoCaConfig, WeightsFile};

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 12] = [
    ("pickle", pickle),
    ("torch_zip", weights),
    ("torch_legacy", weights),
    ("safetensors", weights),
    ("pdparams", weights),
    ("config", config),
    ("karpathy", karpathy),
    ("jsonl", jsonl),
    ("table", table),
    ("laion", laion),
    ("tar", tar),
    ("picture", picture),
];

/// A folder in memory for this thread, with the file of `name` in it.
fn with_file<T>(name: &str, bytes: &[u8], then: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = folder.get_or_insert_with(|| match tempfile::tempdir_in(place) {
            Ok(folder) => folder,
            Err(error) => unreachable!("no folder for files: {error}"),
        });
        let path = folder.path().join(name);
        // A new file each time: a mapped one must not change.
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(folder.path().join("cache"));
        if let Err(error) = std::fs::write(&path, bytes) {
            unreachable!("{}: {error}", path.display());
        }
        then(&path)
    })
}

/// Any weights file: its index, and every tensor's numbers as far as they are no more than the file is long.
pub fn weights(bytes: &[u8]) {
    with_file("weights", bytes, |path| {
        let Ok(file) = WeightsFile::open(path) else { return };
        let mut left = 4 * bytes.len();
        for tensor in file.tensors() {
            assert!(tensor.size() <= bytes.len(), "{} has more bytes than the file", tensor.name);
            if tensor.size() > left {
                break;
            }
            left -= tensor.size();
            let data = file.data(&tensor.name).ok();
            assert_eq!(data.map(|data| data.bytes.len()), Some(tensor.size()), "{}", tensor.name);
        }
    });
}

/// A pickle as torch.save's archive holds it, beside one storage of 64 bytes.
pub fn pickle(bytes: &[u8]) {
    weights(&archive(&[("a/data.pkl", bytes), ("a/byteorder", b"little"), ("a/data/0", &[0; 64])]));
}

/// A zip archive of records that are stored as they are.
pub fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in records {
        let at = (out.len() as u32).to_le_bytes();
        let (length, size) = ((name.len() as u16).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
        let sizes = [[0; 4], size, size].concat();
        out.extend([b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &length, &[0; 2]].concat());
        out.extend([name.as_bytes(), bytes].concat());
        directory.extend(
            [b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &length, &[0; 12]].concat(),
        );
        directory.extend([&at, name.as_bytes()].concat());
    }
    let count = (records.len() as u16).to_le_bytes();
    let (size, at) = ((directory.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(&directory);
    out.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &at, &[0; 2]].concat());
    out
}

/// A model config: one that is taken can be written and read again.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = CoCaConfig::from_json(text) else { return };
    let again = config.to_json().ok().and_then(|text| CoCaConfig::from_json(&text).ok());
    assert_eq!(again.as_ref(), Some(&config));
}

/// Annotations in this format: all that a loader asks of them.
fn annotations(name: &str, format: Format, bytes: &[u8]) {
    with_file(name, bytes, |path| {
        let options = ReadOptions {
            format: Some(format),
            cache: path.parent().map(|p| p.join("cache")),
            ..ReadOptions::default()
        };
        let Ok(dataset) = Dataset::open(path, Split::Train, &options) else { return };
        for index in 0..dataset.len().min(50) {
            let Some(sample) = dataset.sample(index) else { continue };
            for caption in dataset.captions(index) {
                text(caption);
            }
            if let Ok(bytes) = sample.image.read() {
                drop(decode(&bytes));
            }
        }
    });
}

/// What `data check` makes of annotations: every finding lies within the file.
fn checked(name: &str, bytes: &[u8]) {
    with_file(name, bytes, |path| {
        let options = data::check::Options { upto: data::check::Stage::Schema, ..Default::default() };
        let cancel = std::sync::atomic::AtomicBool::new(false);
        let report = data::check::check(path, &options, &data::check::Watch::silent(&cancel));
        assert!(report.entries <= bytes.len() + 1);
        assert!(report.findings.iter().all(|finding| finding.offset <= bytes.len()));
    });
}

/// A JSON array of annotations, and what `data check` makes of it.
pub fn karpathy(bytes: &[u8]) {
    annotations("a.json", Format::Karpathy, bytes);
    checked("a.json", bytes);
}

/// A JSON object a line.
pub fn jsonl(bytes: &[u8]) {
    annotations("a.jsonl", Format::JsonLines, bytes);
    checked("a.jsonl", bytes);
}

/// CSV or TSV.
pub fn table(bytes: &[u8]) {
    annotations("a.csv", Format::Table, bytes);
    checked("a.csv", bytes);
}

/// A part of the seed's laion format: TSV with JSON and base64.
pub fn laion(bytes: &[u8]) {
    with_file("part.tsv", bytes, |part| {
        let list = part.with_file_name("laion.filelist");
        if std::fs::write(&list, "part.tsv\n").is_ok() {
            // The part stays; only the list is opened.
            let options =
                ReadOptions { cache: part.parent().map(|p| p.join("cache")), ..ReadOptions::default() };
            let Ok(dataset) = Dataset::open(&list, Split::Train, &options) else { return };
            for index in 0..dataset.len().min(50) {
                if let Some(Ok(bytes)) = dataset.sample(index).map(|sample| sample.image.read()) {
                    drop(decode(&bytes));
                }
            }
        }
    });
}

/// A webdataset shard.
pub fn tar(bytes: &[u8]) {
    annotations("a.tar", Format::Webdataset, bytes);
}

/// A picture: all its pixels are there, and it becomes a model's input.
pub fn picture(bytes: &[u8]) {
    let Ok(picture) = decode(bytes) else { return };
    assert_eq!(picture.rgb().len(), 3 * picture.width() * picture.height());
    // Large ones are decoded, and that is enough.
    if picture.width() * picture.height() <= 1 << 20 {
        let preprocess = Preprocess::new(32, CLIP_MEAN, CLIP_STD);
        let mut numbers = vec![0.0; preprocess.numbers()];
        preprocess.evaluate(&picture, &mut numbers);
        assert!(numbers.iter().all(|number| number.is_finite()));
    }
}

/// A caption.
fn text(caption: &str) {
    if let Ok(clip) = Tokenizer::clip()
        && let Ok(ids) = clip.encode(caption, 76)
    {
        assert_eq!(ids.len(), 76);
        clip.decode(&ids);
    }
}
