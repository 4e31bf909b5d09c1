//! All that the screen shows, and nothing that touches the world.

use super::action::Place;
use super::alerts::Alerts;
use super::chart::ChartView;
use super::message::RunSummary;
use super::notes::Notes;
use super::picture;
use super::popup::Popup;
use super::regions::Regions;
use super::settings_form::SettingsForm;
use super::theme::Theme;
use run::control::Request;
use run::curve::Curve;
use run::dir::RunDir;
use run::history::{History, Status};
use run::settings::Settings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Runs,
    Run,
    Devices,
    Settings,
    Caption,
    Data,
    Evaluate,
}

impl Page {
    /// The tabs of a run, in order.
    pub const TABS: [Self; 6] =
        [Self::Run, Self::Devices, Self::Settings, Self::Caption, Self::Evaluate, Self::Data];

    /// Whether it shows something without a run.
    pub fn stands_alone(self) -> bool {
        matches!(self, Self::Runs | Self::Settings | Self::Caption | Self::Evaluate | Self::Data)
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Runs => "Runs",
            Self::Run => "Run",
            Self::Devices => "Devices",
            Self::Settings => "Settings",
            Self::Caption => "Caption",
            Self::Data => "Data",
            Self::Evaluate => "Evaluate",
        }
    }
}

/// A pane of the run tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Charts,
    Samples,
    Log,
}

/// The run that is looked at.
#[derive(Debug)]
pub struct Watched {
    /// Where it is.
    pub run: RunDir,
    /// What its events say.
    pub history: History,
    /// Its status; `None` until it was looked at.
    pub status: Option<Status>,
    /// Share of the events that is taken in, while they are loaded for the first time.
    pub loading: Option<f64>,
    /// Its `config.toml`, or what is wrong with it.
    pub config: Option<Result<Box<Settings>, String>>,
    /// Its logs by name.
    pub logs: BTreeMap<String, VecDeque<String>>,
    /// What another program was started with.
    pub parameters: BTreeMap<String, String>,
    /// What stands out so far.
    pub alerts: Alerts,
    /// Its curves near the window, read again where the kept ones are too thin for it.
    pub part: Option<Part>,
    /// Whether such a part is being read.
    pub part_awaited: bool,
    /// Bytes of its events that were there folded, or are kept so.
    pub restored: u64,
    /// The model's tensors, as its layout tells.
    pub tensors: Option<std::sync::Arc<super::devices::Tensors>>,
    /// The layout that they are from.
    pub laid_out: Option<run::events::Layout>,
}

impl Watched {
    /// A run of which nothing is known yet.
    pub fn new(run: RunDir) -> Self {
        Self {
            run,
            history: History { most_points: Some(POINTS), ..History::default() },
            status: None,
            loading: Some(0.0),
            config: None,
            logs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            alerts: Alerts::default(),
            part: None,
            part_awaited: false,
            restored: 0,
            tensors: None,
            laid_out: None,
        }
    }

    /// The model's tensors follow the newest layout.
    pub fn lay_out(&mut self) {
        if let Some(layout) = &self.history.layout
            && self.laid_out.as_ref() != Some(layout)
        {
            self.tensors = super::devices::Tensors::of(layout);
            self.laid_out = Some(layout.clone());
        }
    }

    /// Whether a process works on it.
    pub fn is_alive(&self) -> bool {
        self.status.is_some_and(Status::is_alive)
    }

    /// Whether another program writes it: then there is nobody to ask for anything.
    pub fn is_foreign(&self) -> bool {
        matches!(self.status, Some(Status::Foreign { .. }))
    }

    /// All settings as text: those in effect, or what another program was started with.
    pub fn values(&self) -> BTreeMap<String, String> {
        let Some(settings) = self.settings() else { return self.parameters.clone() };
        Settings::ALL
            .iter()
            .filter_map(|s| Some((s.name.to_owned(), settings.get(s.name)?.to_string())))
            .collect()
    }

    /// The log pane's sources in order: the supervisor, the ranks by number, the notices ("").
    pub fn sources(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.logs.keys().map(String::as_str).collect();
        names.sort_by_key(|n| (!n.starts_with("supervisor"), n.len(), *n));
        names.push("");
        names
    }

    /// The settings in effect: `config.toml` and the edits that the run acknowledged.
    pub fn settings(&self) -> Option<Settings> {
        let mut settings = self.config.as_ref()?.as_ref().ok()?.as_ref().clone();
        for mark in &self.history.marks {
            for (name, value) in &mark.changes {
                if let Ok(setting) = Settings::setting(name) {
                    // A value of another version that breaks the rule is not taken over.
                    let _ = settings.put(setting, value.clone());
                }
            }
        }
        Some(settings)
    }
}

/// Some steps of a run's curves.
#[derive(Debug)]
pub struct Part {
    /// Which.
    pub steps: std::ops::RangeInclusive<u64>,
    /// The curves; none where these steps take more reading than a screen should cause.
    pub curves: Option<BTreeMap<String, Curve>>,
    /// Most points of each.
    pub most: usize,
}

/// A run that is laid over the watched one.
#[derive(Debug)]
pub struct Other {
    /// Number of its watch.
    pub generation: u64,
    /// The run.
    pub watched: Watched,
    /// Its name on the screen.
    pub label: String,
    /// Whether its curves are left out for now.
    pub hidden: bool,
}

/// Most points that the watched run's curves keep, and those of runs laid over it: what a screen shows of them needs
/// far fewer, and the memory stays bounded whatever a run's length.
pub const POINTS: usize = 16_384;
pub const OTHERS_POINTS: usize = 4_096;

/// A request that was sent and not answered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Its number.
    pub id: u64,
    /// What it does, as a word or two.
    pub what: String,
    /// When it was sent: seconds since the Unix epoch.
    pub since: f64,
    /// What it was; jobs have none.
    pub request: Option<Request>,
}

/// State of the runs list.
#[derive(Debug, Default)]
pub struct RunsPage {
    /// The runs, live ones first; `None` until they were listed.
    pub rows: Option<Vec<RunSummary>>,
    /// The selected row.
    pub selected: usize,
    /// Whether a listing is on its way.
    pub listing: bool,
    /// When the last listing came: seconds since the Unix epoch.
    pub listed: f64,
    /// Words and conditions that runs on the list meet.
    pub filter: tui_input::Input,
    /// Whether they are typed.
    pub filtering: bool,
    /// Their order.
    pub order: Order,
}

/// The order of the runs list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Live ones first, then the newest.
    #[default]
    Newest,
    Name,
    /// Most steps first.
    Step,
    /// Lowest first.
    Loss,
    /// Lowest first.
    Best,
    /// Lowest first: the loss without its noise.
    Smoothed,
}

impl Order {
    /// Its word, and the one behind it.
    pub fn word(self) -> (&'static str, Self) {
        match self {
            Self::Newest => ("newest", Self::Name),
            Self::Name => ("name", Self::Step),
            Self::Step => ("step", Self::Loss),
            Self::Loss => ("loss", Self::Best),
            Self::Best => ("best", Self::Smoothed),
            Self::Smoothed => ("smoothed loss", Self::Newest),
        }
    }
}

impl RunsPage {
    /// The runs on the list: those that the filter leaves, in order.
    pub fn visible(&self) -> Vec<&RunSummary> {
        let query = self.filter.value();
        let mut rows: Vec<&RunSummary> =
            self.rows.iter().flatten().filter(|r| super::runs_query::matches(query, r)).collect();
        // What is not known stands last.
        let figure = |v: Option<f64>| v.filter(|v| v.is_finite()).unwrap_or(f64::INFINITY);
        match self.order {
            Order::Newest => {}
            Order::Name => rows.sort_by(|a, b| a.label.cmp(&b.label)),
            Order::Step => rows.sort_by_key(|r| std::cmp::Reverse(r.step)),
            Order::Loss => rows.sort_by(|a, b| figure(a.loss).total_cmp(&figure(b.loss))),
            Order::Smoothed => rows.sort_by(|a, b| figure(a.smoothed).total_cmp(&figure(b.smoothed))),
            Order::Best => {
                let best = |r: &RunSummary| figure(r.best.map(|(_, v)| v));
                rows.sort_by(|a, b| best(a).total_cmp(&best(b)));
            }
        }
        rows
    }

    /// The selected one; the last one where the list has become shorter than that, as it is drawn.
    pub fn chosen(&self) -> Option<&RunSummary> {
        let visible = self.visible();
        visible.get(self.selected.min(visible.len().saturating_sub(1))).copied()
    }
}

/// State of the charts.
#[derive(Debug, Default)]
pub struct Charts {
    /// What all charts share.
    pub view: ChartView,
    /// The chosen chart.
    pub selected: usize,
    /// Charts with a logarithmic y axis, by name.
    pub log: BTreeSet<String>,
    /// Words that a chart's name must have.
    pub filter: tui_input::Input,
    /// Whether they are typed.
    pub filtering: bool,
}

/// State of the samples pane.
#[derive(Debug, Default)]
pub struct Samples {
    /// The step that is held; `None` follows the newest.
    pub step: Option<u64>,
    /// Which picture.
    pub index: u32,
    /// The picture as it can be drawn.
    pub shown: Option<picture::Loaded>,
    /// What was asked for last.
    pub wanted: Option<picture::Wanted>,
}

/// State of the log pane.
#[derive(Debug)]
pub struct Log {
    /// Which log; "" is the notices.
    pub source: String,
    /// Lines between the end of the log and the end of what is shown; 0 follows.
    pub above_end: usize,
    /// Words that are looked for: an expression, or as they stand.
    pub search: tui_input::Input,
    /// Whether they are typed.
    pub searching: bool,
    /// The line that was found last, by its number in what is kept.
    pub found: Option<usize>,
    /// Whether only lines with the words are shown.
    pub only: bool,
    /// Whether long lines are broken, not cut.
    pub wrap: bool,
}

impl Default for Log {
    /// Follows the supervisor, which tells of everything that matters.
    fn default() -> Self {
        Self {
            source: "supervisor.log".to_owned(),
            above_end: 0,
            search: tui_input::Input::default(),
            searching: false,
            found: None,
            only: false,
            wrap: false,
        }
    }
}

/// All state.
#[derive(Debug)]
pub struct Model {
    /// Seconds since the Unix epoch, as of the last message.
    pub now: f64,
    /// The folder of runs.
    pub root: PathBuf,
    /// What fills the screen.
    pub page: Page,
    /// The run that is looked at.
    pub watched: Option<Watched>,
    /// Runs that are laid over it.
    pub others: Vec<Other>,
    /// Number of the newest watch of another run.
    pub last_other: u64,
    /// Folders whose runs are listed instead of those of `root`.
    pub opened: Vec<PathBuf>,
    /// Whether nothing may be asked of runs, changed or deleted.
    pub read_only: bool,
    /// Whether the colours were chosen by a person, whatever the ground is.
    pub fixed_looks: bool,
    /// The colours that fit the terminal, for when none were chosen.
    pub fitting_looks: super::theme::Looks,
    /// Whether the mouse is listened to.
    pub mouse: bool,
    /// Whether the terminal rings for errors.
    pub bell: bool,
    /// Whether the desktop is told what happens while another window has the focus, and whether one has.
    pub notify: bool,
    pub away: bool,
    /// Whether the newest live run is to be opened once the runs are listed.
    pub pick_newest: bool,
    /// Number of the newest watch and of the newest listing: answers to older ones are dropped.
    pub generation: u64,
    /// Number of the newest request.
    pub last_id: u64,
    /// Requests without an answer yet.
    pub pending: Vec<Pending>,
    /// The runs list.
    pub runs: RunsPage,
    /// The focused pane of the run tab.
    pub pane: Pane,
    /// Whether the focused pane has the whole tab.
    pub maximised: bool,
    /// The charts.
    pub charts: Charts,
    /// The samples.
    pub samples: Samples,
    /// The log.
    pub log: Log,
    /// The devices tab.
    pub devices: super::devices::Devices,
    /// What the edited settings would cost.
    pub what_if: super::what_if::WhatIf,
    /// The settings.
    pub form: SettingsForm,
    /// The captions.
    pub captions: super::captions::Captions,
    /// The data tab.
    pub datasets: super::datasets::Datasets,
    /// The evaluations.
    pub evaluate: super::evaluate::Evaluate,
    /// Popups, the topmost last.
    pub popups: Vec<Popup>,
    /// Messages.
    pub notes: Notes,
    /// Where things were drawn last: for the mouse and for page-wise scrolling.
    pub regions: Regions,
    /// Whether pictures can be drawn, and how.
    pub pictures: picture::Ability,
    /// Styles.
    pub theme: Theme,
    /// How the panes of the run tab share it.
    pub layout: super::layout::Layout,
    /// What the mouse drags.
    pub drag: Option<super::layout::Drag>,
    /// The first key of two, when it was pressed.
    pub prefix: Option<super::key::Key>,
    /// Set when the loop is to end.
    pub quit: bool,
}

impl Model {
    /// The first state.
    pub fn new(root: PathBuf, theme: Theme, now: f64) -> Self {
        Self {
            now,
            root,
            page: Page::Runs,
            watched: None,
            others: Vec::new(),
            last_other: 1 << 32,
            opened: Vec::new(),
            read_only: false,
            fixed_looks: false,
            fitting_looks: theme.looks,
            mouse: true,
            bell: false,
            notify: false,
            away: false,
            pick_newest: false,
            generation: 0,
            last_id: 0,
            pending: Vec::new(),
            runs: RunsPage::default(),
            pane: Pane::Charts,
            maximised: false,
            charts: Charts::default(),
            samples: Samples::default(),
            log: Log::default(),
            devices: super::devices::Devices::default(),
            what_if: super::what_if::WhatIf::default(),
            form: SettingsForm::default(),
            captions: super::captions::Captions::default(),
            datasets: super::datasets::Datasets::default(),
            evaluate: super::evaluate::Evaluate::default(),
            popups: Vec::new(),
            notes: Notes::default(),
            regions: Regions::default(),
            pictures: picture::Ability::default(),
            theme,
            layout: super::layout::Layout::default(),
            drag: None,
            prefix: None,
            quit: false,
        }
    }

    /// The places whose actions are at hand, the most particular first.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        match (self.page, self.pane) {
            (Page::Runs, _) => places.push(Place::Runs),
            (Page::Run, Pane::Charts) => places.push(Place::Charts),
            (Page::Run, Pane::Samples) => places.push(Place::Samples),
            (Page::Run, Pane::Log) => places.push(Place::Log),
            (Page::Devices, _) => places.push(Place::Devices),
            (Page::Settings, _) => places.push(Place::Settings),
            (Page::Caption, _) => places.push(Place::Caption),
            (Page::Data, _) => places.push(Place::Data),
            (Page::Evaluate, _) if self.evaluate.prompts.is_some() => places.push(Place::Prompts),
            (Page::Evaluate, _) if self.evaluate.view.is_some() => places.push(Place::Result),
            (Page::Evaluate, _) => places.push(Place::Evaluate),
        }
        if self.page != Page::Runs && self.watched.is_some() {
            places.push(Place::AnyRun);
        }
        places.push(Place::Anywhere);
        places
    }

    /// A run's name on the screen: its place below the folder that was opened, else its own name.
    pub fn label(&self, run: &RunDir) -> String {
        let row = self.runs.rows.iter().flatten().find(|r| r.run == *run);
        row.map_or_else(|| run.name(), |r| r.label.clone())
    }

    /// The request of this kind that has no answer yet.
    pub fn pending_edit(&self, name: &str) -> bool {
        self.pending
            .iter()
            .any(|p| matches!(&p.request, Some(Request::Set { changes }) if changes.contains_key(name)))
    }
}
