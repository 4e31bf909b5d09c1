//! Everything a person can do, in one table: it feeds key dispatch, mouse regions, the footer, `?` and the palette.

use super::key::{Key, KeySequence, ch, ctrl, ctrl_of, more, plain, shift};
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::OnceLock;

/// Something a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    OpenRunTab,
    OpenDevicesTab,
    OpenSettingsTab,
    OpenCaptionTab,
    OpenDataTab,
    OpenEvaluateTab,
    OpenRuns,
    NextTab,
    PreviousTab,
    NextPane,
    PreviousPane,
    Help,
    Palette,
    Notices,
    Dismiss,
    Back,
    Quit,
    Leave,
    Options,
    Pictures,
    Suspend,
    Redraw,
    Stop,
    PauseResume,
    Save,
    // Lists, logs and grids share these.
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Theme,
    Mouse,
    Taller,
    Shorter,
    Wider,
    Narrower,
    ResetPanes,
    // Charts.
    ZoomIn,
    ZoomOut,
    PanLeft,
    PanRight,
    FitAll,
    Live,
    LogScale,
    Smoothing,
    Crosshair,
    Axis,
    Outliers,
    LogX,
    Compared,
    Differences,
    NextAlert,
    PreviousAlert,
    // Runs.
    Overlay,
    Tag,
    Annotate,
    Archive,
    Delete,
    OpenFolder,
    SortRuns,
    // Log.
    Follow,
    NextSource,
    Older,
    Newer,
    OnlyFound,
    Wrap,
    // Settings.
    Search,
    RevertOne,
    RevertAll,
    Apply,
    Restart,
    NewRun,
    OnlyEdited,
    // Captions.
    CaptionFolder,
    CancelCaptions,
    ChooseModel,
    Compare,
    Decoding,
    GoTo,
    Hidden,
    Copy,
    KeepOne,
    KeepAll,
    // Datasets.
    NextSplit,
    Expression,
    Sort,
    Reverse,
    Findings,
    ToFinding,
    NextFinding,
    PreviousFinding,
    Check,
    CancelCheck,
    Seen,
    DrawAgain,
    Mark,
    MarkAll,
    UnmarkAll,
    OnlyMarked,
    Export,
    // Evaluations.
    NewEvaluation,
    CancelEvaluation,
    EvaluationLog,
    SortResults,
    Enlarge,
    EditPrompts,
    AddPrompt,
    Scope,
}

/// Where an action is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Wherever no popup is open.
    Anywhere,
    /// On a run, whichever tab.
    AnyRun,
    Charts,
    Samples,
    Log,
    Devices,
    Settings,
    Caption,
    Data,
    Evaluate,
    /// A result that is opened.
    Result,
    /// Prompts that are edited.
    Prompts,
    Runs,
}

impl Action {
    /// Its name in the options file: `smoothing`, `zoom_in`.
    pub fn word(self) -> String {
        snake(&format!("{self:?}"))
    }
}

fn snake(name: &str) -> String {
    let mut word = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}

impl Place {
    /// All of them, in the help's order.
    pub const ALL: [Self; 13] = [
        Self::Charts,
        Self::Samples,
        Self::Log,
        Self::Devices,
        Self::Settings,
        Self::Caption,
        Self::Data,
        Self::Evaluate,
        Self::Result,
        Self::Prompts,
        Self::Runs,
        Self::AnyRun,
        Self::Anywhere,
    ];

    /// Its name in the options file.
    pub fn word(self) -> String {
        snake(&format!("{self:?}"))
    }

    /// Its heading in the help.
    pub fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Anywhere",
            Self::AnyRun => "The run",
            Self::Charts => "Charts",
            Self::Samples => "Samples",
            Self::Log => "Log",
            Self::Devices => "Devices",
            Self::Settings => "Settings",
            Self::Caption => "Captions",
            Self::Data => "Data",
            Self::Evaluate => "Evaluations",
            Self::Result => "A result",
            Self::Prompts => "Prompts",
            Self::Runs => "Runs",
        }
    }
}

/// What the table says of an action at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub action: Action,
    pub place: Place,
    /// Short: stands in the footer, in lists, in the palette.
    pub name: &'static str,
    /// One line for the help and the palette.
    pub description: &'static str,
    pub keys: &'static [KeySequence],
    /// Rank in the footer, 1 first; 0 keeps it out.
    pub footer: u8,
}

macro_rules! table {
    ($($place:ident { $($action:ident, $name:literal, $footer:literal, [$($key:expr),*], $description:literal;)* })*) => {
        /// The table. Within a place, the order is the help's.
        pub const TABLE: &[Entry] = &[$($(Entry {
            action: Action::$action, place: Place::$place, name: $name, description: $description,
            keys: &[$($key),*], footer: $footer,
        },)*)*];
    };
}

table! {
    Charts {
        Left, "left", 0, [plain(KeyCode::Left), ch('h')], "Choose the chart to the left; with the crosshair on, move it.";
        Right, "right", 0, [plain(KeyCode::Right), ch('l')], "Choose the chart to the right; with the crosshair on, move it.";
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "Choose the chart above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "Choose the chart below.";
        PageUp, "previous charts", 0, [plain(KeyCode::PageUp)], "Show the previous page of charts.";
        PageDown, "next charts", 0, [plain(KeyCode::PageDown)], "Show the next page of charts.";
        Enter, "enlarge", 1, [plain(KeyCode::Enter), ch('z')], "Show the chosen chart alone, or all again.";
        Smoothing, "smooth", 2, [ch('s')], "Smooth the curves: off, 0.6, 0.9, 0.99; the raw curve stays behind.";
        LogScale, "log y", 3, [ch('y')], "Logarithmic or linear y of the chosen chart.";
        ZoomIn, "zoom", 7, [ch('+'), ch('=')], "Zoom into the steps of all charts.";
        ZoomOut, "zoom out", 0, [ch('-')], "Zoom out.";
        PanLeft, "earlier", 0, [ch('<'), ch(','), shift(KeyCode::Left)], "Move the window to earlier steps.";
        PanRight, "later", 0, [ch('>'), ch('.'), shift(KeyCode::Right)], "Move the window to later steps.";
        Live, "live/hold", 9, [ch('f')], "Hold the window still, or follow the newest steps again.";
        FitAll, "all steps", 0, [ch('0')], "Show all steps.";
        Crosshair, "crosshair", 8, [ch('x')], "Read values at a step, in all charts at once.";
        Axis, "x axis", 0, [ch('t')], "Count steps, epochs, time or samples on the x axis.";
        Outliers, "outliers", 0, [ch('o')], "Leave outliers out of the y range, or take them in; a badge tells.";
        LogX, "log x", 0, [more('x')], "Logarithmic or linear x of all charts.";
        Search, "filter", 0, [ch('/')], "Show only charts whose name has these words or matches the expression.";
        Compared, "runs here", 0, [ch('v')], "The runs on the charts: hide one, take it off, watch another.";
        Differences, "differences", 0, [ch('D'), more('d')], "The settings in which the runs on the charts differ.";
        Export, "export", 0, [ch('e')], "Write the curves on the charts to a file: .svg, .png, .csv or .json.";
        NextAlert, "next alert", 0, [ch('n')], "Put the crosshair on the next thing that stands out.";
        PreviousAlert, "previous alert", 0, [ch('b')], "Put the crosshair on the thing before that stands out.";
        First, "first chart", 0, [plain(KeyCode::Home)], "Choose the first chart.";
        Last, "last chart", 0, [plain(KeyCode::End)], "Choose the last chart.";
    }
    Samples {
        Left, "earlier", 1, [plain(KeyCode::Left), ch('h')], "Captions of the step before.";
        Right, "later", 2, [plain(KeyCode::Right), ch('l')], "Captions of the step after.";
        Up, "previous picture", 7, [plain(KeyCode::Up), ch('k')], "The previous picture.";
        Down, "next picture", 3, [plain(KeyCode::Down), ch('j')], "The next picture.";
        First, "first step", 0, [plain(KeyCode::Home)], "Captions of the first step that has some.";
        Last, "newest", 5, [plain(KeyCode::End), ch('f')], "Follow the newest captions.";
        Enter, "enlarge", 8, [plain(KeyCode::Enter), ch('z')], "Give the samples the whole tab, or its share again.";
    }
    Log {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "Scroll up; stops following.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "Scroll down.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "Scroll up a page.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "Scroll down a page.";
        First, "start", 0, [plain(KeyCode::Home)], "The start of what is kept.";
        Last, "end", 0, [plain(KeyCode::End)], "The end, and follow it.";
        Follow, "follow", 1, [ch('f')], "Follow the end, or hold still.";
        NextSource, "source", 2, [plain(KeyCode::Right), plain(KeyCode::Left), ch('o')], "Next source: notices, supervisor, ranks.";
        Search, "search", 3, [ch('/')], "Search the log from its end: words or an expression.";
        Older, "older", 0, [ch('n')], "The line above that has what is searched for.";
        Newer, "newer", 0, [ch('b')], "The line below that has what is searched for.";
        OnlyFound, "only found", 0, [ch('m')], "Show only lines with what is searched for, such as error|warning, or all.";
        Wrap, "wrap", 8, [ch('w')], "Break long lines, or cut them.";
        Enter, "enlarge", 7, [plain(KeyCode::Enter), ch('z')], "Give the log the whole tab, or its share again.";
    }
    Devices {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The rank or tensor above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The rank or tensor below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first one.";
        Last, "last", 0, [plain(KeyCode::End)], "The last one.";
        Search, "find tensor", 1, [ch('/')], "List only tensors whose name has these words: shape, shards and owners of the chosen one.";
    }
    Settings {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The setting above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The setting below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first setting.";
        Last, "last", 0, [plain(KeyCode::End)], "The last setting.";
        Enter, "edit", 1, [plain(KeyCode::Enter), ch('e'), ch(' ')], "Edit the setting; the rule is checked while you type.";
        Search, "search", 2, [ch('/')], "Show only settings whose name or description has these words.";
        Apply, "apply", 3, [ch('a')], "Send the edits that apply at once to the run, after a look at them.";
        Restart, "restart", 4, [ch('R')], "Stop, go on from the last checkpoint with the edits; asks first.";
        NewRun, "new run", 5, [ch('n')], "Start a new run from these settings with the edits; asks for its name.";
        RevertOne, "take back", 8, [ch('u')], "Take back the edit of this setting.";
        RevertAll, "take back all", 0, [ch('U')], "Take back all edits.";
        OnlyEdited, "only set", 0, [ch('m')], "Show only settings that differ from the default or are edited.";
    }
    Caption {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The picture or folder above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The picture or folder below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first one.";
        Last, "last", 0, [plain(KeyCode::End)], "The last one.";
        Enter, "caption", 1, [plain(KeyCode::Enter)], "Caption the picture; open the folder.";
        Right, "open", 0, [plain(KeyCode::Right), ch('l')], "Open the folder.";
        Left, "folder above", 0, [plain(KeyCode::Left), ch('h'), plain(KeyCode::Backspace)], "The folder above.";
        CaptionFolder, "all", 2, [ch('a')], "Caption every picture on the list.";
        CancelCaptions, "cancel", 8, [ch('x')], "Cancel what is being captioned; what is done stays.";
        ChooseModel, "model", 3, [ch('m')], "Choose the model: a checkpoint of a run, a folder, a file, a known name.";
        Decoding, "decoding", 4, [ch('e')], "How captions are written: greedy, beams, draws, prompt, lengths.";
        Compare, "compare", 7, [ch('v')], "Choose a second model, whose captions stand beside the first one's.";
        Search, "filter", 9, [ch('/')], "Show only names that have these words.";
        GoTo, "go to", 0, [ch('g')], "Go to a path that you type or paste; pasting alone does so too.";
        Hidden, "hidden", 0, [ch('.')], "Show names that begin with a dot, or don't.";
        Copy, "copy", 5, [ch('y')], "Copy the caption to the clipboard, through the terminal (OSC 52).";
        KeepOne, "save", 6, [ch('s')], "Save the caption in a text file beside the picture.";
        KeepAll, "save all", 0, [ch('w')], "Save all captions of this folder in its captions.json, in coco_karpathy form.";
    }
    Data {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The entry or finding above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The entry or finding below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first one.";
        Last, "last", 0, [plain(KeyCode::End)], "The last one.";
        Enter, "enlarge", 8, [plain(KeyCode::Enter), ch('z')], "Give the entry the whole tab, or its share again; among findings: unfold a kind, jump to the entry.";
        Right, "further", 0, [plain(KeyCode::Right), ch('l')], "Scroll the captions down; among findings unfold a kind.";
        Left, "back", 0, [plain(KeyCode::Left), ch('h')], "Scroll the captions up; among findings fold a kind.";
        Search, "filter", 2, [ch('/')], "Show only entries with these words, the best first; e makes it a regular expression.";
        Expression, "expression", 0, [ch('e')], "Take the filter as a regular expression, or as words again.";
        Sort, "sort", 9, [ch('s')], "In file order, by picture, length, caption or findings.";
        Reverse, "reverse", 0, [ch('i')], "Turn the order round.";
        Check, "check", 1, [ch('c')], "Check annotations and pictures; after that changes of the file are checked by themselves.";
        CancelCheck, "cancel", 0, [ch('x')], "Cancel the check; what it has found stays.";
        Findings, "findings", 3, [ch('f')], "List findings by kind instead of entries, or entries again.";
        ToFinding, "its findings", 0, [ch('F')], "Jump from the entry to its first finding.";
        NextFinding, "next finding", 0, [ch('n')], "The next entry with a finding.";
        PreviousFinding, "previous finding", 0, [ch('b')], "The entry with a finding before.";
        Seen, "model view", 4, [ch('v')], "Show the picture as the model is given it: cropped, resized; or as it is.";
        DrawAgain, "draw again", 0, [ch('a')], "Another epoch: another crop, another of several captions.";
        Mark, "mark", 6, [ch(' ')], "Mark the entry, or take the mark off.";
        MarkAll, "mark all", 0, [ch('M')], "Mark every entry that is listed.";
        UnmarkAll, "unmark all", 0, [ch('U')], "Take all marks off.";
        OnlyMarked, "only marked", 0, [ch('m')], "List only marked entries, or all.";
        Export, "export", 7, [ch('w')], "Write the marked entries as a dataset of their own, in the format that its name tells.";
        GoTo, "open", 5, [ch('g'), ch('o')], "Open a file, shards or a folder that you type or paste; pasting alone does so too.";
        NextSplit, "split", 0, [ch('t')], "The next split of the folder: train, val, test.";
        Copy, "copy", 0, [ch('y')], "Copy the first caption to the clipboard, through the terminal (OSC 52).";
    }
    Evaluate {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The row above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The row below.";
        Left, "left", 0, [plain(KeyCode::Left), ch('h')], "The column to the left.";
        Right, "right", 0, [plain(KeyCode::Right), ch('l')], "The column to the right.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first row.";
        Last, "last", 0, [plain(KeyCode::End)], "The last row.";
        NewEvaluation, "new", 1, [ch('n')], "Fill in the form of a new evaluation and put it into the queue.";
        Enter, "open", 2, [plain(KeyCode::Enter)], "Open the result; of an item without one, its log.";
        CancelEvaluation, "cancel", 5, [ch('x')], "Cancel the item of the queue; take one that is over off the list.";
        EvaluationLog, "log", 7, [ch('o')], "What the item of the queue said.";
        SortResults, "sort", 3, [ch('s')], "Sort the table: by the chosen column, by name, the newest first.";
        Export, "export", 8, [ch('e')], "Write all results to a file: .csv, .md, .svg or .png.";
    }
    Result {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The row above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The row below.";
        Left, "previous part", 0, [plain(KeyCode::Left), ch('h')], "The part before: classes, confused pairs, wrong pictures; pictures, texts; what could not be read.";
        Right, "next part", 1, [plain(KeyCode::Right), ch('l')], "The next part: classes, confused pairs, wrong pictures; pictures, texts; what could not be read.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first row.";
        Last, "last", 0, [plain(KeyCode::End)], "The last row.";
        Enter, "go", 2, [plain(KeyCode::Enter)], "Zero-shot: edit the prompts of the row's class; retrieval: go to what stands first in the place of the right one; captions: enlarge.";
        SortResults, "sort", 3, [ch('s')], "The worst first, the best first, by name.";
        Search, "filter", 4, [ch('/')], "Show only rows with these words: class, file, text, caption.";
        Enlarge, "enlarge", 7, [ch('z')], "Give the picture with what is said of it the whole tab, or its share again.";
        EditPrompts, "prompts", 8, [ch('t')], "Zero-shot: edit the prompts and see at once how the class fares.";
    }
    Prompts {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The template above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The template below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first template.";
        Last, "last", 0, [plain(KeyCode::End)], "The last template.";
        Enter, "edit", 1, [plain(KeyCode::Enter)], "Edit the template; the class is measured while you type.";
        AddPrompt, "add", 2, [ch('a')], "Add a template.";
        CancelEvaluation, "delete", 3, [ch('x')], "Take the template away.";
        Scope, "whose", 4, [ch('c')], "Change the prompts of this class only, or of all classes.";
        RevertAll, "take back", 5, [ch('U')], "The templates as they were.";
        Copy, "copy", 6, [ch('y')], "Copy the templates, one a line, as --templates takes them.";
    }
    Runs {
        Up, "up", 0, [plain(KeyCode::Up), ch('k')], "The run above.";
        Down, "down", 0, [plain(KeyCode::Down), ch('j')], "The run below.";
        PageUp, "page up", 0, [plain(KeyCode::PageUp)], "A page up.";
        PageDown, "page down", 0, [plain(KeyCode::PageDown)], "A page down.";
        First, "first", 0, [plain(KeyCode::Home)], "The first run.";
        Last, "last", 0, [plain(KeyCode::End)], "The last run.";
        Enter, "watch", 1, [plain(KeyCode::Enter)], "Watch this run.";
        Overlay, "compare", 2, [ch(' ')], "Lay the run over the watched one on the charts, or take it off.";
        Search, "filter", 3, [ch('/')], "Show only runs with these words and conditions: cat state:running lr>=1e-4 tag:good -archived.";
        SortRuns, "sort", 7, [ch('s')], "The newest first, by name, by steps, by loss, by the best loss, by the smoothed loss.";
        Tag, "tags", 5, [ch('t')], "Write words on the run to find it by.";
        Annotate, "note", 8, [ch('m')], "Write a line on the run.";
        Archive, "put away", 9, [ch('A')], "Leave the run out of the list, or take it in again; `archived` finds it.";
        Delete, "delete…", 0, [ch('X')], "Delete the run with its checkpoints; asks first.";
        OpenFolder, "open", 4, [ch('o')], "Open a folder: TensorBoard's event files, open_clip's logs, other runs.";
        Differences, "differences", 0, [ch('D')], "The settings in which the runs on the charts differ.";
    }
    AnyRun {
        Stop, "stop…", 6, [ch('S')], "Stop the run: after its step with a checkpoint, or at once; asks first.";
        PauseResume, "pause/resume", 10, [ch('P')], "Pause after this step, or go on.";
        Save, "save checkpoint", 0, [ch('C')], "Write a checkpoint after this step.";
        Taller, "taller", 0, [ctrl_of(KeyCode::Up)], "More room for what lies below the charts.";
        Shorter, "shorter", 0, [ctrl_of(KeyCode::Down)], "Less room for what lies below the charts.";
        Wider, "wider", 0, [ctrl_of(KeyCode::Right)], "More room for the samples.";
        Narrower, "narrower", 0, [ctrl_of(KeyCode::Left)], "Less room for the samples.";
        ResetPanes, "reset panes", 0, [ch('Z')], "The panes as they were at first.";
        NextTab, "next tab", 0, [ch(']')], "The next tab.";
        PreviousTab, "previous tab", 0, [ch('[')], "The previous tab.";
    }
    Anywhere {
        OpenRunTab, "Run", 0, [ch('1')], "Curves, samples, log.";
        OpenDevicesTab, "Devices", 0, [ch('2')], "Memory and load of each rank, and how parameters lie.";
        OpenSettingsTab, "Settings", 0, [ch('3')], "Every setting of the run, to edit them; the workbench's own options below.";
        OpenCaptionTab, "Caption", 0, [ch('4')], "Caption pictures of this machine.";
        OpenEvaluateTab, "Evaluate", 0, [ch('5')], "Evaluate checkpoints: the queue and the results.";
        OpenDataTab, "Data", 0, [ch('6')], "Browse and check datasets.";
        NextPane, "pane", 4, [plain(KeyCode::Tab)], "Move the focus to the next pane.";
        PreviousPane, "previous pane", 0, [plain(KeyCode::BackTab)], "Move the focus to the previous pane.";
        OpenRuns, "runs", 10, [ch('r')], "The list of runs.";
        Palette, "commands", 11, [ch(':'), ctrl('p')], "Find any action by its name, description or key.";
        Help, "help", 12, [ch('?'), plain(KeyCode::F(1))], "All keys, those of the focused pane first.";
        Notices, "messages", 0, [ch('N')], "Messages so far.";
        Dismiss, "dismiss", 0, [ch('d')], "Dismiss the messages on the screen.";
        Back, "back", 0, [plain(KeyCode::Esc)], "One level up.";
        Options, "options", 0, [ch('O')], "This workbench's own options: how pictures are drawn, colours, mouse, ASCII, bell.";
        Pictures, "pictures", 0, [ch('I')], "How pictures are drawn: as the terminal can, kitty, sixel, iTerm2, half blocks, off; workbench.toml keeps it.";
        Mouse, "mouse", 0, [more('m')], "Listen to the mouse, or leave it to the terminal, which then selects text.";
        Theme, "colours", 0, [ch('T')], "The next set of colours: plain, plain-light, dark, light, and two for people who see fewer; workbench.toml keeps them.";
        Redraw, "redraw", 0, [ctrl('l')], "Draw the whole screen anew.";
        Suspend, "suspend", 0, [ctrl('z')], "Back to the shell for a while; `fg` returns.";
        Quit, "quit", 13, [ch('q')], "Leave the workbench; runs go on.";
        Leave, "leave at once", 0, [ctrl('c')], "Leave the workbench from wherever you are; runs go on.";
    }
}

static OWN: OnceLock<Vec<Entry>> = OnceLock::new();

/// The table in use: with the person's own keys, when there are some.
pub fn table() -> &'static [Entry] {
    OWN.get().map_or(TABLE, Vec::as_slice)
}

/// Puts a table with other keys to use; once, before anything is drawn.
pub fn install(table: Vec<Entry>) {
    // A second one is not for this process.
    let _ = OWN.set(table);
}

/// Whether keys of both places are at hand at the same time.
pub fn overlap(a: Place, b: Place) -> bool {
    let wide = |p| p == Place::AnyRun || p == Place::Anywhere;
    a == b || wide(a) || wide(b)
}

/// What a key does at the first of these places that knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This.
    Act(Action),
    /// It is the first of two.
    Prefix(Key),
}

/// What a key means, `prefix` having been pressed before it.
pub fn dispatch(event: &KeyEvent, prefix: Option<Key>, places: &[Place]) -> Option<Meaning> {
    places.iter().find_map(|place| {
        let mut keys =
            table().iter().filter(|e| e.place == *place).flat_map(|e| e.keys.iter().map(move |k| (e, k)));
        keys.find_map(|(entry, key)| match (prefix, key.second) {
            (None, None) => key.first.is(event).then_some(Meaning::Act(entry.action)),
            (None, Some(_)) => key.first.is(event).then_some(Meaning::Prefix(key.first)),
            (Some(prefix), Some(second)) => {
                (key.first == prefix && second.is(event)).then_some(Meaning::Act(entry.action))
            }
            (Some(_), None) => None,
        })
    })
}

/// What may follow a first key at these places.
pub fn followers(prefix: Key, places: &[Place]) -> Vec<(Key, &'static Entry)> {
    let entries = places.iter().flat_map(|p| table().iter().filter(move |e| e.place == *p));
    let keys = entries.flat_map(|e| e.keys.iter().map(move |k| (e, k)));
    keys.filter_map(|(e, k)| Some((k.second.filter(|_| k.first == prefix)?, e))).collect()
}

/// What the table says of an action at these places.
pub fn entry(action: Action, places: &[Place]) -> Option<&'static Entry> {
    places.iter().find_map(|p| table().iter().find(|e| e.place == *p && e.action == action))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyModifiers;

    #[test]
    fn no_key_means_two_things_at_one_place() {
        for (i, a) in TABLE.iter().enumerate() {
            for b in &TABLE[i + 1..] {
                let same = a.keys.iter().any(|k| b.keys.iter().any(|o| k.clashes(*o)));
                assert!(!(same && overlap(a.place, b.place)), "{a:?} and {b:?} share a key");
            }
        }
    }

    #[test]
    fn every_place_is_listed_and_has_actions() {
        for entry in TABLE {
            assert!(Place::ALL.contains(&entry.place));
        }
        assert!(Place::ALL.iter().all(|p| TABLE.iter().any(|e| e.place == *p)));
        assert_eq!((Action::ZoomIn.word().as_str(), Place::AnyRun.word().as_str()), ("zoom_in", "any_run"));
    }

    #[test]
    fn two_keys_one_after_the_other() {
        let places = [Place::Charts, Place::Anywhere];
        let key = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        let Some(Meaning::Prefix(prefix)) = dispatch(&key(';'), None, &places) else { panic!("no prefix") };
        assert_eq!(dispatch(&key('x'), Some(prefix), &places), Some(Meaning::Act(Action::LogX)));
        assert_eq!(dispatch(&key('q'), Some(prefix), &places), None);
        assert!(
            followers(prefix, &places)
                .iter()
                .any(|(k, e)| k.to_string() == "d" && e.action == Action::Differences)
        );
        // Arrows and vim's letters both.
        for (arrow, letter) in
            [(KeyCode::Left, 'h'), (KeyCode::Down, 'j'), (KeyCode::Up, 'k'), (KeyCode::Right, 'l')]
        {
            let arrow = dispatch(&KeyEvent::new(arrow, KeyModifiers::NONE), None, &places);
            assert!(arrow.is_some() && arrow == dispatch(&key(letter), None, &places));
        }
    }

    #[test]
    fn every_entry_is_described_and_has_a_key() {
        for e in TABLE {
            assert!(!e.name.is_empty() && e.description.ends_with('.') && !e.keys.is_empty(), "{e:?}");
        }
    }
}
