use super::*;
use crate::demo::{DemoOptions, draw};
use crate::picture::{CLIP_MEAN, CLIP_STD};
use crate::reader::{ReadOptions, Split};
use std::path::{Path, PathBuf};

struct Fixture {
    folder: tempfile::TempDir,
}

const SAMPLES: usize = 50;

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options =
            DemoOptions { seed: 3, train: SAMPLES, val: 7, test: 1, side: 20, zero_shot_per_class: 0 };
        draw(&folder.path().join("demo"), &options, &|_, _| ()).unwrap();
        Self { folder }
    }

    fn demo(&self) -> PathBuf {
        self.folder.path().join("demo")
    }

    fn dataset(&self) -> Arc<Dataset> {
        Arc::new(Dataset::open(&self.demo(), Split::Train, &ReadOptions::default()).unwrap())
    }

    fn options(&self) -> LoaderOptions {
        let tokenizer = Tokenizer::from_file(&self.demo().join("tokenizer.json")).unwrap();
        let preprocess = Preprocess::new(16, CLIP_MEAN, CLIP_STD);
        LoaderOptions {
            shuffle: true,
            seed: 9,
            augment: Some(CropOptions::default()),
            drop_last: true,
            epochs: Some(3),
            cache_bytes: 1 << 20,
            ..LoaderOptions::evaluation(8, preprocess, tokenizer, 20)
        }
    }

    fn batches(&self, options: LoaderOptions) -> Vec<Batch> {
        Loader::new(self.dataset(), options).unwrap().map(Result::unwrap).collect()
    }
}

/// Everything that a batch gives to the model.
fn content(batch: &Batch) -> (Vec<u32>, &[i64], &[usize], Position) {
    (
        batch.images.iter().map(|number| number.to_bits()).collect(),
        &batch.texts,
        &batch.indices,
        batch.position,
    )
}

fn assert_same(a: &[Batch], b: &[Batch]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| content(a) == content(b)));
}

#[test]
fn batches_do_not_depend_on_workers_prefetch_or_cache() {
    let fixture = Fixture::new();
    let reference = fixture.batches(LoaderOptions { workers: 0, cache_bytes: 0, ..fixture.options() });
    assert_eq!(reference.len(), 3 * (SAMPLES / 8));
    assert_eq!(reference[0].images.len(), 8 * 3 * 16 * 16);
    assert_eq!(reference[0].texts.len(), 8 * 20);
    for (workers, prefetch) in [(1, 1), (3, 2), (4, 9)] {
        assert_same(&reference, &fixture.batches(LoaderOptions { workers, prefetch, ..fixture.options() }));
    }
    let other = fixture.batches(LoaderOptions { seed: 10, ..fixture.options() });
    assert_ne!(other[0].indices, reference[0].indices);
}

#[test]
fn ranks_share_one_global_batch() {
    let fixture = Fixture::new();
    let whole = fixture.batches(fixture.options());
    let ranks: Vec<Vec<Batch>> = (0..4)
        .map(|rank| fixture.batches(LoaderOptions { rank, world_size: 4, ..fixture.options() }))
        .collect();
    for (at, batch) in whole.iter().enumerate() {
        let parts: Vec<&Batch> = ranks.iter().map(|batches| &batches[at]).collect();
        assert!(parts.iter().all(|part| part.len() == 2));
        assert_eq!(batch.indices, parts.iter().flat_map(|part| part.indices.clone()).collect::<Vec<_>>());
        assert_eq!(batch.images, parts.iter().flat_map(|part| part.images.clone()).collect::<Vec<_>>());
        assert_eq!(batch.texts, parts.iter().flat_map(|part| part.texts.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn a_restored_position_goes_on_exactly() {
    let fixture = Fixture::new();
    let whole = fixture.batches(fixture.options());
    for stop in [0, 5, 6, 11, whole.len() - 1] {
        let start = whole[stop].next;
        assert_same(&whole[stop + 1..], &fixture.batches(LoaderOptions { start, ..fixture.options() }));
    }
    assert_eq!(whole[5].next, Position { epoch: 1, batch: 0 });
    let start = Position { epoch: 0, batch: 7 };
    let error = Loader::new(fixture.dataset(), LoaderOptions { start, ..fixture.options() }).err().unwrap();
    assert!(matches!(error, LoadError::Position { per_epoch: 6, .. }), "{error}");
}

#[test]
fn an_epoch_shows_every_sample_once_in_an_order_of_its_own() {
    let fixture = Fixture::new();
    let batches = fixture.batches(LoaderOptions { drop_last: false, ..fixture.options() });
    assert_eq!(batches.len(), 3 * 7);
    let epochs: Vec<Vec<usize>> = batches
        .chunks(7)
        .map(|epoch| epoch.iter().flat_map(|batch| batch.indices.clone()).collect())
        .collect();
    for epoch in &epochs {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..SAMPLES));
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_eq!(batches[6].len(), SAMPLES % 8);
    assert_eq!(batches[6].images.len(), (SAMPLES % 8) * 3 * 16 * 16);
}

#[test]
fn evaluation_keeps_the_order_and_the_first_caption() {
    let fixture = Fixture::new();
    let dataset = Arc::new(Dataset::open(&fixture.demo(), Split::Val, &ReadOptions::default()).unwrap());
    let training = fixture.options();
    let options = LoaderOptions::evaluation(4, training.preprocess, training.tokenizer.clone(), 20);
    let batches: Vec<Batch> = Loader::new(dataset.clone(), options).unwrap().map(Result::unwrap).collect();
    let indices: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, (0..7).collect::<Vec<_>>());
    let texts: Vec<String> =
        batches.iter().flat_map(|b| b.texts.chunks(20)).map(|row| training.tokenizer.decode(row)).collect();
    let first: Vec<&str> = (0..7).map(|index| dataset.captions(index).next().unwrap()).collect();
    assert_eq!(texts, first);
}

fn break_picture(folder: &Path, index: usize) {
    std::fs::write(folder.join(format!("images/train/{index:05}.png")), "no picture").unwrap();
}

#[test]
fn broken_samples_are_named_and_replaced_in_training() {
    let fixture = Fixture::new();
    break_picture(&fixture.demo(), 11);
    std::fs::remove_file(fixture.demo().join("images/train/00012.png")).unwrap();
    let whole = fixture.batches(fixture.options());
    assert!(whole.iter().all(|batch| batch.len() == 8 && !batch.indices.contains(&11)));
    let skipped: Vec<&Skipped> = whole.iter().flat_map(|batch| &batch.skipped).collect();
    assert!(skipped.iter().any(|s| s.image == "train/00011.png" && s.reason.contains("not a picture")));
    assert!(skipped.iter().any(|s| s.image == "train/00012.png" && s.reason.contains("No such file")));
    // The ranks agree on who steps in.
    let second = fixture.batches(LoaderOptions { rank: 1, world_size: 2, ..fixture.options() });
    assert!(whole.iter().zip(&second).all(|(whole, second)| whole.indices[4..] == second.indices));
}

#[test]
fn broken_samples_leave_a_gap_in_evaluation() {
    let fixture = Fixture::new();
    break_picture(&fixture.demo(), 2);
    let training = fixture.options();
    let options = LoaderOptions::evaluation(5, training.preprocess, training.tokenizer, 20);
    let batches = fixture.batches(options);
    assert_eq!(batches[0].indices, [0, 1, 3, 4]);
    assert_eq!((batches[0].images.len(), batches[0].texts.len()), (4 * 3 * 16 * 16, 4 * 20));
    assert_eq!(batches[0].skipped[0].index, 2);
    assert_eq!(batches[1].indices, [5, 6, 7, 8, 9]);
}

#[test]
fn a_broken_dataset_is_an_error_and_then_the_end() {
    let fixture = Fixture::new();
    (0..SAMPLES).for_each(|index| break_picture(&fixture.demo(), index));
    let mut loader = Loader::new(fixture.dataset(), fixture.options()).unwrap();
    let error = loader.next().unwrap().unwrap_err();
    assert!(matches!(error, LoadError::TooManySkipped { count: 33, .. }), "{error}");
    assert!(error.to_string().contains("train/000"), "{error}");
    assert!(loader.next().is_none());
}

#[test]
fn unfit_options_are_refused() {
    let fixture = Fixture::new();
    let refused = |options| Loader::new(fixture.dataset(), options).err().unwrap();
    let options = || fixture.options();
    assert!(matches!(refused(LoaderOptions { batch_size: 51, ..options() }), LoadError::TooFew { .. }));
    assert!(matches!(refused(LoaderOptions { batch_size: 0, ..options() }), LoadError::Uneven { .. }));
    assert!(matches!(refused(LoaderOptions { world_size: 3, ..options() }), LoadError::Uneven { .. }));
    assert!(matches!(refused(LoaderOptions { rank: 1, ..options() }), LoadError::Rank { .. }));
}

#[test]
fn memory_is_used_again_and_an_unfinished_loader_ends() {
    let fixture = Fixture::new();
    let mut loader =
        Loader::new(fixture.dataset(), LoaderOptions { epochs: None, workers: 2, ..fixture.options() })
            .unwrap();
    assert_eq!(loader.batches_per_epoch(), 6);
    for _ in 0..100 {
        let batch = loader.next().unwrap().unwrap();
        loader.recycle(batch);
    }
    assert!(loader.waited() > Duration::ZERO);
    drop(loader);
}

/// The same pictures in every format: what to open, of each.
fn every_format(folder: &Path) -> Vec<PathBuf> {
    use base64::Engine as _;
    use std::fmt::Write as _;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (mut json, mut lines, mut table, mut part) =
        (Vec::new(), String::new(), String::from("filepath\ttitle\n"), String::new());
    let mut shard = tar::Builder::new(Vec::new());
    for number in 0..13u8 {
        let mut bytes = Vec::new();
        let pixels: Vec<u8> = (0..24 * 20 * 3u32).map(|at| (at as u8).wrapping_mul(number * 3 + 1)).collect();
        image::ImageEncoder::write_image(
            image::codecs::png::PngEncoder::new(&mut bytes),
            &pixels,
            24,
            20,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
        let (name, caption) = (format!("{number:02}.png"), format!("picture {number}"));
        write(&format!("files/{name}"), &bytes);
        write(&format!("sidecar/{name}"), &bytes);
        write(&format!("sidecar/{number:02}.txt"), format!("{caption}\nthe other caption").as_bytes());
        write(&format!("classes/c{}/{name}", number % 3), &bytes);
        // Two captions, so that a picture has several entries.
        for caption in [&caption, "again"] {
            json.push(serde_json::json!({"image": name, "caption": caption}));
            let _ = writeln!(lines, "{}", json.last().unwrap());
            let _ = writeln!(table, "{name}\t{caption}");
        }
        let picture = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let _ = writeln!(part, "0\t1\t{}\t3\t4\t{picture}", serde_json::json!({"caption_en": caption}));
        for (end, bytes) in [("png", &bytes[..]), ("txt", caption.as_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            shard.append_data(&mut header, format!("{number:02}.{end}"), bytes).unwrap();
        }
    }
    write("laion/part-0", part.as_bytes());
    vec![
        write("files/a.json", &serde_json::to_vec(&json).unwrap()),
        write("files/a.jsonl", lines.as_bytes()),
        write("files/a.tsv", table.as_bytes()),
        write("laion/laion.filelist", b"part-0\n"),
        write("shards/0.tar", &shard.into_inner().unwrap()),
        folder.join("sidecar"),
        folder.join("classes"),
    ]
}

#[test]
fn every_format_goes_on_exactly_where_it_stopped() {
    use proptest::prelude::*;
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let read = ReadOptions { cache: Some(folder.path().join("cache")), ..ReadOptions::default() };
    let open = |path: &PathBuf| Arc::new(Dataset::open(path, Split::Train, &read).unwrap());
    let sets: Vec<Arc<Dataset>> = every_format(folder.path()).iter().map(open).collect();
    let formats: std::collections::HashSet<_> = sets.iter().map(|set| set.format().name()).collect();
    assert_eq!(formats.len(), crate::reader::Format::ALL.len());
    let options = fixture.options();
    let cases = ProptestConfig { cases: 60, ..ProptestConfig::default() };
    let numbers = (0..sets.len(), 1usize..4, 1usize..3, any::<u64>(), 0usize..40, 0usize..3, any::<bool>());
    proptest!(cases, |((set, share, ranks, seed, stop, workers, drop_last) in numbers)| {
        let options = |start, rank| LoaderOptions {
            batch_size: share * ranks, world_size: ranks, rank, seed, start, workers, drop_last, ..options.clone()
        };
        let batches = |start, rank| -> Vec<Batch> {
            Loader::new(sets[set].clone(), options(start, rank)).unwrap().map(Result::unwrap).collect()
        };
        let whole: Vec<Vec<Batch>> = (0..ranks).map(|rank| batches(Position::default(), rank)).collect();
        let stop = stop % whole[0].len();
        for (rank, own) in whole.iter().enumerate() {
            assert_same(&own[stop + 1..], &batches(own[stop].next, rank));
        }
        for at in 0..whole[0].len() {
            // Each rank reads its own share, and no picture stands twice in a batch of so many.
            let samples: Vec<usize> = whole.iter().flat_map(|rank| rank[at].indices.clone()).collect();
            let pictures: std::collections::HashSet<_> =
                samples.iter().map(|sample| sets[set].image_number(*sample)).collect();
            prop_assert_eq!(pictures.len(), samples.len());
        }
    });
}
