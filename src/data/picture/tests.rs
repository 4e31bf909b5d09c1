//! Against pictures made by open_clip 3.3.0 and Pillow (tests/fixtures/make_pictures.py).

use super::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures").join(name)
}

fn load(name: &str) -> Picture {
    decode(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// The largest difference of a byte, and the mean difference.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let all = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (all.clone().max().unwrap(), all.map(f64::from).sum::<f64>() / a.len() as f64)
}

fn evaluated(name: &str, side: usize) -> (u8, f64) {
    let picture = load(name);
    let preprocess = Preprocess::new(side, CLIP_MEAN, CLIP_STD);
    let expected = load(&format!("{}.{side}.png", name.replace('.', "_")));
    difference(&preprocess.middle(&picture), expected.rgb())
}

#[test]
fn lossless_pictures_are_equal_to_pillows() {
    let names = ["wide.png", "tall.png", "small.png", "odd.png", "crop.png", "grey.png", "photo.webp"];
    for name in names.into_iter().chain(["clear.png", "clear16.png"]) {
        for side in [48, 64] {
            assert_eq!(evaluated(name, side).0, 0, "{name} at {side}");
        }
    }
}

#[test]
fn jpegs_are_equal_to_pillows() {
    for name in ["photo.jpg", "photo444.jpg", "rows.jpg", "drift.jpg"] {
        for side in [48, 64] {
            assert_eq!(evaluated(name, side).0, 0, "{name} at {side}");
        }
    }
}

/// Columns that are left out do not show, whatever the sampling and the shape.
#[test]
fn a_file_gives_what_the_whole_picture_does() {
    for name in ["photo.jpg", "photo444.jpg", "rows.jpg", "drift.jpg", "wide.png"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for side in [16, 48, 64, 100] {
            let preprocess = Preprocess::new(side, CLIP_MEAN, CLIP_STD);
            let picture = decode(&bytes).unwrap();
            assert!(
                *preprocess.middle(&picture) == preprocess.middle_of_file(&bytes).unwrap(),
                "{name} at {side}"
            );
        }
    }
}

/// Bytes changed at random: an answer or an error, never a panic.
#[test]
fn damaged_files_are_answered() {
    use crate::random::{Purpose, stream};
    use rand::RngExt;
    for name in ["photo.jpg", "photo444.jpg", "photo.webp", "odd.png"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for index in 0..150 {
            let mut rng = stream(3, Purpose::Augment, 0, index);
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..12) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(bytes.len() / 2..=bytes.len()));
            let preprocess = Preprocess::new(32, CLIP_MEAN, CLIP_STD);
            let part = preprocess.middle_of_file(&bytes).map_err(|e| e.to_string());
            let whole = decode(&bytes).map(|picture| preprocess.middle(&picture).into_owned());
            assert!(part == whole.map_err(|e| e.to_string()), "{name}, change {index}");
        }
    }
}

#[test]
fn crops_are_resized_as_pillow_does() {
    let picture = load("crop.png");
    let preprocess = Preprocess::new(48, CLIP_MEAN, CLIP_STD);
    for (left, top, width, height) in [(0, 0, 90, 70), (3, 5, 83, 61), (17, 0, 48, 48), (30, 20, 48, 30)] {
        let expected = load(&format!("crop.{left}_{top}_{width}_{height}.48.png"));
        let part = preprocess.part(&picture, Crop { left, top, width, height });
        assert_eq!(difference(&part, expected.rgb()).0, 0, "{left} {top} {width} {height}");
    }
}

#[test]
fn numbers_are_normalised_planes() {
    let expected: BTreeMap<usize, f32> =
        serde_json::from_slice(&std::fs::read(fixture("numbers.json")).unwrap()).unwrap();
    let preprocess = Preprocess::new(48, CLIP_MEAN, CLIP_STD);
    let mut out = vec![0.0; preprocess.numbers()];
    preprocess.evaluate(&load("wide.png"), &mut out);
    assert!(expected.len() > 50);
    for (at, number) in expected {
        assert!((out[at] - number).abs() < 1e-6, "{at}: {} is not {number}", out[at]);
    }
}

#[test]
fn a_picture_of_the_right_size_is_not_touched() {
    let picture = load("crop.17_0_48_48.48.png");
    let preprocess = Preprocess::new(48, CLIP_MEAN, CLIP_STD);
    assert!(matches!(preprocess.middle(&picture), std::borrow::Cow::Borrowed(_)));
}

#[test]
fn augmentation_is_repeatable_and_keeps_to_its_bounds() {
    use crate::random::{Purpose, stream};
    let picture = load("wide.png");
    let options = CropOptions::default();
    let area = (picture.width() * picture.height()) as f64;
    let mut distinct = std::collections::HashSet::new();
    for index in 0..500 {
        let crop = Crop::draw(
            (picture.width(), picture.height()),
            &options,
            &mut stream(1, Purpose::Augment, 0, index),
        );
        let again = Crop::draw(
            (picture.width(), picture.height()),
            &options,
            &mut stream(1, Purpose::Augment, 0, index),
        );
        assert_eq!(crop, again);
        assert!(crop.left + crop.width <= picture.width() && crop.top + crop.height <= picture.height());
        let ratio = crop.width as f64 / crop.height as f64;
        assert!((0.74..=1.35).contains(&ratio), "{crop:?}");
        // This picture is wider than 4:3: what fits is the fallback in its middle or a crop of the right share.
        assert!((crop.width * crop.height) as f64 <= area);
        distinct.insert((crop.left, crop.top, crop.width, crop.height));
    }
    // Nine tenths of so wide a picture never fit the ratios: always the middle.
    assert_eq!(distinct.len(), 1);
    let shares: Vec<f64> = (0..500)
        .map(|index| {
            let crop = Crop::draw((48, 48), &options, &mut stream(1, Purpose::Augment, 0, index));
            (crop.width * crop.height) as f64 / (48.0 * 48.0)
        })
        .collect();
    assert!(shares.iter().all(|share| (0.87..=1.0).contains(share)));
    let mean = shares.iter().sum::<f64>() / 500.0;
    assert!((0.91..0.97).contains(&mean), "{mean}");
}

#[test]
fn extreme_shapes_are_taken() {
    let line = Picture::new(3000, 1, vec![9; 9000]).unwrap();
    let preprocess = Preprocess::new(32, CLIP_MEAN, CLIP_STD);
    let mut out = vec![0.0; preprocess.numbers()];
    preprocess.evaluate(&line, &mut out);
    assert!(out.iter().all(|number| number.is_finite()));
    assert_eq!(preprocess.middle(&line)[0], 9);
    assert!(Picture::new(0, 4, vec![]).is_none());
    assert!(Picture::new(2, 2, vec![0; 11]).is_none());
}
