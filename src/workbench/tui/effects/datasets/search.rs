//! Finds and sorts entries, on all cores, tells what it has found when that takes long, and gives up when a newer search
//! began.

use crate::tui::datasets::{Order, Query};
use data::Dataset;
use data::check::Severity;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use rayon::slice::ParallelSliceMut;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Samples between two looks at whether it is still wanted.
const PIECE: usize = 4096;
/// A letter's answer is to be on the screen within 50 ms: what was found so far is told early enough for that.
pub const PATIENCE: Duration = Duration::from_millis(15);
/// Of what was found so far, so many samples are told where they have to be sorted by their texts.
const FEW: usize = 20_000;

/// What a sample is measured by.
enum Wanted {
    All,
    Words(Pattern),
    Expression(regex::Regex),
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, String> {
        let text = query.text.trim();
        if query.regex {
            let mut expression = regex::RegexBuilder::new(&query.text);
            let expression = expression.case_insensitive(true).multi_line(true).size_limit(1 << 20).build();
            // The last line of the crate's words says what; those before draw where.
            let last =
                |e: regex::Error| e.to_string().lines().last().unwrap_or("not an expression").to_owned();
            return expression.map(Self::Expression).map_err(last);
        }
        let words = || Pattern::parse(text, CaseMatching::Smart, Normalization::Smart);
        Ok(if text.is_empty() { Self::All } else { Self::Words(words()) })
    }
}

/// A sample that was found. The best come first, those as good in their order; where another order is asked for, all are
/// as good.
type Found = (std::cmp::Reverse<u32>, u32);

/// What the threads of a search share.
struct Work {
    /// The next place to look at.
    next: AtomicUsize,
    state: Mutex<State>,
    /// Told when a thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    found: Vec<Found>,
    running: usize,
    given_up: bool,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The samples that are to be listed; none when a newer search began. When that takes longer than `patience`, `early` is
/// told those that were found until then, as they will be ordered, and again when it takes much longer.
///
/// # Errors
/// What is wrong with the regular expression.
pub fn search(
    dataset: &Dataset,
    query: &Query,
    patience: Duration,
    stale: &(dyn Fn() -> bool + Sync),
    early: &dyn Fn(Arc<Vec<u32>>),
) -> Option<Result<Arc<Vec<u32>>, String>> {
    let wanted = match Wanted::of(query) {
        Ok(wanted) => wanted,
        Err(problem) => return Some(Err(problem)),
    };
    let all = query.among.as_ref().map_or(dataset.len(), |among| among.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let threads = threads.min(all.div_ceil(PIECE)).max(1);
    let work = Work {
        next: AtomicUsize::new(0),
        state: Mutex::new(State { running: threads, ..State::default() }),
        ended: Condvar::new(),
    };
    let whole = std::thread::scope(|scope| {
        let look = || {
            let mut matcher = Matcher::new(Config::DEFAULT);
            let mut given_up = false;
            loop {
                let from = work.next.fetch_add(PIECE, Ordering::Relaxed);
                given_up |= stale();
                if from >= all || given_up {
                    break;
                }
                let found = piece(dataset, from..(from + PIECE).min(all), query, &wanted, &mut matcher);
                work.lock().found.extend(found);
            }
            let mut state = work.lock();
            state.running -= 1;
            state.given_up |= given_up;
            work.ended.notify_all();
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
        let mut patience = patience;
        let mut state = work.lock();
        while state.running > 0 && !threads.iter().any(|thread| thread.is_finished()) {
            let (woken, waited) =
                work.ended.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.running > 0 && !stale() {
                let mut found = state.found.clone();
                drop(state);
                if query.order != Order::File {
                    found.truncate(FEW);
                }
                early(listed(dataset, found, query));
                patience *= 4;
                state = work.lock();
            }
        }
        drop(state);
        // One that panicked has written why; what it looked at is missing.
        threads.into_iter().all(|thread| thread.join().is_ok())
    });
    let state = work.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !whole {
        return Some(Err("the search failed: this is a fault of cocaptain".to_owned()));
    }
    if state.given_up {
        return None;
    }
    let rows = listed(dataset, state.found, query);
    (!stale()).then_some(Ok(rows))
}

/// What is found among some places.
fn piece(
    dataset: &Dataset,
    places: Range<usize>,
    query: &Query,
    wanted: &Wanted,
    matcher: &mut Matcher,
) -> Vec<Found> {
    let (mut found, mut buffer, mut text) = (Vec::new(), Vec::new(), String::new());
    for place in places {
        let sample = match &query.among {
            Some(among) => among.get(place).copied().unwrap_or(u32::MAX),
            None => place as u32,
        };
        if query.marked.as_ref().is_some_and(|marked| !marked.contains(&sample)) {
            continue;
        }
        if !matches!(wanted, Wanted::All) {
            text.clear();
            for caption in dataset.captions(sample as usize) {
                text.push_str(caption);
                text.push('\n');
            }
            text.push_str(dataset.image_name(sample as usize).unwrap_or_default());
        }
        let score = match wanted {
            Wanted::All => Some(0),
            Wanted::Words(pattern) => pattern.score(Utf32Str::new(&text, &mut buffer), matcher),
            Wanted::Expression(expression) => expression.is_match(&text).then_some(0),
        };
        let score = if query.order == Order::File { score } else { score.map(|_| 0) };
        found.extend(score.map(|score| (std::cmp::Reverse(score), sample)));
    }
    found
}

/// What was found, in its order.
fn listed(dataset: &Dataset, mut found: Vec<Found>, query: &Query) -> Arc<Vec<u32>> {
    found.par_sort_unstable();
    let mut rows: Vec<u32> = found.into_iter().map(|(_, sample)| sample).collect();
    sort(dataset, &mut rows, query);
    Arc::new(rows)
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

    fn found(dataset: &Dataset, query: &Query) -> Option<Result<Arc<Vec<u32>>, String>> {
        search(dataset, query, Duration::from_secs(60), &|| false, &|_| ())
    }

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
        let rows = |query: Query| found(&dataset, &query).unwrap().map(|rows| rows.to_vec());
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
        let never = |_| panic!("nobody waits for it");
        let stale = search(&dataset, &text("a", false), Duration::ZERO, &|| true, &never);
        assert!(stale.is_none(), "a newer one began");
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
        let rows = |query: &Query| found(&dataset, query).unwrap().unwrap();
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

    /// What takes long tells what it has found until then, ordered as the whole will be.
    #[test]
    fn what_was_found_so_far_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let words = ["red", "surf", "bus", "dog", "Ruby", "street"];
        let all: Vec<_> = (0..60_000)
            .map(|n: usize| serde_json::json!({"image": format!("{}.png", n % 999), "caption": words.map(|w| [w, words[n % 6]]).concat().join(" ")}))
            .collect();
        let path = dir.path().join("a.json");
        std::fs::write(&path, serde_json::Value::from(all).to_string()).unwrap();
        let dataset = Dataset::open(&path, Split::Train, &ReadOptions::default()).unwrap();
        for (text, order) in [("re", Order::File), ("s", Order::Caption), ("", Order::Picture)] {
            let query = Query { text: text.into(), order, ..Query::default() };
            // The threads stop on their way until something of theirs was told.
            let (own, looks, seen) =
                (std::thread::current().id(), AtomicUsize::new(0), std::sync::atomic::AtomicBool::new(false));
            let stale = || {
                while std::thread::current().id() != own
                    && looks.fetch_add(1, Ordering::Relaxed) >= 4
                    && !seen.load(Ordering::Relaxed)
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                false
            };
            let told = std::cell::RefCell::new(Vec::new());
            let early = |rows: Arc<Vec<u32>>| {
                seen.fetch_or(!rows.is_empty(), Ordering::Relaxed);
                told.borrow_mut().push(rows);
            };
            let whole = search(&dataset, &query, Duration::ZERO, &stale, &early).unwrap().unwrap();
            assert_eq!(Some(Ok(whole.clone())), found(&dataset, &query));
            assert!(whole.len() > 1000 && told.borrow().iter().any(|rows| !rows.is_empty()));
            let mut place = vec![usize::MAX; dataset.len()];
            whole.iter().enumerate().for_each(|(at, sample)| place[*sample as usize] = at);
            for rows in told.borrow().iter() {
                let places: Vec<usize> = rows.iter().map(|sample| place[*sample as usize]).collect();
                assert!(places.is_sorted_by(|a, b| a < b) && places.iter().all(|at| *at < whole.len()));
            }
        }
    }
}
