//! What a check looks at, and where it draws its lines.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use run::settings::Settings;

use crate::reader::ReadOptions;
use crate::tokenizer::{Tokenizer, TokenizerError};

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
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for Thresholds {
    fn from(settings: &Settings) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            min_side: small(settings.check_min_side),
            max_aspect: settings.check_max_aspect,
            dark: settings.check_dark,
            bright: settings.check_bright,
            blur: settings.check_blur,
            near_bits: small(settings.check_near_bits),
            near_difference: settings.check_near_difference,
            repeated_images: usize::try_from(settings.check_repeated_images).unwrap_or(usize::MAX),
            repeated_share: settings.check_repeated_share,
        }
    }
}

/// What counts the tokens of captions. It is loaded when a caption may be too long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tokens {
    /// They are not counted.
    #[default]
    Uncounted,
    /// CLIP's tokenizer.
    Clip,
    /// A tokenizer.json.
    File(PathBuf),
}

impl Tokens {
    /// The tokenizer; none where tokens are not counted.
    pub(super) fn load(&self) -> Option<Result<Tokenizer, TokenizerError>> {
        match self {
            Self::Uncounted => None,
            Self::Clip => Some(Tokenizer::clip()),
            Self::File(file) => Some(Tokenizer::from_file(file)),
        }
    }
}

/// Options of a check.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the dataset is read: format, folder of the pictures, names of fields.
    pub read: ReadOptions,
    /// The last stage.
    pub upto: Stage,
    /// Limits.
    pub thresholds: Thresholds,
    /// Counts the tokens of captions.
    pub tokens: Tokens,
    /// Tokens that the model reads, start and end included.
    pub context_length: usize,
    /// The folder where what was found out about pictures is kept for the next check; none keeps nothing.
    pub cache: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            upto: Stage::Content,
            thresholds: Thresholds::default(),
            tokens: Tokens::Uncounted,
            context_length: 76,
            cache: None,
        }
    }
}

impl From<&Settings> for Options {
    /// As the settings say, with CLIP's tokenizer and the user's cache.
    fn from(settings: &Settings) -> Self {
        Self {
            read: ReadOptions::from(settings),
            thresholds: Thresholds::from(settings),
            tokens: Tokens::Clip,
            context_length: settings.context_length.map_or(76, |length| length as usize),
            cache: run::dir::cache_folder().map(|folder| folder.join("checks")),
            ..Self::default()
        }
    }
}

/// How a check tells how far it is, and is told to stop.
pub struct Watch<'a> {
    /// Called with the stage, what is done and what there is, from several threads.
    pub progress: &'a (dyn Fn(Stage, usize, usize) + Sync),
    /// Called with what was just found, from several threads, in no order and without line and column. The report
    /// has all of it, in order.
    pub found: &'a (dyn Fn(&[super::Finding]) + Sync),
    /// Set, it ends soon, with what it has found.
    pub cancel: &'a AtomicBool,
}

impl<'a> Watch<'a> {
    /// Tells nobody anything.
    pub fn silent(cancel: &'a AtomicBool) -> Self {
        Self { progress: &|_, _, _| (), found: &|_| (), cancel }
    }
}

impl Watch<'_> {
    pub(super) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
