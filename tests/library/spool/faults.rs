//! A disk that fails, fills up, or does things by halves.

use nix::errno::Errno;
use postrider::record::RecordId;
use postrider::spool::{Error, Limit, OpenError, Settings, Spool, SpoolEntry, TooLong};

use crate::spool::lines::{SMALL, append, append_all, damaged, drain, fill, finish, is_segment, line, open, read};
use crate::spool::simulated::{Call, Simulated};

#[test]
fn a_sync_that_fails_ends_it_and_is_not_tried_again() {
    for call in [Call::Sync, Call::SyncDirectory] {
        let disk = Simulated::default();
        let (mut spool, _) = open(disk.clone());
        if call == Call::Sync {
            fill(&mut spool, 1..=20, 5);
        }
        disk.fail(call, Errno::EIO, 1);
        append(&mut spool, 21);
        let error = spool.commit().expect_err("an error");
        let Error::Fatal { path, reason } = &error else { panic!("{error}") };
        assert!(path.starts_with("/simulated") && reason.contains("Input/output error"), "{error}");
        assert!(error.to_string().ends_with("written data may be lost"), "{error}");
        // The second fdatasync would succeed, and say nothing.
        let syncs = disk.calls(call);
        assert_eq!(spool.commit(), Err(error.clone()));
        assert_eq!(spool.acknowledge(1), Err(error.clone()));
        assert_eq!(spool.checkpoint(), Err(error.clone()));
        assert_eq!(spool.read(1, |_| panic!("a record")), Err(error));
        assert_eq!(disk.calls(call), syncs);
        assert_eq!(spool.durable(), if call == Call::Sync { 20 } else { 0 });
        for seed in 0..20 {
            disk.crash(seed);
            let (mut spool, _) = open(disk.clone());
            let read = drain(&mut spool);
            if call == Call::Sync {
                assert_eq!(read, (1..=20).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn a_cursor_that_cannot_be_synced_deletes_nothing() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=100, 5);
    drain(&mut spool);
    let segments = spool.figures().segments;
    disk.fail(Call::Sync, Errno::EIO, 1);
    let error = spool.acknowledge(100).expect_err("an error");
    assert!(matches!(&error, Error::Fatal { path, .. } if path.ends_with("cursor")), "{error}");
    assert_eq!(disk.names().iter().filter(|name| is_segment(name)).count(), segments);
}

/// Commits until there is room, and reads all.
fn resumes(
    disk: &Simulated,
    spool: &mut Spool<Simulated>,
    mut make_room: impl FnMut(&mut Spool<Simulated>),
    limit: Limit,
) {
    let mut n = 0;
    let error = loop {
        for _ in 0..5 {
            n += 1;
            append(spool, n);
        }
        match spool.commit() {
            Ok(()) => assert!(n < 10_000, "it is never full"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Full { limit: found, .. } if *found == limit), "{error}");
    let waiting = spool.figures();
    assert!((1..=5).contains(&waiting.buffered_records) && waiting.buffered_bytes > 0, "{waiting:?}");
    assert!(n > 20, "full at {n}");
    // Trying again changes nothing, and what is durable can be read.
    for _ in 0..3 {
        assert_eq!(spool.commit(), Err(error.clone()));
    }
    assert_eq!(spool.figures().buffered_records, waiting.buffered_records);
    let mut numbers = drain(spool);
    assert_eq!(numbers, (1..=n - waiting.buffered_records).collect::<Vec<_>>());
    make_room(spool);
    spool.commit().expect("room");
    numbers.extend(drain(spool));
    assert_eq!(numbers, (1..=n).collect::<Vec<_>>());
    assert_eq!(damaged(&spool.figures()), (0, 0));
    disk.crash(n);
    let (mut spool, _) = open(disk.clone());
    assert_eq!(drain(&mut spool).last(), Some(&n));
}

#[test]
fn a_full_disk_blocks_and_resumes() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    disk.with(|world| world.capacity = Some(50_000));
    resumes(&disk, &mut spool, |_| disk.with(|world| world.capacity = None), Limit::Disk);

    // Acknowledged records make room by themselves.
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    disk.with(|world| world.capacity = Some(50_000));
    resumes(&disk, &mut spool, |spool| spool.acknowledge(u64::MAX).expect("a disk"), Limit::Disk);
}

/// The room that only the last segment takes.
#[test]
fn a_full_disk_gets_back_what_is_acknowledged() {
    let disk = Simulated::default();
    let (mut spool, _) = Spool::open(disk.clone(), Settings { segment_size: 1 << 20, ..SMALL }).expect("a spool");
    fill(&mut spool, 1..=200, 5);
    disk.with(|world| world.capacity = Some(world.sizes("")));
    append(&mut spool, 201);
    assert!(matches!(spool.commit(), Err(Error::Full { limit: Limit::Disk, .. })));
    assert_eq!(drain(&mut spool).len(), 200);
    spool.acknowledge(200).expect("a disk");
    spool.commit().expect("room");
    assert_eq!(drain(&mut spool), [201]);
    finish(&mut spool);
}

#[test]
fn a_quota_blocks_and_resumes() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=3, 1);
    disk.fail(Call::Write, Errno::EDQUOT, 1);
    append(&mut spool, 4);
    let error = spool.commit().expect_err("an error");
    assert_eq!(error.to_string(), "the spool /simulated is full: the disk quota of its user is used up");
    spool.commit().expect("room");
    assert_eq!(drain(&mut spool), [1, 2, 3, 4]);
}

#[test]
fn its_own_limit_blocks_and_resumes() {
    const LIMIT: u64 = 60_000;
    for cursor_records in [1, 1_000_000] {
        let disk = Simulated::default();
        let settings = Settings { max_size: LIMIT, cursor_records, ..SMALL };
        let (mut spool, _) = Spool::open(disk.clone(), settings).expect("a spool");
        let acknowledge = |spool: &mut Spool<Simulated>| spool.acknowledge(u64::MAX).expect("a disk");
        resumes(&disk, &mut spool, acknowledge, Limit::MaxSize { bytes: LIMIT, quarantine: 0 });
        disk.with(|world| assert!(world.lost.names == 0, "names were not durable: {:?}", world.lost));
    }
}

#[test]
fn the_free_space_floor_blocks_and_resumes() {
    let disk = Simulated::default();
    let settings = Settings { free_space_floor: 1_000_000, ..SMALL };
    let (mut spool, _) = Spool::open(disk.clone(), settings).expect("a spool");
    disk.with(|world| world.free_space = 2_000_000);
    fill(&mut spool, 1..=30, 5);
    disk.with(|world| world.free_space = 999_900);
    append(&mut spool, 31);
    let error = spool.commit().expect_err("an error");
    let expected = "the spool /simulated is full: its file system would have less than 1000000 bytes left";
    assert_eq!(error.to_string(), expected);
    // The cursor may still be written, and segments deleted.
    assert_eq!(drain(&mut spool).len(), 30);
    spool.acknowledge(30).expect("a disk");
    disk.with(|world| world.free_space = 1_001_000);
    spool.commit().expect("room");
    assert_eq!(drain(&mut spool), [31]);
}

/// A limit below what one segment takes must not block for ever.
#[test]
fn the_oldest_segment_can_be_given_up_for_room() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=100, 5);
    let (segments, before) = (spool.figures().segments, spool.figures().pending_records);
    assert!(segments > 3, "{segments} segments");
    let mut first = None;
    spool.read(1, |record| first = Some(record.seq)).expect("a record");
    assert_eq!(first, Some(1));
    let unread = spool.give_up_oldest().expect("no fault").expect("another segment");
    assert_eq!(unread.start, 2, "the first was read");
    assert_eq!(spool.figures().segments, segments - 1);
    assert_eq!(spool.figures().pending_records, before - (unread.end - 1));
    assert_eq!(spool.figures().damaged_records, 0, "given up is not lost to damage");
    disk.crash(1);
    let (mut spool, _) = open(disk);
    assert_eq!(drain(&mut spool), (unread.end..=100).collect::<Vec<_>>(), "it stays given up");
    while spool.give_up_oldest().expect("no fault").is_some() {}
    assert_eq!(spool.figures().segments, 1, "the last is written on");
}

/// The files of a spool never take more than its limit, and it always goes on.
#[test]
fn its_limit_holds_for_all_its_files() {
    const LIMIT: u64 = 256 << 10;
    let disk = Simulated::default();
    let settings = Settings { max_size: LIMIT, segment_size: 1 << 30, cursor_records: 1000, ..SMALL };
    let (mut spool, _) = Spool::open(disk.clone(), settings).expect("a spool");
    let mut next = 1;
    for round in 0..20 {
        // A group that is several times as large as the limit.
        let group = next..next + 4000;
        next = group.end;
        append_all(&mut spool, group.clone());
        let mut numbers = Vec::new();
        while numbers.len() < 4000 {
            let error = spool.commit().err();
            let taken = disk.with(|world| world.on_disk());
            assert!(taken <= LIMIT, "{taken} bytes in round {round}");
            if let Some(error) = error {
                assert_eq!(
                    error,
                    Error::Full { path: "/simulated".into(), limit: Limit::MaxSize { bytes: LIMIT, quarantine: 0 } }
                );
                assert!(taken > LIMIT * 2 / 3, "full with {taken} bytes");
            }
            // Damage goes to quarantine, which is within the limit too.
            let last = disk.names().into_iter().rfind(|name| is_segment(name)).expect("a segment");
            disk.with(|world| world.edit(&last, |bytes| bytes.extend_from_slice(&[0x55; 900])));
            let read = drain(&mut spool);
            assert!(!read.is_empty(), "what was committed before it was full can be read");
            numbers.extend(read);
            spool.acknowledge(u64::MAX).expect("a disk");
        }
        assert_eq!(numbers, group.collect::<Vec<_>>());
        if round % 7 == 6 {
            disk.kill();
            spool = Spool::open(disk.clone(), settings).expect("a spool").0;
        }
    }
}

#[test]
fn a_record_that_can_never_fit_is_refused() {
    let settings = Settings { max_size: 64 << 10, segment_size: 1 << 30, ..SMALL };
    let (mut spool, _) = Spool::open(Simulated::default(), settings).expect("a spool");
    let long = vec![b'x'; 64 << 10];
    let entry = |line| SpoolEntry { id: RecordId(1), timestamp_ms: 0, route: "", key: None, line };
    let most = spool.longest_record();
    let TooLong { bytes, most: said } = spool.append(&entry(&long)).expect_err("a refusal");
    assert!(bytes > 64 << 10 && said == most && most > 30 << 10, "{bytes}, {said}, {most}");
    let longest = &long[..most as usize - (bytes as usize - long.len())];
    spool.append(&entry(longest)).expect("it fits");
    spool.commit().expect("there is room for it");
}

#[test]
fn short_writes_are_gone_on_with() {
    let disk = Simulated::default();
    disk.with(|world| world.longest_write = Some(7));
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=60, 9);
    disk.crash(1);
    let (mut spool, _) = open(disk);
    assert_eq!(drain(&mut spool), (1..=60).collect::<Vec<_>>());
    finish(&mut spool);
}

#[test]
fn too_many_open_files_pass() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    disk.fail(Call::Open, Errno::EMFILE, 1);
    append(&mut spool, 1);
    let error = spool.commit().expect_err("an error");
    assert!(matches!(&error, Error::Retry { act: "create", .. }), "{error}");
    assert!(error.to_string().contains("cannot create /simulated/00000000000000000001.seg: "), "{error}");
    spool.commit().expect("a file");
    disk.fail(Call::Open, Errno::EMFILE, 1);
    let error = read(&mut spool, 100).expect_err("an error");
    assert!(matches!(&error, Error::Retry { act: "read", .. }), "{error}");
    assert_eq!(drain(&mut spool), [1]);

    fill(&mut spool, 2..=100, 5);
    drain(&mut spool);
    disk.fail(Call::Unlink, Errno::EPERM, 1);
    let error = spool.acknowledge(50).expect_err("an error");
    assert!(error.to_string().starts_with("cannot delete /simulated/0000"), "{error}");
    assert_eq!(spool.acknowledged(), 50);
    spool.acknowledge(50).expect("a disk");
    finish(&mut spool);
}

#[test]
fn sectors_that_cannot_be_read_cost_their_records() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=100, 5);
    // The chunk fails, and then its first sector.
    disk.fail(Call::Read, Errno::EIO, 2);
    let numbers = drain(&mut spool);
    let figures = spool.figures();
    assert!(numbers.len() < 100 && *numbers.last().expect("a record") == 100, "{numbers:?}");
    assert_eq!(figures.damaged_records, 100 - numbers.len() as u64);
    assert!((1000..=4096).contains(&figures.damaged_bytes), "{figures:?}");
    finish(&mut spool);
}

#[test]
fn a_start_reads_the_last_segment_alone() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=1000, 5);
    let segments = spool.figures().segments;
    disk.kill();
    disk.with(|world| world.read.clear());
    let (mut spool, recovery) = open(disk.clone());
    assert_eq!(recovery.pending_records, 1000);
    assert!(segments > 20);
    let mut read: Vec<String> = disk.with(|world| world.read.keys().cloned().collect());
    read.retain(|name| is_segment(name));
    let last = disk.names().into_iter().filter(|name| is_segment(name)).max();
    assert_eq!(read, Vec::from_iter(last));
    assert_eq!(drain(&mut spool).len(), 1000);
}

/// The second start finds what the first has left in the middle of its repair.
#[test]
fn two_dirty_starts_in_a_row() {
    let mut torn = 0;
    for seed in 0..300 {
        let disk = Simulated::default();
        let (mut spool, _) = open(disk.clone());
        fill(&mut spool, 1..=50, 5);
        drain(&mut spool);
        let _ = spool.acknowledge(30);
        append_all(&mut spool, 51..=70);
        disk.with(|world| world.dies_after = Some(1));
        assert!(spool.commit().is_err());
        disk.crash(seed);
        disk.with(|world| world.dies_after = Some(seed % 6));
        let (first, second) = (Spool::open(disk.clone(), SMALL), !seed);
        torn += u64::from(first.as_ref().is_ok_and(|(_, recovery)| recovery.torn.is_some()) || first.is_err());
        disk.crash(second);
        let (mut spool, _) = open(disk.clone());
        let numbers = drain(&mut spool);
        assert!(
            numbers[0] <= 31 && numbers.iter().filter(|n| **n <= 50).count() as u64 == 51 - numbers[0],
            "{numbers:?}"
        );
        fill(&mut spool, 100..=110, 5);
        assert_eq!(drain(&mut spool), (100..=110).collect::<Vec<_>>());
        finish(&mut spool);
    }
    assert!(torn > 50, "{torn}");
}

#[test]
fn a_record_larger_than_a_segment_has_one_of_its_own() {
    let disk = Simulated::default();
    let settings = Settings { segment_size: 200, ..SMALL };
    let (mut spool, _) = Spool::open(disk.clone(), settings).expect("a spool");
    fill(&mut spool, 1..=40, 7);
    assert!((1..=40).any(|n| line(n).len() > 300));
    assert!(spool.figures().segments > 30);
    disk.kill();
    let (mut spool, _) = Spool::open(disk, settings).expect("a spool");
    assert_eq!(drain(&mut spool), (1..=40).collect::<Vec<_>>());
    finish(&mut spool);
}

#[test]
fn figures_tell_what_waits() {
    let disk = Simulated::default();
    let (mut spool, _) = open(disk.clone());
    fill(&mut spool, 1..=200, 8);
    append(&mut spool, 201);
    let figures = spool.figures();
    assert_eq!((figures.pending_records, figures.buffered_records), (200, 1));
    assert_eq!(figures.pending_bytes, figures.disk_bytes);
    let files: u64 = disk.with(|world| world.sizes(".seg"));
    assert_eq!(figures.disk_bytes, files);
    let mut before = figures.pending_bytes;
    for through in [1, 77, 150, 199] {
        while spool.read(1, |_| {}).is_ok() && spool.figures().pending_records > 0 && !spool.is_read() {}
        spool.acknowledge(through).expect("a disk");
        let figures = spool.figures();
        assert_eq!(figures.pending_records, 200 - through);
        assert!(figures.pending_bytes <= before);
        before = figures.pending_bytes;
    }
    spool.acknowledge(200).expect("a disk");
    assert_eq!((spool.figures().pending_records, spool.figures().pending_bytes), (0, 0));
}

#[test]
fn one_process_has_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (spool, _) = crate::spool::lines::open_directory(&directory.path().join("deep/spool"));
    let error =
        Spool::open(postrider::spool::Disk::new(&directory.path().join("deep/spool")), SMALL).expect_err("a refusal");
    let OpenError::Locked { process, .. } = &error else { panic!("{error}") };
    assert_eq!(*process, Some(std::process::id()));
    assert!(error.to_string().contains(" is in use by process "), "{error}");
    drop(spool);
    crate::spool::lines::open_directory(&directory.path().join("deep/spool"));
}
