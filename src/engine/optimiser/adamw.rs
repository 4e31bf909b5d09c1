//! AdamW over the groups of a CoCa, by libtorch's fused kernels (CPU and CUDA).

use std::cell::OnceCell;
use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::OptimiserError;
use super::groups::{Rates, Tower, decays};
use crate::model::Parameters;
use crate::shim;
use crate::shim::adamw::{AdamWStep, AdamWTensors, Early};

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Keeps both moments in bfloat16: half their memory, 8 bits of each number.
    pub half_moments: bool,
}

impl Default for AdamWConfig {
    /// open_clip's for ViT models.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-6, half_moments: false }
    }
}

/// What is trained: a parameter, or a piece of one.
#[derive(Debug)]
pub struct Trained {
    /// The parameter's name.
    pub name: String,
    /// Axes of the whole parameter.
    pub dimensions: usize,
    /// Updated in place.
    pub values: Tensor,
}

/// What is trained, with its moments.
#[derive(Debug)]
struct Entry {
    name: String,
    parameter: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    /// Updates that this parameter has had, a float32 scalar on its device.
    step: Tensor,
    tower: Tower,
    decays: bool,
    /// Times the tower's rate.
    factor: f64,
}

/// The optimiser and its state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    entries: Vec<Entry>,
    early: OnceCell<Early>,
}

impl AdamW {
    /// Over all parameters that require gradients, moments at zero.
    pub fn new(parameters: &Parameters, config: AdamWConfig) -> Result<Self, OptimiserError> {
        let whole = |(name, values): (&str, &Tensor)| Trained {
            name: name.to_owned(),
            dimensions: values.dim(),
            values: values.shallow_clone(),
        };
        Self::over(parameters.iter().filter(|(_, t)| t.requires_grad()).map(whole).collect(), config)
    }

    /// Over these, moments at zero.
    pub fn over(trained: Vec<Trained>, config: AdamWConfig) -> Result<Self, OptimiserError> {
        let mut entries = Vec::with_capacity(trained.len());
        for Trained { name, dimensions, values } in trained {
            let kind = if config.half_moments { Kind::BFloat16 } else { Kind::Float };
            let zeros = || Tensor::f_zeros(values.size(), (kind, values.device()));
            entries.push(Entry {
                exp_avg: zeros()?,
                exp_avg_sq: zeros()?,
                step: Tensor::f_zeros([], (Kind::Float, values.device()))?,
                tower: Tower::of(&name),
                decays: decays(&name, dimensions),
                factor: 1.0,
                parameter: values,
                name,
            });
        }
        Ok(Self { config, entries, early: OnceCell::new() })
    }

    /// Gives each parameter a factor to its rate, by its name.
    pub fn set_rate_factors(&mut self, factor: impl Fn(&str) -> f64) {
        for entry in &mut self.entries {
            entry.factor = factor(&entry.name);
        }
    }

    /// Gradients there are, in parameter order, sharing storage.
    pub fn gradients(&self) -> Result<Vec<Tensor>, OptimiserError> {
        Ok(shim::gradients(&self.parameters())?.into_iter().flatten().collect())
    }

    /// One update with the gradients that the parameters hold; a parameter without one is left alone, its
    /// moments and step count too. `skip`, a float32 scalar on the device, is 1 to leave everything alone
    /// (say, after a loss that is not finite) and else 0; nothing waits for it.
    pub fn step(&mut self, rates: &Rates, skip: Option<&Tensor>) -> Result<(), OptimiserError> {
        let gradients = shim::gradients(&self.parameters())?;
        self.step_by(gradients, rates, skip)
    }

    /// The same with gradients from elsewhere, one for each of what is trained, in order.
    pub fn step_by(
        &mut self,
        gradients: Vec<Option<Tensor>>,
        rates: &Rates,
        skip: Option<&Tensor>,
    ) -> Result<(), OptimiserError> {
        let mut groups: BTreeMap<(Tower, bool, u64), AdamWTensors> = BTreeMap::new();
        for (entry, gradient) in self.entries.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let group = groups.entry((entry.tower, entry.decays, entry.factor.to_bits())).or_default();
            group.parameters.push(entry.parameter.shallow_clone());
            group.gradients.push(gradient);
            group.exp_avgs.push(entry.exp_avg.shallow_clone());
            group.exp_avg_sqs.push(entry.exp_avg_sq.shallow_clone());
            group.steps.push(entry.step.shallow_clone());
        }
        for ((tower, decays, factor), tensors) in groups {
            let (lr, weight_decay) = rates.of(tower, decays);
            let lr = lr * f64::from_bits(factor);
            shim::adamw::step(&tensors, self.numbers(lr, weight_decay), skip)?;
        }
        Ok(())
    }

    fn numbers(&self, lr: f64, weight_decay: f64) -> AdamWStep {
        let AdamWConfig { beta1, beta2, eps, .. } = self.config;
        AdamWStep { lr, beta1, beta2, weight_decay, eps }
    }

    /// Has the next backward update each parameter as soon as its gradient is complete, and free the gradient. The
    /// parameters are leaves, all of what is trained is whole. A parameter is left alone where `loss` or its own gradient
    /// is not finite. [`AdamW::finish_early`] comes after backward.
    pub fn step_in_backward(&self, rates: &Rates, loss: &Tensor) -> Result<(), OptimiserError> {
        let of = |entry: &Entry| {
            let (lr, weight_decay) = rates.of(entry.tower, entry.decays);
            (lr * entry.factor, weight_decay)
        };
        let rates: Vec<_> = self.entries.iter().map(of).collect();
        if self.early.get().is_none() {
            let mut tensors = AdamWTensors::default();
            for entry in &self.entries {
                tensors.parameters.push(entry.parameter.shallow_clone());
                tensors.exp_avgs.push(entry.exp_avg.shallow_clone());
                tensors.exp_avg_sqs.push(entry.exp_avg_sq.shallow_clone());
                tensors.steps.push(entry.step.shallow_clone());
            }
            let _ = self.early.set(Early::new(&tensors)?);
        }
        let early = self.early.get();
        early.map_or(Ok(()), |early| Ok(early.arm(&rates, self.numbers(0.0, 0.0), loss)?))
    }

    /// The updates in backward are done: the norm of all gradients, a float32 scalar on the device.
    pub fn finish_early(&self) -> Result<Tensor, OptimiserError> {
        match self.early.get() {
            Some(early) => Ok(early.finish()?),
            None => Ok(shim::gradient_norm(&self.gradients()?)?),
        }
    }

    /// The state of what is trained, in order: first and second moments, and the count of updates. They share storage
    /// with the state.
    pub fn moments(&self) -> impl Iterator<Item = [Tensor; 3]> + '_ {
        self.entries.iter().map(|entry| entry.parts().map(|(_, tensor)| tensor.shallow_clone()))
    }

    /// Its state under names: `exp_avg.NAME`, `exp_avg_sq.NAME` and `step.NAME` for each parameter.
    /// The tensors share storage with the state: write them out before the next step.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::with_capacity(3 * self.entries.len());
        for entry in &self.entries {
            for (kind, tensor) in entry.parts() {
                out.push((format!("{kind}.{}", entry.name), tensor.shallow_clone()));
            }
        }
        out
    }

    /// Names and shapes that [`AdamW::load_state`] asks for.
    pub fn state_shapes(&self) -> Vec<(String, Vec<i64>)> {
        self.state().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
    }

    /// Copies a state in that [`AdamW::state`] gave. A missing, surplus or mis-shaped tensor is an error, and
    /// nothing is changed then.
    pub fn load_state(&mut self, state: Vec<(String, Tensor)>) -> Result<(), OptimiserError> {
        let mut given: BTreeMap<String, Tensor> = state.into_iter().collect();
        let mut copies = Vec::with_capacity(given.len());
        for (name, mut to) in self.state() {
            let from = given.remove(&name).ok_or_else(|| OptimiserError::MissingState(name.clone()))?;
            if from.size() != to.size() {
                return Err(OptimiserError::StateShape { name, expected: to.size(), found: from.size() });
            }
            copies.push(move || to.f_copy_(&from).map(drop));
        }
        if let Some(name) = given.into_keys().next() {
            return Err(OptimiserError::UnknownState(name));
        }
        tch::no_grad(|| copies.into_iter().try_for_each(|mut copy| copy()))?;
        Ok(())
    }

    /// Bytes of the state.
    pub fn state_bytes(&self) -> usize {
        let bytes = |t: &Tensor| t.numel() * t.kind().elt_size_in_bytes();
        self.entries.iter().map(|e| e.parts().map(|(_, t)| bytes(t)).iter().sum::<usize>()).sum()
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.entries.iter().map(|e| e.parameter.shallow_clone()).collect()
    }
}

impl Entry {
    fn parts(&self) -> [(&'static str, &Tensor); 3] {
        [("exp_avg", &self.exp_avg), ("exp_avg_sq", &self.exp_avg_sq), ("step", &self.step)]
    }
}
