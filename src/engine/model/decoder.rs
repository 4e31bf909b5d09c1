//! The multimodal decoder: self-attention over the text, cross-attention to the image.

use std::rc::Rc;

use tch::Tensor;

use super::layers::{Block, CrossBlock, LayerNorm, Mask};
use super::{CoCaConfig, ModelError, Parameters, Split};

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    blocks: Vec<Block>,
    cross_blocks: Vec<CrossBlock>,
    ln_final: LayerNorm,
    text_projection_wv: Tensor,
    split: Option<(Rc<Split>, i64)>,
}

impl Decoder {
    pub(super) fn new(config: &CoCaConfig, parameters: &Parameters) -> Result<Self, ModelError> {
        let (layers, heads) = (config.decoder.layers, config.decoder.heads);
        let blocks = (0..layers)
            .map(|i| Block::new(parameters, &format!("text_decoder.resblocks.{i}"), heads))
            .collect::<Result<_, _>>()?;
        let cross_blocks = (0..layers)
            .map(|i| CrossBlock::new(parameters, &format!("text_decoder.cross_attn.{i}"), heads))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            blocks,
            cross_blocks,
            ln_final: LayerNorm::new(parameters, "text_decoder.ln_final")?,
            text_projection_wv: parameters.get("text_decoder.text_projection")?,
            split: parameters.plan().split.clone().map(|split| (split, config.text.vocab_size)),
        })
    }

    /// Image tokens `[b,n,w]` and text tokens `[b,t,w]` to hidden states `[b,t,w]`, before ln_final.
    pub fn hidden(&self, image_bnw: &Tensor, text_btw: &Tensor) -> Tensor {
        let mut x_btw = text_btw.shallow_clone();
        for (block, cross) in self.pairs() {
            x_btw = block.forward(&x_btw, Mask::Causal);
            x_btw = cross.look(&x_btw, image_bnw);
        }
        x_btw
    }

    /// What the vocabulary projection reads: ln_final of `[..., w]`.
    pub fn normalise(&self, hidden: &Tensor) -> Tensor {
        self.ln_final.forward(hidden)
    }

    /// Hidden states `[..., w]` to logits over the vocabulary, `[..., v]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let x = self.normalise(hidden);
        crate::shim::product(&x, &self.text_projection_wv)
            .unwrap_or_else(|_| x.matmul(&self.text_projection_wv))
    }

    /// The ranks that hold the other ids of the vocabulary projection, and how many ids there are.
    pub fn split(&self) -> Option<(&Split, i64)> {
        self.split.as_ref().map(|(split, vocabulary)| (&**split, *vocabulary))
    }

    /// The vocabulary projection, `[w,v]`, or this rank's ids of it; it has no bias.
    pub fn text_projection(&self) -> &Tensor {
        &self.text_projection_wv
    }

    /// Layer by layer, the block over the text and the one that looks at the image.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&Block, &CrossBlock)> {
        self.blocks.iter().zip(&self.cross_blocks)
    }
}
