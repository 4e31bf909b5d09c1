//! The newest encoded pictures.

use std::path::PathBuf;
use std::time::SystemTime;

use ratatui::layout::Size;

use super::Content;

/// Most pictures kept: an encoded one may take a few megabytes.
const KEEP: usize = 24;

/// What makes an encoded picture the same: the file and its state, and the size of the area.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub path: PathBuf,
    pub modified: Option<SystemTime>,
    pub length: u64,
    pub size: Size,
    /// Which of several pictures in the file, and how it is seen.
    pub part: String,
}

/// Keeps those used last, the newest at the end. Few enough to look through.
#[derive(Default)]
pub struct Cache {
    kept: Vec<(Key, Content)>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kept.iter().map(|(key, _)| key)).finish()
    }
}

impl Cache {
    /// A kept picture, which is the newest then.
    pub fn get(&mut self, key: &Key) -> Option<Content> {
        let at = self.kept.iter().position(|(k, _)| k == key)?;
        let entry = self.kept.remove(at);
        let content = entry.1.clone();
        self.kept.push(entry);
        Some(content)
    }

    /// Keeps a picture; the one not used for longest goes.
    pub fn put(&mut self, key: Key, content: Content) {
        self.kept.retain(|(k, _)| *k != key);
        if self.kept.len() >= KEEP {
            self.kept.remove(0);
        }
        self.kept.push((key, content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> Key {
        Key {
            path: PathBuf::from(i.to_string()),
            modified: None,
            length: 0,
            size: Size::new(2, 2),
            part: String::new(),
        }
    }

    #[test]
    fn the_least_used_goes() {
        let mut cache = Cache::default();
        for i in 0..KEEP {
            cache.put(key(i), Content::failed(i));
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(KEEP), Content::failed("new"));
        assert!(
            cache.get(&key(0)).is_some() && cache.get(&key(1)).is_none() && cache.get(&key(KEEP)).is_some()
        );
        assert!(cache.get(&Key { length: 1, ..key(0) }).is_none());
    }
}
