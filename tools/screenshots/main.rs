//! Makes the pictures in `screenshots/` from the real program: in a pty of some size, by keys, as a person would.
//!
//! `cargo run --release --example screenshots -- [RUN] [--out DIR] [--only NAME]`
//!
//! RUN is the directory of a run; without it the newest one under `/tmp/cocaptain/runs` is taken, and without any the
//! demo is run there first, which takes some minutes. Screens show paths: that folder says nothing about anybody's machine. Each [`Scene`] waits for words on the screen, never for a time that happens to be
//! enough.

mod raster;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::error::Error;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

/// Longest wait for words on the screen.
const PATIENCE: Duration = Duration::from_secs(20);
/// A screen without news for so long is drawn completely.
const QUIET: Duration = Duration::from_millis(400);
/// A screen with news all the time (a run that goes on) is taken after this time.
const RESTLESS: Duration = Duration::from_secs(3);

/// One picture.
struct Scene {
    /// Its file's name.
    name: &'static str,
    /// Columns and rows.
    size: (u16, u16),
    /// What is done, in order.
    steps: &'static [Step],
}

/// The scene that shows a mesh, of a run of two ranks that is at work.
const MESH: &str = "devices";

/// One step of a scene.
enum Step {
    /// Waits until these words are on the screen.
    See(&'static str),
    /// Types.
    Type(&'static str),
    /// Waits until the screen stands still.
    Settle,
}

/// Where the demo and its run are kept.
const HOME: &str = "/tmp/cocaptain";

use Step::{See, Settle, Type};

const SCENES: &[Scene] = &[
    Scene { name: "run", size: (160, 48), steps: &[See("loss"), Settle, Type("ss"), Settle] },
    Scene { name: "run-80x24", size: (80, 24), steps: &[See("loss"), Settle, Type("ss"), Settle] },
    Scene {
        name: "chart",
        size: (120, 32),
        steps: &[See("loss"), Settle, Type("ssz"), Settle, Type("x"), Settle],
    },
    Scene {
        name: MESH,
        size: (140, 40),
        steps: &[
            See("loss"),
            Type("2"),
            See("own work"),
            Settle,
            Type("/in_proj_weight\r"),
            See("owns 0.."),
            Settle,
        ],
    },
    Scene {
        name: "settings",
        size: (120, 36),
        steps: &[See("loss"), Type("3"), See("learning_rate"), Settle],
    },
    Scene {
        name: "data",
        size: (120, 36),
        steps: &[
            See("loss"),
            Type("6"),
            See("tokens of"),
            Type("c"),
            See("errors"),
            Settle,
            Type("/ring left star\r"),
            Settle,
            Type("j"),
            Settle,
        ],
    },
    Scene {
        name: "evaluate",
        size: (160, 48),
        steps: &[
            See("loss"),
            Type("5"),
            See("queue"),
            Type("n"),
            See("Enter puts it"),
            Type("\r"),
            See("there is a result"),
            Type("d\r"),
            See("worst first"),
            Settle,
        ],
    },
    Scene { name: "palette", size: (120, 32), steps: &[See("loss"), Settle, Type(":"), Settle] },
    Scene { name: "help", size: (120, 32), steps: &[See("loss"), Settle, Type("?"), Settle] },
];

fn main() -> Result<(), Box<dyn Error>> {
    let (mut run, mut out, mut only) = (None, PathBuf::from("screenshots"), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" => out = arguments.next().ok_or("--out wants a folder")?.into(),
            "--only" => only = Some(arguments.next().ok_or("--only wants the name of a picture")?),
            run_directory => run = Some(PathBuf::from(run_directory)),
        }
    }
    let program = program()?;
    let run = match run.or_else(newest_run) {
        Some(run) => run,
        None => {
            println!("no run under {HOME}/runs: running the demo first, which takes some minutes");
            // Without a terminal on stdout it ends when the run ends.
            let done = std::process::Command::new(&program)
                .args(["demo", "--name", "demo", "--output_dir"])
                .arg(Path::new(HOME).join("runs"))
                .env("XDG_CACHE_HOME", Path::new(HOME).join("cache"))
                .stdout(std::process::Stdio::null())
                .status()?;
            newest_run().ok_or_else(|| format!("the demo ended ({done}) without a run under {HOME}/runs"))?
        }
    };
    println!("run {}", run.display());
    std::fs::create_dir_all(&out)?;
    let fonts = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fonts");
    let (regular, bold) = (
        std::fs::read(fonts.join("DejaVuSansMono.ttf"))?,
        std::fs::read(fonts.join("DejaVuSansMono-Bold.ttf"))?,
    );
    let mut raster = raster::Raster::new(&regular, &bold)?;
    for scene in SCENES.iter().filter(|s| only.as_deref().is_none_or(|name| name == s.name)) {
        let file = out.join(scene.name).with_extension("png");
        let mesh = if scene.name == MESH { Some(Mesh::start(&program)?) } else { None };
        let run = mesh.as_ref().map_or(&run, |mesh| &mesh.run);
        let screen = play(scene, &program, run).map_err(|e| format!("{}: {e}", scene.name))?;
        // Few colours in large areas: the best compression is several times smaller, and they live in the repository.
        let (out, best) = (std::fs::File::create(&file)?, CompressionType::Best);
        let picture = raster.draw(&screen);
        picture.write_with_encoder(PngEncoder::new_with_quality(out, best, FilterType::NoFilter))?;
        println!("{}", file.display());
    }
    if !raster.missing.is_empty() {
        eprintln!("the font lacks {:?}", raster.missing);
    }
    Ok(())
}

/// The program: $COCAPTAIN, else the one beside this.
fn program() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(program) = std::env::var_os("COCAPTAIN") {
        return Ok(std::path::absolute(program)?);
    }
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(Path::parent).map(|folder| folder.join("cocaptain"));
    program.filter(|p| p.exists()).ok_or_else(|| "cocaptain is not built: make build".into())
}

/// The run under [`HOME`] with the newest event.
fn newest_run() -> Option<PathBuf> {
    let changed =
        |run: &PathBuf| -> Option<SystemTime> { run.join("events.jsonl").metadata().ok()?.modified().ok() };
    let runs =
        std::fs::read_dir(Path::new(HOME).join("runs")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    runs.filter(|run| changed(run).is_some()).max_by_key(changed)
}

/// A real run of two ranks on a small drawn dataset; it ends when this goes.
struct Mesh {
    program: PathBuf,
    run: PathBuf,
}

impl Mesh {
    fn start(program: &Path) -> Result<Self, Box<dyn Error>> {
        let (data, root) = (Path::new(HOME).join("drawn"), Path::new(HOME).join("mesh"));
        let _ = std::fs::remove_dir_all(&root);
        let say = |arguments: &[&std::ffi::OsStr]| -> Result<(), Box<dyn Error>> {
            let done = std::process::Command::new(program).args(arguments).output()?;
            let words = String::from_utf8_lossy(&done.stderr).into_owned();
            if done.status.success() { Ok(()) } else { Err(words.into()) }
        };
        if !data.is_dir() {
            let few = ["--train_pictures", "256", "--val_pictures", "16", "--test_pictures", "16"];
            let mut draw: Vec<&std::ffi::OsStr> = vec!["data".as_ref(), "demo".as_ref(), data.as_ref()];
            draw.extend(few.iter().map(|word| AsRef::<std::ffi::OsStr>::as_ref(*word)));
            say(&draw)?;
        }
        let mut train: Vec<&std::ffi::OsStr> = vec![
            "train".as_ref(),
            "--train_data".as_ref(),
            data.as_ref(),
            "--output_dir".as_ref(),
            root.as_ref(),
        ];
        let flags = "--name two-ranks --model_config coca_demo --tokenizer dataset --nproc_per_node 2 --sharding stage2 \
                     --per_device_train_batch_size 32 --threads 1 --device cpu --max_steps 100000 --save_steps 0 \
                     --eval_steps 0 --sample_steps 0";
        train.extend(flags.split_whitespace().map(AsRef::<std::ffi::OsStr>::as_ref));
        say(&train)?;
        let mesh = Self { program: program.to_owned(), run: root.join("two-ranks") };
        // Ranks report every 5 s: the second report has the times of steps.
        let (start, events) = (Instant::now(), mesh.run.join("events.jsonl"));
        while std::fs::read_to_string(&events)?.matches("\"own_seconds\":0").count() < 2 {
            if start.elapsed() > PATIENCE * 3 {
                return Err(format!("{} does not report", mesh.run.display()).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(mesh)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let mut stop = std::process::Command::new(&self.program);
        let _ = stop.arg("stop").arg(&self.run).arg("--now").output();
    }
}

/// A program in a pty, and what its screen shows.
struct Terminal {
    parser: vt100::Parser,
    news: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only the workbench: the run that it shows goes on without it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    fn start(program: &Path, run: &Path, (columns, rows): (u16, u16)) -> Result<Self, Box<dyn Error>> {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size)?;
        let mut command = CommandBuilder::new(program);
        command.arg("attach");
        command.arg(std::path::absolute(run)?);
        command.cwd(std::env::current_dir()?);
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        command.env("COCAPTAIN_IMAGES", "halfblocks");
        command.env_remove("NO_COLOR");
        let child = pty.slave.spawn_command(command)?;
        drop(pty.slave);
        let mut output = pty.master.try_clone_reader()?;
        let (sender, news) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pty.master.take_writer()?;
        let cells = |n| NonZero::new(n).ok_or("a screen has at least one row and column");
        let parser = vt100::Parser::new(cells(rows)?, cells(columns)?, 0);
        Ok(Self { parser, news, keys, child, _master: pty.master })
    }

    /// Takes in news until `done`, which is asked after each piece and told how long nothing has come.
    fn watch(
        &mut self,
        mut done: impl FnMut(&vt100::Screen, Duration) -> bool,
    ) -> Result<(), Box<dyn Error>> {
        let (start, mut newest) = (Instant::now(), Instant::now());
        while !done(self.parser.screen(), newest.elapsed()) {
            if start.elapsed() > PATIENCE {
                return Err(
                    format!("nothing came of it; the screen:\n{}", self.parser.screen().contents()).into()
                );
            }
            match self.news.recv_timeout(Duration::from_millis(50)) {
                Ok(bytes) => {
                    self.parser.process(&bytes);
                    newest = Instant::now();
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(format!("the program ended:\n{}", self.parser.screen().contents()).into());
                }
            }
        }
        Ok(())
    }
}

/// Plays a scene and returns its last screen.
fn play(scene: &Scene, program: &Path, run: &Path) -> Result<vt100::Screen, Box<dyn Error>> {
    let mut terminal = Terminal::start(program, run, scene.size)?;
    for step in scene.steps {
        match step {
            See(words) => terminal
                .watch(|screen, _| screen.contents().contains(words))
                .map_err(|e| format!("waiting for {words:?}: {e}"))?,
            Type(keys) => {
                terminal.keys.write_all(keys.as_bytes())?;
                terminal.keys.flush()?;
            }
            Settle => {
                let start = Instant::now();
                terminal.watch(|_, quiet| quiet > QUIET || start.elapsed() > RESTLESS)?;
            }
        }
    }
    Ok(terminal.parser.screen().clone())
}
