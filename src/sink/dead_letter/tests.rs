use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::buffer::Batch;
use crate::ledger::{Reason, SinkLedger};
use crate::sink::testing::batch;

fn new(path: &Path) -> Result<DeadLetters, String> {
    with_limit(path, u64::MAX)
}

fn with_limit(path: &Path, max_size: u64) -> Result<DeadLetters, String> {
    DeadLetters::new(Some(&DeadLetterConfig { path: path.to_owned(), max_size }), "kafka")
}

fn append(letters: &mut DeadLetters, batch: &Batch, reason: &str) -> (usize, Result<(), Error>) {
    letters.append(batch.entries().iter().map(|entry| Letter { reason, records: batch, entry: *entry }))
}

fn numbered(count: usize) -> Batch {
    let ledger = Arc::<SinkLedger>::default();
    let lines: Vec<String> = (0..count).map(|n| format!("{{\"n\":{n}}}")).collect();
    let lines: Vec<_> = lines.iter().map(|line| (line.as_str(), "mail", "")).collect();
    batch(&ledger, 0, &lines)
}

fn records(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let record = |line: &str| String::from_utf8(Parsed::read(line.as_bytes()).unwrap().record.to_vec()).unwrap();
    text.lines().map(record).collect()
}

fn end(batch: Batch) {
    batch.dropped(Reason::Rejected);
}

#[test]
fn lines_are_appended_to_a_file_that_only_its_owner_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let mut letters = new(&path).unwrap();
    assert!(!path.exists(), "no file before the first line");
    let batch = numbered(20_000);
    assert!(matches!(append(&mut letters, &batch, "too large"), (20_000, Ok(()))));
    letters.sync().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let expected: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert!(records(&path) == expected);
    assert!(letters.buffer.capacity() <= 2 * CHUNK);
    end(batch);
}

#[test]
fn a_file_that_was_renamed_or_removed_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let mut letters = new(&path).unwrap();
    let batch = numbered(1);
    append(&mut letters, &batch, "no").1.unwrap();
    fs::rename(&path, directory.path().join("old")).unwrap();
    append(&mut letters, &batch, "no").1.unwrap();
    assert_eq!((records(&path).len(), records(&directory.path().join("old")).len()), (1, 1));
    fs::remove_file(&path).unwrap();
    append(&mut letters, &batch, "no").1.unwrap();
    append(&mut letters, &batch, "no").1.unwrap();
    assert_eq!(records(&path).len(), 2);
    end(batch);
}

#[test]
fn a_torn_line_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    fs::write(&path, "{\"refused_at\":\"2026").unwrap();
    let mut letters = new(&path).unwrap();
    let batch = numbered(1);
    append(&mut letters, &batch, "no").1.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "{\"refused_at\":\"2026");
    assert_eq!(Parsed::read(lines[1].as_bytes()).unwrap().record, b"{\"n\":0}");
    end(batch);
}

#[test]
fn a_lock_that_somebody_keeps_is_an_error_that_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let held = Flock::lock(open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    let mut letters = new(&path).unwrap();
    let batch = numbered(1);
    let (done, result) = append(&mut letters, &batch, "no");
    assert_eq!(done, 0);
    assert!(matches!(result, Err(Error::Retry(reason)) if reason.contains("another process has locked it")));
    // Whoever waits for the lock of a file that is renamed meanwhile turns to the new one.
    fs::rename(&path, directory.path().join("old")).unwrap();
    append(&mut letters, &batch, "no").1.unwrap();
    assert_eq!(records(&path).len(), 1);
    drop(held);
    append(&mut letters, &batch, "no").1.unwrap();
    assert_eq!(records(&path).len(), 2);
    end(batch);
}

#[test]
fn what_cannot_be_synced_is_never_called_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut letters = new(&directory.path().join("dead.jsonl")).unwrap();
    let batch = numbered(1);
    append(&mut letters, &batch, "no").1.unwrap();
    letters.file = None;
    assert!(matches!(letters.sync(), Err(Error::Fatal(reason)) if reason.contains("cannot sync")));
    end(batch);
}

#[test]
fn it_grows_to_its_limit_and_no_further_until_it_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let mut letters = with_limit(&path, 2000).unwrap();
    let batch = numbered(1);
    let mut kept = 0;
    while append(&mut letters, &batch, "no").1.is_ok() {
        kept += 1;
        assert!(!letters.is_full());
    }
    assert!(kept > 5 && letters.is_full());
    assert!(fs::metadata(&path).unwrap().len() <= 2000);
    let (done, result) = append(&mut letters, &batch, "no");
    assert!(matches!((done, result), (0, Err(Error::Retry(reason))) if reason.contains("dead_letter_max_size")));
    assert_eq!(records(&path).len(), kept);
    fs::rename(&path, directory.path().join("old")).unwrap();
    append(&mut letters, &batch, "no").1.unwrap();
    assert!(!letters.is_full());
    end(batch);
}

#[test]
fn a_file_that_was_full_does_not_count_as_full_while_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let mut letters = with_limit(&path, 1).unwrap();
    let batch = numbered(1);
    assert!(append(&mut letters, &batch, "no").1.is_err() && letters.is_full());
    let held = Flock::lock(open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    assert!(append(&mut letters, &batch, "no").1.is_err() && !letters.is_full(), "it may have room by now");
    drop(held);
    end(batch);
}

#[test]
fn without_a_file_what_is_refused_is_gone() {
    let mut letters = DeadLetters::new(None, "kafka").unwrap();
    let batch = numbered(3);
    assert!(matches!(append(&mut letters, &batch, "no"), (3, Ok(()))));
    letters.sync().unwrap();
    end(batch);
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let error = new(&directory.path().join("no/dead.jsonl")).unwrap_err();
    assert!(error.contains("no/dead.jsonl") && error.contains("create the directory"), "{error}");
    let error = new(directory.path()).unwrap_err();
    assert!(error.starts_with("cannot write to the dead-letter file "), "{error}");
}
