//! Marked entries, and their export as a dataset of their own.

use super::search;
use crate::tui::action::Action;
use crate::tui::datasets::Side;
use crate::tui::message::Command;
use crate::tui::model::Model;
use crate::tui::notes::Kind;
use crate::tui::popup::Popup;
use std::path::PathBuf;
use tui_input::Input;

pub(super) fn mark(model: &mut Model, action: Action) -> Vec<Command> {
    let datasets = &mut model.datasets;
    let stay = datasets.sample();
    match action {
        Action::Mark => {
            let Some(sample) = stay else { return Vec::new() };
            if !datasets.marks.remove(&sample) {
                datasets.marks.insert(sample);
            }
            if !datasets.only_marked && datasets.side == Side::Entries {
                // As in file managers: on to the next one.
                datasets.selected = (datasets.selected + 1).min(datasets.count().saturating_sub(1));
                datasets.scroll = 0;
                return Vec::new();
            }
        }
        Action::MarkAll => {
            let all = (0..datasets.count()).filter_map(|place| datasets.sample_at(place));
            let all: Vec<u32> = all.collect();
            datasets.marks.extend(all);
        }
        Action::UnmarkAll => {
            datasets.marks.clear();
            datasets.only_marked = false;
        }
        _ => datasets.only_marked = !datasets.only_marked,
    }
    if datasets.only_marked || action != Action::Mark { search(model, stay) } else { Vec::new() }
}

pub(super) fn export(model: &mut Model) {
    if model.datasets.marks.is_empty() {
        let text = "nothing is marked yet: Space marks an entry, M all that are listed";
        model.notes.add(model.now, Kind::Warning, text);
        return;
    }
    let path = model.datasets.open.as_ref().map(|open| open.dataset.path().to_path_buf()).unwrap_or_default();
    let folder =
        if path.extension().is_some() { path.parent().map(PathBuf::from).unwrap_or_default() } else { path };
    let name = folder.join("marked.json");
    model.popups.push(Popup::Export { input: Input::new(name.display().to_string()) });
}

/// Exports the marked entries to a path that was typed.
pub fn export_to(model: &mut Model, text: &str) -> Vec<Command> {
    let Some(data) = model.datasets.open.clone() else { return Vec::new() };
    let samples = model.datasets.marks.iter().copied().collect();
    vec![Command::ExportData { data, samples, out: PathBuf::from(text.trim()) }]
}
