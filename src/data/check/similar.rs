//! Finds hashes that differ in few bits: an index of their quarters (multi-index hashing).

use std::collections::HashMap;

/// Candidates of one hash at most: a dataset of thousands of alike pictures must not cost their square.
const MOST: usize = 24;

/// Pairs (earlier, later) of `hashes` that differ in at most `bits` bits (7 or fewer), a bounded number each.
///
/// Of 7 differing bits one quarter of 16 has at most one: looking up each quarter and its 16 neighbours
/// finds every such pair.
pub(super) fn pairs(hashes: &[(usize, u64)], bits: u32) -> Vec<(usize, usize)> {
    let mut quarters: HashMap<(u8, u16), Vec<u32>> = HashMap::new();
    let mut found = Vec::new();
    let quarter = |hash: u64, q: u8| (hash >> (16 * u32::from(q))) as u16;
    for (place, (index, hash)) in hashes.iter().enumerate() {
        let mut near: Vec<(u32, usize)> = Vec::new();
        for q in 0..4 {
            let own = quarter(*hash, q);
            let around = std::iter::once(own).chain((0..16).map(|bit| own ^ (1 << bit)));
            for key in around {
                // The newest ones of a crowded place are enough.
                let members = quarters.get(&(q, key)).map_or(&[][..], Vec::as_slice);
                for other in members.iter().rev().take(4 * MOST) {
                    let Some((other, other_hash)) = hashes.get(*other as usize) else { continue };
                    let apart = (hash ^ other_hash).count_ones();
                    if apart <= bits.min(7) {
                        near.push((apart, *other));
                    }
                }
            }
        }
        near.sort_unstable();
        near.dedup();
        found.extend(near.into_iter().take(MOST).map(|(_, other)| (other, *index)));
        for q in 0..4 {
            quarters.entry((q, quarter(*hash, q))).or_default().push(place as u32);
        }
    }
    found
}
