//! How the ranks of a run are arranged: data parallel x sharding x tensor parallel.
//!
//! Neighbouring ranks share matrices (tensor parallel, the axis that talks most), then come those that share one copy
//! of the model's state (sharding), then the copies (data parallel).

use serde::{Deserialize, Serialize};

/// Degrees of the three axes; their product is the number of ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degrees {
    /// Copies of the model's state.
    pub data_parallel: u32,
    /// Ranks that share one copy of the state.
    pub sharding: u32,
    /// Ranks that share each matrix.
    pub tensor_parallel: u32,
}

/// Where a rank is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Along the data-parallel axis.
    pub data_parallel: u32,
    /// Along the sharding axis.
    pub sharding: u32,
    /// Along the tensor-parallel axis.
    pub tensor_parallel: u32,
}

impl Degrees {
    /// One rank alone.
    pub const ONE: Self = Self { data_parallel: 1, sharding: 1, tensor_parallel: 1 };

    /// Ranks in all.
    pub fn ranks(&self) -> u32 {
        self.data_parallel * self.sharding * self.tensor_parallel
    }

    /// Parts into which a batch is divided: ranks that share matrices read the same rows.
    pub fn data_ranks(&self) -> u32 {
        self.data_parallel * self.sharding
    }

    /// Which part of a batch a rank reads.
    pub fn data_rank(&self, rank: u32) -> u32 {
        rank / self.tensor_parallel.max(1)
    }

    /// Where a rank is.
    pub fn coordinates(&self, rank: u32) -> Coordinates {
        let (tensor, sharding) = (self.tensor_parallel.max(1), self.sharding.max(1));
        Coordinates {
            data_parallel: rank / (tensor * sharding),
            sharding: rank / tensor % sharding,
            tensor_parallel: rank % tensor,
        }
    }
}

/// What is sharded over the ranks of the sharding axis; each stage includes the ones before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing.
    #[default]
    None,
    /// The optimiser's state.
    Optimiser,
    /// Gradients, too.
    Gradients,
    /// Parameters, too.
    Parameters,
}

impl Stage {
    /// The setting's word: "stage1" and so on; empty for none.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Optimiser => "stage1",
            Self::Gradients => "stage2",
            Self::Parameters => "stage3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_a_place_of_its_own() {
        let degrees = Degrees { data_parallel: 2, sharding: 3, tensor_parallel: 2 };
        let mut seen = std::collections::BTreeSet::new();
        for rank in 0..degrees.ranks() {
            let at = degrees.coordinates(rank);
            assert!(seen.insert((at.data_parallel, at.sharding, at.tensor_parallel)));
            assert_eq!(degrees.data_rank(rank), at.data_parallel * 3 + at.sharding);
        }
        assert_eq!(degrees.coordinates(7), Coordinates { data_parallel: 1, sharding: 0, tensor_parallel: 1 });
    }
}
