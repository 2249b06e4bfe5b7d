//! Seeds of random tests. A failed test prints the seed of the case that failed, and `SEED=N` in the environment
//! repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

/// Returns the number in `SEED`, if the environment has one.
fn wanted() -> Option<u64> {
    std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"))
}

/// Returns the seed of a random test: the number in `SEED`, or a new one. The test prints it when it fails.
pub fn seed() -> u64 {
    wanted().unwrap_or_else(|| fastrand::u64(..))
}

/// Runs `case` with `count` random generators that start from different seeds. With `SEED=N` in the environment, runs
/// it once, with the seed N.
///
/// # Panics
/// Panics with the seed in the text if `case` panics.
pub fn each(count: u64, mut case: impl FnMut(Rng)) {
    let first = seed();
    for number in 0..if is_single() { 1 } else { count } {
        let seed = first.wrapping_add(number);
        let run = catch_unwind(AssertUnwindSafe(|| case(Rng::with_seed(seed))));
        assert!(run.is_ok(), "case {number} failed; SEED={seed} repeats it");
    }
}

/// Returns true if the environment asks for one case, so that figures about all cases mean nothing.
pub fn is_single() -> bool {
    wanted().is_some()
}
