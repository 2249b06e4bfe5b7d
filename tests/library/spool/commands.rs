//! `postrider spool ls|cat|verify|rm`, on spools that are well, damaged, in use, and none.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use postrider::spool::Spool;
use tempfile::TempDir;

use crate::spool::lines::{DEADLINE, append, drain, fill, is_segment, line, open_directory};
use testkit::wait::wait_until;

fn spool(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(["spool", arguments[0], "DIR"]).args(&arguments[1..]).stdin(Stdio::null());
    // A name that is the same everywhere.
    let parent = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(directory, parent.path().join("DIR")).expect("a link");
    command.current_dir(parent.path()).output().expect("postrider runs")
}

fn show(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("exit {}\n{}{}", output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
}

fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|n| String::from_utf8(line(n)).expect("UTF-8")).collect()
}

/// Closes a spool, and waits until no process has it, as one has that another test is just starting.
fn close(opened: Spool, directory: &Path) {
    drop(opened);
    wait_until(DEADLINE, "an end of its use", || show(&spool(directory, &["ls"])).contains("in use by:  no process\n"));
}

/// 100 records, of which the first 60 are delivered.
fn partly_delivered() -> (TempDir, Spool) {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut spool, _) = open_directory(directory.path());
    fill(&mut spool, 1..=100, 10);
    drain(&mut spool);
    spool.acknowledge(60).expect("a disk");
    spool.checkpoint().expect("a disk");
    (directory, spool)
}

fn segments(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.retain(|name| is_segment(name));
    names.sort();
    names
}

/// Flips a bit in the line of record `n`.
fn damage(directory: &Path, n: u64) {
    for name in segments(directory) {
        let path = directory.join(name);
        let mut bytes = fs::read(&path).expect("a file");
        if let Some(at) = memchr::memmem::find(&bytes, &line(n)) {
            bytes[at + 3] ^= 1;
            fs::write(&path, bytes).expect("a file");
            return;
        }
    }
    panic!("no record {n}");
}

#[test]
fn ls_lists_segments_and_what_waits() {
    let (directory, spool_in_use) = partly_delivered();
    let used = show(&spool(directory.path(), &["ls"]));
    assert!(used.ends_with(&format!("in use by:  process {}\n", std::process::id())), "{used}");
    close(spool_in_use, directory.path());
    damage(directory.path(), 80);
    damage(directory.path(), 81);
    insta::assert_snapshot!("ls", show(&spool(directory.path(), &["ls"])));
}

#[test]
fn cat_prints_what_is_pending() {
    let (directory, mut in_use) = partly_delivered();
    assert_eq!(show(&spool(directory.path(), &["cat"])), format!("exit 0\n{}", lines(61..=100)));
    let first: u64 = segments(directory.path())[0][..20].parse().expect("a number");
    assert!((2..61).contains(&first), "some are deleted, and some delivered: {first}");
    let all = show(&spool(directory.path(), &["cat", "--all"]));
    assert_eq!(all, format!("exit 0\n{}", lines(first..=100)));

    // Records without a commit are not there, and nothing is repaired or locked.
    append(&mut in_use, 101);
    assert_eq!(show(&spool(directory.path(), &["cat"])), format!("exit 0\n{}", lines(61..=100)));
    in_use.commit().expect("a disk");
    assert_eq!(show(&spool(directory.path(), &["cat"])), format!("exit 0\n{}", lines(61..=101)));
    close(in_use, directory.path());

    damage(directory.path(), 80);
    let output = spool(directory.path(), &["cat"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines((61..=101).filter(|n| *n != 80)));
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(note.contains("bytes of the damaged record 80"), "{note}");
    assert!(output.status.success() && !directory.path().join("quarantine").exists());
}

#[test]
fn cat_ends_quietly_when_its_reader_has_seen_enough() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut spool, _) = open_directory(directory.path());
    fill(&mut spool, 1..=3000, 100);
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["spool", "cat"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postrider runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("a record");
    drop(stdout);
    assert_eq!(show(&child.wait_with_output().expect("an end")), "exit 0\n");
}

#[test]
fn verify_lists_damage_with_its_place() {
    let (directory, in_use) = partly_delivered();
    close(in_use, directory.path());
    let segments = segments(directory.path());
    let records = 101 - segments[0][..20].parse::<u64>().expect("a number");
    let expected = format!("exit 0\nDIR: no damage; segments: {}, records: {records}\n", segments.len());
    assert_eq!(show(&spool(directory.path(), &["verify"])), expected);

    damage(directory.path(), 80);
    let path = directory.path().join(&segments[0]);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[9] = 7;
    let at = bytes.len() - 10;
    bytes.splice(at..at, *b"noise");
    fs::write(&path, bytes).expect("a file");
    fs::remove_file(directory.path().join(&segments[1])).expect("a file");
    let last = directory.path().join(segments.last().expect("a segment"));
    let mut bytes = fs::read(&last).expect("a file");
    bytes.extend_from_slice(b"half of a record");
    fs::write(last, bytes).expect("a file");
    fs::write(directory.path().join("cursor"), "nonsense").expect("a file");
    insta::assert_snapshot!("verify", show(&spool(directory.path(), &["verify"])));
    // Nothing of that was changed.
    insta::assert_snapshot!("verify", show(&spool(directory.path(), &["verify"])));
}

/// While it is written, read and deleted from, a spool has no damage, and its records come in order.
#[test]
fn a_spool_at_work_can_be_looked_at() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let (mut opened, _) = open_directory(path);
    let stop = AtomicBool::new(false);
    let (looks, rounds) = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Relaxed) {
                fill(&mut opened, rounds * 50 + 1..=rounds * 50 + 50, 10);
                drain(&mut opened);
                opened.acknowledge(rounds * 50 + 20).expect("a disk");
                rounds += 1;
            }
            rounds
        });
        let looks: Vec<(Output, Output)> =
            (0..30).map(|_| (spool(path, &["verify"]), spool(path, &["cat", "--all"]))).collect();
        stop.store(true, Relaxed);
        (looks, worker.join().expect("a worker"))
    });
    for (verified, printed) in &looks {
        assert_eq!(verified.status.code(), Some(0), "{}", show(verified));
        assert!(printed.status.success() && printed.stderr.is_empty(), "{}", show(printed));
        let numbers = String::from_utf8_lossy(&printed.stdout).lines().map(number).collect::<Vec<_>>();
        // A segment may go between two that are printed.
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
    let most = looks.iter().map(|(_, printed)| printed.stdout.len()).max();
    assert!(rounds > 5 && most > Some(1000), "{rounds} rounds, {most:?} bytes");
}

/// Which record a line is.
fn number(line: &str) -> u64 {
    let digits = line.strip_prefix("{\"n\":").and_then(|rest| rest.split(',').next());
    digits.expect("a line").parse().expect("a number")
}

/// A record that a process is just writing is no damage.
#[test]
fn verify_finds_no_damage_in_a_write_that_is_under_way() {
    let (directory, in_use) = partly_delivered();
    let last = directory.path().join(segments(directory.path()).last().expect("a segment"));
    let mut bytes = fs::read(&last).expect("a file");
    bytes.extend_from_slice(b"\xffPR\xfehalf of a record");
    fs::write(last, bytes).expect("a file");
    assert_eq!(spool(directory.path(), &["verify"]).status.code(), Some(0));
    close(in_use, directory.path());
    assert_eq!(spool(directory.path(), &["verify"]).status.code(), Some(65));
}

#[test]
fn the_end_of_a_spool_that_is_gone_is_damage() {
    let whole = |output: &Output| output.status.code() == Some(0);
    let gone: [fn(&Path); 3] = [
        |last| fs::write(last, "").expect("a file"),
        |last| fs::remove_file(last).expect("a file"),
        |last| fs::write(last, &fs::read(last).expect("a file")[..500]).expect("a file"),
    ];
    for take in gone {
        let (directory, in_use) = partly_delivered();
        close(in_use, directory.path());
        assert!(whole(&spool(directory.path(), &["verify"])) && whole(&spool(directory.path(), &["ls"])));
        take(&directory.path().join(segments(directory.path()).last().expect("a segment")));
        let verified = show(&spool(directory.path(), &["verify"]));
        assert!(verified.starts_with("exit 65\n"), "{verified}");
        assert!(verified.contains("the spool ends here, and the records ") && verified.contains(" to 100 are missing"));
        let listed = show(&spool(directory.path(), &["ls"]));
        assert!(listed.starts_with("exit 65\n") && !listed.contains(", 0 records missing"), "{listed}");
    }
}

#[test]
fn rm_asks_first_and_deletes_a_spool_alone() {
    let (directory, in_use) = partly_delivered();
    damage(directory.path(), 80);
    fs::write(directory.path().join("README"), "mine").expect("a file");
    let path = directory.path();
    let before = segments(path);
    let id = std::process::id();
    let refused = format!("exit 74\npostrider: the spool DIR is in use by process {id}; stop that process first\n");
    assert_eq!(show(&spool(path, &["rm"])), refused);
    assert_eq!(show(&spool(path, &["rm", "--yes"])), refused);
    assert_eq!(segments(path), before);
    close(in_use, path);

    // Damage is copied, so that there is a quarantine to be deleted.
    let (mut opened, _) = open_directory(path);
    assert_eq!(drain(&mut opened).len(), 39);
    close(opened, path);
    assert!(path.join("quarantine").exists());

    let asked = show(&spool(path, &["rm"]));
    let count = before.len();
    let start = format!(
        "exit 64\npostrider: DIR: nothing is deleted yet; `--yes` deletes {count} segments with 39 pending records, "
    );
    assert!(asked.starts_with(&start), "{asked}");
    assert_eq!(segments(path), before);

    let done = show(&spool(path, &["rm", "--yes"]));
    assert!(done.starts_with(&format!("exit 0\nDIR: deleted {count} segments, ")), "{done}");
    assert!(done.ends_with("DIR: kept files that do not belong to the spool: README\n"), "{done}");
    let left: Vec<_> =
        fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["README"]);
    let refused = "exit 64\npostrider: DIR is not a spool: it has no segment file and no cursor of Postrider\n";
    for command in ["rm", "ls", "cat", "verify"] {
        assert_eq!(show(&spool(path, &[command])), refused);
    }
    assert_eq!(show(&spool(path, &["rm", "--yes"])), refused);
}

#[test]
fn rm_deletes_the_directory_too() {
    let (directory, in_use) = partly_delivered();
    let path = directory.path().join("spool");
    drop(in_use);
    close(open_directory(&path).0, &path);
    let output = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["spool", "rm", "--yes"])
        .arg(&path)
        .output()
        .expect("postrider runs");
    assert_eq!(show(&output), format!("exit 0\n{}: deleted 0 segments, 12288 bytes\n", path.display()));
    assert!(!path.exists());
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = spool(Path::new("/nonexistent"), &["ls"]);
    assert_eq!(show(&output), "exit 74\npostrider: cannot read DIR: No such file or directory (os error 2)\n");
}
