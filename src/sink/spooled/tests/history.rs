//! A history: processes that follow each other on one disk, and what has to hold of all of them.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;

use super::life::{Death, Life};
use crate::config::{SpoolMode, WhenFull};
use crate::spool::Settings;
use crate::spool::simulated::Simulated;

/// Counts of the cases that the histories covered.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, u64>);

/// A history so far.
pub(super) struct History<'s> {
    pub(super) random: Rng,
    pub(super) seen: &'s mut Seen,
    pub(super) disk: Simulated,
    pub(super) settings: Settings,
    pub(super) mode: SpoolMode,
    pub(super) when_full: WhenFull,
    /// Fate of each record that was made, by its number.
    pub(super) fates: Vec<Fate>,
}

/// Fate of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// True if its source was told that it is safe.
    pub(super) acknowledged: bool,
    /// True if the destination has it or has refused it for good.
    pub(super) delivered: bool,
}

// === impl Seen ===

impl Seen {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Asserts that the histories went everywhere.
    pub(super) fn assert_worth(&self) {
        for (what, least) in [
            ("kill", 2000),
            ("power off", 2000),
            ("power off in a request", 1000),
            ("fatal end", 200),
            ("end", 2000),
            ("acknowledged by the disk alone", 5000),
            ("acknowledged", 20_000),
            ("came again", 1000),
            ("Acknowledge", 20_000),
            ("Store", 1000),
            ("Spool", 10_000),
            ("SpoolPart", 100),
            ("Drop", 1000),
            ("Abandon", 500),
            ("Lose", 500),
            ("Skip", 1000),
            ("Tell", 100),
            ("error", 1000),
            ("Advance", 20_000),
            ("Append", 20_000),
            ("Commit", 10_000),
            ("Evict", 500),
            ("Give", 20_000),
            ("several given", 1000),
            ("ReadBack", 10_000),
            ("CloseQueues", 2000),
            ("Close", 2000),
        ] {
            let count = self.0.get(what).copied().unwrap_or(0);
            assert!(count >= least, "{what}: {count} < {least}: {self:?}");
        }
    }
}

// === impl History ===

impl<'s> History<'s> {
    pub(super) fn new(mut random: Rng, seen: &'s mut Seen) -> Self {
        let when_full = if random.u8(..4) == 0 { WhenFull::DropOldest } else { WhenFull::Block };
        let settings = Settings {
            segment_size: 2048,
            max_size: random.choice([40 << 10, 64 << 10, 1 << 20]).unwrap_or(1 << 20),
            free_space_floor: 0,
            cursor_records: 5,
        };
        let mode = if random.bool() { SpoolMode::Always } else { SpoolMode::Overflow };
        Self { random, seen, disk: Simulated::default(), settings, mode, when_full, fates: Vec::new() }
    }

    pub(super) fn run(mut self) {
        let mut kept = 0;
        for _ in 0..self.random.u8(1..4) {
            let life = Life::start(&mut self, false, kept);
            let (death, spooled) = life.run(&mut self);
            kept = spooled;
            match death {
                Death::PowerOff => self.disk.crash(self.random.u64(..)),
                Death::Kill | Death::End => self.disk.kill(),
            }
        }
        self.recover();
    }

    /// A last process, in which all goes well, delivers all that was acknowledged.
    fn recover(&mut self) {
        self.disk.with(|world| {
            world.capacity = None;
            world.faults.clear();
        });
        Life::start(self, true, 0).run(self);
        for (number, fate) in self.fates.iter().enumerate() {
            assert!(fate.delivered || !fate.acknowledged, "{number} was acknowledged, and is lost");
        }
    }

    /// Makes some records, and returns their numbers.
    pub(super) fn make(&mut self, count: usize) -> Range<usize> {
        let first = self.fates.len();
        self.fates.resize(first + count, Fate::default());
        first..first + count
    }
}
