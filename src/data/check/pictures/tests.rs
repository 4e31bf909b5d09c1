use super::look::Look;
use super::spot::{Header, Spot};
use super::*;
use crate::check::Thresholds;

/// A PNG of `width` x `height` whose grey values are `of(x, y)`.
fn png(width: u32, height: u32, of: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    use image::ImageEncoder as _;
    let grey: Vec<u8> = (0..width * height).map(|at| of(at % width, at / width)).collect();
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&grey, width, height, image::ExtendedColorType::L8)
        .unwrap();
    bytes
}

fn kind(bytes: &[u8]) -> Option<&'static str> {
    Look::at(bytes).judge(&Thresholds::default()).map(|(kind, _)| kind.name())
}

fn headers(name: &str, bytes: &[u8]) -> Vec<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let header: Header = Spot::File(path.clone()).header();
    header.judge(&path, &Thresholds::default()).into_iter().map(|(kind, _)| kind.name()).collect()
}

#[test]
fn what_pictures_show_is_judged() {
    let checks = |x: u32, y: u32| if (x / 8 + y / 8).is_multiple_of(2) { 40 } else { 210 };
    assert_eq!(kind(&png(64, 64, checks)), None);
    // The same without an edge: a smooth wave.
    let wave = |x: u32, y: u32| (125.0 + 85.0 * (f64::from(x + y) / 20.0).sin()) as u8;
    assert_eq!(kind(&png(128, 128, wave)), Some("blurred"));
    assert_eq!(kind(&png(64, 64, |_, _| 7)), Some("blank"));
    assert_eq!(kind(&png(64, 64, |x, y| checks(x, y) / 20)), Some("dark"));
    assert_eq!(kind(&png(64, 64, |x, y| 245 + checks(x, y) / 30)), Some("bright"));
    // A night sky with a lamp is dark, and shows something.
    assert_eq!(kind(&png(64, 64, |x, y| if x < 12 && y < 40 { 220 } else { 3 })), None);
    let whole = png(64, 64, checks);
    assert_eq!(kind(&whole[..whole.len() - 20]), Some("truncated_picture"));
}

#[test]
fn headers_are_judged() {
    let plain = |width, height| png(width, height, |x, y| (x * 7 + y) as u8);
    assert_eq!(headers("a.png", &plain(64, 64)), [""; 0]);
    assert_eq!(headers("a", &plain(64, 64)), [""; 0]);
    assert_eq!(headers("a.jpg", &plain(64, 64)), ["format_mismatch"]);
    assert_eq!(headers("a.png", &plain(400, 20)), ["aspect_outlier"]);
    assert_eq!(headers("a.png", &plain(20, 8)), ["size_outlier"]);
    assert_eq!(headers("a.png", b""), ["corrupt_picture"]);
    assert_eq!(headers("a.jpg", b"\xff\xd8\xff"), ["corrupt_picture"]);
    // A JPEG's size stands behind its other segments.
    let jpeg = |width: u16, height: u16| {
        let mut bytes = b"\xff\xd8\xff\xe1\x00\x08Exif\0\0\xff\xc0\x00\x11\x08".to_vec();
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend([0; 20]);
        bytes
    };
    assert_eq!(headers("a.jpg", &jpeg(640, 480)), [""; 0]);
    assert_eq!(headers("a.jpg", &jpeg(60_000, 60_000)), ["too_large"]);
    assert_eq!(headers("a.jpg", &jpeg(2000, 100)), ["aspect_outlier"]);
}

#[test]
fn no_bytes_make_it_panic() {
    use rand::RngExt as _;
    let mut rng = crate::random::stream(1, crate::random::Purpose::Demo, 1, 1);
    let starts: [&[u8]; 7] =
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"GIF89a", b"BM", b"II*\0"];
    for round in 0..700 {
        let mut bytes = starts[round % starts.len()].to_vec();
        bytes.extend((0..rng.random_range(0..200)).map(|_| rng.random_range(0..=255u8)));
        headers("x.png", &bytes);
        kind(&bytes);
    }
}

#[test]
fn near_pairs_are_few_and_close() {
    let hashes: Vec<(usize, u64)> =
        (0..40).map(|index| (index, 0b1011)).chain([(40, !0), (41, 0b1111)]).collect();
    let all = similar::pairs(&hashes, 6, |_, _| true);
    assert!(
        all.contains(&(0, 1)) && all.contains(&(0, 41)) && !all.iter().any(|(a, b)| *a == 40 || *b == 40)
    );
    assert_eq!(similar::pairs(&hashes, 6, |a, b| (a, b) == (3, 41)), [(3, 41)]);
    assert_eq!(similar::pairs(&hashes, 0, |a, _| a == 0).last(), Some(&(0, 39)));
}
