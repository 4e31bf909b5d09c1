//! One safetensors file that several processes fill at once, each its pieces.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::file::WeightsError;

/// Bytes of a float32.
const FLOAT: u64 = 4;

/// A file of float32 tensors whose places are known before anything is written: whoever knows names and shapes knows
/// where each number belongs.
#[derive(Debug)]
pub struct Pieces {
    path: PathBuf,
    file: File,
    /// Where each tensor begins in the file, and how many numbers it has.
    places: HashMap<String, (u64, u64)>,
}

impl Pieces {
    /// Makes the file, all numbers 0.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: &Path, tensors: &[(String, Vec<i64>)]) -> Result<(), WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let (header, length) = layout(tensors);
        let mut file = File::create(path).map_err(io)?;
        file.write_all(&header).map_err(io)?;
        file.set_len(header.len() as u64 + length).map_err(io)
    }

    /// Opens a file that [`Pieces::create`] made for the same tensors, to write.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path, tensors: &[(String, Vec<i64>)]) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let (header, _) = layout(tensors);
        let file = File::options().write(true).open(path).map_err(io)?;
        let mut places = HashMap::new();
        let mut at = header.len() as u64;
        for (name, shape) in tensors {
            places.insert(name.clone(), (at, numel(shape)));
            at += numel(shape) * FLOAT;
        }
        Ok(Self { path: path.to_owned(), file, places })
    }

    /// Writes numbers (float32, little endian) of a tensor from number `at` on.
    ///
    /// # Errors
    /// A tensor that is not in the file, numbers beyond its end, or the file system's.
    pub fn write(&self, name: &str, at: usize, numbers: &[u8]) -> Result<(), WeightsError> {
        let wrong = |reason: String| WeightsError::Write { path: self.path.clone(), reason };
        let (begin, length) =
            *self.places.get(name).ok_or_else(|| wrong(format!("tensor {name:?} has no place in it")))?;
        if (at as u64) * FLOAT + numbers.len() as u64 > length * FLOAT {
            return Err(wrong(format!(
                "tensor {name:?} has {length} numbers: no room for those from {at} on"
            )));
        }
        self.file
            .write_all_at(numbers, begin + at as u64 * FLOAT)
            .map_err(|source| WeightsError::Io { path: self.path.clone(), source })
    }

    /// Waits until all is on the disk.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&self) -> Result<(), WeightsError> {
        self.file.sync_all().map_err(|source| WeightsError::Io { path: self.path.clone(), source })
    }
}

fn numel(shape: &[i64]) -> u64 {
    shape.iter().map(|n| u64::try_from(*n).unwrap_or(0)).product()
}

/// The file's beginning, and how many bytes of numbers follow.
fn layout(tensors: &[(String, Vec<i64>)]) -> (Vec<u8>, u64) {
    let mut header = serde_json::Map::new();
    // What PyTorch's own readers of safetensors look for.
    header.insert("__metadata__".to_owned(), serde_json::json!({ "format": "pt" }));
    let mut at = 0;
    for (name, shape) in tensors {
        let end = at + numel(shape) * FLOAT;
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
        header.insert(name.clone(), entry);
        at = end;
    }
    let mut text = serde_json::Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    (bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WeightsFile;

    #[test]
    fn pieces_of_two_writers_are_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.safetensors");
        let tensors = vec![("b".to_owned(), vec![2, 3]), ("a".to_owned(), vec![]), ("e".to_owned(), vec![0])];
        Pieces::create(&path, &tensors).unwrap();
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let one = Pieces::open(&path, &tensors).unwrap();
        let two = Pieces::open(&path, &tensors).unwrap();
        two.write("b", 4, &bytes(&[5.0, 6.0])).unwrap();
        one.write("b", 0, &bytes(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        two.write("a", 0, &bytes(&[7.0])).unwrap();
        one.sync().unwrap();
        let file = WeightsFile::open(&path).unwrap();
        assert_eq!(file.floats("b").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(file.floats("a").unwrap(), [7.0]);
        assert_eq!(file.tensor("b").unwrap().shape, [2, 3]);
        assert!(one.write("b", 5, &bytes(&[1.0, 2.0])).is_err(), "beyond the end");
        assert!(one.write("c", 0, &[]).is_err());
    }
}
