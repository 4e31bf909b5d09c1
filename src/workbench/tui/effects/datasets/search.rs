//! Finds and sorts entries, on all cores, and gives up when a newer search began.

use crate::tui::datasets::{Order, Query};
use data::Dataset;
use data::check::Severity;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use std::sync::Arc;

/// Samples between two looks at whether it is still wanted.
const PIECE: usize = 4096;

/// The samples that are to be listed; none when a newer search began.
///
/// # Errors
/// What is wrong with the regular expression.
pub fn search(
    dataset: &Dataset,
    query: &Query,
    stale: &(dyn Fn() -> bool + Sync),
) -> Option<Result<Arc<Vec<u32>>, String>> {
    let text = query.text.trim();
    let expression = if query.regex {
        match regex::RegexBuilder::new(&query.text)
            .case_insensitive(true)
            .multi_line(true)
            .size_limit(1 << 20)
            .build()
        {
            Ok(expression) => Some(expression),
            // The last line of the crate's words says what; those before draw where.
            Err(e) => {
                return Some(Err(e.to_string().lines().last().unwrap_or("not an expression").to_owned()));
            }
        }
    } else {
        None
    };
    let pattern = (expression.is_none() && !text.is_empty())
        .then(|| Pattern::parse(text, CaseMatching::Smart, Normalization::Smart));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let share = dataset.len().div_ceil(threads).max(1);
    let mut found: Vec<(u32, u32)> = Vec::new();
    let parts: Vec<Option<Vec<(u32, u32)>>> = std::thread::scope(|scope| {
        let work = |from: usize| {
            let (pattern, expression) = (&pattern, &expression);
            let range = from..(from + share).min(dataset.len());
            scope.spawn(move || part(dataset, range, query, pattern.as_ref(), expression.as_ref(), stale))
        };
        let running: Vec<_> = (0..dataset.len()).step_by(share).map(work).collect();
        running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    for part in parts {
        found.extend(part?);
    }
    // The best first; those as good in their order.
    if pattern.is_some() && query.order == Order::File {
        found.sort_by_key(|(sample, score)| (std::cmp::Reverse(*score), *sample));
    }
    let mut rows: Vec<u32> = found.into_iter().map(|(sample, _)| sample).collect();
    sort(dataset, &mut rows, query);
    if stale() { None } else { Some(Ok(Arc::new(rows))) }
}

fn part(
    dataset: &Dataset,
    range: std::ops::Range<usize>,
    query: &Query,
    pattern: Option<&Pattern>,
    expression: Option<&regex::Regex>,
    stale: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<(u32, u32)>> {
    let mut matcher = Matcher::new(Config::DEFAULT);
    let (mut found, mut buffer, mut text) = (Vec::new(), Vec::new(), String::new());
    for index in range {
        if index % PIECE == 0 && stale() {
            return None;
        }
        let sample = index as u32;
        if query.marked.as_ref().is_some_and(|marked| !marked.contains(&sample)) {
            continue;
        }
        if pattern.is_none() && expression.is_none() {
            found.push((sample, 0));
            continue;
        }
        text.clear();
        for caption in dataset.captions(index) {
            text.push_str(caption);
            text.push('\n');
        }
        text.push_str(dataset.image_name(index).unwrap_or_default());
        let score = match (pattern, expression) {
            (Some(pattern), _) => pattern.score(Utf32Str::new(&text, &mut buffer), &mut matcher),
            (None, Some(expression)) => expression.is_match(&text).then_some(0),
            (None, None) => Some(0),
        };
        found.extend(score.map(|score| (sample, score)));
    }
    Some(found)
}

fn sort(dataset: &Dataset, rows: &mut [u32], query: &Query) {
    let caption = |sample: u32| dataset.captions(sample as usize).next().unwrap_or_default();
    match query.order {
        Order::File => {}
        Order::Picture => rows.sort_by_key(|sample| dataset.image_name(*sample as usize).unwrap_or_default()),
        Order::Length => rows.sort_by_cached_key(|sample| caption(*sample).chars().count()),
        Order::Caption => rows.sort_by_key(|sample| caption(*sample)),
        Order::Findings => {
            let rank = |sample: &u32| match query.worst.as_ref().and_then(|worst| worst.get(sample)) {
                Some(Severity::Error) => 0,
                Some(Severity::Warning) => 1,
                Some(Severity::Info) => 2,
                None => 3,
            };
            rows.sort_by_key(rank);
        }
    }
    if query.reversed {
        rows.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{ReadOptions, Split};

    fn dataset(dir: &std::path::Path) -> Dataset {
        let all: Vec<_> = [("z.png", "a red bus"), ("b.png", "two dogs run"), ("a.png", "A bus, red")]
            .iter()
            .map(|(image, caption)| serde_json::json!({"image": image, "caption": caption}))
            .collect();
        let path = dir.join("a.json");
        std::fs::write(&path, serde_json::Value::from(all).to_string()).unwrap();
        Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap()
    }

    #[test]
    fn words_expressions_orders() {
        let dir = tempfile::tempdir().unwrap();
        let dataset = dataset(dir.path());
        let rows = |query: Query| search(&dataset, &query, &|| false).unwrap().map(|rows| rows.to_vec());
        let text = |text: &str, regex| Query { text: text.into(), regex, ..Query::default() };
        let order = |order| Query { order, ..Query::default() };
        assert_eq!(rows(Query::default()).unwrap(), [0, 1, 2]);
        assert_eq!(rows(text("red bus", false)).unwrap().len(), 2);
        assert_eq!(rows(text("dgs", false)).unwrap(), [1]);
        assert_eq!(rows(text("^a .*red", true)).unwrap(), [0, 2]);
        assert_eq!(rows(text("b\\.png$", true)).unwrap(), [1]);
        assert_eq!(rows(text("run$", true)).unwrap(), [1]);
        assert!(rows(text("(", true)).unwrap_err().contains("unclosed"));
        assert_eq!(rows(order(Order::Picture)).unwrap(), [2, 1, 0]);
        assert_eq!(rows(Query { reversed: true, ..order(Order::Picture) }).unwrap(), [0, 1, 2]);
        assert_eq!(rows(order(Order::Length)).unwrap(), [0, 2, 1]);
        let worst = Some(Arc::new([(1, Severity::Warning), (2, Severity::Error)].into()));
        assert_eq!(rows(Query { worst, ..order(Order::Findings) }).unwrap(), [2, 1, 0]);
        assert_eq!(rows(Query { marked: Some([1].into()), ..Query::default() }).unwrap(), [1]);
        assert!(search(&dataset, &text("a", false), &|| true).is_none(), "a newer one began");
    }
}
