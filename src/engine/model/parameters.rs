//! The parameters of a model, by name and in open_clip's order.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use super::{Init, ModelError, ParameterSpec, Plan};
use crate::shim;

/// Named float32 tensors that require gradients. Handles share storage: a model built on a store sees what
/// an optimiser does to it.
#[derive(Debug, Default)]
pub struct Parameters {
    names: Vec<String>,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
    plan: Plan,
}

impl Parameters {
    /// Fresh parameters: each a function of (`seed`, its name, its shape) and nothing else, so that every
    /// mesh of processes starts alike. Drawn on the CPU, then moved.
    pub fn initialise(specs: &[ParameterSpec], seed: u64, device: Device) -> Result<Self, ModelError> {
        let mut named = Vec::with_capacity(specs.len());
        for spec in specs {
            let options = (Kind::Float, Device::Cpu);
            let mut t = Tensor::f_empty(&spec.shape, options)?;
            match spec.init {
                Init::Constant(value) => t = t.f_fill_(value)?,
                Init::Normal { std } => shim::fill_normal(&mut t, 0.0, std, seed_for(seed, &spec.name))?,
                Init::Uniform { bound } => {
                    shim::fill_uniform(&mut t, -bound, bound, seed_for(seed, &spec.name))?
                }
            }
            named.push((spec.name.clone(), t.f_to_device(device)?));
        }
        Self::from_named(named)
    }

    /// A store of these tensors, in this order. They are made leaves that require gradients.
    pub fn from_named(named: Vec<(String, Tensor)>) -> Result<Self, ModelError> {
        let mut store = Self::default();
        for (name, tensor) in named {
            if store.index.insert(name.clone(), store.names.len()).is_some() {
                return Err(ModelError::DuplicateParameter(name));
            }
            store.names.push(name);
            store.tensors.push(tensor.f_detach()?.f_set_requires_grad(true)?);
        }
        Ok(store)
    }

    /// A store of this rank's part of a model: leaves that are there already, and how blocks on them are computed.
    pub fn planned(named: Vec<(String, Tensor)>, plan: Plan) -> Result<Self, ModelError> {
        let mut store = Self { plan, ..Self::default() };
        for (name, tensor) in named {
            if store.index.insert(name.clone(), store.names.len()).is_some() {
                return Err(ModelError::DuplicateParameter(name));
            }
            store.names.push(name);
            store.tensors.push(tensor);
        }
        Ok(store)
    }

    /// How a model on these parameters is computed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A handle on the parameter of this name.
    pub fn get(&self, name: &str) -> Result<Tensor, ModelError> {
        let at = self.index.get(name).and_then(|i| self.tensors.get(*i));
        at.map(Tensor::shallow_clone).ok_or_else(|| ModelError::MissingParameter(name.to_owned()))
    }

    /// Names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Tensors, in the order of [`Parameters::names`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Names with tensors, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.tensors)
    }

    /// Parameters there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Numbers there are, over all parameters.
    pub fn numel(&self) -> usize {
        self.tensors.iter().map(Tensor::numel).sum()
    }

    /// Gradients in order, sharing storage; `None` where backward left none.
    pub fn gradients(&self) -> Result<Vec<Option<Tensor>>, ModelError> {
        Ok(shim::gradients(&self.tensors)?)
    }

    /// Drops all gradients (not zeroes: the next backward stores its own instead of adding).
    pub fn clear_gradients(&self) -> Result<(), ModelError> {
        Ok(shim::clear_gradients(&self.tensors)?)
    }

    /// Says which parameters are trained: those whose name `trains` accepts.
    pub fn set_trainable(&self, trains: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        for (name, tensor) in self.iter() {
            let _ = tensor.f_set_requires_grad(trains(name))?;
        }
        Ok(())
    }
}

/// A seed for one parameter: FNV-1a over seed and name, then mixed, because the generator only takes 32 bits.
fn seed_for(seed: u64, name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().into_iter().chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) & 0xffff_ffff
}
