//! State of the devices tab, and what its grid and its list of tensors are made from.

use std::ops::Range;
use std::sync::Arc;

use models::shard::{Unit, pieces, slice, unit_bytes, units};
use models::{CoCaConfig, ParameterSpec, parameter_specs};
use run::events::{Layout, StateBytes};
use run::history::History;
use run::mesh::{Degrees, Stage};
use tui_input::Input;

/// A rank whose own time is so much longer than the others' median is a straggler...
const SLOW: f64 = 1.2;
/// ...when that is such a share of a step, too: shorter differences are noise.
const SLOW_SHARE: f64 = 0.1;
/// A rank that has not reported for so long while another has is silent.
const SILENT: u64 = 3;

/// What keys go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// The grid of ranks.
    #[default]
    Mesh,
    /// The list of tensors.
    Tensors,
}

/// State of the tab.
#[derive(Debug, Default)]
pub struct Devices {
    /// What keys go to.
    pub focus: Focus,
    /// The chosen rank.
    pub rank: usize,
    /// The chosen one of the listed tensors.
    pub tensor: usize,
    /// Words that a tensor's name must have.
    pub filter: Input,
    /// Whether keys go to the filter.
    pub filtering: bool,
}

/// The model's tensors and how the mesh divides them: arithmetic on the layout event.
#[derive(Debug)]
pub struct Tensors {
    config: CoCaConfig,
    /// Every parameter, in the model's order.
    pub specs: Vec<ParameterSpec>,
    /// What of them is gathered and freed together.
    units: Vec<Unit>,
    degrees: Degrees,
    stage: Stage,
}

/// What a rank has of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shape of the part that it computes with.
    pub shape: Vec<i64>,
    /// Whether that is the whole tensor.
    pub whole: bool,
    /// Elements of that part which it owns: it keeps their optimiser state, in stage2 their gradients, in stage3 them.
    pub owns: Option<Range<usize>>,
    /// Bytes of the tensor's parameters that it holds between two steps.
    pub bytes: u64,
}

impl Tensors {
    /// From a layout; none where it does not tell the model's shape.
    pub fn of(layout: &Layout) -> Option<Arc<Self>> {
        let config = CoCaConfig::from_json(&layout.model).ok()?;
        let degrees = Degrees {
            data_parallel: layout.data_parallel,
            sharding: layout.sharding,
            tensor_parallel: layout.tensor_parallel,
        };
        let stage = [Stage::Optimiser, Stage::Gradients, Stage::Parameters];
        let stage = stage.into_iter().find(|s| s.word() == layout.stage).unwrap_or(Stage::None);
        let specs = parameter_specs(&config);
        let units = units(&specs);
        Some(Arc::new(Self { config, specs, units, degrees, stage }))
    }

    /// The tensors whose names have all words, by their numbers.
    pub fn listed(&self, words: &str) -> Vec<usize> {
        let words: Vec<String> = words.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let has = |name: &str| words.iter().all(|word| name.to_lowercase().contains(word));
        self.specs.iter().enumerate().filter(|(_, spec)| has(&spec.name)).map(|(i, _)| i).collect()
    }

    /// What a tensor is gathered and freed with.
    fn unit(&self, index: usize) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.members.contains(&index))
    }

    /// What a rank has of a tensor.
    pub fn shard(&self, index: usize, rank: u32) -> Option<Shard> {
        let spec = self.specs.get(index)?;
        let at = self.degrees.coordinates(rank);
        let part = |spec| slice(&self.config, spec, at.tensor_parallel, self.degrees.tensor_parallel);
        let own = part(spec);
        let (shape, whole, numel) = (own.shape().to_vec(), own.is_whole(), own.numel());
        if self.stage == Stage::None || self.degrees.sharding <= 1 {
            return Some(Shard { shape, whole, owns: Some(0..numel), bytes: numel as u64 * 4 });
        }
        let unit = self.unit(index)?;
        let numels: Vec<usize> =
            unit.members.iter().filter_map(|i| self.specs.get(*i)).map(|spec| part(spec).numel()).collect();
        let member = unit.members.iter().position(|i| *i == index)?;
        let (_, all) = pieces(&numels, at.sharding, self.degrees.sharding);
        let owns = all.into_iter().find(|piece| piece.member == member).map(|piece| piece.range);
        let bytes = match self.stage {
            Stage::Parameters => owns.as_ref().map_or(0, |range| range.len() as u64 * 4),
            _ => numel as u64 * 4,
        };
        Some(Shard { shape, whole, owns, bytes })
    }

    /// The block that a tensor is gathered and freed with, and what a rank holds of all of it.
    pub fn block(&self, index: usize, rank: u32) -> Option<(String, StateBytes)> {
        let unit = self.unit(index)?;
        let at = self.degrees.coordinates(rank);
        let part = |spec| slice(&self.config, spec, at.tensor_parallel, self.degrees.tensor_parallel).numel();
        let numels: Vec<usize> = unit.members.iter().filter_map(|i| self.specs.get(*i)).map(part).collect();
        Some((unit.name.clone(), unit_bytes(&numels, self.degrees, self.stage, at)))
    }
}

/// One line of the grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankRow {
    /// The rank.
    pub rank: u32,
    /// Its machine, from 0, and that machine's name.
    pub node: u32,
    pub host: String,
    /// Its device; empty until it reported.
    pub device: String,
    /// Along the three axes: data, shard, tensor.
    pub at: [u32; 3],
    /// The samples of a step that it reads.
    pub samples: Range<u64>,
    /// A word.
    pub state: String,
    /// Whether that is a bad one.
    pub bad: bool,
    /// Seconds of a step, and of these the ones without waiting for others.
    pub step: Option<f64>,
    pub own: Option<f64>,
    /// Whether the others wait for it.
    pub slow: bool,
    /// Bytes of its state, measured where that is known.
    pub held: StateBytes,
    pub measured: bool,
    /// What forward leaves for backward.
    pub activations: Option<u64>,
    /// In use on its device by all, and the device's memory.
    pub device_memory: Option<(u64, u64)>,
}

/// The grid: one row a rank.
pub fn rows(history: &History, alive: bool) -> Vec<RankRow> {
    let places = history.layout.as_ref().map(|l| l.ranks.as_slice()).unwrap_or_default();
    let count = places.len().max(history.memory.keys().next_back().map_or(0, |rank| *rank as usize + 1));
    let newest = history.memory.values().map(|m| m.step).max().unwrap_or(0);
    let median = {
        let mut own: Vec<f64> = history.memory.values().filter_map(|m| m.own_seconds).collect();
        own.sort_by(f64::total_cmp);
        // The lower one of two: with two ranks the faster is what the other is compared with.
        own.get(own.len().saturating_sub(1) / 2).copied().filter(|_| own.len() > 1)
    };
    let row = |rank: u32| {
        let place = places.get(rank as usize).cloned().unwrap_or_default();
        let memory = history.memory.get(&rank);
        let (step, own) = memory.map_or((None, None), |m| (m.step_seconds, m.own_seconds));
        let slow = own.zip(median).is_some_and(|(own, median)| {
            own > median * SLOW && own - median > step.unwrap_or(0.0) * SLOW_SHARE
        });
        let (state, bad) = state_of(history, alive, rank, memory.map(|m| m.step), newest);
        RankRow {
            rank,
            node: place.node,
            host: place.host.clone(),
            device: memory.map_or_else(String::new, |m| m.device.clone()),
            at: [place.at.data_parallel, place.at.sharding, place.at.tensor_parallel],
            samples: place.first_row..place.first_row + place.rows,
            state,
            bad,
            step,
            own,
            slow,
            held: place.measured.unwrap_or(place.predicted),
            measured: place.measured.is_some(),
            activations: memory.and_then(|m| m.activations),
            device_memory: memory.and_then(|m| m.device_used.zip(m.device_total)),
        }
    };
    (0..u32::try_from(count).unwrap_or(0)).map(row).collect()
}

/// The run's state, unless something is known of this rank alone.
fn state_of(history: &History, alive: bool, rank: u32, reported: Option<u64>, newest: u64) -> (String, bool) {
    let since = history.resumed_at.unwrap_or(f64::MIN);
    let named = history.notices.iter().rev().take_while(|n| n.t >= since);
    let named =
        named.filter(|n| n.error && n.notice.rank == Some(rank)).find_map(|n| match n.notice.kind.as_str() {
            "rank_died" => Some("died"),
            "rank_hung" => Some("hung"),
            "rank_gone" => Some("gone"),
            "non_finite_loss" | "libtorch" | "data" | "device" | "out_of_memory" => Some("failed"),
            _ => None,
        });
    if let Some(word) = named {
        return (word.to_owned(), true);
    }
    if !alive {
        let word = if history.finished.is_some() { "ended" } else { "not alive" };
        return (word.to_owned(), false);
    }
    let state = history.state.as_ref().map_or("starting", |(state, _)| state.word());
    match reported {
        None if state == "starting" => ("starting".to_owned(), false),
        None => ("no report".to_owned(), false),
        Some(step) if step + SILENT.max(newest / 50) < newest => ("silent".to_owned(), true),
        Some(_) => (state.to_owned(), false),
    }
}

/// How uneven values are: what the greatest is above their mean, as a share.
pub fn imbalance(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let n = values.clone().count();
    #[allow(clippy::cast_precision_loss)]
    let mean = values.clone().sum::<f64>() / n as f64;
    let most = values.fold(f64::MIN, f64::max);
    (n > 1 && mean > 0.0).then(|| most / mean - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::events::Memory;

    fn layout(sharding: u32, tensor_parallel: u32, stage: &str) -> Layout {
        let model = CoCaConfig::named("coca_demo").unwrap().to_json().unwrap();
        Layout {
            data_parallel: 1,
            sharding,
            tensor_parallel,
            stage: stage.to_owned(),
            model,
            ..Layout::default()
        }
    }

    #[test]
    fn shards_of_a_tensor_are_all_of_it_once() {
        for (sharding, tensor, stage) in
            [(1, 1, ""), (2, 1, "stage1"), (3, 1, "stage3"), (2, 2, "stage3"), (1, 2, "")]
        {
            let tensors = Tensors::of(&layout(sharding, tensor, stage)).unwrap();
            for (index, spec) in tensors.specs.iter().enumerate() {
                let shards: Vec<Shard> =
                    (0..sharding * tensor).map(|rank| tensors.shard(index, rank).unwrap()).collect();
                let owned: usize = shards.iter().filter_map(|s| s.owns.as_ref()).map(Range::len).sum();
                let copies = if shards[0].whole { tensor } else { 1 };
                assert_eq!(owned, spec.numel() as usize * copies as usize, "{} {stage}", spec.name);
            }
        }
    }

    #[test]
    fn a_filter_needs_every_word() {
        let tensors = Tensors::of(&layout(1, 1, "")).unwrap();
        assert_eq!(tensors.listed("").len(), tensors.specs.len());
        let found = tensors.listed("visual in_proj weight");
        assert!(!found.is_empty() && found.iter().all(|i| tensors.specs[*i].name.starts_with("visual.")));
    }

    #[test]
    fn the_rank_for_which_others_wait_is_marked() {
        let mut history = History::default();
        for (rank, own) in [(0, 0.10), (1, 0.11), (2, 0.19)] {
            let own_seconds = Some(own);
            history.memory.insert(rank, Memory { rank, own_seconds, ..Memory::default() });
        }
        let slow: Vec<bool> = rows(&history, true).iter().map(|r| r.slow).collect();
        assert_eq!(slow, [false, false, true]);
        history.memory.remove(&0);
        let slow: Vec<bool> = rows(&history, true).iter().map(|r| r.slow).collect();
        assert_eq!(slow, [false, false, true], "of two, too");
        assert_eq!(imbalance([1.0, 1.0, 4.0].into_iter()), Some(1.0));
    }
}
