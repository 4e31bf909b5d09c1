//! Greedy captions of pictures from disk.

use std::ops::ControlFlow;
use std::path::Path;

use data::Tokenizer;
use data::picture::Preprocess;
use run::decoding::{Decoding, Method};

use super::{Unreadable, read_pictures};
use crate::generate::{GenerateError, SpecialIds, generate};
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
    pub max_len: u32,
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
            let special = SpecialIds { sot: self.tokenizer.sot(), eot: self.tokenizer.eot() };
            let greedy =
                Decoding { method: Method::Greedy, min_len: 0, max_len: self.max_len, ..Decoding::default() };
            let image = tch::no_grad(|| self.model.encode_image(&image_bchw))?;
            let texts =
                generate(self.model, &image, special, &[], &greedy, &mut |_| ControlFlow::Continue(()))?;
            let ids = texts.into_iter().filter_map(|of_image| Some(of_image.into_iter().next()?.ids));
            for (index, ids) in read.into_iter().zip(ids) {
                captions[index] = Some(self.tokenizer.decode(&ids));
            }
        }
        Ok((captions, unreadable))
    }
}
