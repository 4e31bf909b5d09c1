//! An opened result as it is looked at: its parts, their order, what is chosen.

use crate::evaluations::opened::{Opened, Wrong};
use crate::tui::picture;
use std::path::Path;
use tui_input::Input;

/// A part of an opened result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Classes with their bars.
    Classes,
    /// What is taken for what.
    Pairs,
    /// Pictures whose class did not come first.
    Wrong,
    /// Pictures that looked for their texts.
    Images,
    /// Texts that looked for their pictures.
    Texts,
    /// Pictures with what was written of them.
    Captions,
    /// Pictures that could not be read.
    Unreadable,
}

/// How many there are of them.
const PARTS: usize = 7;

impl Part {
    /// Those of a task's result.
    fn of(task: &str) -> &'static [Self] {
        match task {
            "zero-shot" => &[Self::Classes, Self::Pairs, Self::Wrong],
            "retrieval" => &[Self::Images, Self::Texts],
            _ => &[Self::Captions],
        }
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Pairs => "confused pairs",
            Self::Wrong => "wrong pictures",
            Self::Images => "picture → text",
            Self::Texts => "text → picture",
            Self::Captions => "captions",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether its rows are better and worse ones.
    pub fn sorts(self) -> bool {
        matches!(self, Self::Classes | Self::Images | Self::Texts | Self::Captions)
    }
}

/// How rows stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The worst first.
    #[default]
    Worst,
    /// The best first.
    Best,
    /// By name, or as the data have them.
    Name,
}

impl Order {
    /// The one behind it.
    pub fn next(self) -> Self {
        match self {
            Self::Worst => Self::Best,
            Self::Best => Self::Name,
            Self::Name => Self::Worst,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Worst => "worst first",
            Self::Best => "best first",
            Self::Name => "by name",
        }
    }
}

/// An opened result as it is looked at.
#[derive(Debug)]
pub struct View {
    /// The result.
    pub opened: Box<Opened>,
    /// The part with the focus.
    pub part: Part,
    /// How rows stand that are better and worse.
    pub order: Order,
    /// Shows only rows with these words.
    pub filter: Input,
    /// Whether keys go to the filter.
    pub filtering: bool,
    /// Whether the picture with what is said of it has the whole tab.
    pub large: bool,
    /// The picture as it can be drawn.
    pub shown: Option<picture::Loaded>,
    /// What was asked for last.
    pub wanted: Option<picture::Wanted>,
    /// The chosen row of each part.
    selected: [usize; PARTS],
    /// The rows of each part that are shown, in the order of the screen: places in the result.
    rows: [Vec<usize>; PARTS],
}

impl View {
    /// The worst first.
    pub fn new(opened: Box<Opened>) -> Self {
        let part = Part::of(&opened.outcome.task).first().copied().unwrap_or(Part::Captions);
        let mut view = Self {
            opened,
            part,
            order: Order::default(),
            filter: Input::default(),
            filtering: false,
            large: false,
            shown: None,
            wanted: None,
            selected: [0; PARTS],
            rows: Default::default(),
        };
        view.arrange();
        view
    }

    /// The parts that there are.
    pub fn parts(&self) -> Vec<Part> {
        let mut all = Part::of(&self.opened.outcome.task).to_vec();
        if !self.opened.unreadable.is_empty() {
            all.push(Part::Unreadable);
        }
        all
    }

    /// Filters and sorts the rows anew; the first one is chosen.
    pub fn arrange(&mut self) {
        self.selected = [0; PARTS];
        let words: Vec<String> = self.filter.value().split_whitespace().map(str::to_lowercase).collect();
        for part in self.parts() {
            let mut rows: Vec<usize> = (0..self.count(part)).collect();
            if !words.is_empty() {
                rows.retain(|at| {
                    let text = self.text(part, *at).to_lowercase();
                    words.iter().all(|w| text.contains(w))
                });
            }
            self.sort(part, &mut rows);
            if let Some(place) = self.rows.get_mut(part as usize) {
                *place = rows;
            }
        }
    }

    fn sort(&self, part: Part, rows: &mut [usize]) {
        let opened = &self.opened;
        let better = |at: usize| match part {
            Part::Classes => opened.classes.get(at).map_or(0.0, |c| c.top1),
            Part::Captions => opened.captioned.get(at).map_or(0.0, |c| c.cider),
            // What could not be read is neither good nor bad: it stands last.
            Part::Images => rank(opened.images.get(at).and_then(|i| i.rank), self.order),
            Part::Texts => rank(opened.texts.get(at).and_then(|t| t.rank), self.order),
            _ => 0.0,
        };
        match self.order {
            Order::Worst => rows.sort_by(|a, b| better(*a).total_cmp(&better(*b))),
            Order::Best => rows.sort_by(|a, b| better(*b).total_cmp(&better(*a))),
            Order::Name if part.sorts() => rows.sort_by_cached_key(|at| self.text(part, *at)),
            Order::Name => {}
        }
    }

    /// All rows of a part, those that the filter hides counted.
    pub fn count(&self, part: Part) -> usize {
        let opened = &self.opened;
        match part {
            Part::Classes => opened.classes.len(),
            Part::Pairs => opened.pairs.len(),
            Part::Wrong => opened.wrong.len(),
            Part::Images => opened.images.len(),
            Part::Texts => opened.texts.len(),
            Part::Captions => opened.captioned.len(),
            Part::Unreadable => opened.unreadable.len(),
        }
    }

    /// What a row is found by.
    fn text(&self, part: Part, at: usize) -> String {
        let opened = &self.opened;
        let text = match part {
            Part::Classes => opened.classes.get(at).map(|c| c.name.clone()),
            Part::Pairs => opened.pairs.get(at).map(|p| format!("{} {}", p.class, p.taken_for)),
            Part::Wrong => opened.wrong.get(at).map(|w| {
                let answer = w.top.first().map_or("?", |(class, _)| opened.class(*class));
                format!("{} {} {answer}", file_name(&w.picture), opened.class(w.class))
            }),
            Part::Images => opened.images.get(at).map(|i| {
                let own = i.texts.iter().filter_map(|t| Some(opened.texts.get(*t)?.text.as_str()));
                format!("{} {}", file_name(&i.path), own.collect::<Vec<_>>().join(" "))
            }),
            Part::Texts => opened.texts.get(at).map(|t| t.text.clone()),
            Part::Captions => opened
                .captioned
                .get(at)
                .map(|c| format!("{} {} {}", file_name(&c.path), c.caption, c.references.join(" "))),
            Part::Unreadable => opened.unreadable.get(at).map(|(name, why)| format!("{name} {why}")),
        };
        text.unwrap_or_default()
    }

    /// Rows of a part.
    pub fn rows(&self, part: Part) -> usize {
        self.rows.get(part as usize).map_or(0, Vec::len)
    }

    /// Which of the result's a row of the screen is.
    pub fn at(&self, part: Part, row: usize) -> Option<usize> {
        self.rows.get(part as usize)?.get(row).copied()
    }

    /// The chosen row of a part.
    pub fn chosen(&self, part: Part) -> usize {
        let at = self.selected.get(part as usize).copied().unwrap_or(0);
        at.min(self.rows(part).saturating_sub(1))
    }

    /// Chooses a row of the part with the focus.
    pub fn choose(&mut self, row: usize) {
        if let Some(place) = self.selected.get_mut(self.part as usize) {
            *place = row;
        }
    }

    /// Which of the result's is chosen in a part.
    pub fn chosen_at(&self, part: Part) -> Option<usize> {
        self.at(part, self.chosen(part))
    }

    /// The next part gets the focus, or the one before.
    pub fn turn(&mut self, forward: bool) {
        let parts = self.parts();
        let at = parts.iter().position(|p| *p == self.part).unwrap_or(0);
        let next = if forward { at + 1 } else { at + parts.len().saturating_sub(1) };
        if let Some(part) = parts.get(next % parts.len().max(1)) {
            self.part = *part;
        }
    }

    /// Goes to what the chosen picture or text takes for its own: what stands first of the others, else its own.
    pub fn jump(&mut self) {
        let opened = &self.opened;
        let target = match self.part {
            Part::Images => self.chosen_at(Part::Images).and_then(|at| {
                let image = opened.images.get(at)?;
                let other = image.top.iter().map(|(text, _)| *text).find(|t| !image.texts.contains(t));
                Some((Part::Texts, other.or_else(|| image.texts.first().copied())?))
            }),
            Part::Texts => self.chosen_at(Part::Texts).and_then(|at| {
                let text = opened.texts.get(at)?;
                let first = text.top.first().map_or(text.image, |(image, _)| *image);
                Some((Part::Images, first))
            }),
            _ => None,
        };
        let Some((part, at)) = target else { return };
        let row =
            |view: &Self| view.rows.get(part as usize).and_then(|rows| rows.iter().position(|r| *r == at));
        let mut found = row(self);
        if found.is_none() && !self.filter.value().is_empty() {
            // The filter hides it: what is gone to is worth more.
            self.filter = Input::default();
            self.arrange();
            found = row(self);
        }
        if let Some(row) = found {
            self.part = part;
            self.choose(row);
        }
    }

    /// The class that the chosen row is about.
    pub fn class(&self) -> Option<u32> {
        let named = |name: &str| self.opened.classes.iter().position(|c| c.name == name);
        let at = self.chosen_at(self.part)?;
        let class = match self.part {
            Part::Classes => Some(at),
            Part::Pairs => self.opened.pairs.get(at).and_then(|p| named(&p.class)),
            Part::Wrong => self.opened.wrong.get(at).map(|w| w.class as usize),
            _ => None,
        };
        class.and_then(|class| u32::try_from(class).ok())
    }

    /// The chosen wrong picture, or the first wrong one of the chosen class or pair.
    pub fn wrong(&self) -> Option<&Wrong> {
        let wrong = &self.opened.wrong;
        let at = self.chosen_at(self.part)?;
        match self.part {
            Part::Wrong => wrong.get(at),
            Part::Classes => {
                let class = self.class()?;
                wrong.iter().find(|w| w.class == class)
            }
            Part::Pairs => {
                let pair = self.opened.pairs.get(at)?;
                wrong.iter().find(|w| {
                    let first = w.top.first().map_or("?", |(class, _)| self.opened.class(*class));
                    self.opened.class(w.class) == pair.class && first == pair.taken_for
                })
            }
            _ => None,
        }
    }

    /// The picture to show.
    pub fn picture(&self) -> Option<&Path> {
        let opened = &self.opened;
        let at = self.chosen_at(self.part)?;
        match self.part {
            Part::Images => opened.images.get(at).map(|i| i.path.as_path()),
            Part::Texts => opened.images.get(opened.texts.get(at)?.image).map(|i| i.path.as_path()),
            Part::Captions => opened.captioned.get(at).map(|c| c.path.as_path()),
            Part::Unreadable => None,
            _ => self.wrong().map(|w| w.picture.as_path()),
        }
    }
}

/// The name of a file.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How good a rank is; one that there is not stands last in every order.
#[allow(clippy::cast_precision_loss)]
fn rank(rank: Option<u64>, order: Order) -> f64 {
    match (rank, order) {
        (Some(rank), _) => -(rank as f64),
        (None, Order::Worst) => f64::INFINITY,
        (None, _) => f64::NEG_INFINITY,
    }
}
