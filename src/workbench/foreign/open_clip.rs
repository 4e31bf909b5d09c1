//! What open_clip's `out.log` says. Formats are those of open_clip 3.3.0 (`open_clip_train/train.py`, `logger.py`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// A line that tells something.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Figures of a moment of training.
    Train {
        /// Which pass over the data, from 0.
        epoch: u64,
        /// Samples of this pass so far.
        samples: u64,
        /// Samples of one pass.
        of: u64,
        /// Curves and values, under our names.
        values: Vec<(String, f64)>,
    },
    /// Figures of an evaluation.
    Evaluation {
        /// Passes done.
        epoch: u64,
        /// Figures and values.
        values: Vec<(String, f64)>,
    },
    /// A parameter, as the start of the log lists them.
    Parameter(String, String),
}

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static TRAIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"Train Epoch: (\d+) \[\s*(\d+)/(\d+) \([^)]*\)\](.*)$"));
static VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(Logit Scale|[A-Za-z_]+): ([-+0-9.eE]+|nan|inf|-inf)"));
static SPEED: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"([-+0-9.eE]+)/s,"));
static DATA: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"Data \(t\): ([0-9.]+)"));
static BATCH: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"Batch \(t\): ([0-9.]+)"));
static EVALUATION: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"Eval Epoch: (\d+) ([^\[].*)$"));
static FIGURE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"([^\s:]+): ([-+0-9.eE]+|nan|inf|-inf)"));

/// The moment that a line begins with, in seconds since the Unix epoch, and the rest of it.
pub fn moment(line: &str) -> Option<(f64, &str)> {
    let (time, rest) = line.split_once(" | ")?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d,%H:%M:%S", time.trim()).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::system()).ok()?;
    #[allow(clippy::cast_precision_loss)]
    let seconds = zoned.timestamp().as_second() as f64;
    // The host, where it is logged, and the level.
    let message = rest.split_once("INFO | ").map_or(rest, |(_, message)| message);
    Some((seconds, message))
}

/// What a line's message means; none when nothing that is shown.
pub fn read(message: &str) -> Option<Line> {
    if let Some(found) = TRAIN.as_ref()?.captures(message) {
        let whole = |i: usize| found.get(i).and_then(|m| m.as_str().parse().ok());
        let rest = found.get(4).map_or("", |m| m.as_str());
        let mut values = Vec::new();
        let one = |pattern: &LazyLock<Option<Regex>>| {
            pattern.as_ref()?.captures(rest)?.get(1)?.as_str().parse::<f64>().ok()
        };
        for (name, value) in
            [("data_seconds", one(&DATA)), ("step_seconds", one(&BATCH)), ("samples_per_second", one(&SPEED))]
        {
            values.extend(value.map(|v| (name.to_owned(), v)));
        }
        for found in VALUE.as_ref()?.captures_iter(rest) {
            let (Some(name), Some(value)) = (found.get(1), found.get(2)) else { continue };
            let name = match name.as_str() {
                "LR" => "learning_rate".to_owned(),
                "Logit Scale" => "logit_scale".to_owned(),
                other => other.to_lowercase().replace(' ', "_"),
            };
            if let Ok(value) = value.as_str().parse() {
                values.push((name, value));
            }
        }
        return Some(Line::Train { epoch: whole(1)?, samples: whole(2)?, of: whole(3)?, values });
    }
    if let Some(found) = EVALUATION.as_ref()?.captures(message) {
        let epoch = found.get(1)?.as_str().parse().ok()?;
        let figures = found.get(2)?.as_str();
        let values = FIGURE.as_ref()?.captures_iter(figures).filter_map(|f| {
            let name = f.get(1)?.as_str();
            let shown = !matches!(name, "epoch" | "num_samples");
            shown.then(|| Some((format!("val/{name}"), f.get(2)?.as_str().parse().ok()?)))?
        });
        return Some(Line::Evaluation { epoch, values: values.collect() });
    }
    parameter(message.strip_prefix("  ")?)
}

fn parameter(text: &str) -> Option<Line> {
    let (name, value) = text.split_once(": ")?;
    let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word.then(|| Line::Parameter(name.to_owned(), value.trim().to_owned()))
}

/// What `params.txt` says.
pub fn parameters(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(parameter);
    lines.filter_map(|l| if let Line::Parameter(n, v) = l { Some((n, v)) } else { None }).collect()
}

/// Samples of one optimiser step, where the parameters tell.
pub fn samples_per_step(parameters: &BTreeMap<String, String>) -> Option<u64> {
    let number = |name: &str| parameters.get(name).and_then(|v| v.parse::<u64>().ok());
    let all = number("batch_size")?.checked_mul(number("world_size").unwrap_or(1))?;
    all.checked_mul(number("accum_freq").unwrap_or(1)).filter(|n| *n > 0)
}
