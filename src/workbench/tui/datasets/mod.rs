//! State of the data tab: the dataset that is open, what of it is listed, what a check found.

mod findings;

pub use findings::{Findings, Found, Row};

use super::picture;
use crate::datasets::entry::{Caption, Facts};
use data::check::{Kind, Severity, Stage};
use data::loader::View;
use data::{Dataset, ReadOptions, Split, Tokenizer};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tui_input::Input;

/// How a dataset is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// An annotation file, shards, a folder.
    pub path: PathBuf,
    /// Which split of a folder.
    pub split: Split,
    /// How it is read.
    pub read: ReadOptions,
    /// A tokenizer.json; none: the dataset's own, else CLIP's.
    pub tokenizer: Option<PathBuf>,
    /// Tokens that the model reads.
    pub context: usize,
    /// The model's config, a name or a JSON file, which tells the size of its pictures.
    pub config: Option<String>,
    /// How the model is given pictures; its size is that of [`Self::config`] where there is one.
    pub view: View,
}

/// A dataset in memory.
#[derive(Debug)]
pub struct Opened {
    /// How it was opened.
    pub source: Source,
    /// Its samples.
    pub dataset: Dataset,
    /// Makes ids of its captions.
    pub tokenizer: Tokenizer,
    /// Whose tokenizer that is.
    pub tokenizer_name: String,
    /// How the model is given pictures.
    pub view: View,
    /// Seconds that opening took.
    pub seconds: f64,
    /// Its files as they were before they were read.
    pub watched: Watched,
}

/// A shared dataset; the same one is equal.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<Opened>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::ops::Deref for Shared {
    type Target = Opened;
    fn deref(&self) -> &Opened {
        &self.0
    }
}

/// What a dataset that is opened again takes over from its older state: places are samples of that one.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// The older state.
    pub data: Shared,
    /// The selected sample.
    pub selected: Option<u32>,
    /// The marked ones.
    pub marks: BTreeSet<u32>,
    /// What the last check found.
    pub found: Option<Arc<Findings>>,
}

/// Where the samples of an older state stand in a newer one: those in front of and behind an edit are as they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// Samples in front.
    pub front: u32,
    /// Those between, by their older numbers from there on.
    pub between: Vec<Option<u32>>,
    /// How many numbers further those behind stand, possibly fewer.
    pub shift: i64,
    /// How many there were.
    pub count: u32,
}

impl Places {
    /// The place of an older sample; none when it is gone.
    pub fn of(&self, sample: u32) -> Option<u32> {
        if sample < self.front {
            return Some(sample);
        }
        match self.between.get((sample - self.front) as usize) {
            Some(place) => *place,
            None if sample < self.count => u32::try_from(i64::from(sample) + self.shift).ok(),
            None => None,
        }
    }
}

/// A dataset that was opened.
#[derive(Debug)]
pub struct News {
    /// It.
    pub data: Shared,
    /// The selected sample of the older state, here.
    pub selected: Option<u32>,
    /// The marked ones of the older state, here.
    pub marks: BTreeSet<u32>,
    /// What was found in the older state, on the samples of this one.
    pub found: Option<Arc<Findings>>,
    /// How many entries are not as they were: new, changed, or gone.
    pub changed: Option<usize>,
}

/// Files to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// Their names; those of folders too.
    pub files: Vec<PathBuf>,
    /// Size and time of each, from before it was read; none where there was none.
    pub stamps: Vec<Stamp>,
}

/// Size and time of a file; none where there is none.
pub type Stamp = Option<(u64, std::time::SystemTime)>;

/// What could not be opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// Why; nothing when there was nothing to open.
    pub problem: String,
    /// What has to change until it can be.
    pub watched: Watched,
}

/// In which order entries are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As the file has them; with words to find, the best first.
    #[default]
    File,
    /// By the name of the picture.
    Picture,
    /// Short captions first.
    Length,
    /// By the caption.
    Caption,
    /// The gravest findings first.
    Findings,
}

impl Order {
    /// The next one.
    pub fn next(self) -> Self {
        match self {
            Self::File => Self::Picture,
            Self::Picture => Self::Length,
            Self::Length => Self::Caption,
            Self::Caption => Self::Findings,
            Self::Findings => Self::File,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file order",
            Self::Picture => "by picture",
            Self::Length => "by length",
            Self::Caption => "by caption",
            Self::Findings => "by findings",
        }
    }
}

/// What is to be listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Words, or a regular expression.
    pub text: String,
    /// Whether it is a regular expression.
    pub regex: bool,
    /// The order.
    pub order: Order,
    /// Whether the order is turned round.
    pub reversed: bool,
    /// Marked entries only.
    pub marked: Option<BTreeSet<u32>>,
    /// The samples that an earlier query with fewer letters found: no other can be among those that are asked for.
    pub among: Option<Arc<Vec<u32>>>,
    /// What was found, when it is ordered by that.
    pub found: Option<Arc<Findings>>,
}

impl Query {
    /// Whether all entries are listed as they stand.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all that this one finds is among what `other` finds: the same words with more letters behind them.
    pub fn narrows(&self, other: &Self) -> bool {
        // Other signs stand for something in a pattern.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ';
        let more = !other.text.trim().is_empty() && self.text.starts_with(&other.text);
        let words = !self.regex && !other.regex && self.text.chars().all(plain);
        more && words && self.marked == other.marked
    }
}

/// What the left pane lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    Entries,
    Findings,
}

/// What is known of one entry.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Of which state.
    pub data: Shared,
    /// Its sample.
    pub sample: u32,
    /// Its captions with their ids.
    pub captions: Vec<Caption>,
    /// Its picture's facts.
    pub facts: Option<Facts>,
}

/// What a check of this tab tells.
#[derive(Debug)]
pub enum CheckNews {
    /// How far it is.
    Progress { stage: Stage, done: usize, all: usize },
    /// What it has found since it last said so: how much, and the findings as long as there are not very many.
    Found { count: usize, found: Vec<Found> },
    /// The end: all findings in order.
    Done { found: Arc<Findings>, cancelled: bool, work: String },
    /// It could not go on.
    Failed(String),
}

/// A check that goes on.
#[derive(Debug)]
pub struct Checking {
    /// Where it is.
    pub stage: Stage,
    /// What is done.
    pub done: usize,
    /// What there is.
    pub all: usize,
    /// When it began: seconds since the Unix epoch.
    pub since: f64,
    /// Whether it was asked to end.
    pub cancelling: bool,
    /// How much it has found so far.
    pub count: usize,
    /// The first of that: all of it comes at the end.
    pub found: Findings,
}

/// State of the data tab.
#[derive(Debug, Default)]
pub struct Datasets {
    /// What was asked for last.
    pub source: Option<Source>,
    /// The last good state.
    pub open: Option<Shared>,
    /// What is being opened.
    pub reading: Option<Source>,
    /// Since when it is being opened, for the first time or again: seconds since the Unix epoch.
    pub opening: Option<f64>,
    /// Why it cannot be read as it is now; the last good state stays.
    pub problem: Option<String>,
    /// Number of the newest opening.
    pub generation: u64,
    /// Number of the opening whose files are watched.
    pub watching: u64,
    /// What could not be opened in the place of what is shown, with the number of the opening: it is watched too, and
    /// opened when it can be.
    pub awaiting: Option<(u64, Source)>,
    /// The samples that are listed; none: all, in their order.
    pub rows: Option<Arc<Vec<u32>>>,
    /// The selected place in the list.
    pub selected: usize,
    /// Number of the newest search.
    pub search: u64,
    /// Whether a search goes on.
    pub searching: bool,
    /// What was asked for last.
    pub asked: Option<Query>,
    /// The last whole answer and its question: a narrower question needs to look at no other samples.
    pub answered: Option<(Query, Arc<Vec<u32>>)>,
    /// The sample that stays selected when it is found.
    pub stay: Option<u32>,
    /// The place that was selected when the list was last asked for or came: whoever is elsewhere has moved since.
    pub placed: usize,
    /// Words to find.
    pub filter: Input,
    /// Whether keys go to them.
    pub filtering: bool,
    /// Whether they are a regular expression.
    pub regex: bool,
    /// What is wrong with it.
    pub filter_problem: Option<String>,
    /// The order.
    pub order: Order,
    /// Whether it is turned round.
    pub reversed: bool,
    /// Whether only marked entries are listed.
    pub only_marked: bool,
    /// Marked samples.
    pub marks: BTreeSet<u32>,
    /// The selected entry.
    pub detail: Option<Detail>,
    /// The entry that was asked for and has not come yet.
    pub detail_asked: Option<(Shared, u32)>,
    /// First line of the captions that is shown.
    pub scroll: usize,
    /// Whether the right side has the whole tab.
    pub wide: bool,
    /// Whether the picture is shown as the model sees it, and how.
    pub seen: Option<View>,
    /// The picture as it can be drawn.
    pub shown: Option<picture::Loaded>,
    /// The picture that was asked for last.
    pub wanted: Option<picture::Wanted>,
    /// Whether it has not come yet.
    pub picture_asked: bool,
    /// What the left pane lists.
    pub side: Side,
    /// The check that goes on.
    pub checking: Option<Checking>,
    /// Number of the newest check.
    pub checks: u64,
    /// What the last check found, and what it looked at; none before the first.
    pub found: Option<(Arc<Findings>, String)>,
    /// Kinds whose findings are listed.
    pub unfolded: HashSet<Kind>,
    /// The selected row of the findings.
    pub finding: usize,
    /// Whether changes of the file are checked by themselves: after the first check.
    pub follow: bool,
}

impl Datasets {
    /// How many entries are listed.
    pub fn count(&self) -> usize {
        match (&self.rows, &self.open) {
            (Some(rows), _) => rows.len(),
            (None, Some(open)) => open.dataset.len(),
            (None, None) => 0,
        }
    }

    /// The sample at a place of the list.
    pub fn sample_at(&self, place: usize) -> Option<u32> {
        match &self.rows {
            Some(rows) => rows.get(place).copied(),
            None => u32::try_from(place).ok().filter(|_| place < self.count()),
        }
    }

    /// The selected sample.
    pub fn sample(&self) -> Option<u32> {
        self.sample_at(self.selected.min(self.count().saturating_sub(1)))
    }

    /// The place of a sample in the list.
    pub fn place_of(&self, sample: u32) -> Option<usize> {
        match &self.rows {
            Some(rows) => rows.iter().position(|row| *row == sample),
            None => Some(sample as usize).filter(|place| *place < self.count()),
        }
    }

    /// What is to be listed now.
    pub fn query(&self) -> Query {
        Query {
            text: self.filter.value().to_owned(),
            regex: self.regex && !self.filter.value().is_empty(),
            order: self.order,
            reversed: self.reversed,
            marked: self.only_marked.then(|| self.marks.clone()),
            among: None,
            found: self
                .found
                .as_ref()
                .filter(|_| self.order == Order::Findings)
                .map(|(found, _)| found.clone()),
        }
    }

    /// What is known of the selected entry, when it is there.
    pub fn chosen(&self) -> Option<&Detail> {
        let sample = self.sample()?;
        self.detail.as_ref().filter(|d| d.sample == sample && self.open.as_ref() == Some(&d.data))
    }

    /// The findings as far as they are known: those of the first check as it goes, those of a later one when it is through,
    /// for most stays as it was.
    pub fn findings(&self) -> &Findings {
        static NONE: LazyLock<Findings> = LazyLock::new(Findings::default);
        match (&self.found, &self.checking) {
            (Some((found, _)), _) => found,
            (None, Some(checking)) => &checking.found,
            (None, None) => &NONE,
        }
    }

    /// How many rows the findings have.
    pub fn finding_rows(&self) -> usize {
        self.findings().rows(&self.unfolded)
    }

    /// A row of the findings.
    pub fn finding_row(&self, place: usize) -> Option<Row> {
        self.findings().row(place, &self.unfolded)
    }

    /// The selected row of the findings.
    pub fn finding_chosen(&self) -> Option<Row> {
        self.finding_row(self.finding.min(self.finding_rows().saturating_sub(1)))
    }

    /// How grave the worst finding of a sample is.
    pub fn worst(&self, sample: u32) -> Option<Severity> {
        self.findings().worst(sample)
    }

    /// The findings of a sample.
    pub fn findings_of(&self, sample: u32) -> impl Iterator<Item = &Found> {
        let findings = self.findings();
        findings.of(sample).filter_map(|number| findings.get(number))
    }
}
