//! What leaves the readers: a picture's place, its captions, its id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a sample's picture is: a name as the annotations give it, and the folders that it may lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The name in the annotations, with `/` between folders.
    pub name: String,
    /// The folders to look in, the likeliest first.
    pub roots: Arc<[PathBuf]>,
}

impl ImageRef {
    /// The file: the first that exists, else where it should be.
    pub fn path(&self) -> PathBuf {
        let mut places = self.roots.iter().map(|root| root.join(&self.name));
        let first = places.next().unwrap_or_else(|| PathBuf::from(&self.name));
        if first.exists() {
            return first;
        }
        places.find(|place| place.exists()).unwrap_or(first)
    }

    /// The file's bytes, from the first folder that has it.
    ///
    /// # Errors
    /// When no folder has it (the error of the first one), or it cannot be read or is no plain file.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut missing = None;
        for root in self.roots.iter() {
            match read_plain_file(&root.join(&self.name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(missing.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

/// The largest picture file that is read.
const MAX_FILE: u64 = 1 << 30;

/// Reads a file that is really one: a pipe or a device would never end.
fn read_plain_file(path: &Path) -> io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    if about.len() > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 GiB"));
    }
    std::fs::read(path)
}

/// One entry of a dataset, whatever its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its picture.
    pub image: ImageRef,
    /// Its captions as written; none where a format has none.
    pub captions: Vec<String>,
    /// Its id, where the annotations give one.
    pub id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_in_the_first_folder_that_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let roots: Arc<[PathBuf]> = ["a", "b"].map(|name| dir.path().join(name)).into();
        for root in roots.iter() {
            std::fs::create_dir(root).unwrap();
        }
        let image = ImageRef { name: "x.png".into(), roots: roots.clone() };
        assert_eq!(image.path(), roots[0].join("x.png"));
        assert_eq!(image.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(roots[1].join("x.png"), "two").unwrap();
        assert_eq!(image.path(), roots[1].join("x.png"));
        assert_eq!(image.read().unwrap(), b"two");
        let folder = ImageRef { name: ".".into(), roots };
        assert_eq!(folder.read().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
