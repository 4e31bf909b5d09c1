//! Both towers as evaluation runs them: without gradients, in a lower precision where one is wanted.

use tch::{Kind, Tensor};

use crate::model::{CoCa, ModelError, TextBatch};
use crate::shim::Autocast;

/// A model whose features are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Towers<'a> {
    /// The model.
    pub model: &'a CoCa,
    /// What the towers compute in; none: float32.
    pub precision: Option<Kind>,
}

impl Towers<'_> {
    /// Features of images `[b,3,side,side]`: float32 `[b,d]`, of length 1.
    ///
    /// # Errors
    /// What model or libtorch said.
    pub fn images(&self, image_bchw: &Tensor) -> Result<Tensor, ModelError> {
        let _lower = self.lower()?;
        let features_bd = tch::no_grad(|| self.model.image_features(image_bchw))?;
        Ok(features_bd.f_to_kind(Kind::Float)?)
    }

    /// Features of texts: float32 `[b,d]`, of length 1.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn texts(&self, text: &TextBatch) -> Result<Tensor, ModelError> {
        let _lower = self.lower()?;
        Ok(tch::no_grad(|| self.model.encode_text(text)).f_to_kind(Kind::Float)?)
    }

    fn lower(&self) -> Result<Option<Autocast>, ModelError> {
        let enter = |kind| Autocast::enter(self.model.device(), kind);
        Ok(self.precision.map(enter).transpose()?)
    }
}
