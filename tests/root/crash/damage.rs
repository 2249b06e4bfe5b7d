//! What is left when files of a spool are damaged between two runs: everything but what the damage has taken?

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::crash::DEADLINE;
use crate::crash::sender::{Sender, Session};
use crate::crash::spool;
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;

/// Beginning of a record in a segment, and the places of its parts (`src/spool/format.rs`).
const MAGIC: [u8; 4] = *b"\xffPR\xfe";
const MESSAGES: usize = 1500;

/// Has a spool of some segments, has `damage` done to it, and gives the end of the run behind that and the numbers that
/// are missing.
fn after(damage: impl FnOnce(&Path)) -> (Ended, Vec<usize>, usize) {
    let directory = scratch::directory("damage");
    let config = spool::config(directory.path(), &spool::keys("always"));
    let stderr = directory.path().join("stderr");
    let (mut sender, output) = (Sender::default(), Output::default());
    let mut first = Unread::spawn(&config, &stderr);
    let reader = output.read(first.output());
    // Nothing is on the way then, so that no write is unfinished and the damage is all that can be kept.
    let deliver = |mut session: Session<'_>| session.deliver(MESSAGES).and_then(|()| session.finish().map(|_| ()));
    sender.connect(first.address("relp")).and_then(deliver).expect("acknowledgements");
    first.signal(Signal::SIGKILL);
    first.ended(DEADLINE);
    assert!(spool::segments(directory.path()).len() >= 3, "{:?}", spool::segments(directory.path()));
    damage(directory.path());

    let mut second = Unread::spawn(&config, &stderr);
    second.address("relp");
    output.open(true);
    let late = output.read(second.output());
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    late.join().expect("the reader");
    let missing: Vec<usize> = output.seen(|seen| {
        let there = sender.acknowledged.intersection(&seen.numbers).copied().collect();
        seen.judge("damage", &there, sender.next, 0);
        sender.acknowledged.difference(&seen.numbers).copied().collect()
    });
    let quarantined = fs::read_dir(spool::path(directory.path()).join("quarantine")).map_or(0, Iterator::count);
    (ended, missing, quarantined)
}

/// Changes the second segment, at a place in a record in the middle.
fn change(directory: &Path, offset: usize, bytes: &[u8]) {
    let path = spool::segments(directory).swap_remove(1);
    let mut segment = fs::read(&path).expect("a segment");
    let middle = segment.len() / 2;
    let record = middle + memchr::memmem::find(&segment[middle..], &MAGIC).expect("a record");
    segment[record + offset..][..bytes.len()].copy_from_slice(bytes);
    fs::write(path, segment).expect("a segment");
}

/// One record is missing, counted, named and kept.
#[track_caller]
fn assert_one_is_lost((ended, missing, quarantined): (Ended, Vec<usize>, usize)) {
    assert_eq!(missing.len(), 1, "{missing:?}\n{}", ended.stderr);
    assert!(ended.stderr.contains(" dropped=1 dropped_damaged=1 "), "{}", ended.stderr);
    assert!(ended.stderr.contains("damage has destroyed records"), "{}", ended.stderr);
    assert_eq!(quarantined, 1, "the damage is kept");
}

#[test]
fn a_damaged_payload_takes_one_record() {
    assert_one_is_lost(after(|directory| change(directory, 200, b"XXXX")));
}

#[test]
fn a_damaged_length_takes_one_record() {
    assert_one_is_lost(after(|directory| change(directory, 4, &[0xff; 4])));
}

#[test]
fn a_damaged_magic_number_takes_one_record() {
    assert_one_is_lost(after(|directory| change(directory, 0, b"none")));
}

#[test]
fn a_damaged_header_of_a_segment_takes_nothing() {
    let (ended, missing, quarantined) = after(|directory| {
        let path = spool::segments(directory).swap_remove(1);
        let mut segment = fs::read(&path).expect("a segment");
        segment[..8].copy_from_slice(b"no magic");
        fs::write(path, segment).expect("a segment");
    });
    assert!(missing.is_empty(), "{missing:?}\n{}", ended.stderr);
    assert_eq!(quarantined, 1, "the damage is kept");
}

#[test]
fn a_damaged_cursor_takes_nothing() {
    let (ended, missing, _) = after(|directory| {
        fs::write(spool::path(directory).join("cursor"), [0xff; 8192]).expect("a cursor");
    });
    assert!(missing.is_empty(), "{missing:?}\n{}", ended.stderr);
    assert!(
        ended.stderr.contains("its cursor is damaged, so Postrider delivers all records again"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_missing_segment_takes_its_records_and_they_are_counted() {
    let (ended, missing, _) = after(|directory| {
        fs::remove_file(spool::segments(directory).swap_remove(1)).expect("a segment");
    });
    let lost = missing.len();
    assert!(lost > 100, "{missing:?}");
    assert!(missing.iter().copied().eq(missing[0]..missing[0] + lost), "they are one segment: {missing:?}");
    assert!(
        ended.stderr.contains(&format!(" dropped={lost} dropped_damaged={lost} ")),
        "{lost} lost\n{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(&format!("records={lost} ")) && ended.stderr.contains("damage has destroyed records"),
        "{}",
        ended.stderr
    );
}
