//! What reaches [`super::update::update`], and the effects that it names.

use super::captions::{Choice, Folder};
use super::datasets;
use super::picture;
use crossterm::event::{KeyEvent, MouseEvent};
use run::control::{Reply, Request};
use run::dir::RunDir;
use run::events::Event;
use run::history::Status;
use run::settings::{Changes, Settings};
use std::path::PathBuf;
use std::sync::Arc;

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key went down.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal has another size, or came back from the background: everything is to be drawn anew.
    Resize,
    /// The terminal got the focus, or lost it.
    Focus(bool),
    /// Time went on.
    Tick,
    /// What the settings that were asked about would cost, by the number of the question.
    Forecast { number: u64, result: Result<Box<crate::forecast::Forecast>, String> },
    /// The runs there are, of the listing with this number.
    Runs { generation: u64, runs: Vec<RunSummary> },
    /// News of the watched run, of the watch with this number.
    Watch { generation: u64, news: News },
    /// Some steps of a run were read again, of the watch with this number.
    Part { generation: u64, part: Result<super::model::Part, String> },
    /// A request was answered, or could not be made.
    Answered { id: u64, result: Result<Reply, String> },
    /// A longer job says where it is.
    JobProgress { id: u64, text: String },
    /// A longer job ended: what to say, and the run to watch now.
    JobDone { id: u64, result: Result<JobResult, String> },
    /// How this terminal draws pictures, and what is wrong with what was asked for.
    Pictures { ability: Box<picture::Ability>, complaint: Option<String> },
    /// A picture is ready to be drawn, or could not be read.
    Picture(picture::Loaded),
    /// A folder was looked at, by the look with this number.
    Folder { generation: u64, folder: Result<Folder, String> },
    /// The models that can be chosen.
    Models(Vec<Choice>),
    /// A model's engine says something; `generation` is the load's number.
    Engine { slot: usize, generation: u64, id: u64, reply: run::serve::Reply },
    /// What came of an effect of the Evaluate tab.
    Evaluate(super::evaluate::News),
    /// Captions were kept, or not.
    Kept(Result<String, String>),
    /// A dataset was opened, or what is wrong with it.
    DataOpened { generation: u64, result: Result<Box<datasets::News>, datasets::Unread> },
    /// The files of the dataset with this number have changed.
    DataChanged { generation: u64 },
    /// The samples that the search with this number found: all of them, or those so far.
    DataListed { number: u64, whole: bool, result: Result<Arc<Vec<u32>>, String> },
    /// What is known of an entry.
    DataEntry(Box<datasets::Detail>),
    /// The check with this number says something.
    DataCheck { number: u64, news: datasets::CheckNews },
    /// Marked entries were written, or not.
    DataExported(Result<String, String>),
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobResult {
    /// What to say.
    pub message: String,
    /// The run that goes on.
    pub run: RunDir,
}

/// News of the watched run.
#[derive(Debug)]
pub enum News {
    /// What was folded of its events before; `read` of `total` bytes are taken in.
    Restored { history: Box<run::history::History>, read: u64, total: u64 },
    /// The next events; `read` of `total` bytes are taken in.
    Events { events: Vec<Event>, read: u64, total: u64 },
    /// The run's status.
    Status(Status),
    /// Its `config.toml`.
    Config(Result<Box<Settings>, String>),
    /// The lines that a log got; `anew` when the log was replaced by a shorter one.
    Log { source: String, lines: Vec<String>, anew: bool },
    /// What another program's log says; `read` of `total` bytes are taken in.
    Items { items: Vec<crate::foreign::Item>, read: u64, total: u64 },
    /// Something could not be read.
    Trouble(String),
    /// Something in its files is not understood, and left out.
    Odd(String),
    /// Its events were replaced by others: what was said of it is void.
    Anew,
}

/// One row of the runs list.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub run: RunDir,
    /// Its status.
    pub status: Status,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub total: Option<u64>,
    /// The newest loss.
    pub loss: Option<f64>,
    /// The same, smoothed.
    pub smoothed: Option<f64>,
    /// Its model.
    pub model: Option<String>,
    /// When its newest event came: seconds since the Unix epoch.
    pub last_time: Option<f64>,
    /// Its name on the screen.
    pub label: String,
    /// The lowest loss so far and its step.
    pub best: Option<(u64, f64)>,
    /// Settings that differ from the defaults, or what another program was started with.
    pub settings: std::collections::BTreeMap<String, String>,
    /// What a person wrote on it.
    pub labels: crate::labels::Labels,
}

impl RunSummary {
    /// A run of which only the status is known.
    pub fn new(run: RunDir, status: Status) -> Self {
        Self {
            label: run.name(),
            run,
            status,
            step: 0,
            total: None,
            loss: None,
            smoothed: None,
            model: None,
            last_time: None,
            best: None,
            settings: std::collections::BTreeMap::new(),
            labels: crate::labels::Labels::default(),
        }
    }
}

/// From one step to another.
pub type Steps = std::ops::RangeInclusive<u64>;

/// An effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// List the runs.
    ListRuns { root: Option<PathBuf>, opened: Vec<PathBuf>, generation: u64 },
    /// Watch this run too, to lay it over the watched one.
    WatchOther { generation: u64, run: RunDir },
    /// Read some steps again: those `around` the window where that is not too much, else those in it.
    ReadPart { generation: u64, run: RunDir, steps: Steps, around: Steps, most: usize },
    /// End the watch with this number.
    Forget { generation: u64 },
    /// Say what these settings would cost.
    Forecast { number: u64, settings: Box<Settings> },
    /// Watch this run, and no other any more.
    Watch { generation: u64, run: RunDir },
    /// Ask a run for something.
    Ask { id: u64, run: RunDir, request: Request },
    /// Stop, write the settings, go on from the last checkpoint.
    Restart { id: u64, plan: RestartPlan },
    /// Start a new run.
    NewRun { id: u64, root: PathBuf, name: String, settings: Box<Settings> },
    /// Look into a folder, or a file's folder.
    Browse { generation: u64, path: PathBuf },
    /// List the models that can be chosen.
    ListModels { root: PathBuf },
    /// Load a model in place of the slot's.
    LoadModel { slot: usize, generation: u64, settings: Box<Settings> },
    /// End the slot's model.
    Unload { slot: usize },
    /// Ask the slot's model for something.
    AskModel { slot: usize, id: u64, request: run::serve::Request },
    /// Keep captions: beside their pictures, or in a file.
    Keep { file: Option<PathBuf>, captions: Vec<(PathBuf, Vec<String>)> },
    /// Open a dataset; its older state tells what stays selected and marked.
    OpenData { generation: u64, source: datasets::Source, before: Option<datasets::Before> },
    /// Tell when the dataset's files change, and no other's any more.
    WatchData { generation: u64, watched: datasets::Watched, awaited: bool },
    /// Find and sort entries; older searches give up.
    SearchData { number: u64, data: datasets::Shared, query: Box<datasets::Query> },
    /// Make the ids of an entry's captions and look at its picture's header.
    LookAtEntry { data: datasets::Shared, sample: u32 },
    /// Check the dataset; a check that goes on ends.
    CheckData { number: u64, data: datasets::Shared },
    /// End the check soon.
    CancelCheck,
    /// Let go of what was found, which takes its time where there is a finding for every entry.
    Free(Arc<datasets::Findings>),
    /// Write these samples as a dataset of their own.
    ExportData { data: datasets::Shared, samples: Vec<u32>, out: PathBuf },
    /// Something of the Evaluate tab.
    Evaluate(super::evaluate::Effect),
    /// Write on a run; nothing is said when it went well.
    Label { run: RunDir, labels: crate::labels::Labels },
    /// Delete a run.
    DeleteRun { run: RunDir },
    /// Keep what was folded of a run's events up to this byte.
    KeepHistory { run: RunDir, history: Box<run::history::History>, position: u64 },
    /// Write curves: of these runs, with this view.
    ExportCurves { runs: Vec<(RunDir, String)>, options: Box<CurvesExport>, out: PathBuf },
    /// Keep how the panes share the run tab.
    KeepLayout(super::layout::Layout),
    /// Listen to the mouse, or don't.
    Mouse(bool),
    /// Put text, escaped already, on the clipboard.
    Copy(String),
    /// Write an option of the workbench's own into its file; of one option the highest order stays.
    KeepOption { order: u64, name: &'static str, value: run::settings::Value },
    /// Read and encode a picture.
    LoadPicture(picture::Wanted),
    /// Give the terminal back and stop this process until `fg`.
    Suspend,
    /// Draw every cell anew.
    Redraw,
}

/// A restart with edits.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPlan {
    /// The run.
    pub run: RunDir,
    /// Whether it is alive now.
    pub alive: bool,
    /// Edits that apply at once; asked for before the stop when the run is alive, so that they are events.
    pub live: Changes,
    /// Edits that take a restart.
    pub restart: Changes,
}

/// Which curves are written, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvesExport {
    /// Their names; none for the usual ones.
    pub metrics: Vec<String>,
    /// What the x axis counts.
    pub axis: super::chart::Axis,
    /// Whether the axes are logarithmic.
    pub log: (bool, bool),
    /// Weight of the past in the smoothed line.
    pub smoothing: f64,
    /// Whether outliers are left out of the y range.
    pub robust: bool,
}
