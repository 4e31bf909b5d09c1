//! The inverse transform: libjpeg's accurate integer one ("islow", after Loeffler, Ligtenberg and Moschytz).
//!
//! Numbers that no encoder makes (means far out of the range) show that libjpeg-turbo computes with 16 bits on x86-64:
//! products with the steps and some sums wrap around, and what the first pass makes is held to its bounds. So here.
//!
//! Eight blocks are transformed at once, one in each lane: their numbers lie together, so that the compiler makes
//! vector code of plain loops.

use multiversion::multiversion;

use crate::picture::turn::turn;

/// Blocks that are transformed together.
pub(super) const LANES: usize = 8;
/// Numbers of a group of blocks: 64 of each.
pub(super) const GROUP: usize = 64 * LANES;

type Vector = [i32; LANES];

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;
// The constants of the transform, times 2^13.
const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

#[inline(always)]
fn each(f: impl Fn(usize) -> i32) -> Vector {
    let mut out = [0; LANES];
    for (lane, value) in out.iter_mut().enumerate() {
        *value = f(lane);
    }
    out
}

#[inline(always)]
fn add(a: Vector, b: Vector) -> Vector {
    each(|lane| a[lane].wrapping_add(b[lane]))
}

#[inline(always)]
fn sub(a: Vector, b: Vector) -> Vector {
    each(|lane| a[lane].wrapping_sub(b[lane]))
}

/// A sum as libjpeg-turbo keeps it: of 16 bits.
#[inline(always)]
fn short(v: Vector) -> Vector {
    each(|lane| i32::from(v[lane] as i16))
}

#[inline(always)]
fn times(a: Vector, factor: i32) -> Vector {
    each(|lane| a[lane].wrapping_mul(factor))
}

/// One dimension of the transform, its result divided by 2^`SHIFT` and rounded.
#[inline(always)]
fn transform<const SHIFT: u32>(x: [Vector; 8]) -> [Vector; 8] {
    let z1 = times(add(x[2], x[6]), F_0_541);
    let even2 = sub(z1, times(x[6], F_1_847));
    let even3 = add(z1, times(x[2], F_0_765));
    let (plus, minus) = (short(add(x[0], x[4])), short(sub(x[0], x[4])));
    let (even0, even1) = (each(|lane| plus[lane] << CONST_BITS), each(|lane| minus[lane] << CONST_BITS));
    let (sum0, sum3) = (add(even0, even3), sub(even0, even3));
    let (sum1, sum2) = (add(even1, even2), sub(even1, even2));

    let z3 = short(add(x[7], x[3]));
    let z4 = short(add(x[5], x[1]));
    let z5 = times(add(z3, z4), F_1_175);
    let z1 = times(add(x[7], x[1]), -F_0_899);
    let z2 = times(add(x[5], x[3]), -F_2_562);
    let z3 = add(times(z3, -F_1_961), z5);
    let z4 = add(times(z4, -F_0_390), z5);
    let odd0 = add(add(times(x[7], F_0_298), z1), z3);
    let odd1 = add(add(times(x[5], F_2_053), z2), z4);
    let odd2 = add(add(times(x[3], F_3_072), z2), z3);
    let odd3 = add(add(times(x[1], F_1_501), z1), z4);

    let down = |v: Vector| each(|lane| v[lane].wrapping_add(1 << (SHIFT - 1)) >> SHIFT);
    [
        down(add(sum0, odd3)),
        down(add(sum1, odd2)),
        down(add(sum2, odd1)),
        down(add(sum3, odd0)),
        down(sub(sum3, odd0)),
        down(sub(sum2, odd1)),
        down(sub(sum1, odd2)),
        down(sub(sum0, odd3)),
    ]
}

/// Whether all of them are 0.
#[inline(always)]
fn is_zero(numbers: &[i16]) -> bool {
    numbers.iter().fold(0, |all, number| all | number) == 0
}

/// Four numbers, and zeros that the compiler takes out of the sums.
#[inline(always)]
fn half([a, b, c, d]: [Vector; 4]) -> [Vector; 8] {
    const NONE: Vector = [0; LANES];
    [a, b, c, d, NONE, NONE, NONE, NONE]
}

/// A row of groups of blocks, as they were coded, to eight rows of samples.
///
/// Of a group, number k of block b stands at k * 8 + b, where k counts rows of the block. `plane` has at least eight
/// rows of `stride` samples, 64 of them for each group.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn blocks(coded: &[i16], steps: &[u16; 64], plane: &mut [u8], stride: usize) {
    for (number, group) in coded.as_chunks::<GROUP>().0.iter().enumerate() {
        let mut between = [[[0i32; LANES]; 8]; 8];
        // Whether numbers of the first row leave the range that two bits more fit into.
        let mut far = [0i32; LANES];
        // Most blocks have nothing in their lower or right half: of those half the work is none.
        let (upper, lower) = group.split_at(GROUP / 2);
        let low = is_zero(lower);
        let left = upper
            .chunks_exact(8 * LANES)
            .chain(lower.chunks_exact(8 * LANES))
            .all(|row| is_zero(&row[4 * LANES..]));
        // Columns of what was coded become columns of what lies between: no iterator goes down a column.
        #[allow(clippy::needless_range_loop)]
        for column in 0..if left { 4 } else { 8 } {
            let number = |row: usize| {
                let k = row * 8 + column;
                let step = steps[k] as i16;
                each(|lane| i32::from(group[k * LANES + lane].wrapping_mul(step)))
            };
            let top = [number(0), number(1), number(2), number(3)];
            far = each(|lane| far[lane] | i32::from(!(-0x2000..0x2000).contains(&top[0][lane])));
            let done = if low {
                transform::<{ CONST_BITS - PASS1_BITS }>(half(top))
            } else {
                let [a, b, c, d] = top;
                let whole = [a, b, c, d, number(4), number(5), number(6), number(7)];
                transform::<{ CONST_BITS - PASS1_BITS }>(whole)
            };
            for row in 0..8 {
                between[row][column] =
                    each(|lane| done[row][lane].clamp(i32::from(i16::MIN), i32::from(i16::MAX)));
            }
        }
        if far.iter().any(|far| *far != 0) {
            wrap_plain(group, steps, &mut between);
        }
        for (row, input) in between.iter().enumerate() {
            let done = if left {
                let [a, b, c, d, ..] = *input;
                transform::<{ CONST_BITS + PASS1_BITS + 3 }>(half([a, b, c, d]))
            } else {
                transform::<{ CONST_BITS + PASS1_BITS + 3 }>(*input)
            };
            let mut samples = [[0u8; LANES]; 8];
            for (samples, values) in samples.iter_mut().zip(&done) {
                for (sample, value) in samples.iter_mut().zip(values) {
                    *sample = value.wrapping_add(128).clamp(0, 255) as u8;
                }
            }
            let from = row * stride + number * 64;
            if let Some(out) =
                plane.get_mut(from..from + 64).and_then(|out| out.as_chunks_mut::<64>().0.first_mut())
            {
                *out = turned(&samples);
            }
        }
    }
}

/// A block whose first row alone is not zero is not transformed by columns: its numbers are moved up, and wrap around.
#[cold]
#[inline(never)]
fn wrap_plain(group: &[i16; GROUP], steps: &[u16; 64], between: &mut [[Vector; 8]; 8]) {
    for lane in 0..LANES {
        if group[8 * LANES..].iter().skip(lane).step_by(LANES).any(|number| *number != 0) {
            continue;
        }
        for column in 0..8 {
            let value = group[column * LANES + lane].wrapping_mul(steps[column] as i16) << PASS1_BITS;
            for row in between.iter_mut() {
                row[column][lane] = i32::from(value);
            }
        }
    }
}

/// Columns of blocks to the samples of a row, block by block.
#[inline(always)]
fn turned(columns: &[[u8; LANES]; 8]) -> [u8; 64] {
    let mut out = [0; 64];
    let words = turn(columns.map(u64::from_le_bytes));
    for (out, word) in out.chunks_exact_mut(8).zip(words) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    out
}
