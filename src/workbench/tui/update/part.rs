//! Asks for the steps near the window where the kept curves are too thin for it, and takes them.

use crate::tui::chart::Chart;
use crate::tui::message::Command;
use crate::tui::model::{Model, Page, Part, Watched};
use crate::tui::notes::Kind;
use crate::tui::tabs::run::{covers, fine, runs_in_sight};
use run::events::Event;

/// Steps before the window that smoothing still feels at its widest.
const FELT: u64 = 1500;

/// Points that are kept for each column of dots: three quarters of them stay when a part is thinned, and a third of these is
/// in the window, so that it has four for each column.
const EACH: usize = 16;

/// Least and most points of a part; the least leaves every step of a window of a thousand, and what smoothing feels before it.
const POINTS: (usize, usize) = (4096, 16_384);

/// What is to be read for the window as it is now.
pub fn wanted(model: &mut Model) -> Vec<Command> {
    let Some(plot) = model.regions.chart(model.charts.selected).and_then(Chart::plot_area) else {
        return Vec::new();
    };
    if model.page != Page::Run {
        return Vec::new();
    }
    let dots = 2 * usize::from(plot.width);
    let most = (EACH * dots).clamp(POINTS.0, POINTS.1);
    let mut asked = Vec::new();
    for (number, watched, sight) in runs_in_sight(model) {
        if watched.part_awaited || watched.loading.is_some() || watched.is_foreign() || fine(&sight, dots) {
            continue;
        }
        let (first, last) = (*sight.steps.start(), *sight.steps.end());
        let width = last - first;
        let around = first.saturating_sub(width.max(FELT))..=last.saturating_add(width);
        if let Some(part) = watched.part.as_ref().filter(|p| covers(p, &sight)) {
            // It was too much, or it is as fine as a narrower one would be.
            let had = part.steps.end().min(&watched.history.step).saturating_sub(*part.steps.start());
            let narrower = around.end() - around.start() < had / 3 * 2;
            if part.curves.is_none() || !narrower {
                continue;
            }
        }
        asked.push((number, sight.steps, around));
    }
    let mut commands = Vec::new();
    for (number, steps, around) in asked {
        if let Some((generation, watched)) = numbered(model, number) {
            watched.part_awaited = true;
            commands.push(Command::ReadPart { generation, run: watched.run.clone(), steps, around, most });
        }
    }
    commands
}

/// A run on the charts, with the number of its watch.
fn numbered(model: &mut Model, number: usize) -> Option<(u64, &mut Watched)> {
    if number == 1 {
        let generation = model.generation;
        return model.watched.as_mut().map(|w| (generation, w));
    }
    model.others.get_mut(number.checked_sub(2)?).map(|o| (o.generation, &mut o.watched))
}

/// Takes a part that was asked for.
pub fn on_part(model: &mut Model, generation: u64, part: Result<Part, String>) {
    let watched = if generation == model.generation {
        model.watched.as_mut()
    } else {
        model.others.iter_mut().find(|o| o.generation == generation).map(|o| &mut o.watched)
    };
    let Some(watched) = watched.filter(|w| w.part_awaited) else { return };
    watched.part_awaited = false;
    let mut part = match part {
        Ok(part) => part,
        Err(e) => {
            // The curves as they were kept are still there, and nothing more is asked of this file.
            watched.part = Some(Part { steps: 0..=u64::MAX, curves: None, most: 0 });
            model.notes.add(model.now, Kind::Warning, format!("{e}; curves are shown as they were kept"));
            return;
        }
    };
    if *part.steps.end() >= watched.history.step {
        part.steps = *part.steps.start()..=u64::MAX;
        // What came while it was read.
        for (name, curve) in part.curves.iter_mut().flatten() {
            let (Some(kept), Some(last)) = (watched.history.curves.get(name), curve.steps.last().copied())
            else {
                continue;
            };
            for i in kept.steps.partition_point(|s| *s <= last)..kept.values.len() {
                if let (Some(step), Some(time), Some(value)) =
                    (kept.steps.get(i), kept.times.get(i), kept.values.get(i))
                {
                    curve.push(*step, *time, *value);
                }
            }
        }
    }
    watched.part = Some(part);
}

/// A part that reaches the run's end goes on with it.
pub fn grow(watched: &mut Watched, event: &Event) {
    if let Some(Part { steps, curves: Some(curves), most }) = &mut watched.part {
        run::part::take(curves, event, steps, *most);
    }
}
