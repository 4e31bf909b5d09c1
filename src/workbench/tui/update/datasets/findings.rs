//! Checks of the open dataset, and the way between entries and what was found on them.

use super::search;
use crate::tui::action::Action;
use crate::tui::datasets::{CheckNews, Checking, Findings, Order, Row, Side};
use crate::tui::format::{many, span};
use crate::tui::message::Command;
use crate::tui::model::{Model, Page};
use crate::tui::notes::Kind;
use crate::tui::update::actions::moved;
use data::check::Stage;

pub(super) fn check(model: &mut Model) -> Vec<Command> {
    let datasets = &mut model.datasets;
    let Some(data) = datasets.open.clone() else { return Vec::new() };
    datasets.follow = true;
    datasets.checking = Some(Checking {
        stage: Stage::Schema,
        done: 0,
        all: 0,
        since: model.now,
        cancelling: false,
        count: 0,
        found: Findings::default(),
    });
    datasets.checks += 1;
    vec![Command::CheckData { number: datasets.checks, data }]
}

/// Takes what a check tells.
pub fn on_check(model: &mut Model, number: u64, news: CheckNews) -> Vec<Command> {
    let now = model.now;
    let datasets = &mut model.datasets;
    let Some(checking) = datasets.checking.as_mut().filter(|_| number == datasets.checks) else {
        return Vec::new();
    };
    match news {
        CheckNews::Progress { stage, done, all } => {
            (checking.stage, checking.done, checking.all) = (stage, done, all);
        }
        CheckNews::Found { count, found } => {
            checking.count += count;
            checking.found.extend(found);
        }
        CheckNews::Done { found, cancelled, work } => {
            let seconds = now - checking.since;
            datasets.checking = None;
            let told = told(&found);
            let text = if cancelled {
                format!("the check was cancelled; until then {told}")
            } else {
                format!("checked in {}: {told} ({work})", span(seconds))
            };
            let kind = if cancelled || !found.is_empty() { Kind::Info } else { Kind::Good };
            // On the tab the line below the list tells what was found.
            if cancelled || model.page != Page::Data {
                model.notes.add(now, kind, text);
            }
            let mut commands: Vec<Command> = datasets
                .found
                .replace((found, work))
                .map(|(old, _)| Command::Free(old))
                .into_iter()
                .collect();
            if datasets.order == Order::Findings {
                let stay = datasets.sample();
                commands.extend(search(model, stay));
            }
            return commands;
        }
        CheckNews::Failed(problem) => {
            datasets.checking = None;
            model.notes.add(now, Kind::Error, problem);
        }
    }
    Vec::new()
}

fn told(found: &Findings) -> String {
    use data::check::Severity::{Error, Info, Warning};
    let number = |severity| found.count(severity) as u64;
    let (errors, warnings, notes) = (number(Error), number(Warning), number(Info));
    format!("{}, {}, {}", many(errors, "error"), many(warnings, "warning"), many(notes, "note"))
}

pub(super) fn cancel(model: &mut Model) -> Vec<Command> {
    match &mut model.datasets.checking {
        Some(checking) => {
            checking.cancelling = true;
            vec![Command::CancelCheck]
        }
        None => {
            model.notes.add(model.now, Kind::Warning, "nothing is being checked");
            Vec::new()
        }
    }
}

/// Goes to the next or previous listed entry that has a finding.
pub(super) fn step_finding(model: &mut Model, forward: bool) {
    let datasets = &mut model.datasets;
    let count = datasets.count();
    let has = |place: &usize| datasets.sample_at(*place).is_some_and(|s| datasets.worst(s).is_some());
    let here = datasets.selected;
    let found = if forward { (here + 1..count).find(has) } else { (0..here.min(count)).rev().find(has) };
    match found {
        Some(place) => {
            datasets.selected = place;
            datasets.scroll = 0;
        }
        None if datasets.found.is_none() => {
            model.notes.add(model.now, Kind::Warning, "nothing was checked yet: c checks");
        }
        None => model.notes.add(model.now, Kind::Info, "no further entry has a finding"),
    }
}

pub(super) fn on_findings(model: &mut Model, action: Action) {
    let datasets = &mut model.datasets;
    datasets.finding = moved(datasets.finding, action, datasets.finding_rows(), model.regions.rows);
    match (action, datasets.finding_row(datasets.finding)) {
        (Action::Enter, Some(Row::Kind(kind, _))) if datasets.unfolded.remove(&kind) => {}
        (Action::Enter | Action::Right, Some(Row::Kind(kind, _))) => {
            datasets.unfolded.insert(kind);
        }
        (Action::Left, Some(row)) => {
            let kind = match row {
                Row::Kind(kind, _) => Some(kind),
                Row::Finding(number) => datasets.findings().get(number).map(|f| f.finding.kind),
            };
            if let Some(kind) = kind {
                datasets.unfolded.remove(&kind);
                let at = datasets.findings().place_of_kind(kind, &datasets.unfolded);
                datasets.finding = at.unwrap_or(0);
            }
        }
        (Action::Enter, Some(Row::Finding(number))) => {
            if let Some(sample) = datasets.findings().get(number).and_then(|found| found.sample) {
                jump(model, sample);
                model.datasets.side = Side::Entries;
            } else {
                let text = "this finding is on no sample: its place in the file is named with it";
                model.notes.add(model.now, Kind::Info, text);
            }
            return;
        }
        _ => {}
    }
    follow_finding(model);
}

/// The entry of the selected finding is shown beside it.
pub(super) fn follow_finding(model: &mut Model) {
    let datasets = &model.datasets;
    let Some(Row::Finding(number)) = datasets.finding_row(datasets.finding) else { return };
    if let Some(sample) = datasets.findings().get(number).and_then(|found| found.sample) {
        jump(model, sample);
    }
}

/// Selects a sample; a list that leaves it out gives way.
fn jump(model: &mut Model, sample: u32) {
    let datasets = &mut model.datasets;
    let place = datasets.place_of(sample).unwrap_or_else(|| {
        datasets.filter.reset();
        datasets.only_marked = false;
        datasets.order = Order::File;
        datasets.reversed = false;
        datasets.rows = None;
        datasets.search += 1;
        datasets.searching = false;
        sample as usize
    });
    if std::mem::replace(&mut datasets.selected, place) != place {
        datasets.scroll = 0;
    }
}

/// Jumps from an entry to its first finding: the list of findings with it selected.
pub(super) fn to_finding(model: &mut Model) -> bool {
    let datasets = &mut model.datasets;
    let Some(sample) = datasets.sample() else { return false };
    let Some(number) = datasets.findings().of(sample).next() else { return false };
    let Some(kind) = datasets.findings().get(number).map(|found| found.finding.kind) else { return false };
    datasets.unfolded.insert(kind);
    datasets.finding = datasets.findings().place_of(number, &datasets.unfolded).unwrap_or(0);
    datasets.side = Side::Findings;
    true
}
