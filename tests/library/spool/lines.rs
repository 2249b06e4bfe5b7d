//! Records whose every byte follows from their number.

use std::path::Path;
use std::time::Duration;

use postrider::record::RecordId;
use postrider::spool::{
    Disk, Error, OpenError, Progress, Recovery, Settings, Spool, SpoolCounts, SpoolEntry, SpoolRecord, Storage,
};
use testkit::wait::wait_for;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Small segments, so that a test sees many.
pub(crate) const SMALL: Settings =
    Settings { segment_size: 4096, max_size: 1 << 30, free_space_floor: 0, cursor_records: 10 };

/// The line of record `n`.
pub(crate) fn line(n: u64) -> Vec<u8> {
    let text = format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "délivré ".repeat((n * 7 % 40) as usize));
    text.into_bytes()
}

fn route(n: u64) -> String {
    if n.is_multiple_of(3) { String::new() } else { format!("mail-{}", n % 5) }
}

fn key(n: u64) -> Option<String> {
    n.is_multiple_of(2).then(|| format!("key {n}"))
}

/// Appends record `n`.
pub(crate) fn append<S: Storage>(spool: &mut Spool<S>, n: u64) -> u64 {
    let (route, key, line) = (route(n), key(n), line(n));
    let entry = SpoolEntry {
        id: RecordId(n.into()),
        timestamp_ms: n.cast_signed() * 10,
        route: &route,
        key: key.as_deref(),
        line: &line,
    };
    spool.append(&entry).expect("a record that is short enough")
}

/// Appends records, and commits nothing.
pub(crate) fn append_all<S: Storage>(spool: &mut Spool<S>, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        append(spool, n);
    }
}

/// Appends and commits records, a group of `group` at a time.
pub(crate) fn fill<S: Storage>(spool: &mut Spool<S>, numbers: impl IntoIterator<Item = u64>, group: usize) {
    for (at, n) in numbers.into_iter().enumerate() {
        append(spool, n);
        if at % group == group - 1 {
            spool.commit().expect("a disk");
        }
    }
    spool.commit().expect("a disk");
}

/// Which record it is. All of it has to be as [`append`] gave it.
pub(crate) fn number(record: &SpoolRecord<'_>) -> u64 {
    let n = u64::try_from(record.id.0).expect("an id that was given");
    assert_eq!(String::from_utf8_lossy(record.line), String::from_utf8_lossy(&line(n)), "record {n}");
    assert_eq!(record.timestamp_ms, n.cast_signed() * 10);
    assert_eq!((record.route, record.key), (route(n).as_str(), key(n).as_deref()));
    n
}

/// Some records: their numbers, their sequence numbers, and whether there may be more.
pub(crate) fn read<S: Storage>(spool: &mut Spool<S>, limit: usize) -> Result<(Vec<(u64, u64)>, Progress), Error> {
    let mut records = Vec::new();
    let progress = spool.read(limit, |record| records.push((number(&record), record.seq)))?;
    Ok((records, progress))
}

/// All records that can be read, as numbers.
pub(crate) fn drain<S: Storage>(spool: &mut Spool<S>) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let (records, progress) = read(spool, 10_000).expect("a disk");
        numbers.extend(records.iter().map(|(n, _)| *n));
        if progress == Progress::End {
            return numbers;
        }
    }
}

/// Acknowledges all that was read, and checks that nothing is left.
pub(crate) fn finish<S: Storage>(spool: &mut Spool<S>) {
    spool.acknowledge(u64::MAX).expect("a disk");
    let figures = spool.figures();
    assert_eq!((figures.pending_records, figures.pending_bytes), (0, 0), "{figures:?}");
    assert!(figures.segments <= 1, "{figures:?}");
}

pub(crate) fn open<S: Storage>(storage: S) -> (Spool<S>, Recovery) {
    Spool::open(storage, SMALL).expect("a spool")
}

/// The spool of a directory of the real disk. A process that another test is just starting may hold a copy of the lock.
pub(crate) fn open_result(path: &Path) -> Result<(Spool, Recovery), OpenError> {
    wait_for(DEADLINE, "a lock that is free", || {
        let opened = Spool::open(Disk::new(path), SMALL);
        (!matches!(opened, Err(OpenError::Locked { .. }))).then_some(opened)
    })
}

pub(crate) fn open_directory(path: &Path) -> (Spool, Recovery) {
    open_result(path).expect("a spool")
}

/// True if a file of this name is a segment.
pub(crate) fn is_segment(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "seg")
}

/// The figures that damage shows in.
pub(crate) fn damaged(figures: &SpoolCounts) -> (u64, u64) {
    (figures.damaged_records, figures.damaged_bytes)
}
