//! What is written is read again as it was, in every format.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::reader::{ReadOptions, Split};

fn png(shade: u8) -> Vec<u8> {
    let mut png = Vec::new();
    let pixels = vec![shade; 8 * 8 * 3];
    image::ImageEncoder::write_image(
        image::codecs::png::PngEncoder::new(&mut png),
        &pixels,
        8,
        8,
        image::ExtendedColorType::Rgb8,
    )
    .unwrap();
    png
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, path: &Path, split: Split) -> Dataset {
        let options = ReadOptions { cache: Some(self.at("cache")), ..ReadOptions::default() };
        Dataset::open(path, split, &options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A dataset of pictures 0, 1, …, each with its own bytes, and entries of picture, captions and id.
    fn dataset(&self, entries: &[(usize, Vec<String>, Option<String>)]) -> Dataset {
        std::fs::create_dir_all(self.at("in/images/deep")).unwrap();
        let name = |n: usize| format!("deep/p {n}.png");
        let mut all = Vec::new();
        for (picture, captions, id) in entries {
            std::fs::write(self.at("in/images").join(name(*picture)), png(*picture as u8)).unwrap();
            let mut entry = serde_json::json!({ "image": name(*picture), "caption": captions });
            if let Some(id) = id {
                entry["image_id"] = id.clone().into();
            }
            all.push(entry);
        }
        let path = self.at("in/a.json");
        std::fs::write(&path, serde_json::Value::from(all).to_string()).unwrap();
        self.open(&path, Split::Train)
    }
}

fn write(dataset: &Dataset, out: &Path, options: &Options) -> Result<Converted, ConvertError> {
    let progress = Progress { tell: &|_, _| {}, cancel: &AtomicBool::new(false) };
    convert(dataset, None, out, options, &progress)
}

/// Which picture each sample has, told by its bytes, and its captions and id.
fn told(dataset: &Dataset) -> Vec<(u8, Vec<String>, Option<String>)> {
    let one = |index| {
        let sample = dataset.sample(index).unwrap();
        let bytes = sample.image.read().unwrap();
        let shade = crate::picture::decode(&bytes).unwrap().rgb()[0];
        (shade, sample.captions, sample.id)
    };
    (0..dataset.len()).map(one).collect()
}

/// As tables have line breaks.
fn broken_once(text: &str) -> String {
    let (last, lines) = text.rsplit_once('\n').map_or((text, None), |(lines, last)| (last, Some(lines)));
    let lines = lines.map(|lines| lines.split('\n').map(|line| format!("{}\n", line.trim_end_matches('\r'))));
    lines.into_iter().flatten().chain([last.to_owned()]).collect()
}

fn in_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

type Entries = Vec<(usize, Vec<String>, Option<String>)>;

fn entries() -> impl Strategy<Value = Entries> {
    let caption = prop_oneof![
        3 => "[a-z]{1,8}( [a-z]{1,8}){0,4}",
        1 => "[ ,;\"'\\\\{}\t\n\ra-c]{0,12}",
        1 => any::<String>(),
    ];
    let id = proptest::option::of("[A-Za-z_0-9]{1,6}");
    let entry = (0..5usize, proptest::collection::vec(caption, 0..4), id);
    proptest::collection::vec(entry, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_is_read_as_it_was_written(entries in entries()) {
        let place = Place::new();
        let dataset = place.dataset(&entries);
        let whole = told(&dataset);
        // With the same entries: exact, whatever the captions hold.
        for (name, format) in [
            ("out.json", Format::Karpathy), ("out.jsonl", Format::JsonLines), ("out.tar", Format::Webdataset),
        ] {
            let out = place.at(&format!("{}/{name}", format.name()));
            let mut options = Options::new(format);
            options.pictures = (format != Format::Webdataset).then_some(Pictures::Copy);
            write(&dataset, &out, &options).unwrap();
            prop_assert_eq!(&told(&place.open(&out, Split::Train)), &whole, "{}", name);
        }
        // One caption an entry.
        let mut each = Vec::new();
        for (picture, captions, id) in &whole {
            let own = if captions.is_empty() { vec![String::new()] } else { captions.clone() };
            each.extend(own.into_iter().map(|caption| (*picture, vec![caption], id.clone())));
        }
        for (name, separator) in [("out.csv", b','), ("out.tsv", b'\t')] {
            let out = place.at(name);
            let options = Options { separator, pictures: Some(Pictures::Link), ..Options::new(Format::Table) };
            let out = out.parent().unwrap().join(format!("t{separator}")).join(name);
            write(&dataset, &out, &options).unwrap();
            let lines = |e: &(u8, Vec<String>, Option<String>)| (e.0, vec![broken_once(&e.1[0])], e.2.clone());
            prop_assert_eq!(told(&place.open(&out, Split::Train)), each.iter().map(lines).collect::<Vec<_>>(), "{}", name);
        }
        let out = place.at("out.filelist");
        write(&dataset, &out, &Options { shard: 2, ..Options::new(Format::Laion) }).unwrap();
        let bare: Vec<_> = each.iter().map(|e| (e.0, e.1.clone(), None)).collect();
        prop_assert_eq!(told(&place.open(&out, Split::Train)), bare);
        // One entry a picture, captions in a line each.
        let out = place.at("side");
        write(&dataset, &out, &Options::new(Format::Sidecar)).unwrap();
        let mut joined: Vec<(u8, Vec<String>, Option<String>)> = Vec::new();
        for (picture, captions, _) in &whole {
            let own = captions.iter().map(|c| in_line(c)).filter(|c| !c.is_empty());
            match joined.iter_mut().find(|(other, _, _)| other == picture) {
                Some((_, all, _)) => all.extend(own),
                None => joined.push((*picture, own.collect(), None)),
            }
        }
        joined.sort();
        let mut read = told(&place.open_as(&out, Format::Sidecar));
        read.sort();
        prop_assert_eq!(read, joined);
        // And back: the shards as annotations.
        let shards = place.open(&place.at("webdataset/out.tar"), Split::Train);
        let out = place.at("back/again.jsonl");
        write(&shards, &out, &Options::new(Format::JsonLines)).unwrap();
        prop_assert_eq!(told(&place.open(&out, Split::Train)), whole);
    }

    #[test]
    fn no_picture_stands_in_two_splits(entries in entries(), seed in 0..4u64) {
        let place = Place::new();
        let dataset = place.dataset(&entries);
        let plan = Plan::parse("train=3,val=1,test=1", seed, Group::Picture).unwrap();
        let progress = Progress { tell: &|_, _| {}, cancel: &AtomicBool::new(false) };
        let all: Vec<u32> = (0..dataset.len() as u32).collect();
        let parts = divide(&dataset, &all, &plan, &progress).unwrap();
        let mut seen = std::collections::HashMap::new();
        let mut count = 0;
        for (split, samples) in &parts {
            for sample in samples {
                count += 1;
                let picture = dataset.image_number(*sample as usize).unwrap();
                prop_assert_eq!(*seen.entry(picture).or_insert(*split), *split);
            }
        }
        prop_assert_eq!(count, dataset.len());
        // The order of the entries does not matter.
        let mut turned = entries.clone();
        turned.reverse();
        let turned = place.dataset(&turned);
        let again = divide(&turned, &all, &plan, &progress).unwrap();
        for (split, samples) in again {
            for sample in samples {
                let name = turned.image(sample as usize).unwrap().name;
                let number = (0..dataset.len()).find(|s| dataset.image(*s).unwrap().name == name).unwrap();
                prop_assert_eq!(seen[&dataset.image_number(number).unwrap()], split);
            }
        }
    }
}

impl Place {
    fn open_as(&self, path: &Path, format: Format) -> Dataset {
        let cache = Some(self.at("cache"));
        let options = ReadOptions { format: Some(format), cache, ..ReadOptions::default() };
        Dataset::open(path, Split::Train, &options).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// What a sample holds: which picture it is, that picture's bytes, captions, id.
type Held = (usize, Vec<u8>, Vec<String>, Option<String>);

fn held(dataset: &Dataset) -> Vec<Held> {
    let one = |index| {
        let sample = dataset.sample(index).unwrap();
        let picture = dataset.image_number(index).unwrap();
        (picture, sample.image.read().unwrap(), sample.captions, sample.id)
    };
    (0..dataset.len()).map(one).collect()
}

/// Picture's bytes, captions and ids of samples that were written in `format`, in order where it has one.
fn as_written(held: &[Held], format: Format) -> Vec<(Vec<u8>, Vec<String>, Option<String>)> {
    let ids = !matches!(format, Format::Laion | Format::Sidecar | Format::Classes);
    let id = |id: &Option<String>| id.clone().filter(|_| ids);
    let mut all = Vec::new();
    match captions_of(format) {
        Captions::Keep => {
            all.extend(held.iter().map(|(_, bytes, texts, own)| (bytes.clone(), texts.clone(), id(own))))
        }
        Captions::Each => {
            for (_, bytes, texts, own) in held {
                all.extend(texts.iter().map(|text| (bytes.clone(), vec![text.clone()], id(own))));
            }
        }
        Captions::Join => {
            let mut place: Vec<usize> = Vec::new();
            for (picture, bytes, texts, _) in held {
                match place.iter().position(|other| other == picture) {
                    Some(at) => all[at].1.extend(texts.clone()),
                    None => {
                        place.push(*picture);
                        all.push((bytes.clone(), texts.clone(), None));
                    }
                }
            }
        }
    }
    all
}

/// From every format to every format: the bytes of pictures, captions and ids are what both can hold.
#[test]
fn every_pair_of_formats_keeps_what_both_can_hold() {
    let place = Place::new();
    let text = |words: &str| words.to_owned();
    let first = place.dataset(&[
        (3, vec![text("Café, \"red\" one"), text("two words; 猫")], Some(text("i3"))),
        (1, vec![text("a green one")], None),
        (3, vec![text("a third of it")], Some(text("i3"))),
        (0, vec![text("a green one")], Some(text("i0"))),
    ]);
    let file = |format: Format| match format {
        Format::Karpathy => "out.json",
        Format::JsonLines => "out.jsonl",
        Format::Table => "out.tsv",
        Format::Laion => "out.filelist",
        Format::Webdataset => "out.tar",
        Format::Sidecar | Format::Classes => "out",
    };
    let converted = |from: &Dataset, to: Format, name: &str| {
        let out = place.at(name).join(file(to));
        std::fs::create_dir_all(place.at(name)).unwrap();
        let annotations = matches!(to, Format::Karpathy | Format::JsonLines | Format::Table);
        let pictures = annotations.then_some(Pictures::Copy);
        let done =
            write(from, &out, &Options { pictures, shard: 2, separator: b'\t', ..Options::new(to) }).unwrap();
        assert_eq!(done.left_out, [], "{name}");
        place.open_as(&out, to)
    };
    for from in Format::ALL {
        let source = converted(&first, from, &format!("from-{}", from.name()));
        assert_eq!(source.format(), from);
        for to in Format::ALL {
            let name = format!("{}-{}", from.name(), to.name());
            let target = converted(&source, to, &name);
            let mut read: Vec<_> =
                held(&target).into_iter().map(|(_, bytes, texts, id)| (bytes, texts, id)).collect();
            let mut wanted = as_written(&held(&source), to);
            assert!(
                wanted.len() >= 3
                    && wanted.iter().all(|(bytes, texts, _)| !bytes.is_empty() && !texts.is_empty())
            );
            if matches!(to, Format::Sidecar | Format::Classes) {
                read.sort();
                wanted.sort();
            }
            assert_eq!(read, wanted, "{name}");
        }
    }
}

fn simple(count: usize) -> Entries {
    (0..count).map(|n| (n, vec![format!("caption {n}")], Some(format!("id{n}")))).collect()
}

#[test]
fn splits_are_found_by_their_readers_in_every_format() {
    let place = Place::new();
    let entries: Entries =
        (0..40).map(|n| (n % 20, vec![["red", "green"][n % 2].to_owned()], None)).collect();
    let dataset = place.dataset(&entries);
    for format in [
        Format::Karpathy,
        Format::JsonLines,
        Format::Table,
        Format::Webdataset,
        Format::Sidecar,
        Format::Classes,
    ] {
        let out = place.at(&format!("split-{}", format.name()));
        let plan = Plan::parse("train=0.5,val=0.25,test=0.25", 7, Group::Content).unwrap();
        let pictures = Some(Pictures::Copy);
        let options = Options { plan: Some(plan), pictures, shard: 3, ..Options::new(format) };
        let done = write(&dataset, &out, &options).unwrap();
        assert_eq!(done.left_out, [], "{format:?}");
        let mut seen = std::collections::BTreeMap::new();
        for (split, entries) in [Split::Train, Split::Val, Split::Test].into_iter().zip(&done.entries) {
            let read = place.open(&out, split);
            assert_eq!((read.format(), read.len()), (format, *entries), "{split:?}");
            for (picture, captions, _) in told(&read) {
                assert_eq!(*seen.entry(picture).or_insert(split), split, "{format:?}");
                let wanted = ["red", "green"][usize::from(picture % 2)];
                assert!(captions.iter().all(|caption| caption == wanted), "{format:?}: {captions:?}");
            }
        }
        assert_eq!(seen.len(), 20);
        let wanted = if format == Format::Sidecar { [10, 5, 5] } else { [20, 10, 10] };
        assert_eq!(done.entries, wanted, "{format:?}");
        assert!(matches!(write(&dataset, &out, &options), Err(ConvertError::Exists(_))));
    }
}

/// A copy under another name is the same picture: neither may be learnt from while the other one is tested on.
#[test]
fn a_picture_and_its_copies_stay_in_one_split() {
    let place = Place::new();
    std::fs::create_dir_all(place.at("in")).unwrap();
    // Each of 12 pictures lies in three files, one of them named in two ways.
    let mut all = Vec::new();
    for number in 0..48 {
        let name = match number / 12 {
            3 => format!("./{:02}.png", number % 12),
            _ => format!("{number:02}.png"),
        };
        std::fs::write(place.at("in").join(&name), png(number % 12)).unwrap();
        all.push(serde_json::json!({"image": name, "caption": format!("words {number}")}));
    }
    std::fs::write(place.at("in/a.json"), serde_json::Value::from(all).to_string()).unwrap();
    let dataset = place.open(&place.at("in/a.json"), Split::Train);
    for seed in 0..8 {
        let plan = Plan::parse("train=2,val=1,test=1", seed, Group::Content).unwrap();
        let out = place.at(&format!("out{seed}"));
        let options =
            Options { plan: Some(plan), pictures: Some(Pictures::Copy), ..Options::new(Format::Karpathy) };
        let done = write(&dataset, &out, &options).unwrap();
        assert_eq!((done.entries.iter().sum::<usize>(), done.entries.contains(&0)), (48, false));
        let mut split_of = std::collections::BTreeMap::new();
        for split in [Split::Train, Split::Val, Split::Test] {
            for (shade, ..) in told(&place.open(&out, split)) {
                assert_eq!(*split_of.entry(shade).or_insert(split), split, "seed {seed}, picture {shade}");
            }
        }
        assert_eq!(split_of.len(), 12);
    }
}

#[test]
fn pictures_stay_where_they_are_and_the_output_says_where() {
    let place = Place::new();
    let dataset = place.dataset(&simple(3));
    // Beside the input they are found.
    let done = write(&dataset, &place.at("in/b.jsonl"), &Options::new(Format::JsonLines)).unwrap();
    assert_eq!((done.image_root, done.pictures), (None, 0));
    assert_eq!(told(&place.open(&place.at("in/b.jsonl"), Split::Train)), told(&dataset));
    // Elsewhere they are not.
    let done = write(&dataset, &place.at("other/b.jsonl"), &Options::new(Format::JsonLines)).unwrap();
    assert_eq!(done.image_root, Some(place.at("in/images")));
}

#[test]
fn what_cannot_be_read_is_left_out_and_what_is_there_stays() {
    let place = Place::new();
    let dataset = place.dataset(&simple(4));
    std::fs::remove_file(place.at("in/images/deep/p 1.png")).unwrap();
    std::fs::write(place.at("in/images/deep/p 2.png"), "root:x:0:0").unwrap();
    let out = place.at("out.tar");
    let done = write(&dataset, &out, &Options::new(Format::Webdataset)).unwrap();
    let left: Vec<u32> = done.left_out.iter().map(|left| left.entry).collect();
    assert_eq!((done.entries, left, done.left_out_count), (vec![2], vec![1, 2], 2));
    assert!(done.left_out[1].reason.contains("not a picture"), "{:?}", done.left_out);
    let before = std::fs::read(&out).unwrap();
    let error = write(&dataset, &out, &Options::new(Format::Webdataset)).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(std::fs::read(&out).unwrap(), before);
    // What is stopped leaves nothing.
    let progress = Progress { tell: &|_, _| {}, cancel: &AtomicBool::new(true) };
    let out = place.at("stopped");
    let error = convert(&dataset, None, &out, &Options::new(Format::Sidecar), &progress).unwrap_err();
    assert!(matches!(error, ConvertError::Cancelled) && !out.exists());
    let hidden = std::fs::read_dir(place.0.path()).unwrap().flatten();
    assert!(hidden.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".cocaptain")));
    // Shards cannot be named by annotations.
    let shards = place.open(&place.at("out.tar"), Split::Train);
    let options = Options { pictures: Some(Pictures::Keep), ..Options::new(Format::Karpathy) };
    assert!(matches!(write(&shards, &place.at("x.json"), &options), Err(ConvertError::Cannot(_))));
}

#[test]
fn names_that_lead_elsewhere_are_tamed() {
    let place = Place::new();
    std::fs::create_dir_all(place.at("in")).unwrap();
    let pictures = ["secret.png", "in/a.png", "in/.hidden.png", "in/A.png", "in/a.gif"];
    for (n, name) in pictures.iter().enumerate() {
        std::fs::write(place.at(name), png(n as u8)).unwrap();
    }
    let absolute = place.at("secret.png").display().to_string();
    let json: Vec<_> = ["../secret.png", "a.png", ".hidden.png", "A.png", "a.gif", &absolute]
        .iter()
        .map(|name| serde_json::json!({ "image": name, "caption": "x" }))
        .collect();
    std::fs::write(place.at("in/a.json"), serde_json::Value::from(json).to_string()).unwrap();
    let dataset = place.open(&place.at("in/a.json"), Split::Train);
    let out = place.at("side");
    write(&dataset, &out, &Options::new(Format::Sidecar)).unwrap();
    let read = place.open(&out, Split::Train);
    assert_eq!(read.len(), 6);
    let mut shades: Vec<u8> = told(&read).into_iter().map(|entry| entry.0).collect();
    shades.sort_unstable();
    assert_eq!(shades, [0, 0, 1, 2, 3, 4]);
    assert!((0..6).all(|index| read.image(index).unwrap().path().starts_with(&out)));
}

#[test]
fn a_plan_is_read_or_refused() {
    let plan = Plan::parse("train=8, val=2", 1, Group::Picture).unwrap();
    assert_eq!(plan.shares, [(Split::Train, 8.0), (Split::Val, 2.0)]);
    for bad in ["", "train", "train=0", "train=x", "dev=1", "train=1,train=2", "val=-1", "val=inf"] {
        assert!(Plan::parse(bad, 1, Group::Picture).is_err(), "{bad}");
    }
}
