//! Folders of pictures: with a `.txt` beside each, or one folder for each class.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::webdataset::PICTURES;
use super::{Entry, Format, ReadError, Reader, Sink, io_error};
use crate::sample::{Broken, Origin};

/// How deep folders are followed: links may go in circles.
const MAX_DEPTH: usize = 16;
/// The longest caption file.
const MAX_TEXT: u64 = 1 << 20;

/// Whether a file is a picture by its name.
pub(crate) fn is_picture(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    end.is_some_and(|end| PICTURES.contains(&end.as_str()))
}

/// What is met on a walk: a file, or a folder that cannot be read.
pub(super) type Met<'a> = Result<&'a Path, (&'a Path, std::io::Error)>;

/// Visits every file under `folder` in sorted order until `visit` says false. Links to folders above are not followed; a
/// folder within it that cannot be read is told, and passed over.
///
/// # Errors
/// When `folder` itself cannot be read.
pub(super) fn walk(folder: &Path, visit: &mut dyn FnMut(Met<'_>) -> bool) -> Result<(), ReadError> {
    step(folder, &mut Vec::new(), visit).map(drop).map_err(io_error(folder))
}

fn step(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    visit: &mut dyn FnMut(Met<'_>) -> bool,
) -> std::io::Result<bool> {
    let real = std::fs::canonicalize(folder)?;
    if above.contains(&real) || above.len() >= MAX_DEPTH {
        return Ok(true);
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            entries.push(path);
        }
    }
    entries.sort();
    above.push(real);
    let mut more = true;
    for path in entries {
        // Something that vanished meanwhile, or a dead link, is passed over.
        let Ok(about) = std::fs::metadata(&path) else { continue };
        more = if about.is_dir() {
            step(&path, above, visit).unwrap_or_else(|error| visit(Err((&path, error))))
        } else {
            !about.is_file() || visit(Ok(&path))
        };
        if !more {
            break;
        }
    }
    above.pop();
    Ok(more)
}

/// Reader of either kind.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    format: Format,
    labels: HashMap<String, String>,
    template: String,
}

impl Folder {
    /// Pictures with their captions beside them.
    pub fn sidecar(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            format: Format::Sidecar,
            labels: HashMap::new(),
            template: String::new(),
        }
    }

    /// Pictures in class folders under `path`; `set` may hold labels.txt (line i names the i-th sorted folder) and
    /// templates.txt (the first is taken; "a photo of a {}." when there is none).
    pub fn classes(path: &Path, set: &Path) -> Result<Self, ReadError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io_error(path))? {
            let entry = entry.map_err(io_error(path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        let lines = |file: &str| -> Vec<String> {
            let text = read_text(&set.join(file)).unwrap_or_default();
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let labels = lines("labels.txt");
        if !labels.is_empty() && labels.len() != names.len() {
            let problem =
                format!("names {} classes, and there are {} class folders", labels.len(), names.len());
            return Err(ReadError::Spec { what: set.join("labels.txt").display().to_string(), problem });
        }
        let called = |(at, name): (usize, String)| {
            let label = labels.get(at).cloned().unwrap_or_else(|| name.replace('_', " "));
            (name, label)
        };
        let template = lines("templates.txt").into_iter().find(|line| line.contains("{}"));
        Ok(Self {
            path: path.to_path_buf(),
            format: Format::Classes,
            labels: names.into_iter().enumerate().map(called).collect(),
            template: template.unwrap_or_else(|| "a photo of a {}.".to_owned()),
        })
    }

    fn captions(&self, file: &Path, name: &str) -> Result<Vec<Cow<'static, str>>, String> {
        if self.format == Format::Classes {
            let class = name.split('/').next().unwrap_or_default();
            let label = self.labels.get(class).ok_or("lies in no class folder")?;
            return Ok(vec![Cow::Owned(self.template.replace("{}", label))]);
        }
        let text = read_text(&file.with_extension("txt"))?;
        Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|l| Cow::Owned(l.to_owned()))
            .collect())
    }
}

/// A small text file.
fn read_text(path: &Path) -> Result<String, String> {
    let told = |problem: String| format!("{}: {problem}", path.file_name().unwrap_or_default().display());
    let about = std::fs::metadata(path).map_err(|error| told(error.to_string()))?;
    if !about.is_file() || about.len() > MAX_TEXT {
        return Err(told("no plain file of at most 1 MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| told(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| told("not UTF-8".to_owned()))
}

impl Reader for Folder {
    fn format(&self) -> Format {
        self.format
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn roots(&self) -> Arc<[PathBuf]> {
        Arc::new([self.path.clone()])
    }

    fn read(&self, sink: &mut dyn Sink) -> Result<(), ReadError> {
        let file = sink.file(&self.path);
        let (mut entry, mut failed) = (0u32, None);
        walk(&self.path, &mut |met| {
            let (path, closed) = match met {
                Ok(path) if !is_picture(path) => return true,
                Ok(path) => (path, None),
                Err((path, error)) => (path, Some(error)),
            };
            let origin = Origin { file, line: 0, entry, offset: 0 };
            entry = entry.saturating_add(1);
            let name = path.strip_prefix(&self.path).unwrap_or(path);
            let given = match name.to_str() {
                _ if closed.is_some() => {
                    let problem = closed.map_or_else(String::new, |error| error.to_string());
                    sink.broken(Broken { origin, problem: format!("folder {}: {problem}", name.display()) })
                }
                None => sink.broken(Broken { origin, problem: format!("{name:?} is no UTF-8 name") }),
                Some(name) => match self.captions(path, name) {
                    Ok(captions) => {
                        sink.entry(Entry { image: name, range: None, captions: &captions, id: None, origin })
                    }
                    Err(problem) => sink.broken(Broken { origin, problem: format!("{name}: {problem}") }),
                },
            };
            failed = given.err();
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error),
            None if entry == 0 => Err(ReadError::Empty(self.path.clone())),
            None => Ok(()),
        }
    }
}
