//! The command line. What the screen can do, a command can do.

mod bench;
mod caption;
mod config;
mod control;
pub mod curves;
mod data;
mod demo;
mod doctor;
mod embed;
mod eval;
mod flags;
mod headless;
mod labels;
mod launcher;
mod mesh;
mod models;
mod runs;
mod serving;
mod tokenize;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// How a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Exit status 1: it found problems, or could not do its work.
    Failed(String),
    /// Exit status 1, and everything is said already.
    Silent,
    /// Exit status 0: whoever read what was printed has read enough.
    Closed,
    /// Exit status 2: it was called wrongly.
    Usage(String),
}

impl Failure {
    fn failed(e: impl std::fmt::Display) -> Self {
        Self::Failed(e.to_string())
    }
}

type Done = Result<(), Failure>;

/// `--output_dir`.
fn output_dir() -> Arg {
    Arg::new("output_dir")
        .long("output_dir")
        .alias("output-dir")
        .value_name("DIR")
        .default_value("./runs")
        .help("Parent folder of run directories")
}

/// `--read_only`.
fn read_only() -> Arg {
    Arg::new("read_only")
        .long("read_only")
        .alias("read-only")
        .action(ArgAction::SetTrue)
        .help("Look only: nothing can be asked of runs, changed or deleted")
}

/// The commands, with help for each.
pub fn command() -> Command {
    let run = || Arg::new("RUN").required(true).help("Name or directory of the run");
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let root = output_dir;
    Command::new("cocaptain")
        .version(run::VERSION)
        .about("A terminal workbench for CoCa: train, watch, steer, caption, evaluate")
        .after_help("Without a command it opens the workbench on ./runs.")
        .arg(root())
        .arg(read_only())
        .subcommand(train::command())
        .subcommand(demo::command())
        .subcommand(Command::new("runs").about("List runs").arg(json()).arg(root()))
        .subcommand(
            Command::new("attach")
                .about("Open the workbench on a run")
                .arg(
                    run()
                        .required(false)
                        .help("Name or directory of the run; the newest live one without it"),
                )
                .arg(root())
                .arg(read_only()),
        )
        .subcommand(
            Command::new("stop")
                .about("Finish the step, save, end the run")
                .arg(run())
                .arg(
                    Arg::new("now")
                        .long("now")
                        .action(ArgAction::SetTrue)
                        .help("End at once, without saving"),
                )
                .arg(root()),
        )
        .subcommand(Command::new("pause").about("Pause a run after its step").arg(run()).arg(root()))
        .subcommand(Command::new("resume").about("Let a paused run go on").arg(run()).arg(root()))
        .subcommand(Command::new("save").about("Write a checkpoint now").arg(run()).arg(root()))
        .subcommand(
            Command::new("set")
                .about("Edit settings of a live run: cocaptain set RUN learning_rate=1e-4")
                .arg(run())
                .arg(Arg::new("CHANGES").required(true).num_args(1..).help("key=value"))
                .arg(root()),
        )
        .subcommand(labels::label_command())
        .subcommand(labels::delete_command())
        .subcommand(
            Command::new("open")
                .about(
                    "Open other programs' logs read-only: TensorBoard's event files, open_clip's log folders",
                )
                .arg(
                    Arg::new("FOLDERS")
                        .required(true)
                        .num_args(1..)
                        .value_name("FOLDER")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("A run, or a folder with several"),
                ),
        )
        .subcommand(curves::plot_command())
        .subcommand(curves::export_command())
        .subcommand(caption::command())
        .subcommand(embed::command())
        .subcommand(data::command())
        .subcommand(models::command())
        .subcommand(models::convert_command())
        .subcommand(tokenize::command())
        .subcommand(bench::command())
        .subcommand(eval::command())
        .subcommand(config::command())
        .subcommand(
            Command::new("doctor").about("Say what works on this machine, and what does not").arg(json()),
        )
        .subcommand(
            Command::new("completions").about("Print completions for a shell").arg(
                Arg::new("SHELL").required(true).value_parser(clap::value_parser!(clap_complete::Shell)),
            ),
        )
        .subcommand(Command::new("man").about("Print the manual page"))
        .subcommand(
            Command::new("supervise")
                .hide(true)
                .about("Own a run (started by train)")
                .arg(Arg::new("RUN").required(true).value_parser(clap::value_parser!(PathBuf))),
        )
}

/// Runs the command line; gives the exit status.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(&matches) {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Silent) => ExitCode::FAILURE,
        Err(Failure::Failed(message)) => {
            complain(&message);
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
    }
}

fn complain(message: &str) {
    for (i, line) in message.lines().enumerate() {
        let begin = if i == 0 { "cocaptain: " } else { "  " };
        let _ = writeln!(std::io::stderr(), "{begin}{}", run::escape::line(line));
    }
}

fn dispatch(matches: &ArgMatches) -> Done {
    match matches.subcommand() {
        None => workbench(&root_of(matches), None, matches.get_flag("read_only")),
        Some(("train", m)) => train::train(m),
        Some(("demo", m)) => demo::demo(m),
        Some(("runs", m)) => runs::list(&root_of(m), m.get_flag("json")),
        Some(("attach", m)) => {
            let run = if m.contains_id("RUN") { Some(find(m)?) } else { None };
            workbench(&root_of(m), run, m.get_flag("read_only"))
        }
        Some(("label", m)) => labels::label(m),
        Some(("delete", m)) => labels::delete(m),
        Some((name @ ("stop" | "pause" | "resume" | "save" | "set"), m)) => control::ask(name, m),
        Some(("open", m)) => open(m),
        Some(("plot", m)) => curves::plot(m),
        Some(("export", m)) => curves::export(m),
        Some(("caption", m)) => caption::caption(m),
        Some(("embed", m)) => embed::embed(m),
        Some(("data", m)) => data::data(m),
        Some(("models", m)) => models::models(m),
        Some(("convert", m)) => models::convert(m),
        Some(("tokenize", m)) => tokenize::tokenize(m),
        Some(("bench", m)) => bench::bench(m),
        Some(("eval", m)) => eval::eval(m),
        Some(("config", m)) => config::config(m),
        Some(("doctor", m)) => doctor::doctor(m.get_flag("json")),
        Some(("completions", m)) => {
            let Some(shell) = m.get_one::<clap_complete::Shell>("SHELL") else { return Ok(()) };
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command(), "cocaptain", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Some(("man", _)) => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command()).render(&mut text).map_err(Failure::failed)?;
            print(&String::from_utf8_lossy(&text))
        }
        Some(("supervise", m)) => supervise(m),
        Some((other, _)) => Err(Failure::Usage(format!("there is no command '{other}'"))),
    }
}

fn supervise(m: &ArgMatches) -> Done {
    let Some(path) = m.get_one::<PathBuf>("RUN") else { return Ok(()) };
    // A session of its own: the end of the terminal is not the end of the run. It fails only when we lead one already.
    let _ = rustix::process::setsid();
    match crate::supervise::supervise(path) {
        Ok(run::events::Outcome::Failed) => Err(Failure::Silent),
        Ok(_) => Ok(()),
        Err(message) => Err(Failure::Failed(message)),
    }
}

/// Opens logs of other programs.
fn open(m: &ArgMatches) -> Done {
    let opened: Vec<PathBuf> = m.get_many::<PathBuf>("FOLDERS").into_iter().flatten().cloned().collect();
    let found = crate::foreign::find(&opened);
    let run = match &found[..] {
        [] => {
            let places: Vec<_> = opened.iter().map(|p| p.display().to_string()).collect();
            return Err(Failure::Failed(format!(
                "{}: there is nothing to open in it: no file with '.tfevents.' in its name, no out.log of open_clip, no run",
                places.join(", ")
            )));
        }
        [one] => Some(run::dir::RunDir::at(one)),
        _ => None,
    };
    crate::tui::open(crate::tui::OpenOptions { root: root_of(m), run, data: None, opened, read_only: false })
        .map_err(Failure::failed)
}

/// Opens the workbench.
fn workbench(root: &Path, run: Option<run::dir::RunDir>, read_only: bool) -> Done {
    crate::tui::open(crate::tui::OpenOptions {
        root: root.to_owned(),
        run,
        data: None,
        opened: Vec::new(),
        read_only,
    })
    .map_err(Failure::failed)
}

/// Parent folder of runs, as a command was given it.
fn root_of(m: &ArgMatches) -> PathBuf {
    // `open` knows no such flag.
    let given = m.try_get_one::<String>("output_dir").ok().flatten();
    given.map_or_else(|| PathBuf::from("./runs"), PathBuf::from)
}

/// The run that a command names.
fn find(m: &ArgMatches) -> Result<run::dir::RunDir, Failure> {
    let name = m.get_one::<String>("RUN").map_or("", String::as_str);
    run::dir::RunDir::find(name, &root_of(m)).map_err(Failure::failed)
}

/// Prints to stdout; a reader that has gone (`| head`) is no error.
fn print(text: &str) -> Done {
    match stream(text) {
        Err(Failure::Closed) => Ok(()),
        other => other,
    }
}

/// Prints a piece of what may be long work, to stdout; work that nobody reads any more ends by [`Failure::Closed`].
fn stream(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::failed(e),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
