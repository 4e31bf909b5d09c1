//! Draws a scene: placement, background, anti-aliased shapes, light, noise.

use std::f32::consts::TAU;

use rand::RngExt;

use super::scene::{Colour, Object, Relation, Scene, Shape, Size};
use crate::random::Rng;

/// A point in the picture: x to the right, y down, in units of the picture's side.
type Point = [f32; 2];

/// Free space around and between objects, in units of the side.
const MARGIN: f32 = 0.01;
/// Centres stand on a grid of so many steps a side. A small transformer learns a shape once for every way in which it
/// lies across its patches; on a grid there are few, so minutes are enough.
const GRID: f32 = 8.0;
/// How far from the picture's middle a pair may stand, in units of the side.
const MIDDLE: f32 = 1.0 / GRID;
/// How much longer a relation's own axis must be than the other one.
const DOMINANCE: f32 = 1.6;

/// Where an object stands: the centre and radius of the circle that it touches.
#[derive(Debug, Clone, Copy)]
struct Placed {
    object: Object,
    centre: Point,
    radius: f32,
}

fn colour_rgb(colour: Colour) -> [f32; 3] {
    let rgb: [u8; 3] = match colour {
        Colour::Red => [222, 28, 36],
        Colour::Orange => [250, 138, 12],
        Colour::Yellow => [250, 226, 40],
        Colour::Green => [28, 150, 48],
        Colour::Cyan => [44, 210, 226],
        Colour::Blue => [36, 70, 222],
        Colour::Purple => [122, 36, 166],
        Colour::Pink => [250, 128, 190],
    };
    rgb.map(f32::from)
}

fn draw_radius(size: Size, rng: &mut Rng) -> f32 {
    match size {
        Size::Small => rng.random_range(0.135..0.155),
        Size::Large => rng.random_range(0.215..0.235),
    }
}

/// A centre coordinate that keeps an object of this radius inside the picture.
fn draw_inside(radius: f32, rng: &mut Rng) -> f32 {
    on_grid(radius + MARGIN, 1.0 - radius - MARGIN, rng)
}

/// One of the grid's lines from `low` to `high`; there is one in every range that is asked for here.
fn on_grid(low: f32, high: f32, rng: &mut Rng) -> f32 {
    let (first, last) = ((line_above(low) * GRID) as i32, (line_below(high) * GRID) as i32);
    rng.random_range(first..=last.max(first)) as f32 / GRID
}

/// The grid's first line at or after `x`.
fn line_above(x: f32) -> f32 {
    (x * GRID - 1e-3).ceil() / GRID
}

/// The grid's last line at or before `x`.
fn line_below(x: f32) -> f32 {
    (x * GRID + 1e-3).floor() / GRID
}

/// Chooses places so that the relation holds clearly and nothing overlaps or leaves the picture.
fn place(scene: &Scene, rng: &mut Rng) -> Vec<Placed> {
    let Some((relation, second)) = scene.second else {
        let radius = draw_radius(scene.first.size, rng);
        let centre = [draw_inside(radius, rng), draw_inside(radius, rng)];
        return vec![Placed { object: scene.first, centre, radius }];
    };
    // Along the relation's axis, `near` is the one with the smaller coordinate.
    let (near, far) = match relation {
        Relation::LeftOf | Relation::Above => (scene.first, second),
        Relation::RightOf | Relation::Below => (second, scene.first),
    };
    let radius = [draw_radius(near.size, rng), draw_radius(far.size, rng)];
    let between = radius[0] + radius[1] + 2.0 * MARGIN;
    // Two large objects are 4 steps apart, 2 from either border: every range below has a line of the grid. A pair
    // stands about the middle of the picture, so that where one object is tells much of its relation to the other.
    let middle = (0.5 - MIDDLE, 0.5 + MIDDLE);
    let (first, last) = (line_above(radius[0] + MARGIN), line_below(1.0 - radius[1] - MARGIN));
    let apart = on_grid(between, last - first, rng);
    let begin = 0.5 - apart / 2.0;
    let along = on_grid(first.max(begin - MIDDLE / 2.0), (last - apart).min(begin + MIDDLE / 2.0), rng);
    let across = on_grid(middle.0.max(radius[0] + MARGIN), middle.1, rng);
    let reach = apart / DOMINANCE;
    let low = (across - reach).max(middle.0);
    let high = (across + reach).min(middle.1);
    let other_across = on_grid(low, high, rng);
    let horizontal = matches!(relation, Relation::LeftOf | Relation::RightOf);
    let point = |along, across| if horizontal { [along, across] } else { [across, along] };
    vec![
        Placed { object: near, centre: point(along, across), radius: radius[0] },
        Placed { object: far, centre: point(along + apart, other_across), radius: radius[1] },
    ]
}

/// The outline of a shape with straight sides in a circle of radius 1 around the origin; none for round ones.
fn outline(shape: Shape) -> Vec<Point> {
    let on_circle = |turn: f32, radius: f32| [radius * (turn * TAU).sin(), -radius * (turn * TAU).cos()];
    match shape {
        Shape::Circle | Shape::Ring => Vec::new(),
        Shape::Square => (0..4).map(|i| on_circle(0.125 + i as f32 / 4.0, 1.1)).collect(),
        // Lowered a little, so that its middle is where its centre says.
        Shape::Triangle => {
            (0..3).map(|i| on_circle(i as f32 / 3.0, 1.15)).map(|[x, y]| [x, y + 0.2]).collect()
        }
        Shape::Star => {
            (0..10).map(|i| on_circle(i as f32 / 10.0, if i % 2 == 0 { 1.08 } else { 0.44 })).collect()
        }
        Shape::Cross => {
            let (arm, end) = (0.3, 1.0);
            let corner = [[-arm, -end], [arm, -end], [arm, -arm]];
            // A quarter turn takes (x, y) to (-y, x).
            let turned = |[x, y]: Point, quarters: usize| (0..quarters).fold([x, y], |[x, y], _| [-y, x]);
            (0..4).flat_map(|quarters| corner.map(|point| turned(point, quarters))).collect()
        }
    }
}

/// Signed distance from `p` to a polygon's outline: negative inside.
fn polygon_distance(outline: &[Point], p: Point) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let mut previous = match outline.last() {
        Some(last) => *last,
        None => return nearest,
    };
    for &corner in outline {
        let side = [corner[0] - previous[0], corner[1] - previous[1]];
        let from = [p[0] - previous[0], p[1] - previous[1]];
        let length = side[0] * side[0] + side[1] * side[1];
        let t = ((from[0] * side[0] + from[1] * side[1]) / length).clamp(0.0, 1.0);
        let gap = [from[0] - t * side[0], from[1] - t * side[1]];
        nearest = nearest.min(gap[0] * gap[0] + gap[1] * gap[1]);
        // A ray to the right crosses this side: inside and outside swap.
        if (previous[1] > p[1]) != (corner[1] > p[1]) && p[0] < previous[0] + side[0] * from[1] / side[1] {
            inside = !inside;
        }
        previous = corner;
    }
    nearest.sqrt() * if inside { -1.0 } else { 1.0 }
}

/// Signed distance from `p` to the edge of `shape` in the unit circle: negative inside.
fn shape_distance(shape: Shape, outline: &[Point], p: Point) -> f32 {
    let from_centre = (p[0] * p[0] + p[1] * p[1]).sqrt();
    match shape {
        Shape::Circle => from_centre - 1.0,
        Shape::Ring => (from_centre - 0.78).abs() - 0.22,
        _ => polygon_distance(outline, p),
    }
}

/// A plain dark background of any tint.
fn paint_background(side: usize, rng: &mut Rng) -> Vec<[f32; 3]> {
    let grey: f32 = rng.random_range(25.0..55.0);
    let tint: [f32; 3] = std::array::from_fn(|_| rng.random_range(-10.0..10.0));
    vec![tint.map(|part| grey + part); side * side]
}

/// Lights the picture: brighter above than below, warmer on the right than on the left, more or less so. As in a
/// photograph, the light tells where in the picture something is.
fn light(picture: &mut [[f32; 3]], side: usize, rng: &mut Rng) {
    let (bright, warm): (f32, f32) = (rng.random_range(24.0..44.0), rng.random_range(24.0..44.0));
    let scale = 1.0 / side as f32;
    for (at, [red, green, blue]) in picture.iter_mut().enumerate() {
        let x = (at % side) as f32 * scale - 0.5;
        let y = (at / side) as f32 * scale - 0.5;
        *red += warm * x - bright * y;
        *green -= bright * y;
        *blue -= warm * x + bright * y;
    }
}

fn paint_object(picture: &mut [[f32; 3]], side: usize, placed: Placed, rng: &mut Rng) {
    let colour = colour_rgb(placed.object.colour).map(|part| part + rng.random_range(-10.0..10.0));
    let outline = outline(placed.object.shape);
    let pixels = side as f32;
    let radius = placed.radius * pixels;
    let centre = placed.centre.map(|c| c * pixels);
    // Corners may reach a little beyond the circle.
    let reach = radius * 1.2 + 1.0;
    let range = |c: f32| {
        let low = (c - reach).floor().max(0.0) as usize;
        let high = (c + reach).ceil().clamp(0.0, pixels) as usize;
        low..high
    };
    for y in range(centre[1]) {
        for x in range(centre[0]) {
            let p = [(x as f32 + 0.5 - centre[0]) / radius, (y as f32 + 0.5 - centre[1]) / radius];
            let distance = shape_distance(placed.object.shape, &outline, p) * radius;
            let cover = (0.5 - distance).clamp(0.0, 1.0);
            if cover > 0.0
                && let Some(pixel) = picture.get_mut(y * side + x)
            {
                for (part, paint) in pixel.iter_mut().zip(colour) {
                    *part += cover * (paint - *part);
                }
            }
        }
    }
}

/// Draws `scene` as an RGB picture of `side` x `side` pixels, row by row, three bytes a pixel.
pub fn paint(scene: &Scene, side: usize, rng: &mut Rng) -> Vec<u8> {
    let placed = place(scene, rng);
    let mut picture = paint_background(side, rng);
    for object in placed {
        paint_object(&mut picture, side, object, rng);
    }
    light(&mut picture, side, rng);
    let noise: f32 = rng.random_range(0.5..5.0);
    let mut bytes = Vec::with_capacity(picture.len() * 3);
    for pixel in picture {
        let grain = noise * rng.random_range(-1.0f32..1.0);
        bytes.extend(pixel.map(|part| (part + grain).round().clamp(0.0, 255.0) as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::scene::draw_scene;
    use super::*;
    use crate::random::{Purpose, stream};
    use std::f32::consts::PI;

    #[test]
    fn places_keep_the_relation_clear_and_the_objects_apart_and_inside() {
        for index in 0..3000 {
            let mut rng = stream(5, Purpose::Demo, 1, index);
            let scene = draw_scene(true, &mut rng);
            let placed = place(&scene, &mut rng);
            for p in &placed {
                for c in p.centre {
                    assert!(c - p.radius >= MARGIN - 1e-5 && c + p.radius <= 1.0 - MARGIN + 1e-5, "{p:?}");
                }
            }
            let [one, other] = placed[..] else { continue };
            let (dx, dy) = (other.centre[0] - one.centre[0], other.centre[1] - one.centre[1]);
            let told = scene.second.unwrap().0;
            let horizontal = matches!(told, Relation::LeftOf | Relation::RightOf);
            let (long, short) = if horizontal { (dx, dy) } else { (dy, dx) };
            assert!(long >= DOMINANCE * short.abs() - 1e-5, "{placed:?}");
            assert!(long > one.radius + other.radius, "{placed:?}");
            let near = if matches!(told, Relation::LeftOf | Relation::Above) {
                scene.first
            } else {
                scene.second.unwrap().1
            };
            assert_eq!(one.object, near);
        }
    }

    /// The share of the enclosing circle's area that each shape covers tells them apart at a glance.
    #[test]
    fn shapes_have_their_areas() {
        let area = |shape: Shape| {
            let outline = outline(shape);
            let n = 400;
            let inside = (0..n * n)
                .filter(|at| {
                    let p = [(at % n) as f32, (at / n) as f32].map(|c| (c + 0.5) / n as f32 * 3.0 - 1.5);
                    shape_distance(shape, &outline, p) < 0.0
                })
                .count();
            inside as f32 * 9.0 / (n * n) as f32
        };
        let close = |got: f32, want: f32| assert!((got - want).abs() < 0.03, "{got} is not {want}");
        close(area(Shape::Circle), PI);
        close(area(Shape::Square), 2.0 * 1.1 * 1.1);
        close(area(Shape::Triangle), 3.0 * 3f32.sqrt() / 4.0 * 1.15 * 1.15);
        close(area(Shape::Star), 10.0 * 0.5 * 1.08 * 0.44 * (PI / 5.0).sin());
        close(area(Shape::Cross), 4.0 * 0.6 - 0.6 * 0.6);
        close(area(Shape::Ring), PI * (1.0 - 0.56 * 0.56));
    }

    #[test]
    fn a_picture_shows_its_colour_in_its_place() {
        let object = Object { size: Size::Large, colour: Colour::Blue, shape: Shape::Square };
        let scene = Scene { first: object, second: None };
        let mut rng = stream(3, Purpose::Demo, 1, 4);
        let centre = place(&scene, &mut rng.clone())[0].centre;
        let picture = paint(&scene, 48, &mut rng);
        assert_eq!(picture.len(), 48 * 48 * 3);
        let at = ((centre[1] * 48.0) as usize * 48 + (centre[0] * 48.0) as usize) * 3;
        for (got, want) in picture[at..at + 3].iter().zip(colour_rgb(Colour::Blue)) {
            assert!((f32::from(*got) - want).abs() < 40.0, "{:?}", &picture[at..at + 3]);
        }
    }
}
