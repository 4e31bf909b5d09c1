//! Every format through the one door, and what is hostile in them.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use proptest::prelude::*;

use super::*;
use crate::Dataset;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn options(&self) -> ReadOptions {
        ReadOptions { cache: Some(self.at("cache")), ..ReadOptions::default() }
    }

    fn open(&self, name: &str) -> Result<Dataset, ReadError> {
        Dataset::open(&self.at(name), Split::Train, &self.options())
    }
}

/// Picture name and captions of every sample.
fn told(dataset: &Dataset) -> Vec<String> {
    let samples = (0..dataset.len()).map(|index| dataset.sample(index).unwrap());
    samples.map(|sample| format!("{} {}", sample.image.name, sample.captions.join("|"))).collect()
}

fn problems(dataset: &Dataset) -> Vec<String> {
    dataset.broken().iter().map(|b| format!("{}:{} {}", b.origin.line, b.origin.entry, b.problem)).collect()
}

fn karpathy(text: &str) -> Result<Dataset, ReadError> {
    let folder = Folder::new();
    folder.write("a.json", text);
    folder.open("a.json")
}

/// Line, column and text of the error.
fn error(text: &str) -> (usize, usize, String) {
    match karpathy(text).unwrap_err() {
        ReadError::Annotation { line, column, problem, .. } => (line, column, problem),
        other => panic!("{other}"),
    }
}

#[test]
fn karpathy_has_two_forms() {
    let dataset = karpathy(
        "[{\"caption\": \"one\", \"image\": \"val2014/a.jpg\", \"image_id\": \"coco_1\"},\n \
          {\"image\": \"b.jpg\", \"caption\": [\"two\", \"thr\\u00e9e\"], \"image_id\": 7, \"scene\": {\"x\": [1]}},\
          {\"image\": \"c.jpg\", \"caption\": [], \"image_id\": null}]",
    )
    .unwrap();
    assert_eq!(told(&dataset), ["val2014/a.jpg one", "b.jpg two|thrée", "c.jpg "]);
    assert_eq!([dataset.id(0), dataset.id(1), dataset.id(2)], [Some("coco_1"), Some("7"), None]);
    let origins: Vec<_> = (0..3).map(|at| dataset.origin(at).unwrap()).collect();
    assert_eq!(origins.iter().map(|o| (o.line, o.entry)).collect::<Vec<_>>(), [(1, 0), (2, 1), (2, 2)]);
    assert_eq!((origins[0].offset, dataset.format()), (1, Format::Karpathy));
    assert_eq!(karpathy("\u{feff}[{\"image\":\"a\",\"caption\":\"b\"}]").unwrap().len(), 1);
}

#[test]
fn wrong_fields_are_passed_over_and_named() {
    let good = "{\"image\":\"a\",\"caption\":\"b\"}";
    let dataset = karpathy(&format!(
        "[{good},\n{{\"image\": 5, \"caption\": \"x\"}}, {{\"image\": \"a\"}}, 7, {{\"caption\": \"c\"}}, {good}]"
    ))
    .unwrap();
    assert_eq!((dataset.len(), dataset.broken_count()), (2, 4));
    assert_eq!(dataset.origin(1).unwrap().entry, 5);
    let problems = problems(&dataset);
    assert!(problems[0].starts_with("2:1 expected a string, found '5'"), "{problems:?}");
    assert!(problems[1].contains("entry 2 has no \"caption\""), "{problems:?}");
    assert!(problems[2].contains("entry 3: expected an object"), "{problems:?}");
    assert!(problems[3].contains("entry 4 has no \"image\""), "{problems:?}");
    let all = karpathy("[7, 8]").unwrap_err().to_string();
    assert!(all.contains("2 broken entries") && all.contains("entry 0"), "{all}");
    let many = format!("[{}{good}]", "7,".repeat(200));
    assert!(matches!(karpathy(&many), Err(ReadError::TooManyBroken { count: 101, entry: 100, .. })));
}

#[test]
fn wrong_syntax_is_named_with_its_place() {
    let (line, column, problem) =
        error("[{\"image\":\"a\",\"caption\":\"b\"},\n{'image': 'a', 'caption': 'b'}]");
    assert_eq!((line, column), (2, 2));
    assert!(problem.contains("single quotes"), "{problem}");
    assert!(error("[{\"image\": \"a\", \"caption\": \"b\"}").2.contains("the file ends"));
    assert!(error("[{\"image\":\"a\",\"caption\":\"b\"}] x").2.contains("trailing"));
    assert!(error(&"[".repeat(100_000)).2.contains("nested deeper"));
    assert!(matches!(karpathy("[]"), Err(ReadError::Empty(_))));
}

#[test]
fn files_and_folders_are_found() {
    let folder = Folder::new();
    let file = folder.write("annotations/coco_karpathy_val.json", "[]");
    let find = |path: &Path, split| super::find(path, split, &ReadOptions::default());
    assert_eq!(find(folder.0.path(), Split::Val).unwrap().path(), file);
    assert_eq!(find(&folder.at("annotations"), Split::Val).unwrap().path(), file);
    assert_eq!(find(&file, Split::Train).unwrap().path(), file);
    let error = find(folder.0.path(), Split::Train).err().unwrap().to_string();
    assert!(error.contains("annotations/coco_karpathy_train.json"), "{error}");
    let error = find(&folder.at("no"), Split::Train).err().unwrap().to_string();
    assert!(error.contains("no such file"), "{error}");
}

#[test]
fn json_lines() {
    let folder = Folder::new();
    let long = "x".repeat(65 << 20);
    let text = format!(
        "{{\"image\":\"a.png\",\"caption\":\"one\"}}\n\n{{\"file_name\":\"b.png\",\"text\":[\"two\",\"three\"]}}\r\nnonsense\n{long}\n{{\"image\":\"c.png\",\"caption\":\"\"}}"
    );
    folder.write("train.jsonl", &text);
    let dataset = folder.open("").unwrap();
    assert_eq!(told(&dataset), ["a.png one", "b.png two|three", "c.png "]);
    let problems = problems(&dataset);
    assert!(
        problems[0].starts_with("4:2 column 1:") && problems[1].starts_with("5:3 a line of more"),
        "{problems:?}"
    );
    let last = dataset.origin(2).unwrap();
    assert_eq!((last.line, &text[last.offset as usize..][..9]), (6, "{\"image\":"));
    // Another ending and chosen fields.
    folder.write("b.json", "{\"p\":\"x\",\"t\":\"y\"}\n");
    let options =
        ReadOptions { image_key: Some("p".into()), caption_key: Some("t".into()), ..folder.options() };
    assert_eq!(told(&Dataset::open(&folder.at("b.json"), Split::Train, &options).unwrap()), ["x y"]);
}

#[test]
fn tables() {
    let folder = Folder::new();
    let text = "filepath\ttitle\tmore\na.png\t\"one, \"\"two\"\"\nthree\"\t1\n\na.png\tfour\t2\nb.png\n\tx\t3\nc.png\t\"open\t4";
    folder.write("a.csv", text);
    let dataset = folder.open("a.csv").unwrap();
    assert_eq!(told(&dataset), ["a.png one, \"two\"\nthree", "a.png four"]);
    assert_eq!((dataset.images(), dataset.origin(1).unwrap().line), (1, 5));
    let problems = problems(&dataset);
    assert!(
        problems[0].contains("has 1 columns") && problems[1].contains("names no picture"),
        "{problems:?}"
    );
    assert!(problems[2].contains("not closed"), "{problems:?}");
    folder.write("b.csv", "id;p;t\n1;x;y\n");
    let options = ReadOptions { separator: Some(b';'), image_key: Some("p".into()), ..folder.options() };
    let error = Dataset::open(&folder.at("b.csv"), Split::Train, &options).unwrap_err().to_string();
    assert!(error.contains("csv_caption_key") && error.contains("'t'"), "{error}");
    let options = ReadOptions { caption_key: Some("t".into()), ..options };
    assert_eq!(told(&Dataset::open(&folder.at("b.csv"), Split::Train, &options).unwrap()), ["x y"]);
    folder.write("c.csv", "filepath,title\na.png,\"b, c\"\n");
    assert_eq!(told(&folder.open("c.csv").unwrap()), ["a.png b, c"]);
}

fn laion_line(caption: &[u8], picture: &[u8]) -> Vec<u8> {
    let base64 = base64::engine::general_purpose::STANDARD.encode(picture);
    [b"0\t1\t", caption, b"\t3\t4\t", base64.as_bytes(), b"\t6\n"].concat()
}

#[test]
fn laion_parts() {
    let folder = Folder::new();
    let gb18030 = encoding_rs::GB18030.encode("{\"caption_en\":\"caf\u{e9} 中\"}").0.into_owned();
    let mut part = laion_line(b"{\"caption_en\":\"one\",\"blip_caption_en\":\"no\"}", b"picture 1");
    part.extend(laion_line(b"{\"blip_caption_en\":\"two\"}", b"picture 22"));
    part.extend(b"too\tfew\n");
    part.extend(laion_line(&gb18030, b"picture 333"));
    folder.write("list/data/part-0", &part);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&laion_line(b"{}", b"picture 4")).unwrap();
    folder.write("list/data/part-1.gz", gz.finish().unwrap());
    folder.write("list/laion.filelist", "data/part-0\n\ndata/part-1.gz\n");
    for _ in 0..2 {
        // The second time from the index.
        let dataset = folder.open("list/laion.filelist").unwrap();
        let captions: Vec<_> = (0..4).map(|at| dataset.captions(at).next().unwrap().to_owned()).collect();
        assert_eq!(captions, ["one", "two", "café 中", ""]);
        let pictures: Vec<_> = (0..4).map(|at| dataset.image(at).unwrap().read().unwrap()).collect();
        assert_eq!(pictures, [&b"picture 1"[..], b"picture 22", b"picture 333", b"picture 4"]);
        assert_eq!((dataset.broken_count(), dataset.files().len()), (1, 2));
        assert!(dataset.broken()[0].problem.contains("has 2 columns"));
        assert_eq!(dataset.origin(2).unwrap().line, 4);
    }
    // A part that changes while it is read is told apart.
    let dataset = folder.open("list/laion.filelist").unwrap();
    folder.write("list/data/part-0", &part[1..]);
    assert!(dataset.image(0).unwrap().read().unwrap_err().to_string().contains("changed"));
    folder.write("list/laion.filelist", "data/part-7\n");
    assert!(folder.open("list/laion.filelist").unwrap_err().to_string().contains("no part 'data/part-7'"));
}

fn shard(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn tar_shards() {
    let folder = Folder::new();
    let long = format!("{}/key.png", "d".repeat(150));
    let long_text = long.replace(".png", ".txt");
    folder.write(
        "s/0.tar",
        shard(&[
            ("a/1.jpg", b"J1"),
            ("a/1.txt", b" one \n"),
            ("a/1.json", b"{}"),
            ("2.txt", b"two"),
            ("2.cls", b"5"),
            (&long, b"LONG"),
            (&long_text, b"long"),
            ("3.webp", b"W"),
            ("3.txt", b"three"),
        ]),
    );
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&shard(&[("4.JPEG", b"J4"), ("4.txt", b"four")])).unwrap();
    folder.write("s/1.tar.gz", gz.finish().unwrap());
    folder.write("s/sizes.json", "{}");
    let check = |dataset: Dataset| {
        let captions: Vec<_> = (0..4).map(|at| dataset.captions(at).next().unwrap().to_owned()).collect();
        assert_eq!(captions, ["one", "long", "three", "four"]);
        let pictures: Vec<_> = (0..4).map(|at| dataset.image(at).unwrap().read().unwrap()).collect();
        assert_eq!(pictures, [&b"J1"[..], b"LONG", b"W", b"J4"]);
        assert_eq!(problems(&dataset), ["0:1 '2' has no picture"]);
        assert_eq!(dataset.format(), Format::Webdataset);
    };
    check(folder.open("s").unwrap());
    let joined = format!("{}::{}", folder.at("s/{0..0}.tar").display(), folder.at("s/1.tar.gz").display());
    check(Dataset::open(Path::new(&joined), Split::Train, &folder.options()).unwrap());
    let names = webdataset::expand("a-{08..10}.tar::{b,c}-{0..1}").unwrap();
    let names: Vec<_> = names.iter().map(|n| n.to_str().unwrap()).collect();
    assert_eq!(names, ["a-08.tar", "a-09.tar", "a-10.tar", "b-0", "b-1", "c-0", "c-1"]);
    for bad in ["{0..99999999999}", "{3..1}", "a{0..9", "{0..999999}{0..999999}", "{x..y}"] {
        assert!(webdataset::expand(bad).is_err(), "{bad}");
    }
    // A shard that was cut gives what is whole, and says so.
    let whole = std::fs::read(folder.at("s/0.tar")).unwrap();
    folder.write("cut.tar", &whole[..whole.len() - 2570]);
    let cut = folder.open("cut.tar").unwrap();
    assert!(cut.len() >= 2 && problems(&cut).last().unwrap().contains("shard"), "{:?}", problems(&cut));
}

#[test]
fn folders_of_pictures() {
    let folder = Folder::new();
    folder.write("side/a.jpg", "A");
    folder.write("side/a.txt", "one\n\n two \n");
    folder.write("side/deep/b.PNG", "B");
    folder.write("side/deep/b.txt", "three");
    folder.write("side/c.webp", "C");
    std::os::unix::fs::symlink(folder.at("side"), folder.at("side/deep/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.at("side/dead.jpg")).unwrap();
    let dataset = folder.open("side").unwrap();
    assert_eq!(told(&dataset), ["a.jpg one|two", "deep/b.PNG three"]);
    assert!(problems(&dataset)[0].contains("c.webp: c.txt"), "{:?}", problems(&dataset));
    folder.write("classes/train/red_ring/1.jpg", "");
    folder.write("classes/train/blue_star/2.jpg", "");
    folder.write("classes/train/blue_star/notes.md", "");
    let dataset = folder.open("classes").unwrap();
    assert_eq!(
        told(&dataset),
        ["blue_star/2.jpg a photo of a blue star.", "red_ring/1.jpg a photo of a red ring."]
    );
    folder.write("classes/labels.txt", "sky\nsun\n");
    folder.write("classes/templates.txt", "the {}\n");
    assert_eq!(told(&folder.open("classes").unwrap()), ["blue_star/2.jpg the sky", "red_ring/1.jpg the sun"]);
    assert_eq!(dataset.format(), Format::Classes);
    folder.write("none/x.md", "");
    assert!(matches!(folder.open("none"), Err(ReadError::NotADataset { .. })));
}

/// A sample of each format for the mutations below.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let json =
        b"[{\"image\":\"a\",\"caption\":\"b\"},{\"image\":\"c\",\"caption\":[\"d\",\"\\u00e9\"]}]".to_vec();
    vec![
        ("a.json", json),
        ("a.jsonl", b"{\"image\":\"a\",\"caption\":\"b\"}\n{\"image\":\"c\",\"caption\":[\"d\"]}\n".to_vec()),
        ("a.csv", b"filepath,title\na,\"b\n\"\"c\"\"\"\nd,e\n".to_vec()),
        ("part", laion_line(b"{\"caption_en\":\"one\"}", b"picture 1")),
        ("a.tar", shard(&[("1.jpg", b"J"), ("1.txt", b"one"), ("2.png", b"P"), ("2.txt", b"two")])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is done to a file, it is read or refused: no panic, no picture outside of the file.
    #[test]
    fn damaged_files_are_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12)
    ) {
        let folder = Folder::new();
        folder.write("a.filelist", "part\n");
        for (name, mut bytes) in seeds() {
            for (at, byte, kind) in &edits {
                let at = at.index(bytes.len().max(1)).min(bytes.len());
                match kind {
                    0 if at < bytes.len() => bytes[at] = *byte,
                    1 => bytes.insert(at, *byte),
                    2 => bytes.truncate(at),
                    _ if at < bytes.len() => { bytes.remove(at); }
                    _ => {}
                }
            }
            folder.write(name, &bytes);
            let open = if name == "part" { "a.filelist" } else { name };
            if let Ok(dataset) = folder.open(open) {
                for index in 0..dataset.len() {
                    let _ = dataset.sample(index).unwrap().image.read();
                }
            }
        }
    }
}
