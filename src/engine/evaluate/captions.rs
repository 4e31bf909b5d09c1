//! Greedy captions of pictures from disk.

use std::path::Path;

use data::Tokenizer;
use data::picture::Preprocess;

use super::{Unreadable, read_pictures};
use crate::generate::{GenerateError, TextOptions, greedy};
use crate::model::CoCa;

/// Captions pictures with a model.
pub struct Captioner<'a> {
    /// The model.
    pub model: &'a CoCa,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its picture preparation.
    pub preprocess: &'a Preprocess,
    /// Most token ids of a caption, SOT and EOT counted.
    pub max_len: i64,
}

impl Captioner<'_> {
    /// A caption for each picture, in order; pictures that cannot be read have none and are listed.
    ///
    /// # Errors
    /// What model or libtorch said.
    pub fn caption<P: AsRef<Path>>(
        &self,
        paths: &[P],
    ) -> Result<(Vec<Option<String>>, Vec<Unreadable>), GenerateError> {
        let mut captions = vec![None; paths.len()];
        let (images, read, unreadable) = read_pictures(paths, self.preprocess, self.model.device())?;
        if let Some(image_bchw) = images {
            let options = TextOptions {
                sot: self.tokenizer.sot(),
                eot: self.tokenizer.eot(),
                min_len: 0,
                max_len: self.max_len,
                force_eot: false,
            };
            let ids = greedy(self.model, &image_bchw, &options)?;
            for (index, ids) in read.into_iter().zip(ids) {
                captions[index] = Some(self.tokenizer.decode(&ids));
            }
        }
        Ok((captions, unreadable))
    }
}
