//! Captions that the model cannot read to their end.

use std::sync::OnceLock;

use super::finding::{Finding, Kind};
use super::notes::{Entry, Notes, unreadable};
use super::options::{Options, Tokens, Watch};
use super::rules::{Judged, Told};
use super::text;
use crate::json::{Holds, Span};
use crate::sample::MAX_CAPTION;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// What is known of captions' tokens, and by which tokenizer.
#[derive(Debug, Default)]
pub(super) struct Counted {
    judged: Judged,
    by: Option<(Tokens, usize)>,
}

impl Counted {
    /// For one check alone.
    pub fn forgetful() -> Self {
        Self { judged: Judged::forgetful(), by: None }
    }

    /// Findings on captions that are too long; how many entries were looked at anew.
    pub fn check(&mut self, notes: &Notes, options: &Options, watch: &Watch<'_>) -> (Vec<Finding>, usize) {
        if matches!(options.tokens, Tokens::Uncounted) {
            return (Vec::new(), 0);
        }
        let by = Some((options.tokens.clone(), options.context_length));
        if self.by != by {
            *self = Self { judged: self.judged.anew(), by };
        }
        let loaded: OnceLock<Option<Result<Tokenizer, TokenizerError>>> = OnceLock::new();
        let (mut found, count) = self.judged.all(notes, watch, |notes, entry| {
            let captions = notes.texts.captions_of(entry).iter();
            let long = captions.filter(|field| may_be_long(notes, field, options.context_length));
            long.filter_map(|field| {
                let tokenizer = loaded.get_or_init(|| options.tokens.load()).as_ref()?.as_ref().ok()?;
                told(notes, entry, field, tokenizer, options.context_length)
            })
            .collect()
        });
        if let Some(Some(Err(error))) = loaded.get() {
            let file = match &options.tokens {
                Tokens::File(file) => file.as_path(),
                _ => &*notes.file,
            };
            found.push(*unreadable(file, error.to_string()));
            self.by = None;
        }
        (found, count)
    }

    /// Forgets entries that are no longer there.
    pub fn keep(&mut self, sources: &[Notes]) {
        self.judged.keep(sources);
    }
}

/// Whether a caption has to be counted: a token has a byte at least. Cleaning may make other text than ASCII longer.
fn may_be_long(notes: &Notes, field: &Span, context_length: usize) -> bool {
    let most = field.len as usize;
    // One that is too long to be read at all has been told.
    if field.holds != Holds::Text || most.saturating_mul(3) < context_length || most > MAX_CAPTION {
        return false;
    }
    let ascii = field.raw(&notes.texts.bytes).is_ascii();
    (if ascii { most } else { most.saturating_mul(3) }) >= context_length
}

fn told(notes: &Notes, entry: &Entry, field: &Span, tokenizer: &Tokenizer, length: usize) -> Option<Told> {
    let ids = tokenizer.encode_ids(&notes.texts.text(field)).ok()?;
    let (count, kept) = (ids.len() + 2, length.saturating_sub(2));
    if count <= length {
        return None;
    }
    let lost: Vec<i64> = ids.get(kept..).unwrap_or(&[]).iter().map(|id| i64::from(*id)).collect();
    let lost = text::shorten(&tokenizer.decode(&lost));
    let message = format!("{count} tokens, and the model reads {length}: '{lost}' is cut off; shorten it");
    Some((Kind::LongCaption, field.at.saturating_sub(entry.at), message.into()))
}
