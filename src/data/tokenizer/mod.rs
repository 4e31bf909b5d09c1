//! Text to ids and back: CLIP's vocabulary, or the `tokenizer.json` of a model.

mod clean;
mod clip;
mod entities;
mod fix;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use clean::clean;
use clip::Clip;

/// The id of padding, in every vocabulary.
pub const PAD: i64 = 0;

/// Why a tokenizer could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// CLIP's vocabulary in this program is damaged.
    #[error("the built-in CLIP vocabulary cannot be read: {0}; build the program again")]
    Vocabulary(String),
    /// A tokenizer file cannot be read.
    #[error("{path}: not a tokenizer: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tokenizer file lacks a token that CoCa needs.
    #[error("{path}: has no token {names}; CoCa needs a start and an end of text")]
    MissingToken {
        /// The file.
        path: PathBuf,
        /// The names looked for.
        names: &'static str,
    },
    /// Padding must be id 0: the model masks by it.
    #[error("{path}: <pad> has id {id}, and CoCa needs it to be 0")]
    Padding {
        /// The file.
        path: PathBuf,
        /// The id that it has.
        id: u32,
    },
    /// A text cannot be encoded.
    #[error("cannot encode the text: {0}")]
    Encode(String),
    /// A text that nobody wrote, whose encoding would take all memory.
    #[error("a text of {0} bytes is not encoded: at most 4 MiB are")]
    TooLong(usize),
    /// There is no room for start and end.
    #[error("context length {0} is too short: a text needs at least its start and its end")]
    ContextLength(usize),
}

impl TokenizerError {
    fn encode(error: tokenizers::Error) -> Self {
        Self::Encode(error.to_string())
    }
}

/// The longest text that is encoded [bytes]: merging the parts of one word takes many times its size.
const MAX_TEXT: usize = 4 << 20;

#[derive(Clone)]
enum Vocabulary {
    Clip(Arc<Clip>),
    File { tokenizer: Arc<tokenizers::Tokenizer>, start: u32, end: u32, size: usize },
}

/// A tokenizer; clones share their vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} ids)", self.vocab_size())
    }
}

impl Tokenizer {
    /// CLIP's tokenizer; the first call builds it, later ones are free.
    ///
    /// # Errors
    /// When the vocabulary in the program is damaged.
    pub fn clip() -> Result<Self, TokenizerError> {
        Ok(Self { vocabulary: Vocabulary::Clip(Clip::shared()?) })
    }

    /// A tokenizer in the format of the `tokenizers` library (`tokenizer.json`).
    ///
    /// # Errors
    /// When the file cannot be read, lacks start or end of text, or has padding that is not id 0.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let fail = |reason: tokenizers::Error| TokenizerError::File {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let mut tokenizer = tokenizers::Tokenizer::from_file(path).map_err(fail)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(fail)?;
        let special = |names: [&str; 2], missing: &'static str| {
            names
                .into_iter()
                .find_map(|name| tokenizer.token_to_id(name))
                .ok_or_else(|| TokenizerError::MissingToken { path: path.to_path_buf(), names: missing })
        };
        let start = special(["<start_of_text>", "<|startoftext|>"], "<start_of_text> or <|startoftext|>")?;
        let end = special(["<end_of_text>", "<|endoftext|>"], "<end_of_text> or <|endoftext|>")?;
        if let Some(id) = tokenizer.token_to_id("<pad>").filter(|id| *id != 0) {
            return Err(TokenizerError::Padding { path: path.to_path_buf(), id });
        }
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let size = highest as usize + 1;
        Ok(Self { vocabulary: Vocabulary::File { tokenizer: Arc::new(tokenizer), start, end, size } })
    }

    /// The ids of `text` without start, end, padding or truncation.
    ///
    /// # Errors
    /// When the vocabulary cannot express the text, or it is longer than 4 MiB.
    pub fn encode_ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT {
            return Err(TokenizerError::TooLong(text.len()));
        }
        match &self.vocabulary {
            Vocabulary::Clip(clip) => clip.encode(&clean(text)),
            Vocabulary::File { tokenizer, .. } => {
                // A file without a normaliser of its own was trained on text cleaned as CLIP's.
                let cleaned = tokenizer.get_normalizer().is_none().then(|| clean(text));
                let text = cleaned.as_deref().unwrap_or(text);
                let encoding = tokenizer.encode_fast(text, false).map_err(TokenizerError::encode)?;
                Ok(encoding.get_ids().to_vec())
            }
        }
    }

    /// `text` as a row of `context_length` ids: start, text, end, padding.
    ///
    /// A longer text is cut, and its last id is the end.
    ///
    /// # Errors
    /// When the context is shorter than 2, or the vocabulary cannot express the text.
    pub fn encode(&self, text: &str, context_length: usize) -> Result<Vec<i64>, TokenizerError> {
        let mut row = vec![PAD; context_length];
        self.encode_into(text, &mut row)?;
        Ok(row)
    }

    /// As [`Self::encode`], into `row`, whose length is the context length. Gives back how many ids the whole
    /// text has, start and end included: more than the row is long when it was cut.
    ///
    /// # Errors
    /// When the row is shorter than 2, or the vocabulary cannot express the text.
    pub fn encode_into(&self, text: &str, row: &mut [i64]) -> Result<usize, TokenizerError> {
        let length = row.len();
        if length < 2 {
            return Err(TokenizerError::ContextLength(length));
        }
        let ids = self.encode_ids(text)?;
        let text_ids = ids.iter().map(|id| i64::from(*id));
        let whole = std::iter::once(self.sot()).chain(text_ids).chain([self.eot()]);
        row.fill(PAD);
        for (slot, id) in row.iter_mut().zip(whole) {
            *slot = id;
        }
        let count = ids.len() + 2;
        if count > length
            && let Some(last) = row.last_mut()
        {
            *last = self.eot();
        }
        Ok(count)
    }

    /// The text of `ids`: what comes before the first end of text, without start, trimmed.
    ///
    /// Without an end, trailing padding is dropped.
    pub fn decode(&self, ids: &[i64]) -> String {
        let told = match ids.iter().position(|id| *id == self.eot()) {
            Some(end) => &ids[..end],
            None => &ids[..ids.iter().rposition(|id| *id != PAD).map_or(0, |last| last + 1)],
        };
        let told: Vec<u32> =
            told.iter().filter(|id| **id != self.sot()).filter_map(|id| u32::try_from(*id).ok()).collect();
        let text = match &self.vocabulary {
            Vocabulary::Clip(clip) => clip.decode(&told),
            Vocabulary::File { tokenizer, .. } => tokenizer.decode(&told, true).unwrap_or_default(),
        };
        text.trim().to_string()
    }

    /// The id of the start of a text.
    pub fn sot(&self) -> i64 {
        match &self.vocabulary {
            Vocabulary::Clip(clip) => i64::from(clip.start()),
            Vocabulary::File { start, .. } => i64::from(*start),
        }
    }

    /// The id of the end of a text.
    pub fn eot(&self) -> i64 {
        match &self.vocabulary {
            Vocabulary::Clip(clip) => i64::from(clip.end()),
            Vocabulary::File { end, .. } => i64::from(*end),
        }
    }

    /// The id of padding: 0.
    pub fn pad(&self) -> i64 {
        PAD
    }

    /// How many ids there are: one more than the highest.
    pub fn vocab_size(&self) -> usize {
        match &self.vocabulary {
            Vocabulary::Clip(clip) => clip.size(),
            Vocabulary::File { size, .. } => *size,
        }
    }
}

#[cfg(test)]
mod tests;
