//! How captions are written: what the command line, the screen and the engine agree on.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Settings of one generation. Lengths count the start of text, as open_clip's do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoding {
    /// How the next token is chosen.
    pub method: Method,
    /// Captions for each picture: the best beams, or so many draws.
    pub captions: u32,
    /// Divides the logits before a draw, after top-k and top-p (open_clip's order).
    pub temperature: f64,
    /// Makes ids that are there already less likely: above 1 a positive logit is divided by it, a negative one
    /// multiplied.
    pub repetition_penalty: f64,
    /// The end of text is forbidden before this length.
    pub min_len: u32,
    /// A caption ends here at the latest.
    pub max_len: u32,
    /// Text that every caption begins with.
    pub prompt: Option<String>,
    /// Seed of draws.
    pub seed: u64,
    /// Whose generation to reproduce to the last id, oddities included.
    pub compat: Option<Compat>,
}

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// The likeliest id.
    Greedy,
    /// Beam search over log-probabilities.
    Beam {
        /// Beams in all.
        beams: u32,
        /// Groups of beams; each is searched alone, so one is enough without a diversity penalty.
        groups: u32,
        /// Penalty for an id that an earlier group chose at the same step.
        diversity_penalty: f64,
        /// The score of a finished beam is divided by its length to this power.
        length_penalty: f64,
    },
    /// A draw, from the k likeliest ids and the smallest set of them whose probability reaches p.
    Sample {
        /// Keep so many ids.
        top_k: Option<u32>,
        /// Keep ids up to this probability in all.
        top_p: Option<f64>,
    },
}

/// A generation to be reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compat {
    /// open_clip 3.3.0 with transformers 4.49: raw logits instead of log-probabilities, identical groups, a prompt
    /// that beam search ignores.
    #[serde(rename = "openclip-3.3")]
    OpenClip33,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            method: Method::BEAM,
            captions: 1,
            temperature: 1.0,
            repetition_penalty: 1.0,
            min_len: 5,
            max_len: 30,
            prompt: None,
            seed: 42,
            compat: None,
        }
    }
}

impl Method {
    /// Six beams, as open_clip's default, in one group.
    pub const BEAM: Self = Self::Beam { beams: 6, groups: 1, diversity_penalty: 0.0, length_penalty: 1.0 };
}

/// A setting of [`Decoding`] that breaks its rule.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{name} = {value}: it takes {rule}")]
pub struct DecodingError {
    /// The setting.
    pub name: &'static str,
    /// What was given.
    pub value: String,
    /// What it takes.
    pub rule: String,
}

impl Decoding {
    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// The first setting that breaks its rule.
    pub fn validate(&self) -> Result<(), DecodingError> {
        let rule = |ok: bool, name: &'static str, value: String, rule: &str| match ok {
            true => Ok(()),
            false => Err(DecodingError { name, value, rule: rule.to_owned() }),
        };
        let above_0 = |x: f64| x > 0.0 && x.is_finite();
        rule(above_0(self.temperature), "temperature", self.temperature.to_string(), "a number above 0")?;
        let penalty = self.repetition_penalty;
        rule(above_0(penalty), "repetition_penalty", penalty.to_string(), "a number above 0")?;
        rule(self.captions > 0, "captions", self.captions.to_string(), "a whole number from 1")?;
        rule(self.max_len > 1, "max_len", self.max_len.to_string(), "a whole number from 2")?;
        let min = self.min_len;
        rule(min < self.max_len, "min_len", min.to_string(), "a whole number below max_len")?;
        match self.method {
            Method::Greedy => {
                rule(self.captions == 1, "captions", self.captions.to_string(), "1 when greedy")
            }
            Method::Beam { beams, groups, diversity_penalty, length_penalty } => {
                let fits = groups > 0 && beams > 0 && beams.is_multiple_of(groups);
                rule(fits, "groups", groups.to_string(), "a whole number that divides beams")?;
                let (d, l) = (diversity_penalty, length_penalty);
                rule(d >= 0.0 && d.is_finite(), "diversity_penalty", d.to_string(), "a number from 0")?;
                rule(l.is_finite(), "length_penalty", l.to_string(), "a finite number")?;
                rule(
                    self.captions <= beams,
                    "captions",
                    self.captions.to_string(),
                    "at most as many as beams",
                )
            }
            Method::Sample { top_k, top_p } => {
                rule(top_k != Some(0), "top_k", "0".to_owned(), "a whole number from 1")?;
                let p = top_p.unwrap_or(1.0);
                rule(p > 0.0 && p <= 1.0, "top_p", p.to_string(), "a number above 0, at most 1")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_the_setting() {
        let good = Decoding::default();
        assert_eq!(good.validate(), Ok(()));
        let bad = [
            ("temperature", Decoding { temperature: 0.0, ..good.clone() }),
            ("min_len", Decoding { min_len: 30, ..good.clone() }),
            ("captions", Decoding { captions: 7, ..good.clone() }),
            ("captions", Decoding { method: Method::Greedy, captions: 2, ..good.clone() }),
            ("top_p", Decoding { method: Method::Sample { top_k: None, top_p: Some(1.5) }, ..good.clone() }),
        ];
        for (name, decoding) in bad {
            assert_eq!(decoding.validate().unwrap_err().name, name);
        }
    }

    #[test]
    fn it_reads_back() {
        let all =
            Decoding { compat: Some(Compat::OpenClip33), prompt: Some("a".into()), ..Decoding::default() };
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.contains("openclip-3.3"), "{text}");
        assert_eq!(serde_json::from_str::<Decoding>(&text).unwrap(), all);
        assert_eq!(serde_json::from_str::<Decoding>("{}").unwrap(), Decoding::default());
    }
}
