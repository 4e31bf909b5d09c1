//! Which charts there are, and what stands in each: the curves of the watched run and of those laid over it.

use crate::run_colours;
use crate::tui::chart::Units;
use crate::tui::model::{Model, Watched};
use crate::tui::theme::SERIES;
use run::curve::Curve;
use run::history::History;
use std::sync::LazyLock;

/// One curve of a chart.
#[derive(Debug)]
pub struct Part<'a> {
    /// What it is called in the title.
    pub label: String,
    /// Its points.
    pub curve: &'a Curve,
    /// More of them near the window.
    pub near: Option<&'a Curve>,
    /// Whether it is few exact points.
    pub dots: bool,
    /// Number of its run's colour.
    pub colour: usize,
    /// Number of its run in the legend, from 1.
    pub number: usize,
    /// What a step of its run is worth; the watched run's own are the view's.
    pub units: Option<Units>,
}

/// What one chart shows.
#[derive(Debug)]
pub struct Spec<'a> {
    /// Its name.
    pub name: String,
    /// Its curves.
    pub parts: Vec<Part<'a>>,
}

/// The charts that are always there, even while they are empty, in the grid's order.
const STANDARD: [&str; 6] =
    ["loss", "contrastive_loss", "caption_loss", "learning_rate", "grad_norm", "logit_scale"];

static EMPTY: LazyLock<Curve> = LazyLock::new(Curve::default);

/// A run whose curves are seen.
#[derive(Clone, Copy, Debug)]
pub struct One<'a> {
    /// The run.
    pub watched: &'a Watched,
    /// Its number in the legend, from 1.
    pub number: usize,
}

impl One<'_> {
    /// What its steps are worth.
    pub fn units(&self, model: &Model) -> Units {
        if self.number == 1 { model.charts.view.units() } else { crate::plot::units(&self.watched.history) }
    }
}

/// The runs whose curves are seen, the watched one first.
pub fn visible(model: &Model) -> Vec<One<'_>> {
    let main = model.watched.iter().map(|watched| One { watched, number: 1 });
    let others = model.others.iter().enumerate().filter(|(_, o)| !o.hidden);
    main.chain(others.map(|(i, o)| One { watched: &o.watched, number: i + 2 })).collect()
}

/// Whether runs are laid over the watched one, hidden ones included.
pub fn several(model: &Model) -> bool {
    model.watched.is_some() && !model.others.is_empty()
}

/// Whether more than one run is seen.
pub fn compared(model: &Model) -> bool {
    visible(model).len() > 1
}

/// The number of each run's colour: of the watched one, then of the others, hidden ones included.
pub fn colours(model: &Model) -> Vec<usize> {
    let main = model.watched.iter().map(|w| model.label(&w.run));
    let names: Vec<String> = main.chain(model.others.iter().map(|o| o.label.clone())).collect();
    run_colours::assign(&names, SERIES)
}

/// Whether lower or higher is better, where the name tells.
pub fn direction(name: &str) -> Option<bool> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if has(&["loss", "perplexity", "_rank", "error"]) {
        Some(true)
    } else if has(&["acc", "top1", "top5", "r@", "recall", "bleu", "cider", "rouge", "zero_shot", "score"]) {
        Some(false)
    } else {
        None
    }
}

/// The charts, in the grid's order, those that the filter leaves.
pub fn specs(model: &Model) -> Vec<Spec<'_>> {
    let (runs, colours) = (visible(model), colours(model));
    let compared = runs.len() > 1;
    let domain = super::domain(model);
    let mut all: Vec<Spec> = Vec::new();
    for one in &runs {
        let colour = colours.get(one.number - 1).copied().unwrap_or(0);
        let units = (one.number > 1).then(|| one.units(model));
        let label = match one.number {
            1 => model.label(&one.watched.run),
            n => model.others.get(n - 2).map_or_else(String::new, |o| o.label.clone()),
        };
        let near = super::detail::near(model, *one, domain);
        let near = |curve: &Curve| {
            let curves = near?;
            let (name, _) = one.watched.history.curves.iter().find(|(_, c)| std::ptr::eq(*c, curve))?;
            curves.get(name).filter(|c| !c.values.is_empty())
        };
        for chart in of_run(&one.watched.history, one.watched.is_foreign()) {
            let parts =
                chart.lines.into_iter().map(|l| (l, false)).chain(chart.dots.into_iter().map(|d| (d, true)));
            let parts = parts.enumerate().filter(|(i, (_, dots))| !compared || *i == 0 || *dots);
            let parts = parts.map(|(i, ((own, curve), dots))| Part {
                label: match (compared, i) {
                    (false, _) => own,
                    (true, 0) => label.clone(),
                    (true, _) => format!("{label} {own}"),
                },
                curve,
                near: near(curve),
                dots,
                colour,
                number: one.number,
                units,
            });
            match all.iter_mut().find(|s| s.name == chart.name) {
                Some(spec) => spec.parts.extend(parts),
                None => all.push(Spec { parts: parts.collect(), name: chart.name }),
            }
        }
    }
    let filter = model.charts.filter.value().trim();
    if filter.is_empty() {
        return all;
    }
    // Not of the words in small letters: \D is not \d.
    let expression = regex::RegexBuilder::new(filter).case_insensitive(true).size_limit(1 << 18).build();
    let words = filter.to_lowercase();
    all.retain(|s| {
        let name = s.name.to_lowercase();
        words.split_whitespace().all(|w| name.contains(w))
            || expression.as_ref().is_ok_and(|e| e.is_match(&s.name))
    });
    all
}

struct Own<'a> {
    name: String,
    lines: Vec<(String, &'a Curve)>,
    dots: Vec<(String, &'a Curve)>,
}

/// The charts of one run.
fn of_run(history: &History, foreign: bool) -> Vec<Own<'_>> {
    let curves = &history.curves;
    let mut all: Vec<Own> = Vec::new();
    for name in STANDARD {
        if foreign && !curves.contains_key(name) {
            continue;
        }
        let mut lines = vec![("training".to_owned(), curves.get(name).unwrap_or(&EMPTY))];
        let prefix = format!("{name}.");
        lines.extend(
            curves.iter().filter_map(|(n, c)| n.strip_prefix(&prefix).map(|group| (group.to_owned(), c))),
        );
        let dots = curves.get(&format!("held_out.{name}")).map(|c| ("held out".to_owned(), c));
        if lines.len() > 1
            && let Some((label, _)) = lines.first_mut()
        {
            "all".clone_into(label);
        }
        all.push(Own { name: name.to_owned(), lines, dots: dots.into_iter().collect() });
    }
    // Figures of every other evaluation stand together, a chart for each task; another program's tag is a chart.
    for (name, curve) in curves {
        const SPEEDS: [&str; 3] = ["samples_per_second", "step_seconds", "data_seconds"];
        if foreign || name.contains('/') {
            let known = |n: &str| {
                STANDARD.iter().any(|s| n == *s || n.strip_prefix(s).is_some_and(|r| r.starts_with('.')))
            };
            if !known(name)
                && !SPEEDS.contains(&name.as_str())
                && !name.strip_prefix("held_out.").is_some_and(known)
            {
                all.push(Own { name: name.clone(), lines: vec![(name.clone(), curve)], dots: Vec::new() });
            }
            continue;
        }
        let Some((task, figure)) = name.split_once('.') else { continue };
        // How many pictures there were is no curve.
        let counts = figure == "n";
        if counts || STANDARD.contains(&task) || (task == "held_out" && STANDARD.contains(&figure)) {
            continue;
        }
        match all.iter_mut().find(|s| s.name == task) {
            Some(spec) => spec.dots.push((figure.to_owned(), curve)),
            None => all.push(Own {
                name: task.to_owned(),
                lines: Vec::new(),
                dots: vec![(figure.to_owned(), curve)],
            }),
        }
    }
    for (name, parts) in [
        ("samples_per_second", &[("", "samples_per_second")][..]),
        ("seconds_per_step", &[("step", "step_seconds"), ("data wait", "data_seconds")][..]),
    ] {
        let lines: Vec<_> =
            parts.iter().filter_map(|(label, n)| Some(((*label).to_owned(), curves.get(*n)?))).collect();
        if !lines.is_empty() {
            all.push(Own { name: name.to_owned(), lines, dots: Vec::new() });
        }
    }
    all
}
