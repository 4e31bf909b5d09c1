//! coco_karpathy JSON: an array of `{"caption", "image", "image_id"}`.
//!
//! In training files `caption` is one string and an image has several entries; in validation and test files it
//! is a list of strings. Both are read, and other fields are passed over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{ReadError, Reader};
use crate::sample::{ImageRef, Sample};

/// Reader of coco_karpathy annotations, and of custom ones in the same form.
#[derive(Debug)]
pub struct Karpathy {
    path: PathBuf,
    roots: Arc<[PathBuf]>,
}

impl Karpathy {
    /// A reader of `path`. Pictures are looked for in `image_root`, else in the file's folder, in its
    /// `images/` and in the `images/` beside it.
    pub fn new(path: &Path, image_root: Option<&Path>) -> Self {
        let folder = path.parent().unwrap_or(Path::new(""));
        let roots = match image_root {
            Some(root) => vec![root.to_path_buf()],
            None => vec![folder.to_path_buf(), folder.join("images"), folder.join("../images")],
        };
        Self { path: path.to_path_buf(), roots: roots.into() }
    }

    fn annotation(&self, bytes: &[u8], error: &serde_json::Error) -> ReadError {
        let (line, column) = (error.line(), error.column());
        // Its text ends in the place, which stands in front already.
        let text = error.to_string();
        let mut problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_string();
        let at = bytes.split(|byte| *byte == b'\n').nth(line.saturating_sub(1));
        let byte = at.and_then(|line| line.get(column.saturating_sub(1)));
        if error.is_syntax() && byte == Some(&b'\'') {
            problem.push_str("; this is a Python literal in single quotes, and JSON needs double ones");
        }
        ReadError::Annotation { path: self.path.clone(), line, column, problem }
    }
}

impl Reader for Karpathy {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, take: &mut dyn FnMut(Sample)) -> Result<(), ReadError> {
        let all =
            std::fs::read(&self.path).map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        // A byte order mark is no JSON, but editors write it.
        let bytes = all.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&all);
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let mut entries = 0;
        let result = json
            .deserialize_seq(Entries { roots: &self.roots, take, entries: &mut entries })
            .and_then(|()| json.end());
        result.map_err(|error| self.annotation(bytes, &error))?;
        if entries == 0 { Err(ReadError::Empty(self.path.clone())) } else { Ok(()) }
    }
}

/// Takes the entries of the array one by one, so that the file never stands in memory as a tree.
struct Entries<'a> {
    roots: &'a Arc<[PathBuf]>,
    take: &'a mut dyn FnMut(Sample),
    entries: &'a mut usize,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(sample) = seq.next_element_seed(Entry { roots: self.roots, number: *self.entries })? {
            *self.entries += 1;
            (self.take)(sample);
        }
        Ok(())
    }
}

/// One entry; its number (from 0) is for the errors.
struct Entry<'a> {
    roots: &'a Arc<[PathBuf]>,
    number: usize,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Sample;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Sample, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Sample;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {}: an object with \"image\" and \"caption\"", self.number)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sample, A::Error> {
        let (mut image, mut captions, mut id) = (None, None, None);
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Image => image = Some(map.next_value::<String>()?),
                Key::Caption => captions = Some(map.next_value::<OneOrMore>()?.0),
                Key::ImageId => id = map.next_value::<Id>()?.0,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing = |field: &str| A::Error::custom(format!("entry {} has no \"{field}\"", self.number));
        Ok(Sample {
            image: ImageRef { name: image.ok_or_else(|| missing("image"))?, roots: self.roots.clone() },
            captions: captions.ok_or_else(|| missing("caption"))?,
            id,
        })
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Image,
    Caption,
    ImageId,
    #[serde(other)]
    Other,
}

/// A string, or a list of strings.
struct OneOrMore(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Captions;
        impl<'de> Visitor<'de> for Captions {
            type Value = OneOrMore;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a caption (a string) or a list of captions")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![text.to_string()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMore, A::Error> {
                let mut captions = Vec::new();
                while let Some(caption) = seq.next_element::<String>()? {
                    captions.push(caption);
                }
                Ok(OneOrMore(captions))
            }
        }
        deserializer.deserialize_any(Captions)
    }
}

/// An id: a string or a whole number; null is none.
struct Id(Option<String>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnId;
        impl Visitor<'_> for AnId {
            type Value = Id;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id (a string or a whole number)")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id(Some(text.to_string())))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(Some(number.to_string())))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id(Some(number.to_string())))
            }
            fn visit_unit<E: Error>(self) -> Result<Id, E> {
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(AnId)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Split, find};
    use super::*;

    fn read(text: &str) -> Result<Vec<Sample>, ReadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        let mut samples = Vec::new();
        Karpathy::new(&path, None).read(&mut |sample| samples.push(sample))?;
        Ok(samples)
    }

    /// Line, column and text of the error.
    fn error(text: &str) -> (usize, usize, String) {
        match read(text).unwrap_err() {
            ReadError::Annotation { line, column, problem, .. } => (line, column, problem),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn both_forms_are_read() {
        let samples = read(
            r#"[{"caption": "one", "image": "val2014/a.jpg", "image_id": "coco_1"},
                {"image": "b.jpg", "caption": ["two", "three"], "image_id": 7, "scene": {"x": [1]}},
                {"image": "c.jpg", "caption": [], "image_id": null}]"#,
        )
        .unwrap();
        let told: Vec<_> =
            samples.iter().map(|s| (s.image.name.as_str(), s.captions.join("|"), s.id.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("val2014/a.jpg", "one".into(), Some("coco_1")),
                ("b.jpg", "two|three".into(), Some("7")),
                ("c.jpg", String::new(), None)
            ]
        );
        assert_eq!(read("\u{feff}[{\"image\":\"a\",\"caption\":\"b\"}]").unwrap().len(), 1);
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let (line, column, problem) = error("[{\"image\": \"a\", \"caption\": \"b\"},\n {\"image\": 5}]");
        assert_eq!((line, column), (2, 12));
        assert!(problem.contains("invalid type: integer `5`, expected a string"), "{problem}");
        let (line, _, problem) = error("[\n{\"image\": \"a\"}]");
        assert_eq!((line, problem.as_str()), (2, "entry 0 has no \"caption\""));
        let (.., problem) = error("[{\"caption\": \"a\"}]");
        assert_eq!(problem, "entry 0 has no \"image\"");
        let (line, column, problem) = error("[{'image': 'a', 'caption': 'b'}]");
        assert_eq!((line, column), (1, 3));
        assert!(problem.contains("single quotes"), "{problem}");
        assert!(error("[{\"image\": \"a\", \"caption\": \"b\"}").2.contains("EOF"));
        assert!(error("{\"image\": \"a\"}").2.contains("an array of entries"));
        assert!(error("[7]").2.contains("entry 0: an object"));
        assert!(error("[{\"image\":\"a\",\"caption\":\"b\"}] x").2.contains("trailing"));
        assert!(matches!(read("[]"), Err(ReadError::Empty(_))));
    }

    #[test]
    fn files_and_folders_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("annotations");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("coco_karpathy_val.json");
        std::fs::write(&file, "[]").unwrap();
        assert_eq!(find(dir.path(), Split::Val, None).unwrap().path(), file);
        assert_eq!(find(&folder, Split::Val, None).unwrap().path(), file);
        assert_eq!(find(&file, Split::Train, None).unwrap().path(), file);
        let error = find(dir.path(), Split::Train, None).err().unwrap().to_string();
        assert!(error.contains("annotations/coco_karpathy_train.json"), "{error}");
        let error = find(&dir.path().join("no"), Split::Train, None).err().unwrap().to_string();
        assert!(error.contains("no such file"), "{error}");
    }
}
