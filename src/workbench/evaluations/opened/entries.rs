//! What retrieval and captions leave of each picture and text: a line of JSON each.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The pictures of retrieval, below an evaluation's folder.
pub const IMAGES: &str = "images.jsonl";

/// The texts of retrieval.
pub const TEXTS: &str = "texts.jsonl";

/// The pictures that were captioned.
pub const PICTURES: &str = "pictures.jsonl";

/// A picture that looks for its texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Image {
    /// Where it is.
    #[serde(rename = "image")]
    pub path: PathBuf,
    /// The rank of its best text, from 1; none when it could not be read.
    pub rank: Option<u64>,
    /// Its own texts, by their place among all.
    #[serde(skip)]
    pub texts: Vec<usize>,
    /// The texts that stand first, with their cosines; empty where that was not kept.
    #[serde(default)]
    pub top: Vec<(usize, f32)>,
}

/// A text that looks for its picture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Its picture's place among all.
    pub image: usize,
    /// The rank of its picture, from 1; none when that could not be read.
    pub rank: Option<u64>,
    /// The pictures that stand first, with their cosines; empty where that was not kept.
    #[serde(default)]
    pub top: Vec<(usize, f32)>,
}

/// A picture that was captioned.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Captioned {
    /// Where it is.
    #[serde(rename = "image")]
    pub path: PathBuf,
    /// What the model wrote.
    pub caption: String,
    /// What people wrote.
    pub references: Vec<String>,
    /// CIDEr-D, 0..10.
    pub cider: f64,
    /// BLEU-4, 0..1.
    pub bleu4: f64,
    /// ROUGE-L, 0..1.
    pub rouge_l: f64,
}

/// The pictures and texts of retrieval. Results of older versions have none.
///
/// # Errors
/// A line that cannot be read.
pub(super) fn ranked(folder: &Path) -> Result<(Vec<Image>, Vec<Text>), String> {
    let mut images: Vec<Image> = lines(&folder.join(IMAGES))?;
    let texts: Vec<Text> = lines(&folder.join(TEXTS))?;
    for (at, text) in texts.iter().enumerate() {
        if let Some(image) = images.get_mut(text.image) {
            image.texts.push(at);
        }
    }
    Ok((images, texts))
}

/// The captioned pictures. Results of older versions have none.
///
/// # Errors
/// A line that cannot be read.
pub(super) fn captioned(folder: &Path) -> Result<Vec<Captioned>, String> {
    lines(&folder.join(PICTURES))
}

fn lines<T: DeserializeOwned>(file: &Path) -> Result<Vec<T>, String> {
    let fail = |what: String| format!("{}: {what}", file.display());
    let open = match std::fs::File::open(file) {
        Ok(open) => open,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail(e.to_string())),
    };
    let read = |(at, line): (usize, std::io::Result<String>)| {
        let line = line.map_err(|e| fail(e.to_string()))?;
        serde_json::from_str(&line).map_err(|e| fail(format!("line {}: {e}", at + 1)))
    };
    // A line's place is its number: none may be passed over.
    BufReader::new(open).lines().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_entries_and_texts_find_their_pictures() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ranked(dir.path()), Ok((vec![], vec![])), "an older result");
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put(
            IMAGES,
            "{\"image\":\"/d/a.jpg\",\"rank\":null}\n{\"image\":\"/d/b.jpg\",\"rank\":2,\"top\":[[0,0.5],[1,0.25]]}\n",
        );
        put(
            TEXTS,
            "{\"text\":\"one\",\"image\":1,\"rank\":1}\n{\"text\":\"two\",\"image\":1,\"rank\":7}\n{\"text\":\"lost\",\"image\":9,\"rank\":null}\n",
        );
        let (images, texts) = ranked(dir.path()).unwrap();
        assert_eq!((images[0].rank, images[0].texts.len()), (None, 0));
        assert_eq!((&images[1].texts[..], images[1].top[0]), (&[0, 1][..], (0, 0.5)));
        assert_eq!((texts.len(), texts[1].rank), (3, Some(7)));
        put(PICTURES, "rubbish\n");
        let error = captioned(dir.path()).unwrap_err();
        assert!(error.contains("pictures.jsonl: line 1"), "{error}");
        put(
            PICTURES,
            "{\"image\":\"/d/a.jpg\",\"caption\":\"a\",\"references\":[\"b\"],\"cider\":1.5,\"bleu4\":0,\"rouge_l\":0.5}\n",
        );
        assert!((captioned(dir.path()).unwrap()[0].cider - 1.5).abs() < 1e-9);
    }
}
