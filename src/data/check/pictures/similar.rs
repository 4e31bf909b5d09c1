//! Finds hashes that differ in few bits: an index of their quarters (multi-index hashing).

use std::collections::HashMap;

use rayon::prelude::*;

/// Candidates of one hash at most: a dataset of thousands of alike pictures must not cost their square.
const MOST: usize = 24;
/// Places of a crowded quarter that are looked at.
const LOOKS: usize = 96;

/// Pairs (earlier, later) of `hashes` that differ in at most `bits` bits (7 or fewer) and are `close`, a bounded
/// number each.
///
/// Of 7 differing bits one quarter of 16 has at most one: looking up each quarter and its 16 neighbours
/// finds every such pair.
pub(super) fn pairs(
    hashes: &[(usize, u64)],
    bits: u32,
    close: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<(usize, usize)> {
    let mut quarters: HashMap<(u8, u16), Vec<u32>> = HashMap::new();
    let quarter = |hash: u64, q: u8| (hash >> (16 * u32::from(q))) as u16;
    for (place, (_, hash)) in hashes.iter().enumerate() {
        for q in 0..4 {
            quarters.entry((q, quarter(*hash, q))).or_default().push(place as u32);
        }
    }
    let of = |(place, (index, hash)): (usize, &(usize, u64))| {
        let mut near: Vec<(u32, usize)> = Vec::new();
        for q in 0..4 {
            let own = quarter(*hash, q);
            for key in std::iter::once(own).chain((0..16).map(|bit| own ^ (1 << bit))) {
                let members = quarters.get(&(q, key)).map_or(&[][..], Vec::as_slice);
                let earlier = members.partition_point(|other| (*other as usize) < place);
                // The newest ones of a crowded place are enough.
                for other in members.get(..earlier).unwrap_or(&[]).iter().rev().take(LOOKS) {
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
        let near = near.into_iter().map(|(_, other)| other).filter(|other| close(*other, *index));
        near.take(MOST).map(|other| (other, *index)).collect::<Vec<_>>()
    };
    hashes.par_iter().enumerate().flat_map_iter(of).collect()
}
