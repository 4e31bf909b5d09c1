//! Scans: from bits to the numbers of blocks, sequential (baseline) and progressive.

use super::frame::Frame;
use super::huffman::{Bits, Huffman, Pairs, extend};
use super::idct::{GROUP, LANES};

/// Where number i in zigzag order stands in a block; the places behind them are for damaged runs.
const ZIGZAG: [u8; 128] = {
    let mut all = [63; 128];
    let mut i = 0;
    while i < 64 {
        all[i] = ORDER[i];
        i += 1;
    }
    all
};
const ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The place in a block of number i in zigzag order.
pub(super) fn natural(i: usize) -> usize {
    usize::from(ZIGZAG[i.min(127)])
}

/// What a scan codes.
#[derive(Debug)]
pub(super) struct Scan {
    /// Its components: place in the frame, number of the DC table, of the AC table.
    pub parts: Vec<(usize, usize, usize)>,
    /// First and last number in zigzag order (progressive).
    pub band: (usize, usize),
    /// The bit above the one that this scan refines, 0 in a first scan (progressive).
    pub high: u32,
    /// The lowest bit that it codes (progressive).
    pub low: u32,
    /// MCUs between restart markers, or 0.
    pub restart: usize,
}

/// The tables of a picture.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
}

/// What is carried from block to block.
struct State<'a> {
    bits: Bits<'a>,
    previous: [i32; 4],
    /// Blocks to come that have nothing more in this band.
    empty: u32,
}

/// The block's numbers within its group.
struct Block<'a> {
    group: &'a mut [i16; GROUP],
    lane: usize,
}

impl Block<'_> {
    #[inline(always)]
    fn at(&mut self, zigzag: usize) -> &mut i16 {
        &mut self.group[(usize::from(ZIGZAG[zigzag % 128]) * LANES + self.lane) % GROUP]
    }
}

/// Decodes a scan that begins at `at`; after each row of MCUs calls `row_done` with the frame and the number of the
/// row. Gives the place where it ends.
///
/// Damaged codes become zeros, as in libjpeg.
///
/// # Errors
/// When a table is missing, or the bytes end within the scan.
pub(super) fn decode(
    bytes: &[u8],
    at: usize,
    scan: &Scan,
    tables: &Tables,
    frame: &mut Frame,
    mut row_done: impl FnMut(&mut Frame, usize),
) -> Result<usize, String> {
    let mut parts = Vec::with_capacity(scan.parts.len());
    let mut pairs = [const { None::<Pairs> }; 4];
    let kind = Kind::of(scan, frame.progressive);
    for (part, dc, ac) in &scan.parts {
        let dc = tables.dc.get(*dc).and_then(Option::as_ref);
        let ac_table = tables.ac.get(*ac).and_then(Option::as_ref);
        if kind.needs_dc() && dc.is_none() || kind.needs_ac() && ac_table.is_none() {
            return Err("a scan has no Huffman table".into());
        }
        if let (Kind::Sequential, Some(pairs @ None), Some(table)) = (kind, pairs.get_mut(*ac), ac_table) {
            *pairs = Some(Pairs::new(table));
        }
        parts.push((*part, dc, ac_table, *ac));
    }
    let single = scan.parts.len() == 1;
    let (across, down) = match scan.parts.first().and_then(|(part, ..)| frame.parts.get(*part)) {
        Some(part) if single => (part.blocks_across, part.blocks_down),
        _ => (frame.mcus_across, frame.mcus_down),
    };
    let mut state = State { bits: Bits::new(bytes, at), previous: [0; 4], empty: 0 };
    let (mut left, mut restarts) = (scan.restart, 0u8);
    for row in 0..down {
        for column in 0..across {
            if scan.restart > 0 {
                if left == 0 {
                    restart(&mut state, bytes, restarts);
                    restarts = (restarts + 1) % 8;
                    left = scan.restart;
                }
                left -= 1;
            }
            // After the end of the data, blocks stay as they are up to the next restart.
            if state.bits.is_dry() {
                if state.bits.is_cut() {
                    return Err("the file is cut short".into());
                }
                continue;
            }
            for (slot, (number, dc, ac, place)) in parts.iter().enumerate() {
                let pairs = pairs.get(*place).and_then(Option::as_ref);
                let Some(part) = frame.parts.get_mut(*number) else { continue };
                let (wide, high) = if single { (1, 1) } else { (part.h, part.v) };
                for y in 0..high {
                    for x in 0..wide {
                        let (bx, by) = (column * wide + x, (row * high + y) % part.rows_kept.max(1));
                        let from = (by * part.groups + bx / LANES) * GROUP;
                        let Some(group) = part
                            .coded
                            .get_mut(from..from + GROUP)
                            .and_then(|g| g.as_chunks_mut().0.first_mut())
                        else {
                            continue;
                        };
                        let mut block = Block { group, lane: bx % LANES };
                        match (kind, dc, ac) {
                            (Kind::Sequential, Some(dc), Some(ac)) => {
                                sequential(&mut state, slot, dc, (ac, pairs), &mut block);
                            }
                            (Kind::DcFirst, Some(dc), _) => {
                                dc_first(&mut state, slot, dc, scan.low, &mut block)
                            }
                            (Kind::DcMore, ..) => {
                                let bit = i32::from(state.bits.take(1) != 0);
                                *block.at(0) |= (bit << scan.low) as i16;
                            }
                            (Kind::AcFirst, _, Some(ac)) => ac_first(&mut state, ac, scan, &mut block),
                            (Kind::AcMore, _, Some(ac)) => ac_more(&mut state, ac, scan, &mut block),
                            _ => {}
                        }
                    }
                }
            }
        }
        row_done(frame, row);
    }
    if state.bits.is_dry() && state.bits.is_cut() {
        return Err("the file is cut short".into());
    }
    Ok(state.bits.place())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sequential,
    DcFirst,
    DcMore,
    AcFirst,
    AcMore,
}

impl Kind {
    fn of(scan: &Scan, progressive: bool) -> Self {
        match (progressive, scan.band.0, scan.high) {
            (false, ..) => Self::Sequential,
            (true, 0, 0) => Self::DcFirst,
            (true, 0, _) => Self::DcMore,
            (true, _, 0) => Self::AcFirst,
            (true, ..) => Self::AcMore,
        }
    }

    fn needs_dc(self) -> bool {
        matches!(self, Self::Sequential | Self::DcFirst)
    }

    fn needs_ac(self) -> bool {
        matches!(self, Self::Sequential | Self::AcFirst | Self::AcMore)
    }
}

/// Goes on after the restart marker of `number`; where another marker stands, the rest stays without data.
fn restart<'a>(state: &mut State<'a>, bytes: &'a [u8], number: u8) {
    let mut at = state.bits.place();
    while let Some(rest) = bytes.get(at..) {
        match rest {
            [0xff, 0x00 | 0xff, ..] => at += 1,
            [0xff, marker, ..] if *marker == 0xd0 + number => {
                state.bits = Bits::new(bytes, at + 2);
                break;
            }
            [0xff, _, ..] | [] | [_] => {
                state.bits.stop(rest.len() < 2);
                break;
            }
            _ => at += 1,
        }
    }
    state.previous = [0; 4];
    state.empty = 0;
}

#[inline(always)]
fn next_dc(state: &mut State<'_>, slot: usize, dc: &Huffman) -> i32 {
    let size = u32::from(state.bits.symbol(dc)).min(16);
    let change = extend(state.bits.take(size), size);
    let previous = &mut state.previous[slot % 4];
    *previous = previous.wrapping_add(change);
    *previous
}

#[inline(always)]
fn sequential(
    state: &mut State<'_>,
    slot: usize,
    dc: &Huffman,
    (ac, pairs): (&Huffman, Option<&Pairs>),
    block: &mut Block<'_>,
) {
    *block.at(0) = next_dc(state, slot, dc) as i16;
    let mut bits = state.bits;
    let mut k = 1u32;
    while k < 64 {
        // Behind place 47 one number alone may fill the block, and what follows it is the next block's.
        if k < 48
            && let Some(pairs) = pairs
            && let Some(next) = bits.pair(pairs, k, |k, value| *block.at(k as usize) = value as i16)
        {
            k = next;
            continue;
        }
        let (run, value) = bits.number(ac);
        if value == 0 {
            if run != 15 {
                break;
            }
            k = k.wrapping_add(16);
            continue;
        }
        k = k.wrapping_add(run);
        *block.at(k as usize) = value as i16;
        k = k.wrapping_add(1);
    }
    state.bits = bits;
}

fn dc_first(state: &mut State<'_>, slot: usize, dc: &Huffman, low: u32, block: &mut Block<'_>) {
    let value = next_dc(state, slot, dc);
    *block.at(0) = value.wrapping_shl(low) as i16;
}

/// How many blocks from this one on have ended, after a code of `run`.
fn ended(bits: &mut Bits<'_>, run: u32) -> u32 {
    (1u32 << run).wrapping_add(bits.take(run) as u32)
}

fn ac_first(state: &mut State<'_>, ac: &Huffman, scan: &Scan, block: &mut Block<'_>) {
    if state.empty > 0 {
        state.empty -= 1;
        return;
    }
    let mut k = scan.band.0;
    while k <= scan.band.1 {
        let (run, value) = state.bits.number(ac);
        if value == 0 {
            if run != 15 {
                state.empty = ended(&mut state.bits, run) - 1;
                return;
            }
            k += 16;
            continue;
        }
        k += run as usize;
        *block.at(k) = value.wrapping_shl(scan.low) as i16;
        k += 1;
    }
}

fn ac_more(state: &mut State<'_>, ac: &Huffman, scan: &Scan, block: &mut Block<'_>) {
    let one = (1i32 << scan.low) as i16;
    let refine = |number: &mut i16, bits: &mut Bits<'_>| {
        // One bit more of a number that was known already.
        if bits.take(1) != 0 && *number & one == 0 {
            *number = number.wrapping_add(if *number >= 0 { one } else { one.wrapping_neg() });
        }
    };
    let mut k = scan.band.0;
    if state.empty == 0 {
        while k <= scan.band.1 {
            let symbol = u32::from(state.bits.symbol(ac));
            let (mut run, size) = (symbol >> 4, symbol & 15);
            let mut new = 0;
            if size == 0 {
                if run != 15 {
                    state.empty = ended(&mut state.bits, run);
                    break;
                }
            } else {
                new = if state.bits.take(1) != 0 { one } else { one.wrapping_neg() };
            }
            while k <= scan.band.1 {
                let number = block.at(k);
                if *number != 0 {
                    refine(number, &mut state.bits);
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if new != 0 && k <= scan.band.1 {
                *block.at(k) = new;
            }
            k += 1;
        }
    }
    if state.empty > 0 {
        while k <= scan.band.1 {
            let number = block.at(k);
            if *number != 0 {
                refine(number, &mut state.bits);
            }
            k += 1;
        }
        state.empty -= 1;
    }
}
