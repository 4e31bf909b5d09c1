//! The bookkeeping of beam search: which beams go on, which texts are finished, when to stop. The rules are
//! those of transformers 4.49's BeamSearchScorer with early stopping off.

use super::{GenerateError, SpecialIds};

/// A text that is still being written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beam {
    pub ids: Vec<i64>,
    pub sum: f32,
}

/// One way to go on: beam `parent` followed by `id`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub sum: f32,
    pub parent: usize,
    pub id: i64,
}

/// How finished texts are scored: sum / (length - not_counted)^penalty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scoring {
    pub length_penalty: f64,
    /// Ids at the front that do not count as length: what was given, except in open_clip's search.
    pub not_counted: usize,
}

impl Scoring {
    pub fn score(self, sum: f32, length: usize) -> f64 {
        let counted = length.saturating_sub(self.not_counted).max(1);
        f64::from(sum) / (counted as f64).powf(self.length_penalty)
    }
}

/// A group of beams of one image.
#[derive(Debug)]
pub(super) struct Group {
    /// Beams that it keeps, and finished texts.
    pub size: usize,
    pub beams: Vec<Beam>,
    /// Finished texts without EOT, and their scores.
    pub finished: Vec<(f64, Vec<i64>)>,
    pub done: bool,
    scoring: Scoring,
}

impl Group {
    /// A group that starts as one beam, `start`.
    pub fn new(size: usize, start: &[i64], scoring: Scoring) -> Self {
        let beams = vec![Beam { ids: start.to_vec(), sum: 0.0 }];
        Self { size, beams, finished: Vec::new(), done: false, scoring }
    }

    /// Takes one step with `candidates`, best first, 2 * size of them. Returns each new beam's parent.
    pub fn step(
        &mut self,
        candidates: &[Candidate],
        special: SpecialIds,
        pad: i64,
    ) -> Result<Vec<usize>, GenerateError> {
        let length = self.beams.first().map_or(0, |beam| beam.ids.len()) + 1;
        if self.done {
            // Its rows go on beside those of other groups; nobody reads them.
            let first = self.beams.first().ok_or(GenerateError::NotFinite)?;
            let mut filler = Beam { ids: first.ids.clone(), sum: 0.0 };
            filler.ids.push(pad);
            self.beams = vec![filler; self.size];
            return Ok(vec![0; self.size]);
        }
        let (mut beams, mut parents) = (Vec::with_capacity(self.size), Vec::with_capacity(self.size));
        for (rank, candidate) in candidates.iter().enumerate() {
            let parent = self.beams.get(candidate.parent).ok_or(GenerateError::NotFinite)?;
            if candidate.id == special.eot {
                if rank < self.size {
                    let (score, ids) = (self.scoring.score(candidate.sum, length), parent.ids.clone());
                    self.finish(score, ids);
                }
                continue;
            }
            let mut ids = Vec::with_capacity(length);
            ids.extend_from_slice(&parent.ids);
            ids.push(candidate.id);
            beams.push(Beam { ids, sum: candidate.sum });
            parents.push(candidate.parent);
            if beams.len() == self.size {
                break;
            }
        }
        if beams.len() < self.size || beams.iter().any(|beam| beam.sum.is_nan()) {
            return Err(GenerateError::NotFinite);
        }
        self.beams = beams;
        let best = candidates.first().map_or(f32::NEG_INFINITY, |candidate| candidate.sum);
        let attainable = self.scoring.score(best, length);
        self.done = self.finished.len() >= self.size && self.worst() >= attainable;
        Ok(parents)
    }

    /// Adds what is still open to the finished texts: the longest length was reached.
    pub fn close(&mut self) {
        if self.done {
            return;
        }
        for beam in std::mem::take(&mut self.beams) {
            self.finish(self.scoring.score(beam.sum, beam.ids.len()), beam.ids);
        }
    }

    /// The texts so far, finished or not, with their scores.
    pub fn texts(&self) -> impl Iterator<Item = (f64, &[i64])> {
        let finished = self.finished.iter().map(|(score, ids)| (*score, ids.as_slice()));
        let open = self.beams.iter().filter(|_| !self.done);
        let open = open.map(|beam| (self.scoring.score(beam.sum, beam.ids.len()), beam.ids.as_slice()));
        finished.chain(open)
    }

    #[cfg(test)]
    fn best(&self) -> Option<(f64, &[i64])> {
        self.texts().max_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn worst(&self) -> f64 {
        self.finished.iter().map(|(score, _)| *score).fold(f64::INFINITY, f64::min)
    }

    fn finish(&mut self, score: f64, ids: Vec<i64>) {
        if self.finished.len() >= self.size && score <= self.worst() {
            return;
        }
        self.finished.push((score, ids));
        if self.finished.len() > self.size {
            // min_by keeps the first of equals, as sorting by (score, index) does.
            let at =
                self.finished.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0)).map(|(at, _)| at);
            if let Some(at) = at {
                let _ = self.finished.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: SpecialIds = SpecialIds { sot: 1, eot: 2 };
    const MEAN: Scoring = Scoring { length_penalty: 1.0, not_counted: 1 };

    fn at(sum: f32, parent: usize, id: i64) -> Candidate {
        Candidate { sum, parent, id }
    }

    #[test]
    fn an_end_counts_only_among_the_best_and_the_rest_goes_on() {
        let mut group = Group::new(2, &[1], MEAN);
        let parents = group
            .step(&[at(-0.1, 0, 2), at(-0.5, 0, 7), at(-0.9, 0, 8), at(-1.0, 0, 9)], SPECIAL, 0)
            .unwrap();
        assert_eq!(parents, [0, 0]);
        assert_eq!(group.beams[1].ids, [1, 8]);
        assert_eq!(group.finished, [(f64::from(-0.1f32), vec![1])]);
        assert!(!group.done, "one of two is finished");

        // Rank 2 is behind the two best: that end is not taken.
        let _ = group
            .step(&[at(-0.6, 0, 5), at(-0.7, 1, 5), at(-0.8, 0, 2), at(-2.0, 1, 6)], SPECIAL, 0)
            .unwrap();
        assert_eq!((group.finished.len(), group.beams[1].ids.clone()), (1, vec![1, 8, 5]));
        // Two finished, and nothing that is open can be better than the worse of them.
        let _ = group
            .step(&[at(-0.9, 0, 2), at(-3.0, 1, 5), at(-3.5, 0, 6), at(-4.0, 1, 6)], SPECIAL, 0)
            .unwrap();
        assert!(group.done);
        assert_eq!(group.best().unwrap().1, [1]);
        assert_eq!(group.step(&[], SPECIAL, 0).unwrap(), [0, 0], "a finished group stays as it is");
        group.close();
        assert_eq!(group.finished.len(), 2);
    }

    #[test]
    fn open_beams_compete_at_the_end_and_a_long_text_may_win_by_the_penalty() {
        for (length_penalty, best) in [(1.0, vec![1i64]), (3.0, vec![1, 5, 6])] {
            let mut group = Group::new(1, &[1], Scoring { length_penalty, not_counted: 0 });
            let _ = group.step(&[at(-1.0, 0, 2), at(-1.2, 0, 5)], SPECIAL, 0).unwrap();
            group.done = false;
            let _ = group.step(&[at(-2.0, 0, 6), at(-9.0, 0, 7)], SPECIAL, 0).unwrap();
            group.done = false;
            group.close();
            assert_eq!(group.finished.len(), 1);
            assert_eq!(group.best().unwrap().1, best, "{length_penalty}");
        }
    }

    #[test]
    fn too_few_candidates_are_an_error() {
        let mut group = Group::new(2, &[1], MEAN);
        assert!(group.step(&[at(-0.5, 0, 7), at(-0.9, 0, 2)], SPECIAL, 0).is_err());
        assert!(group.step(&[at(f32::NAN, 0, 7), at(f32::NAN, 0, 8)], SPECIAL, 0).is_err());
    }
}
