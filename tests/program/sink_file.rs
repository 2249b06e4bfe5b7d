//! The file sink on a disk that fills up, through its public surface.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use std::{env, fs};

use postrider::buffer::{Batch, ByteRange, Encoded, Entry, Records};
use postrider::config::{DeadLetterConfig, FileConfig, Fsync};
use postrider::ledger::{Reason, SinkLedger};
use postrider::record::RecordId;
use postrider::sink::file::File;
use postrider::sink::{Error, Sink};
use postrider::template::Template;

/// Tells the child process where to write.
const DIRECTORY: &str = "SINK_FILE_DIRECTORY";
const LINES: usize = 1000;

/// A limit on the size of files makes a write stop in the middle of a line, as a full disk does, and needs no
/// privilege. It holds for a whole process, so the test runs itself again in a shell that sets the limit.
#[test]
fn a_disk_that_fills_up_neither_tears_nor_repeats_a_line() {
    run_on_a_small_disk("sink_file::on_a_small_disk");
}

#[test]
fn a_disk_that_fills_up_loses_no_refused_record() {
    run_on_a_small_disk("sink_file::refused_on_a_small_disk");
}

fn run_on_a_small_disk(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 20; exec \"$0\" --exact \"$1\" --nocapture";
    let mut child = Command::new("sh");
    child.arg("-c").arg(script).arg(env::current_exe().unwrap()).arg(test).env(DIRECTORY, directory.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(directory.path().join("full").exists(), "the child ran");
}

/// The child; without the variable there is nothing to do.
#[test]
fn on_a_small_disk() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let ledger: Arc<SinkLedger> = Arc::default();
    let mut sink = File::new(&config(&directory), "test").unwrap();
    let mut batches: VecDeque<_> = (0..LINES).step_by(50).map(|first| batch(&ledger, first..first + 50)).collect();
    let path = directory.join("mail.json");
    let mut text = String::new();
    let mut full = 0;
    loop {
        let result = sink.write(&mut batches);
        let Err(error) = result else { break };
        let Error::Retry(reason) = error else { panic!("{error}") };
        assert!(reason.contains("mail.json"), "{reason}");
        // A second attempt without more room changes nothing.
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.ends_with('\n'), "no torn line");
        assert!(sink.write(&mut batches).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        text.push_str(&before);
        full += 1;
        fs::remove_file(&path).unwrap();
        sink.reopen().unwrap();
    }
    text.push_str(&fs::read_to_string(&path).unwrap());
    assert!(text == (0..LINES).map(line).collect::<String>(), "every line once, in order");
    assert!(full >= 2, "it was full {full} times");
    sink.finish(Instant::now()).unwrap();
    assert_eq!(ledger.delivered.load(Relaxed), LINES as u64);
    assert_eq!(ledger.in_flight(), 0);
    fs::write(directory.join("full"), "").unwrap();
}

/// The child for the dead-letter file: the path of every record is a directory.
#[test]
fn refused_on_a_small_disk() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    fs::create_dir(directory.join("mail.json")).unwrap();
    let path = directory.join("dead.jsonl");
    let ledger: Arc<SinkLedger> = Arc::default();
    let dead_letter = Some(DeadLetterConfig { path: path.clone(), max_size: u64::MAX });
    let mut sink = File::new(&FileConfig { dead_letter, ..config(&directory) }, "test").unwrap();
    let mut found = Vec::new();
    let mut full = 0;
    for first in (0..REFUSED).step_by(10) {
        let mut batches = VecDeque::from([batch(&ledger, first..first + 10)]);
        loop {
            let result = sink.write(&mut batches);
            let Err(error) = result else { break };
            let Error::Retry(reason) = error else { panic!("{error}") };
            assert!(
                reason.contains("cannot write to the dead-letter file") && reason.contains("dead.jsonl"),
                "{reason}"
            );
            assert_eq!(ledger.in_flight(), 10, "what is not kept is not resolved");
            let before = fs::read(&path).unwrap();
            assert_eq!(before.last(), Some(&b'\n'), "no torn line");
            assert!(sink.write(&mut batches).is_err());
            assert_eq!(fs::read(&path).unwrap(), before, "what did not fit is cut off");
            found.extend(numbers(&path));
            full += 1;
            fs::remove_file(&path).unwrap();
        }
    }
    found.extend(numbers(&path));
    assert!(found.into_iter().eq(0..REFUSED), "every record once");
    assert!(full >= 2, "it was full {full} times");
    sink.finish(Instant::now()).unwrap();
    assert_eq!(ledger.dropped.get(Reason::Rejected), REFUSED as u64);
    assert_eq!(ledger.in_flight(), 0);
    fs::write(directory.join("full"), "").unwrap();
}

const REFUSED: usize = 200;

/// The numbers in a dead-letter file. The lines of this test are no JSON objects: they are found by what stands around
/// them.
fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap();
    let number = |line: &str| line.split_once("\"record\":")?.1.split(':').next()?.parse().ok();
    text.lines().map(|line| number(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn config(directory: &Path) -> FileConfig {
    FileConfig {
        directory: directory.to_owned(),
        path: Template::parse("mail.json").unwrap(),
        max_routes: 1000,
        mode: 0o640,
        rotate_size: None,
        rotate_age: None,
        rotate_keep: None,
        gzip: false,
        fsync: Fsync::Always,
        dead_letter: None,
        owner: true,
    }
}

/// Lines of different lengths, so that the limit falls within one.
fn line(number: usize) -> String {
    format!("{number}:{}\n", "x".repeat(number % 97))
}

fn batch(ledger: &Arc<SinkLedger>, numbers: std::ops::Range<usize>) -> Batch {
    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    let text = "mail.json".to_owned();
    for number in numbers {
        let start = u32::try_from(lines.len()).unwrap();
        lines.extend_from_slice(line(number).as_bytes());
        let end = u32::try_from(lines.len()).unwrap();
        entries.push(Entry {
            line: ByteRange { start, end },
            route: ByteRange { start: 0, end: 9 },
            key: None,
            id: RecordId(number as u128),
            timestamp_ms: 0,
        });
    }
    let in_flight = ledger.enter(entries.len() as u64, lines.len() as u64, None);
    Batch::new(Records::new(Arc::new(Encoded::new(lines.into(), None)), entries, text), in_flight)
}
