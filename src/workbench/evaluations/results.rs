//! What evaluations left, and the table of it: a row for each checkpoint, a column for each figure of a data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use data::scores::classes::ClassScore;
use serde_json::Value;

use super::{short_data, short_model};

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its folder.
    pub folder: PathBuf,
    /// "zero-shot", "retrieval" or "caption".
    pub task: String,
    /// The checkpoint, run, folder or file.
    pub model: String,
    /// What was evaluated on.
    pub data: String,
    /// What else tells it from others of the same model and data: templates, precision, decoding.
    pub how: String,
    /// Its figures, shares 0..1.
    pub figures: BTreeMap<String, f64>,
    /// When it was kept: seconds since the Unix epoch.
    pub t: f64,
}

/// The figures of a task that stand in the table: name, heading, factor to what is shown, whether it is a share.
pub fn shown(task: &str) -> &'static [(&'static str, &'static str, f64, bool)] {
    match task {
        "zero-shot" => &[("top1", "top-1 %", 100.0, true), ("top5", "top-5 %", 100.0, true)],
        "retrieval" => &[
            ("image_to_text_R@1", "image→text R@1 %", 100.0, true),
            ("text_to_image_R@1", "text→image R@1 %", 100.0, true),
        ],
        _ => &[("cider", "CIDEr ×100", 100.0, false), ("bleu4", "BLEU-4 ×100", 100.0, false)],
    }
}

impl Outcome {
    /// Reads the result in an evaluation's folder; none where there is none.
    pub fn read(folder: &Path) -> Option<Self> {
        let json = |name: &str| -> Option<Value> {
            serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
        };
        let (request, result) = (json("request.json")?, json("result.json")?);
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let figures: BTreeMap<String, f64> = result
            .as_object()?
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect();
        let changed = std::fs::metadata(folder.join("result.json")).and_then(|m| m.modified()).ok();
        let changed = changed.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        Some(Self {
            folder: folder.to_owned(),
            task: text(&request, "task")?,
            model: text(&result, "model").unwrap_or_default(),
            data: text(&request, "set").or_else(|| text(&request, "data")).unwrap_or_default(),
            how: text(&result, "how").unwrap_or_default(),
            figures,
            t: changed.map_or(0.0, |t| t.as_secs_f64()),
        })
    }

    /// Every result below `root`, the newest first.
    pub fn all(root: &Path) -> Vec<Self> {
        let folders = std::fs::read_dir(super::folder(root)).into_iter().flatten().flatten();
        let mut all: Vec<Self> = folders.filter_map(|e| Self::known(e.path())).collect();
        all.sort_by(|a, b| b.t.total_cmp(&a.t).then_with(|| a.folder.cmp(&b.folder)));
        all
    }

    /// As [`Self::read`], from memory where the result has not changed: the screen looks every second, and a result of
    /// a thousand classes is long.
    fn known(folder: PathBuf) -> Option<Self> {
        static KNOWN: Mutex<BTreeMap<PathBuf, (SystemTime, Outcome)>> = Mutex::new(BTreeMap::new());
        let changed = std::fs::metadata(folder.join("result.json")).and_then(|m| m.modified()).ok()?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&folder) {
            Some((then, outcome)) if *then == changed => Some(outcome.clone()),
            _ => {
                let outcome = Self::read(&folder)?;
                known.insert(folder, (changed, outcome.clone()));
                Some(outcome)
            }
        }
    }

    /// How many answers a share is over.
    fn n(&self, figure: &str) -> Option<f64> {
        let name = match figure {
            f if f.starts_with("image_to_text") => "images",
            f if f.starts_with("text_to_image") => "texts",
            _ => "n",
        };
        self.figures.get(name).copied()
    }

    /// The 95 % interval of a share, 0..1; none for figures that are no share.
    pub fn interval(&self, figure: &str) -> Option<[f64; 2]> {
        shown(&self.task).iter().find(|(name, .., share)| *name == figure && *share)?;
        let (p, n) = (self.figures.get(figure)?, self.n(figure)?);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (n, first) = (n.max(0.0) as u64, (p * n).round().max(0.0) as u64);
        Some(ClassScore { n, first, among_five: first }.ci95())
    }
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// The task.
    pub task: String,
    /// The data, in short.
    pub data: String,
    /// Templates and the like; empty where nothing is unusual.
    pub how: String,
    /// The figure's place in [`shown`].
    pub figure: usize,
}

impl Column {
    /// The figure's name and its heading.
    pub fn figure(&self) -> (&'static str, &'static str, f64) {
        let (name, heading, factor, _) =
            shown(&self.task).get(self.figure).copied().unwrap_or(("", "", 1.0, false));
        (name, heading, factor)
    }

    /// What was evaluated on, in words.
    pub fn words(&self) -> String {
        if self.how.is_empty() { self.data.clone() } else { format!("{} · {}", self.data, self.how) }
    }
}

/// A cell of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// As it is shown: percent, or times 100.
    pub value: f64,
    /// Its 95 % interval, shown alike.
    pub interval: Option<[f64; 2]>,
    /// Whether no other row is better.
    pub best: bool,
    /// Which of the results.
    pub outcome: usize,
}

/// How rows stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The newest result first.
    #[default]
    Newest,
    /// By name.
    Name,
    /// The best of this column first.
    Column(usize),
}

/// Checkpoint by data set. Of several results of one cell the newest counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Checkpoints, in short.
    pub rows: Vec<String>,
    /// Columns, by task and data.
    pub columns: Vec<Column>,
    /// Row after row.
    pub cells: Vec<Vec<Option<Cell>>>,
}

impl Table {
    /// The table of these results, which are the newest first.
    pub fn of(outcomes: &[Outcome], sort: Sort) -> Self {
        let mut columns: Vec<Column> =
            outcomes.iter().flat_map(|o| (0..shown(&o.task).len()).map(|figure| column(o, figure))).collect();
        // Zero-shot first: tasks by name, backwards.
        columns.sort_by(|a, b| b.task.cmp(&a.task).then_with(|| a.cmp(b)));
        columns.dedup();
        let mut rows: Vec<String> = Vec::new();
        for outcome in outcomes {
            let row = short_model(&outcome.model);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let mut cells = vec![vec![None; columns.len()]; rows.len()];
        for (index, outcome) in outcomes.iter().enumerate() {
            let row = rows.iter().position(|r| *r == short_model(&outcome.model));
            for figure in 0..shown(&outcome.task).len() {
                let column = column(outcome, figure);
                let (name, _, factor) = column.figure();
                let at = row.zip(columns.iter().position(|c| *c == column));
                let Some((row, at)) = at else { continue };
                let (Some(value), Some(slot)) =
                    (outcome.figures.get(name), cells.get_mut(row).and_then(|r| r.get_mut(at)))
                else {
                    continue;
                };
                slot.get_or_insert_with(|| Cell {
                    value: value * factor,
                    interval: outcome.interval(name).map(|i| i.map(|x| x * factor)),
                    best: false,
                    outcome: index,
                });
            }
        }
        for at in 0..columns.len() {
            let values =
                cells.iter().filter_map(|row: &Vec<Option<Cell>>| Some(row.get(at)?.as_ref()?.value));
            let best = values.clone().fold(f64::NEG_INFINITY, f64::max);
            if values.count() > 1 {
                for cell in cells.iter_mut().filter_map(|row| row.get_mut(at)?.as_mut()) {
                    cell.best = cell.value >= best;
                }
            }
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let value = |row: usize, at: usize| {
            cells.get(row).and_then(|r| r.get(at)?.as_ref()).map_or(f64::NEG_INFINITY, |c| c.value)
        };
        match sort {
            Sort::Newest => {}
            Sort::Name => order.sort_by(|a, b| natural(&rows[*a]).cmp(&natural(&rows[*b]))),
            Sort::Column(at) => order.sort_by(|a, b| value(*b, at).total_cmp(&value(*a, at))),
        }
        Self {
            rows: order.iter().map(|i| rows[*i].clone()).collect(),
            columns,
            cells: order.iter().map(|i| cells[*i].clone()).collect(),
        }
    }

    /// A cell.
    pub fn cell(&self, row: usize, column: usize) -> Option<&Cell> {
        self.cells.get(row)?.get(column)?.as_ref()
    }
}

fn column(outcome: &Outcome, figure: usize) -> Column {
    Column { task: outcome.task.clone(), data: short_data(&outcome.data), how: outcome.how.clone(), figure }
}

/// Numbers inside of a name count as numbers: step-500 comes before step-1000.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut in_number = false;
    for c in name.chars() {
        match (c.to_digit(10), parts.last_mut()) {
            (Some(digit), Some((_, number))) => {
                *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                in_number = true;
            }
            (None, Some((text, _))) if !in_number => text.push(c),
            _ => {
                in_number = false;
                parts.push((c.to_string(), 0));
            }
        }
    }
    parts
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A result of zero-shot.
    pub fn zero_shot(model: &str, data: &str, top1: f64, t: f64) -> Outcome {
        Outcome {
            folder: format!("/nowhere/{model}").into(),
            task: "zero-shot".into(),
            model: model.into(),
            data: data.into(),
            how: String::new(),
            figures: BTreeMap::from([
                ("top1".into(), top1),
                ("top5".into(), (top1 + 0.2).min(1.0)),
                ("n".into(), 1000.0),
            ]),
            t,
        }
    }

    #[test]
    fn the_best_is_marked_and_rows_sort() {
        let all = [
            zero_shot("runs/a/checkpoints/step-1000", "/d/val", 0.5, 3.0),
            zero_shot("runs/a/checkpoints/step-500", "/d/val", 0.7, 2.0),
            // An older result of the same cell does not count.
            zero_shot("runs/a/checkpoints/step-500", "/d/val", 0.9, 1.0),
            zero_shot("m", "/d/v2", 0.1, 0.5),
        ];
        let table = Table::of(&all, Sort::Newest);
        assert_eq!(table.rows, ["a-step-1000", "a-step-500", "m"]);
        assert_eq!(table.columns.len(), 4);
        let at = |table: &Table, data: &str| {
            table.columns.iter().position(|c| c.data == data && c.figure == 0).unwrap()
        };
        let val = at(&table, "d/val");
        let cell = table.cell(1, val).unwrap();
        assert!((cell.value - 70.0).abs() < 1e-9 && cell.best && cell.outcome == 1);
        let [low, high] = cell.interval.unwrap();
        assert!(low < 70.0 && 70.0 < high && high - low < 6.0, "{low} {high}");
        assert!(!table.cell(0, val).unwrap().best && table.cell(2, val).is_none());
        assert!(!table.cell(2, at(&table, "d/v2")).unwrap().best, "the only one is no best one");
        assert_eq!(Table::of(&all, Sort::Column(val)).rows, ["a-step-500", "a-step-1000", "m"]);
        assert_eq!(Table::of(&all, Sort::Name).rows, ["a-step-500", "a-step-1000", "m"]);
        assert_eq!(Table::of(&[], Sort::Name), Table::default());
    }

    #[test]
    fn folders_are_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("evaluations/x");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("request.json"), r#"{"task":"retrieval","data":"/d"}"#).unwrap();
        assert!(Outcome::all(root.path()).is_empty());
        let result = r#"{"image_to_text_R@1":0.25,"images":8,"texts":40,"model":"m","unreadable":{}}"#;
        std::fs::write(folder.join("result.json"), result).unwrap();
        let all = Outcome::all(root.path());
        assert_eq!((all.len(), all[0].data.as_str()), (1, "/d"));
        let [low, high] = all[0].interval("image_to_text_R@1").unwrap();
        assert!(low > 0.05 && high < 0.6, "{low} {high}");
    }
}
