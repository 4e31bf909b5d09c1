//! How long captions are as token ids, by the first ones of a dataset: what a batch will cost hangs on it.

use std::path::Path;
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::reader::{Entry, ReadError, ReadOptions, Sink, Split, find};
use crate::sample::{Broken, Part};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Captions that are looked at.
const LOOKED_AT: usize = 4096;

/// Lengths of captions, the first and the last id included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// Of the longest.
    pub longest: u64,
    /// Mean.
    pub mean: f64,
}

impl Lengths {
    /// Of the first captions of a dataset that is open, cut to `context` ids.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn of(dataset: &Dataset, tokenizer: &Tokenizer, context: usize) -> Result<Self, TokenizerError> {
        let mut sum = Sum { tokenizer, context, lengths: Vec::new(), error: None };
        let all = (0..dataset.len()).flat_map(|index| dataset.captions(index));
        all.take(LOOKED_AT).for_each(|caption| sum.add(caption));
        sum.done()
    }

    /// The same of a dataset that is not open: no more of it is read.
    ///
    /// # Errors
    /// In words: there is no such dataset, or its beginning is none.
    pub fn at(
        data: &Path,
        options: &ReadOptions,
        tokenizer: &Tokenizer,
        context: usize,
    ) -> Result<Self, String> {
        let mut sum = Sum { tokenizer, context, lengths: Vec::new(), error: None };
        let reader = find(data, Split::Train, options).map_err(|e| e.to_string())?;
        match reader.read(&mut sum) {
            Ok(()) | Err(ReadError::Enough) => sum.done().map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        }
    }
}

struct Sum<'a> {
    tokenizer: &'a Tokenizer,
    context: usize,
    lengths: Vec<usize>,
    error: Option<TokenizerError>,
}

impl Sum<'_> {
    fn add(&mut self, caption: &str) {
        match self.tokenizer.encode_ids(caption) {
            Ok(ids) => self.lengths.push((ids.len() + 2).min(self.context)),
            Err(e) => self.error = Some(e),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn done(self) -> Result<Lengths, TokenizerError> {
        if let Some(e) = self.error {
            return Err(e);
        }
        let (n, sum) = (self.lengths.len(), self.lengths.iter().sum::<usize>());
        Ok(Lengths {
            longest: self.lengths.into_iter().max().unwrap_or(0) as u64,
            mean: sum as f64 / n.max(1) as f64,
        })
    }
}

impl Sink for Sum<'_> {
    fn file(&mut self, _path: &Path) -> u32 {
        0
    }

    fn part(&mut self, _part: Arc<Part>) -> u32 {
        0
    }

    fn entry(&mut self, entry: Entry<'_>) -> Result<(), ReadError> {
        for caption in entry.captions {
            self.add(caption);
            if self.lengths.len() >= LOOKED_AT {
                return Err(ReadError::Enough);
            }
        }
        Ok(())
    }

    fn broken(&mut self, _broken: Broken) -> Result<(), ReadError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_is_read_and_an_open_dataset_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let caption = |i: usize| if i == 7 { "a dog on a red mat" } else { "a cat" };
        let entries: Vec<String> =
            (0..9).map(|i| format!(r#"{{"image": "{i}.png", "caption": "{}"}}"#, caption(i))).collect();
        let file = folder.path().join("captions.json");
        std::fs::write(&file, format!("[{}]", entries.join(","))).unwrap();
        let (tokenizer, options) = (Tokenizer::clip().unwrap(), ReadOptions::default());
        let lengths = Lengths::at(&file, &options, &tokenizer, 77).unwrap();
        assert_eq!(lengths, Lengths { longest: 8, mean: (8.0 * 4.0 + 8.0) / 9.0 });
        let dataset = Dataset::open(&file, Split::Train, &options).unwrap();
        assert_eq!(Lengths::of(&dataset, &tokenizer, 77).unwrap(), lengths);
        assert_eq!(Lengths::at(&file, &options, &tokenizer, 5).unwrap().longest, 5);
        assert!(Lengths::at(&folder.path().join("none.json"), &options, &tokenizer, 77).is_err());

        // What follows the first thousands is not looked at: not even that it is no JSON.
        let many: Vec<String> = (0..LOOKED_AT).map(|_| entries[0].clone()).collect();
        std::fs::write(&file, format!("[{}, rubbish", many.join(","))).unwrap();
        assert_eq!(Lengths::at(&file, &options, &tokenizer, 77).unwrap().longest, 4);
    }
}
