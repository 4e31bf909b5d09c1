//! The supervisor's private line to a rank: JSON lines over a socketpair, whose end the rank inherits.
//!
//! The rank says hello, is given its job, then reports and answers requests at step boundaries. The end of the line is
//! the end of the rank: it exits at once, so that no orphan computes on.

use crate::control::Request;
use crate::events::Body;
use crate::settings::{Changes, Settings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The variable that names the rank's descriptor of the line.
pub const DESCRIPTOR: &str = "COCAPTAIN_LINK";

/// Exit status of a rank that reported an [`FromRank::Failed`] itself: starting it again will not help when the same
/// error comes at the same step.
pub const FAILED_STATUS: i32 = 3;

/// [`FromRank::Failed`] of a rank whose call to the others failed because one did not answer in time.
pub const RANK_SILENT: &str = "rank_silent";

/// The same, because another rank's connection ended: what ended that rank is the cause.
pub const RANK_GONE: &str = "rank_gone";

/// A line from the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToRank {
    /// What to do; the first line.
    Job(Box<Job>),
    /// A request to be agreed at the next step boundary.
    Request {
        /// Comes back in the acknowledgement.
        id: u64,
        /// When it was asked for: seconds since the Unix epoch.
        requested: f64,
        /// What is asked. Status and stop-now never come here: the supervisor does them alone.
        request: Request,
    },
    /// Something asked of an engine that serves.
    Serve {
        /// Comes back in the replies; counts from 1.
        id: u64,
        /// What is asked.
        request: crate::serve::Request,
    },
}

/// A line from a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromRank {
    /// The first line: which sources it was built from.
    Hello {
        /// [`crate::BUILD_ID`] of the engine.
        build: String,
    },
    /// Something for `events.jsonl`.
    Event {
        /// What happened.
        body: Body,
    },
    /// Optimiser steps done; every step, for the supervisor's own use.
    Step {
        /// Optimiser steps done.
        step: u64,
    },
    /// All ranks have met; the name of their attempt, where several supervisors have a part in it.
    Met {
        /// Never the same twice.
        attempt: String,
    },
    /// A checkpoint is complete; of ranks that do not write the event that says so.
    Saved,
    /// A request took effect.
    Done {
        /// The request's.
        id: u64,
        /// Optimiser steps done when it took effect.
        step: u64,
        /// More words, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A request was refused.
    Refused {
        /// The request's.
        id: u64,
        /// What, where, what to do.
        message: String,
    },
    /// All work is done, or a stop was carried out; the rank exits with status 0 after this.
    End {
        /// Whether all steps were done (else it was stopped).
        completed: bool,
        /// Optimiser steps done.
        step: u64,
        /// More words, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The rank cannot go on; it exits with [`FAILED_STATUS`] after this.
    Failed {
        /// A word for programs.
        kind: String,
        /// What, where, what to do.
        message: String,
        /// Optimiser steps done.
        step: u64,
        /// Whether a restart from the last checkpoint may help.
        retry: bool,
    },
    /// An answer of an engine that serves.
    Serve {
        /// The request's.
        id: u64,
        /// The answer.
        reply: crate::serve::Reply,
    },
}

/// What a rank is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Train.
    Train(TrainJob),
    /// Load a model and answer requests until the line ends.
    Serve(crate::serve::ServeJob),
}

/// A training job of one rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainJob {
    /// The run directory.
    pub run: PathBuf,
    /// The run's settings, as in its `config.toml`.
    pub settings: Settings,
    /// Checkpoint to go on from, verified.
    pub checkpoint: Option<PathBuf>,
    /// Edits after the checkpoint that were acknowledged before: to be applied again at their own steps.
    pub edits: Vec<Edit>,
    /// Counts the starts of the engine.
    pub attempt: u32,
    /// This rank.
    pub rank: u32,
    /// Ranks in all.
    pub world_size: u32,
    /// Its machine, from 0.
    pub node: u32,
    /// Its number on that machine, which chooses the device.
    pub local_rank: u32,
    /// Whether it speaks for all ranks to its supervisor: what all know alike is left to this one.
    pub leads: bool,
    /// Where the ranks meet, when there is more than one.
    pub rendezvous: Option<Rendezvous>,
}

/// Where the ranks of an attempt meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendezvous {
    /// Address of rank 0's store.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Own address, over which this rank talks to the others.
    pub interface: String,
    /// Counts attempts: no rank of an older one can join.
    pub generation: u32,
    /// Rank 0's descriptor of the listener for the store.
    pub listener: Option<i32>,
    /// Seconds after which a rank that does not answer counts as hung.
    pub timeout: u64,
    /// Where several supervisors have ranks in it: how they find and check one another.
    pub joint: Option<Joint>,
}

/// A rendezvous of several supervisors' ranks: rank 0 decides what all do, and refuses those that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joint {
    /// This machine's name, for people.
    pub machine: String,
    /// Names the supervisor: two of them with the same ranks are one too many.
    pub supervisor: String,
    /// Keys of ours in a store that a launcher serves (torchrun's agent); empty where rank 0 serves it.
    pub prefix: String,
    /// Seconds that ranks wait for the others to come.
    pub patience: u64,
    /// The attempt that this supervisor saw end last: the next one is awaited.
    pub over: Option<String>,
}

/// An acknowledged edit of settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Steps done when it took effect.
    pub applied_at: u64,
    /// The new values.
    pub changes: Changes,
}
