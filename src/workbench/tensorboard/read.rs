//! Reads an event file while it grows: whole records only, their checksums tested.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use prost::Message;

use super::event::{self, Event, What};
use super::record::masked_crc;

/// Bytes taken in by one [`Reader::poll`], but for a record that is longer.
const SLICE: u64 = 1 << 20;

/// The longest record that is read; a picture of a person's model is far shorter.
const LONGEST: u64 = 256 << 20;

/// What an event file says.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A value of a tag.
    Value {
        /// Its tag.
        tag: String,
        /// Its step.
        step: u64,
        /// When: seconds since the Unix epoch.
        time: f64,
        /// What it is.
        content: Content,
    },
    /// Values of this step and later ones, written before, are void.
    Restart {
        /// From this step on.
        step: u64,
    },
}

/// What a tag's value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A number.
    Scalar(f64),
    /// A text.
    Text(String),
    /// A PNG (or JPEG, GIF) file within the event file: it is read when somebody looks at it.
    Picture {
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
}

/// Whether a file is one by its name.
pub fn is_event_file(name: &str) -> bool {
    name.contains(".tfevents.")
}

/// Follows one event file.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// Where the next record begins.
    pub position: u64,
    /// Records whose bytes are not what their checksum says; they are passed over.
    pub damaged: u64,
    /// Where nothing more can be read: the length of a record is wrong, and so the place of all later ones unknown.
    pub broken: Option<u64>,
}

impl Reader {
    /// Follows the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), position: 0, damaged: 0, broken: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the next records say, at most about 1 MiB of them; `None` when there is nothing new for now.
    ///
    /// # Errors
    /// What the system said.
    pub fn poll(&mut self) -> io::Result<Option<Vec<Told>>> {
        if self.broken.is_some() {
            return Ok(None);
        }
        let mut file = File::open(&self.path)?;
        let left = file.metadata()?.len().saturating_sub(self.position);
        if left < 12 {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        (&mut file).take(SLICE).read_to_end(&mut bytes)?;
        if let Some((length, _)) = head(&bytes) {
            let whole = length.saturating_add(16);
            if whole > bytes.len() as u64 && head(&bytes).is_some_and(|(_, good)| good) && length <= LONGEST {
                if whole > left {
                    // Its end is not written yet.
                    return Ok(None);
                }
                let more = whole - bytes.len() as u64;
                file.take(more).read_to_end(&mut bytes)?;
            }
        }
        let mut told = Vec::new();
        let mut rest = &bytes[..];
        while let Some((length, good)) = head(rest) {
            if !good || length > LONGEST {
                self.broken = Some(self.position);
                break;
            }
            let Some((body, after)) = usize::try_from(length).ok().and_then(|n| {
                let body = rest.get(12..12usize.checked_add(n)?)?;
                let after = rest.get(12 + n..16usize.checked_add(n)?)?;
                Some((body, after))
            }) else {
                break;
            };
            if after == masked_crc(body).to_le_bytes() {
                match Event::decode(body) {
                    Ok(event) => tell(event, (body, self.position + 12), &mut told),
                    Err(_) => self.damaged += 1,
                }
            } else {
                self.damaged += 1;
            }
            self.position += length + 16;
            rest = rest.get(body.len() + 16..).unwrap_or_default();
        }
        let read_any = rest.len() < bytes.len();
        Ok(read_any.then_some(told))
    }
}

/// A record's length, and whether its checksum is right; none when it is not all there.
fn head(bytes: &[u8]) -> Option<(u64, bool)> {
    let length = bytes.first_chunk::<8>()?;
    let crc = bytes.get(8..12)?;
    Some((u64::from_le_bytes(*length), crc == masked_crc(length).to_le_bytes()))
}

/// `body` is the record that the event was read from, and where it stands in the file.
fn tell(event: Event, body: (&[u8], u64), told: &mut Vec<Told>) {
    let step = u64::try_from(event.step).unwrap_or(0);
    if event.is_restart() {
        told.push(Told::Restart { step });
        return;
    }
    let Some(What::Summary(summary)) = event.what else { return };
    for value in summary.value {
        let text = value.metadata.and_then(|m| m.plugin).is_some_and(|p| p.name == "text");
        let Some(content) = value.content.and_then(|c| content(c, text, body)) else { continue };
        told.push(Told::Value { tag: value.tag, step, time: event.wall_time, content });
    }
}

fn content(content: event::Content, text: bool, body: (&[u8], u64)) -> Option<Content> {
    match content {
        event::Content::Scalar(value) => Some(Content::Scalar(f64::from(value))),
        event::Content::Image(image) => picture(&image.encoded, body),
        event::Content::Tensor(tensor) => match (tensor.scalar(), text) {
            (Some(value), _) => Some(Content::Scalar(value)),
            (None, true) => {
                let lines: Vec<_> = tensor.strings.iter().map(|s| String::from_utf8_lossy(s)).collect();
                Some(Content::Text(lines.join("\n")))
            }
            // TensorFlow 2 keeps pictures as width, height, and the files.
            (None, false) => tensor.strings.get(2).and_then(|file| picture(file, body)),
        },
    }
}

fn picture(file: &[u8], (body, at): (&[u8], u64)) -> Option<Content> {
    if file.len() < 16 {
        return None;
    }
    let inside = body.windows(file.len()).position(|part| part == file)?;
    Some(Content::Picture { offset: at + inside as u64, length: file.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::super::event::Value;
    use super::super::record::framed;
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn scalar(step: i64, value: f64) -> Vec<u8> {
        let event = Event::summary(step as f64, step, vec![Value::scalar("train/loss", value)]);
        framed(&event.encode_to_vec())
    }

    fn all(reader: &mut Reader) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(more) = reader.poll().unwrap() {
            told.extend(more);
        }
        told
    }

    #[test]
    fn records_are_read_as_they_come_and_torn_ones_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.1.a");
        let mut file = File::create(&path).unwrap();
        let mut reader = Reader::new(&path);
        let (one, two) = (scalar(1, 0.5), scalar(2, 0.25));
        for cut in 0..one.len() {
            file.write_all(&one[cut..=cut]).unwrap();
            assert_eq!(reader.poll().unwrap().is_some(), cut + 1 == one.len(), "at {cut}");
        }
        file.write_all(&two).unwrap();
        let want =
            Told::Value { tag: "train/loss".into(), step: 2, time: 2.0, content: Content::Scalar(0.25) };
        assert_eq!(all(&mut reader), [want]);
        assert_eq!((reader.damaged, reader.broken), (0, None));
    }

    #[test]
    fn a_damaged_record_is_passed_over_a_damaged_length_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e");
        let mut bytes = [scalar(1, 1.0), scalar(2, 2.0), scalar(3, 3.0), scalar(4, 4.0)].concat();
        let each = bytes.len() / 4;
        bytes[each + 14] ^= 1;
        bytes[3 * each] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut reader = Reader::new(&path);
        let steps: Vec<_> = all(&mut reader)
            .iter()
            .map(|t| if let Told::Value { step, .. } = t { *step } else { 0 })
            .collect();
        assert_eq!((steps, reader.damaged, reader.broken), (vec![1, 3], 1, Some(3 * each as u64)));
    }

    #[test]
    fn long_records_and_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e");
        let text = Event::summary(1.0, 7, vec![Value::text("t/text", &"x".repeat(3 << 20))]);
        let mut bytes = framed(&text.encode_to_vec());
        (0..50_000).for_each(|i| bytes.extend(scalar(i, 0.0)));
        std::fs::write(&path, bytes).unwrap();
        let told = all(&mut Reader::new(&path));
        assert_eq!(told.len(), 50_001);
        assert!(
            matches!(&told[0], Told::Value { content: Content::Text(t), step: 7, .. } if t.len() == 3 << 20)
        );
    }

    proptest! {
        #[test]
        fn rubbish_is_told_never_crashed(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..200usize) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("e");
            let mut all_bytes = scalar(1, 1.0);
            all_bytes.truncate(all_bytes.len().saturating_sub(cut % 80));
            all_bytes.extend(framed(&bytes));
            all_bytes.extend(bytes);
            std::fs::write(&path, all_bytes).unwrap();
            all(&mut Reader::new(&path));
        }
    }
}
