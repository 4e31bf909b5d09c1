//! Paths in JSON: as text where they are text, else as their bytes. File names are bytes on this system, and one that is no
//! UTF-8 is a file like any other.

use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes { bytes: std::borrow::Cow<'a, [u8]> },
}

impl<'a> Written<'a> {
    fn of(path: &'a Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.into()),
            None => Self::Bytes { bytes: path.as_os_str().as_bytes().into() },
        }
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Text(text) => PathBuf::from(text.into_owned()),
            Self::Bytes { bytes } => PathBuf::from(OsStr::from_bytes(&bytes)),
        }
    }
}

/// For a field that is a path: `#[serde(with = "crate::paths::one")]`.
pub mod one {
    use super::{Deserialize, Path, PathBuf, Serialize, Written};
    use serde::{Deserializer, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        Written::of(path).serialize(to)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Neither text nor bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Written::deserialize(from).map(Written::path)
    }
}

/// For a field of several paths: `#[serde(with = "crate::paths::several")]`.
pub mod several {
    use super::{Deserialize, PathBuf, Written};
    use serde::{Deserializer, Serializer};

    /// Writes them.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| Written::of(path)))
    }

    /// Reads them.
    ///
    /// # Errors
    /// No list, or one of something else.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Written>::deserialize(from)?.into_iter().map(Written::path).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "one")]
        path: PathBuf,
        #[serde(with = "several")]
        paths: Vec<PathBuf>,
    }

    #[test]
    fn text_stays_text_and_bytes_come_back() {
        let latin = PathBuf::from(OsStr::from_bytes(b"caf\xe9.png"));
        for both in [
            Both { path: "a b".into(), paths: vec!["\u{732b}".into(), "x\n".into()] },
            Both { path: latin.clone(), paths: vec![latin, "y".into()] },
        ] {
            let text = serde_json::to_string(&both).unwrap();
            assert_eq!(serde_json::from_str::<Both>(&text).unwrap(), both, "{text}");
        }
        let plain = Both { path: "a b".into(), paths: vec!["y".into()] };
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"path":"a b","paths":["y"]}"#);
        assert!(serde_json::from_str::<Both>(r#"{"path":1,"paths":[]}"#).is_err());
    }
}
