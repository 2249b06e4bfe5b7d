//! The process kills itself at every named point, three times in a row each, on a real disk.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use postrider::spool::{Disk, Settings, Spool};

use crate::spool::lines::{SMALL, append, drain, finish, open_directory, read};

/// Every step after which a crash must lose nothing.
const POINTS: [&str; 12] = [
    "after-append",
    "after-seal",
    "after-create",
    "before-fdatasync",
    "after-fdatasync",
    "after-directory-fsync",
    "after-cursor-write",
    "after-cursor-fdatasync",
    "before-unlink",
    "after-unlink",
    "after-quarantine",
    "after-truncate",
];

/// A cursor that lags.
const SETTINGS: Settings = Settings { segment_size: 16_384, cursor_records: 40, ..SMALL };
const DIRECTORY: &str = "POSTRIDER_TEST_SPOOL";
const FIRST: &str = "POSTRIDER_TEST_FIRST";

/// Messages of children before they died.
#[derive(Debug, Default)]
struct Said {
    appended: u64,
    /// Since the last commit.
    waiting: Vec<u64>,
    committed: BTreeSet<u64>,
    acknowledged: u64,
}

/// Runs in a child process only: appends, reads and acknowledges, and says what it has done, until it is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let first: u64 = std::env::var(FIRST).expect("a number").parse().expect("a number");
    let (mut spool, _) = Spool::open(Disk::new(Path::new(&directory)), SETTINGS).expect("a spool");
    let mut out = std::io::stderr();
    let mut say = |what: &str, n: u64| writeln!(out, "{what} {n}").expect("a reader");
    let mut unacknowledged = Vec::new();
    for n in first..first + 6000 {
        say("append", n);
        append(&mut spool, n);
        if n % 7 == 0 {
            spool.commit().expect("a disk");
            say("commit", n);
        }
        if n % 11 == 0 {
            let (records, _) = read(&mut spool, 3000).expect("a disk");
            unacknowledged.extend(records);
            if let Some((n, seq)) = unacknowledged.drain(..unacknowledged.len() * 2 / 3).next_back() {
                say("acknowledge", n);
                spool.acknowledge(seq).expect("a disk");
            }
        }
    }
    say("end", 0);
}

/// Starts a child and waits until it has killed itself.
fn run(directory: &Path, point: &str, count: u64, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "spool::killed::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, (said.appended + 1).to_string())
        .env("POSTRIDER_CRASH_AT", format!("{point}:{count}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program again");
    for line in BufReader::new(child.stderr.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        let (what, n) = line.split_once(' ').unwrap_or((&line, ""));
        let n = n.parse().unwrap_or(0);
        match what {
            "append" => {
                said.appended = n;
                said.waiting.push(n);
            }
            "commit" => said.committed.extend(said.waiting.drain(..)),
            "acknowledge" => said.acknowledged = n,
            _ => panic!("{point}: {line}"),
        }
    }
    said.waiting.clear();
    let status = child.wait().expect("an end");
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
}

#[test]
fn nothing_committed_is_lost_at_any_point() {
    let mut all_repeated = 0;
    for point in POINTS {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let mut said = Said::default();
        // Only a start that finds something torn comes to these.
        let at_start = matches!(point, "after-quarantine" | "after-truncate");
        for count in [24, 8, 16] {
            // There are many more records than writes.
            let count = if point == "after-append" { 30 * count } else { count };
            if at_start {
                run(path, "before-fdatasync", count, &mut said);
                tear(path);
            }
            run(path, point, if at_start { 1 } else { count }, &mut said);
        }
        let (mut spool, _) = open_directory(path);
        let mut numbers = drain(&mut spool);
        let repeated = numbers.iter().filter(|n| **n <= said.acknowledged).count();
        assert!(said.committed.len() > 50 && said.acknowledged > 50, "{point}: not much happened: {said:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.last() <= Some(&said.appended), "{point}: {numbers:?}");
        assert!(repeated <= 80, "{point}: {repeated} came again");
        all_repeated += repeated;
        assert_eq!(spool.figures().damaged_records, 0, "{point}");
        numbers.retain(|n| said.committed.contains(n) && *n > said.acknowledged);
        let expected: Vec<u64> = said.committed.range(said.acknowledged + 1..).copied().collect();
        assert_eq!(numbers, expected, "{point}");
        finish(&mut spool);
    }
    assert!(all_repeated > 0, "the cursor never lagged");
}

/// Half of a record at the end of the last segment.
fn tear(directory: &Path) {
    let files = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let last = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max();
    let mut file = std::fs::OpenOptions::new().append(true).open(last.expect("a segment")).expect("a file");
    file.write_all(b"\xffPR\xfe half of a record").expect("room");
}
