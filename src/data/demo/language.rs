//! The language of the demo captions: how a scene is told, how a caption is read, and how a generated
//! caption is scored against the scene it should tell.
//!
//! A caption is an opening, an object and, for two objects, a relation and the other object. Scoring is of
//! meaning: synonyms are equal, and either object may be named first.

use super::scene::{Colour, Object, Relation, Scene, Shape, Size, pick};
use crate::random::Rng;
use rand::RngExt;

/// Share of captions that name the left or upper object first.
const READING_ORDER: f64 = 0.8;

/// What may stand before the first object, its article included.
const OPENINGS: [&str; 4] = ["a", "one", "there is a", "a picture of a"];
const SMALL: [&str; 3] = ["small", "little", "tiny"];
const LARGE: [&str; 3] = ["large", "big", "huge"];
const LEFT_OF: [&str; 3] = ["left of", "to the left of", "on the left of"];
const RIGHT_OF: [&str; 3] = ["right of", "to the right of", "on the right of"];
const ABOVE: [&str; 2] = ["above", "over"];
const BELOW: [&str; 3] = ["below", "under", "beneath"];

fn size_words(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &SMALL,
        Size::Large => &LARGE,
    }
}

fn relation_words(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::LeftOf => &LEFT_OF,
        Relation::RightOf => &RIGHT_OF,
        Relation::Above => &ABOVE,
        Relation::Below => &BELOW,
    }
}

/// One of several wordings: mostly the first, so that a little model is not busy guessing synonyms.
fn wording(words: &[&'static str], rng: &mut Rng) -> &'static str {
    if rng.random_bool(0.5) { words.first().copied().unwrap_or("") } else { pick(words, rng) }
}

/// A truthful caption of `scene`, in random wording; lower case, at most 16 words.
pub fn describe(scene: &Scene, rng: &mut Rng) -> String {
    // As people do, mostly in reading order: the left or upper object first.
    let in_order = matches!(scene.second, None | Some((Relation::LeftOf | Relation::Above, _)));
    let told = if in_order == rng.random_bool(READING_ORDER) { *scene } else { scene.reversed() };
    let mut caption = format!("{} {}", wording(&OPENINGS, rng), noun_phrase(told.first, rng));
    if let Some((relation, second)) = told.second {
        caption.push_str(&format!(
            " {} a {}",
            wording(relation_words(relation), rng),
            noun_phrase(second, rng)
        ));
    }
    caption
}

fn noun_phrase(object: Object, rng: &mut Rng) -> String {
    format!("{} {} {}", wording(size_words(object.size), rng), object.colour.word(), object.shape.word())
}

/// What could be read of one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    size: Option<Size>,
    colour: Option<Colour>,
    shape: Option<Shape>,
}

impl Reading {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn complete(&self) -> Option<Object> {
        Some(Object { size: self.size?, colour: self.colour?, shape: self.shape? })
    }

    /// How many of the three attributes agree with `object`.
    fn agreement(&self, object: Object) -> usize {
        usize::from(self.size == Some(object.size))
            + usize::from(self.colour == Some(object.colour))
            + usize::from(self.shape == Some(object.shape))
    }
}

/// What could be read of a whole caption.
#[derive(Debug, Default)]
struct CaptionReading {
    objects: Vec<Reading>,
    relation: Option<Relation>,
    /// Words outside the language, words out of place, or more than one relation.
    faulty: bool,
}

/// Reads as much of a caption as there is in it: generated captions may be broken anywhere.
fn read(caption: &str) -> CaptionReading {
    let mut reading = CaptionReading::default();
    let mut current = Reading::default();
    let lowered = caption.to_lowercase();
    let words = lowered.split_whitespace().map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()));
    for word in words.filter(|word| !word.is_empty()) {
        // A second value of a kind begins the next object.
        fn fill<T>(
            current: &mut Reading,
            objects: &mut Vec<Reading>,
            slot: fn(&mut Reading) -> &mut Option<T>,
            value: T,
        ) {
            if slot(current).is_some() {
                objects.push(std::mem::take(current));
            }
            *slot(current) = Some(value);
        }
        if let Some(size) = Size::ALL.iter().copied().find(|size| size_words(*size).contains(&word)) {
            fill(&mut current, &mut reading.objects, |r| &mut r.size, size);
        } else if let Some(colour) = Colour::from_word(word) {
            fill(&mut current, &mut reading.objects, |r| &mut r.colour, colour);
        } else if let Some(shape) = Shape::from_word(word) {
            fill(&mut current, &mut reading.objects, |r| &mut r.shape, shape);
        } else if let Some(relation) = relation_keyword(word) {
            reading.faulty |= reading.relation.is_some();
            reading.relation.get_or_insert(relation);
            if !current.is_empty() {
                reading.objects.push(std::mem::take(&mut current));
            }
        } else if matches!(word, "a" | "one") {
            if !current.is_empty() {
                reading.objects.push(std::mem::take(&mut current));
            }
        } else if !matches!(word, "there" | "is" | "picture" | "of" | "to" | "the" | "on") {
            reading.faulty = true;
        }
    }
    if !current.is_empty() {
        reading.objects.push(current);
    }
    reading
}

/// The relation that a single word decides.
fn relation_keyword(word: &str) -> Option<Relation> {
    match word {
        "left" => Some(Relation::LeftOf),
        "right" => Some(Relation::RightOf),
        _ if ABOVE.contains(&word) => Some(Relation::Above),
        _ if BELOW.contains(&word) => Some(Relation::Below),
        _ => None,
    }
}

/// The scene that `caption` tells, if it tells one wholly: one complete object, or two and their relation.
pub fn parse(caption: &str) -> Option<Scene> {
    let reading = read(caption);
    if reading.faulty {
        return None;
    }
    match (reading.objects.as_slice(), reading.relation) {
        ([only], None) => Some(Scene { first: only.complete()?, second: None }),
        ([first, second], Some(relation)) => {
            Some(Scene { first: first.complete()?, second: Some((relation, second.complete()?)) })
        }
        _ => None,
    }
}

/// How well a caption tells a scene.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaptionScore {
    /// Attributes named right.
    pub attributes_right: usize,
    /// Attributes that there were to name: size, colour and shape of each object, and the relation.
    pub attributes_total: usize,
    /// Whether the caption tells exactly this scene.
    pub wholly_right: bool,
}

/// The scores of many captions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Captions scored.
    pub captions: usize,
    /// Captions that tell exactly their scene.
    pub wholly_right: usize,
    /// Attributes named right.
    pub attributes_right: usize,
    /// Attributes that there were to name.
    pub attributes_total: usize,
}

impl Tally {
    /// Counts one caption.
    pub fn add(&mut self, score: CaptionScore) {
        self.captions += 1;
        self.wholly_right += usize::from(score.wholly_right);
        self.attributes_right += score.attributes_right;
        self.attributes_total += score.attributes_total;
    }

    /// The share of attributes named right, from 0 to 1; none without captions.
    pub fn attribute_share(&self) -> Option<f64> {
        (self.attributes_total > 0).then(|| self.attributes_right as f64 / self.attributes_total as f64)
    }

    /// The share of captions wholly right, from 0 to 1; none without captions.
    pub fn wholly_right_share(&self) -> Option<f64> {
        (self.captions > 0).then(|| self.wholly_right as f64 / self.captions as f64)
    }
}

/// Scores a generated caption against the scene of its picture.
///
/// The objects are paired as suits the caption best; what is missing or cannot be read is wrong.
pub fn score(reference: &Scene, generated: &str) -> CaptionScore {
    let reading = read(generated);
    let wholly_right = parse(generated).is_some_and(|scene| scene == *reference);
    let best = |object: Object| reading.objects.iter().map(move |r| r.agreement(object)).max().unwrap_or(0);
    let (attributes_right, attributes_total) = match reference.second {
        None => (best(reference.first), 3),
        Some((relation, second)) => (best_pairing(&reading, reference.first, relation, second), 7),
    };
    CaptionScore { attributes_right, attributes_total, wholly_right }
}

/// The most attributes that agree over all ways of pairing the objects read with the two of the scene.
fn best_pairing(reading: &CaptionReading, first: Object, relation: Relation, second: Object) -> usize {
    let objects = &reading.objects;
    let mut best = 0;
    for (i, one) in objects.iter().enumerate() {
        // Only one of the two is told.
        best = best.max(one.agreement(first)).max(one.agreement(second));
        for other in &objects[i + 1..] {
            let told = usize::from(reading.relation == Some(relation));
            best = best.max(one.agreement(first) + other.agreement(second) + told);
            let told = usize::from(reading.relation == Some(relation.reversed()));
            best = best.max(one.agreement(second) + other.agreement(first) + told);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::scene::draw_scene;
    use super::*;
    use crate::random::{Purpose, stream};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_description_reads_back_as_its_scene(seed: u64) {
            let mut rng = stream(seed, Purpose::Demo, 9, 0);
            let scene = draw_scene(true, &mut rng);
            let caption = describe(&scene, &mut rng);
            prop_assert_eq!(parse(&caption), Some(scene), "{}", &caption);
            prop_assert!(caption.split(' ').count() <= 16, "{}", &caption);
            let full = score(&scene, &caption);
            prop_assert!(full.wholly_right);
            prop_assert_eq!(full.attributes_right, full.attributes_total);
        }

        #[test]
        fn a_false_description_is_not_wholly_right(seed: u64) {
            let mut rng = stream(seed, Purpose::Demo, 9, 1);
            let (scene, other) = (draw_scene(true, &mut rng), draw_scene(true, &mut rng));
            prop_assume!(scene != other);
            let result = score(&scene, &describe(&other, &mut rng));
            prop_assert!(!result.wholly_right);
            prop_assert!(result.attributes_right <= result.attributes_total);
            if scene.second.is_some() == other.second.is_some() {
                prop_assert!(result.attributes_right < result.attributes_total);
            }
        }

        #[test]
        fn any_text_scores_without_trouble(text: String) {
            let scene = parse("a tiny red ring under a big blue star").unwrap();
            let result = score(&scene, &text);
            prop_assert!(result.attributes_right <= result.attributes_total);
        }
    }

    fn scored(reference: &str, generated: &str) -> (usize, usize, bool) {
        let s = score(&parse(reference).unwrap(), generated);
        (s.attributes_right, s.attributes_total, s.wholly_right)
    }

    #[test]
    fn a_tally_gives_shares() {
        let scene = parse("one tiny pink ring").unwrap();
        let mut tally = Tally::default();
        assert_eq!((tally.attribute_share(), tally.wholly_right_share()), (None, None));
        tally.add(score(&scene, "a little pink ring"));
        tally.add(score(&scene, "a little pink star"));
        assert_eq!((tally.attribute_share(), tally.wholly_right_share()), (Some(5.0 / 6.0), Some(0.5)));
    }

    #[test]
    fn scores_are_of_meaning() {
        let pair = "a small red circle left of a large blue star";
        assert_eq!(scored(pair, "there is a huge blue star on the right of a tiny red circle"), (7, 7, true));
        assert_eq!(scored(pair, "a huge blue star left of a tiny red circle"), (6, 7, false));
        assert_eq!(scored(pair, "a huge blue star"), (3, 7, false));
        assert_eq!(scored(pair, "a small red circle a large blue star"), (6, 7, false));
        assert_eq!(scored(pair, "small red circle left of blue star"), (6, 7, false));
        assert_eq!(scored(pair, ""), (0, 7, false));
        assert_eq!(scored("one tiny pink ring", "A little pink ring."), (3, 3, true));
        assert_eq!(scored("one tiny pink ring", "a large pink ring"), (2, 3, false));
        assert_eq!(scored("one tiny pink ring", "a tiny pink ring above a tiny pink star"), (3, 3, false));
        assert_eq!(scored("one tiny pink ring", "a tiny pink ring sleeping"), (3, 3, false));
    }
}
