//! What the settings of the form would cost: each rank's bytes, before anything starts.

use super::format::{bytes, count, cut, pad};
use super::message::Command;
use super::model::{Model, Page};
use super::theme::Theme;
use crate::forecast::Forecast;
use ratatui::text::{Line, Span};
use run::settings::Settings;

/// Ranks that are listed one by one.
const MOST: usize = 8;

/// A question under way, and the last answer.
#[derive(Debug, Default)]
pub struct WhatIf {
    number: u64,
    asked: Option<Box<Settings>>,
    answer: Option<Result<Box<Forecast>, String>>,
}

impl WhatIf {
    /// Takes an answer to the newest question.
    pub fn answered(&mut self, number: u64, result: Result<Box<Forecast>, String>) {
        if number == self.number {
            self.answer = Some(result);
        }
    }
}

/// The question that the form asks now, when it is another one than before.
pub fn wanted(model: &mut Model) -> Option<Command> {
    if model.page != Page::Settings {
        return None;
    }
    let settings = model.form.edited(&model.watched.as_ref()?.settings()?).ok()?;
    if model.what_if.asked.as_deref() == Some(&settings) {
        return None;
    }
    model.what_if.number += 1;
    model.what_if.asked = Some(Box::new(settings.clone()));
    Some(Command::Forecast { number: model.what_if.number, settings: Box::new(settings) })
}

/// The answer in words: the mesh, and what its fullest rank will hold between two steps; `now` is what the run's fullest
/// rank holds, as measured.
pub fn lines(
    theme: Theme,
    what_if: &WhatIf,
    now: Option<u64>,
    (width, tall): (usize, bool),
) -> Vec<Line<'static>> {
    let line = |name: &str, text: &str| {
        Line::from(vec![
            Span::styled(pad(name, 9), theme.dim()),
            Span::raw(cut(text, width.saturating_sub(9))),
        ])
    };
    let forecast = match &what_if.answer {
        None => return vec![line("mesh", "…")],
        Some(Err(why)) => return vec![line("mesh", why)],
        Some(Ok(forecast)) => forecast,
    };
    let d = forecast.degrees;
    let stage = forecast.stage.word();
    let stage = if stage.is_empty() { String::new() } else { format!(", {stage}") };
    let ranks = super::format::many(u64::from(d.ranks()), "rank");
    let axes = format!("data {} × sharding {} × tensor {}", d.data_parallel, d.sharding, d.tensor_parallel);
    let mut lines = match tall {
        true => vec![line("mesh", &axes), line("", &format!("{ranks}{stage}"))],
        false => vec![line("mesh", &format!("{ranks} = {axes}{stage}"))],
    };
    let (Some(most), Some(least)) =
        (forecast.ranks.iter().max_by_key(|r| r.most()), forecast.ranks.iter().min_by_key(|r| r.bytes.sum()))
    else {
        let why = forecast.unknown.clone().unwrap_or_default();
        lines.push(line("a rank", &format!("n/a: {why}")));
        return lines;
    };
    let (b, activations) = (most.bytes, most.activations);
    let (fewest, most) = (bytes(least.bytes.sum()), bytes(b.sum()));
    let spread = if fewest == most { String::new() } else { format!("{fewest} to ") };
    let now = now.map_or_else(String::new, |now| format!(" (now {})", bytes(now)));
    lines.push(line("a rank", &format!("will hold {spread}{most}{now}")));
    let parts = [("params", b.parameters), ("grads", b.gradients), ("optim", b.optimiser)];
    let parts = parts.map(|(name, n)| format!("{name} {}", bytes(n)));
    match tall {
        true => lines.extend(parts.iter().map(|part| line("", part))),
        false => lines.push(line("", &parts.join(" · "))),
    }
    match (activations, &forecast.no_activations) {
        (Some(n), _) => lines.push(line("", &format!("activ {} in a step", bytes(n)))),
        (None, why) => {
            lines.push(line("", &format!("activations n/a: {}", why.clone().unwrap_or_default())));
        }
    }
    for r in forecast.ranks.iter().take(if tall { MOST } else { 0 }) {
        let place =
            format!("data {} shard {} tensor {}", r.at.data_parallel, r.at.sharding, r.at.tensor_parallel);
        lines.push(line(&format!("rank {}", r.rank), &format!("{}  {place}", pad(&bytes(r.bytes.sum()), 9))));
    }
    if tall && forecast.ranks.len() > MOST {
        lines.push(line("", &format!("and {} more", forecast.ranks.len() - MOST)));
    }
    lines.push(line("a step", &format!("{} samples", count(forecast.batch))));
    lines
}
