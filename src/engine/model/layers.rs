//! Attention, MLP and the residual blocks that every tower is made of.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::plan::{Split, or_end};
use super::{ModelError, Parameters};
use crate::shim;
use crate::shim::segment::Segment;
use crate::shim::steps::{Kept, Steps};

const LAYER_NORM_EPS: f64 = 1e-5;

/// y = x W^T + b.
#[derive(Debug)]
pub struct Linear {
    weight_oi: Tensor,
    bias_o: Tensor,
    /// The ranks that hold the other columns of W, where it is divided: y is the sum of all parts.
    split: Option<Rc<Split>>,
}

impl Linear {
    pub(super) fn new(parameters: &Parameters, path: &str) -> Result<Self, ModelError> {
        Ok(Self {
            weight_oi: parameters.get(&format!("{path}.weight"))?,
            bias_o: parameters.get(&format!("{path}.bias"))?,
            split: None,
        })
    }

    /// One whose input is this rank's part where matrices are divided.
    fn last(parameters: &Parameters, path: &str) -> Result<Self, ModelError> {
        let linear = Self::new(parameters, path)?;
        Ok(Self { split: parameters.plan().split.clone(), ..linear })
    }

    /// `[..., in]` to `[..., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match &self.split {
            None => linear(x, &self.weight_oi, Some(&self.bias_o)),
            Some(split) => {
                let y = split.leave(&linear(x, &self.weight_oi, None));
                let bias_o = self.bias_o.to_kind(y.kind());
                y + bias_o
            }
        }
    }
}

/// Lays a matrix out as `[in,out]` in memory; it stays `[out,in]` to all who hold it. A step of a few rows reads it twice as
/// fast so.
fn lay_inputs_first(weight_oi: &Tensor) -> Result<(), tch::TchError> {
    let on_cpu = weight_oi.device() == Device::Cpu && weight_oi.kind() == Kind::Float;
    if !on_cpu || !weight_oi.is_contiguous() {
        return Ok(());
    }
    let laid = tch::no_grad(|| weight_oi.f_detach()?.f_tr()?.f_contiguous()?.f_tr())?;
    weight_oi.shallow_clone().f_set_data(&laid)
}

/// What [`shim::linear`] gives; shapes that do not fit end the program as tch's own operators do.
fn linear(x: &Tensor, weight_oi: &Tensor, bias_o: Option<&Tensor>) -> Tensor {
    match shim::linear(x, weight_oi, bias_o) {
        Ok(y) => y,
        Err(_) => x.linear(weight_oi, bias_o),
    }
}

/// Layer normalisation over the last axis, with eps 1e-5.
#[derive(Debug)]
pub struct LayerNorm {
    weight_w: Tensor,
    bias_w: Tensor,
}

impl LayerNorm {
    pub(super) fn new(parameters: &Parameters, path: &str) -> Result<Self, ModelError> {
        Ok(Self {
            weight_w: parameters.get(&format!("{path}.weight"))?,
            bias_w: parameters.get(&format!("{path}.bias"))?,
        })
    }

    /// Same shape out as in.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.weight_w.size();
        x.layer_norm(width, Some(&self.weight_w), Some(&self.bias_w), LAYER_NORM_EPS, true)
    }
}

/// W norm(x) + b, for weights that are here whole, as one node of the graph where that is to be had.
fn normed_linear(norm: &LayerNorm, x: &Tensor, weight_oi: &Tensor, bias_o: &Tensor) -> Tensor {
    match shim::norm_linear([x, &norm.weight_w, &norm.bias_w, weight_oi, bias_o]) {
        Ok(Some(y)) => y,
        _ => linear(&norm.forward(x), weight_oi, Some(bias_o)),
    }
}

/// x / max(|x|, 1e-12) over the last axis.
pub fn l2_normalise(x: &Tensor) -> Tensor {
    let norm = x.norm_scalaropt_dim(2.0, -1, true).clamp_min(1e-12);
    x / norm
}

/// Which keys a query sees.
#[derive(Debug, Clone, Copy)]
pub enum Mask<'a> {
    /// All.
    None,
    /// Those not behind it.
    Causal,
    /// Those where this float tensor, broadcast to [b,h,s,s] and added to the scores, is not -inf.
    Additive(&'a Tensor),
}

/// The three input projections of an attention, as open_clip stores them.
#[derive(Debug)]
enum InProjection {
    /// Rows q, k, v of one matrix [3w, w].
    Packed(Tensor),
    /// Three matrices, where keys have another width than queries.
    Separate { q_ww: Tensor, k_wi: Tensor, v_wi: Tensor },
}

/// Multi-head attention with PyTorch's parameters. Its pieces are public so that generation can keep keys
/// and values between steps.
#[derive(Debug)]
pub struct Attention {
    in_projection: InProjection,
    in_bias: Tensor,
    out: Linear,
    /// Heads that are here.
    heads: i64,
    split: Option<Rc<Split>>,
}

impl Attention {
    pub(super) fn new(parameters: &Parameters, path: &str, heads: i64) -> Result<Self, ModelError> {
        let get = |name: &str| parameters.get(&format!("{path}.{name}"));
        let in_projection = match get("in_proj_weight") {
            Ok(packed) => InProjection::Packed(packed),
            Err(ModelError::MissingParameter(_)) => InProjection::Separate {
                q_ww: get("q_proj_weight")?,
                k_wi: get("k_proj_weight")?,
                v_wi: get("v_proj_weight")?,
            },
            Err(other) => return Err(other),
        };
        let out = Linear::last(parameters, &format!("{path}.out_proj"))?;
        let split = parameters.plan().split.clone();
        let heads = split.as_ref().map_or(heads, |split| split.share(heads).1);
        Ok(Self { in_projection, in_bias: get("in_proj_bias")?, out, heads, split })
    }

    /// A projection of norm(x), of which only some heads may be here.
    fn project(&self, norm: &LayerNorm, x: &Tensor, weight_oi: &Tensor, bias_o: &Tensor) -> Tensor {
        match &self.split {
            None => normed_linear(norm, x, weight_oi, bias_o),
            Some(split) => linear(&split.enter(&norm.forward(x)), weight_oi, Some(bias_o)),
        }
    }

    fn width(&self) -> i64 {
        self.in_bias.numel() as i64 / 3
    }

    /// `[b,s,w]` to `[b,h,s,w/h]`.
    fn heads_apart(&self, x_bsw: &Tensor) -> Tensor {
        let size = x_bsw.size();
        let (b, s, w) = (size[0], size[1], size[2]);
        x_bsw.view([b, s, self.heads, w / self.heads]).transpose(1, 2)
    }

    /// Queries, keys and values of norm(x), each `[b,h,s,w/h]`, in one product.
    pub fn queries_keys_values(&self, norm: &LayerNorm, x_bsw: &Tensor) -> (Tensor, Tensor, Tensor) {
        match &self.in_projection {
            InProjection::Packed(weight) => {
                let qkv = self.project(norm, x_bsw, weight, &self.in_bias).chunk(3, -1);
                (self.heads_apart(&qkv[0]), self.heads_apart(&qkv[1]), self.heads_apart(&qkv[2]))
            }
            InProjection::Separate { .. } => {
                let (k, v) = self.keys_values(norm, x_bsw);
                (self.queries(norm, x_bsw), k, v)
            }
        }
    }

    /// Queries of norm(x), `[b,s,w]`: `[b,h,s,w/h]`.
    pub fn queries(&self, norm: &LayerNorm, x_bsw: &Tensor) -> Tensor {
        let w = self.width();
        let bias = self.in_bias.narrow(0, 0, w);
        let q_bsw = match &self.in_projection {
            InProjection::Packed(weight) => self.project(norm, x_bsw, &weight.narrow(0, 0, w), &bias),
            InProjection::Separate { q_ww, .. } => self.project(norm, x_bsw, q_ww, &bias),
        };
        self.heads_apart(&q_bsw)
    }

    /// Keys and values of norm(x), `[b,n,i]`: each `[b,h,n,w/h]`.
    pub fn keys_values(&self, norm: &LayerNorm, x_bni: &Tensor) -> (Tensor, Tensor) {
        let w = self.width();
        match &self.in_projection {
            InProjection::Packed(weight) => {
                let bias = self.in_bias.narrow(0, w, 2 * w);
                let kv = self.project(norm, x_bni, &weight.narrow(0, w, 2 * w), &bias).chunk(2, -1);
                (self.heads_apart(&kv[0]), self.heads_apart(&kv[1]))
            }
            InProjection::Separate { k_wi, v_wi, .. } => {
                let x_bni = norm.forward(x_bni);
                let x_bni = self.split.as_ref().map_or_else(|| x_bni.shallow_clone(), |s| s.enter(&x_bni));
                let part = |weight, at| linear(&x_bni, weight, Some(&self.in_bias.narrow(0, at * w, w)));
                (self.heads_apart(&part(k_wi, 1)), self.heads_apart(&part(v_wi, 2)))
            }
        }
    }

    /// softmax(q k^T / sqrt(w/h) + mask) v for `[b,h,s,w/h]` and `[b,h,n,w/h]`, heads joined, projected:
    /// `[b,s,w]`.
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Tensor {
        let (additive, causal) = match mask {
            Mask::None => (None, false),
            Mask::Causal => (None, true),
            Mask::Additive(additive) => (Some(additive), false),
        };
        let y_bhsc = Tensor::scaled_dot_product_attention(q, k, v, additive, 0.0, causal, None, false);
        let size = y_bhsc.size();
        let (b, s) = (size[0], size[2]);
        self.out.forward(&y_bhsc.transpose(1, 2).reshape([b, s, self.width()]))
    }
}

/// c_proj(gelu(c_fc(x))) with the exact (erf) GELU.
#[derive(Debug)]
pub struct Mlp {
    c_fc: Linear,
    c_proj: Linear,
    split: Option<Rc<Split>>,
}

impl Mlp {
    fn new(parameters: &Parameters, path: &str) -> Result<Self, ModelError> {
        Ok(Self {
            c_fc: Linear::new(parameters, &format!("{path}.c_fc"))?,
            c_proj: Linear::last(parameters, &format!("{path}.c_proj"))?,
            split: parameters.plan().split.clone(),
        })
    }

    /// Same shape out as in.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = match &self.split {
            None => self.c_fc.forward(x),
            Some(split) => self.c_fc.forward(&split.enter(x)),
        };
        self.c_proj.forward(&hidden.gelu("none"))
    }
}

/// x + attn(ln_1(x)), then x + mlp(ln_2(x)).
#[derive(Debug)]
pub struct Block {
    layers: Rc<Layers>,
    segment: Option<Segment>,
}

/// What a block is made of.
#[derive(Debug)]
struct Layers {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

impl Layers {
    fn new(parameters: &Parameters, path: &str, heads: i64) -> Result<Self, ModelError> {
        Ok(Self {
            ln_1: LayerNorm::new(parameters, &format!("{path}.ln_1"))?,
            attn: Attention::new(parameters, &format!("{path}.attn"), heads)?,
            ln_2: LayerNorm::new(parameters, &format!("{path}.ln_2"))?,
            mlp: Mlp::new(parameters, &format!("{path}.mlp"))?,
        })
    }

    fn forward_with(
        &self,
        x_bsw: &Tensor,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let (q, k, v) = self.attn.queries_keys_values(&self.ln_1, x_bsw);
        self.with_mlp(&(x_bsw + attend(&q, &k, &v)))
    }

    /// x + mlp(ln_2(x)).
    fn with_mlp(&self, x_bsw: &Tensor) -> Tensor {
        if self.mlp.split.is_none() {
            let (norm, fc, proj) = (&self.ln_2, &self.mlp.c_fc, &self.mlp.c_proj);
            let weights =
                [&norm.weight_w, &norm.bias_w, &fc.weight_oi, &fc.bias_o, &proj.weight_oi, &proj.bias_o];
            let [a, b, c, d, e, f] = weights;
            if let Ok(Some(y)) = shim::norm_mlp([x_bsw, a, b, c, d, e, f]) {
                return y;
            }
        }
        x_bsw + self.mlp.forward(&self.ln_2.forward(x_bsw))
    }

    fn forward(&self, x_bsw: &Tensor, mask: Mask) -> Tensor {
        self.forward_with(x_bsw, |q, k, v| self.attn.attend(q, k, v, mask))
    }

    fn step(&self, steps: &mut Steps, x_r1w: &mut Tensor, kept: Kept) -> bool {
        // Parts of matrices are not for these loops.
        if self.attn.split.is_some() {
            return false;
        }
        let InProjection::Packed(in_projection) = &self.attn.in_projection else { return false };
        let (out, fc, proj) = (&self.attn.out, &self.mlp.c_fc, &self.mlp.c_proj);
        let weights = [
            &self.ln_1.weight_w,
            &self.ln_1.bias_w,
            in_projection,
            &self.attn.in_bias,
            &out.weight_oi,
            &out.bias_o,
            &self.ln_2.weight_w,
            &self.ln_2.bias_w,
            &fc.weight_oi,
            &fc.bias_o,
            &proj.weight_oi,
            &proj.bias_o,
        ];
        steps.add(x_r1w, weights, self.attn.heads, kept).unwrap_or(false)
    }

    fn lay_inputs_first(&self, whole: bool) -> Result<(), tch::TchError> {
        match &self.attn.in_projection {
            InProjection::Packed(weight) if whole => lay_inputs_first(weight)?,
            _ => {}
        }
        for linear in [&self.attn.out, &self.mlp.c_fc, &self.mlp.c_proj] {
            lay_inputs_first(&linear.weight_oi)?;
        }
        Ok(())
    }

    fn look(&self, x_bsw: &Tensor, keys: &Tensor, values: &Tensor) -> Tensor {
        let q = self.attn.queries(&self.ln_1, x_bsw);
        self.with_mlp(&(x_bsw + self.attn.attend(&q, keys, values, Mask::None)))
    }
}

impl Block {
    pub(super) fn new(parameters: &Parameters, path: &str, heads: i64) -> Result<Self, ModelError> {
        let layers = Rc::new(Layers::new(parameters, path, heads)?);
        Ok(Self { layers, segment: parameters.plan().segment(path) })
    }

    /// `[b,s,w]` to `[b,s,w]`.
    pub fn forward(&self, x_bsw: &Tensor, mask: Mask) -> Tensor {
        let Some(segment) = &self.segment else { return self.layers.forward(x_bsw, mask) };
        let layers = self.layers.clone();
        let x_bsw = x_bsw.shallow_clone();
        or_end(match mask {
            Mask::None => segment.run(&[x_bsw], move |of| layers.forward(&of[0], Mask::None)),
            Mask::Causal => segment.run(&[x_bsw], move |of| layers.forward(&of[0], Mask::Causal)),
            Mask::Additive(mask) => segment.run(&[x_bsw, mask.shallow_clone()], move |of| {
                layers.forward(&of[0], Mask::Additive(&of[1]))
            }),
        })
    }

    /// The block with an attention of the caller's (on a cache, say): `attend` gets this input's queries,
    /// keys and values and returns what [`Attention::attend`] does.
    pub fn forward_with(
        &self,
        x_bsw: &Tensor,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        self.layers.forward_with(x_bsw, attend)
    }

    /// Its attention.
    pub fn attention(&self) -> &Attention {
        &self.layers.attn
    }

    /// Adds one new position of each row, `[rows,1,w]`, against what is kept, to the steps: as [`Block::forward_with`], in
    /// place. False, and nothing was added, where that cannot be; see [`Steps::add`].
    pub fn step(&self, steps: &mut Steps, x_r1w: &mut Tensor, kept: Kept) -> bool {
        self.layers.step(steps, x_r1w, kept)
    }

    /// Lays its matrices out for steps; see [`CoCa::lay_out_for_captions`](super::CoCa::lay_out_for_captions).
    pub(super) fn lay_inputs_first(&self) -> Result<(), tch::TchError> {
        self.layers.lay_inputs_first(true)
    }
}

/// x + attn(ln_1(x), ln_1_kv(image)), then x + mlp(ln_2(x)).
#[derive(Debug)]
pub struct CrossBlock {
    layers: Rc<CrossLayers>,
    segment: Option<Segment>,
}

#[derive(Debug)]
struct CrossLayers {
    block: Layers,
    ln_1_kv: LayerNorm,
}

impl CrossLayers {
    fn keys_values(&self, image_bnw: &Tensor) -> (Tensor, Tensor) {
        self.block.attn.keys_values(&self.ln_1_kv, image_bnw)
    }

    fn look(&self, x_bsw: &Tensor, image_bnw: &Tensor) -> Tensor {
        let (keys, values) = self.keys_values(image_bnw);
        self.block.look(x_bsw, &keys, &values)
    }
}

impl CrossBlock {
    pub(super) fn new(parameters: &Parameters, path: &str, heads: i64) -> Result<Self, ModelError> {
        let ln_1_kv = LayerNorm::new(parameters, &format!("{path}.ln_1_kv"))?;
        let layers = Rc::new(CrossLayers { block: Layers::new(parameters, path, heads)?, ln_1_kv });
        Ok(Self { layers, segment: parameters.plan().segment(path) })
    }

    /// Keys and values of the image tokens `[b,n,w]`, which no text changes: each `[b,h,n,w/h]`.
    pub fn keys_values(&self, image_bnw: &Tensor) -> (Tensor, Tensor) {
        self.layers.keys_values(image_bnw)
    }

    /// One new position of each row, `[rows,1,w]`; see [`Block::step`].
    pub fn step(&self, steps: &mut Steps, x_r1w: &mut Tensor, keys: &Tensor, values: &Tensor) -> bool {
        self.layers.block.step(steps, x_r1w, Kept::Image { keys, values })
    }

    /// As [`Block::lay_inputs_first`], but for the projections of queries, keys and values: of these it takes the rows apart.
    pub(super) fn lay_inputs_first(&self) -> Result<(), tch::TchError> {
        self.layers.block.lay_inputs_first(false)
    }

    /// `[b,s,w]` to `[b,s,w]`, every position seeing every image token.
    pub fn forward(&self, x_bsw: &Tensor, keys: &Tensor, values: &Tensor) -> Tensor {
        self.layers.block.look(x_bsw, keys, values)
    }

    /// The same from the image tokens `[b,n,w]`.
    pub fn look(&self, x_bsw: &Tensor, image_bnw: &Tensor) -> Tensor {
        let Some(segment) = &self.segment else { return self.layers.look(x_bsw, image_bnw) };
        let layers = self.layers.clone();
        let inputs = [x_bsw.shallow_clone(), image_bnw.shallow_clone()];
        or_end(segment.run(&inputs, move |of| layers.look(&of[0], &of[1])))
    }
}
