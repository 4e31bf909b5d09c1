//! State of the caption tab: the folder, the models that are loaded, what they wrote.

use super::picture;
use run::decoding::{Compat, Decoding, Method};
use run::serve::Written;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tui_input::Input;

/// Models that can be compared.
pub const SLOTS: usize = 2;

/// Pictures of a batch at a time: small, so that captions come in steadily.
pub const BATCH: u32 = 8;

/// One line of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file's name.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
}

/// A folder that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    /// Which.
    pub path: PathBuf,
    /// Folders first, then pictures, each by name.
    pub entries: Vec<Entry>,
    /// The file that was asked for.
    pub select: Option<String>,
}

/// A model that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What stands in the list.
    pub label: String,
    /// What `--model` would be given.
    pub model: String,
}

/// What came of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// It waits for its turn.
    Waiting,
    /// Its captions grow.
    Growing(Vec<String>),
    /// Its captions, the seconds that they took, and what their scores mean.
    Done(Vec<Written>, f64, &'static str),
    /// It has none.
    Failed(String),
}

/// Where a model's engine is.
#[derive(Clone, Debug, PartialEq)]
pub enum Loading {
    /// Being loaded, since then: seconds since the Unix epoch.
    Since(f64),
    /// Loaded: what is said of it.
    Loaded(String),
    /// It cannot be used.
    Failed(String),
}

/// What a model was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its number.
    pub id: u64,
    /// The pictures.
    pub images: Vec<PathBuf>,
    /// How many are done.
    pub done: u64,
    /// What the scores of its captions mean.
    pub scores: &'static str,
}

/// One model: its engine and what it wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// As `--model` would be given it.
    pub model: String,
    /// Answers of engines with another number are dropped.
    pub generation: u64,
    /// Its engine.
    pub loading: Loading,
    /// Requests that are not done.
    pub asked: Vec<Asked>,
    /// What it wrote, by picture.
    pub shown: BTreeMap<PathBuf, Shown>,
}

/// State of the caption tab.
#[derive(Debug, Default)]
pub struct Captions {
    /// The folder, once one was looked at.
    pub folder: Option<Folder>,
    /// Why the folder that was asked for cannot be shown.
    pub problem: Option<String>,
    /// Number of the newest look into a folder.
    pub generation: u64,
    /// The selected one of the visible entries.
    pub selected: usize,
    /// Shows only names with these words.
    pub filter: Input,
    /// Whether keys go to the filter.
    pub filtering: bool,
    /// Whether names that begin with a dot are shown.
    pub hidden: bool,
    /// Models that can be chosen.
    pub choices: Vec<Choice>,
    /// The models: the first, and the one that it is compared with.
    pub slots: [Option<Slot>; SLOTS],
    /// Pictures that were asked for before there was a model: the one that is chosen captions them.
    pub before_model: Vec<PathBuf>,
    /// How captions are written.
    pub decoding: Option<Decoding>,
    /// The large picture.
    pub shown: Option<picture::Loaded>,
    /// The large picture that was asked for last.
    pub wanted: Option<picture::Wanted>,
    /// Thumbnails that were asked for, and those that came.
    pub thumbnails: Vec<(picture::Wanted, Option<picture::Loaded>)>,
}

impl Captions {
    /// How captions are written now.
    pub fn decoding(&self) -> Decoding {
        self.decoding.clone().unwrap_or_default()
    }

    /// The entries that the filter lets through.
    pub fn visible(&self) -> Vec<&Entry> {
        let words: Vec<String> = self.filter.value().split_whitespace().map(str::to_lowercase).collect();
        let passes = |e: &&Entry| {
            let name = e.name.to_lowercase();
            (self.hidden || !name.starts_with('.')) && words.iter().all(|w| name.contains(w))
        };
        self.folder.iter().flat_map(|f| &f.entries).filter(passes).collect()
    }

    /// The selected entry, with its path.
    pub fn chosen(&self) -> Option<(&Entry, PathBuf)> {
        let visible = self.visible();
        let entry = *visible.get(self.selected.min(visible.len().saturating_sub(1)))?;
        Some((entry, self.folder.as_ref()?.path.join(&entry.name)))
    }

    /// The selected picture.
    pub fn picture(&self) -> Option<PathBuf> {
        self.chosen().filter(|(e, _)| !e.folder).map(|(_, path)| path)
    }

    /// The visible pictures.
    pub fn pictures(&self) -> Vec<PathBuf> {
        let Some(folder) = &self.folder else { return Vec::new() };
        self.visible().iter().filter(|e| !e.folder).map(|e| folder.path.join(&e.name)).collect()
    }

    /// The captions of a picture by the first model that has some.
    pub fn captions_of(&self, path: &Path) -> Option<Vec<String>> {
        self.slots.iter().flatten().find_map(|slot| match slot.shown.get(path) {
            Some(Shown::Done(written, ..)) => Some(written.iter().map(|w| w.text.clone()).collect()),
            _ => None,
        })
    }
}

/// The settings of [`Decoding`] as lines of text.
#[derive(Debug)]
pub struct DecodingForm {
    /// A line for each of [`FIELDS`].
    pub inputs: Vec<Input>,
    /// The chosen line.
    pub selected: usize,
}

/// The other program whose ids can be asked for.
const OPENCLIP: &str = "openclip-3.3";

/// The fields of the form: name and what it takes.
pub const FIELDS: [(&str, &str); 15] = [
    ("method", "greedy, beam or sample"),
    ("captions", "captions for each picture"),
    ("beams", "of beam search"),
    ("groups", "of beams; they divide them"),
    ("diversity_penalty", "for what another group chose"),
    ("length_penalty", "power of the length"),
    ("top_k", "ids to draw from; empty: all"),
    ("top_p", "their probability; empty: 1"),
    ("temperature", "divides logits before a draw"),
    ("repetition_penalty", "above 1: fewer repetitions"),
    ("min_len", "no end before this length"),
    ("max_len", "the end at the latest"),
    ("prompt", "every caption begins with it"),
    ("seed", "of draws"),
    ("compat", "empty, or openclip-3.3"),
];

impl DecodingForm {
    /// Starts with what is set.
    pub fn new(decoding: &Decoding) -> Self {
        let text = |n: Option<String>| n.unwrap_or_default();
        let (method, beam, top_k, top_p) = match decoding.method.clone() {
            Method::Greedy => ("greedy", Method::BEAM, None, None),
            beam @ Method::Beam { .. } => ("beam", beam, None, None),
            Method::Sample { top_k, top_p } => ("sample", Method::BEAM, top_k, top_p),
        };
        let (beams, groups, diversity, length) = match beam {
            Method::Beam { beams, groups, diversity_penalty, length_penalty } => {
                (beams, groups, diversity_penalty, length_penalty)
            }
            _ => (6, 1, 0.0, 1.0),
        };
        let values = [
            method.to_owned(),
            decoding.captions.to_string(),
            beams.to_string(),
            groups.to_string(),
            diversity.to_string(),
            length.to_string(),
            text(top_k.map(|k| k.to_string())),
            text(top_p.map(|p| p.to_string())),
            decoding.temperature.to_string(),
            decoding.repetition_penalty.to_string(),
            decoding.min_len.to_string(),
            decoding.max_len.to_string(),
            text(decoding.prompt.clone()),
            decoding.seed.to_string(),
            text(decoding.compat.map(|_| OPENCLIP.to_owned())),
        ];
        Self { inputs: values.into_iter().map(Input::new).collect(), selected: 0 }
    }

    fn text(&self, name: &str) -> &str {
        let at = FIELDS.iter().position(|(n, _)| *n == name);
        at.and_then(|at| self.inputs.get(at)).map_or("", |input| input.value().trim())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name);
        text.parse().map_err(|_| format!("{name} = {text}: not a number of the right kind"))
    }

    fn maybe<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        if self.text(name).is_empty() { Ok(None) } else { self.number(name).map(Some) }
    }

    /// What the lines mean, or the rule that one breaks.
    pub fn read(&self) -> Result<Decoding, String> {
        let compat = match self.text("compat") {
            "" => None,
            OPENCLIP => Some(Compat::OpenClip33),
            other => return Err(format!("compat = {other}: it takes {OPENCLIP} or nothing")),
        };
        let method = match self.text("method") {
            "greedy" => Method::Greedy,
            "beam" => Method::Beam {
                beams: self.number("beams")?,
                groups: self.number("groups")?,
                diversity_penalty: self.number("diversity_penalty")?,
                length_penalty: self.number("length_penalty")?,
            },
            "sample" => Method::Sample { top_k: self.maybe("top_k")?, top_p: self.maybe("top_p")? },
            other => return Err(format!("method = {other}: it takes greedy, beam or sample")),
        };
        let decoding = Decoding {
            method,
            captions: self.number("captions")?,
            temperature: self.number("temperature")?,
            repetition_penalty: self.number("repetition_penalty")?,
            min_len: self.number("min_len")?,
            max_len: self.number("max_len")?,
            prompt: Some(self.text("prompt").to_owned()).filter(|p| !p.is_empty()),
            seed: self.number("seed")?,
            compat,
        };
        decoding.validate().map_err(|e| e.to_string())?;
        Ok(decoding)
    }
}

/// A decoding in a few words.
pub fn words(decoding: &Decoding) -> String {
    let method = match decoding.method {
        Method::Greedy => "greedy".to_owned(),
        Method::Beam { beams, groups: 1, .. } => format!("beam {beams}"),
        Method::Beam { beams, groups, .. } => format!("beam {beams} in {groups} groups"),
        Method::Sample { top_k, top_p } => {
            let k = top_k.map_or(String::new(), |k| format!(" k {k}"));
            let p = top_p.map_or(String::new(), |p| format!(" p {p}"));
            format!("sample{k}{p}")
        }
    };
    let several = if decoding.captions > 1 { format!(" x {}", decoding.captions) } else { String::new() };
    let prompt = decoding.prompt.as_ref().map_or(String::new(), |p| format!(" · \"{p}\""));
    let compat = if decoding.compat.is_some() { " · as open_clip" } else { "" };
    format!("{method}{several}{prompt}{compat}")
}

/// What the scores of captions mean that were written so.
pub fn score_words(decoding: &Decoding) -> &'static str {
    match (&decoding.method, decoding.compat) {
        (Method::Beam { .. }, Some(Compat::OpenClip33)) => "raw logits a token, as open_clip sums them",
        (Method::Beam { length_penalty, .. }, None) if *length_penalty != 1.0 => {
            "log-probability over length^penalty"
        }
        _ => "log-probability a token",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_back_and_names_the_field_that_is_wrong() {
        let sample = Method::Sample { top_k: Some(5), top_p: None };
        let groups = Method::Beam { beams: 6, groups: 3, diversity_penalty: 0.5, length_penalty: 2.0 };
        for decoding in [
            Decoding::default(),
            Decoding { method: groups, ..Decoding::default() },
            Decoding { compat: Some(Compat::OpenClip33), ..Decoding::default() },
            Decoding { method: sample, captions: 3, prompt: Some("a".into()), ..Decoding::default() },
        ] {
            assert_eq!(DecodingForm::new(&decoding).read().unwrap(), decoding);
        }
        for (field, text) in [
            ("temperature", "0"),
            ("max_len", "x"),
            ("method", "magic"),
            ("captions", "9"),
            ("groups", "4"),
            ("compat", "x"),
        ] {
            let mut form = DecodingForm::new(&Decoding::default());
            let at = FIELDS.iter().position(|(n, _)| *n == field).unwrap();
            form.inputs[at] = Input::new(text.to_owned());
            assert!(form.read().unwrap_err().contains(field), "{field}");
        }
    }
}
