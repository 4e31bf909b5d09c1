//! Finds actions by name, description and key.

use crate::tui::action::{Entry, Place, table};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// An action that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its entry.
    pub entry: &'static Entry,
}

/// The actions at hand that match, best first; all of them for an empty query.
pub fn find(query: &str, places: &[Place]) -> Vec<Found> {
    let mut at_hand: Vec<&'static Entry> = Vec::new();
    for entry in places.iter().flat_map(|p| table().iter().filter(move |e| e.place == *p)) {
        // An action of a more particular place hides the same one of a wider place.
        if !at_hand.iter().any(|e| e.action == entry.action) {
            at_hand.push(entry);
        }
    }
    if query.trim().is_empty() {
        return at_hand.into_iter().map(|entry| Found { entry }).collect();
    }
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(query, CaseMatching::Smart, Normalization::Smart);
    let mut buffer = Vec::new();
    let mut scored: Vec<(u32, &'static Entry)> = at_hand
        .into_iter()
        .filter_map(|e| {
            // The whole query as a key, in the key's own case, beats any word.
            let is_key = e.keys.iter().any(|k| k.to_string() == query.trim());
            let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
            let name = score(e.name).map(|s| s * 2);
            let other = score(&format!("{} {}", e.place.title(), e.description));
            let best = name.max(other).max(is_key.then_some(u32::MAX))?;
            Some((best, e))
        })
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, entry)| Found { entry }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::action::Action;

    fn first(query: &str) -> Option<Action> {
        find(query, &[Place::Charts, Place::AnyRun, Place::Anywhere]).first().map(|f| f.entry.action)
    }

    #[test]
    fn by_name_description_and_key() {
        assert_eq!(first("smooth"), Some(Action::Smoothing));
        assert_eq!(first("write a checkpoint"), Some(Action::Save));
        assert_eq!(first("Ctrl-L"), Some(Action::Redraw));
        assert_eq!(first("S"), Some(Action::Stop));
        assert_eq!(first("s"), Some(Action::Smoothing));
        assert_eq!(first("qqqqq"), None);
    }

    #[test]
    fn an_action_stands_once() {
        let all = find("", &[Place::Charts, Place::AnyRun, Place::Anywhere]);
        let mut actions: Vec<_> = all.iter().map(|f| f.entry.action).collect();
        actions.sort();
        actions.dedup();
        assert_eq!(actions.len(), all.len());
    }
}
