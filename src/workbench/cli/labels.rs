//! `label` and `delete`: what the list of runs does to a run, as commands.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Done, Failure, find, output_dir, print};
use crate::labels::Labels;

fn run() -> Arg {
    Arg::new("RUN").required(true).help("Name or directory of the run")
}

/// `label`.
pub fn label_command() -> Command {
    Command::new("label")
        .about("Write tags and a note on a run, put it away; without options print them")
        .arg(run())
        .arg(
            Arg::new("tags")
                .long("tags")
                .value_name("WORDS")
                .help("Words to find it by, instead of those there are; '' for none"),
        )
        .arg(Arg::new("note").long("note").value_name("TEXT").help("A line for people; '' for none"))
        .arg(
            Arg::new("archive")
                .long("archive")
                .action(ArgAction::SetTrue)
                .conflicts_with("restore")
                .help("Leave it out of the workbench's list"),
        )
        .arg(
            Arg::new("restore")
                .long("restore")
                .action(ArgAction::SetTrue)
                .help("Take it into the list again"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(output_dir())
}

/// `delete`.
pub fn delete_command() -> Command {
    Command::new("delete")
        .about("Delete a run that has ended, with its checkpoints; nothing brings it back")
        .arg(run())
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("It is meant"))
        .arg(output_dir())
}

/// Writes labels and prints what stands on the run now.
pub fn label(m: &ArgMatches) -> Done {
    let run = find(m)?;
    let before = Labels::of(&run);
    let mut labels = before.clone();
    if let Some(tags) = m.get_one::<String>("tags") {
        labels.set_tags(tags);
    }
    if let Some(note) = m.get_one::<String>("note") {
        labels.note = run::escape::line(note).into_owned();
    }
    labels.archived = (labels.archived || m.get_flag("archive")) && !m.get_flag("restore");
    if labels != before {
        labels
            .write(&run)
            .map_err(|e| Failure::Failed(format!("{}: cannot be written on: {e}", run.name())))?;
    }
    if m.get_flag("json") {
        return print(&format!("{}\n", serde_json::to_string(&labels).map_err(Failure::failed)?));
    }
    let tags: String = labels.tags.iter().map(|t| format!(" #{t}")).collect();
    let away = if labels.archived { " (put away)" } else { "" };
    let note = if labels.note.is_empty() { String::new() } else { format!(" {}", labels.note) };
    print(&format!("{}:{tags}{note}{away}\n", run.name()))
}

/// Deletes a run.
pub fn delete(m: &ArgMatches) -> Done {
    let run = find(m)?;
    if !m.get_flag("yes") {
        let text = format!("{}: nothing brings it back; --yes says that it is meant", run.path().display());
        return Err(Failure::Usage(text));
    }
    let said = crate::delete::delete(&run).map_err(Failure::Failed)?;
    print(&format!("{said}\n"))
}
