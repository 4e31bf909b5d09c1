//! How a model is computed on its rank: what is away between forward and backward, and what part of each matrix is here.

use std::rc::Rc;

use tch::{Kind, Tensor};

use crate::shim::TorchError;
use crate::shim::c10d::Group;
use crate::shim::segment::Segment;
use crate::shim::shards::Shards;

/// How a model is computed on its rank. The default is a model that is here whole and keeps all that backward needs.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Shards of the parameters, and the path of the block that each unit holds.
    pub shards: Option<(Shards, Rc<Vec<String>>)>,
    /// Whether blocks are computed again in backward, so that only their inputs are kept.
    pub recompute: bool,
    /// The ranks that share each matrix with this one.
    pub split: Option<Rc<Split>>,
}

impl Plan {
    /// How the block at `path` is computed, where that is not the plain way.
    pub(super) fn segment(&self, path: &str) -> Option<Segment> {
        let unit = self.shards.as_ref().and_then(|(shards, paths)| {
            let index = paths.iter().position(|p| p == path)?;
            Some((shards.clone(), index))
        });
        (unit.is_some() || self.recompute).then_some(Segment { unit, again: self.recompute })
    }
}

/// This rank's place among those that share each matrix: attention by heads, the MLP by its hidden width, token
/// embedding and vocabulary head by ids.
#[derive(Debug)]
pub struct Split {
    group: Group,
}

impl Split {
    /// A place among the ranks of this group, which all compute on the same rows.
    pub fn new(group: Group) -> Self {
        Self { group }
    }

    /// The group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// This rank's share of `n` things in a row: where it begins, and how many.
    pub fn share(&self, n: i64) -> (i64, i64) {
        let index = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
        let all = usize::try_from(n).unwrap_or(0);
        let range = models::shard::share(all, index(self.group.rank()), index(self.group.size()));
        (range.start as i64, range.len() as i64)
    }

    /// What every rank has alike, on its way into products with parts of matrices.
    pub fn enter(&self, x: &Tensor) -> Tensor {
        or_end(self.group.sum_gradient(x))
    }

    /// The sum of every rank's part of a product.
    pub fn leave(&self, x: &Tensor) -> Tensor {
        or_end(self.group.sum_autograd(x))
    }

    /// Rows of a table `[v,w]` for `ids`, of which each rank holds its share of `vocabulary`: `[..., w]` on all.
    pub(super) fn embedding(&self, table_vw: &Tensor, ids: &Tensor, vocabulary: i64) -> Tensor {
        let (first, count) = self.share(vocabulary);
        let own = ids - first;
        let elsewhere = own.lt(0).logical_or(&own.ge(count));
        let rows = Tensor::embedding(table_vw, &own.clamp(0, (count - 1).max(0)), -1, false, false);
        self.leave(&rows.masked_fill(&elsewhere.unsqueeze(-1), 0.0))
    }
}

/// For each row of `logits_nv`, this rank's part of the vocabulary, float32: log of the sum of all parts' exponentials,
/// and the label's logit, each `[n,1]`. Labels that are elsewhere are masked by `here_n1`.
///
/// # Errors
/// A rank that is gone or late.
pub(crate) fn sums_over_vocabulary(
    split: &Split,
    logits_nv: &Tensor,
    labels_n1: &Tensor,
    here_n1: &Tensor,
) -> Result<(Tensor, Tensor), TorchError> {
    let own_n1 = logits_nv.logsumexp([1], true);
    let mut most_n1 = own_n1.copy();
    split.group.all_reduce(&mut most_n1, crate::shim::c10d::Reduce::Max)?;
    let label_n1 = logits_nv.gather(1, labels_n1, false) * here_n1.to_kind(Kind::Float);
    let mut both_n2 = Tensor::cat(&[(own_n1 - &most_n1).exp(), label_n1], 1);
    split.group.all_reduce(&mut both_n2, crate::shim::c10d::Reduce::Sum)?;
    Ok((both_n2.narrow(1, 0, 1).log() + most_n1, both_n2.narrow(1, 1, 1)))
}

/// What tch's own operators do where libtorch refuses: they end the step, with the words.
pub(super) fn or_end<T>(result: Result<T, TorchError>) -> T {
    result.unwrap_or_else(|e| std::panic::resume_unwind(Box::new(e.to_string())))
}
