//! Seeds of random tests. A failed test prints the seed of the case that failed, and `SEED=` repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

/// Runs `case` with `count` random generators that start from different seeds. With `SEED=N` in the environment, runs
/// it once, with the seed N.
///
/// # Panics
///
/// Panics with the seed in the text if `case` panics.
pub(crate) fn each(count: u64, mut case: impl FnMut(Rng)) {
    let wanted = std::env::var("SEED").ok().map(|seed| seed.parse().expect("a number as SEED"));
    let first = wanted.unwrap_or_else(|| fastrand::u64(..));
    for number in 0..if wanted.is_some() { 1 } else { count } {
        let seed = first.wrapping_add(number);
        let run = catch_unwind(AssertUnwindSafe(|| case(Rng::with_seed(seed))));
        assert!(run.is_ok(), "case {number} failed; SEED={seed} repeats it");
    }
}

/// Returns true if the environment asks for one case, so that figures about all cases mean nothing.
pub(crate) fn is_single() -> bool {
    std::env::var_os("SEED").is_some()
}
