//! Every target on real files, on what fuzzing has found, and on real files with bytes changed, in a fixed order.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(root().join(folder)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(root().join(name)).unwrap()
}

/// A shard of two samples.
fn shard() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("{}/c.jpg", "folder".repeat(30));
    for (name, bytes) in [
        ("a.jpg", fixture("src/data/tests/fixtures/pictures/rows.jpg")),
        ("a.txt", b"a cat".to_vec()),
        (long.as_str(), b"\xff\xd8\xff".to_vec()),
        ("b.png", fixture("src/data/tests/fixtures/pictures/small.png")),
        ("b.txt", "zwei Hunde\n".into()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Good files to begin with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let torch = |names: &[&str]| {
        names.iter().map(|n| fixture(&format!("tests/fixtures/weights/torch/{n}"))).collect()
    };
    match target {
        "pickle" => {
            // The index of a real archive.
            let whole = fixture("tests/fixtures/weights/torch/nested.pt");
            let at = whole.windows(8).position(|w| w == b"data.pkl").unwrap();
            let begin = whole[at..].windows(2).position(|w| w == b"\x80\x02").unwrap() + at;
            let end = whole[begin..].windows(4).position(|w| w == b"PK\x07\x08" || w == b"PK\x03\x04").unwrap();
            vec![whole[begin..begin + end].to_vec(), b"\x80\x02}X\x01\0\0\0wctorch\nSize\n)Rs.".to_vec()]
        }
        "torch_zip" => torch(&["zip.pt", "strided.pt"]),
        "torch_legacy" => torch(&["legacy.pt", "nested_legacy.pt"]),
        "safetensors" => torch(&["model.safetensors", "bf16.safetensors"]),
        "pdparams" => ["bf16", "protocol2"].iter().map(|n| fixture(&format!("tests/fixtures/weights/paddle/{n}.pdparams"))).collect(),
        "config" => files("assets/model_configs"),
        "karpathy" => vec![
            br#"[{"image": "a.jpg", "caption": "A dog\u00e9 \"x\".", "image_id": 7}, {"caption": ["b", "c"], "image": "b/c.png", "x": {"y": [1e3, null, true]}}]"#.to_vec(),
            b"[{'image': 'a.jpg', 'caption': 'it\\'s', 'image_id': None}]".to_vec(),
        ],
        "jsonl" => vec![b"{\"image\": \"a.jpg\", \"caption\": \"x\"}\n\n{\"image\":\"b\",\"caption\":[\"y\"]}\r\n".to_vec()],
        "table" => vec![b"filepath\ttitle\na.jpg\tA dog\nb.jpg\t\"two\nlines \"\"q\"\"\"\n".to_vec(), b"image,caption\n\"a,b\",c\n".to_vec()],
        "laion" => vec![b"0\turl\t{\"caption_en\": \"a cat\"}\t3\t4\t/9j/4AAQ\n1\tu\t{\"blip_caption_en\": \"b\"}\t\t\taGVsbG8=\tx\n".to_vec()],
        "tar" => vec![shard()],
        "picture" => files("src/data/tests/fixtures/pictures").into_iter().filter(|f| f.len() < 40_000).collect(),
        other => panic!("{other} has no seeds"),
    }
}

/// Numbers that depend on nothing but the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        // The structure is mostly at both ends.
        let near = random.below(2048).min(bytes.len() - 1);
        let at = match random.below(3) {
            0 => near,
            1 => bytes.len() - 1 - near,
            _ => random.below(bytes.len()),
        };
        let end = (at + 1 + random.below(32)).min(bytes.len());
        match random.below(7) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
            5 => bytes[at..end].fill([0, 0xff, 0x7f, b'9'][random.below(4)]),
            _ => {
                let number = [0u32, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random.below(5)].to_le_bytes();
                let to = bytes.len().min(at + 4);
                bytes.splice(at..to, number);
            }
        }
    }
}

#[test]
fn every_target_comes_back() {
    for (name, target) in targets::ALL {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        let found = files(&format!("fuzz/targets/found/{name}"));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mutated = (0..120).map(|i| {
            let mut bytes = seeds[i % seeds.len()].clone();
            mutate(&mut bytes, &mut random);
            bytes
        });
        for bytes in seeds.iter().cloned().chain(found).chain(mutated).chain([Vec::new()]) {
            let began = Instant::now();
            target(&bytes);
            // Not how fast it is: that it doesn't hang.
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: {} bytes took too long", bytes.len());
        }
    }
}

/// What fuzzing starts from: `cargo test --release -p cocaptain-fuzz-targets -- --ignored` writes it to fuzz/seeds.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    for (name, _) in targets::ALL {
        let folder = root().join("fuzz/seeds").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (i, bytes) in seeds(name).iter().enumerate() {
            std::fs::write(folder.join(i.to_string()), bytes).unwrap();
        }
    }
}
