//! Does `decode` on all cores give what one loop over the lines would, at once, and in bounded memory?

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::scratch;
use testkit::wait::wait;

const DEADLINE: Duration = Duration::from_secs(60);

/// Above the size of a chunk many times over.
const MANY: usize = 20_000;

/// A line of Postfix that is understood, with a number in it.
fn line(n: usize) -> String {
    format!(
        "Nov 24 02:10:35 mx1 postfix/qmgr[7]: 4jYR9Q2wTjz18T: from=<{n}@example.com>, size=1, nrcpt=1 (queue active)\n"
    )
}

fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

fn command(arguments: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("decode").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn decode(arguments: &[&Path]) -> Output {
    command(arguments).output().expect("postrider runs")
}

/// Decodes what is to be written to its standard input.
fn start() -> Child {
    command(&[]).stdin(Stdio::piped()).spawn().expect("postrider runs")
}

fn write(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("a file");
    path
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("room");
    encoder.finish().expect("room")
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

/// The number that [`line`] has put into the line of a record.
fn number(record: &str) -> usize {
    let from = parse(record)["postfix"]["from"].as_str().expect("an address").to_owned();
    from.split_once('@').expect("an address").0.parse().expect("a number")
}

#[track_caller]
fn numbers(output: &Output) -> Vec<usize> {
    std::str::from_utf8(&output.stdout).expect("UTF-8").lines().map(number).collect()
}

/// A line of `/proc/PID/status`.
fn status(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the line");
    line.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn exit(mut child: Child) -> ExitStatus {
    wait(DEADLINE, || child.try_wait().expect("a child")).unwrap_or_else(|| {
        child.kill().expect("a child");
        panic!("it runs on");
    })
}

fn cores() -> u64 {
    thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// 500,000 lines in 200 MB: the order of the records, ids that differ, and the most memory.
#[test]
fn a_large_file_is_decoded_in_order_and_in_bounded_memory() {
    const LINES: usize = 500_000;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mail.log");
    let mut file = BufWriter::new(File::create(&path).expect("a file"));
    for n in 0..LINES {
        writeln!(file, "Nov 24 02:10:35 mx1 app[7]: {n} {:x<370}", "").expect("room");
    }
    file.flush().expect("room");
    assert!(fs::metadata(&path).expect("a file").len() > 200_000_000);

    let mut child = command(&[&path]).spawn().expect("postrider runs");
    let mut records = BufReader::new(child.stdout.take().expect("a pipe"));
    let (mut record, mut count, mut ids, mut peak) = (String::new(), 0, HashSet::new(), 0);
    while records.read_line(&mut record).expect("UTF-8") > 0 {
        // Parsing half a million of them would take longer than all the rest.
        let value = |name: &str| {
            let start = record.find(name).expect("the name") + name.len();
            &record[start..start + record[start..].find(['"', ' ']).expect("an end")]
        };
        assert_eq!(value("\"message\":\""), count.to_string());
        let id = value("\"id\":\"").to_owned();
        assert!(ids.replace(id).is_none(), "{record}");
        count += 1;
        if count % 10_000 == 0 && count < LINES {
            peak = status(child.id(), "VmHWM");
        }
        record.clear();
    }
    assert_eq!(count, LINES);
    assert!(exit(child).success());
    // The program itself has some 14 MiB in a debug build; a worker has 320 KiB of lines and up to 2 MiB of their
    // records.
    let bound = 20 * 1024 + 4 * 1024 * cores();
    assert!(peak > 1024 && peak < bound, "{peak} KiB, the bound is {bound}");
}

/// An empty line has no record, but one of a byte has one of some hundred bytes.
#[test]
fn the_shortest_lines_stay_within_the_memory_limit_of_a_worker() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(&directory, "mail.log", "a\n".repeat(300_000).as_bytes());
    let mut child = command(&[&path]).spawn().expect("postrider runs");
    let mut records = BufReader::new(child.stdout.take().expect("a pipe"));
    let (mut record, mut count, mut peak) = (Vec::new(), 0, 0);
    while records.read_until(b'\n', &mut record).expect("a read") > 0 {
        count += 1;
        if count % 10_000 == 0 && count < 300_000 {
            peak = status(child.id(), "VmHWM");
        }
        record.clear();
    }
    assert_eq!(count, 300_000);
    assert!(exit(child).success());
    // 4 MiB of records in memory that has grown by doubling, and the places of the frames.
    let bound = 24 * 1024 + 12 * 1024 * cores();
    assert!(peak > 1024 && peak < bound, "{peak} KiB, the bound is {bound}");
}

#[test]
fn plain_and_compressed_files_and_stdin_are_decoded_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = lines(MANY);
    let (first, second) = text.split_at(text.len() / 2 / 100 * 100);
    let plain = write(&directory, "mail.log", text.as_bytes());
    // Two members, cut within a line.
    let compressed = write(&directory, "mail.log.gz", &[gzip(first), gzip(second)].concat());
    let output = command(&[&plain, &compressed, Path::new("-"), &plain])
        .stdin(File::open(&compressed).expect("a file"))
        .output()
        .expect("postrider runs");
    assert!(output.status.success());
    let expected: Vec<usize> = (0..4).flat_map(|_| 0..MANY).collect();
    assert!(numbers(&output) == expected);
    let ids: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|record| parse(record)["id"].take()).collect();
    // The same lines have the same ids, as often as they are decoded.
    assert!(ids.chunks(MANY).all(|part| part == &ids[..MANY]));
}

#[test]
fn unparsed_lines_are_printed_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let strange = |n: usize| format!("Nov 24 02:10:35 mx1 postfix/smtp[{n}]: no Postfix ever wrote this\n");
    let text: String = (0..MANY).map(|n| line(n) + &strange(n)).collect();
    let output = decode(&[Path::new("--unparsed"), &write(&directory, "mail.log", text.as_bytes())]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout) == (0..MANY).map(strange).collect::<String>());
    let all = 2 * MANY;
    let report =
        format!("{MANY} of {all} lines are from Postfix, but not understood (smtp {MANY}); please report them\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), report);
}

#[test]
fn each_known_header_is_understood_and_each_other_is_listed() {
    let corpus = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/syslog").join(name);
    for name in ["words", "solaris", "blanks", "hostnames", "year_first", "nested", "containers"] {
        let output = decode(&[Path::new("--unparsed"), &corpus(&format!("{name}.log"))]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{name}");
    }
    let log = corpus("unrecognised.log");
    let output = decode(&[Path::new("--unparsed"), &log]);
    let text = fs::read_to_string(log).expect("a log");
    let records = fs::read_to_string(corpus("unrecognised.jsonl")).expect("the records of that log");
    assert_eq!(text.lines().count(), records.lines().count());
    let is_flagged = |record: &str| record.contains("\"header_unrecognised\"");
    let flagged = text.lines().zip(records.lines()).filter(|(_, record)| is_flagged(record));
    let missed: Vec<&str> = flagged.map(|(line, _)| line).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), missed);
    assert!(missed.len() >= 4);
}

/// Writes a line and waits for its record, `count` times.
fn converse(input: &mut impl Write, records: &mut BufReader<ChildStdout>, count: usize) {
    for n in 0..count {
        input.write_all(line(n).as_bytes()).expect("a reader");
        let mut record = String::new();
        records.read_line(&mut record).expect("a record");
        assert_eq!(number(&record), n);
    }
}

#[test]
fn each_line_of_a_pipe_is_answered_at_once() {
    let mut child = start();
    let mut input = child.stdin.take().expect("a pipe");
    let mut records = BufReader::new(child.stdout.take().expect("a pipe"));
    converse(&mut input, &mut records, 100);
    assert_eq!(status(child.id(), "Threads"), 1, "so little needs no threads");

    // As `tail -n 20000 -f` does it.
    let all = thread::spawn(move || {
        input.write_all(lines(MANY).as_bytes()).expect("a reader");
        input
    });
    for n in 0..MANY {
        let mut record = String::new();
        records.read_line(&mut record).expect("a record");
        assert_eq!(number(&record), n);
    }
    let mut input = all.join().expect("the writer");
    if cores() > 1 {
        assert_eq!(status(child.id(), "Threads"), 1 + cores());
    }
    converse(&mut input, &mut records, 100);
    // A part of a line is one at the end.
    input.write_all(line(7).trim_end().as_bytes()).expect("a reader");
    drop(input);
    let mut record = String::new();
    records.read_line(&mut record).expect("a record");
    assert_eq!(number(&record), 7);
    assert!(exit(child).success());
}

#[test]
fn it_ends_when_its_reader_has_gone_though_the_input_is_open() {
    let mut child = start();
    let mut input = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let writer = thread::spawn(move || {
        // More than both pipes and all workers hold, unless it ends before.
        let _ = input.write_all(lines(MANY * 10).as_bytes());
        input
    });
    stdout.read_exact(&mut vec![0; 100_000]).expect("records");
    drop(stdout);
    let mut stderr = child.stderr.take().expect("a pipe");
    assert!(exit(child).success());
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("UTF-8");
    assert_eq!(said, "");
    drop(writer.join().expect("the writer"));
}

#[test]
fn a_full_disk_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(&directory, "mail.log", lines(MANY).as_bytes());
    let full = File::options().write(true).open("/dev/full").expect("the device");
    let output = command(&[&path]).stdout(full).output().expect("postrider runs");
    assert_eq!(output.status.code(), Some(74));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "postrider: cannot write to the standard output: No space left on device (os error 28)\n");
}

#[test]
fn what_was_read_before_an_input_failed_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = gzip(&lines(MANY));
    let plain = write(&directory, "mail.log", lines(MANY).as_bytes());
    let cut = write(&directory, "cut.gz", &whole[..whole.len() / 2]);
    let mut bytes = whole;
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0);
    let damaged = write(&directory, "damaged.gz", &bytes);
    let missing = directory.path().join("missing");
    // Reading a directory fails.
    for (bad, in_the_middle) in [(cut, true), (damaged, true), (missing, false), (directory.path().to_owned(), false)] {
        let output = decode(&[&plain, &bad, &plain]);
        assert_eq!(output.status.code(), Some(74), "{}", bad.display());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with(&format!("postrider: cannot read {}: ", bad.display())), "{said}");
        assert!(said.ends_with("\npostrider: 1 of 3 files could not be read completely\n"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
        let text = String::from_utf8_lossy(&output.stdout);
        let records: Vec<&str> = text.lines().collect();
        assert!(records[..MANY].iter().map(|record| number(record)).eq(0..MANY));
        // It goes on with the file behind it.
        let (behind, last) = records[MANY..].split_at(records.len() - 2 * MANY);
        assert!(last.iter().map(|record| number(record)).eq(0..MANY));
        if !in_the_middle {
            assert_eq!(behind.len(), 0);
            continue;
        }
        assert!(behind.len() > MANY / 4 && behind.len() < MANY * 3 / 4, "{}", behind.len());
        let (last, before) = behind.split_last().expect("records");
        assert!(before.iter().take(MANY / 4).enumerate().all(|(n, record)| number(record) == n));
        assert!(parse(last)["flags"].as_array().expect("flags").contains(&"truncated".into()), "{last}");
    }
}

#[test]
fn a_line_over_the_limit_is_one_record_of_any_number_of_chunks() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = format!("Nov 24 02:10:35 mx1 app[7]: {}\n", "1 <13>x ".repeat(250_000));
    let text = [lines(MANY), long, lines(MANY)].concat();
    let output = decode(&[&write(&directory, "mail.log", text.as_bytes())]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    let records: Vec<&str> = text.lines().collect();
    assert_eq!(records.len(), 2 * MANY + 1);
    assert!(records[..MANY].iter().map(|record| number(record)).eq(0..MANY));
    assert!(records[MANY + 1..].iter().map(|record| number(record)).eq(0..MANY));
    let cut = parse(records[MANY]);
    assert!(cut["flags"].as_array().expect("flags").contains(&"truncated".into()), "{cut}");
    assert_eq!(cut["app_name"], "app");
    let length = cut["message"].as_str().expect("a text").len();
    assert!((65_000..65_536).contains(&length), "{length}");
}

/// Counted messages hold line ends and cross the bounds of chunks.
#[test]
fn counted_messages_are_framed_over_all_chunks() {
    let directory = tempfile::tempdir().expect("a directory");
    let message = |n: usize| format!("<13>Nov 24 02:10:35 mx1 app[7]: {n}\n2 <1 and {:y<300}", "");
    let text: String =
        (0..MANY).map(message).flat_map(|message| [message.len().to_string(), " ".to_owned(), message]).collect();
    let output = decode(&[&write(&directory, "mail.log", text.as_bytes())]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), MANY);
    for (n, record) in text.lines().enumerate() {
        let record = parse(record);
        let text = record["message"].as_str().expect("a text");
        assert!(text.starts_with(&format!("{n}\n2 <1 and yyy")) && text.ends_with("yyy"), "{text}");
    }
}

/// The lines of one message in two files, the first of which is compressed.
#[test]
fn messages_are_joined_over_rotated_files() {
    let log = include_str!("../corpus/postfix/messages.log");
    let directory = scratch::directory("messages");
    let (old, new) = log.split_at(log.find("Nov 24 02:20:36").expect("a second round"));
    let files = [write(&directory, "mail.log.1.gz", &gzip(old)), write(&directory, "mail.log", new.as_bytes())];
    let [messages, timezone, utc] = ["--messages", "--timezone", "UTC"].map(Path::new);
    let output = decode(&[messages, timezone, utc, &files[0], &files[1]]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let records: Vec<Value> = text.lines().map(parse).collect();
    assert_eq!(records.len(), 2, "a message, and the notice of its bounce, which is not over: {text}");
    let (message, notice) = (&records[0]["postfix"], &records[1]["postfix"]);
    assert_eq!(message["key"], "mx1/postfix/4jYR9Q2wTjz18T/2026-11-24T02:10:34.412345Z");
    assert_eq!((&message["state"], &message["result"]), (&json!("closed"), &json!("partial")));
    assert_eq!((&message["incomplete"], &message["nrcpt"]), (&json!(false), &json!(2)));
    assert_eq!(message["recipient_counts"], json!({ "sent": 1, "bounced": 1 }));
    let recipients = message["recipients"].as_array().expect("a list");
    let shown: Vec<_> = recipients.iter().map(|one| (&one["to"], &one["attempts"], &one["status"])).collect();
    let [anna, bob] = [("anna@example.com", 2, "sent"), ("bob@example.org", 1, "bounced")]
        .map(|(to, attempts, status)| [json!(to), json!(attempts), json!(status)]);
    assert_eq!(shown, [(&anna[0], &anna[1], &anna[2]), (&bob[0], &bob[1], &bob[2])]);
    assert_eq!(message["child_queue_ids"], json!(["4jYR9S0zabz18V"]));
    assert_eq!((&notice["state"], &notice["closed_by"]), (&json!("closed"), &json!("shutdown")));
    assert_eq!((&notice["trace_id"], &notice["incomplete"]), (&message["message_uid"], &json!(true)));

    let both = decode(&[messages, Path::new("--unparsed"), &files[1]]);
    assert_eq!(both.status.code(), Some(64), "{both:?}");
}
