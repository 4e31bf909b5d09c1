//! Where captions are kept: a text file beside each picture, or one annotation file in coco_karpathy form.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A place for captions.
#[derive(Debug)]
pub enum Keeper {
    /// `picture.txt` beside `picture.jpg`, a caption a line.
    Sidecars,
    /// One file for all.
    Annotations(Annotations),
}

impl Keeper {
    /// Whether a picture has its caption there already.
    pub fn has(&self, picture: &Path) -> bool {
        match self {
            Self::Sidecars => std::fs::metadata(sidecar(picture)).is_ok_and(|m| m.len() > 0),
            Self::Annotations(file) => file.at.contains_key(&file.name(picture)),
        }
    }

    /// Keeps the captions of a picture.
    ///
    /// # Errors
    /// Where it could not be written, and why.
    pub fn keep(&mut self, picture: &Path, captions: &[String]) -> Result<(), String> {
        match self {
            Self::Sidecars => {
                let path = sidecar(picture);
                let text = captions.iter().map(|c| c.replace('\n', " ") + "\n").collect::<String>();
                run::dir::replace_file(&path, text.as_bytes()).map_err(|e| format!("{}: {e}", path.display()))
            }
            Self::Annotations(file) => {
                file.put(picture, captions);
                file.write_if_due()
            }
        }
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// Where it could not be written, and why.
    pub fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Sidecars => Ok(()),
            Self::Annotations(file) => file.write(),
        }
    }
}

/// The text file of a picture.
pub fn sidecar(picture: &Path) -> PathBuf {
    picture.with_extension("txt")
}

/// Two pictures whose text file would be the same one, if there are any.
pub fn shared_sidecar(pictures: &[PathBuf]) -> Option<(&Path, &Path)> {
    let mut owners: HashMap<PathBuf, &Path> = HashMap::new();
    pictures.iter().find_map(|picture| Some((owners.insert(sidecar(picture), picture)?, picture.as_path())))
}

/// An annotation file is written whole each time: at the earliest so long after the last time, so that little is lost when the
/// process is killed, and so many times as long as that took, so that a large one costs little.
const WRITE_EVERY: Duration = Duration::from_secs(1);
const PAUSE: u32 = 20;

/// An annotation file: `[{"image", "caption", "image_id"}, …]`.
#[derive(Debug)]
pub struct Annotations {
    path: PathBuf,
    folder: PathBuf,
    entries: Vec<Value>,
    /// Where each picture's entry is.
    at: HashMap<String, usize>,
    unwritten: usize,
    /// When it is written next.
    due: Instant,
}

impl Annotations {
    /// Opens one to be extended; a file that is not there begins empty.
    ///
    /// # Errors
    /// A file that is no list of annotations: it is left as it is.
    pub fn open(path: &Path) -> Result<Self, String> {
        let absolute = std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let entries = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Vec<Value>>(&bytes).map_err(|e| {
                format!("{}: not a list of annotations ({e}): it was left as it is", path.display())
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        let name = |(i, entry): (usize, &Value)| Some((entry.get("image")?.as_str()?.to_owned(), i));
        let at = entries.iter().enumerate().filter_map(name).collect();
        Ok(Self { path: absolute, folder, entries, at, unwritten: 0, due: Instant::now() })
    }

    /// A picture's name in the file: from the file's folder where it lies below it, else whole.
    fn name(&self, picture: &Path) -> String {
        let whole = std::path::absolute(picture).unwrap_or_else(|_| picture.to_owned());
        let from_here = whole.strip_prefix(&self.folder).map(Path::to_owned);
        from_here.unwrap_or(whole).to_string_lossy().into_owned()
    }

    /// Replaces or adds a picture's entry: one caption is a string, several are a list, as in karpathy files.
    fn put(&mut self, picture: &Path, captions: &[String]) {
        let name = self.name(picture);
        let id = Path::new(&name).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let caption = if let [one] = captions { json!(one) } else { json!(captions) };
        let entry = json!({ "image": name, "caption": caption, "image_id": id });
        match self.at.get(&name).and_then(|at| self.entries.get_mut(*at)) {
            Some(old) => *old = entry,
            None => {
                self.at.insert(name, self.entries.len());
                self.entries.push(entry);
            }
        }
        self.unwritten += 1;
    }

    fn write_if_due(&mut self) -> Result<(), String> {
        if Instant::now() >= self.due { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), String> {
        if self.unwritten == 0 {
            return Ok(());
        }
        let start = Instant::now();
        let lines: Vec<String> = self.entries.iter().map(ToString::to_string).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        run::dir::replace_file(&self.path, text.as_bytes())
            .map_err(|e| format!("{}: {e}", self.path.display()))?;
        self.unwritten = 0;
        self.due = Instant::now() + WRITE_EVERY.max(start.elapsed() * PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_extended_and_read_as_a_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        std::fs::write(&path, r#"[{"image": "old.png", "caption": "kept", "more": 1}]"#).unwrap();
        let mut keeper = Keeper::Annotations(Annotations::open(&path).unwrap());
        let picture = dir.path().join("a/b.jpg");
        assert!(keeper.has(&dir.path().join("old.png")) && !keeper.has(&picture));
        keeper.keep(&picture, &["a \"cat\"".to_owned()]).unwrap();
        keeper.keep(&dir.path().join("c.jpg"), &["one".to_owned(), "two".to_owned()]).unwrap();
        keeper.finish().unwrap();
        let again = Annotations::open(&path).unwrap();
        assert!(Keeper::Annotations(again).has(&picture));
        let read = data::Dataset::open(&path, data::Split::Train, &data::ReadOptions::default()).unwrap();
        let all: Vec<_> = (0..read.len()).flat_map(|i| read.sample(i).unwrap().captions).collect();
        assert_eq!(all, ["kept", "a \"cat\"", "one", "two"]);
    }

    #[test]
    fn a_file_of_another_kind_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        std::fs::write(&path, "{}").unwrap();
        assert!(Annotations::open(&path).unwrap_err().contains("left as it is"));
    }

    #[test]
    fn a_kill_loses_little() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let mut keeper = Keeper::Annotations(Annotations::open(&path).unwrap());
        keeper.keep(&dir.path().join("a.jpg"), &["a cat".to_owned()]).unwrap();
        assert!(Keeper::Annotations(Annotations::open(&path).unwrap()).has(&dir.path().join("a.jpg")));
        // The next one soon after waits, and is written when time has passed.
        keeper.keep(&dir.path().join("b.jpg"), &["a dog".to_owned()]).unwrap();
        let Keeper::Annotations(file) = &mut keeper else { unreachable!() };
        assert_eq!(file.unwritten, 1);
        file.due = Instant::now();
        keeper.keep(&dir.path().join("c.jpg"), &["a bird".to_owned()]).unwrap();
        assert!(Keeper::Annotations(Annotations::open(&path).unwrap()).has(&dir.path().join("b.jpg")));
    }

    #[test]
    fn pictures_that_would_share_a_text_file_are_found() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(shared_sidecar(&paths(&["a.jpg", "b.jpg", "x/a.jpg"])), None);
        let two = paths(&["a.jpg", "b.jpg", "a.png"]);
        assert_eq!(shared_sidecar(&two), Some((Path::new("a.jpg"), Path::new("a.png"))));
    }

    #[test]
    fn sidecars() {
        let dir = tempfile::tempdir().unwrap();
        let picture = dir.path().join("a.jpg");
        let mut keeper = Keeper::Sidecars;
        assert!(!keeper.has(&picture));
        keeper.keep(&picture, &["a cat".to_owned()]).unwrap();
        assert!(keeper.has(&picture));
        assert_eq!(std::fs::read_to_string(dir.path().join("a.txt")).unwrap(), "a cat\n");
    }
}
