//! Huffman tables and the bits that they read.

/// Bits that the quick tables look at.
const QUICK: u32 = 10;
const QUICK_SIZE: usize = 1 << QUICK;

/// A code, found by its first bits.
#[derive(Debug, Clone, Copy, Default)]
struct Quick {
    /// Bits of the code; 0: it is longer than [`QUICK`].
    length: u8,
    /// Bits of the code and of the number behind it.
    all: u8,
    symbol: u8,
}

/// A Huffman table, ready to decode.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// For every beginning of ten bits.
    quick: Box<[Quick; QUICK_SIZE]>,
    /// One more than the largest code of each length, moved up to 16 bits.
    ends: [u32; 18],
    /// What to add to a code of each length for its place among the symbols.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// A table of `counts[n - 1]` codes of length n, with their symbols; none when the codes don't fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            quick: Box::new([Quick::default(); QUICK_SIZE]),
            ends: [0; 18],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = usize::from(counts[length as usize - 1]);
            table.offsets[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                let symbol = *symbols.get(place)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= QUICK {
                    let first = (code << (QUICK - length)) as usize;
                    let entry = Quick { length: length as u8, all: length as u8 + (symbol & 15), symbol };
                    table.quick.get_mut(first..first + (1 << (QUICK - length)))?.fill(entry);
                }
                code += 1;
                place += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        table.ends[17] = u32::MAX;
        Some(table)
    }

    /// The code of more than [`QUICK`] bits that stands highest: its length and symbol, 0 for one that isn't in the table.
    #[cold]
    #[inline(never)]
    fn long_symbol(&self, held: u64) -> (u32, u8) {
        let code = (held >> 48) as u32;
        let length = (1..=17).find(|length| code < self.ends[*length]).unwrap_or(17);
        if length > 16 {
            return (16, 0);
        }
        let place = (code >> (16 - length)) as i32 + self.offsets[length];
        let symbol = usize::try_from(place).ok().and_then(|place| self.symbols.get(place)).copied();
        (length as u32, symbol.unwrap_or(0))
    }
}

/// Bits that a table of pairs looks at.
const PAIR: u32 = 10;
const PAIR_SIZE: usize = 1 << PAIR;
/// More than the places of a block: how far the end of a block brings on.
const END: u8 = 64;

/// Up to two AC numbers that begin with these bits.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// Bits of both; 0: the first code is longer than [`PAIR`].
    bits: u8,
    /// Of the first one: bits of its code, and of the number itself, which may reach beyond the table's bits.
    code: u8,
    size: u8,
    /// Where they stand, from the next place of the block on.
    places: [u8; 2],
    /// Places to go on by.
    step: u8,
    /// The second number, 0 where it isn't whole.
    second: i16,
}

/// The AC numbers of a table two at a time, for sequential scans: most of the time of a decoding is the waiting of each
/// number for the length of the one before it.
#[derive(Debug)]
pub(super) struct Pairs(Box<[Pair; PAIR_SIZE]>);

impl Pairs {
    pub(super) fn new(table: &Huffman) -> Self {
        let mut pairs = Box::new([Pair::default(); PAIR_SIZE]);
        let mut values = [0i16; PAIR_SIZE];
        for (at, (pair, value)) in pairs.iter_mut().zip(&mut values).enumerate() {
            let Quick { length, all, symbol } = table.quick[at >> (PAIR - QUICK)];
            let (run, size) = (symbol >> 4, symbol & 15);
            if length == 0 {
                continue;
            }
            let step = match (size, run) {
                (0, 15) => 16,
                (0, _) => END,
                _ => run + 1,
            };
            *pair = Pair { bits: all, code: length, size, places: [run, step.min(16)], step, second: 0 };
            if u32::from(all) <= PAIR {
                let bits = (at as u32 >> (PAIR - u32::from(all))) & ((1 << size) - 1);
                *value = extend(bits as i32, u32::from(size)) as i16;
            }
        }
        let single = pairs.clone();
        for (at, pair) in pairs.iter_mut().enumerate() {
            if pair.bits == 0 || u32::from(pair.bits) >= PAIR || pair.step == END {
                continue;
            }
            let next = (at << pair.bits) % PAIR_SIZE;
            let second = single[next];
            if second.bits > 0 && u32::from(pair.bits + second.bits) <= PAIR {
                pair.bits += second.bits;
                pair.places[1] = pair.step + second.places[0];
                pair.second = values[next];
                pair.step += second.step;
            }
        }
        Self(pairs)
    }
}

/// A number of `size` bits as JPEG writes it: a first bit of 0 says that it is negative.
#[inline(always)]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let low = (bits >> (size - 1)) & 1;
    bits.wrapping_add((low - 1) & (1i32.wrapping_sub(1 << size)))
}

/// The bits of a scan, up to its next marker; zeros after it.
///
/// It is copied where many bits are read in a row, so that they stay in registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to take.
    at: usize,
    /// Bits taken, the next one highest. Below the `count` that are there stands the beginning of the next byte, or nothing.
    held: u64,
    count: u32,
    /// Zeros that were held behind the end.
    beyond: u32,
    /// A marker or the end was met.
    ended: bool,
    /// The bytes ended without a marker.
    cut: bool,
    /// Nothing more is to be read, whatever there is.
    stopped: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, beyond: 0, ended: false, cut: false, stopped: false }
    }

    /// Where the next marker is, or a place before it.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Whether more bits were asked for than there were.
    #[inline(always)]
    pub(super) fn is_dry(&self) -> bool {
        self.count < self.beyond || self.stopped
    }

    /// Whether the bytes ended without a marker.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes what follows as not there.
    pub(super) fn stop(&mut self, cut: bool) {
        self.stopped = true;
        self.cut |= cut;
    }

    /// Holds at least 32 bits from here on.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(*eight);
            // A byte of 0xff may be a marker or stuffed: the slow way looks at it.
            let inverted = !word;
            let has_ff = inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080;
            if has_ff == 0 {
                // The bits beyond the count are or-ed once more when their byte is taken: they are the same.
                self.held |= word >> self.count;
                self.at = self.at.wrapping_add(((63 - self.count) >> 3) as usize);
                self.count |= 56;
                return;
            }
        }
        *self = self.filled_slowly();
    }

    #[cold]
    #[inline(never)]
    fn filled_slowly(mut self) -> Self {
        while self.count <= 48 {
            let byte = if self.ended { None } else { self.next_byte() };
            if let Some(byte) = byte {
                self.held |= u64::from(byte) << (56 - self.count);
            } else {
                self.beyond += 8;
            }
            self.count += 8;
        }
        self
    }

    fn next_byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        let mut next = self.at + 1;
        if byte == Some(0xff) {
            // Any number of fill bytes may come before a marker.
            while self.bytes.get(next) == Some(&0xff) {
                next += 1;
            }
            if self.bytes.get(next) != Some(&0) {
                self.ended = true;
                self.cut = self.bytes.get(next).is_none();
                return None;
            }
            next += 1;
        }
        self.ended = byte.is_none();
        self.cut = self.ended;
        self.at = if self.ended { self.at } else { next };
        byte
    }

    #[inline(always)]
    fn drop_bits(&mut self, count: u32) {
        self.held <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// The next `count` bits, at most 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        self.fill();
        let bits = (self.held >> (64 - count)) as i32;
        self.drop_bits(count);
        bits
    }

    /// The next symbol; 0 for a code that isn't in the table.
    #[inline(always)]
    pub(super) fn symbol(&mut self, table: &Huffman) -> u8 {
        self.fill();
        let quick = table.quick[(self.held >> (64 - QUICK)) as usize % QUICK_SIZE];
        if quick.length > 0 {
            self.drop_bits(u32::from(quick.length));
            return quick.symbol;
        }
        let (length, symbol) = table.long_symbol(self.held);
        self.drop_bits(length);
        symbol
    }

    /// The next AC numbers of a block that is at place `k`, one or two of them, given to `put` with their places, and
    /// the next place. None, and nothing was read, where the table doesn't hold them.
    #[inline(always)]
    pub(super) fn pair(&mut self, table: &Pairs, k: u32, mut put: impl FnMut(u32, i32)) -> Option<u32> {
        self.fill();
        let pair = table.0[(self.held >> (64 - PAIR)) as usize % PAIR_SIZE];
        let first = number_behind(self.held, pair.code, pair.size);
        self.drop_bits(u32::from(pair.bits & 63));
        if pair.bits == 0 {
            return None;
        }
        // A number of 0 stands where there is 0 still.
        put(k.wrapping_add(u32::from(pair.places[0])), first);
        put(k.wrapping_add(u32::from(pair.places[1])), i32::from(pair.second));
        Some(k.wrapping_add(u32::from(pair.step)))
    }

    /// The next AC number: how many zeros come before it, and itself. A number of 0 is the end of the block, or with
    /// a run of 15 sixteen zeros.
    #[inline(always)]
    pub(super) fn number(&mut self, table: &Huffman) -> (u32, i32) {
        self.fill();
        let mut quick = table.quick[(self.held >> (64 - QUICK)) as usize % QUICK_SIZE];
        if quick.length == 0 {
            let (length, symbol) = table.long_symbol(self.held);
            quick = Quick { length: length as u8, all: length as u8 + (symbol & 15), symbol };
        }
        let value = number_behind(self.held, quick.length, quick.symbol & 15);
        self.drop_bits(u32::from(quick.all & 63));
        (u32::from(quick.symbol >> 4), value)
    }
}

/// The number of `size` bits (at most 15) behind a code, of the bits that are held; 0 of no bits.
#[inline(always)]
fn number_behind(held: u64, code: u8, size: u8) -> i32 {
    let (rest, size) = (held << (code & 63), u32::from(size & 15));
    let value = (rest >> 1 >> (63 - size)) as i32;
    // A first bit of 0 says that it is negative, as in `extend`.
    let negative = !((rest as i64) >> 63) as i32;
    value.wrapping_sub(negative & ((1 << size) - 1))
}
