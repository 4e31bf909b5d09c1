//! Finds and sorts entries, on all cores, and gives up when a newer search began.

use crate::tui::datasets::{Order, Query};
use data::Dataset;
use data::check::Severity;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use rayon::slice::ParallelSliceMut;
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
    let all = query.among.as_ref().map_or(dataset.len(), |among| among.len());
    let share = all.div_ceil(threads).max(1);
    let mut found: Vec<(u32, u32)> = Vec::new();
    let parts: Vec<Option<Vec<(u32, u32)>>> = std::thread::scope(|scope| {
        let work = |from: usize| {
            let (pattern, expression) = (&pattern, &expression);
            let range = from..(from + share).min(all);
            scope.spawn(move || part(dataset, range, query, pattern.as_ref(), expression.as_ref(), stale))
        };
        let running: Vec<_> = (0..all).step_by(share).map(work).collect();
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
    if query.among.is_some() && query.order != Order::File {
        // They came with the best in front.
        rows.sort_unstable();
    }
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
    for place in range {
        if place % PIECE == 0 && stale() {
            return None;
        }
        let sample = match &query.among {
            Some(among) => among.get(place).copied().unwrap_or(u32::MAX),
            None => place as u32,
        };
        let index = sample as usize;
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
        Order::Picture => {
            rows.par_sort_by_key(|sample| dataset.image_name(*sample as usize).unwrap_or_default())
        }
        Order::Length => rows.par_sort_by_cached_key(|sample| caption(*sample).chars().count()),
        Order::Caption => rows.par_sort_by_key(|sample| caption(*sample)),
        Order::Findings => {
            let rank = |sample: &u32| match query.found.as_ref().and_then(|found| found.worst(*sample)) {
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
    use crate::tui::datasets::{Findings, Found};
    use data::check::{Finding, Kind};
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
        let found = [(Kind::Dark, 1), (Kind::MissingFile, 2)].map(|(kind, sample)| {
            let file = std::path::Path::new("a.json").into();
            let (line, column, offset, entry, related, message) = (1, 1, 0, None, None, "".into());
            let finding = Finding { kind, file, line, column, offset, entry, related, message };
            Found { finding, sample: Some(sample) }
        });
        let found = Some(Arc::new(Findings::from(found.to_vec())));
        assert_eq!(rows(Query { found, ..order(Order::Findings) }).unwrap(), [2, 1, 0]);
        assert_eq!(rows(Query { marked: Some([1].into()), ..Query::default() }).unwrap(), [1]);
        assert!(search(&dataset, &text("a", false), &|| true).is_none(), "a newer one began");
    }

    /// Typing on looks only at what was found, and finds the same in the same order.
    #[test]
    fn more_letters_narrow_what_was_found() {
        let dir = tempfile::tempdir().unwrap();
        let words = ["red", "surf", "bus", "dog", "Ruby", "street"];
        let all: Vec<_> = (0..500)
            .map(|n: usize| {
                let caption = format!("{} {} {}", words[n % 6], words[n / 6 % 6], words[n / 36 % 6]);
                serde_json::json!({"image": format!("{}.png", n * 7 % 500), "caption": caption})
            })
            .collect();
        let path = dir.path().join("a.json");
        std::fs::write(&path, serde_json::Value::from(all).to_string()).unwrap();
        let dataset = Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap();
        let rows = |query: &Query| search(&dataset, query, &|| false).unwrap().unwrap();
        for order in [Order::File, Order::Picture, Order::Caption, Order::Length] {
            let mut before: Option<(Query, Arc<Vec<u32>>)> = None;
            for end in 1..="re Rub".len() {
                let query = Query { text: "re Rub"[..end].into(), order, ..Query::default() };
                let fresh = rows(&query);
                if let Some((old, found)) = &before {
                    assert!(query.narrows(old), "{query:?}");
                    assert!(!old.narrows(&query) && fresh.len() <= found.len());
                    let among = Some(found.clone());
                    assert_eq!(rows(&Query { among, ..query.clone() }), fresh, "{query:?}");
                }
                before = Some((query, fresh));
            }
            assert!(before.is_some_and(|(_, rows)| !rows.is_empty()));
        }
        let query = |text: &str, regex| Query { text: text.into(), regex, ..Query::default() };
        for (new, old) in [("re!", "re"), ("red", "ed"), ("red", " "), ("red", ""), ("r^e", "r")] {
            assert!(!query(new, false).narrows(&query(old, false)), "{new} {old}");
        }
        assert!(!query("red", true).narrows(&query("re", true)));
        assert!(!Query { marked: Some([1].into()), ..query("red", false) }.narrows(&query("re", false)));
    }
}
