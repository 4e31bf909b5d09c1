//! The whole model.

use tch::{Device, Tensor};

use super::layers::Block;
use super::{
    CoCaConfig, Decoder, ImageTokens, ImageTower, ModelError, Parameters, TextBatch, TextTower,
    parameter_specs,
};

/// A CoCa. Its parts are handles on the parameters of a [`Parameters`] store.
#[derive(Debug)]
pub struct CoCa {
    /// Its shape.
    pub config: CoCaConfig,
    /// The image tower.
    pub visual: ImageTower,
    /// The unimodal text tower.
    pub text: TextTower,
    /// The multimodal decoder.
    pub decoder: Decoder,
    logit_scale: Tensor,
    device: Device,
}

/// What open_clip's forward returns: everything, every position.
#[derive(Debug)]
pub struct Output {
    /// L2-normalised, `[b,d]`.
    pub image_features_bd: Tensor,
    /// L2-normalised, `[b,d]`.
    pub text_features_bd: Tensor,
    /// Logits, `[b,t,v]`: t = s - 1 for training (each position predicts the next id), else s.
    pub logits_btv: Tensor,
    /// The ids to predict, `[b,s-1]`, where positions were shifted for training.
    pub labels_bt: Option<Tensor>,
    /// exp of the parameter, a scalar.
    pub logit_scale: Tensor,
}

impl CoCa {
    /// A model on these parameters.
    pub fn new(config: CoCaConfig, parameters: &Parameters) -> Result<Self, ModelError> {
        let logit_scale = parameters.get("logit_scale")?;
        Ok(Self {
            visual: ImageTower::new(&config, parameters)?,
            text: TextTower::new(&config, parameters)?,
            decoder: Decoder::new(&config, parameters)?,
            device: logit_scale.device(),
            logit_scale,
            config,
        })
    }

    /// A model of this shape from scratch, with its parameters: a function of `seed` alone.
    pub fn initialise(
        config: CoCaConfig,
        seed: u64,
        device: Device,
    ) -> Result<(Self, Parameters), ModelError> {
        let parameters = Parameters::initialise(&parameter_specs(&config), seed, device)?;
        Ok((Self::new(config, &parameters)?, parameters))
    }

    /// Where its parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Lays the matrices that write captions out in memory as steps of a few rows read them fastest (on a CPU in float32; else
    /// nothing is done). They are the same to all who use them, but no training should: gradients and their optimiser
    /// state lie as parameters did at first.
    pub fn lay_out_for_captions(&self) -> Result<(), tch::TchError> {
        self.text.blocks().iter().try_for_each(Block::lay_inputs_first)?;
        self.decoder.pairs().try_for_each(|(block, cross)| {
            block.lay_inputs_first()?;
            cross.lay_inputs_first()
        })
    }

    /// The factor of the contrastive logits: exp of the parameter.
    pub fn logit_scale(&self) -> Tensor {
        self.logit_scale.exp()
    }

    /// Images `[b,3,size,size]` to features and decoder tokens.
    pub fn encode_image(&self, image_bchw: &Tensor) -> Result<ImageTokens, ModelError> {
        self.visual.forward(image_bchw)
    }

    /// Images to L2-normalised features `[b,d]`, without the tokens that only the decoder needs.
    pub fn image_features(&self, image_bchw: &Tensor) -> Result<Tensor, ModelError> {
        self.visual.features(image_bchw)
    }

    /// Texts to L2-normalised features `[b,d]`.
    pub fn encode_text(&self, text: &TextBatch) -> Tensor {
        self.text.forward(text).0
    }

    /// The plain forward pass: all positions of all texts, `[b,t,v]` logits held whole. `text` must not be
    /// trimmed. With `shift` each position predicts the next id, as in training. For checks and small
    /// models; training goes through [`crate::loss::coca_loss`].
    pub fn forward(&self, image_bchw: &Tensor, text: &TextBatch, shift: bool) -> Result<Output, ModelError> {
        let columns = text.columns();
        if columns != text.cls_position {
            return Err(ModelError::Tokens("forward computes every position: give it a whole batch".into()));
        }
        let image = self.visual.forward(image_bchw)?;
        let (text_features_bd, tokens_bsw) = self.text.forward(text);
        let (tokens_btw, labels_bt) = match shift {
            true => (tokens_bsw.narrow(1, 0, columns - 1), Some(text.ids_bt.narrow(1, 1, columns - 1))),
            false => (tokens_bsw, None),
        };
        let hidden_btw = self.decoder.hidden(&image.tokens_bnw, &tokens_btw);
        Ok(Output {
            image_features_bd: image.features_bd,
            text_features_bd,
            logits_btv: self.decoder.logits(&hidden_btw),
            labels_bt,
            logit_scale: self.logit_scale(),
        })
    }
}
