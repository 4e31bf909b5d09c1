//! `cocaptain train`: a new run, or going on with one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use data::{Dataset, ReadOptions, Split};
use run::dir::{DirError, RunDir};
use run::events::Outcome;
use run::history::History;
use run::lock::Lock;
use run::settings::{Applies, Setting, Settings};

use super::launcher::{self, Launched};
use super::{Done, Failure, flags, headless, mesh, print, workbench};
use crate::supervise::seat::Seat;

/// How long a launcher's last start may take to end when it starts all again.
const LAUNCHED_PATIENCE: Duration = Duration::from_secs(60);

/// The command.
pub fn command() -> Command {
    let command = Command::new("train")
        .about("Start a run in the background, or go on with one")
        .args_override_self(true)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Settings to begin with (TOML); flags win over them"),
        )
        .arg(
            Arg::new("resume")
                .long("resume")
                .value_name("RUN")
                .conflicts_with("config")
                .help("Go on with this run from its last checkpoint"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .num_args(1..)
                .action(ArgAction::Append)
                .help("Edit settings of a resumed run"),
        )
        .arg(
            Arg::new("dry_run")
                .long("dry_run")
                .alias("dry-run")
                .action(ArgAction::SetTrue)
                .help("Check everything and print the settings; start nothing"),
        );
    flags::add(watching(command))
}

/// Adds `--headless` and `--attach`.
pub fn watching(command: Command) -> Command {
    command
        .arg(
            Arg::new("headless")
                .long("headless")
                .action(ArgAction::SetTrue)
                .help("Stay in the foreground, print plain lines, end when the run ends"),
        )
        .arg(
            Arg::new("attach")
                .long("attach")
                .action(ArgAction::SetTrue)
                .conflicts_with("headless")
                .help("Open the workbench on the run"),
        )
}

/// Carries it out.
pub fn train(m: &ArgMatches) -> Done {
    if let Some(name) = m.get_one::<String>("resume") {
        return resume(name, m);
    }
    let mut settings = match m.get_one::<PathBuf>("config") {
        Some(file) => Settings::load(file).map_err(Failure::failed)?,
        None => Settings::default(),
    };
    let given = flags::assign(&mut settings, m).map_err(|e| Failure::Usage(e.to_string()))?;
    edit(&mut settings, m)?;
    flags::make_absolute(&mut settings);
    let launched = launched()?;
    obey(launched.as_ref(), &mut settings, &given)?;
    if let Some(apart) = Apart::of(launched.as_ref(), settings.node_rank) {
        let name = settings.name.take().unwrap_or_else(headless::stamp);
        let (root, name) = apart.place(Path::new(&settings.output_dir), &name);
        (settings.output_dir, settings.name) = (root.display().to_string(), Some(name));
    }
    if let Some(run) = started_before(&settings, launched.as_ref())? {
        return go_on(&run, launched, m);
    }
    check(&settings)?;
    if m.get_flag("dry_run") {
        let forecast = mesh::forecast(&settings)?;
        return print(&(understood(&settings)? + &forecast + &settings.to_toml()));
    }
    let run = begin_at(settings, launched.as_ref().and_then(Launched::seat).as_ref())?;
    match launched {
        // Whoever launched this waits for its end, and takes its status.
        Some(launched) => headless::follow_as(&run, launched.is_first()),
        None => watch(&run, m),
    }
}

/// What a launcher says of this process.
fn launched() -> Result<Option<Launched>, Failure> {
    let launched = launcher::detect(|name| std::env::var(name).ok()).map_err(Failure::Usage)?;
    // One rank alone is a run like any other.
    Ok(launched.filter(|l| l.nodes > 1 || l.rank.is_some_and(|(_, _, world)| world > 1)))
}

/// Takes what a launcher says into the settings; `given` are those that flags set.
fn obey(launched: Option<&Launched>, settings: &mut Settings, given: &[&Setting]) -> Done {
    let given: Vec<&str> = given.iter().map(|s| s.name).collect();
    launched.map_or(Ok(()), |l| l.obey(settings, &given)).map_err(Failure::Usage)
}

/// What is not where rank 0 is, and so has a folder of its own: a rank that a launcher started, or a machine.
#[derive(Clone, Copy)]
enum Apart {
    Rank(u32),
    Node(u64),
}

impl Apart {
    fn of(launched: Option<&Launched>, node: u64) -> Option<Self> {
        match launched.and_then(|l| l.rank) {
            Some((0, ..)) => None,
            Some((rank, ..)) => Some(Self::Rank(rank)),
            None => (node > 0).then_some(Self::Node(node)),
        }
    }

    /// Folder and name of its part of the run that has this name in `root`.
    fn place(self, root: &Path, name: &str) -> (PathBuf, String) {
        match self {
            // They keep only their logs: out of the way of whoever lists runs.
            Self::Rank(rank) => (root.join(".ranks"), format!("{name}-rank{rank}")),
            Self::Node(node) => (root.to_owned(), format!("{name}-node{node}")),
        }
    }

    /// Its part of the run that `name` means, which may be on another machine.
    fn find(self, name: &str, root: &Path) -> Result<RunDir, DirError> {
        let first = RunDir::find(name, root).map_or_else(|_| root.join(name), |run| run.path().to_owned());
        let own = first.parent().zip(first.file_name()).map(|(r, n)| self.place(r, &n.to_string_lossy()));
        let (root, name) = own.unwrap_or_else(|| self.place(root, name));
        let run = RunDir::at(root.join(&name));
        if run.config().is_file() {
            return Ok(run);
        }
        Err(DirError::Missing { name, places: vec![root.display().to_string()] })
    }
}

/// A launcher that starts all again goes on with the run of this name.
fn started_before(settings: &Settings, launched: Option<&Launched>) -> Result<Option<RunDir>, Failure> {
    let again = launched.is_some_and(|l| l.restarts > 0);
    let Some(name) = settings.name.as_ref().filter(|_| again) else { return Ok(None) };
    let run = RunDir::at(Path::new(&settings.output_dir).join(name));
    if !run.config().is_file() {
        return Ok(None);
    }
    // What the launcher ended a moment ago may still be saving.
    drop(Lock::take(&run, LAUNCHED_PATIENCE).map_err(Failure::failed)?);
    Ok(Some(run))
}

/// Makes the run and starts it.
pub fn begin(settings: Settings) -> Result<RunDir, Failure> {
    begin_at(settings, None)
}

fn begin_at(mut settings: Settings, seat: Option<&Seat>) -> Result<RunDir, Failure> {
    crate::engine::path::find().map_err(Failure::Failed)?;
    let root = PathBuf::from(&settings.output_dir);
    let run = match settings.name.clone() {
        Some(name) => RunDir::create(&root, &name).map_err(Failure::failed)?,
        None => create_named(&root)?,
    };
    settings.name = Some(run.name());
    let started = run::dir::replace_file(&run.config(), settings.to_toml().as_bytes())
        .map_err(|e| format!("{}: cannot be written: {e}", run.config().display()))
        .and_then(|()| crate::launch::supervisor(&run, seat));
    if let Err(message) = started {
        // A run that never began is in nobody's way; its words are in the error.
        if !run.events().exists() {
            let _ = std::fs::remove_dir_all(run.path());
        }
        return Err(Failure::Failed(message));
    }
    // Whoever lists runs looks for the ones of rank 0.
    if seat.is_none_or(Seat::is_first) {
        run::dir::remember(&root);
    }
    Ok(run)
}

/// A run with a name of its own making: the time, and a number where that is taken.
fn create_named(root: &Path) -> Result<RunDir, Failure> {
    let name = headless::stamp();
    for n in 1..1000 {
        let name = if n == 1 { name.clone() } else { format!("{name}-{n}") };
        match RunDir::create(root, &name) {
            Err(DirError::Exists(_)) => {}
            other => return other.map_err(Failure::failed),
        }
    }
    Err(Failure::Failed(format!("{}: no free name for a run; give --name", root.display())))
}

/// What can be checked without torch: everything that would end the run at its start.
pub fn check(settings: &Settings) -> Done {
    let options = ReadOptions::from(settings);
    data::reader::find(&training_data(settings)?, Split::Train, &options)
        .map_err(|e| Failure::Failed(format!("train_data: {e}")))?;
    if let Some(val) = &settings.val_data {
        data::reader::find(Path::new(val), Split::Val, &options)
            .map_err(|e| Failure::Failed(format!("val_data: {e}")))?;
    }
    let files = [
        ("image_root", &settings.image_root),
        ("classification_eval", &settings.classification_eval),
        ("pretrained_model_path", &settings.pretrained_model_path),
    ];
    for (name, path) in files {
        if let Some(path) = path.as_deref().filter(|p| !Path::new(p).exists()) {
            return Err(Failure::Failed(format!("{name}: {path}: no such file or folder")));
        }
    }
    if settings.model.is_none() && settings.model_config.is_none() && settings.pretrained_model_path.is_none()
    {
        return Err(Failure::Failed(
            "no model is named: give --model, or --model_config to start from scratch".to_owned(),
        ));
    }
    available(settings)?;
    settings.validate().map_err(Failure::failed)?;
    if settings.tensor_parallel_degree > 1 {
        // Heads are counted before anything starts.
        crate::forecast::heads(settings).map_err(Failure::Failed)?;
    }
    // Weights of a known model that are not here yet, a config that nobody knows: told before the run is made.
    models::source::resolve(settings).map_err(|e| Failure::Failed(format!("model: {e}")))?;
    writable(Path::new(&settings.output_dir))?;
    if let Some(path) =
        settings.name.as_ref().map(|n| Path::new(&settings.output_dir).join(n)).filter(|p| p.exists())
    {
        return Err(Failure::failed(DirError::Exists(path)));
    }
    Ok(())
}

/// What training reads.
fn training_data(settings: &Settings) -> Result<PathBuf, Failure> {
    settings.training_data().map(PathBuf::from).ok_or_else(|| {
        Failure::Failed(
            "no training data is named: give --train_data (an annotation file, tar shards or the folder of a data set), \
             or fetch COCO's captions to where they are looked for: cocaptain data fetch coco_karpathy"
                .to_owned(),
        )
    })
}

/// What the data was understood as, as comments of a TOML file.
fn understood(settings: &Settings) -> Result<String, Failure> {
    let options = ReadOptions::from(settings);
    let mut text = String::new();
    let mut one = |what: &str, path: &Path, split| -> Done {
        let set =
            Dataset::open(path, split, &options).map_err(|e| Failure::Failed(format!("{what}: {e}")))?;
        let shown = |path: &Path| run::escape::line(&path.display().to_string()).into_owned();
        text.push_str(&format!(
            "# {what}: {} ({}), {} samples of {} pictures\n",
            shown(set.path()),
            set.format().name(),
            set.len(),
            set.images()
        ));
        let missing = (0..set.len().min(1000)).filter_map(|i| set.image(i)).filter(|i| !i.path().is_file());
        let missing = missing.count();
        for root in set.roots() {
            let state = if root.is_dir() { "" } else { " (no such folder)" };
            text.push_str(&format!("#   pictures are looked for in {}{state}\n", shown(root)));
        }
        if missing > 0 {
            let looked = set.len().min(1000);
            text.push_str(&format!("#   {missing} of the first {looked} samples have no picture there\n"));
        }
        if let Some(broken) = set.broken().first() {
            let problem = run::escape::line(&broken.problem);
            let (count, entry) = (set.broken_count(), broken.origin.entry);
            text.push_str(&format!(
                "#   {count} broken entries are left out, the first one {entry}: {problem}\n"
            ));
        }
        Ok(())
    };
    one("train_data", &training_data(settings)?, Split::Train)?;
    if let Some(val) = &settings.val_data {
        one("val_data", Path::new(val), Split::Val)?;
    }
    Ok(text)
}

/// Settings of the schema that this version cannot do yet.
fn available(settings: &Settings) -> Done {
    settings.unavailable().map_or(Ok(()), |why| Err(Failure::Failed(why)))
}

/// Whether runs can be made in `root`, or in the nearest folder above it that exists.
fn writable(root: &Path) -> Done {
    let exists = root.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let refuse = |e: String| Failure::Failed(format!("output_dir: {}: {e}", exists.display()));
    if !exists.is_dir() {
        return Err(refuse("is no folder".to_owned()));
    }
    rustix::fs::access(exists, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|e| refuse(format!("runs cannot be made there: {e}")))
}

/// `--set key=value`.
fn edit(settings: &mut Settings, m: &ArgMatches) -> Done {
    for text in m.get_many::<String>("set").into_iter().flatten() {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::Usage(format!("--set {text}: it takes key=value")));
        };
        settings.assign(name.trim(), value).map_err(|e| Failure::Usage(e.to_string()))?;
    }
    Ok(())
}

/// Goes on with the run of this name.
fn resume(name: &str, m: &ArgMatches) -> Done {
    let mut flagged = Settings::default();
    flags::assign(&mut flagged, m).map_err(|e| Failure::Usage(e.to_string()))?;
    let launched = launched()?;
    // Without a launcher a machine's part is named by whoever starts it.
    let apart = launched.as_ref().and_then(|l| Apart::of(Some(l), l.node));
    let root = Path::new(&flagged.output_dir);
    let run = apart.map_or_else(|| RunDir::find(name, root), |apart| apart.find(name, root));
    go_on(&run.map_err(Failure::failed)?, launched, m)
}

/// Goes on with a run, with edits where they are given.
fn go_on(run: &RunDir, launched: Option<Launched>, m: &ArgMatches) -> Done {
    crate::engine::path::find().map_err(Failure::Failed)?;
    let was = Settings::load(&run.config()).map_err(Failure::failed)?;
    let mut settings = was.clone();
    // output_dir says where to look for the run; it is no edit.
    let (output_dir, own_name) = (settings.output_dir.clone(), settings.name.clone());
    let given = flags::assign(&mut settings, m).map_err(|e| Failure::Usage(e.to_string()))?;
    edit(&mut settings, m)?;
    flags::make_absolute(&mut settings);
    obey(launched.as_ref(), &mut settings, &given)?;
    settings.output_dir = output_dir;
    settings.name = own_name;
    let changed = settings.differences(&was);
    if let Some((setting, ..)) = changed.iter().find(|(s, ..)| s.applies == Applies::Never) {
        return Err(Failure::Failed(format!(
            "{} cannot be changed in a run that has begun: start a new one",
            setting.name
        )));
    }
    settings.validate().map_err(Failure::failed)?;
    available(&settings)?;
    let history =
        History::read(run).map_err(|e| Failure::Failed(format!("{}: {e}", run.events().display())))?;
    let lock = Lock::take(run, Duration::from_secs(2)).map_err(Failure::failed)?;
    if matches!(history.finished, Some((Outcome::Completed, _))) && changed.is_empty() {
        return Err(Failure::Failed(format!(
            "run '{}' has done all its {} steps: give it more, --set max_steps=N",
            run.name(),
            history.step
        )));
    }
    if m.get_flag("dry_run") {
        return print(&settings.to_toml());
    }
    if !changed.is_empty() {
        run::dir::replace_file(&run.config(), settings.to_toml().as_bytes())
            .map_err(|e| Failure::Failed(format!("{}: cannot be written: {e}", run.config().display())))?;
    }
    drop(lock);
    let seat = launched.as_ref().and_then(Launched::seat);
    crate::launch::supervisor(run, seat.as_ref()).map_err(Failure::Failed)?;
    if let Some(root) = run.path().parent().filter(|_| seat.as_ref().is_none_or(Seat::is_first)) {
        run::dir::remember(root);
    }
    match launched {
        Some(launched) => headless::follow_as(run, launched.is_first()),
        None => watch(run, m),
    }
}

/// What follows the start: nothing, plain lines or the workbench.
pub fn watch(run: &RunDir, m: &ArgMatches) -> Done {
    if m.get_flag("headless") {
        return headless::follow(run);
    }
    let (name, path) = (run.name(), run.path().display().to_string());
    print(&format!(
        "run {name} goes on in the background: {path}\n  watch it: cocaptain attach {path}\n  end it:   cocaptain stop {path}\n"
    ))?;
    if m.get_flag("attach") {
        return workbench(run.path().parent().unwrap_or(Path::new(".")), Some(run.clone()), false);
    }
    Ok(())
}
