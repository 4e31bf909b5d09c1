//! The image tower: a ViT, and the attentional pooler that serves contrast and captions.

use tch::Tensor;

use super::layers::{Attention, Block, LayerNorm, Mask, l2_normalise};
use super::{CoCaConfig, ModelError, Parameters};

/// What the image tower makes of a batch of images.
#[derive(Debug)]
pub struct ImageTokens {
    /// L2-normalised features for contrast, `[b,d]`.
    pub features_bd: Tensor,
    /// Tokens that the decoder reads, `[b,n,w]`; neither projected nor normalised.
    pub tokens_bnw: Tensor,
}

/// 256 learned queries over the ViT's tokens.
#[derive(Debug)]
struct Pooler {
    query_qd: Tensor,
    ln_q: LayerNorm,
    ln_k: LayerNorm,
    attn: Attention,
}

/// The image tower.
#[derive(Debug)]
pub struct ImageTower {
    conv1: Tensor,
    class_embedding_w: Tensor,
    positional_embedding_nw: Tensor,
    ln_pre: LayerNorm,
    blocks: Vec<Block>,
    pooler: Option<Pooler>,
    ln_post: LayerNorm,
    proj: Tensor,
    patch_size: i64,
    image_size: i64,
}

impl ImageTower {
    pub(super) fn new(config: &CoCaConfig, parameters: &Parameters) -> Result<Self, ModelError> {
        let vision = &config.vision;
        let get = |name: &str| parameters.get(&format!("visual.{name}"));
        let norm = |name: &str| LayerNorm::new(parameters, &format!("visual.{name}"));
        let blocks = (0..vision.layers)
            .map(|i| Block::new(parameters, &format!("visual.transformer.resblocks.{i}"), vision.heads()))
            .collect::<Result<_, _>>()?;
        let pooler = match vision.attentional_pool {
            false => None,
            true => Some(Pooler {
                query_qd: get("attn_pool.query")?,
                ln_q: norm("attn_pool.ln_q")?,
                ln_k: norm("attn_pool.ln_k")?,
                attn: Attention::new(parameters, "visual.attn_pool.attn", vision.attn_pooler_heads)?,
            }),
        };
        Ok(Self {
            conv1: get("conv1.weight")?,
            class_embedding_w: get("class_embedding")?,
            positional_embedding_nw: get("positional_embedding")?,
            ln_pre: norm("ln_pre")?,
            blocks,
            pooler,
            ln_post: norm("ln_post")?,
            proj: get("proj")?,
            patch_size: vision.patch_size,
            image_size: vision.image_size,
        })
    }

    /// Preprocessed images `[b,3,size,size]` to features and tokens. Images of another size are an error.
    pub fn forward(&self, image_bchw: &Tensor) -> Result<ImageTokens, ModelError> {
        let x_bnw = self.transform(image_bchw)?;
        let y_bnw = match &self.pooler {
            Some(pooler) => self.ln_post.forward(&pooler.forward(&x_bnw, &pooler.query_qd)),
            None => self.ln_post.forward(&x_bnw),
        };
        let rest = y_bnw.size()[1] - 1;
        Ok(ImageTokens {
            features_bd: l2_normalise(&y_bnw.select(1, 0).matmul(&self.proj)),
            tokens_bnw: y_bnw.narrow(1, 1, rest),
        })
    }

    /// The features alone, `[b,d]`: what no feature depends on is not computed.
    pub fn features(&self, image_bchw: &Tensor) -> Result<Tensor, ModelError> {
        let x_bnw = self.transform(image_bchw)?;
        let first_b1w = match &self.pooler {
            Some(pooler) => pooler.forward(&x_bnw, &pooler.query_qd.narrow(0, 0, 1)),
            None => x_bnw.narrow(1, 0, 1),
        };
        Ok(l2_normalise(&self.ln_post.forward(&first_b1w).select(1, 0).matmul(&self.proj)))
    }

    /// The ViT's tokens `[b,1+patches,w]`.
    fn transform(&self, image_bchw: &Tensor) -> Result<Tensor, ModelError> {
        self.check(image_bchw)?;
        let mut x_bnw = self.ln_pre.forward(&self.embed(image_bchw));
        for block in &self.blocks {
            x_bnw = block.forward(&x_bnw, Mask::None);
        }
        Ok(x_bnw)
    }

    fn check(&self, image_bchw: &Tensor) -> Result<(), ModelError> {
        let (size, side) = (image_bchw.size(), self.image_size);
        if matches!(size[..], [b, 3, h, w] if b > 0 && h == side && w == side) {
            return Ok(());
        }
        Err(ModelError::Images(format!("the model takes [batch, 3, {side}, {side}], not {size:?}")))
    }

    /// Patches, the class token in front, positions added: `[b,1+patches,w]`.
    fn embed(&self, image_bchw: &Tensor) -> Tensor {
        let patch = [self.patch_size; 2];
        let none = None::<&Tensor>;
        let patches_bwn = image_bchw.conv2d(&self.conv1, none, patch, [0, 0], [1, 1], 1).flatten(2, 3);
        let batch = patches_bwn.size()[0];
        let class_b1w = self.class_embedding_w.expand([batch, 1, -1], false).to_kind(patches_bwn.kind());
        Tensor::cat(&[class_b1w, patches_bwn.transpose(1, 2)], 1) + &self.positional_embedding_nw
    }
}

impl Pooler {
    /// `[b,n,w]` to `[b,q,d]`, for queries `[q,d]`, which are the same for every image: normalised and projected once.
    fn forward(&self, x_bnw: &Tensor, query_qd: &Tensor) -> Tensor {
        let (keys, values) = self.attn.keys_values(&self.ln_k, x_bnw);
        let q_1hqc = self.attn.queries(&self.ln_q, &query_qd.unsqueeze(0));
        let q_bhqc = q_1hqc.expand([x_bnw.size()[0], -1, -1, -1], false);
        self.attn.attend(&q_bhqc, &keys, &values, Mask::None)
    }
}
