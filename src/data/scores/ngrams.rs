//! Runs of one to four words, counted.

use std::collections::HashMap;

/// The longest run that is counted.
pub(super) const LONGEST: usize = 4;

/// How often each run of words occurs.
pub(super) type Counts<'a> = HashMap<&'a [String], u32>;

/// Counts the runs of 1 to [`LONGEST`] words.
pub(super) fn counts(words: &[String]) -> Counts<'_> {
    let mut counts = Counts::new();
    for n in 1..=LONGEST {
        for run in words.windows(n) {
            *counts.entry(run).or_default() += 1;
        }
    }
    counts
}
