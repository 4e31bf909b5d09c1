//! CLIP's byte-pair encoding: 49,408 ids, equal to open_clip's.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, OnceLock, RwLock};

use flate2::read::GzDecoder;
use regex::Regex;
use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Vocab};

use super::TokenizerError;
use super::words::AsciiWords;

const MERGES_GZ: &[u8] = include_bytes!("../../../assets/tokenizer/bpe_simple_vocab_16e6.txt.gz");
/// Ids of CLIP's vocabulary.
const IDS: usize = 49_408;
pub(super) const START: &str = "<start_of_text>";
pub(super) const END: &str = "<end_of_text>";
/// What a word is: a special, an ending, letters, one digit, or other signs. As Python's `regex` has it without regard to
/// case, U+0345 (which folds to a letter) is nothing, and U+0558 is a letter. Scripts newer than this program's Unicode
/// (16) are signs here.
pub(super) const WORDS: &str = r"(?i:<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}\x{558}]+|\p{N}|[^\s\p{L}\p{N}\x{345}\x{558}]+";

/// Words whose ids are remembered, and how long (in bytes) such a word may be.
const KNOWN: usize = 1 << 16;
const KNOWN_LENGTH: usize = 64;

/// CLIP's encoder and decoder.
pub(super) struct Clip {
    bpe: BPE,
    words: Regex,
    /// Words met before, with their ids.
    known: RwLock<HashMap<Box<str>, Box<[u32]>>>,
    /// The character that stands for each byte.
    byte_chars: [char; 256],
    /// The text of each id, as bytes; the end of a word is `</w>`.
    pieces: Vec<Vec<u8>>,
}

impl Clip {
    /// The one instance, made when first asked for (some 50 ms).
    pub(super) fn shared() -> Result<Arc<Self>, TokenizerError> {
        static SHARED: OnceLock<Result<Arc<Clip>, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::load().map(Arc::new).map_err(|error| error.to_string()))
            .clone()
            .map_err(TokenizerError::Vocabulary)
    }

    fn load() -> tokenizers::Result<Self> {
        let mut text = String::new();
        GzDecoder::new(MERGES_GZ).read_to_string(&mut text)?;
        let byte_chars = byte_chars();
        // Printable bytes come first, in their own order; that is the order of the ids.
        let mut letters: Vec<(u8, char)> = (0..=255u8).zip(byte_chars).collect();
        letters.sort_by_key(|(byte, c)| (*c as u32 >= 256, *byte));
        let mut tokens: Vec<String> = letters.iter().map(|(_, c)| c.to_string()).collect();
        tokens.extend(letters.iter().map(|(_, c)| format!("{c}</w>")));
        let count = IDS - tokens.len() - 2;
        let mut merges = Vec::with_capacity(count);
        for line in text.lines().skip(1).take(count) {
            let (left, right) = line.split_once(' ').ok_or("a merge is not two parts")?;
            tokens.push(format!("{left}{right}"));
            merges.push((left.to_string(), right.to_string()));
        }
        tokens.push(START.into());
        tokens.push(END.into());
        let mut chars_to_bytes = vec![0u8; 512];
        for (byte, c) in (0..=255u8).zip(byte_chars) {
            chars_to_bytes[c as usize] = byte;
        }
        let to_byte = |c: char| chars_to_bytes.get(c as usize).copied().unwrap_or(b'?');
        let pieces = tokens.iter().map(|token| token.chars().map(to_byte).collect()).collect();
        let vocabulary: Vocab = tokens.into_iter().zip(0u32..).collect();
        let bpe =
            BPE::builder().vocab_and_merges(vocabulary, merges).end_of_word_suffix("</w>".into()).build()?;
        Ok(Self { bpe, words: Regex::new(WORDS)?, known: RwLock::default(), byte_chars, pieces })
    }

    /// The ids of cleaned text, without start and end.
    pub(super) fn encode(&self, cleaned: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::with_capacity(cleaned.len() / 4 + 4);
        if cleaned.is_ascii() {
            for word in AsciiWords::new(cleaned) {
                self.encode_word(word, &mut ids)?;
            }
        } else {
            for word in self.words.find_iter(cleaned) {
                self.encode_word(word.as_str(), &mut ids)?;
            }
        }
        Ok(ids)
    }

    fn encode_word(&self, word: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        match word {
            START => ids.push(self.start()),
            END => ids.push(self.end()),
            word => {
                if let Ok(known) = self.known.read()
                    && let Some(word) = known.get(word)
                {
                    ids.extend_from_slice(word);
                    return Ok(());
                }
                let spelled: String = word.bytes().map(|byte| self.byte_chars[usize::from(byte)]).collect();
                let tokens = self.bpe.tokenize(&spelled).map_err(TokenizerError::encode)?;
                let from = ids.len();
                ids.extend(tokens.iter().map(|token| token.id));
                if word.len() <= KNOWN_LENGTH
                    && let Ok(mut known) = self.known.write()
                    && known.len() < KNOWN
                {
                    known.insert(word.into(), ids[from..].into());
                }
            }
        }
        Ok(())
    }

    /// The text of `ids`; damaged UTF-8 becomes U+FFFD and ids outside the vocabulary nothing.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let pieces = ids.iter().filter_map(|id| self.pieces.get(*id as usize));
        let bytes: Vec<u8> = pieces.flatten().copied().collect();
        String::from_utf8_lossy(&bytes).replace("</w>", " ")
    }

    pub(super) fn size(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn start(&self) -> u32 {
        IDS as u32 - 2
    }

    pub(super) fn end(&self) -> u32 {
        IDS as u32 - 1
    }
}

/// A printable character for every byte: its own where it has one, else one from U+0100 on.
fn byte_chars() -> [char; 256] {
    let mut next = 0x100u32;
    std::array::from_fn(|byte| {
        let own = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        if own {
            return char::from(byte as u8);
        }
        next += 1;
        char::from_u32(next - 1).unwrap_or('?')
    })
}
