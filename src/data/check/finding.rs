//! What a check finds: kind, severity, place, and what to do.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Training cannot use it, or would learn something false.
    Error,
    /// It is likely not meant.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// Its name in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $doc:literal;)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = $doc] $kind,)* }

        impl Kind {
            /// All kinds, in the order of the stages.
            pub const ALL: &[Kind] = &[$(Self::$kind),*];

            /// Its name in every output.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)* }
            }

            /// What it means, in a sentence.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$kind => $doc,)* }
            }
        }
    };
}

kinds! {
    Unreadable "unreadable" Error "A file or folder cannot be read.";
    BadJson "bad_json" Error "The annotations are no JSON.";
    PythonLiteral "python_literal" Error "A Python literal in single quotes, where JSON needs double ones.";
    BadTable "bad_table" Error "A row has not the columns of its header.";
    BrokenEntry "broken_entry" Error "An entry that cannot be read.";
    WrongForm "wrong_form" Error "Readable, but no list of entries with pictures and captions.";
    NoEntries "no_entries" Error "There is not one entry.";
    MissingField "missing_field" Error "An entry lacks a field.";
    WrongType "wrong_type" Error "A field has another type than its format wants.";
    DuplicateField "duplicate_field" Warning "An entry has the same field twice.";
    EmptyCaption "empty_caption" Error "A caption without text.";
    NonTextCaption "non_text_caption" Warning "A caption without a letter.";
    Encoding "encoding" Warning "Text damaged by a wrong encoding.";
    TerminalEscape "terminal_escape" Warning "Control or direction characters in a text.";
    SpecialToken "special_token" Warning "A caption holds a token with a meaning to the model.";
    LongCaption "long_caption" Warning "A caption has more tokens than the model reads.";
    DuplicateEntry "duplicate_entry" Warning "Two entries with the same picture and caption.";
    DuplicateId "duplicate_id" Warning "Two entries with the same id.";
    IdConflict "id_conflict" Error "One id names different pictures.";
    RepeatedCaption "repeated_caption" Warning "One caption for many pictures.";
    PathEscape "path_escape" Error "A picture's path leaves the folder of the pictures.";
    CaseMismatch "case_mismatch" Error "The file's name differs in upper and lower case.";
    MissingFile "missing_file" Error "There is no such picture.";
    CorruptPicture "corrupt_picture" Error "The picture cannot be decoded.";
    TruncatedPicture "truncated_picture" Error "The picture's file ends too early.";
    FormatMismatch "format_mismatch" Warning "The picture has another format than its name says.";
    TooLarge "too_large" Error "The picture has too many pixels to be taken.";
    SizeOutlier "size_outlier" Warning "A picture of a very small size.";
    AspectOutlier "aspect_outlier" Warning "A picture much longer than wide, or wider than high.";
    Blank "blank" Warning "A picture of one colour.";
    Dark "dark" Warning "A very dark picture.";
    Bright "bright" Warning "A very bright picture.";
    Blurred "blurred" Warning "A picture without sharp edges.";
    DuplicatePicture "duplicate_picture" Warning "Two files with the same picture.";
    NearDuplicate "near_duplicate" Warning "Two pictures that look the same.";
    SplitLeak "split_leak" Warning "The same picture in two splits.";
    UnusedPicture "unused_picture" Info "A picture that no entry names.";
}

impl Kind {
    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom("no such kind"))
    }
}

/// An entry that a finding is about besides its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The annotation file, or the picture's file where no entry names it.
    pub file: Arc<Path>,
    /// The entry in it, from 0.
    pub entry: Option<usize>,
}

/// The offset of what belongs to no byte of its file: a whole file, a picture in a folder.
pub const NOWHERE: usize = usize::MAX;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The annotation file, or the picture where no entry names it. Shared: there may be a finding for every entry.
    pub file: Arc<Path>,
    /// Line, from 1; 0 while unknown or where a file has no lines.
    pub line: usize,
    /// Column in characters, from 1; 0 as above.
    pub column: usize,
    /// Byte offset in the file, from 0; [`NOWHERE`] where it belongs to no byte.
    pub offset: usize,
    /// The entry, from 0.
    pub entry: Option<usize>,
    /// The other one of a pair.
    pub related: Option<Box<Related>>,
    /// What is wrong and what to do.
    pub message: Cow<'static, str>,
}

impl Finding {
    /// Its byte in the file; none where it belongs to none.
    pub fn byte(&self) -> Option<usize> {
        Some(self.offset).filter(|offset| *offset != NOWHERE)
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Entries of the files that were asked for.
    pub entries: usize,
    /// Findings in the order of the files, then of their places.
    pub findings: Vec<Finding>,
    /// Whether it was stopped before its end.
    pub cancelled: bool,
    /// How far it came: the stage, what was done of it and what there was.
    pub reached: Option<(super::Stage, usize, usize)>,
    /// The annotation files that were read, with a hash of what they held.
    pub sums: Vec<(PathBuf, u64)>,
    /// What had to be done for it: less where an earlier check, or the cache, knew already.
    pub work: Work,
}

/// How much was looked at anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Entries whose fields were judged.
    pub entries: usize,
    /// Captions whose tokens were counted.
    pub tokenized: usize,
    /// Pictures whose headers were read.
    pub headers: usize,
    /// Pictures that were decoded.
    pub decoded: usize,
}

impl Report {
    /// How many findings have a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }
}

/// Puts line and column to findings of one file, whose bytes are given, in one pass over them: they are in the order of
/// their offsets. A column counts characters, as editors and Python do.
pub(super) fn locate(bytes: &[u8], findings: &mut [Finding]) {
    let (mut line, mut column, mut at) = (1, 1, 0);
    for finding in findings {
        let to = finding.offset.min(bytes.len());
        let passed = bytes.get(at..to).unwrap_or(&[]);
        let last = memchr::memrchr(b'\n', passed);
        if let Some(last) = last {
            line += memchr::memchr_iter(b'\n', passed.get(..last).unwrap_or(&[])).count() + 1;
            column = 1;
        }
        // Bytes that go on with a character count for nothing.
        let rest = passed.get(last.map_or(0, |last| last + 1)..).unwrap_or(&[]);
        column += rest.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        at = to;
        (finding.line, finding.column) = (line, column);
    }
}
