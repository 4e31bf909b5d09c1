//! What command line and screen share about datasets: their tokenizer, one entry in words.

pub mod entry;

use std::path::{Path, PathBuf};

/// The tokenizer that a dataset brings: tokenizer.json in its folder, or beside annotations/.
pub fn own_tokenizer(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let own = [folder.join("tokenizer.json"), folder.join("../tokenizer.json")];
    own.into_iter().find(|file| file.is_file())
}
