//! What is typed to find runs: words, and conditions on state, figures, settings, tags.
//!
//! `cat state:running lr>=1e-4 tag:good -archived` means: "cat" in name, tags, note or model, alive, a learning rate of at
//! least 1e-4, tagged, not put away. A minus turns a word or condition round.

use super::message::RunSummary;
use run::settings::Settings;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Has,
    Is,
    IsNot,
    Less,
    AtMost,
    More,
    AtLeast,
}

const RELATIONS: [(&str, Relation); 7] = [
    ("!=", Relation::IsNot),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Is),
    (":", Relation::Has),
];

/// Whether a run is what the query asks for. An empty one asks for every run that is not put away.
pub fn matches(query: &str, run: &RunSummary) -> bool {
    let asks_for_archived = query.split_whitespace().any(|w| w.trim_start_matches('-') == "archived");
    if run.labels.archived && !asks_for_archived {
        return false;
    }
    query.split_whitespace().all(|word| match word.strip_prefix('-').filter(|w| !w.is_empty()) {
        Some(word) => !holds(word, run),
        None => holds(word, run),
    })
}

fn holds(word: &str, run: &RunSummary) -> bool {
    if word == "archived" {
        return run.labels.archived;
    }
    let found = RELATIONS.iter().filter_map(|(sign, relation)| Some((word.find(sign)?, sign, *relation)));
    // The first sign of the word, the longer one of two at the same place.
    match found.min_by_key(|(at, sign, _)| (*at, usize::MAX - sign.len())) {
        Some((at, sign, relation)) if at > 0 => {
            let (name, value) = (&word[..at], word.get(at + sign.len()..).unwrap_or_default());
            compare(name, relation, value, run)
        }
        _ => {
            let word = word.to_lowercase();
            let mut texts =
                [&run.label, &run.labels.note].into_iter().chain(&run.model).chain(&run.labels.tags);
            texts.any(|t| t.to_lowercase().contains(&word))
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn compare(name: &str, relation: Relation, wanted: &str, run: &RunSummary) -> bool {
    let name = name.to_lowercase();
    let texts: Vec<String> = match name.as_str() {
        "state" | "status" => vec![run.status.word().to_owned()],
        "tag" => run.labels.tags.clone(),
        "note" => vec![run.labels.note.clone()],
        "name" | "run" => vec![run.label.clone()],
        "model" => run.model.iter().cloned().collect(),
        "step" => vec![run.step.to_string()],
        "loss" => run.loss.iter().map(f64::to_string).collect(),
        "smoothed" => run.smoothed.iter().map(f64::to_string).collect(),
        "best" => run.best.iter().map(|(_, v)| v.to_string()).collect(),
        _ => setting(&name, run).into_iter().collect(),
    };
    let texts: Vec<String> = texts.into_iter().filter(|t| !t.is_empty()).collect();
    let alive = matches!(name.as_str(), "state" | "status") && wanted == "alive" && run.status.is_alive();
    let number = |t: &str| t.parse::<f64>().ok();
    let order = |test: &dyn Fn(f64, f64) -> bool| {
        let wanted = number(wanted);
        texts.iter().any(|t| number(t).zip(wanted).is_some_and(|(a, b)| test(a, b)))
    };
    let is = || {
        let same = |t: &String| {
            t.eq_ignore_ascii_case(wanted) || number(t).zip(number(wanted)).is_some_and(|(a, b)| a == b)
        };
        texts.iter().any(same)
    };
    match relation {
        Relation::Has => alive || texts.iter().any(|t| t.to_lowercase().contains(&wanted.to_lowercase())),
        Relation::Is => alive || is(),
        Relation::IsNot => !texts.is_empty() && !is(),
        Relation::Less => order(&|a, b| a < b),
        Relation::AtMost => order(&|a, b| a <= b),
        Relation::More => order(&|a, b| a > b),
        Relation::AtLeast => order(&|a, b| a >= b),
    }
}

/// The value of a setting, by its name, another program's name for it, or a short one.
fn setting(name: &str, run: &RunSummary) -> Option<String> {
    let name = match name {
        "lr" if !run.settings.contains_key("lr") => "learning_rate",
        "wd" if !run.settings.contains_key("wd") => "weight_decay",
        other => other,
    };
    if let Some(value) = run.settings.get(name) {
        return Some(value.clone());
    }
    // Our runs list what differs from the defaults.
    let foreign = matches!(run.status, run::history::Status::Foreign { .. });
    (!foreign).then(|| Settings::default().get(name)).flatten().map(|v| v.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::dir::RunDir;
    use run::events::State;
    use run::history::Status;

    fn example() -> RunSummary {
        let mut run = RunSummary::new(RunDir::at("/runs/cats-1"), Status::Alive(State::Running));
        run.settings.insert("learning_rate".into(), "0.0003".into());
        run.labels.tags = vec!["good".into()];
        run.labels.note = "with flips".into();
        run.model = Some("coca_ViT-B-32".into());
        run.loss = Some(1.5);
        run
    }

    #[test]
    fn words_and_conditions() {
        let run = example();
        for query in [
            "",
            "cats",
            "CATS flips",
            "state:running",
            "state=alive",
            "lr>=1e-4 lr<1e-3",
            "learning_rate=3e-4",
            "tag:good",
            "model:b-32",
            "loss<2",
            "-dogs",
            "-state:crashed",
            "seed!=7",
            "max_grad_norm=1",
            "best!=3 -x",
        ] {
            let wanted = !query.starts_with("best");
            assert_eq!(matches(query, &run), wanted, "{query}");
        }
        for query in
            ["dogs", "state:crashed", "lr>1", "tag:bad", "-cats", "loss>2", "nosuch=1", "lr<x", "archived"]
        {
            assert!(!matches(query, &run), "{query}");
        }
    }

    #[test]
    fn archived_runs_are_asked_for_by_name() {
        let mut run = example();
        run.labels.archived = true;
        assert!(!matches("", &run) && !matches("cats", &run) && matches("archived cats", &run));
        assert!(!matches("-archived", &run));
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_taken(query: String) {
            matches(&query, &example());
        }
    }
}
