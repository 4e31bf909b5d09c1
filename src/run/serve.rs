//! An engine that loads a model once and answers many requests: what is asked, what is answered.
//!
//! The lines travel as [`crate::link::ToRank::Serve`] and [`crate::link::FromRank::Serve`], each with the number of its
//! request; [`LOADING`] is the number of the load itself, which is answered first. Every request has exactly one last
//! reply: [`Reply::is_last`]. Requests are worked on one after the other, in the order in which they came.

use crate::decoding::Decoding;
use crate::settings::Settings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The number under which loading is reported. Requests count from 1.
pub const LOADING: u64 = 0;

/// What to serve with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServeJob {
    /// Says which model (`model`, `model_config`, `tokenizer`), where and in what it computes (`device`, `threads`,
    /// `bf16`, `fp16`: the towers of evaluations) and where runs
    /// are looked for (`output_dir`); the rest is not looked at.
    pub settings: Settings,
    /// Which of several processes it is that share every request; none: there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// One of several processes that are asked for the same and share the work. Each answers for its own pictures; what
/// depends on all of them is told by the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Its number.
    pub rank: u32,
    /// How many there are.
    pub world_size: u32,
    /// Where they meet.
    pub rendezvous: crate::link::Rendezvous,
}

/// Something asked of a loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Captions of pictures, each reported as soon as it is there.
    Caption {
        /// The pictures, as they can be opened.
        #[serde(with = "crate::paths::several")]
        images: Vec<PathBuf>,
        /// How captions are written.
        decoding: Decoding,
        /// Pictures at a time.
        batch: u32,
        /// Whether every new token is to be reported.
        stream: bool,
    },
    /// Features of pictures and texts, into a safetensors file.
    Embed {
        /// The pictures; one that cannot be read fails the request, because rows must match.
        #[serde(with = "crate::paths::several")]
        images: Vec<PathBuf>,
        /// The texts.
        texts: Vec<String>,
        /// The file to write: `image_features` `[n,d]`, `text_features` `[m,d]`, float32, of length 1.
        #[serde(with = "crate::paths::one")]
        out: PathBuf,
        /// Pictures or texts at a time.
        batch: u32,
    },
    /// Zero-shot classification: the prompts make a classifier, each picture is answered with [`Reply::Classified`].
    Classify {
        /// The pictures.
        #[serde(with = "crate::paths::several")]
        images: Vec<PathBuf>,
        /// The prompts of each class.
        prompts: Vec<Vec<String>>,
        /// Classes to report of each picture, the likeliest first.
        keep: u32,
        /// Pictures at a time.
        batch: u32,
    },
    /// What prompts that are being edited do to a class, answered with [`Reply::Tuned`]. Features of pictures and of
    /// prompts are kept from request to request: only what is new is computed.
    Tune {
        /// The pictures; those that cannot be read are left out.
        #[serde(with = "crate::paths::several")]
        images: Vec<PathBuf>,
        /// The right class of each.
        classes: Vec<u32>,
        /// The prompts of each class.
        prompts: Vec<Vec<String>>,
        /// The class that is looked at.
        class: u32,
        /// Pictures at a time.
        batch: u32,
    },
    /// Retrieval of pictures by texts and of texts by pictures, answered with [`Reply::Ranks`],
    /// [`Reply::Found`] and [`Reply::Retrieved`].
    Retrieve {
        /// The pictures; those that cannot be read are left out, with their texts.
        #[serde(with = "crate::paths::several")]
        images: Vec<PathBuf>,
        /// The texts.
        texts: Vec<String>,
        /// Which picture each text belongs to.
        image_of_text: Vec<u32>,
        /// Pictures or texts at a time.
        batch: u32,
    },
    /// Ends an earlier request, at work or waiting; that one is answered [`Reply::Cancelled`], this one not at all.
    Cancel {
        /// The number of that request.
        id: u64,
    },
}

/// How a class fares with some prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Pictures of the class.
    pub n: u64,
    /// Those whose class came first.
    pub first: u64,
    /// Those whose class was among the first five.
    pub among_five: u64,
    /// Mean probability of the class over them: softmax of the logits over all classes, 0..1.
    pub probability: f64,
    /// Pictures of other classes.
    pub others: u64,
    /// Those of them that are taken for this class.
    pub claimed: u64,
    /// Pictures of any class whose class came first.
    pub all_first: u64,
}

/// One caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The caption.
    pub text: String,
    /// Its ids: the start of text first, the end of text last.
    pub ids: Vec<i64>,
    /// How likely the model finds it, as `engine::generate::Generated` says; `None` where it was not computed.
    pub score: Option<f64>,
}

/// What looks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A picture finds texts.
    Image,
    /// A text finds pictures.
    Text,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The model is loaded.
    Loaded {
        /// Its name.
        model: String,
        /// The file of its weights.
        weights: String,
        /// How many numbers it has.
        parameters: u64,
        /// Where it computes, for people.
        device: String,
        /// How long loading took.
        seconds: f64,
        /// Memory of the engine's process after it: resident bytes; 0 when the system did not say.
        resident: u64,
    },
    /// Where the request is.
    Progress {
        /// Pictures (and texts) that this process has done, those that could not be read counted.
        done: u64,
        /// In all.
        total: u64,
    },
    /// A caption grows.
    Token {
        /// Which picture of the request.
        index: u64,
        /// Which of its captions.
        caption: u32,
        /// All that is written so far.
        text: String,
    },
    /// The captions of a picture.
    Caption {
        /// Which picture of the request.
        index: u64,
        /// The captions, the best first where they have scores.
        captions: Vec<Written>,
        /// Seconds that its batch took in the model, divided by the pictures of the batch.
        seconds: f64,
    },
    /// The zero-shot classifier is being built.
    Classifier {
        /// Prompts done.
        done: u64,
        /// In all.
        total: u64,
    },
    /// The class of a picture.
    Classified {
        /// Which picture of the request.
        index: u64,
        /// The likeliest classes with their logits (100 times the cosine), the likeliest first.
        top: Vec<(u32, f32)>,
    },
    /// How the class fares with the prompts.
    Tuned(Tuned),
    /// How well texts and pictures find each other.
    Retrieved {
        /// `image_to_text_R@1`, `_R@5`, `_R@10`, `_mean_rank`, `_median_rank`, and the same of `text_to_image_`; shares
        /// are 0..1, ranks count from 1. `images` and `texts` are how many there were.
        figures: std::collections::BTreeMap<String, f64>,
    },
    /// Where the right one stands of some pictures or texts; all of them come in several of these, before
    /// [`Reply::Retrieved`].
    Ranks {
        /// Of pictures or of texts.
        of: Way,
        /// Which picture or text of the request, and its rank, from 1.
        ranks: Vec<(u64, u64)>,
    },
    /// What a picture or a text finds; of those whose rank is worst.
    Found {
        /// A picture or a text.
        of: Way,
        /// Which one of the request.
        index: u64,
        /// The texts (or pictures) of the request that stand first, with their cosines.
        top: Vec<(u64, f32)>,
    },
    /// A picture could not be read; the others go on.
    Unreadable {
        /// Which picture of the request.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Something to know that is no failure, for people.
    Note {
        /// What happened.
        message: String,
    },
    /// All is done.
    Done {
        /// How long it took.
        seconds: f64,
    },
    /// It cannot be done.
    Failed {
        /// A word for programs.
        kind: String,
        /// What, where, what to do.
        message: String,
    },
    /// It was ended by [`Request::Cancel`]; what was reported before stands.
    Cancelled,
}

impl Reply {
    /// Whether nothing more comes for the request.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Loaded { .. } | Self::Done { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{FromRank, ToRank};

    #[test]
    fn lines_read_back() {
        let request = Request::Caption {
            images: vec!["a b.jpg".into()],
            decoding: Decoding::default(),
            batch: 8,
            stream: true,
        };
        let line = ToRank::Serve { id: 3, request };
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains(r#""ask":"caption""#) && !text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<ToRank>(&text).unwrap(), line);
        let written = Written { text: "a cat".into(), ids: vec![1, 2], score: Some(-0.25) };
        let reply = Reply::Caption { index: 0, captions: vec![written], seconds: 0.5 };
        assert!(!reply.is_last());
        let line = FromRank::Serve { id: 3, reply };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<FromRank>(&text).unwrap(), line);
    }
}
