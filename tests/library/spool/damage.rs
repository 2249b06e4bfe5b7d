//! Files that were changed behind the spool's back: everything else is delivered, and the damage counted and kept.

use std::fs;
use std::path::{Path, PathBuf};

use postrider::spool::{CursorState, Progress, Recovery, Spool, TornTail};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use crate::spool::lines::{append, damaged, drain, fill, finish, is_segment, line, open, open_directory, read};
use crate::spool::simulated::Simulated;

const COUNT: u64 = 400;

/// A spool of 400 records in many segments, closed.
fn spool_of_400() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut spool, recovery) = open_directory(directory.path());
    assert_eq!(recovery.cursor, CursorState::New);
    fill(&mut spool, 1..=COUNT, 16);
    assert!(spool.figures().segments > 10);
    directory
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    segments.sort();
    segments
}

/// The file with the line of record `n`, its bytes, and where the record begins.
fn find(directory: &Path, n: u64) -> (PathBuf, Vec<u8>, usize) {
    for path in segments(directory) {
        let bytes = fs::read(&path).expect("a file");
        if let Some(at) = memchr::memmem::find(&bytes, &line(n)) {
            let start = memchr::memmem::rfind(&bytes[..at], b"\xffPR\xfe").expect("a record");
            return (path, bytes, start);
        }
    }
    panic!("record {n} is in no segment");
}

/// Changes the bytes of record `n`, which is at the start of the slice.
fn damage(directory: &Path, n: u64, change: impl FnOnce(&mut [u8])) -> PathBuf {
    let (path, mut bytes, start) = find(directory, n);
    change(&mut bytes[start..]);
    fs::write(&path, bytes).expect("a file");
    path
}

fn all_but(missing: impl Fn(u64) -> bool) -> Vec<u64> {
    (1..=COUNT).filter(|n| !missing(*n)).collect()
}

fn quarantined(directory: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = fs::read_dir(directory.join("quarantine")) else { return Vec::new() };
    files.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

/// Reads everything but what is damaged, twice, and acknowledges it.
fn check(directory: &Path, expected: &[u64], records: u64) -> Spool {
    let (mut spool, _) = open_directory(directory);
    assert_eq!(drain(&mut spool), expected);
    spool.rewind();
    assert_eq!(drain(&mut spool), expected);
    assert_eq!(spool.figures().damaged_records, records);
    assert_eq!(spool.figures().pending_records, expected.len() as u64);
    finish(&mut spool);
    fill(&mut spool, 1000..1010, 3);
    assert_eq!(drain(&mut spool), (1000..1010).collect::<Vec<_>>());
    spool
}

/// Change to a record that begins with its magic.
type Change = fn(&mut [u8]);

#[test]
fn one_damaged_record_costs_one_record() {
    let changes: [(&str, Change); 8] = [
        ("the payload", |record| record[70] ^= 0x20),
        ("the length", |record| record[5] ^= 0x01),
        ("a length beyond the file", |record| record[4..8].fill(0x7f)),
        ("the magic", |record| record[0] = b'x'),
        ("the number", |record| record[12] ^= 0x04),
        ("the checksum of the header", |record| record[21] ^= 0x80),
        ("the checksum of the payload", |record| record[25] ^= 0x80),
        ("zeroes", |record| record[..40].fill(0)),
    ];
    for (name, change) in changes {
        let directory = spool_of_400();
        let (_, bytes, start) = find(directory.path(), 201);
        damage(directory.path(), 201, change);
        let spool = check(directory.path(), &all_but(|n| n == 201), 1);
        let kept = quarantined(directory.path());
        // A byte of the record that was not changed is kept too.
        let end = &bytes[start + 80..start + 100];
        assert!(kept.len() == 1 && memchr::memmem::find(&kept[0], end).is_some(), "{name}: {kept:?}");
        assert!(spool.figures().damaged_bytes > 50, "{name}");
    }
}

#[test]
fn the_last_record_is_cut_off_and_kept() {
    let directory = spool_of_400();
    let (path, bytes, start) = find(directory.path(), COUNT);
    fs::write(&path, &bytes[..bytes.len() - 5]).expect("a file");
    let (mut spool, recovery) = open_directory(directory.path());
    let torn = TornTail {
        segment: path.file_name().expect("a name").to_str().expect("UTF-8").to_owned(),
        offset: start as u64,
        bytes: (bytes.len() - 5 - start) as u64,
        copied: true,
    };
    assert_eq!(recovery.torn, Some(torn));
    assert!(recovery.to_string().contains("moved to quarantine"), "{recovery}");
    assert_eq!(quarantined(directory.path()), [&bytes[start..bytes.len() - 5]]);
    assert_eq!(drain(&mut spool), all_but(|n| n == COUNT));
    assert_eq!(spool.figures().damaged_records, 1, "it was on the disk");
    finish(&mut spool);
}

#[test]
fn zeroes_behind_the_last_record_are_its_end() {
    let directory = spool_of_400();
    let path = segments(directory.path()).pop().expect("a segment");
    let mut bytes = fs::read(&path).expect("a file");
    bytes.resize(bytes.len() + 300_000, 0);
    fs::write(&path, bytes).expect("a file");
    let (spool, recovery) = open_directory(directory.path());
    assert_eq!((recovery.torn, recovery.pending_records), (None, COUNT));
    drop(spool);
    let spool = check(directory.path(), &all_but(|_| false), 0);
    assert_eq!(damaged(&spool.figures()), (0, 0));
}

#[test]
fn zeroes_behind_a_sealed_segment_are_no_damage() {
    let directory = spool_of_400();
    let path = &segments(directory.path())[3];
    let mut bytes = fs::read(path).expect("a file");
    bytes.resize(bytes.len() + 300_000, 0);
    fs::write(path, bytes).expect("a file");
    let spool = check(directory.path(), &all_but(|_| false), 0);
    assert_eq!(damaged(&spool.figures()), (0, 0));
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    for at in [0, 10, 18, 30] {
        for which in [0, 4, usize::MAX] {
            let directory = spool_of_400();
            let segments = segments(directory.path());
            let path = segments.get(which).or_else(|| segments.last()).expect("a segment");
            let mut bytes = fs::read(path).expect("a file");
            bytes[at] ^= 0x10;
            fs::write(path, bytes).expect("a file");
            let spool = check(directory.path(), &all_but(|_| false), 0);
            assert_eq!(damaged(&spool.figures()), (0, 32), "byte {at} of {}", path.display());
        }
    }
}

/// Damage to the files of a spool in this directory.
type Damage = fn(&Path);

/// A committed record is known, even if the process is killed right after the commit.
#[test]
fn records_that_are_missing_at_the_end_are_counted() {
    let gone: [(&str, Damage); 5] = [
        ("the last segment emptied", |path| fs::write(last(path), "").expect("a file")),
        ("the last segment deleted", |path| fs::remove_file(last(path)).expect("a file")),
        ("the last segment cut off", |path| {
            fs::write(last(path), &fs::read(last(path)).expect("a file")[..700]).expect("a file");
        }),
        ("the last record damaged", |path| drop(damage(path, COUNT, |record| record[70] ^= 0x20))),
        ("all segments deleted", |path| segments(path).iter().for_each(|file| fs::remove_file(file).expect("a file"))),
    ];
    for (name, take) in gone {
        let directory = spool_of_400();
        take(directory.path());
        let (mut spool, recovery) = open_directory(directory.path());
        let missing = recovery.missing;
        assert!((1..=COUNT).contains(&missing), "{name}: {missing} missing");
        assert!(recovery.to_string().contains("the disk has lost"), "{name}: {recovery}");
        assert_eq!(spool.figures().damaged_records, missing, "{name}: counted before they are reached");
        assert_eq!(spool.figures().pending_records, COUNT - missing, "{name}");
        // A second start finds the same, and new records come behind.
        drop(spool);
        (spool, _) = open_directory(directory.path());
        assert_eq!(append(&mut spool, 500), COUNT + 1, "{name}: no number is given twice");
        spool.commit().expect("a disk");
        let expected: Vec<u64> = (1..=COUNT - missing).chain([500]).collect();
        assert_eq!(drain(&mut spool), expected, "{name}");
        assert_eq!(
            (spool.figures().damaged_records, spool.figures().pending_records),
            (missing, expected.len() as u64)
        );
        finish(&mut spool);
        drop(spool);
        let (spool, recovery) = open_directory(directory.path());
        assert_eq!((recovery.missing, spool.figures().damaged_records), (0, 0), "{name}: it is over");
    }
}

/// After a crash of the machine, the last save of the cursor says what was durable.
#[test]
fn the_cursor_tells_what_is_missing_after_a_machine_crash() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=100, 7);
    spool.checkpoint().expect("a disk");
    fill(&mut spool, 101..=120, 7);
    disk.crash(7);
    let names: Vec<String> = disk.names().into_iter().filter(|name| is_segment(name)).collect();
    for name in &names {
        disk.with(|world| world.delete(name));
    }
    let (spool, recovery) = open(disk);
    assert!((100..=120).contains(&recovery.missing), "{}", recovery.missing);
    assert_eq!(spool.figures().damaged_records, recovery.missing);
}

/// Files as the first version wrote them say nothing about their end.
#[test]
fn a_spool_of_the_first_version_is_read() {
    let directory = spool_of_400();
    let mut cursor = vec![0; 8192];
    cursor[..8].copy_from_slice(b"PRCURSOR");
    for (at, number) in [7_u64, 40, 1, 0].into_iter().enumerate() {
        cursor[8 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c(&cursor[..40]);
    cursor[40..44].copy_from_slice(&crc.to_le_bytes());
    fs::write(directory.path().join("cursor"), cursor).expect("a file");
    let (mut spool, recovery) = open_directory(directory.path());
    assert_eq!((recovery.cursor, recovery.missing), (CursorState::Found, 0));
    assert_eq!(drain(&mut spool), (41..=COUNT).collect::<Vec<_>>());
    drop(spool);
    fs::remove_file(last(directory.path())).expect("a file");
    assert!(open_directory(directory.path()).1.missing > 0, "from now on it is known");
}

fn last(directory: &Path) -> PathBuf {
    segments(directory).pop().expect("a segment")
}

#[test]
fn a_missing_segment_costs_its_records() {
    let directory = spool_of_400();
    let segments = segments(directory.path());
    let base =
        |path: &Path| path.file_stem().expect("a name").to_str().expect("UTF-8").parse::<u64>().expect("a number");
    let gone = base(&segments[3])..base(&segments[4]);
    fs::remove_file(&segments[3]).expect("a file");
    check(directory.path(), &all_but(|n| gone.contains(&n)), gone.end - gone.start);

    // The last one: its numbers are not given out again after they were acknowledged.
    let directory = spool_of_400();
    let (mut spool, _) = open_directory(directory.path());
    drain(&mut spool);
    spool.acknowledge(COUNT).expect("a disk");
    spool.checkpoint().expect("a disk");
    drop(spool);
    let path = self::segments(directory.path()).pop().expect("a segment");
    fs::remove_file(path).expect("a file");
    let (mut spool, _) = open_directory(directory.path());
    assert_eq!(append(&mut spool, 500), COUNT + 1);
    spool.commit().expect("a disk");
    assert_eq!(drain(&mut spool), [500]);
}

#[test]
fn a_segment_that_goes_while_it_is_read_costs_its_records() {
    let directory = spool_of_400();
    let (mut spool, _) = open_directory(directory.path());
    let segments = segments(directory.path());
    fs::remove_file(&segments[2]).expect("a file");
    let numbers = drain(&mut spool);
    let lost = COUNT - numbers.len() as u64;
    assert!(lost > 5 && spool.figures().damaged_records == lost);
    finish(&mut spool);
}

/// A long stretch of noise is passed in bounded steps, and meanwhile records are taken.
#[test]
fn a_last_segment_that_goes_is_read_past_at_once() {
    let directory = spool_of_400();
    let (mut spool, _) = open_directory(directory.path());
    let last = segments(directory.path()).pop().expect("a segment");
    fs::remove_file(&last).expect("a segment");
    let numbers = drain(&mut spool);
    assert!(spool.is_read(), "nobody waits for what is not there");
    assert_eq!(numbers.len() as u64 + spool.figures().damaged_records, 400);
    assert!(spool.figures().damaged_records > 0);
}

#[test]
fn much_damage_holds_nothing_up() {
    let directory = spool_of_400();
    let (path, mut bytes, start) = find(directory.path(), 100);
    let noise: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bytes.splice(start..start, noise.iter().copied());
    fs::write(&path, bytes).expect("a file");
    let (mut spool, _) = open_directory(directory.path());
    let mut numbers = Vec::new();
    let mut empty = 0;
    let mut n = COUNT;
    loop {
        let (records, progress) = read(&mut spool, 10_000).expect("a disk");
        if records.is_empty() && progress == Progress::More {
            empty += 1;
            n += 1;
            append(&mut spool, n);
            spool.commit().expect("a disk");
        }
        numbers.extend(records.iter().map(|(n, _)| *n));
        if progress == Progress::End {
            break;
        }
    }
    assert!((3..20).contains(&empty), "{empty} calls");
    assert_eq!(numbers, (1..=n).collect::<Vec<_>>());
    assert_eq!(damaged(&spool.figures()), (0, 5_000_000));
    assert_eq!(quarantined(directory.path()), [noise]);
    finish(&mut spool);
}

/// A whole record of lower number, as a file system might bring one back.
#[test]
fn a_record_where_it_cannot_be_is_not_delivered() {
    let directory = spool_of_400();
    let (_, bytes, start) = find(directory.path(), 50);
    let end = start + memchr::memmem::find(&bytes[start + 1..], b"\xffPR\xfe").expect("another record") + 1;
    let old = bytes[start..end].to_vec();
    for n in [120, 300] {
        let (path, mut bytes, start) = find(directory.path(), n);
        bytes.splice(start..start, old.iter().copied());
        fs::write(path, bytes).expect("a file");
    }
    // Behind the last record it is a torn tail.
    let path = segments(directory.path()).pop().expect("a segment");
    let mut bytes = fs::read(&path).expect("a file");
    bytes.extend_from_slice(&old);
    fs::write(path, bytes).expect("a file");
    let spool = check(directory.path(), &all_but(|_| false), 0);
    assert_eq!(damaged(&spool.figures()), (0, 2 * old.len() as u64));
}

#[test]
fn the_cursor_lags_when_it_is_damaged() {
    let acknowledged = |change: &dyn Fn(&mut Vec<u8>)| {
        let directory = spool_of_400();
        let (mut spool, _) = open_directory(directory.path());
        let (records, _) = read(&mut spool, 2000).expect("a disk");
        let first = records.len() as u64;
        spool.acknowledge(first).expect("a disk");
        spool.checkpoint().expect("a disk");
        read(&mut spool, 300).expect("a disk");
        spool.acknowledge(u64::MAX).expect("a disk");
        spool.checkpoint().expect("a disk");
        let both = spool.acknowledged();
        assert!(first > 3 && both > first && spool.figures().disk_bytes > 4096);
        drop(spool);
        let path = directory.path().join("cursor");
        let mut bytes = fs::read(&path).expect("a file");
        change(&mut bytes);
        fs::write(&path, bytes).expect("a file");
        let (mut spool, Recovery { cursor, .. }) = open_directory(directory.path());
        let start = drain(&mut spool)[0];
        assert_eq!(*drain_again(&mut spool).last().expect("a record"), COUNT);
        // The next checkpoint repairs the cursor.
        spool.acknowledge(start).expect("a disk");
        spool.checkpoint().expect("a disk");
        drop(spool);
        let (mut spool, recovery) = open_directory(directory.path());
        assert_eq!(recovery.cursor, CursorState::Found);
        assert_eq!(drain(&mut spool)[0], start + 1);
        (cursor, start, first, both)
    };
    let (cursor, start, _, both) = acknowledged(&|_| {});
    assert_eq!((cursor, start), (CursorState::Found, both + 1));
    // Each slot alone: one of them was the newest, and then the one before counts.
    let starts = [0, 4096].map(|slot| {
        let (cursor, start, first, both) = acknowledged(&|bytes| bytes[slot + 20] ^= 1);
        assert_eq!(cursor, CursorState::Found);
        assert!(start == both + 1 || start == first + 1, "{start}");
        start == both + 1
    });
    assert!(starts[0] != starts[1]);
    for (change, state) in [
        ((&|bytes: &mut Vec<u8>| bytes.fill(0)) as &dyn Fn(&mut Vec<u8>), CursorState::Damaged),
        (&|bytes| bytes.truncate(0), CursorState::Damaged),
    ] {
        let (cursor, start, ..) = acknowledged(change);
        assert_eq!((cursor, start), (state, 1));
    }
}

fn drain_again(spool: &mut Spool) -> Vec<u64> {
    spool.rewind();
    drain(spool)
}

#[test]
fn without_a_cursor_all_is_read_again() {
    let directory = spool_of_400();
    let (mut spool, _) = open_directory(directory.path());
    drain(&mut spool);
    spool.acknowledge(300).expect("a disk");
    let oldest = segments(directory.path())[0].clone();
    drop(spool);
    fs::remove_file(directory.path().join("cursor")).expect("a file");
    let (mut spool, recovery) = open_directory(directory.path());
    assert_eq!(recovery.cursor, CursorState::Missing);
    assert!(recovery.to_string().contains("its cursor is missing, so Postrider delivers all records again"));
    let first: u64 = oldest.file_stem().expect("a name").to_str().expect("UTF-8").parse().expect("a number");
    assert!(first > 200);
    assert_eq!(drain(&mut spool), (first..=COUNT).collect::<Vec<_>>());
    finish(&mut spool);
}

/// Anything, anywhere, in any file.
#[derive(Clone, Debug)]
enum Vandalism {
    Flip(Index, u8),
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, u16),
    Repeat(Index, Index, u16),
    Delete,
}

fn vandalism() -> impl Strategy<Value = Vandalism> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..600);
    prop_oneof![
        4 => (any::<Index>(), 1..=255_u8).prop_map(|(at, bits)| Vandalism::Flip(at, bits)),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Vandalism::Overwrite(at, bytes)),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Vandalism::Insert(at, bytes)),
        2 => (any::<Index>(), any::<u16>()).prop_map(|(at, count)| Vandalism::Remove(at, count)),
        2 => (any::<Index>(), any::<Index>(), any::<u16>()).prop_map(|(from, to, count)| Vandalism::Repeat(from, to, count)),
        1 => Just(Vandalism::Delete),
    ]
}

fn vandalize(bytes: &mut Vec<u8>, vandalism: &Vandalism) {
    let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
    match vandalism {
        Vandalism::Flip(at, bits) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Vandalism::Overwrite(at, new) => {
            let at = place(at, bytes);
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        Vandalism::Insert(at, new) => {
            let at = place(at, bytes);
            bytes.splice(at..at, new.iter().copied());
        }
        Vandalism::Remove(at, count) => {
            let at = place(at, bytes);
            let end = (at + usize::from(*count)).min(bytes.len());
            bytes.drain(at..end);
        }
        Vandalism::Repeat(from, to, count) => {
            let (from, to) = (place(from, bytes), place(to, bytes));
            let end = (from + usize::from(*count)).min(bytes.len());
            let copy = bytes[from..end].to_vec();
            bytes.splice(to..to, copy);
        }
        Vandalism::Flip(..) | Vandalism::Delete => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A spool with any damage to its files opens, reads to the end, gives only whole records, each once and in order,
    /// counts exactly what it does not give, and takes new ones.
    #[test]
    fn no_damage_stops_it(acts in proptest::collection::vec((any::<Index>(), vandalism()), 1..8)) {
        let disk = Simulated::default();
        let (mut spool, _) = open(disk.clone());
        fill(&mut spool, 1..=120, 7);
        drain(&mut spool);
        spool.acknowledge(40).expect("a disk");
        disk.kill();
        for (which, act) in &acts {
            let names = disk.names();
            let name = &names[which.index(names.len())];
            match act {
                Vandalism::Delete => disk.with(|world| world.delete(name)),
                act => disk.with(|world| world.edit(name, |bytes| vandalize(bytes, act))),
            }
            if disk.names().is_empty() {
                break;
            }
        }
        let (mut spool, _) = open(disk.clone());
        let numbers = drain(&mut spool);
        prop_assert!(numbers.is_sorted_by(|a, b| a < b));
        let figures = spool.figures();
        prop_assert_eq!(figures.pending_records, numbers.len() as u64, "{:?}", figures);
        spool.rewind();
        prop_assert_eq!(drain(&mut spool), numbers);
        prop_assert_eq!(spool.figures(), figures);
        finish(&mut spool);
        fill(&mut spool, 1000..1030, 7);
        prop_assert_eq!(drain(&mut spool), (1000..1030).collect::<Vec<_>>());
        disk.kill();
        let (mut spool, _) = open(disk);
        let numbers = drain(&mut spool);
        prop_assert_eq!(numbers.last(), Some(&1029));
    }
}

/// Files of a later version are not read by guessing.
#[test]
fn a_later_version_is_refused_and_left_alone() {
    let directory = spool_of_400();
    let path = segments(directory.path()).pop().expect("a segment");
    let mut bytes = fs::read(&path).expect("a file");
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &bytes).expect("a file");
    let error = crate::spool::lines::open_result(directory.path()).expect_err("a refusal").to_string();
    let file = path.display();
    let expected = format!("{file} has version 2 of the spool format; use the newer Postrider that wrote it");
    assert_eq!(error, expected);
    assert_eq!(fs::read(&path).expect("a file"), bytes);
}

/// Files that a person put there are none of its business.
#[test]
fn other_files_are_left_alone() {
    let directory = spool_of_400();
    fs::write(directory.path().join("README"), "mine").expect("a file");
    fs::write(directory.path().join("1.seg"), "mine").expect("a file");
    check(directory.path(), &all_but(|_| false), 0);
    assert_eq!(fs::read(directory.path().join("1.seg")).expect("a file"), b"mine");
}
