//! Deaths at random moments, of all that can die, in one run: nothing that was written is lost, and the curve is the
//! one of a run that nobody killed.

use std::time::Duration;

use run::checkpoint;
use run::events::{Body, Outcome};

use crate::support::{Run, kill, wait};
use crate::terminal::Terminal;
use crate::training;

/// Small and good enough; the seed is printed, and taken from `COCAPTAIN_TEST_SEED` to see a failure again.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("COCAPTAIN_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| run::now().to_bits());
        println!("COCAPTAIN_TEST_SEED={seed}");
        Self(seed)
    }

    /// One of `0..n`.
    fn below(&mut self, n: u64) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Viewer,
    Rank,
    Supervisor,
}

/// What must never be lost: the whole lines of `events.jsonl`, and the checkpoints that they tell of.
struct Kept {
    lines: Vec<u8>,
    checkpoints: Vec<u64>,
}

impl Kept {
    fn of(run: &Run) -> Self {
        let mut lines = std::fs::read(run.0.events()).unwrap();
        lines.truncate(lines.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1));
        let events = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let checkpoints =
            events.filter_map(|l| match serde_json::from_slice::<run::events::Event>(l).unwrap().body {
                Body::Checkpoint { step, .. } => Some(step),
                _ => None,
            });
        let checkpoints = checkpoints.collect();
        Self { lines, checkpoints }
    }

    fn still_there(&self, run: &Run) {
        let now = std::fs::read(run.0.events()).unwrap();
        assert!(now.starts_with(&self.lines), "a written event was changed or lost");
        for step in &self.checkpoints {
            let path = checkpoint::folder(&run.0, *step);
            checkpoint::verify(&path)
                .unwrap_or_else(|e| panic!("the checkpoint of step {step} is lost: {e}"));
        }
    }
}

#[test]
fn killing_viewer_rank_and_supervisor_at_random_times_loses_nothing() {
    let mut random = Random::new();
    let bench = training::bench();
    let steps =
        ["--max_steps", "300", "--save_steps", "8", "--save_total_limit", "1000", "--max_restarts", "20"];
    let whole = training::start(&bench, "whole", &steps);
    assert_eq!(whole.wait_end().0, Outcome::Completed);
    let expected = training::losses(&whole);

    let run = training::start(&bench, "killed", &steps);
    let mut victims = [Victim::Viewer, Victim::Rank, Victim::Supervisor, Victim::Rank, Victim::Supervisor];
    random.shuffle(&mut victims);
    let (mut viewer, mut kept) = (Terminal::open(&bench, &["attach", "killed"]), Vec::new());
    for victim in victims {
        // At any moment of an attempt: while it starts, computes or saves.
        if random.below(3) > 0 {
            let step = run.history().step + random.below(30);
            wait("more steps", || (run.history().step >= step.min(300)).then_some(()));
        }
        std::thread::sleep(Duration::from_millis(random.below(1000)));
        println!("{victim:?} dies at step {}", run.history().step);
        kept.push(Kept::of(&run));
        match victim {
            Victim::Viewer => {
                viewer.kill();
                viewer = Terminal::open(&bench, &["attach", "killed"]);
            }
            // Whoever is between two ranks, or has ended already, is not there to be killed.
            Victim::Rank => run.ranks().into_iter().for_each(kill),
            Victim::Supervisor => {
                kill(run.supervisor());
                wait("the ranks' end", || (!run::lock::is_taken(&run.0)).then_some(()));
                if run.history().finished.is_none() {
                    bench.good(&["train", "--resume", "killed"]);
                }
            }
        }
    }
    assert_eq!(run.wait_end().0, Outcome::Completed);
    viewer.see("completed");
    kept.push(Kept::of(&run));
    kept.iter().for_each(|k| k.still_there(&run));
    let seen = kept.last().unwrap();
    assert!(seen.checkpoints.contains(&300) && seen.checkpoints.contains(&8));
    assert_eq!(training::losses(&run), expected, "the curve is not that of the uninterrupted run");
}
