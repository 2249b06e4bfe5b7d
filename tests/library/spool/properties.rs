//! Random histories against a reference queue.

use std::cell::RefCell;

use postrider::spool::{Progress, Recovery, Settings, Spool};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use testkit::seeds;

use crate::spool::lines::{append_all, is_segment, read};
use crate::spool::simulated::{Call, Lost, Random, Simulated};

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Commit,
    Read(u16),
    /// A share of what was read.
    Acknowledge(u8),
    Checkpoint,
    Rewind,
    /// SIGKILL, and a new process.
    Kill,
    /// Power off in the middle of a commit and an acknowledgement, after these numbers of calls, and a new process.
    Crash(u64, u64),
    /// And once more while it starts.
    CrashTwice(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..12_u8).prop_map(Step::Append),
        6 => Just(Step::Commit),
        6 => (1..6000_u16).prop_map(Step::Read),
        5 => any::<u8>().prop_map(Step::Acknowledge),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Rewind),
        1 => Just(Step::Kill),
        3 => (0..8_u64, any::<u64>()).prop_map(|(calls, chance)| Step::Crash(calls, chance)),
        1 => (0..8_u64, any::<u64>()).prop_map(|(calls, chance)| Step::CrashTwice(calls, chance)),
    ]
}

/// Events that histories went through, to show that they were worth it.
#[derive(Debug, Default)]
struct Seen {
    lost: Lost,
    committed: u64,
    repeated: u64,
    survived: u64,
    vanished: u64,
    torn_tails: u64,
    leftovers: u64,
    failed_starts: u64,
    deleted_segments: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Appended, and no commit has returned since.
    Buffered,
    /// Buffered when the process died: it may be there or not.
    Doubtful,
    /// Committed, or read.
    Durable,
}

/// Records that a spool has to hold.
#[derive(Debug, Default)]
struct Reference {
    /// Appended records, the oldest first, without those known to be gone.
    records: Vec<(u64, State)>,
    appended: u64,
    /// The highest record that was ever acknowledged.
    acknowledged: u64,
    /// The highest that no crash brings back.
    kept: u64,
    /// The highest that was acknowledged since the start.
    floor: Option<u64>,
    /// The last that was read since the start or the rewind.
    read: Option<u64>,
    /// Number of records that crashes have taken, all of them without a commit.
    vanished: u64,
    /// Those that were read and not acknowledged, with their sequence numbers.
    unacknowledged: Vec<(u64, u64)>,
}

impl Reference {
    fn append(&mut self) -> u64 {
        self.appended += 1;
        self.records.push((self.appended, State::Buffered));
        self.appended
    }

    fn committed(&mut self) -> u64 {
        let buffered = self.records.iter_mut().filter(|(_, state)| *state == State::Buffered);
        buffered.map(|(_, state)| *state = State::Durable).count() as u64
    }

    fn rewound(&mut self) {
        self.read = None;
        self.unacknowledged.clear();
    }

    fn died(&mut self) {
        self.rewound();
        self.floor = None;
        let buffered = self.records.iter_mut().filter(|(_, state)| *state == State::Buffered);
        buffered.for_each(|(_, state)| *state = State::Doubtful);
    }

    /// Which must be read before any that is higher than `n`, and were not.
    fn missing(&self, n: u64) -> Vec<u64> {
        let after = self.read.or(self.floor).unwrap_or(self.acknowledged);
        let missing =
            self.records.iter().filter(|(record, state)| after < *record && *record < n && *state == State::Durable);
        missing.map(|(record, _)| *record).collect()
    }

    fn read(&mut self, n: u64, seq: u64, seen: &mut Seen) -> Result<(), TestCaseError> {
        let record = self.records.iter_mut().find(|(record, _)| *record == n);
        let Some((_, state)) = record else { return Err(TestCaseError::fail(format!("{n} is gone or never was"))) };
        prop_assert_ne!(*state, State::Buffered, "{} is in memory alone", n);
        seen.survived += u64::from(*state == State::Doubtful);
        *state = State::Durable;
        let after = self.read.or(self.floor).unwrap_or(self.kept);
        prop_assert!(n > after, "{} came after {}", n, after);
        prop_assert_eq!(self.missing(n), Vec::<u64>::new(), "skipped before {}", n);
        seen.repeated += u64::from(n <= self.acknowledged);
        self.passed(n, seen);
        self.read = Some(n);
        self.unacknowledged.push((n, seq));
        Ok(())
    }

    /// Notes that the records missing before `n` are gone.
    fn passed(&mut self, n: u64, seen: &mut Seen) {
        let before = self.records.len();
        self.records.retain(|(record, state)| *record >= n || *state != State::Doubtful);
        self.vanished += (before - self.records.len()) as u64;
        seen.vanished += (before - self.records.len()) as u64;
    }

    /// Acknowledges a share of the records read, and gives the sequence number up to which it did.
    fn acknowledge(&mut self, share: u8) -> Option<u64> {
        let count = (self.unacknowledged.len() * usize::from(share)).div_ceil(255);
        let (n, seq) = self.unacknowledged.drain(..count).next_back()?;
        self.floor = Some(n);
        self.acknowledged = self.acknowledged.max(n);
        Some(seq)
    }
}

const SETTINGS: Settings = Settings { segment_size: 2048, max_size: 1 << 30, free_space_floor: 0, cursor_records: 5 };

fn start(disk: &Simulated, seen: &mut Seen) -> Spool<Simulated> {
    let (spool, Recovery { torn, leftovers, .. }) = Spool::open(disk.clone(), SETTINGS).expect("a spool");
    seen.torn_tails += u64::from(torn.is_some());
    seen.leftovers += leftovers as u64;
    spool
}

fn read_on(
    spool: &mut Spool<Simulated>,
    reference: &mut Reference,
    limit: usize,
    seen: &mut Seen,
) -> Result<Progress, TestCaseError> {
    let (records, progress) = read(spool, limit).expect("a disk");
    for (n, seq) in records {
        reference.read(n, seq, seen)?;
    }
    if progress == Progress::End {
        prop_assert_eq!(reference.missing(u64::MAX), Vec::<u64>::new(), "not there");
        reference.passed(u64::MAX, seen);
        prop_assert!(spool.is_read());
        let damaged = spool.figures().damaged_records;
        prop_assert!(damaged <= reference.vanished, "{} counted as lost, {} are", damaged, reference.vanished);
    }
    Ok(progress)
}

/// The power goes off after `calls` calls.
fn die(
    disk: &Simulated,
    spool: &mut Spool<Simulated>,
    reference: &mut Reference,
    calls: u64,
    chance: u64,
    seen: &mut Seen,
) {
    let mut random = Random(chance);
    append_all(spool, (0..random.below(8)).map(|_| reference.append()));
    disk.with(|world| world.dies_after = Some(calls));
    if random.below(2) == 0
        && let Some(seq) = reference.acknowledge(255)
    {
        // It may come again, also if the acknowledgement gets to the disk.
        let _ = spool.acknowledge(seq);
    }
    if spool.commit().is_ok() {
        seen.committed += reference.committed();
    }
    reference.died();
}

fn history(disk: &Simulated, steps: &[Step], seen: &mut Seen) -> Result<(), TestCaseError> {
    let mut reference = Reference::default();
    let mut spool = start(disk, seen);
    for step in steps {
        match *step {
            Step::Append(count) => append_all(&mut spool, (0..count).map(|_| reference.append())),
            Step::Commit => {
                spool.commit().expect("a disk");
                seen.committed += reference.committed();
            }
            Step::Read(limit) => {
                read_on(&mut spool, &mut reference, limit.into(), seen)?;
            }
            Step::Acknowledge(share) => {
                let segments = spool.figures().segments;
                if let Some(seq) = reference.acknowledge(share) {
                    spool.acknowledge(seq).expect("a disk");
                    prop_assert!(spool.acknowledged() >= seq);
                }
                seen.deleted_segments += (segments - spool.figures().segments) as u64;
            }
            Step::Checkpoint => {
                spool.checkpoint().expect("a disk");
                reference.kept = reference.kept.max(reference.floor.unwrap_or(0));
            }
            Step::Rewind => {
                spool.rewind();
                reference.rewound();
            }
            Step::Kill => {
                disk.kill();
                reference.died();
                spool = start(disk, seen);
            }
            Step::Crash(calls, chance) => {
                die(disk, &mut spool, &mut reference, calls, chance, seen);
                disk.crash(chance);
                spool = start(disk, seen);
            }
            Step::CrashTwice(calls, chance) => {
                die(disk, &mut spool, &mut reference, calls, chance, seen);
                disk.crash(chance);
                disk.with(|world| world.dies_after = Some(calls));
                seen.failed_starts += u64::from(Spool::open(disk.clone(), SETTINGS).is_err());
                disk.crash(!chance);
                spool = start(disk, seen);
            }
        }
        let figures = spool.figures();
        let files = disk.names().iter().filter(|name| is_segment(name)).count();
        prop_assert_eq!(files, figures.segments);
    }
    // The damaged part was never committed.
    spool.commit().expect("a disk");
    seen.committed += reference.committed();
    while read_on(&mut spool, &mut reference, 5000, seen)? == Progress::More {}
    crate::spool::lines::finish(&mut spool);
    let lost = disk.with(|world| world.lost);
    seen.lost.writes += lost.writes;
    seen.lost.torn_writes += lost.torn_writes;
    seen.lost.names += lost.names;
    Ok(())
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..120)
}

/// Everything whose commit has returned is read after any crash, in order, whole, and nothing else; what is
/// acknowledged may come again, unless a checkpoint says that it does not.
#[test]
fn what_is_committed_is_there_until_it_is_acknowledged() {
    let seen = RefCell::new(Seen::default());
    let run = |steps: Vec<Step>| history(&Simulated::default(), &steps, &mut seen.borrow_mut());
    let number = seeds::seed();
    let rng_seed = RngSeed::Fixed(number);
    let config = Config { cases: 1000, failure_persistence: None, rng_seed, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&histories(), run) {
        panic!("{error}\nSEED={number} repeats it");
    }
    let seen = seen.into_inner();
    let Seen { lost, committed, repeated, survived, vanished, torn_tails, leftovers, deleted_segments, failed_starts } =
        &seen;
    for (count, least) in [
        (lost.writes, 200),
        (lost.torn_writes, 100),
        (lost.names, 300),
        (*committed, 20_000),
        (*repeated, 1000),
        (*survived, 1000),
        (*vanished, 1000),
        (*torn_tails, 15),
        (*leftovers, 100),
        (*failed_starts, 300),
        (*deleted_segments, 500),
    ] {
        assert!(count >= least, "{count} < {least}: {seen:?}");
    }
}

/// These histories find it out when a sync is left out.
#[test]
fn a_disk_that_lies_is_caught() {
    for lies in [Call::Sync, Call::SyncDirectory] {
        let run = |steps: Vec<Step>| {
            let disk = Simulated::default();
            disk.with(|world| world.lies = Some(lies));
            history(&disk, &steps, &mut Seen::default())
        };
        // The first that fails will do; it need not be the shortest.
        let config = Config { cases: 1000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        assert!(TestRunner::new(config).run(&histories(), run).is_err(), "{lies:?}");
    }
}
