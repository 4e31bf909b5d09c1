//! What a demo picture shows: one coloured shape, or two in a relation.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::random::Rng;

/// Declares an enum whose variants have one word each, the word that the captions and the JSON use.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that `word` names, if any.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

words! {
    /// The colour of an object.
    Colour {
        /// Red.
        Red = "red",
        /// Orange.
        Orange = "orange",
        /// Yellow.
        Yellow = "yellow",
        /// Green.
        Green = "green",
        /// Cyan.
        Cyan = "cyan",
        /// Blue.
        Blue = "blue",
        /// Purple.
        Purple = "purple",
        /// Pink.
        Pink = "pink",
    }
}

words! {
    /// The shape of an object.
    Shape {
        /// A filled disc.
        Circle = "circle",
        /// A square with sides along the axes.
        Square = "square",
        /// An upright triangle.
        Triangle = "triangle",
        /// A five-pointed star.
        Star = "star",
        /// An upright plus sign.
        Cross = "cross",
        /// A circle with a hole.
        Ring = "ring",
    }
}

words! {
    /// The size of an object; captions use synonyms as well.
    Size {
        /// About 0.24 of the picture's side.
        Small = "small",
        /// About 0.42 of the picture's side.
        Large = "large",
    }
}

words! {
    /// Where the first of two objects is, seen from the second.
    Relation {
        /// The first is to the left of the second.
        LeftOf = "left of",
        /// The first is to the right of the second.
        RightOf = "right of",
        /// The first is above the second.
        Above = "above",
        /// The first is below the second.
        Below = "below",
    }
}

impl Relation {
    /// The same fact told from the other object.
    pub fn reversed(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }
}

/// One object of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// Its size.
    pub size: Size,
    /// Its colour.
    pub colour: Colour,
    /// Its shape.
    pub shape: Shape,
}

/// A scene: `first` alone, or `first` in a relation to `second`.
///
/// Equality is of meaning: "A left of B" equals "B right of A".
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Scene {
    /// The only object, or the subject of the relation.
    pub first: Object,
    /// The relation of the first object to the second, and the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<(Relation, Object)>,
}

impl Scene {
    /// The same scene told from its other object; a scene of one object stays as it is.
    pub fn reversed(self) -> Self {
        match self.second {
            None => self,
            Some((relation, second)) => {
                Self { first: second, second: Some((relation.reversed(), self.first)) }
            }
        }
    }

    /// Its objects, the first one first.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        std::iter::once(self.first).chain(self.second.map(|(_, object)| object))
    }

    /// Whether a colour-shape combination that training never shows occurs in it.
    pub fn is_novel(&self) -> bool {
        self.objects().any(|object| is_held_out(object.colour, object.shape))
    }
}

impl PartialEq for Scene {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Self, b: &Self| a.first == b.first && a.second == b.second;
        same(self, other) || same(&self.reversed(), other)
    }
}

impl Eq for Scene {}

/// The six of the 48 colour-shape combinations (12.5 %) that training never shows: every shape is among them
/// once, with six of the colours, so that each colour and each shape is still learnt from other combinations.
pub const HELD_OUT: [(Colour, Shape); 6] = [
    (Colour::Yellow, Shape::Circle),
    (Colour::Purple, Shape::Square),
    (Colour::Green, Shape::Triangle),
    (Colour::Red, Shape::Star),
    (Colour::Cyan, Shape::Cross),
    (Colour::Blue, Shape::Ring),
];

/// Whether training never shows this combination.
pub fn is_held_out(colour: Colour, shape: Shape) -> bool {
    HELD_OUT.contains(&(colour, shape))
}

/// One of `values`, each as likely; `values` is a non-empty constant.
pub(super) fn pick<T: Copy>(values: &[T], rng: &mut Rng) -> T {
    values[rng.random_range(0..values.len())]
}

fn draw_object(with_held_out: bool, rng: &mut Rng) -> Object {
    loop {
        let object = Object {
            size: pick(Size::ALL, rng),
            colour: pick(Colour::ALL, rng),
            shape: pick(Shape::ALL, rng),
        };
        if with_held_out || !is_held_out(object.colour, object.shape) {
            return object;
        }
    }
}

/// A random scene: one object in half of the cases, else two that differ in colour or shape.
///
/// `with_held_out` says whether the combinations of [`HELD_OUT`] may occur (each as often as any other).
pub fn draw_scene(with_held_out: bool, rng: &mut Rng) -> Scene {
    let first = draw_object(with_held_out, rng);
    if rng.random_bool(0.5) {
        return Scene { first, second: None };
    }
    let second = loop {
        let second = draw_object(with_held_out, rng);
        if (second.colour, second.shape) != (first.colour, first.shape) {
            break second;
        }
    };
    Scene { first, second: Some((pick(Relation::ALL, rng), second)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn held_out_combinations_leave_every_colour_and_shape_in_training() {
        for colour in Colour::ALL {
            assert!(Shape::ALL.iter().filter(|shape| !is_held_out(*colour, **shape)).count() >= 5);
        }
        for shape in Shape::ALL {
            assert!(Colour::ALL.iter().filter(|colour| !is_held_out(**colour, *shape)).count() >= 7);
        }
        let combinations = Colour::ALL.len() * Shape::ALL.len();
        assert!(HELD_OUT.len() * 10 >= combinations, "at least a tenth is held out");
    }

    #[test]
    fn training_scenes_hold_no_held_out_combination_and_others_do() {
        let mut rng = stream(1, Purpose::Demo, 0, 0);
        assert!((0..5000).all(|_| !draw_scene(false, &mut rng).is_novel()));
        let novel = (0..5000).filter(|_| draw_scene(true, &mut rng).is_novel()).count();
        // One object: 12.5 %; two: about 23 %.
        assert!((750..1050).contains(&novel), "{novel} of 5000");
    }

    #[test]
    fn equality_is_of_meaning() {
        let mut rng = stream(2, Purpose::Demo, 0, 0);
        for _ in 0..200 {
            let scene = draw_scene(true, &mut rng);
            assert_eq!(scene, scene.reversed());
            if let Some((relation, second)) = scene.second {
                assert_ne!(scene, Scene { first: scene.first, second: Some((relation.reversed(), second)) });
                assert_ne!(scene, Scene { first: scene.first, second: None });
            }
        }
    }
}
