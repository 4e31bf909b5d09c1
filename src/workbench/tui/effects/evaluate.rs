//! The Evaluate tab's reading and writing.

use crate::evaluations::opened::Opened;
use crate::evaluations::queue::Queue;
use crate::evaluations::results::Outcome;
use crate::evaluations::{check, export, runner};
use crate::tui::evaluate::{Effect, News};

/// Lines of a log that are read, from its end.
const LINES: usize = 2000;

/// Carries out an effect.
pub fn carry_out(effect: Effect) -> News {
    match effect {
        Effect::Look { root } => {
            let queue = Queue::of(&root);
            // A runner that was killed left work behind.
            if queue.is_stuck()
                && let Err(e) = runner::ensure(&root)
            {
                return News::Done(Err(e));
            }
            News::Seen { entries: queue.entries(), outcomes: Outcome::all(&root) }
        }
        Effect::Check { root, generation, settings } => {
            News::Checked { generation, check: check::check(&root, &settings) }
        }
        Effect::Add { root, settings } => {
            let here = std::env::current_dir().map_err(|e| e.to_string());
            let added = here.and_then(|here| Queue::of(&root).add(&settings, &here));
            News::Done(added.and_then(|id| {
                runner::ensure(&root)?;
                Ok(format!("item {id} is in the queue; it goes on without this screen"))
            }))
        }
        Effect::Cancel { root, id } => {
            News::Done(Queue::of(&root).cancel(id).map(|()| format!("item {id} is being cancelled")))
        }
        Effect::Remove { root, id } => {
            News::Done(Queue::of(&root).remove(id).map(|()| format!("item {id} is off the list")))
        }
        Effect::Log { root, id } => {
            let log = Queue::of(&root).log(id);
            let lines = match std::fs::read(&log) {
                Ok(text) => {
                    let text = String::from_utf8_lossy(&text);
                    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().to_vec()
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec!["it has not begun".to_owned()],
                Err(e) => vec![format!("{}: {e}", log.display())],
            };
            News::Log { id, lines }
        }
        Effect::Open { folder } => News::Opened(Opened::read(&folder).map(Box::new)),
        Effect::Export { outcomes, file } => {
            let written = export::write(&outcomes, &file);
            News::Done(written.map(|()| format!("{} results in {}", outcomes.len(), file.display())))
        }
    }
}
