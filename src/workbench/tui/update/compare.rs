//! Runs that are laid over the watched one.

use crate::tui::message::{Command, News};
use crate::tui::model::{Model, OTHERS_POINTS, Other, Watched};
use crate::tui::notes::Kind;
use run::dir::RunDir;
use run::history::History;
use std::collections::BTreeSet;

/// Most runs on one screen.
const MOST: usize = 12;

/// Lays a run over the watched one, or takes it off.
pub fn toggle(model: &mut Model, run: &RunDir, label: String) -> Vec<Command> {
    if let Some(at) = model.others.iter().position(|o| o.watched.run == *run) {
        return remove(model, at);
    }
    if model.watched.as_ref().is_some_and(|w| w.run == *run) {
        let text = format!("{label} is the watched run: it is on the charts already");
        model.notes.add(model.now, Kind::Info, text);
        return Vec::new();
    }
    if model.others.len() + 1 >= MOST {
        model.notes.add(model.now, Kind::Warning, format!("{MOST} runs on the charts are the most"));
        return Vec::new();
    }
    model.last_other += 1;
    let generation = model.last_other;
    let mut watched = Watched::new(run.clone());
    watched.history.most_points = Some(OTHERS_POINTS);
    model.others.push(Other { generation, watched, label, hidden: false });
    vec![Command::WatchOther { generation, run: run.clone() }]
}

/// Takes a run off the charts.
pub fn remove(model: &mut Model, at: usize) -> Vec<Command> {
    if at >= model.others.len() {
        return Vec::new();
    }
    let other = model.others.remove(at);
    vec![Command::Forget { generation: other.generation }]
}

/// Takes news of one of them; those of a run that was taken off are dropped.
pub fn on_news(model: &mut Model, generation: u64, news: News) -> Vec<Command> {
    let Some(other) = model.others.iter_mut().find(|o| o.generation == generation) else { return Vec::new() };
    let watched = &mut other.watched;
    match news {
        News::Restored { history, read, total } => {
            watched.restored = read;
            watched.loading = share(read, total);
            watched.history = History { most_points: Some(OTHERS_POINTS), ..*history };
            watched.history.curves.values_mut().for_each(|c| c.thin(OTHERS_POINTS));
        }
        News::Events { events, read, total } => {
            for event in events {
                super::part::grow(watched, &event);
                // Only the curves and what is told of the run are shown.
                if !matches!(event.body, run::events::Body::Sample(_) | run::events::Body::Memory(_)) {
                    watched.history.apply(event);
                }
            }
            if watched.loading.is_some() {
                watched.loading = share(read, total);
                // What is kept already may be finer than this.
                let none_yet = watched.restored == 0;
                return super::news::worth_keeping(watched, read).filter(|_| none_yet).into_iter().collect();
            }
        }
        News::Items { items, read, total } => {
            for item in items {
                if !matches!(item, crate::foreign::Item::Sample(_))
                    && let Some(parameters) = crate::foreign::take(&mut watched.history, item)
                {
                    watched.parameters = parameters;
                }
            }
            watched.loading = share(read, total);
        }
        News::Status(status) => watched.status = Some(status),
        News::Config(config) => watched.config = Some(config),
        News::Log { .. } => {}
        News::Anew => {
            watched.history = History { most_points: Some(OTHERS_POINTS), ..History::default() };
            (watched.loading, watched.restored, watched.part) = (Some(0.0), 0, None);
        }
        News::Odd(text) => model.notes.add(model.now, Kind::Warning, format!("{}: {text}", other.label)),
        News::Trouble(text) => model.notes.add(model.now, Kind::Warning, format!("{}: {text}", other.label)),
    }
    Vec::new()
}

/// The share of a file that is taken in, while it is not all.
#[allow(clippy::cast_precision_loss)]
pub fn share(read: u64, total: u64) -> Option<f64> {
    (read < total).then(|| read as f64 / total.max(1) as f64)
}

/// A setting with its value in each run, `None` where a run does not tell.
pub type Row = (String, Vec<Option<String>>);

/// The settings in which the runs on the charts differ; the watched run first.
pub fn differences(model: &Model) -> (Vec<String>, Vec<Row>) {
    let main = model.watched.iter().map(|w| (model.label(&w.run), w.values()));
    let all: Vec<_> =
        main.chain(model.others.iter().map(|o| (o.label.clone(), o.watched.values()))).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(|(_, values)| values.keys()).collect();
    let rows = names.into_iter().filter_map(|name| {
        let values: Vec<_> = all.iter().map(|(_, v)| v.get(name).cloned()).collect();
        let differ = values.windows(2).any(|pair| pair.first() != pair.last());
        (differ && name != "name").then(|| (name.clone(), values))
    });
    let rows = rows.collect();
    (all.into_iter().map(|(label, _)| label).collect(), rows)
}
