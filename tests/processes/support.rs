//! A place for runs with a scripted rank, and ways to look at them.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use run::dir::RunDir;
use run::events::{Body, Event, Outcome};
use run::history::History;
use run::lock::Supervisor;
use run::log::Follower;
use run::settings::Settings;

use crate::rank::Script;

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds since the Unix epoch, as events have them.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until `look` finds something.
pub fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or(|| what.to_owned(), look)
}

/// The same; what was waited for is put into words only when it did not come.
pub fn wait_or<T>(what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {}", what());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder for runs, an engine that is a script, homes of its own.
pub struct Bench {
    pub folder: Folder,
}

/// Removed with the bench, unless somebody else made it.
pub enum Folder {
    Own(tempfile::TempDir),
    Another(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Another(folder) => folder,
        }
    }
}

impl Bench {
    pub fn new(script: &Script) -> Self {
        // Short: sockets live below it.
        let folder = tempfile::Builder::new().prefix("cc").tempdir_in("/tmp").unwrap();
        let bench = Self { folder: Folder::Own(folder) };
        bench.script(script);
        let me = std::env::current_exe().unwrap();
        // `exec` keeps the process and its descriptors.
        let wrapper = format!(
            "#!/bin/sh\nSCRIPT='{}' exec '{}' --ignored --exact --nocapture rank::scripted_rank\n",
            bench.at("script.json").display(),
            me.display()
        );
        std::fs::write(bench.at("engine"), wrapper).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(bench.at("engine"), mode).unwrap();
        std::fs::create_dir(bench.at("data")).unwrap();
        let entry = r#"[{"image": "a.png", "caption": "a"}]"#;
        std::fs::write(bench.at("data/coco_karpathy_train.json"), entry).unwrap();
        bench
    }

    /// The bench that another process of this test made.
    pub fn again(folder: &str) -> Self {
        Self { folder: Folder::Another(PathBuf::from(folder)) }
    }

    /// What the next attempt does.
    pub fn script(&self, script: &Script) {
        run::dir::replace_file(&self.at("script.json"), &serde_json::to_vec(script).unwrap()).unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `cocaptain` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cocaptain"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("COCAPTAIN_ENGINE", self.at("engine"))
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("XDG_STATE_HOME", self.at("state"))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env("XDG_CONFIG_HOME", self.at("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn cocaptain(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Does it, and says what was printed; panics unless it went well.
    pub fn good(&self, arguments: &[&str]) -> String {
        let output = self.cocaptain(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Arguments of `train` for a run of this name, with more behind them.
    pub fn train<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["train", "--train_data", "data", "--model_config", "coca_demo", "--name", name];
        all.extend(more);
        all
    }

    /// Starts a run in the background.
    pub fn start(&self, name: &str, more: &[&str]) -> Run {
        self.good(&Self::train(name, more));
        self.run(name)
    }

    pub fn run(&self, name: &str) -> Run {
        Run(RunDir::at(self.at("runs").join(name)))
    }

    /// Starts a command and does not wait for it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }
}

impl Drop for Bench {
    /// No process of a failed test is left behind. `list` finds the runs of whoever runs the tests as well: those stay alone.
    fn drop(&mut self) {
        let Ok(own) = self.at("runs").canonicalize() else { return };
        for run in run::dir::list(&own).into_iter().filter(|run| run.path().starts_with(&own)) {
            if let Some(owner) = Supervisor::of(&run).filter(Supervisor::lives_here) {
                kill(owner.pid);
            }
        }
    }
}

/// stdout and stderr together, for messages.
pub fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// SIGKILL.
pub fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

pub struct Run(pub RunDir);

impl Run {
    pub fn events(&self) -> Vec<Event> {
        let mut all = Vec::new();
        let mut follower = Follower::new(self.0.events());
        while let Some(events) = follower.poll().unwrap() {
            all.extend(events);
        }
        assert_eq!(follower.damaged, 0);
        all
    }

    pub fn history(&self) -> History {
        History::read(&self.0).unwrap()
    }

    pub fn wait_for(&self, what: &str, mut test: impl FnMut(&Body) -> bool) -> Event {
        wait(what, || self.events().into_iter().find(|e| test(&e.body)))
    }

    /// Waits for the first step.
    pub fn wait_running(&self) {
        self.wait_for("a step", |b| matches!(b, Body::Metrics(_)));
    }

    /// Waits until it ended and nobody owns it; says how it ended.
    pub fn wait_end(&self) -> (Outcome, u64, String) {
        let end = wait("the end of the run", || match self.events().pop()?.body {
            Body::Finished { outcome, step, message } => Some((outcome, step, message.unwrap_or_default())),
            _ => None,
        });
        wait("the lock", || (!run::lock::is_taken(&self.0)).then_some(()));
        let seqs: Vec<u64> = self.events().iter().map(|e| e.seq).collect();
        assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "an event is missing");
        end
    }

    pub fn supervisor(&self) -> i32 {
        Supervisor::of(&self.0).unwrap().pid
    }

    /// Processes that hold the run's lock but are not its supervisor: the ranks.
    pub fn ranks(&self) -> Vec<i32> {
        let lock = std::fs::canonicalize(self.0.lock()).unwrap();
        let holds = |pid: &i32| {
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            fds.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|to| to == lock)
        };
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|e| e.file_name().to_str()?.parse().ok());
        let supervisor = self.supervisor();
        pids.filter(|pid| *pid != supervisor && *pid != std::process::id() as i32).filter(holds).collect()
    }

    pub fn settings(&self) -> Settings {
        Settings::load(&self.0.config()).unwrap()
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}
