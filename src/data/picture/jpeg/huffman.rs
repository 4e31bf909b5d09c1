//! Huffman tables and the bits that they read.

/// Bits that the quick tables look at.
const QUICK: u32 = 10;
const QUICK_SIZE: usize = 1 << QUICK;

/// A Huffman table, ready to decode.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// For every beginning of ten bits: the code's length in the high byte (0: longer than that), its symbol below.
    quick: Box<[u16; QUICK_SIZE]>,
    /// For every beginning of ten bits that holds a code and its number too: the number (16 bits), the run of zeros
    /// (8 bits) and how many bits all that is (8 bits, 0: it doesn't fit).
    whole: Box<[i32; QUICK_SIZE]>,
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
            quick: Box::new([0; QUICK_SIZE]),
            whole: Box::new([0; QUICK_SIZE]),
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
                    let entry = (length as u16) << 8 | u16::from(symbol);
                    table.quick.get_mut(first..first + (1 << (QUICK - length)))?.fill(entry);
                }
                code += 1;
                place += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        table.ends[17] = u32::MAX;
        for (at, whole) in table.whole.iter_mut().enumerate() {
            let (length, symbol) = (u32::from(table.quick[at] >> 8), table.quick[at] & 0xff);
            let (run, size) = (i32::from(symbol >> 4), u32::from(symbol & 15));
            if length > 0 && size > 0 && length + size <= QUICK {
                let bits = (at as u32 >> (QUICK - length - size)) & ((1 << size) - 1);
                *whole = extend(bits as i32, size) << 16 | run << 8 | (length + size) as i32;
            }
        }
        Some(table)
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

/// The bits of a scan, up to its next marker.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to take.
    at: usize,
    /// Bits taken, the next one highest; below them zeros.
    held: u64,
    count: u32,
    /// A marker or the end was met: zeros follow.
    ended: bool,
    /// More bits were asked for than there were.
    pub dry: bool,
    /// The bytes ended without a marker.
    pub cut: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, ended: false, dry: false, cut: false }
    }

    /// Where the next marker is, or a place before it.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Holds at least 32 bits from here on, zeros after the end.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(eight) = self.bytes.get(self.at..self.at.wrapping_add(8))
            && let Ok(eight) = <[u8; 8]>::try_from(eight)
        {
            let word = u64::from_be_bytes(eight);
            // A byte of 0xff may be a marker or stuffed: the slow way looks at it.
            let inverted = !word;
            let has_ff = inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080;
            if has_ff == 0 {
                self.held |= word >> self.count;
                let taken = (63 - self.count) >> 3;
                self.at = self.at.wrapping_add(taken as usize);
                self.count += taken << 3;
                // The bits beyond the count would be or-ed twice.
                self.held &= !0u64 << (64 - self.count);
                return;
            }
        }
        self.fill_slowly();
    }

    #[cold]
    #[inline(never)]
    fn fill_slowly(&mut self) {
        while self.count <= 48 {
            let byte = if self.ended { None } else { self.bytes.get(self.at).copied() };
            let Some(byte) = byte else {
                self.cut |= !self.ended;
                self.ended = true;
                return;
            };
            if byte == 0xff {
                // Any number of fill bytes may come before a marker.
                let mut next = self.at + 1;
                while self.bytes.get(next) == Some(&0xff) {
                    next += 1;
                }
                match self.bytes.get(next) {
                    Some(0) => self.at = next,
                    Some(_) => {
                        self.ended = true;
                        return;
                    }
                    None => {
                        self.ended = true;
                        self.cut = true;
                        return;
                    }
                }
            }
            self.at += 1;
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline(always)]
    fn drop_bits(&mut self, count: u32) {
        if count > self.count {
            // Zeros stand in for what is missing.
            self.dry = true;
            self.count = 0;
            self.held = 0;
            return;
        }
        self.held <<= count;
        self.count -= count;
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
        self.symbol_held(table)
    }

    #[inline(always)]
    fn symbol_held(&mut self, table: &Huffman) -> u8 {
        let entry = table.quick[(self.held >> (64 - QUICK)) as usize % QUICK_SIZE];
        let length = u32::from(entry >> 8);
        if length > 0 {
            self.drop_bits(length);
            return entry as u8;
        }
        self.long_symbol(table)
    }

    #[cold]
    fn long_symbol(&mut self, table: &Huffman) -> u8 {
        let code = (self.held >> 48) as u32;
        let length = (1..=17).find(|length| code < table.ends[*length]).unwrap_or(17);
        if length > 16 {
            self.drop_bits(16);
            return 0;
        }
        self.drop_bits(length as u32);
        let place = (code >> (16 - length)) as i32 + table.offsets[length];
        usize::try_from(place).ok().and_then(|place| table.symbols.get(place)).copied().unwrap_or(0)
    }

    /// The next AC number: how many zeros come before it, and itself. A number of 0 is the end of the block, or with
    /// a run of 15 sixteen zeros.
    #[inline(always)]
    pub(super) fn number(&mut self, table: &Huffman) -> (u32, i32) {
        self.fill();
        let whole = table.whole[(self.held >> (64 - QUICK)) as usize % QUICK_SIZE];
        if whole != 0 {
            self.drop_bits((whole & 0xff) as u32);
            return (((whole >> 8) & 0xff) as u32, whole >> 16);
        }
        let symbol = u32::from(self.symbol_held(table));
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 {
            return (run, 0);
        }
        let bits = (self.held >> (64 - size)) as i32;
        self.drop_bits(size);
        (run, extend(bits, size))
    }
}
