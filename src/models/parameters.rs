//! What parameters a CoCa has, under open_clip's names and in its order, and how each starts.

use crate::config::{CoCaConfig, mlp_width};

/// How a parameter starts when nothing is loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Everywhere this value.
    Constant(f64),
    /// N(0, std).
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// U(-bound, bound).
    Uniform {
        /// Half the width of the interval.
        bound: f64,
    },
}

/// One parameter: its name, shape and start.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// open_clip's state-dict key.
    pub name: String,
    /// Shape; empty for a scalar.
    pub shape: Vec<i64>,
    /// Start.
    pub init: Init,
}

impl ParameterSpec {
    /// Numbers that it holds.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// ln(1 / 0.07), CLIP's start of the logit scale.
pub const LOGIT_SCALE_START: f64 = 2.659_260_036_932_778;

/// Every parameter of a model of this shape, as open_clip 3.3.0 lists and initialises them; one thing is
/// our own: the decoder's head, which open_clip leaves uninitialised, starts as N(0, W^-0.5).
pub fn parameter_specs(config: &CoCaConfig) -> Vec<ParameterSpec> {
    let mut specs = Specs(Vec::new());
    specs.add("logit_scale", &[], Init::Constant(LOGIT_SCALE_START));
    text_tower(&mut specs, config);
    image_tower(&mut specs, config);
    decoder(&mut specs, config);
    specs.0
}

/// Standard deviations that replace PyTorch's defaults in a block's weights.
#[derive(Clone, Copy)]
struct BlockStd {
    in_proj: f64,
    out_proj: f64,
    c_fc: f64,
    c_proj: f64,
}

struct Specs(Vec<ParameterSpec>);

impl Specs {
    fn add(&mut self, name: &str, shape: &[i64], init: Init) {
        self.0.push(ParameterSpec { name: name.to_owned(), shape: shape.to_vec(), init });
    }

    fn layer_norm(&mut self, path: &str, width: i64) {
        self.add(&format!("{path}.weight"), &[width], Init::Constant(1.0));
        self.add(&format!("{path}.bias"), &[width], Init::Constant(0.0));
    }

    /// A Linear as PyTorch starts it: weight and bias U(±1/sqrt(fan_in)), or with a weight of N(0, std).
    fn linear(&mut self, path: &str, from: i64, to: i64, std: Option<f64>) {
        let default = Init::Uniform { bound: (from as f64).powf(-0.5) };
        let weight = std.map_or(default, |std| Init::Normal { std });
        self.add(&format!("{path}.weight"), &[to, from], weight);
        self.add(&format!("{path}.bias"), &[to], default);
    }

    /// The output projection of an attention: a Linear whose bias starts at 0.
    fn out_proj(&mut self, path: &str, width: i64, std: Option<f64>) {
        self.linear(path, width, width, std);
        if let Some(bias) = self.0.last_mut() {
            bias.init = Init::Constant(0.0);
        }
    }

    /// One attention whose keys have width `key_width`; packed into one matrix where that is the query's.
    fn attention(&mut self, path: &str, width: i64, key_width: i64, std: Option<BlockStd>) {
        if key_width == width {
            let init = std.map_or(xavier(width, 3 * width), |s| Init::Normal { std: s.in_proj });
            self.add(&format!("{path}.in_proj_weight"), &[3 * width, width], init);
        } else {
            for (part, from) in [("q", width), ("k", key_width), ("v", key_width)] {
                self.add(&format!("{path}.{part}_proj_weight"), &[width, from], xavier(from, width));
            }
        }
        self.add(&format!("{path}.in_proj_bias"), &[3 * width], Init::Constant(0.0));
        self.out_proj(&format!("{path}.out_proj"), width, std.map(|s| s.out_proj));
    }

    fn block(&mut self, path: &str, width: i64, mlp: i64, cross: bool, std: Option<BlockStd>) {
        self.layer_norm(&format!("{path}.ln_1"), width);
        self.attention(&format!("{path}.attn"), width, width, std);
        if cross {
            self.layer_norm(&format!("{path}.ln_1_kv"), width);
        }
        self.layer_norm(&format!("{path}.ln_2"), width);
        self.linear(&format!("{path}.mlp.c_fc"), width, mlp, std.map(|s| s.c_fc));
        self.linear(&format!("{path}.mlp.c_proj"), mlp, width, std.map(|s| s.c_proj));
    }
}

fn xavier(from: i64, to: i64) -> Init {
    Init::Uniform { bound: (6.0 / (from + to) as f64).sqrt() }
}

fn text_tower(specs: &mut Specs, config: &CoCaConfig) {
    let text = &config.text;
    let width = text.width;
    let w_std = (width as f64).powf(-0.5);
    let residual_std = w_std * ((2 * text.layers) as f64).powf(-0.5);
    let std = BlockStd {
        in_proj: w_std,
        out_proj: residual_std,
        c_fc: ((2 * width) as f64).powf(-0.5),
        c_proj: residual_std,
    };
    specs.add("text.cls_emb", &[width], Init::Normal { std: 0.01 });
    let positions = [text.context_length + 1, width];
    specs.add("text.positional_embedding", &positions, Init::Normal { std: 0.01 });
    specs.add("text.text_projection", &[width, config.embed_dim], Init::Normal { std: w_std });
    specs.add("text.token_embedding.weight", &[text.vocab_size, width], Init::Normal { std: 0.02 });
    for i in 0..text.layers {
        let path = format!("text.transformer.resblocks.{i}");
        specs.block(&path, width, mlp_width(width, text.mlp_ratio), false, Some(std));
    }
    specs.layer_norm("text.ln_final", width);
}

fn image_tower(specs: &mut Specs, config: &CoCaConfig) {
    let vision = &config.vision;
    let (width, embed_dim) = (vision.width, config.embed_dim);
    let std = (width as f64).powf(-0.5);
    specs.add("visual.class_embedding", &[width], Init::Normal { std });
    specs.add("visual.positional_embedding", &[vision.patches() + 1, width], Init::Normal { std });
    let proj_from = config.image_token_width();
    specs.add("visual.proj", &[proj_from, embed_dim], Init::Normal { std });
    let patch = vision.patch_size;
    let bound = ((3 * patch * patch) as f64).powf(-0.5);
    specs.add("visual.conv1.weight", &[width, 3, patch, patch], Init::Uniform { bound });
    specs.layer_norm("visual.ln_pre", width);
    for i in 0..vision.layers {
        let path = format!("visual.transformer.resblocks.{i}");
        specs.block(&path, width, mlp_width(width, vision.mlp_ratio), false, None);
    }
    if vision.attentional_pool {
        let query = [vision.attn_pooler_queries, embed_dim];
        specs.add("visual.attn_pool.query", &query, Init::Normal { std: 1.0 });
        specs.attention("visual.attn_pool.attn", embed_dim, width, None);
        specs.layer_norm("visual.attn_pool.ln_q", embed_dim);
        specs.layer_norm("visual.attn_pool.ln_k", width);
    }
    specs.layer_norm("visual.ln_post", proj_from);
}

fn decoder(specs: &mut Specs, config: &CoCaConfig) {
    let decoder = &config.decoder;
    let width = decoder.width;
    let mlp = mlp_width(width, decoder.mlp_ratio);
    let std = (width as f64).powf(-0.5);
    specs.add("text_decoder.text_projection", &[width, config.text.vocab_size], Init::Normal { std });
    for i in 0..decoder.layers {
        specs.block(&format!("text_decoder.resblocks.{i}"), width, mlp, false, None);
    }
    for i in 0..decoder.layers {
        specs.block(&format!("text_decoder.cross_attn.{i}"), width, mlp, true, None);
    }
    specs.layer_norm("text_decoder.ln_final", width);
}
