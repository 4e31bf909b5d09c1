//! Against a server on this machine: it cuts off, lies, changes its mind, has no room.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Sends what is asked for.
    Well,
    /// Ends after so many bytes.
    CutAfter(usize),
    /// Knows no ranges.
    NoRanges,
    /// Says 503.
    Busy,
    /// Says 404.
    Gone,
    /// Sends another piece than was asked for.
    WrongPiece,
}

struct Server {
    url: String,
    /// The ranges that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

/// Serves `file`; the n-th request gets the n-th of `does`, later ones the last.
fn serve(file: Vec<u8>, does: &[Does]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/coco.tar", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (does, log) = (does.to_vec(), asked.clone());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let does = *does.get(number).or(does.last()).unwrap();
            answer(stream.unwrap(), &file, does, &log);
        }
    });
    Server { url, asked }
}

fn answer(mut stream: TcpStream, file: &[u8], does: Does, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut range = String::new();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = value.trim().to_owned();
        }
    }
    log.lock().unwrap().push(range.clone());
    let from: Option<usize> =
        range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).and_then(|n| n.parse().ok());
    let total = file.len();
    let (head, body) = match (does, from) {
        (Does::Busy, _) => ("503 Busy\r\nContent-Length: 0".to_owned(), &[][..]),
        (Does::Gone, _) => ("404 Gone\r\nContent-Length: 0".to_owned(), &[][..]),
        (Does::NoRanges, _) | (_, None) => {
            (format!("200 OK\r\nETag: \"a\"\r\nContent-Length: {total}"), file)
        }
        (_, Some(from)) if from >= total => {
            (format!("416 No\r\nContent-Range: bytes */{total}\r\nContent-Length: 0"), &[][..])
        }
        (Does::WrongPiece, Some(_)) => (
            format!("206 Part\r\nContent-Range: bytes 0-{}/{total}\r\nContent-Length: {total}", total - 1),
            file,
        ),
        (_, Some(from)) => (
            format!(
                "206 Part\r\nETag: \"a\"\r\nContent-Range: bytes {from}-{}/{total}\r\nContent-Length: {}",
                total - 1,
                total - from
            ),
            &file[from..],
        ),
    };
    let body = if let Does::CutAfter(n) = does { &body[..n.min(body.len())] } else { body };
    let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(body);
}

const TRAIN: &str = r#"[{"image": "a.png", "caption": "a cat"}]"#;

/// A dataset like the real one, small: its archive's MD5 is not known beforehand.
const SMALL: Known = Known {
    name: "small",
    about: "",
    url: "",
    md5: "",
    folder: "coco",
    files: &[("annotations/t.json", "")],
};

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // As a hostile writer would: the library itself refuses such names.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn archive() -> Vec<u8> {
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    tar(&[("coco/annotations/t.json", TRAIN.as_bytes()), ("coco/images/a.png", &noise)])
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Case {
    dir: tempfile::TempDir,
    cancel: AtomicBool,
    free: u64,
}

impl Case {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), cancel: AtomicBool::new(false), free: 1 << 40 }
    }

    fn fetch(&self, url: &str, md5: &str) -> Result<PathBuf, FetchError> {
        let (free, seen) = (self.free, Mutex::new(Vec::new()));
        let options = Options {
            url: url.to_owned(),
            md5: md5.to_owned(),
            folder: self.dir.path().join("datasets"),
            keep_archive: false,
            free: &move |_| Ok(free),
            progress: &|phase, done, total| seen.lock().unwrap().push((phase, done, total)),
            cancel: &self.cancel,
        };
        let result = fetch(&SMALL, &options);
        if result.is_ok() {
            let seen = seen.into_inner().unwrap();
            assert!(
                seen.iter().any(|(phase, done, total)| *phase == Phase::Check && done == total),
                "{seen:?}"
            );
        }
        result
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("datasets")).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_cut_connection_is_gone_on_with() {
    let file = archive();
    let does = [Does::CutAfter(100_000), Does::Busy, Does::CutAfter(1000), Does::CutAfter(0), Does::Well];
    let (case, server) = (Case::new(), serve(file.clone(), &does));
    let place = case.fetch(&server.url, &md5(&file)).unwrap();
    assert_eq!(std::fs::read_to_string(place.join("annotations/t.json")).unwrap(), TRAIN);
    assert_eq!(std::fs::metadata(place.join("images/a.png")).unwrap().len(), 300_000);
    assert_eq!(case.names(), ["coco"], "the archive and what is temporary are gone");
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked, ["", "bytes=100000-", "bytes=100000-", "bytes=101000-", "bytes=101000-"]);
}

#[test]
fn the_next_call_goes_on_where_this_one_ended() {
    let file = archive();
    let case = Case::new();
    let server = serve(file.clone(), &[Does::CutAfter(5000), Does::CutAfter(0)]);
    let error = case.fetch(&server.url, &md5(&file)).unwrap_err();
    assert!(matches!(error, FetchError::Network { kept: 5000, .. }), "{error}");
    assert_eq!(case.names(), ["coco.tar.part"]);
    let server = serve(file.clone(), &[Does::Well]);
    case.fetch(&server.url, &md5(&file)).unwrap();
    assert_eq!(*server.asked.lock().unwrap(), ["bytes=5000-"]);
    // All of it had arrived, and it was stopped before it was unpacked.
    let case = Case::new();
    std::fs::create_dir(case.dir.path().join("datasets")).unwrap();
    std::fs::write(case.dir.path().join("datasets/coco.tar.part"), &file).unwrap();
    case.fetch(&serve(file.clone(), &[Does::Well]).url, &md5(&file)).unwrap();
    // A server without ranges begins anew, one that sends other pieces too.
    for does in [Does::NoRanges, Does::WrongPiece] {
        let case = Case::new();
        std::fs::create_dir(case.dir.path().join("datasets")).unwrap();
        std::fs::write(case.dir.path().join("datasets/coco.tar.part"), &file[..7000]).unwrap();
        case.fetch(&serve(file.clone(), &[does]).url, &md5(&file)).unwrap();
    }
}

#[test]
fn a_wrong_checksum_is_told_and_nothing_is_unpacked() {
    let file = archive();
    let case = Case::new();
    let error = case.fetch(&serve(file, &[Does::Well]).url, "00000000000000000000000000000000").unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
    assert_eq!(case.names(), Vec::<String>::new());
}

#[test]
fn no_room_is_told_before_anything_is_fetched() {
    let file = archive();
    let case = Case { free: (1 << 30) + file.len() as u64, ..Case::new() };
    let error = case.fetch(&serve(file.clone(), &[Does::Well]).url, &md5(&file)).unwrap_err();
    let FetchError::NoRoom { needed, free, .. } = error else { panic!("{error}") };
    assert_eq!((needed, free), ((1 << 30) + 2 * file.len() as u64, case.free));
    let part = case.dir.path().join("datasets/coco.tar.part");
    assert_eq!(std::fs::metadata(part).unwrap().len(), 0);
}

#[test]
fn refusals_and_what_is_in_the_way() {
    let case = Case::new();
    let error = case.fetch(&serve(archive(), &[Does::Gone]).url, "").unwrap_err();
    assert!(matches!(error, FetchError::Refused { status: 404, .. }), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(case.fetch(&closed, "").unwrap_err(), FetchError::Network { .. }));
    case.cancel.store(true, Ordering::Relaxed);
    assert!(matches!(case.fetch(&closed, "").unwrap_err(), FetchError::Cancelled));
    let case = Case::new();
    std::fs::create_dir_all(case.dir.path().join("datasets/coco/mine")).unwrap();
    assert!(matches!(case.fetch(&closed, "").unwrap_err(), FetchError::Occupied(_)));
    assert!(case.dir.path().join("datasets/coco/mine").is_dir());
    // Another process is at it.
    let case = Case::new();
    std::fs::create_dir(case.dir.path().join("datasets")).unwrap();
    let part = std::fs::File::create(case.dir.path().join("datasets/coco.tar.part")).unwrap();
    rustix::fs::flock(&part, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(matches!(case.fetch(&closed, "").unwrap_err(), FetchError::Busy(_)));
}

#[test]
fn archives_that_would_do_harm_are_refused() {
    let good = ("coco/annotations/t.json", TRAIN.as_bytes());
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    link.set_path("coco/images").unwrap();
    link.set_link_name("/tmp").unwrap();
    link.set_cksum();
    let mut linked = tar::Builder::new(Vec::new());
    linked.append(&link, &[][..]).unwrap();
    let mut sparse = tar::Header::new_gnu();
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 50);
    sparse.set_path("coco/bomb").unwrap();
    sparse.set_cksum();
    let mut bomb = tar::Builder::new(Vec::new());
    bomb.append(&sparse, &[][..]).unwrap();
    let cut = archive()[..200_000].to_vec();
    for (what, file) in [
        ("escape", tar(&[good, ("../outside", b"x")])),
        ("absolute", tar(&[good, ("/tmp/cocaptain-outside", b"x")])),
        ("deep escape", tar(&[good, ("coco/a/../../../outside", b"x")])),
        ("link", linked.into_inner().unwrap()),
        ("sparse", bomb.into_inner().unwrap()),
        ("cut", cut),
        ("no tar", vec![7; 4096]),
        ("another dataset", tar(&[("coco/readme", b"x")])),
        ("twice", tar(&[good, good])),
    ] {
        let case = Case::new();
        let error = case.fetch(&serve(file.clone(), &[Does::Well]).url, &md5(&file)).unwrap_err();
        assert!(matches!(error, FetchError::Archive(_) | FetchError::Io { .. }), "{what}: {error}");
        assert_eq!(case.names(), ["coco.tar.part"], "{what}");
        assert!(!case.dir.path().join("outside").exists() && !Path::new("/tmp/cocaptain-outside").exists());
    }
}
