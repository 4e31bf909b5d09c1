//! How a model's parameters are divided over ranks: which part of each matrix a rank of the tensor-parallel axis holds,
//! which parameters are gathered and freed together, and which part of those a rank of the sharding axis owns.
//!
//! Everything here is arithmetic on shapes: engine, checkpoints and predictions read the same functions.

use std::ops::Range;

use run::events::StateBytes as Bytes;
use run::mesh::{Coordinates, Degrees, Stage};

use crate::config::CoCaConfig;
use crate::parameters::ParameterSpec;

/// Bytes of a float32.
const FLOAT: u64 = 4;

/// The part of a tensor that one rank of the tensor-parallel axis holds: the tensor seen as `[outer, n, inner]`, and
/// `count` of the `n` from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    outer: usize,
    n: usize,
    inner: usize,
    first: usize,
    count: usize,
    shape: Vec<i64>,
}

/// A stretch of elements that lie side by side, here and in the whole tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it begins in the part.
    pub here: usize,
    /// Where it begins in the whole tensor.
    pub whole: usize,
    /// Elements.
    pub len: usize,
}

impl Slice {
    /// A tensor that every rank holds whole.
    pub fn whole(shape: &[i64]) -> Self {
        let numel = numel(shape);
        Self { outer: 1, n: numel, inner: 1, first: 0, count: numel, shape: shape.to_vec() }
    }

    /// Of a tensor of this shape, the share of rank `rank` of `size` along `axis`, whose entries come in `groups` equal
    /// runs one behind the other (q, k and v of a packed projection: 3), each divided alike, never within `unit`
    /// entries (a head). Shares differ by at most one unit.
    fn along(shape: &[i64], axis: usize, (groups, unit): (usize, usize), (rank, size): (u32, u32)) -> Self {
        let length = shape.get(axis).map_or(1, |n| usize::try_from(*n).unwrap_or(0));
        let (before, after) = (numel(&shape[..axis]), numel(&shape[(axis + 1).min(shape.len())..]));
        let n = length / groups.max(1);
        let range = share(n / unit.max(1), rank, size);
        let (first, count) = (range.start * unit, range.len() * unit);
        let mut part = shape.to_vec();
        if let Some(own) = part.get_mut(axis) {
            *own = i64::try_from(groups * count).unwrap_or(0);
        }
        Self { outer: before * groups, n, inner: after, first, count, shape: part }
    }

    /// Whether it is all of the tensor.
    pub fn is_whole(&self) -> bool {
        self.count == self.n
    }

    /// The part's shape.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The part's elements.
    pub fn numel(&self) -> usize {
        self.outer * self.count * self.inner
    }

    /// The whole tensor as `[outer, n, inner]`, and what to take of its middle axis: (axes, first, count).
    pub fn cut(&self) -> ([i64; 3], i64, i64) {
        let n = |x: usize| i64::try_from(x).unwrap_or(i64::MAX);
        ([n(self.outer), n(self.n), n(self.inner)], n(self.first), n(self.count))
    }

    /// Elements `range` of the part, as stretches of the whole tensor.
    pub fn runs(&self, range: Range<usize>) -> impl Iterator<Item = Run> + '_ {
        let row = (self.count * self.inner).max(1);
        let end = range.end.min(self.numel());
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (outer, within) = (at / row, at % row);
            let len = if self.is_whole() { end - at } else { (row - within).min(end - at) };
            let whole = (outer * self.n + self.first) * self.inner + within;
            let run = Run { here: at, whole, len };
            at += len;
            Some(run)
        })
    }
}

fn numel(shape: &[i64]) -> usize {
    shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).product()
}

/// Of `n` things in order, those of part `index` of `parts`; parts differ by at most one.
pub fn share(n: usize, index: u32, parts: u32) -> Range<usize> {
    let (index, parts) = (index as usize, parts.max(1) as usize);
    n * index / parts..n * (index + 1) / parts
}

/// Why a model cannot be divided so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "tensor_parallel_degree {degree} is more than the {heads} attention heads of the {tower}: make it at most {heads}"
)]
pub struct TooManyParts {
    degree: u32,
    heads: i64,
    tower: &'static str,
}

/// Whether a model's heads can be divided over so many ranks, each of which needs one at least.
///
/// # Errors
/// Names the tower with too few.
pub fn check_heads(config: &CoCaConfig, degree: u32) -> Result<(), TooManyParts> {
    let towers = [
        ("image tower", config.vision.heads()),
        ("text tower", config.text.heads),
        ("decoder", config.decoder.heads),
        ("pooler", if config.vision.attentional_pool { config.vision.attn_pooler_heads } else { i64::MAX }),
    ];
    match towers.into_iter().find(|(_, heads)| *heads < i64::from(degree)) {
        Some((tower, heads)) => Err(TooManyParts { degree, heads, tower }),
        None => Ok(()),
    }
}

/// What rank `rank` of `size` on the tensor-parallel axis holds of a parameter: attention by heads, the MLP by its
/// hidden width, token embedding and vocabulary head by ids; everything else whole.
pub fn slice(config: &CoCaConfig, spec: &ParameterSpec, rank: u32, size: u32) -> Slice {
    let shape = &spec.shape;
    let name = spec.name.as_str();
    let at = (rank, size);
    if size <= 1 {
        return Slice::whole(shape);
    }
    let size_of = |width: i64, heads: i64| usize::try_from(width / heads.max(1)).unwrap_or(1);
    let head = if name.starts_with("visual.attn_pool.") {
        size_of(config.embed_dim, config.vision.attn_pooler_heads)
    } else if name.starts_with("visual.") {
        size_of(config.vision.width, config.vision.heads())
    } else if name.starts_with("text.") {
        size_of(config.text.width, config.text.heads)
    } else {
        size_of(config.decoder.width, config.decoder.heads)
    };
    let ends = |end: &str| name.ends_with(end);
    if ends(".in_proj_weight") || ends(".in_proj_bias") {
        Slice::along(shape, 0, (3, head), at)
    } else if ends(".q_proj_weight") || ends(".k_proj_weight") || ends(".v_proj_weight") {
        Slice::along(shape, 0, (1, head), at)
    } else if ends(".out_proj.weight") {
        Slice::along(shape, 1, (1, head), at)
    } else if ends(".c_fc.weight") || ends(".c_fc.bias") || ends("token_embedding.weight") {
        Slice::along(shape, 0, (1, 1), at)
    } else if ends(".c_proj.weight") || name == "text_decoder.text_projection" {
        Slice::along(shape, 1, (1, 1), at)
    } else {
        Slice::whole(shape)
    }
}

/// Parameters that are gathered and freed together: a block, or all that is in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The block's path; empty for what is in none.
    pub name: String,
    /// Indices of its parameters.
    pub members: Vec<usize>,
}

/// The units of a model; the first holds what is in no block.
pub fn units(specs: &[ParameterSpec]) -> Vec<Unit> {
    let mut units = vec![Unit { name: String::new(), members: Vec::new() }];
    for (index, spec) in specs.iter().enumerate() {
        let name = block_of(&spec.name).unwrap_or_default();
        match units.iter_mut().find(|unit| unit.name == name) {
            Some(unit) => unit.members.push(index),
            None => units.push(Unit { name: name.to_owned(), members: vec![index] }),
        }
    }
    units
}

/// The block that a parameter belongs to: `visual.transformer.resblocks.3.attn.in_proj_weight` ->
/// `visual.transformer.resblocks.3`.
pub fn block_of(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            return name.get(..end);
        }
        end += 1;
    }
    None
}

/// What a rank of the sharding axis owns of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which of the unit's parameters.
    pub member: usize,
    /// Elements of the parameter (of the part that the rank's tensor-parallel place has).
    pub range: Range<usize>,
    /// Where it begins in the rank's shard of the unit.
    pub at: usize,
}

/// A unit's parameters one behind the other, divided into equal shards: elements of one shard, and what shard `rank`
/// has. The last shard may end in padding.
pub fn pieces(numels: &[usize], rank: u32, size: u32) -> (usize, Vec<Piece>) {
    let total: usize = numels.iter().sum();
    let chunk = total.div_ceil(size.max(1) as usize);
    let own = chunk * rank as usize..chunk * (rank as usize + 1);
    let mut pieces = Vec::new();
    let mut begin = 0;
    for (member, n) in numels.iter().enumerate() {
        let (from, to) = (own.start.max(begin), own.end.min(begin + n));
        if from < to {
            pieces.push(Piece { member, range: from - begin..to - begin, at: from - own.start });
        }
        begin += n;
    }
    (chunk, pieces)
}

/// What a rank will hold of a model, of which it trains the parameters that `trains` names.
pub fn predict(
    config: &CoCaConfig,
    specs: &[ParameterSpec],
    degrees: Degrees,
    stage: Stage,
    rank: u32,
    trains: impl Fn(&str) -> bool,
) -> Bytes {
    let at = degrees.coordinates(rank);
    let mut bytes = Bytes::default();
    for unit in units(specs) {
        let members = || unit.members.iter().filter_map(|i| specs.get(*i));
        let numel = |spec| slice(config, spec, at.tensor_parallel, degrees.tensor_parallel).numel();
        let numels: Vec<usize> = members().map(numel).collect();
        let one = unit_bytes(&numels, degrees, stage, at);
        bytes.parameters += one.parameters;
        // Shards of gradients are of whole units; else a frozen parameter has none.
        bytes.gradients += match stage >= Stage::Gradients && degrees.sharding > 1 {
            true => one.gradients,
            false => members().filter(|s| trains(&s.name)).map(|s| numel(s) as u64 * FLOAT).sum(),
        };
        bytes.optimiser += one.optimiser;
    }
    bytes
}

/// What a rank holds of one unit, whose parameters have these elements.
pub fn unit_bytes(numels: &[usize], degrees: Degrees, stage: Stage, at: Coordinates) -> Bytes {
    let all = numels.iter().sum::<usize>() as u64;
    if stage == Stage::None || degrees.sharding <= 1 {
        // Two moments, and a count of steps for each parameter.
        let optimiser = (2 * all + numels.len() as u64) * FLOAT;
        return Bytes { parameters: all * FLOAT, gradients: all * FLOAT, optimiser };
    }
    let (chunk, pieces) = pieces(numels, at.sharding, degrees.sharding);
    let shard = chunk as u64 * FLOAT;
    let own: usize = pieces.iter().map(|piece| piece.range.len()).sum();
    Bytes {
        parameters: if stage == Stage::Parameters { shard } else { shard * u64::from(degrees.sharding) },
        gradients: if stage >= Stage::Gradients { shard } else { all * FLOAT },
        optimiser: (2 * own as u64 + pieces.len() as u64) * FLOAT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::parameter_specs;

    fn spec(name: &str, shape: &[i64]) -> ParameterSpec {
        ParameterSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            init: crate::parameters::Init::Constant(0.0),
        }
    }

    #[test]
    fn parts_of_every_parameter_make_it_whole_again() {
        let config = CoCaConfig::named("coca_ViT-B-32").unwrap();
        for size in [1, 2, 3, 8] {
            check_heads(&config, size).unwrap();
            for spec in parameter_specs(&config) {
                let whole = numel(&spec.shape);
                let parts: Vec<Slice> = (0..size).map(|rank| slice(&config, &spec, rank, size)).collect();
                if parts[0].is_whole() {
                    assert!(parts.iter().all(|p| p.numel() == whole && p.shape() == spec.shape));
                    continue;
                }
                let mut seen = vec![false; whole];
                for part in &parts {
                    assert_eq!(numel(part.shape()), part.numel(), "{}", spec.name);
                    let mut here = 0;
                    for run in part.runs(0..part.numel()) {
                        assert_eq!(run.here, here);
                        here += run.len;
                        for at in &mut seen[run.whole..run.whole + run.len] {
                            assert!(!std::mem::replace(at, true), "{} twice", spec.name);
                        }
                    }
                    assert_eq!(here, part.numel());
                }
                assert!(seen.into_iter().all(|s| s), "{}: a hole", spec.name);
            }
        }
        let error = check_heads(&config, 9).unwrap_err().to_string();
        assert!(error.contains("text tower") && error.contains("at most 8"), "{error}");
    }

    #[test]
    fn packed_projections_are_cut_within_each_of_q_k_v() {
        let config = CoCaConfig::named("coca_ViT-B-32").unwrap();
        let spec = spec("text.transformer.resblocks.0.attn.in_proj_weight", &[1536, 512]);
        let part = slice(&config, &spec, 1, 2);
        assert_eq!(part.shape(), [768, 512]);
        let runs: Vec<Run> = part.runs(100..256 * 512 + 7).collect();
        assert_eq!(runs[0], Run { here: 100, whole: 256 * 512 + 100, len: 256 * 512 - 100 });
        assert_eq!(runs[1], Run { here: 256 * 512, whole: 768 * 512, len: 7 });
    }

    #[test]
    fn shards_cover_a_unit_and_are_predicted_to_within_padding() {
        let numels = [5, 1, 7, 4];
        let mut seen = Vec::new();
        for rank in 0..3 {
            let (chunk, pieces) = pieces(&numels, rank, 3);
            assert_eq!(chunk, 6);
            seen.extend(pieces.into_iter().flat_map(|p| p.range.map(move |i| (p.member, i))));
        }
        let expected: Vec<_> =
            numels.iter().enumerate().flat_map(|(member, n)| (0..*n).map(move |i| (member, i))).collect();
        assert_eq!(seen, expected);

        let config = CoCaConfig::named("coca_ViT-B-32").unwrap();
        let specs = parameter_specs(&config);
        let total: u64 = specs.iter().map(|s| s.numel() as u64).sum::<u64>() * FLOAT;
        let degrees = Degrees { data_parallel: 1, sharding: 4, tensor_parallel: 1 };
        let near = |bytes: u64, of: u64| bytes.abs_diff(of) * 1000 < of;
        for rank in 0..4 {
            let bytes = |stage| predict(&config, &specs, degrees, stage, rank, |_| true);
            let one = bytes(Stage::Optimiser);
            assert!(
                near(one.optimiser, total / 2) && near(one.gradients, total) && near(one.parameters, total)
            );
            assert!(near(bytes(Stage::Gradients).gradients, total / 4));
            assert!(near(bytes(Stage::Parameters).parameters, total / 4));
        }
    }
}
