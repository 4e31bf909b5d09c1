//! How the model's state lies on the ranks, as predicted and as measured.

use models::activations::{Work, activations};
use models::shard::{block_of, predict, slice, unit_bytes, units};
use run::events::{Body, Layout, LayoutRow, Place, StateBytes};
use run::mesh::Degrees;

use super::{TrainError, Trainer};

/// Bytes of a float32.
const FLOAT: u64 = 4;

impl Trainer<'_> {
    /// The layout, with what every rank measured where that is known.
    pub(super) fn layout(&self, measured: Option<&[StateBytes]>) -> Layout {
        let (degrees, stage) = (self.mesh.degrees(), self.settings.stage());
        let config = &self.model.config;
        let per_part = self.settings.per_device_train_batch_size * self.settings.gradient_accumulation_steps;
        let per_node = u32::try_from(self.settings.nproc_per_node).unwrap_or(1).max(1);
        let lengths = (self.lengths.longest, self.lengths.mean);
        let work = Work::of(&self.settings, degrees, lengths, !self.compute.device.is_cuda());
        let ranks = (0..degrees.ranks()).map(|rank| Place {
            at: degrees.coordinates(rank),
            node: self.mesh.member(rank).map_or(rank / per_node, |m| m.node),
            host: self.mesh.member(rank).map_or_else(run::lock::host, |m| m.machine.clone()),
            first_row: u64::from(degrees.data_rank(rank)) * per_part,
            rows: per_part,
            predicted: self
                .settings
                .held(predict(config, &self.specs, degrees, stage, rank, |name| self.settings.trains(name))),
            measured: measured.and_then(|all| all.get(rank as usize)).copied(),
            activations: Some(activations(config, &self.specs, degrees, degrees.coordinates(rank), &work)),
        });
        Layout {
            data_parallel: degrees.data_parallel,
            sharding: degrees.sharding,
            tensor_parallel: degrees.tensor_parallel,
            stage: stage.word().to_owned(),
            model: config.to_json().unwrap_or_default(),
            rows: self.rows(degrees),
            ranks: ranks.collect(),
        }
    }

    /// One row a block or loose tensor: its parameters' bytes, and what each rank has of them between two steps.
    fn rows(&self, degrees: Degrees) -> Vec<LayoutRow> {
        let config = &self.model.config;
        let mut rows: Vec<LayoutRow> = Vec::new();
        for unit in units(&self.specs) {
            let members = || unit.members.iter().filter_map(|i| self.specs.get(*i));
            let part = |spec, rank: u32| {
                let at = degrees.coordinates(rank).tensor_parallel;
                slice(config, spec, at, degrees.tensor_parallel).numel()
            };
            if !unit.name.is_empty() {
                let of = |rank| {
                    let numels: Vec<usize> = members().map(|spec| part(spec, rank)).collect();
                    unit_bytes(&numels, degrees, self.settings.stage(), degrees.coordinates(rank)).parameters
                };
                let bytes = members().map(|spec| spec.numel().unsigned_abs() * FLOAT).sum();
                rows.push(LayoutRow {
                    name: unit.name.clone(),
                    bytes,
                    ranks: (0..degrees.ranks()).map(of).collect(),
                });
                continue;
            }
            // What is in no block is one unit, and many things: each has its own row, divided as the unit is.
            for (index, spec) in members().enumerate() {
                let of = |rank: u32| {
                    let numels: Vec<usize> = members().map(|spec| part(spec, rank)).collect();
                    match self.settings.stage() {
                        run::mesh::Stage::Parameters => {
                            let at = degrees.coordinates(rank).sharding;
                            let (_, pieces) = models::shard::pieces(&numels, at, degrees.sharding);
                            let own = pieces.iter().filter(|piece| piece.member == index);
                            own.map(|piece| piece.range.len() as u64 * FLOAT).sum()
                        }
                        _ => numels.get(index).map_or(0, |n| *n as u64 * FLOAT),
                    }
                };
                let row = LayoutRow {
                    name: loose_name(&spec.name).to_owned(),
                    bytes: spec.numel().unsigned_abs() * FLOAT,
                    ranks: (0..degrees.ranks()).map(of).collect(),
                };
                match rows.last_mut().filter(|last| last.name == row.name) {
                    Some(last) => {
                        last.bytes += row.bytes;
                        last.ranks.iter_mut().zip(row.ranks).for_each(|(sum, more)| *sum += more);
                    }
                    None => rows.push(row),
                }
            }
        }
        rows
    }

    /// Bytes of this rank's part of the state now.
    pub(super) fn state_bytes(&self) -> Result<StateBytes, TrainError> {
        Ok(self.holding.bytes(&self.parameters, self.optimiser.state_bytes() as u64)?)
    }

    /// After the first step of an attempt: what every rank really holds.
    pub(super) fn measure_layout(&mut self) -> Result<(), TrainError> {
        if !std::mem::replace(&mut self.measured, true) {
            let all = self.mesh.all_say(&self.state_bytes()?)?;
            self.link.event(Body::Layout(self.layout(Some(&all))));
        }
        Ok(())
    }
}

/// A loose tensor's row: its name but for the last part; a name of one part as it is.
fn loose_name(name: &str) -> &str {
    debug_assert!(block_of(name).is_none());
    name.rsplit_once('.').map_or(name, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_of_loose_tensors() {
        assert_eq!(super::loose_name("text.token_embedding.weight"), "text.token_embedding");
        assert_eq!(super::loose_name("logit_scale"), "logit_scale");
    }
}
