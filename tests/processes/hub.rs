//! `cocaptain models fetch` against a hub on this machine that speaks what hf-hub asks: a repository's files, their
//! sizes and ETags by a range of one byte, and the rest of a file from any byte on.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use crate::support::words;

const NAME: &str = "CoCa-ViT-B-32-laion2B-s13B-b90k";
const WEIGHTS: &str = "open_clip_model.safetensors";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the hub answers.
#[derive(Default)]
struct Ways {
    /// Bytes of the weights after which a download is cut off, one a download.
    cuts: VecDeque<usize>,
    /// Statuses of the next requests, instead of answers.
    statuses: VecDeque<u16>,
    /// The token that it wants.
    token: Option<&'static str>,
    /// The size that it tells of the weights.
    size: Option<u64>,
    /// It sends other bytes than it tells of.
    wrong: bool,
    /// It takes no notice of ranges when it sends.
    whole: bool,
    /// What was asked: path, first byte.
    asked: Vec<(String, Option<usize>)>,
}

struct Hub {
    address: String,
    ways: Arc<Mutex<Ways>>,
    weights: Vec<u8>,
}

impl Hub {
    fn new(ways: Ways) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let weights: Vec<u8> =
            (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let hub = Self { address, ways: Arc::new(Mutex::new(ways)), weights };
        let (ways, weights) = (hub.ways.clone(), hub.weights.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (ways, weights) = (ways.clone(), weights.clone());
                std::thread::spawn(move || drop(serve(stream, &ways, &weights)));
            }
        });
        hub
    }

    fn fetch(&self, home: &std::path::Path, token: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cocaptain"));
        command.args(["models", "fetch", NAME]).env("HF_HOME", home).env("HF_ENDPOINT", &self.address);
        command.env_remove("HF_TOKEN").env("NO_PROXY", "*").env("no_proxy", "*");
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        command.output().unwrap()
    }

    /// First bytes of the downloads of the weights, the question for its size left out.
    fn downloads(&self) -> Vec<usize> {
        let ways = self.ways.lock().unwrap();
        ways.asked.iter().filter(|(path, _)| path.ends_with(WEIGHTS)).filter_map(|(_, from)| *from).collect()
    }
}

fn serve(mut stream: TcpStream, ways: &Mutex<Ways>, weights: &[u8]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut token) = (None, None);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "range" => range = value.strip_prefix("bytes=").map(str::to_owned),
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    let mut ways = ways.lock().unwrap();
    let first = range.as_ref().and_then(|r| r.split('-').next()?.parse::<usize>().ok());
    let is_question = range.as_deref() == Some("bytes=0-0") || range.as_deref() == Some("0-0");
    ways.asked.push((path.clone(), first.filter(|_| !is_question)));
    let mut refuse = |status: u16| {
        write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    if let Some(status) = ways.statuses.pop_front() {
        return refuse(status);
    }
    if ways.token.is_some_and(|wanted| token.as_deref() != Some(wanted)) {
        return refuse(401);
    }
    if path == format!("/api/models/laion/{NAME}")
        || path.starts_with(&format!("/api/models/laion/{NAME}/revision/"))
    {
        let body = format!(
            r#"{{"siblings":[{{"rfilename":"README.md"}},{{"rfilename":"open_clip_config.json"}},{{"rfilename":"{WEIGHTS}"}}],"sha":"{COMMIT}"}}"#
        );
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let prefix = format!("/laion/{NAME}/resolve/main/");
    let is_weights = path == format!("{prefix}{WEIGHTS}");
    let bytes = match path.strip_prefix(&prefix) {
        Some("open_clip_config.json") => b"{\"model_cfg\": {}}".as_slice(),
        Some(file) if file == WEIGHTS => weights,
        _ => return refuse(404),
    };
    let etag = if is_weights { hex(&Sha256::digest(bytes)) } else { "5f1d9b".repeat(7)[..40].to_owned() };
    let told = ways.size.filter(|_| is_weights).unwrap_or(bytes.len() as u64);
    let from = first.filter(|_| !ways.whole || is_question).unwrap_or(0);
    if from >= bytes.len() {
        return refuse(416);
    }
    let end = if is_question { 1 } else { bytes.len() };
    let mut body = bytes[from..end].to_vec();
    if ways.wrong && is_weights && !is_question {
        body[0] ^= 1;
    }
    let status = if ways.whole && !is_question { "200 OK" } else { "206 Partial Content" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {from}-{}/{told}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        end - 1,
        body.len()
    )?;
    let cut = if is_weights && !is_question { ways.cuts.pop_front() } else { None };
    drop(ways);
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// What is in the cache after a fetch that succeeded.
fn holds(hub: &Hub, output: &Output) {
    assert!(output.status.success(), "{}", words(output));
    let folder = String::from_utf8(output.stdout.clone()).unwrap();
    let folder = std::path::Path::new(folder.trim());
    assert!(std::fs::read(folder.join(WEIGHTS)).unwrap() == hub.weights, "other bytes");
    assert!(folder.join("open_clip_config.json").exists());
    assert!(
        folder.ends_with(format!("hub/models--laion--{NAME}/snapshots/{COMMIT}")),
        "{}",
        folder.display()
    );
}

#[test]
fn a_known_model_is_fetched_once_and_listed() {
    let (hub, home) = (Hub::new(Ways::default()), home());
    let output = hub.fetch(home.path(), None);
    holds(&hub, &output);
    // Progress by tenths, since nobody watches.
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(progress.contains("100 %  2.9 of 2.9 MiB"), "{progress}");
    assert!(progress.lines().filter(|l| l.starts_with(WEIGHTS)).count() >= 3, "{progress}");
    let asked = hub.ways.lock().unwrap().asked.len();
    holds(&hub, &hub.fetch(home.path(), None));
    assert_eq!(hub.ways.lock().unwrap().asked.len(), asked, "what is here is not asked for");
    let list = Command::new(env!("CARGO_BIN_EXE_cocaptain"))
        .args(["models", "list", "--json"])
        .env("HF_HOME", home.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains(COMMIT), "{}", words(&list));
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let cuts = VecDeque::from([1_000_000, 500_000]);
    let (hub, home) = (Hub::new(Ways { cuts, ..Ways::default() }), home());
    holds(&hub, &hub.fetch(home.path(), None));
    assert_eq!(hub.downloads(), [0, 1_000_000, 1_500_000]);
}

#[test]
fn a_later_call_goes_on_too() {
    let cuts = VecDeque::from([700_000, 0, 0, 0]);
    let (hub, home) = (Hub::new(Ways { cuts, ..Ways::default() }), home());
    let output = hub.fetch(home.path(), None);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("the same command goes on from there"), "{}", words(&output));
    holds(&hub, &hub.fetch(home.path(), None));
    assert_eq!(hub.downloads(), [0, 700_000, 700_000, 700_000, 700_000]);
}

/// Killed between the last byte and the file's name.
#[test]
fn a_whole_left_over_is_taken() {
    let (hub, home) = (Hub::new(Ways::default()), home());
    let blobs = home.path().join(format!("hub/models--laion--{NAME}/blobs"));
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.part", hex(&Sha256::digest(&hub.weights))));
    std::fs::write(&part, &hub.weights).unwrap();
    holds(&hub, &hub.fetch(home.path(), None));
    assert_eq!(hub.downloads(), [2_999_999]);
}

#[test]
fn tokens_are_sent_and_asked_for() {
    let (hub, home) = (Hub::new(Ways { token: Some("hf_right"), ..Ways::default() }), home());
    for token in [None, Some("hf_wrong")] {
        let output = hub.fetch(home.path(), token);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains("HF_TOKEN"), "{}", words(&output));
        assert!(!words(&output).contains("hf_wrong"), "a token is no one's business");
    }
    holds(&hub, &hub.fetch(home.path(), Some("hf_right")));
    // The file that `hf auth login` writes does it too.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("token"), "hf_right\n").unwrap();
    holds(&hub, &hub.fetch(other.path(), None));
}

#[test]
fn what_fails_says_why() {
    let hub = Hub::new(Ways { statuses: VecDeque::from([404]), ..Ways::default() });
    let output = hub.fetch(home().path(), None);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("404") && words(&output).contains("HF_ENDPOINT"), "{}", words(&output));
    assert_eq!(hub.ways.lock().unwrap().asked.len(), 1, "a 404 is not asked for again");

    // A hub that is busy is asked again.
    let hub = Hub::new(Ways { statuses: VecDeque::from([503, 429]), ..Ways::default() });
    holds(&hub, &hub.fetch(home().path(), None));

    let (hub, home) = (Hub::new(Ways { size: Some(1 << 60), ..Ways::default() }), home());
    let output = hub.fetch(home.path(), None);
    assert!(words(&output).contains("1152921504606846976 bytes are needed and"), "{}", words(&output));
    assert_eq!(hub.downloads(), [0usize; 0]);

    // Nothing listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Hub { address: format!("http://{nobody}"), ways: hub.ways.clone(), weights: Vec::new() };
    let output = gone.fetch(home.path(), None);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains(&nobody.to_string()), "{}", words(&output));
}

#[test]
fn wrong_bytes_are_noticed_and_removed() {
    for ways in [
        Ways { wrong: true, ..Ways::default() },
        // Cut off, and then sent from the beginning again: too long a file.
        Ways { whole: true, cuts: VecDeque::from([1_000]), ..Ways::default() },
    ] {
        let (hub, home) = (Hub::new(ways), home());
        let output = hub.fetch(home.path(), None);
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        let told = words(&output);
        assert!(told.contains("it was removed, fetch it again"), "{told}");
        {
            let mut ways = hub.ways.lock().unwrap();
            (ways.wrong, ways.whole) = (false, false);
        }
        holds(&hub, &hub.fetch(home.path(), None));
    }
}
