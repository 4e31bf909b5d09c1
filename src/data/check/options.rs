//! What a check looks at, and where it draws its lines.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tokenizer::Tokenizer;

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Parse the annotations and look at their fields.
    Schema,
    /// Find the pictures' files and read their headers.
    Files,
    /// Decode every picture, compare them, count tokens.
    Content,
}

impl Stage {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Files => "files",
            Self::Content => "content",
        }
    }
}

/// Where a picture or caption becomes a finding.
#[derive(Debug, Clone)]
pub struct Thresholds {
    /// Pictures with a shorter side are outliers, in pixels.
    pub min_side: u32,
    /// Pictures whose longer side is more times the shorter one are outliers.
    pub max_aspect: f64,
    /// Pictures with a lower mean brightness (0 to 255) are dark.
    pub dark: f64,
    /// Pictures with a higher mean brightness (0 to 255) are bright.
    pub bright: f64,
    /// Pictures whose sharpest edges (second difference of brightness) are weaker are blurred; 0 turns it off.
    pub blur: f64,
    /// Bits of 64 in which the perceptual hashes of near duplicates may differ, at most 7.
    pub near_bits: u32,
    /// Mean difference of pixels (0 to 255) of near duplicates.
    pub near_difference: f64,
    /// A caption of so many pictures is repeated.
    pub repeated_images: usize,
    /// And of this share of all pictures.
    pub repeated_share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            min_side: 16,
            max_aspect: 6.0,
            dark: 16.0,
            bright: 242.0,
            blur: 8.0,
            near_bits: 6,
            near_difference: 1.5,
            repeated_images: 5,
            repeated_share: 0.02,
        }
    }
}

/// Options of a check.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the pictures, where the annotations do not lie beside them.
    pub image_root: Option<PathBuf>,
    /// The last stage.
    pub upto: Stage,
    /// Limits.
    pub thresholds: Thresholds,
    /// Counts the tokens of captions; none leaves it out.
    pub tokenizer: Option<Tokenizer>,
    /// Tokens that the model reads, start and end included.
    pub context_length: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image_root: None,
            upto: Stage::Content,
            thresholds: Thresholds::default(),
            tokenizer: None,
            context_length: 76,
        }
    }
}

/// How a check tells how far it is, and is told to stop.
pub struct Watch<'a> {
    /// Called with the stage, what is done and what there is, from several threads.
    pub progress: &'a (dyn Fn(Stage, usize, usize) + Sync),
    /// Set, it ends soon, with what it has found.
    pub cancel: &'a AtomicBool,
}

impl Watch<'_> {
    pub(super) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
