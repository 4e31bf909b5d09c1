//! What the run, the runs list and the answers say.

use super::watch;
use crate::tui::alerts::Alerts;
use crate::tui::format::count;
use crate::tui::message::{Command, JobResult, News, RunSummary};
use crate::tui::model::{Model, POINTS, Watched};
use crate::tui::notes::Kind;
use run::control::Reply;
use run::events::{Body, Event, Outcome};
use run::history::Status;

/// Bytes of events that are worth being kept folded.
const WORTH_KEEPING: u64 = 4 << 20;

/// Most lines kept of one log; all are on the disk.
const LINES: usize = 5000;

/// Takes a listing of the runs.
pub fn on_runs(model: &mut Model, generation: u64, mut runs: Vec<RunSummary>) -> Vec<Command> {
    model.runs.listing = false;
    model.runs.listed = model.now;
    if generation != model.generation {
        return Vec::new();
    }
    // Live ones first; the listing's own order, newest first, stays within both halves.
    runs.sort_by_key(|r| !r.status.is_alive());
    let chosen = model.runs.chosen().map(|r| r.run.clone());
    let live = runs.iter().find(|r| r.status.is_alive()).map(|r| r.run.clone());
    model.runs.rows = Some(runs);
    let visible = model.runs.visible();
    let at = chosen.and_then(|run| visible.iter().position(|r| r.run == run));
    model.runs.selected = at.unwrap_or(model.runs.selected).min(visible.len().saturating_sub(1));
    match live {
        Some(run) if model.pick_newest => watch(model, run),
        _ => {
            model.pick_newest = false;
            Vec::new()
        }
    }
}

/// Takes news of the watched run.
pub fn on_news(model: &mut Model, news: News) -> Vec<Command> {
    let Some(watched) = &mut model.watched else { return Vec::new() };
    match news {
        News::Events { events, read, total } => {
            for event in events {
                if watched.loading.is_none() {
                    announce(&mut model.notes, &watched.run, &event);
                }
                look_out(&mut watched.alerts, &event);
                super::part::grow(watched, &event);
                watched.history.apply(event);
            }
            let mut commands = Vec::new();
            if watched.loading.is_some() {
                watched.loading = super::compare::share(read, total);
                watched.alerts.fresh.clear();
                commands.extend(worth_keeping(watched, read));
            } else {
                tell_alerts(&mut model.notes, watched);
            }
            model.charts.view.set_units(crate::plot::units(&watched.history));
            watched.lay_out();
            if let Some(current) = watched.settings() {
                model.form.forget_applied(&current);
            }
            return commands;
        }
        News::Restored { history, read, total } => {
            watched.history = *history;
            watched.lay_out();
            watched.history.most_points = Some(POINTS);
            watched.loading = super::compare::share(read, total);
            watched.restored = read;
            // Alerts are found again on what was kept of the curves, whose extremes are all there.
            for name in ["loss", "grad_norm"] {
                let Some(curve) = watched.history.curves.get(name) else { continue };
                for ((step, time), value) in curve.steps.iter().zip(&curve.times).zip(&curve.values) {
                    watched.alerts.value(name, *step, *time, *value);
                }
            }
            watched.alerts.fresh.clear();
            model.charts.view.set_units(crate::plot::units(&watched.history));
        }
        News::Items { items, read, total } => {
            for item in items {
                if let crate::foreign::Item::Point { name, step, time, value } = &item {
                    watched.alerts.value(name, *step, *time, *value);
                }
                if let crate::foreign::Item::Notice(text) = &item {
                    model.notes.add(model.now, Kind::Warning, text.clone());
                }
                if let Some(parameters) = crate::foreign::take(&mut watched.history, item) {
                    watched.parameters = parameters;
                }
            }
            if watched.loading.is_some() {
                watched.loading = super::compare::share(read, total);
                watched.alerts.fresh.clear();
            } else {
                tell_alerts(&mut model.notes, watched);
            }
            model.charts.view.set_units(crate::plot::units(&watched.history));
        }
        News::Status(status) => {
            let was = watched.status.replace(status);
            let name = watched.run.name();
            if was.is_some_and(Status::is_alive) && !status.is_alive() && watched.loading.is_none() {
                if matches!(status, Status::Ended(_)) {
                    // Its `finished` event said so already.
                    return Vec::new();
                }
                let text =
                    format!("{name} {}; go on with it: cocaptain train --resume {name}", status.word());
                model.notes.call(model.now, Kind::Error, text);
            }
        }
        News::Config(config) => {
            watched.config = Some(config);
            if let Some(current) = watched.settings() {
                model.form.forget_applied(&current);
            }
            return super::datasets::on_settings(model);
        }
        News::Log { source, lines, anew } => {
            let log = watched.logs.entry(source.clone()).or_default();
            if anew {
                log.clear();
            }
            let before = log.len();
            log.extend(lines);
            let dropped = log.len().saturating_sub(LINES);
            log.drain(..dropped);
            if model.log.source == source {
                model.log.found = model.log.found.filter(|_| !anew).and_then(|at| at.checked_sub(dropped));
            }
            // A held view stays where it is while lines come in below it.
            if model.log.source == source && model.log.above_end > 0 {
                model.log.above_end += (log.len() + dropped).saturating_sub(before);
            }
        }
        News::Trouble(text) => model.notes.add(model.now, Kind::Error, text),
        News::Odd(text) => model.notes.add(model.now, Kind::Warning, text),
        News::Anew => {
            let (run, status, config) = (watched.run.clone(), watched.status, watched.config.take());
            let logs = std::mem::take(&mut watched.logs);
            *watched = Watched { status, config, logs, ..Watched::new(run) };
            let text =
                format!("{}: its events were replaced by others, and are read anew", watched.run.name());
            model.notes.add(model.now, Kind::Warning, text);
        }
    }
    Vec::new()
}

/// What took a while to read is kept folded, to be there at once the next time.
pub fn worth_keeping(watched: &mut Watched, read: u64) -> Option<Command> {
    if watched.loading.is_some() || read <= watched.restored + WORTH_KEEPING {
        return None;
    }
    watched.restored = read;
    let history = Box::new(watched.history.clone());
    Some(Command::KeepHistory { run: watched.run.clone(), history, position: read })
}

/// Looks at an event for what stands out.
fn look_out(alerts: &mut Alerts, event: &Event) {
    match &event.body {
        Body::Metrics(m) => alerts.metrics(event.t, m),
        Body::Memory(m) => alerts.memory(event.t, m),
        Body::Resumed { from_step } => alerts.rewind(*from_step),
        _ => {}
    }
}

/// Tells the alerts that came since there were `before`.
pub fn tell_alerts(notes: &mut crate::tui::notes::Notes, watched: &mut Watched) {
    for alert in std::mem::take(&mut watched.alerts.fresh) {
        let kind = if alert.error { Kind::Error } else { Kind::Warning };
        notes.call(alert.t, kind, alert.text);
    }
}

/// Tells of an event that came while somebody watches.
fn announce(notes: &mut crate::tui::notes::Notes, run: &run::dir::RunDir, event: &Event) {
    let (kind, text) = match &event.body {
        Body::Warning(n) => (Kind::Warning, n.message.clone()),
        Body::Error(n) => (Kind::Error, n.message.clone()),
        Body::SettingChanged { changes, applied_at, .. } => {
            let all: Vec<String> = changes.iter().map(|(n, v)| format!("{n} = {v}")).collect();
            (Kind::Good, format!("{} since step {}", all.join(", "), count(*applied_at)))
        }
        Body::Checkpoint { step, best, .. } => {
            let best = if *best { ", the best so far" } else { "" };
            (Kind::Good, format!("checkpoint of step {} saved{best}", count(*step)))
        }
        Body::Resumed { from_step } => (Kind::Info, format!("goes on from step {}", count(*from_step))),
        Body::Finished { outcome, step, message } => {
            let (kind, word) = match outcome {
                Outcome::Completed => (Kind::Good, "completed"),
                Outcome::Stopped => (Kind::Info, "stopped"),
                Outcome::Failed => (Kind::Error, "failed"),
            };
            let more = message.as_ref().map_or(String::new(), |m| format!(": {m}"));
            let text = format!("{} {word} at step {}{more}", run.name(), count(*step));
            return notes.call(event.t, kind, text);
        }
        _ => return,
    };
    notes.add(event.t, kind, text);
}

/// Takes the answer to a request.
pub fn on_answer(model: &mut Model, id: u64, result: Result<Reply, String>) -> Vec<Command> {
    let Some(at) = model.pending.iter().position(|p| p.id == id) else { return Vec::new() };
    let request = model.pending.remove(at);
    let (kind, text) = match result {
        Ok(Reply::Done { step, message }) => {
            let more = message.map_or(String::new(), |m| format!(": {m}"));
            (Kind::Good, format!("{} acknowledged at step {}{more}", request.what, count(step)))
        }
        Ok(Reply::Refused { message }) | Err(message) => {
            (Kind::Error, format!("{}: {message}", request.what))
        }
    };
    model.notes.add(model.now, kind, text);
    Vec::new()
}

/// Takes the end of a job; goes over to its run.
pub fn on_job_done(model: &mut Model, id: u64, result: Result<JobResult, String>) -> Vec<Command> {
    model.pending.retain(|p| p.id != id);
    match result {
        Ok(JobResult { message, run }) => {
            model.notes.add(model.now, Kind::Good, message);
            model.form.edits.clear();
            if model.watched.as_ref().is_some_and(|w| w.run == run) { Vec::new() } else { watch(model, run) }
        }
        Err(message) => {
            model.notes.add(model.now, Kind::Error, message);
            Vec::new()
        }
    }
}
