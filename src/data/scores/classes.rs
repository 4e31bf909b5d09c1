//! Scores of classification: how often the right class comes first or among the first five, per class, and what is
//! taken for what.

use std::collections::HashMap;

use serde::Serialize;

/// How many of the likeliest classes "top-5" looks at.
const FIVE: usize = 5;

/// Answers so far.
#[derive(Clone, Debug, Default)]
pub struct ClassScores {
    classes: Vec<ClassScore>,
    /// (right class, answer) of wrong answers.
    confused: HashMap<(u32, u32), u64>,
}

/// Answers to the pictures of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassScore {
    /// Pictures.
    pub n: u64,
    /// Pictures whose class came first.
    pub first: u64,
    /// Pictures whose class was among the first five.
    pub among_five: u64,
}

/// A class that is taken for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The right class.
    pub class: u32,
    /// The answer.
    pub taken_for: u32,
    /// How often.
    pub n: u64,
}

impl ClassScores {
    /// No answers yet, for so many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![ClassScore::default(); classes], confused: HashMap::new() }
    }

    /// Takes in an answer: the likeliest classes, the likeliest first.
    pub fn add(&mut self, class: u32, answer: impl IntoIterator<Item = u32>) {
        let mut place = None;
        let mut first = None;
        for (at, answered) in answer.into_iter().take(FIVE).enumerate() {
            first.get_or_insert(answered);
            if answered == class {
                place.get_or_insert(at);
            }
        }
        if let Some(score) = self.classes.get_mut(class as usize) {
            score.n += 1;
            score.first += u64::from(place == Some(0));
            score.among_five += u64::from(place.is_some());
        }
        if let Some(taken_for) = first.filter(|first| *first != class) {
            *self.confused.entry((class, taken_for)).or_default() += 1;
        }
    }

    /// All classes together.
    pub fn total(&self) -> ClassScore {
        self.classes.iter().fold(ClassScore::default(), |a, b| ClassScore {
            n: a.n + b.n,
            first: a.first + b.first,
            among_five: a.among_five + b.among_five,
        })
    }

    /// Each class, in the order of the set.
    pub fn classes(&self) -> &[ClassScore] {
        &self.classes
    }

    /// What is taken for what, the most frequent first.
    pub fn confusions(&self) -> Vec<Confusion> {
        let pair = |(&(class, taken_for), &n): (&(u32, u32), &u64)| Confusion { class, taken_for, n };
        let mut all: Vec<Confusion> = self.confused.iter().map(pair).collect();
        all.sort_by_key(|c| (std::cmp::Reverse(c.n), c.class, c.taken_for));
        all
    }
}

#[allow(clippy::cast_precision_loss)]
impl ClassScore {
    /// Share of pictures whose class came first, 0..1.
    pub fn top1(&self) -> f64 {
        self.first as f64 / self.n.max(1) as f64
    }

    /// Share of pictures whose class was among the first five, 0..1.
    pub fn top5(&self) -> f64 {
        self.among_five as f64 / self.n.max(1) as f64
    }

    /// 95 % interval of [`Self::top1`] (Wilson's, which is right near 0 and 1 too).
    pub fn ci95(&self) -> [f64; 2] {
        const Z: f64 = 1.959_963_984_540_054;
        if self.n == 0 {
            return [0.0, 1.0];
        }
        let (n, p) = (self.n as f64, self.top1());
        let scale = 1.0 + Z * Z / n;
        let centre = (p + Z * Z / (2.0 * n)) / scale;
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
        [(centre - half).max(0.0), (centre + half).min(1.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let mut scores = ClassScores::new(3);
        scores.add(0, [0, 1, 2]);
        scores.add(0, [1, 2, 0]);
        scores.add(1, [2, 0]);
        scores.add(2, []);
        let total = scores.total();
        assert_eq!(total, ClassScore { n: 4, first: 1, among_five: 2 });
        assert_eq!((total.top1(), total.top5()), (0.25, 0.5));
        assert_eq!(scores.classes()[0], ClassScore { n: 2, first: 1, among_five: 2 });
        let confused = scores.confusions();
        assert_eq!(confused[0], Confusion { class: 0, taken_for: 1, n: 1 });
        assert_eq!(confused.len(), 2);
        let mut late = ClassScores::new(9);
        late.add(8, [0, 1, 2, 3, 4, 8]);
        assert_eq!(late.total().among_five, 0, "sixth is too late");
    }

    #[test]
    fn the_interval_is_wilsons() {
        // 81 of 263: 0.2551 to 0.3662 (Newcombe 1998, method 3).
        let score = ClassScore { n: 263, first: 81, among_five: 81 };
        let [low, high] = score.ci95();
        assert!((low - 0.2553).abs() < 5e-4 && (high - 0.3662).abs() < 5e-4, "{low} {high}");
        let all = ClassScore { n: 10, first: 10, among_five: 10 };
        assert!(all.ci95()[0] > 0.7 && all.ci95()[1] > 1.0 - 1e-9);
        assert_eq!(ClassScore::default().ci95(), [0.0, 1.0]);
    }
}
