//! The demo's own tokenizer: a BPE so small that every word of the captions is one token.

use std::path::Path;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, Tokenizer};

/// Trains the tokenizer on `captions` and writes it to `path`.
///
/// Id 0 is `<pad>`, 1 `<start_of_text>`, 2 `<end_of_text>`; then letters and merges up to whole words.
pub(super) fn train(captions: &[String], path: &Path) -> tokenizers::Result<()> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    // Words are marked at their beginning: with CLIP's suffix the trainer numbers letters in hash order, and
    // two runs would give two vocabularies.
    let words = Metaspace::new('▁', PrependScheme::Always, true);
    tokenizer.with_pre_tokenizer(Some(words.clone()));
    tokenizer.with_decoder(Some(words));
    let special = ["<pad>", "<start_of_text>", "<end_of_text>"].map(|word| AddedToken::from(word, true));
    let trainer = BpeTrainer::builder()
        // More than the few words of the language can ever need: training ends when no pair is left to merge.
        .vocab_size(4096)
        .min_frequency(1)
        .show_progress(false)
        .special_tokens(special.to_vec())
        .build();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), captions.iter().map(String::as_str))?;
    tokenizer.save(path, true)
}
