//! Which of a few colours stands for which run: a function of its name, so that a run keeps its colour from screen to
//! screen and from plot to plot; runs that would share one take the next that is free.

/// For each name the number of its colour, below `count` (at least 1).
pub fn assign<S: AsRef<str>>(names: &[S], count: usize) -> Vec<usize> {
    let count = count.max(1);
    let mut order: Vec<usize> = (0..names.len()).collect();
    // By name, not by order: who was chosen first must not matter.
    order.sort_by_key(|i| names.get(*i).map(AsRef::as_ref));
    let (mut colours, mut taken) = (vec![0; names.len()], vec![0u32; count]);
    for i in order {
        let name = names.get(i).map_or("", AsRef::as_ref);
        let own = usize::try_from(xxhash_rust::xxh3::xxh3_64(name.as_bytes()) % count as u64).unwrap_or(0);
        let places = (0..count).map(|n| (own + n) % count);
        let free = places.min_by_key(|at| taken.get(*at).copied().unwrap_or(u32::MAX)).unwrap_or(own);
        if let (Some(colour), Some(n)) = (colours.get_mut(i), taken.get_mut(free)) {
            *colour = free;
            *n += 1;
        }
    }
    colours
}

#[cfg(test)]
mod tests {
    use super::assign;

    #[test]
    fn colours_are_stable_and_differ_while_there_are_enough() {
        let names: Vec<String> = (0..6).map(|i| format!("run-{i}")).collect();
        let colours = assign(&names, 6);
        let mut sorted = colours.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        let mut turned = names.clone();
        turned.reverse();
        let mut again = assign(&turned, 6);
        again.reverse();
        assert_eq!(again, colours);
        assert_eq!(assign(&names[..1], 6), assign(&names[..1], 6));
        // With more runs than colours each is used about equally often.
        let many: Vec<String> = (0..20).map(|i| format!("x{i}")).collect();
        assert!((0..6).all(|c| (3..=4).contains(&assign(&many, 6).iter().filter(|x| **x == c).count())));
    }
}
