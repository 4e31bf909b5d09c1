//! How many bytes forward leaves for backward on a rank, by arithmetic on the model's shapes.
//!
//! It counts the tensors that autograd keeps of each part of `src/engine/model`, which must follow it: a test holds it
//! to what is measured on every mesh. Next to the state these bytes grow with the batch.

use run::mesh::{Coordinates, Degrees};
use run::settings::Settings;

use crate::config::{CoCaConfig, mlp_width};
use crate::parameters::ParameterSpec;
use crate::shard::{block_of, share, slice};

/// What a rank works on in one micro-step, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Pairs.
    pub rows: u64,
    /// Pairs of all ranks, against which the contrastive loss holds them; 0 where features come first (accumulation).
    pub all_rows: u64,
    /// Ids of the longest text, the first and the last one included.
    pub longest: u64,
    /// Ids that the decoder is to predict.
    pub labels: u64,
    /// Blocks are computed again in backward.
    pub recompute: bool,
    /// Products are made of 2 bytes a number (bf16, fp16), not of 4.
    pub lower: bool,
    /// On the CPU, where half a block is one node of the graph in float32 (`shim/block.cpp`).
    pub on_cpu: bool,
    /// There is a contrastive loss.
    pub contrastive: bool,
    /// There is a caption loss.
    pub caption: bool,
    /// The image tower is frozen.
    pub lock_image: bool,
    /// The text tower is frozen.
    pub lock_text: bool,
}

impl Work {
    /// As settings say, for texts of which the longest and the mean one have so many ids.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn of(settings: &Settings, degrees: Degrees, (longest, mean): (u64, f64), on_cpu: bool) -> Self {
        let rows = settings.per_device_train_batch_size;
        let at_once = settings.gradient_accumulation_steps <= 1;
        Self {
            rows,
            all_rows: if at_once { rows * u64::from(degrees.data_ranks()) } else { 0 },
            longest,
            labels: (rows as f64 * (mean - 1.0).max(0.0)).round() as u64,
            recompute: settings.recompute,
            lower: settings.bf16 || settings.fp16,
            on_cpu,
            contrastive: settings.coca_contrastive_loss_weight != 0.0,
            caption: settings.coca_caption_loss_weight != 0.0,
            lock_image: settings.lock_image,
            lock_text: settings.lock_text,
        }
    }
}

/// Bytes of a float32.
const FLOAT: u64 = 4;
/// Bytes of where the random numbers of a CPU stand, which a block that is computed again keeps.
const RANDOM: u64 = 5056;

/// One tower's block: whole width, and this rank's share of heads and of the MLP's hidden width.
#[derive(Clone, Copy)]
struct Block {
    width: u64,
    heads: u64,
    /// Width of the heads that are here.
    own: u64,
    hidden: u64,
}

/// How bytes are counted on this rank.
struct Count {
    work: Work,
    /// Bytes of a number that a product reads or makes.
    low: u64,
    /// Half blocks are one node.
    fused: bool,
    rank: u32,
    size: u32,
}

fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

impl Count {
    /// What of `n` is here.
    fn share(&self, n: i64) -> u64 {
        share(usize::try_from(n).unwrap_or(0), self.rank, self.size).len() as u64
    }

    fn block(&self, width: i64, heads: i64, mlp_ratio: f64) -> Block {
        let own_heads = self.share(heads);
        Block {
            width: natural(width),
            heads: own_heads,
            own: own_heads * natural(width / heads.max(1)),
            hidden: self.share(mlp_width(width, mlp_ratio)),
        }
    }

    /// Mean and scale of so many normalised rows.
    fn norm(rows: u64) -> u64 {
        2 * rows * FLOAT
    }

    /// The MLP half over `n` rows: its input, and where it is no node of its own, what lies inside.
    fn mlp(&self, b: Block, n: u64) -> u64 {
        let input = n * b.width * FLOAT;
        match self.fused {
            true => input,
            false => input + Self::norm(n) + n * self.low * (b.width + 2 * b.hidden),
        }
    }

    /// Normalised rows on their way into a product; a node of its own keeps none.
    fn normed(&self, n: u64, width: u64) -> u64 {
        if self.fused { 0 } else { Self::norm(n) + n * width * self.low }
    }

    /// A block over `texts` texts of `s` positions.
    fn self_attention(&self, b: Block, rows: u64, s: u64) -> u64 {
        let n = rows * s;
        let input = n * b.width * FLOAT;
        if self.work.recompute {
            return input + RANDOM;
        }
        let inside = self.normed(n, b.width) + n * 4 * b.own * self.low + n * b.heads * FLOAT;
        input + inside + self.mlp(b, n)
    }

    /// The same that looks at `keys` image tokens of width `of`, which all of them share.
    fn cross_attention(&self, b: Block, rows: u64, s: u64, (keys, of): (u64, u64)) -> u64 {
        let n = rows * s;
        let input = n * b.width * FLOAT;
        if self.work.recompute {
            return input + RANDOM;
        }
        let k = rows * keys;
        let inside = self.normed(n, b.width) + n * 2 * b.own * self.low + n * b.heads * FLOAT;
        input + inside + self.normed(k, of) + k * 2 * b.own * self.low + self.mlp(b, n)
    }

    fn image(&self, config: &CoCaConfig) -> u64 {
        let (vision, rows) = (&config.vision, self.work.rows);
        let (width, tokens) = (natural(vision.width), 1 + natural(vision.patches()));
        let made = natural(config.image_token_width());
        let made_tokens = 1 + natural(config.image_tokens());
        // What the decoder and the features read, normalised.
        let low_norm = if self.work.on_cpu { self.low } else { FLOAT };
        let out = rows * made_tokens * made * if vision.attentional_pool { low_norm } else { FLOAT };
        if self.work.lock_image {
            return out;
        }
        let n = rows * tokens;
        let side = natural(vision.image_size);
        let cast = if self.work.lower { rows * 3 * side * side * self.low } else { 0 };
        let block = self.block(vision.width, vision.heads(), vision.mlp_ratio);
        let blocks = natural(vision.layers) * self.self_attention(block, rows, tokens);
        let embedded = cast + n * width * FLOAT + Self::norm(n) + blocks;
        let last = n * width * FLOAT;
        if !vision.attentional_pool {
            return embedded + last + Self::norm(n) + out;
        }
        let pooler = self.block(config.embed_dim, vision.attn_pooler_heads, 0.0);
        let q = rows * made_tokens;
        // Keys of another width have projections of their own, behind a norm of its own.
        let keys = match config.embed_dim == vision.width {
            true => self.normed(n, width),
            false => Self::norm(n) + n * width * self.low,
        };
        let attention =
            keys + 2 * n * pooler.own * self.low + q * pooler.own * self.low + q * pooler.heads * FLOAT;
        let query = self.normed(made_tokens, made) + made_tokens * pooler.own * self.low;
        embedded + last + attention + query + q * made * self.low + Self::norm(q) + out
    }

    fn text(&self, config: &CoCaConfig) -> u64 {
        let (text, rows) = (&config.text, self.work.rows);
        let width = natural(text.width);
        let s = match self.work.contrastive {
            true => (self.work.longest + 1).min(natural(text.context_length)) + 1,
            false => self.work.longest.saturating_sub(1).max(1),
        };
        let out = rows * s * width * FLOAT;
        if self.work.lock_text {
            return out;
        }
        let mask = rows * s * s * FLOAT;
        let block = self.block(text.width, text.heads, text.mlp_ratio);
        natural(text.layers) * self.self_attention(block, rows, s) + mask + out + Self::norm(rows)
    }

    fn decoder(&self, config: &CoCaConfig) -> u64 {
        let (decoder, rows) = (&config.decoder, self.work.rows);
        let width = natural(decoder.width);
        let s = self.work.longest.saturating_sub(1).max(1);
        let block = self.block(decoder.width, decoder.heads, decoder.mlp_ratio);
        let image = (natural(config.image_tokens()), natural(config.image_token_width()));
        let pair = self.self_attention(block, rows, s) + self.cross_attention(block, rows, s, image);
        // The first input is the text tower's output.
        let blocks = natural(decoder.layers) * pair - rows * s * width * FLOAT;
        // The caption loss has its gradients at once: to its rows, and to the vocabulary's projection.
        let labels = self.work.labels;
        let head = width * self.share(config.text.vocab_size) * FLOAT;
        blocks + labels * width * (FLOAT + self.low) + Self::norm(labels) + head
    }
}

/// Bytes that forward leaves for backward on a rank at most.
pub fn activations(
    config: &CoCaConfig,
    specs: &[ParameterSpec],
    degrees: Degrees,
    at: Coordinates,
    work: &Work,
) -> u64 {
    let (rank, size) = (at.tensor_parallel, degrees.tensor_parallel.max(1));
    let low = if work.lower { 2 } else { FLOAT };
    let count = Count { work: *work, low, fused: work.on_cpu && !work.lower && size == 1, rank, size };
    let mut bytes = count.image(config) + count.text(config);
    if work.caption {
        bytes += count.decoder(config);
    }
    if work.contrastive {
        let (rows, all) = (work.rows, work.all_rows);
        let features = 2 * 3 * rows * natural(config.embed_dim) * FLOAT;
        let gathered = if all > rows { 2 * all * natural(config.embed_dim) * FLOAT } else { 0 };
        bytes += features + gathered + 2 * rows * all * FLOAT;
    }
    if work.lower {
        // Matrices in lower precision: backward reads them again. Blocks that are computed again make them again.
        let product = |spec: &&ParameterSpec| {
            spec.shape.len() >= 2
                && !spec.name.ends_with("embedding.weight")
                && !spec.name.ends_with("positional_embedding")
                && spec.name != "text_decoder.text_projection"
                && !(work.recompute && block_of(&spec.name).is_some())
        };
        let here = |spec: &ParameterSpec| slice(config, spec, rank, size).numel() as u64;
        bytes += specs.iter().filter(product).map(here).sum::<u64>() * low;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::parameter_specs;

    const WORK: Work = Work {
        rows: 8,
        all_rows: 8,
        longest: 20,
        labels: 8 * 12,
        recompute: false,
        lower: false,
        on_cpu: true,
        contrastive: true,
        caption: true,
        lock_image: false,
        lock_text: false,
    };

    fn of(work: Work, tensor_parallel: u32) -> u64 {
        let config = CoCaConfig::named("coca_ViT-B-32").unwrap();
        let degrees = Degrees { tensor_parallel, ..Degrees::ONE };
        activations(&config, &parameter_specs(&config), degrees, Coordinates::default(), &work)
    }

    #[test]
    fn they_grow_with_the_batch_and_shrink_where_less_is_kept() {
        let whole = of(WORK, 1);
        let twice = of(Work { rows: 16, all_rows: 16, labels: 16 * 12, ..WORK }, 1);
        // All but the gradient of the vocabulary's projection.
        let head = 512 * 49408 * FLOAT;
        assert!((twice - head).abs_diff(2 * (whole - head)) * 100 < whole, "{whole} {twice}");
        assert!(of(Work { recompute: true, ..WORK }, 1) < whole / 2);
        assert!(of(Work { lock_image: true, ..WORK }, 1) < whole);
        assert!(of(Work { caption: false, ..WORK }, 1) < whole / 2);
        // On a GPU a block is many nodes.
        let many = of(Work { on_cpu: false, ..WORK }, 1);
        assert!(many > whole);
        assert!(of(Work { on_cpu: false, ..WORK }, 2) < many);
    }
}
