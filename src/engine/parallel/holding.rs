//! What one rank holds of a model: its part of each matrix, its shards of those, and where each piece belongs in the
//! whole, which is how checkpoints of any mesh are read on any other.

use std::ops::Range;
use std::rc::Rc;

use models::shard::{self, Slice};
use run::events::StateBytes;
use run::mesh::Stage;
use tch::{Device, Kind, Tensor};

use super::{Mesh, ParallelError};
use crate::model::{CoCaConfig, ModelError, ParameterSpec, Parameters, Plan, Split};
use crate::optimiser::{LOGIT_SCALE_MAX, Trained};
use crate::shim;
use crate::shim::shards::Shards;

/// A piece of a parameter that this rank keeps and updates.
#[derive(Debug)]
pub struct Held {
    /// The parameter's name.
    pub name: String,
    /// Axes of the whole parameter.
    pub dimensions: usize,
    /// The values: an own tensor, or a stretch of a shard.
    pub values: Tensor,
    /// The rank's part of the whole parameter.
    pub slice: Slice,
    /// Elements of that part which are here.
    pub range: Range<usize>,
    /// Whether this rank counts them where ranks with the same part must count once.
    pub counted: bool,
    /// Where its gradient is.
    gradient: Place,
}

/// Where a piece's gradient is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the parameter, of which the piece is a stretch.
    Parameter(usize),
    /// In the gradient of a unit's shard, from here on; the number counts parameters by units.
    Shard { unit: usize, at: usize, parameter: usize },
}

/// All that a rank holds.
#[derive(Debug)]
pub struct Holding {
    stage: Stage,
    shards: Option<Shards>,
    split: Option<Rc<Split>>,
    pieces: Vec<Held>,
    /// By units: the parameters that had a gradient on any rank in this step.
    present: Vec<bool>,
    /// Bytes of what is not in shards.
    loose: u64,
}

impl Holding {
    /// Divides a whole model, the same on every rank, and keeps this rank's part: as parameters to compute with, and as
    /// what it holds. `whole` are the parameters of `specs`, in order; every tower has a head for each rank of the
    /// tensor-parallel axis ([`shard::check_heads`]).
    ///
    /// # Errors
    /// Ranks that do not come in time, or what libtorch said.
    pub fn divide(
        whole: Parameters,
        config: &CoCaConfig,
        specs: &[ParameterSpec],
        mesh: &Mesh,
        stage: Stage,
        recompute: bool,
    ) -> Result<(Parameters, Self), ParallelError> {
        let (degrees, at) = (mesh.degrees(), mesh.coordinates());
        let split = mesh.tensor_group()?.map(|group| Rc::new(Split::new(group)));
        let slices: Vec<Slice> = specs
            .iter()
            .map(|spec| shard::slice(config, spec, at.tensor_parallel, degrees.tensor_parallel))
            .collect();
        let mut tensors = Vec::with_capacity(specs.len());
        for (slice, tensor) in slices.iter().zip(whole.tensors()) {
            tensors.push(cut(slice, tensor)?.f_set_requires_grad(true)?);
        }
        let names: Vec<String> = whole.names().to_vec();
        drop(whole);
        let counted = |slice: &Slice| !slice.is_whole() || at.tensor_parallel == 0;
        let held = |index: usize, values: Tensor, range: Range<usize>, gradient: Place| -> Option<Held> {
            let slice = slices.get(index)?.clone();
            let counted = counted(&slice);
            let (name, dimensions) = (names.get(index)?.clone(), specs.get(index)?.shape.len());
            Some(Held { name, dimensions, values, slice, range, counted, gradient })
        };
        let (shard_group, copies) = match stage {
            Stage::None => (None, None),
            _ => mesh.sharding_groups()?,
        };
        let mut pieces = Vec::new();
        let mut plan = Plan { shards: None, recompute, split: split.clone() };
        let mut present = Vec::new();
        let mut loose = 0;
        if let Some(group) = shard_group {
            let shards = Shards::new(&group, copies.as_ref(), stage == Stage::Parameters)?;
            let units = shard::units(specs);
            for (number, unit) in units.iter().enumerate() {
                let of = |i: &usize| tensors.get(*i).map(Tensor::shallow_clone);
                let members: Vec<Tensor> = unit.members.iter().filter_map(of).collect();
                let numels: Vec<usize> = members.iter().map(Tensor::numel).collect();
                let leaves = shards.add(&members)?;
                drop(members);
                let own = shards.shard(number)?;
                for piece in shard::pieces(&numels, at.sharding, degrees.sharding).1 {
                    let Some(index) = unit.members.get(piece.member).copied() else { continue };
                    let (begin, len) = (piece.at as i64, piece.range.len() as i64);
                    let values = own.f_narrow(0, begin, len)?;
                    let gradient = match stage >= Stage::Gradients {
                        true => {
                            let parameter = present.len() + piece.member;
                            Place::Shard { unit: number, at: piece.at, parameter }
                        }
                        false => Place::Parameter(index),
                    };
                    pieces.extend(held(index, values, piece.range, gradient));
                }
                for (index, leaf) in unit.members.iter().zip(leaves) {
                    if let Some(tensor) = tensors.get_mut(*index) {
                        *tensor = leaf;
                    }
                    present.push(false);
                }
            }
            // Only where gradients or parameters are divided must blocks do more than compute.
            if stage >= Stage::Gradients {
                let paths = Rc::new(units.into_iter().map(|unit| unit.name).collect());
                plan.shards = Some((shards.clone(), paths));
            }
            let named = names.iter().cloned().zip(tensors).collect();
            let parameters = Parameters::planned(named, plan)?;
            let holding = Self { stage, shards: Some(shards), split, pieces, present, loose };
            return Ok((parameters, holding));
        }
        let mut named = Vec::with_capacity(names.len());
        for (index, leaf) in tensors.into_iter().enumerate() {
            loose += (leaf.numel() * leaf.kind().elt_size_in_bytes()) as u64;
            let range = 0..leaf.numel();
            pieces.extend(held(index, leaf.shallow_clone(), range, Place::Parameter(index)));
            named.push((names.get(index).cloned().unwrap_or_default(), leaf));
        }
        let parameters = Parameters::planned(named, plan)?;
        Ok((parameters, Self { stage: Stage::None, shards: None, split, pieces, present, loose }))
    }

    /// What is sharded.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The pieces, in a fixed order.
    pub fn pieces(&self) -> &[Held] {
        &self.pieces
    }

    /// What the optimiser updates: all pieces, in their order.
    pub fn trained(&self) -> Vec<Trained> {
        let trained = |held: &Held| Trained {
            name: held.name.clone(),
            dimensions: held.dimensions,
            values: held.values.shallow_clone(),
        };
        self.pieces.iter().map(trained).collect()
    }

    /// Whether gradients come to the shards by themselves; else the parameters hold them.
    pub fn shards_gradients(&self) -> bool {
        self.shards.is_some() && self.stage >= Stage::Gradients
    }

    /// Whether a rank's model is not whole, so that it cannot compute alone.
    pub fn is_divided(&self) -> bool {
        self.split.is_some() || (self.shards.is_some() && self.stage == Stage::Parameters)
    }

    /// A step begins: no gradients, and what is in no block is there to compute with.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn begin(&mut self, parameters: &Parameters) -> Result<(), ParallelError> {
        parameters.clear_gradients()?;
        if let Some(shards) = &self.shards {
            shards.clear()?;
            shards.gather(0)?;
        }
        self.present.fill(false);
        Ok(())
    }

    /// All backwards are done: the rest of the gradients is summed, and what is in no block is away again.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn finish(&mut self, mesh: &Mesh) -> Result<(), ParallelError> {
        let Some(shards) = &self.shards else { return Ok(()) };
        if self.stage >= Stage::Gradients {
            shards.reduce(0)?;
            let mut anywhere = Tensor::f_from_slice(&shards.finish(self.present.len())?)?;
            mesh.sum(&mut anywhere)?;
            let anywhere = <Vec<f32>>::try_from(&anywhere)?;
            self.present = anywhere.into_iter().map(|n| n > 0.0).collect();
        }
        Ok(shards.release(0)?)
    }

    /// The gradient of each piece, in their order, sharing storage; none where no rank has one.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn gradients(&self, parameters: &Parameters) -> Result<Vec<Option<Tensor>>, ParallelError> {
        let whole = match self.shards_gradients() {
            true => Vec::new(),
            false => parameters.gradients()?,
        };
        let mut out = Vec::with_capacity(self.pieces.len());
        for held in &self.pieces {
            let (at, len) = (held.range.start as i64, held.range.len() as i64);
            out.push(match held.gradient {
                Place::Parameter(index) => match whole.get(index).and_then(Option::as_ref) {
                    Some(gradient) if self.shards.is_none() => Some(gradient.shallow_clone()),
                    Some(gradient) => Some(gradient.f_reshape([-1])?.f_narrow(0, at, len)?),
                    None => None,
                },
                Place::Shard { unit, at, parameter } => {
                    let here = self.present.get(parameter).copied().unwrap_or(false);
                    match self.shards.as_ref().filter(|_| here) {
                        Some(shards) => {
                            shards.gradient(unit)?.map(|g| g.f_narrow(0, at as i64, len)).transpose()?
                        }
                        None => None,
                    }
                }
            });
        }
        Ok(out)
    }

    /// The 2-norm of the whole model's gradient, a float32 scalar, from every rank's pieces.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn gradient_norm(&self, mesh: &Mesh, gradients: &[Option<Tensor>]) -> Result<Tensor, ParallelError> {
        if self.shards.is_none() && self.split.is_none() {
            let all: Vec<Tensor> = gradients.iter().flatten().map(Tensor::shallow_clone).collect();
            return Ok(shim::gradient_norm(&all)?);
        }
        let counted = self.pieces.iter().zip(gradients).filter(|(held, _)| held.counted);
        let own: Vec<Tensor> = counted.filter_map(|(_, g)| Some(g.as_ref()?.shallow_clone())).collect();
        let device = self.pieces.first().map_or(Device::Cpu, |held| held.values.device());
        let mut squares = match own.is_empty() {
            true => Tensor::f_zeros([], (Kind::Float, device))?,
            false => shim::gradient_norm(&own)?.f_square()?,
        };
        mesh.sum_all(&mut squares)?;
        // Every piece is held by one rank of each copy; without shards, by every rank of the sharding axis, too.
        let degrees = mesh.degrees();
        let holders = if self.shards.is_some() { degrees.data_parallel } else { degrees.data_ranks() };
        Ok((squares / f64::from(holders.max(1))).f_sqrt()?)
    }

    /// The optimiser changed the pieces: makes parameters that are kept whole whole again.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn publish(&self) -> Result<(), ParallelError> {
        self.shards.as_ref().map_or(Ok(()), |shards| Ok(shards.publish()?))
    }

    /// Keeps the logit scale within its bounds, where it is here.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn clamp_logit_scale(&self) -> Result<(), ParallelError> {
        for held in self.pieces.iter().filter(|held| held.name == "logit_scale") {
            let mut scale = held.values.shallow_clone();
            tch::no_grad(|| scale.f_clamp_(0.0, LOGIT_SCALE_MAX).map(drop))?;
        }
        Ok(())
    }

    /// The value of a parameter of one number, on every rank.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn scalar(&self, mesh: &Mesh, name: &str) -> Result<Option<Tensor>, ParallelError> {
        let own = self.pieces.iter().find(|held| held.name == name);
        if self.shards.is_none() {
            return Ok(own.map(|held| held.values.f_detach()).transpose()?);
        }
        let device = self.pieces.first().map_or(Device::Cpu, |held| held.values.device());
        let mut value = match own {
            Some(held) => copy(&held.values.f_reshape([])?)?,
            None => Tensor::f_zeros([], (Kind::Float, device))?,
        };
        mesh.sum_all(&mut value)?;
        let degrees = mesh.degrees();
        Ok(Some(value / f64::from(degrees.data_parallel * degrees.tensor_parallel)))
    }

    /// Bytes of parameters that are on their way here for what computes next.
    pub fn coming(&self) -> u64 {
        self.shards.as_ref().map_or(0, Shards::coming)
    }

    /// Bytes of memory that parameters and gradients take now, and `optimiser`.
    ///
    /// # Errors
    /// What libtorch said.
    pub fn bytes(&self, parameters: &Parameters, optimiser: u64) -> Result<StateBytes, ParallelError> {
        match &self.shards {
            Some(shards) => {
                let (parameters, gradients) = shards.bytes()?;
                Ok(StateBytes { parameters, gradients, optimiser })
            }
            None => {
                let bytes = |t: &Tensor| (t.numel() * t.kind().elt_size_in_bytes()) as u64;
                let gradients = parameters.gradients()?.iter().flatten().map(bytes).sum();
                Ok(StateBytes { parameters: self.loose, gradients, optimiser })
            }
        }
    }

    /// The whole model's parameters on rank 0, gathered from all ranks, which call this together; none elsewhere.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn whole(
        &self,
        mesh: &Mesh,
        config: &CoCaConfig,
        specs: &[ParameterSpec],
        parameters: &Parameters,
    ) -> Result<Option<Parameters>, ParallelError> {
        let at = mesh.coordinates();
        if at.data_parallel > 0 {
            return Ok(None);
        }
        let mut tensors: Vec<Option<Tensor>> = specs.iter().map(|_| None).collect();
        for (number, unit) in shard::units(specs).iter().enumerate() {
            if let Some(shards) = &self.shards {
                shards.gather(number)?;
            }
            for index in &unit.members {
                let (Some(spec), Some(place)) = (specs.get(*index), tensors.get_mut(*index)) else {
                    continue;
                };
                if at.sharding == 0 {
                    *place = self.join(mesh, config, spec, &parameters.get(&spec.name)?)?;
                }
            }
            if let Some(shards) = &self.shards {
                shards.release(number)?;
            }
        }
        if !mesh.is_first() {
            return Ok(None);
        }
        let named = specs.iter().map(|spec| spec.name.clone()).zip(tensors);
        let named = named.map(|(name, tensor)| match tensor {
            Some(tensor) => Ok((name, tensor)),
            None => Err(ModelError::MissingParameter(name)),
        });
        Ok(Some(Parameters::from_named(named.collect::<Result<_, _>>()?)?))
    }

    /// One parameter from the parts that the tensor-parallel ranks of rank 0 have; none on the others.
    fn join(
        &self,
        mesh: &Mesh,
        config: &CoCaConfig,
        spec: &ParameterSpec,
        own: &Tensor,
    ) -> Result<Option<Tensor>, ParallelError> {
        let (at, size) = (mesh.coordinates().tensor_parallel, mesh.degrees().tensor_parallel);
        let Some(split) = &self.split else { return Ok(Some(copy(own)?)) };
        let mut whole =
            (at == 0).then(|| Tensor::f_zeros(&spec.shape, (own.kind(), own.device()))).transpose()?;
        for rank in 0..size {
            let slice = shard::slice(config, spec, rank, size);
            if slice.is_whole() {
                return (at == 0).then(|| copy(own)).transpose();
            }
            let mut part = match rank == at {
                true => own.f_detach()?.f_contiguous()?,
                false => Tensor::f_zeros(slice.shape(), (own.kind(), own.device()))?,
            };
            split.group().broadcast(&mut part, rank as usize, None)?;
            if let Some(whole) = &mut whole {
                let (axes, first, count) = slice.cut();
                let mut place = whole.f_view(axes)?.f_narrow(1, first, count)?;
                place.f_copy_(&part.f_view([axes[0], count, axes[2]])?)?;
            }
        }
        Ok(whole)
    }
}

/// A rank's part of a tensor, with storage of its own where it is not all.
fn cut(slice: &Slice, tensor: &Tensor) -> Result<Tensor, ParallelError> {
    let tensor = tensor.f_detach()?;
    if slice.is_whole() {
        return Ok(tensor);
    }
    let (axes, first, count) = slice.cut();
    copy(&tensor.f_view(axes)?.f_narrow(1, first, count)?.f_reshape(slice.shape())?)
}

/// The same values in storage of their own.
fn copy(of: &Tensor) -> Result<Tensor, ParallelError> {
    let of = of.f_detach()?;
    let mut copy = of.f_empty_like()?;
    copy.f_copy_(&of)?;
    Ok(copy)
}
