//! Seeds of random tests: `SEED=N` in the environment repeats a run.

use std::hash::{BuildHasher as _, RandomState};

/// Returns the seed of a random test: the number in `SEED`, or a new one. The test prints it when it fails.
pub fn seed() -> u64 {
    let new = || RandomState::new().hash_one("seed");
    std::env::var("SEED").map_or_else(|_| new(), |seed| seed.parse().expect("SEED is a number"))
}
