//! Scores of captions against references: BLEU-1..4, ROUGE-L and CIDEr(-D), equal to pycocoevalcap's on the same
//! words. METEOR and SPICE need Java and WordNet and are not here.

mod bleu;
mod cider;
pub mod classes;
mod ngrams;
mod rouge;
pub mod words;

use serde::Serialize;

/// What is scored: the words of a caption and of its references.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// Words of the caption.
    pub caption: Vec<String>,
    /// Words of each reference, one at least.
    pub references: Vec<Vec<String>>,
}

impl Scored {
    /// Splits a caption and its references into words.
    pub fn new<'a>(caption: &str, references: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            caption: words::words(caption),
            references: references.into_iter().map(words::words).collect(),
        }
    }
}

/// Scores of one picture or of a whole set. BLEU and ROUGE are 0..1, CIDEr is 0..10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// BLEU-1, -2, -3, -4.
    pub bleu: [f64; 4],
    /// ROUGE-L.
    pub rouge_l: f64,
    /// CIDEr-D; it knows which words are common only from a set of pictures, and is 0 on a single one.
    pub cider: f64,
}

/// Scores of the set, and of each picture in its order. BLEU of a set is no mean: its counts are summed first.
pub fn score(set: &[Scored]) -> (Scores, Vec<Scores>) {
    let (bleu, each_bleu) = bleu::bleu(set);
    let each_rouge: Vec<f64> = set.iter().map(rouge::rouge_l).collect();
    let each_cider = cider::cider(set);
    let whole = Scores { bleu, rouge_l: mean(&each_rouge), cider: mean(&each_cider) };
    let each = each_bleu.into_iter().zip(each_rouge).zip(each_cider);
    (whole, each.map(|((bleu, rouge_l), cider)| Scores { bleu, rouge_l, cider }).collect())
}

#[allow(clippy::cast_precision_loss)]
fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Fixture {
        pictures: Vec<Picture>,
        bleu: [f64; 4],
        rouge_l: f64,
        cider: f64,
    }

    #[derive(Deserialize)]
    struct Picture {
        caption: String,
        references: Vec<String>,
        bleu: [f64; 4],
        rouge_l: f64,
        cider: f64,
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1.0)
    }

    /// Made by tests/fixtures/make_scores.py with pycocoevalcap.
    #[test]
    fn scores_equal_pycocoevalcaps() {
        let all: Vec<Fixture> =
            serde_json::from_str(include_str!("../tests/fixtures/scores/scores.json")).unwrap();
        assert!(all.len() > 2);
        for fixture in all {
            let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let set: Vec<Scored> = fixture
                .pictures
                .iter()
                .map(|p| Scored {
                    caption: split(&p.caption),
                    references: p.references.iter().map(|r| split(r)).collect(),
                })
                .collect();
            let (whole, each) = score(&set);
            let same = |s: &Scores, bleu: [f64; 4], rouge: f64, cider: f64| {
                s.bleu.iter().zip(bleu).all(|(a, b)| close(*a, b))
                    && close(s.rouge_l, rouge)
                    && close(s.cider, cider)
            };
            assert!(same(&whole, fixture.bleu, fixture.rouge_l, fixture.cider), "{whole:?}");
            for (s, p) in each.iter().zip(&fixture.pictures) {
                assert!(same(s, p.bleu, p.rouge_l, p.cider), "{}: {s:?}", p.caption);
            }
        }
    }

    #[test]
    fn nothing_and_no_references_are_no_trouble() {
        assert_eq!(score(&[]).0, Scores::default());
        let lonely = Scored { caption: vec!["a".into()], references: Vec::new() };
        let (whole, each) = score(&[lonely, Scored::default()]);
        assert_eq!(each.len(), 2);
        assert!(whole.cider == 0.0 && whole.bleu.iter().all(|b| b.is_finite()));
    }
}
