//! What a check found, so kept that neither a kind's findings nor an entry's have to be looked for: there may be one
//! for every entry, and the screen is drawn at each key.

use super::Places;
use data::check::{Finding, Kind, Severity};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A finding with its sample, where its entry is one.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was found.
    pub finding: Finding,
    /// The sample.
    pub sample: Option<u32>,
}

/// A row of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A kind, with how many there are.
    Kind(Kind, usize),
    /// A finding, by its number.
    Finding(usize),
}

/// The findings of one sample.
#[derive(Clone, Copy, Debug)]
struct OfSample {
    worst: Severity,
    first: u32,
    last: u32,
}

/// No further finding of the same sample.
const END: u32 = u32::MAX;

/// All findings.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    all: Vec<Found>,
    /// Those of each kind, the gravest kinds first.
    kinds: BTreeMap<(Severity, Kind), Vec<u32>>,
    samples: HashMap<u32, OfSample>,
    /// For each the next one of the same sample.
    next: Vec<u32>,
}

impl PartialEq for Findings {
    /// The same ones are equal.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl From<Vec<Found>> for Findings {
    fn from(all: Vec<Found>) -> Self {
        let mut findings = Self::default();
        findings.extend(all);
        findings
    }
}

impl Findings {
    /// Takes some more.
    pub fn extend(&mut self, more: Vec<Found>) {
        for found in more {
            let Some(number) = u32::try_from(self.all.len()).ok().filter(|number| *number != END) else {
                return;
            };
            let kind = found.finding.kind;
            let severity = kind.severity();
            self.kinds.entry((severity, kind)).or_default().push(number);
            self.next.push(END);
            if let Some(sample) = found.sample {
                let new = OfSample { worst: severity, first: number, last: number };
                let of = self.samples.entry(sample).or_insert(new);
                if of.first != number {
                    if let Some(last) = self.next.get_mut(of.last as usize) {
                        *last = number;
                    }
                    // Graver ones are smaller.
                    (of.worst, of.last) = (of.worst.min(severity), number);
                }
            }
            self.all.push(found);
        }
    }

    /// The same findings where their samples stand in a newer state.
    pub fn moved(&self, places: &Places) -> Self {
        let moved = |found: &Found| Found {
            sample: found.sample.and_then(|sample| places.of(sample)),
            finding: found.finding.clone(),
        };
        self.all.iter().map(moved).collect::<Vec<_>>().into()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A finding by its number.
    pub fn get(&self, number: usize) -> Option<&Found> {
        self.all.get(number)
    }

    /// How many have a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.kinds.iter().filter(|((of, _), _)| *of == severity).map(|(_, numbers)| numbers.len()).sum()
    }

    /// How grave the worst finding of a sample is.
    pub fn worst(&self, sample: u32) -> Option<Severity> {
        self.samples.get(&sample).map(|of| of.worst)
    }

    /// The numbers of a sample's findings, in their order.
    pub fn of(&self, sample: u32) -> impl Iterator<Item = usize> + '_ {
        let first = self.samples.get(&sample).map(|of| of.first);
        let after = |number: &u32| self.next.get(*number as usize).copied().filter(|next| *next != END);
        std::iter::successors(first, after).map(|number| number as usize)
    }

    /// How many rows there are: kinds, and behind those that are unfolded their findings.
    pub fn rows(&self, unfolded: &HashSet<Kind>) -> usize {
        self.kinds.iter().map(|((_, kind), numbers)| rows_of(*kind, numbers, unfolded)).sum()
    }

    /// The row at a place.
    pub fn row(&self, mut place: usize, unfolded: &HashSet<Kind>) -> Option<Row> {
        for ((_, kind), numbers) in &self.kinds {
            if place == 0 {
                return Some(Row::Kind(*kind, numbers.len()));
            }
            let rows = rows_of(*kind, numbers, unfolded);
            if place < rows {
                return numbers.get(place - 1).map(|number| Row::Finding(*number as usize));
            }
            place -= rows;
        }
        None
    }

    /// Where the row of a kind stands.
    pub fn place_of_kind(&self, wanted: Kind, unfolded: &HashSet<Kind>) -> Option<usize> {
        self.kinds.contains_key(&(wanted.severity(), wanted)).then(|| {
            let before = self.kinds.iter().take_while(|((_, kind), _)| *kind != wanted);
            before.map(|((_, kind), numbers)| rows_of(*kind, numbers, unfolded)).sum()
        })
    }

    /// Where the row of a finding stands; none while its kind is folded.
    pub fn place_of(&self, number: usize, unfolded: &HashSet<Kind>) -> Option<usize> {
        let kind = self.get(number)?.finding.kind;
        let head = self.place_of_kind(kind, unfolded).filter(|_| unfolded.contains(&kind))?;
        let numbers = self.kinds.get(&(kind.severity(), kind))?;
        numbers.binary_search(&u32::try_from(number).ok()?).ok().map(|at| head + 1 + at)
    }
}

fn rows_of(kind: Kind, numbers: &[u32], unfolded: &HashSet<Kind>) -> usize {
    1 + if unfolded.contains(&kind) { numbers.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Kind, sample: Option<u32>) -> Found {
        let finding = Finding {
            kind,
            file: std::path::Path::new("a.json").into(),
            line: 1,
            column: 1,
            offset: 0,
            entry: None,
            related: None,
            message: "".into(),
        };
        Found { finding, sample }
    }

    /// Rows by their places are the rows one after the other, whatever is unfolded.
    #[test]
    fn rows_are_found_by_their_places_and_places_by_their_rows() {
        let kinds = [Kind::EmptyCaption, Kind::MissingFile, Kind::Dark, Kind::UnusedPicture];
        let all: Vec<Found> = (0..40).map(|n| found(kinds[n % 7 % 4], Some(n as u32 % 9))).collect();
        let findings = Findings::from(all);
        for some in [&kinds[..0], &kinds[1..3], &kinds[..]] {
            let unfolded: HashSet<Kind> = some.iter().copied().collect();
            let mut plain = Vec::new();
            for kind in [Kind::EmptyCaption, Kind::MissingFile, Kind::Dark, Kind::UnusedPicture] {
                let own: Vec<usize> = (0..40).filter(|n| kinds[n % 7 % 4] == kind).collect();
                plain.push(Row::Kind(kind, own.len()));
                if unfolded.contains(&kind) {
                    plain.extend(own.into_iter().map(Row::Finding));
                }
            }
            assert_eq!(findings.rows(&unfolded), plain.len());
            for (place, row) in plain.iter().enumerate() {
                assert_eq!(findings.row(place, &unfolded), Some(*row));
                match row {
                    Row::Kind(kind, _) => assert_eq!(findings.place_of_kind(*kind, &unfolded), Some(place)),
                    Row::Finding(n) => assert_eq!(findings.place_of(*n, &unfolded), Some(place)),
                }
            }
            assert_eq!(findings.row(plain.len(), &unfolded), None);
        }
        assert_eq!(findings.place_of(0, &HashSet::new()), None, "it is folded");
        assert_eq!(findings.place_of_kind(Kind::BadJson, &HashSet::new()), None);
        for sample in 0..9 {
            assert!(findings.of(sample).eq((0..40).filter(|n| n % 9 == sample as usize)), "{sample}");
        }
        assert_eq!((findings.worst(0), findings.worst(9)), (Some(Severity::Error), None));
        assert_eq!(findings.of(9).count(), 0);
        assert_eq!(findings.count(Severity::Info), (0..40).filter(|n| n % 7 % 4 == 3).count());
    }

    #[test]
    fn findings_move_with_their_samples() {
        let findings = Findings::from(vec![
            found(Kind::Dark, Some(0)),
            found(Kind::Dark, Some(5)),
            found(Kind::Dark, None),
        ]);
        let places = Places { front: 0, between: vec![None], shift: -1, count: 8 };
        let moved = findings.moved(&places);
        let samples: Vec<_> = (0..3).map(|n| moved.get(n).unwrap().sample).collect();
        assert_eq!(samples, [None, Some(4), None]);
        assert_eq!(moved.of(4).collect::<Vec<_>>(), [1]);
    }
}
