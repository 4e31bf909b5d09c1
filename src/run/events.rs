//! What a run's `events.jsonl` holds: one JSON object a line, `{"v":1,"t":…,"seq":…,"attempt":…,"type":…}`.
//!
//! Non-finite numbers are written as `null` and read back as NaN, since JSON has no other word for them.

use crate::mesh::Coordinates;
use crate::settings::Changes;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The version of the format.
pub const VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The format's version.
    pub v: u32,
    /// When: seconds since the Unix epoch.
    pub t: f64,
    /// Counts the events of a run from 0, without gaps.
    pub seq: u64,
    /// Counts the starts of the engine from 0; a later attempt supersedes what an earlier one said of later steps.
    pub attempt: u32,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// An attempt began and the engine knows its work.
    Started(Started),
    /// The attempt goes on from a checkpoint instead of from the start.
    Resumed {
        /// Step of the checkpoint: metrics of later steps are superseded.
        from_step: u64,
    },
    /// The run is alive although it has nothing else to say.
    Heartbeat {
        /// Optimiser steps done.
        step: u64,
    },
    /// The run's state changed.
    State {
        /// The new state.
        state: State,
        /// Optimiser steps done.
        step: u64,
        /// Why, when there is more to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A point of the curves.
    Metrics(Metrics),
    /// Memory of one rank.
    Memory(Memory),
    /// How parameters lie on the ranks.
    Layout(Layout),
    /// A caption that the model gave to a held-out picture.
    Sample(Sample),
    /// Progress or result of an evaluation.
    Evaluation(Evaluation),
    /// Settings were edited.
    SettingChanged {
        /// The new values.
        changes: Changes,
        /// The values before.
        previous: Changes,
        /// When it was asked for: seconds since the Unix epoch.
        requested: f64,
        /// Steps done when it took effect: the next step is the first with the new values.
        applied_at: u64,
    },
    /// A checkpoint is complete on disk.
    Checkpoint {
        /// Its step.
        step: u64,
        /// Its folder, relative to the run directory.
        path: String,
        /// Its size.
        bytes: u64,
        /// How long it took.
        seconds: f64,
        /// Whether it has the lowest held-out loss so far.
        best: bool,
    },
    /// Something a person should know of; the run goes on.
    Warning(Notice),
    /// Something that stopped a step, an attempt or the run.
    Error(Notice),
    /// The run ended.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Optimiser steps done.
        step: u64,
        /// More words, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An event of a newer version; kept out of the way.
    #[serde(other)]
    Unknown,
}

/// What an attempt begins with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// Model's name or its configuration's.
    pub model: String,
    /// Where its weights come from, in words: "from scratch, seed 42", "weights of …", "checkpoint step-500".
    pub weights: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Device in words: "cpu, 2 threads", "cuda:0 NVIDIA H100".
    pub device: String,
    /// Training samples in one epoch.
    pub samples: u64,
    /// Samples of one optimiser step over all ranks.
    pub batch_size: u64,
    /// Optimiser steps of the whole run.
    pub total_steps: u64,
    /// Ranks.
    pub world_size: u32,
    /// Versions: "cocaptain", "libtorch".
    pub versions: BTreeMap<String, String>,
}

/// A run's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Loading model and data.
    Starting,
    /// Doing steps.
    Running,
    /// Waiting at a step's end.
    Paused,
    /// Measuring, captioning or predicting between two steps.
    Evaluating,
    /// Writing a checkpoint.
    Saving,
    /// Finishing its step and saving, to end.
    Stopping,
    /// A rank died; waiting to start again.
    Restarting,
}

impl State {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Evaluating => "evaluating",
            Self::Saving => "saving",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps done.
    Completed,
    /// Somebody stopped it.
    Stopped,
    /// It could not go on.
    Failed,
}

fn nan_for_null<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::NAN))
}

/// A point of the curves. Means are over the steps since the last point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the data.
    #[serde(deserialize_with = "nan_for_null")]
    pub epoch: f64,
    /// Weighted sum of both losses, mean since the last point.
    #[serde(deserialize_with = "nan_for_null")]
    pub loss: f64,
    /// Contrastive loss times its weight.
    #[serde(deserialize_with = "nan_for_null")]
    pub contrastive_loss: f64,
    /// Caption loss times its weight.
    #[serde(deserialize_with = "nan_for_null")]
    pub caption_loss: f64,
    /// The schedule's learning rate at this step.
    #[serde(deserialize_with = "nan_for_null")]
    pub learning_rate: f64,
    /// Learning rate of each parameter group that has its own ("visual", "text").
    pub learning_rates: BTreeMap<String, f64>,
    /// exp(logit_scale): the contrastive loss's inverse temperature.
    #[serde(deserialize_with = "nan_for_null")]
    pub logit_scale: f64,
    /// Norm of all gradients before clipping.
    #[serde(deserialize_with = "nan_for_null")]
    pub grad_norm: f64,
    /// Samples of all ranks per second.
    #[serde(deserialize_with = "nan_for_null")]
    pub samples_per_second: f64,
    /// Seconds a step waited for data.
    #[serde(deserialize_with = "nan_for_null")]
    pub data_seconds: f64,
    /// Seconds of a step.
    #[serde(deserialize_with = "nan_for_null")]
    pub step_seconds: f64,
}

impl Metrics {
    /// The figures that every point has, under the names of their curves.
    pub fn named(&self) -> [(&'static str, f64); 9] {
        [
            ("loss", self.loss),
            ("contrastive_loss", self.contrastive_loss),
            ("caption_loss", self.caption_loss),
            ("learning_rate", self.learning_rate),
            ("logit_scale", self.logit_scale),
            ("grad_norm", self.grad_norm),
            ("samples_per_second", self.samples_per_second),
            ("data_seconds", self.data_seconds),
            ("step_seconds", self.step_seconds),
        ]
    }

    /// All figures under the names of their curves: [`Metrics::named`], then the learning rate of each group.
    pub fn curves(&self) -> impl Iterator<Item = (Cow<'static, str>, f64)> + '_ {
        let named = self.named().into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        let groups = self.learning_rates.iter();
        named.chain(groups.map(|(group, rate)| (Cow::Owned(format!("learning_rate.{group}")), *rate)))
    }
}

/// Memory of one rank, bytes. Absent values are not known, [`Memory::notes`] says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Optimiser steps done.
    pub step: u64,
    /// The rank.
    pub rank: u32,
    /// Its device: "cpu", "cuda:0".
    pub device: String,
    /// Seconds of a step, mean since the last report.
    pub step_seconds: Option<f64>,
    /// Of these, the seconds in which it did not wait for other ranks.
    pub own_seconds: Option<f64>,
    /// UUID of its GPU.
    pub uuid: Option<String>,
    /// NVML: in use on the device by all processes.
    pub device_used: Option<u64>,
    /// NVML: the device's memory.
    pub device_total: Option<u64>,
    /// libtorch's allocator: in live tensors.
    pub allocated: Option<u64>,
    /// libtorch's allocator: taken from the device.
    pub reserved: Option<u64>,
    /// libtorch's allocator: most in live tensors so far.
    pub peak: Option<u64>,
    /// Resident memory of the rank's process.
    pub resident: Option<u64>,
    /// Most resident memory so far.
    pub resident_peak: Option<u64>,
    /// Cores' worth of CPU time that the process used since the last report (2.0 = two cores busy).
    pub cpu_load: Option<f64>,
    /// Parameters.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// Optimiser state.
    pub optimiser: u64,
    /// Activations and other work memory: the most in live tensors during a step beyond what is held between steps.
    pub activations: Option<u64>,
    /// Why a value is absent.
    pub notes: BTreeMap<String, String>,
}

/// How parameters lie on the ranks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// Data-parallel degree.
    pub data_parallel: u32,
    /// Sharding degree.
    pub sharding: u32,
    /// Tensor-parallel degree.
    pub tensor_parallel: u32,
    /// "", "stage1", "stage2" or "stage3".
    pub stage: String,
    /// The model's shape, as open_clip's JSON: with it, `models::shard` tells where every element of a tensor is.
    pub model: String,
    /// One row a parameter group of the model (a tower's block, an embedding).
    pub rows: Vec<LayoutRow>,
    /// One place a rank.
    pub ranks: Vec<Place>,
}

/// A rank's place in the mesh, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Where it is.
    pub at: Coordinates,
    /// Its machine, from 0.
    pub node: u32,
    /// That machine's name.
    pub host: String,
    /// The first of the samples of a step's batch that it reads.
    pub first_row: u64,
    /// How many it reads.
    pub rows: u64,
    /// Bytes between two steps, by arithmetic on the model's shapes.
    pub predicted: StateBytes,
    /// The same as measured after the first step of the attempt.
    pub measured: Option<StateBytes>,
    /// What forward will leave for backward at most, by arithmetic; [`Memory::activations`] is what was measured.
    pub activations: Option<u64>,
}

/// Bytes of a rank's part of the model's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateBytes {
    /// Parameters.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// Optimiser state.
    pub optimiser: u64,
}

impl StateBytes {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.parameters + self.gradients + self.optimiser
    }
}

/// One row of the layout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayoutRow {
    /// Prefix of the tensors' names, such as `visual.transformer.resblocks.0`.
    pub name: String,
    /// Its parameters' bytes in whole.
    pub bytes: u64,
    /// Bytes on each rank.
    pub ranks: Vec<u64>,
}

/// A caption that the model gave to a held-out picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Optimiser steps done.
    pub step: u64,
    /// Which of the fixed pictures, from 0.
    pub index: u32,
    /// Path of the picture.
    pub image: String,
    /// What a person wrote.
    pub reference: String,
    /// What the model wrote.
    pub caption: String,
}

/// Progress or result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Optimiser steps done.
    pub step: u64,
    /// "held_out", "zero_shot", "captions".
    pub task: String,
    /// Samples done.
    pub done: u64,
    /// Samples in all.
    pub total: u64,
    /// Figures by name, when the evaluation is complete: "loss", "top1" and so on; shares are 0..1.
    pub result: Option<BTreeMap<String, f64>>,
}

/// A warning or an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// A word for programs: "non_finite_loss", "rank_died", "disk_full", "broken_record" and so on.
    pub kind: String,
    /// What, where, what to do.
    pub message: String,
    /// The rank that it is about.
    pub rank: Option<u32>,
    /// The step that it is about.
    pub step: Option<u64>,
}

impl Body {
    /// A warning.
    pub fn warning(kind: &str, message: impl Into<String>) -> Self {
        Self::Warning(Notice { kind: kind.to_owned(), message: message.into(), ..Notice::default() })
    }

    /// An error.
    pub fn error(kind: &str, message: impl Into<String>) -> Self {
        Self::Error(Notice { kind: kind.to_owned(), message: message.into(), ..Notice::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let e = Event {
            v: VERSION,
            t: 1.5,
            seq: 3,
            attempt: 0,
            body: Body::Metrics(Metrics { step: 7, loss: f64::NAN, ..Metrics::default() }),
        };
        let line = serde_json::to_string(&e).unwrap();
        assert!(line.contains(r#""type":"metrics""#) && line.contains(r#""loss":null"#), "{line}");
        let back: Event = serde_json::from_str(&line).unwrap();
        let Body::Metrics(m) = back.body else { panic!("{back:?}") };
        assert!(m.step == 7 && m.loss.is_nan());
    }

    #[test]
    fn newer_types_are_let_through() {
        let e: Event =
            serde_json::from_str(r#"{"v":1,"t":0,"seq":0,"attempt":0,"type":"telepathy","x":1}"#).unwrap();
        assert_eq!(e.body, Body::Unknown);
    }
}
