//! Rows and columns of eight times eight bytes exchanged, in plain words.

/// Each word is a row, its lowest byte the first.
#[inline(always)]
pub(super) fn turn(mut words: [u64; 8]) -> [u64; 8] {
    // Three rounds of swaps: of halves, quarters and eighths.
    let mut swap = |a: usize, b: usize, shift: u32, mask: u64| {
        let moved = ((words[a] >> shift) ^ words[b]) & mask;
        words[b] ^= moved;
        words[a] ^= moved << shift;
    };
    for a in [0, 1, 2, 3] {
        swap(a, a + 4, 32, 0x0000_0000_ffff_ffff);
    }
    for a in [0, 1, 4, 5] {
        swap(a, a + 2, 16, 0x0000_ffff_0000_ffff);
    }
    for a in [0, 2, 4, 6] {
        swap(a, a + 1, 8, 0x00ff_00ff_00ff_00ff);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let rows: [[u8; 8]; 8] = std::array::from_fn(|y| std::array::from_fn(|x| (16 * y + x) as u8));
        let columns = turn(rows.map(u64::from_le_bytes)).map(u64::to_le_bytes);
        for (y, row) in rows.iter().enumerate() {
            for (x, byte) in row.iter().enumerate() {
                assert_eq!(columns[x][y], *byte);
            }
        }
    }
}
