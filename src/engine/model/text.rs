//! The unimodal text tower, with its class token.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::layers::{Block, LayerNorm, Mask, l2_normalise};
use super::{CoCaConfig, ModelError, Parameters, Split, TextBatch};

/// The text tower.
#[derive(Debug)]
pub struct TextTower {
    token_embedding_vw: Tensor,
    positional_embedding_sw: Tensor,
    cls_emb_w: Tensor,
    blocks: Vec<Block>,
    ln_final: LayerNorm,
    text_projection_wd: Tensor,
    pad_id: i64,
    correct_cls_mask: bool,
    vocabulary: i64,
    split: Option<Rc<Split>>,
}

impl TextTower {
    pub(super) fn new(config: &CoCaConfig, parameters: &Parameters) -> Result<Self, ModelError> {
        let text = &config.text;
        let blocks = (0..text.layers)
            .map(|i| Block::new(parameters, &format!("text.transformer.resblocks.{i}"), text.heads))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            token_embedding_vw: parameters.get("text.token_embedding.weight")?,
            positional_embedding_sw: parameters.get("text.positional_embedding")?,
            cls_emb_w: parameters.get("text.cls_emb")?,
            blocks,
            ln_final: LayerNorm::new(parameters, "text.ln_final")?,
            text_projection_wd: parameters.get("text.text_projection")?,
            pad_id: text.pad_id,
            correct_cls_mask: text.correct_cls_mask,
            vocabulary: text.vocab_size,
            split: parameters.plan().split.clone(),
        })
    }

    /// L2-normalised features `[b,d]`, and the tokens `[b,t,w]` that the decoder reads: taken before
    /// ln_final, CLS left out.
    pub fn forward(&self, text: &TextBatch) -> (Tensor, Tensor) {
        let columns = text.columns();
        let x_btw = self.embed(&text.ids_bt, 0);
        let cls_b1w = (&self.cls_emb_w + self.positional_embedding_sw.get(text.cls_position))
            .expand([text.len(), 1, -1], false);
        let x_bsw = self.transform(Tensor::cat(&[x_btw, cls_b1w], 1), &text.ids_bt, columns + 1);
        let features_bd = self.ln_final.forward(&x_bsw.select(1, columns)).matmul(&self.text_projection_wd);
        (l2_normalise(&features_bd), x_bsw.narrow(1, 0, columns))
    }

    /// The tokens alone, `[b,t,w]`, for the first `columns` ids. No token sees CLS, so they are the same.
    pub fn tokens(&self, text: &TextBatch, columns: i64) -> Tensor {
        let ids_bt = text.ids_bt.narrow(1, 0, columns);
        self.transform(self.embed(&ids_bt, 0), &ids_bt, columns)
    }

    /// Ids `[b,t]` that stand at `position` and after it, embedded: `[b,t,w]`.
    pub fn embed(&self, ids_bt: &Tensor, position: i64) -> Tensor {
        let columns = ids_bt.size()[1];
        let tokens_btw = match &self.split {
            None => Tensor::embedding(&self.token_embedding_vw, ids_bt, -1, false, false),
            Some(split) => split.embedding(&self.token_embedding_vw, ids_bt, self.vocabulary),
        };
        tokens_btw + self.positional_embedding_sw.narrow(0, position, columns)
    }

    /// The blocks, for generation on a cache.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Which keys may be seen, given ids `[b,t]`: bool `[b,t+1]`, the last for CLS. The legacy mask is the
    /// correct one shifted right by one: key 0 is open, key j is open where id j-1 is not padding.
    pub fn key_mask(&self, ids_bt: &Tensor) -> Tensor {
        let valid_bt = ids_bt.ne(self.pad_id);
        let open_b1 = valid_bt.narrow(1, 0, 1).ones_like();
        match self.correct_cls_mask {
            true => Tensor::cat(&[valid_bt, open_b1], 1),
            false => Tensor::cat(&[open_b1, valid_bt], 1),
        }
    }

    /// The whole mask of `keys` positions (t, or t + 1 with CLS), 0 or -inf: float `[b,1,keys,keys]`.
    pub fn additive_mask(&self, ids_bt: &Tensor, keys: i64, kind: Kind) -> Tensor {
        let open_b1k = self.key_mask(ids_bt).narrow(1, 0, keys).unsqueeze(1);
        let causal_kk = Tensor::ones([keys, keys], (Kind::Bool, ids_bt.device())).tril(0);
        let open_b1kk = (open_b1k.logical_and(&causal_kk)).unsqueeze(1);
        Tensor::zeros_like(&open_b1kk.to_kind(kind)).masked_fill(&open_b1kk.logical_not(), f64::NEG_INFINITY)
    }

    fn transform(&self, mut x_bsw: Tensor, ids_bt: &Tensor, keys: i64) -> Tensor {
        let mask = self.additive_mask(ids_bt, keys, x_bsw.kind());
        for block in &self.blocks {
            x_bsw = block.forward(&x_bsw, Mask::Additive(&mask));
        }
        x_bsw
    }
}
