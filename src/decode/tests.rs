//! For any sizes, the workers write the same output as a single loop.

use std::collections::HashSet;
use std::mem;
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;

use super::limits::JOINS;
use super::*;
use crate::correlate::JoinSettings;
use crate::dsn::Language;
use crate::encode::Buffer;
use crate::frame::{Frame, Framer, Framing, Step};
use crate::input::{GZIP_MAGIC, OTHER_MAGIC};
use crate::read_frame;
use crate::record::{LineHashes, NewId, Peer};
use crate::syslog::Context;
use crate::time::Timestamp;

/// Output of an [`Inputs`]; it accepts at most `room` bytes.
#[derive(Clone, Default)]
struct Written {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Option<usize>,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.bytes.lock().expect("no panic");
        let size = bytes.len().min(self.room.map_or(usize::MAX, |room| room - written.len()));
        if size == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        written.extend_from_slice(&bytes[..size]);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns `bytes` in reads of at most `sizes` in turn, and then fails if it is `broken`.
struct Reads {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    at: usize,
    turn: usize,
    broken: bool,
}

impl Read for Reads {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn % 5 == 2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = &self.bytes[self.at..];
        if rest.is_empty() && self.broken {
            return Err(io::Error::other("damage"));
        }
        let size = rest.len().min(buffer.len()).min(self.sizes[self.turn % self.sizes.len()]);
        buffer[..size].copy_from_slice(&rest[..size]);
        self.at += size;
        Ok(size)
    }
}

fn decoder(unparsed: bool) -> Decoder {
    let prints = if unparsed { Printed::Unparsed } else { Printed::Records };
    Decoder { encoder: Encoder { language: Language::default() }, zone: TimeZone::UTC, format: Format::Auto, prints }
}

/// Returns the records of `input`, read in one piece by one loop.
fn sequential(input: &[u8], frame_limit: usize, broken: bool, unparsed: bool) -> (Vec<String>, u64) {
    let decoder = decoder(unparsed);
    let origin = Origin {
        name: "decode".to_owned(),
        transport: Transport::Stdin,
        zone: TimeZone::UTC,
        format: crate::syslog::Format::Auto,
    };
    let mut hashes = LineHashes::starting_at(0);
    let framing = Framing::of_file(input, true, frame_limit).expect("nothing more to come");
    let mut framer = Framer::new(framing, frame_limit);
    let (mut at, mut found) = (0, Vec::new());
    let rest = loop {
        match framer.next(&input[at..]) {
            Step::Frame { frame, consumed } => {
                found.push(frame);
                at += consumed;
            }
            Step::More { consumed } => break &input[at + consumed..],
        }
    };
    found.extend(framer.finish(rest).map(|frame| Frame { truncated: frame.truncated || broken, ..frame }));
    let counts = Unparsed::default();
    let mut lines = Vec::new();
    for frame in found {
        let now = Timestamp::now();
        read_frame(
            &frame,
            Peer::default(),
            &origin,
            &Context::new(now, &origin.zone),
            NewId::Line(hashes.next(frame.bytes, 0)),
            |record| {
                let is_unparsed = counts.count(record);
                let mut line = Buffer::default();
                if !unparsed {
                    decoder.encoder.encode(record, &mut line);
                    lines.push(timeless(&line));
                } else if is_unparsed {
                    lines.push(String::from_utf8_lossy(frame.bytes).into_owned());
                }
            },
        );
    }
    (lines, counts.total())
}

/// Returns a record without the parts that differ between runs: the time of its receipt, which may also be its
/// timestamp.
fn timeless(line: &[u8]) -> String {
    let mut record: serde_json::Value = serde_json::from_slice(line).expect("JSON");
    let received_at = record["received_at"].take();
    if record["timestamp"] == received_at {
        record["timestamp"].take();
    }
    record.to_string()
}

struct Case {
    input: Vec<u8>,
    sizes: Vec<usize>,
    limits: Limits,
    broken: bool,
    unparsed: bool,
}

impl Case {
    fn new(input: impl Into<Vec<u8>>, limits: Limits) -> Self {
        Self { input: input.into(), sizes: vec![usize::MAX], limits, broken: false, unparsed: false }
    }

    /// Decodes the input to `out`.
    fn decode(self, out: &Written) -> Result<DecodeSummary, Error> {
        let reads = Reads { bytes: self.input, sizes: self.sizes, at: 0, turn: 0, broken: self.broken };
        let inputs = Inputs::new(decoder(self.unparsed), self.limits, Box::new(out.clone()));
        inputs.decode(reads, None)?;
        Ok(inputs.summary())
    }

    /// Checks that the output is that of a single loop.
    #[track_caller]
    fn check(self) {
        let (expected, unparsed) = sequential(&self.input, self.limits.frame, self.broken, self.unparsed);
        let (broken, prints_records) = (self.broken, !self.unparsed);
        let out = Written::default();
        let result = self.decode(&out);
        let written = mem::take(&mut *out.bytes.lock().expect("no panic"));
        if prints_records {
            let lines: Vec<String> = written.split_inclusive(|byte| *byte == b'\n').map(timeless).collect();
            assert_eq!(lines, expected);
            let mut ids = HashSet::new();
            assert!(
                written.split_inclusive(|byte| *byte == b'\n').all(|line| ids.insert(id(line))),
                "an id is there twice"
            );
        } else {
            let text = String::from_utf8_lossy(&written);
            assert_eq!(text, expected.iter().flat_map(|line| [line, "\n"]).collect::<String>());
        }
        match result {
            Ok(summary) => {
                assert!(!broken);
                assert_eq!(summary.unparsed.total(), unparsed);
                if prints_records {
                    let damaged = |line: &&String| {
                        ["timestamp_missing", "truncated", "invalid_utf8"].iter().any(|flag| line.contains(flag))
                    };
                    assert_eq!(summary.records, expected.len() as u64);
                    assert_eq!(summary.damaged, expected.iter().filter(damaged).count() as u64);
                }
            }
            Err(error) => {
                assert!(broken);
                assert_eq!(error.to_string(), "cannot read the standard input: damage");
            }
        }
    }
}

fn id(line: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(line).expect("JSON")["id"].to_string()
}

const SMALL: Limits = Limits { chunk: 64, frame: 256, lines: 4096, workers: 4, joins: JOINS };

/// Returns a Postfix line that is understood, with a number in it.
fn line(n: usize) -> String {
    format!(
        "Nov 24 02:10:35 mx1 postfix/qmgr[7]: 4jYR9Q2wTjz18T: from=<{n}@example.com>, size=1, nrcpt=1 (queue active)\n"
    )
}

/// Generates pieces of log files, and other bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..1000usize).prop_map(|n| line(n).into_bytes()),
        2 => Just(line(7).into_bytes()),
        2 => "Nov 24 02:10:35 mx1 postfix/smtp\\[7\\]: [a-z ]{0,9}\n".prop_map(String::into_bytes),
        2 => "[<>0-9a-z \r\n\u{0}]{0,12}".prop_map(String::into_bytes),
        1 => (1..400usize).prop_map(|size| [&b"<22>"[..], &vec![b'x'; size], b"\n"].concat()),
        1 => (1..400usize, 1..400usize).prop_map(|(count, size)| {
            [format!("{count} <22>").as_bytes(), &vec![b'y'; size]].concat()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_output_is_that_of_a_single_loop_however_the_input_is_cut(
        pieces in prop::collection::vec(piece(), 0..40),
        sizes in prop::collection::vec(1..300usize, 1..5),
        (chunk, frame, lines, workers) in (1..300usize, 1..300usize, 1..3000usize, 1..6usize),
        broken: bool,
        unparsed in prop::bool::weighted(0.2),
    ) {
        let input = pieces.concat();
        // Inputs with a magic number are not part of this test.
        prop_assume!(!input.starts_with(&GZIP_MAGIC) && !OTHER_MAGIC.iter().any(|(magic, _)| input.starts_with(magic)));
        Case { input, sizes, limits: Limits { chunk, frame, lines, workers, joins: JOINS }, broken, unparsed }.check();
    }
}

/// Returns the records of `input`.
fn records(input: &str) -> Vec<serde_json::Value> {
    let out = Written::default();
    Case::new(input, SMALL).decode(&out).expect("no error");
    let written = mem::take(&mut *out.bytes.lock().expect("no panic"));
    written.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

#[test]
fn no_line_of_a_log_is_taken_for_a_count() {
    let counted = |count: u32| format!("{count} <22>Nov 24 02:10:35 mx1 postfix/qmgr[1]: 4FCA1803C6: removed\n");
    for count in [1, 4, 5, 30, 64, 100, 256, 999_999_999] {
        for at in [0, 1, 7] {
            let mut lines: Vec<String> = (0..8).map(line).collect();
            lines[at] = counted(count);
            let records = records(&lines.concat());
            // A `file` source gives the same ids to these lines.
            let mut hashes = LineHashes::starting_at(0);
            assert_eq!(records.len(), 8, "{count} at {at}");
            for (record, line) in records.iter().zip(&lines) {
                let hash = NewId::Line(hashes.next(line.trim_end().as_bytes(), 0));
                let time = record["timestamp"].as_str().filter(|_| {
                    record["flags"].as_array().is_none_or(|flags| !flags.iter().any(|flag| flag == "timestamp_missing"))
                });
                let time = time.map(|time| {
                    Timestamp::from_micros(time.parse::<jiff::Timestamp>().expect("a time").as_microsecond())
                });
                assert_eq!(record["id"], hash.of(time).to_string(), "{line}");
            }
        }
    }
    // Output of `uniq -c` for lines with PRI.
    let lines: Vec<String> = (0..3).map(|n| format!("{n:7} <22>{}", line(n))).collect();
    assert_eq!(records(&lines.concat()).len(), 3);
}

#[test]
fn an_id_has_the_time_of_its_record_from_any_place_in_the_line() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/syslog");
    for name in ["headers.log", "containers.log", "nested.log"] {
        let log = String::from_utf8_lossy(&std::fs::read(corpus.join(name)).expect("a log")).into_owned();
        let records = records(&log.replace('\u{fffd}', "?"));
        assert_eq!(records.len(), log.lines().count());
        for record in records {
            let id = record["id"].as_str().expect("an id").replace('-', "");
            let millis = i64::from_str_radix(&id[..12], 16).expect("hexadecimal");
            let is_missing = |flags: &Vec<serde_json::Value>| flags.iter().any(|flag| flag == "timestamp_missing");
            let time: jiff::Timestamp = record["timestamp"].as_str().expect("a time").parse().expect("a time");
            let expected = if record["flags"].as_array().is_some_and(is_missing) { 0 } else { time.as_millisecond() };
            assert_eq!(millis, expected, "{record}");
        }
    }
}

#[test]
fn a_capture_with_counts_is_read_by_them() {
    let messages = ["<22>Nov 24 02:10:35 mx1 a[1]: two\nlines", "<22>1 2026-11-24T02:10:35Z mx1 a 1 - - x", "no PRI"];
    for end in ["", "\n"] {
        let capture = messages.map(|text| format!("{} {text}{end}", text.len())).concat();
        let texts: Vec<_> = records(&capture).iter().map(|record| record["message"].clone()).collect();
        assert_eq!(texts, ["two\nlines", "x", "no PRI"], "{capture:?}");
    }
}

#[test]
fn each_input_has_the_ids_of_its_own_lines() {
    let out = Written::default();
    let inputs = Inputs::new(decoder(false), SMALL, Box::new(out.clone()));
    for path in ["a", "b"] {
        let text: String = (0..200).map(|n| line(n % 7)).collect();
        inputs.decode(io::Cursor::new(text), Some(Path::new(path))).expect("no error");
    }
    assert_eq!(inputs.summary().records, 400);
    let written = mem::take(&mut *out.bytes.lock().expect("no panic"));
    let ids: Vec<String> = written.split_inclusive(|byte| *byte == b'\n').map(id).collect();
    assert_eq!(ids[..200], ids[200..]);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200);
}

#[test]
fn what_was_read_before_the_damage_is_written() {
    let mut case = Case::new((0..50).map(line).collect::<String>().trim_end(), SMALL);
    case.broken = true;
    case.check();
}

#[test]
fn records_much_longer_than_their_lines_are_written_in_parts() {
    Case::new("a\n".repeat(2000), Limits { chunk: 1000, lines: 5000, ..SMALL }).check();
}

/// Checks the bound by the size of the largest write.
#[test]
fn a_worker_holds_no_more_than_the_limit_and_one_record() {
    struct Largest(Arc<Mutex<usize>>);
    impl Write for Largest {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut largest = self.0.lock().expect("no panic");
            *largest = bytes.len().max(*largest);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let largest = Arc::default();
    let inputs = Inputs::new(
        decoder(false),
        Limits { chunk: 1000, lines: 5000, ..SMALL },
        Box::new(Largest(Arc::clone(&largest))),
    );
    inputs.decode(io::Cursor::new("a\n".repeat(5000)), None).expect("no error");
    let largest = *largest.lock().expect("no panic");
    assert!((5000..6000).contains(&largest), "{largest}");
}

#[test]
fn a_broken_output_is_an_error_and_nothing_more_is_written() {
    let text: String = (0..500).map(line).collect();
    let (whole, cut) = (Written::default(), Written { room: Some(50_000), ..Written::default() });
    Case::new(text.clone(), SMALL).decode(&whole).expect("no error");
    let error = Case::new(text, SMALL).decode(&cut).expect_err("no room");
    assert!(matches!(&error, Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe), "{error}");
    let (whole, cut) = (whole.bytes.lock().expect("no panic"), cut.bytes.lock().expect("no panic"));
    assert_eq!(cut.len(), 50_000);
    let records = |bytes: &[u8]| -> Vec<String> {
        let whole_lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        whole_lines.map(timeless).collect()
    };
    let cut = records(&cut);
    assert!(!cut.is_empty());
    assert_eq!(cut[..], records(&whole)[..cut.len()]);
}

/// The decoder must not wait for a read that returns nothing, here forever.
#[test]
fn a_broken_output_ends_it_while_the_input_gives_nothing_more() {
    struct Stuck(io::Cursor<String>, mpsc::SyncSender<()>);
    impl Read for Stuck {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.0.read(buffer)?;
            if size == 0 {
                self.1.send(()).expect("a writer");
                loop {
                    thread::park();
                }
            }
            Ok(size)
        }
    }
    /// A writer that fails when the reader is stuck.
    struct Breaks(mpsc::Receiver<()>);
    impl Write for Breaks {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.recv().expect("a reader");
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // Four chunks, one for each worker but the one that is stuck; the first of them has no whole line.
    let text: String = (0..2).map(line).collect();
    assert!((3 * SMALL.chunk..4 * SMALL.chunk).contains(&text.len()));
    let (stuck, breaks) = mpsc::sync_channel(1);
    let inputs = Inputs::new(decoder(false), SMALL, Box::new(Breaks(breaks)));
    assert!(matches!(inputs.decode(Stuck(io::Cursor::new(text), stuck), None), Err(Error::Output(_))));
}

#[test]
fn a_panic_of_a_worker_is_passed_on() {
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The first chunks are written by the caller's thread.
            assert_ne!(thread::current().name(), Some("decode"), "a writer that panics");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let text: String = (0..500).map(line).collect();
    let result = Inputs::new(decoder(false), SMALL, Box::new(Panics)).decode(io::Cursor::new(text), None);
    let Err(Error::Panic(panic)) = result else { panic!("{result:?}") };
    assert!(panic.to_string().contains("a writer that panics"), "{panic}");
}

#[test]
fn messages_beyond_the_limit_are_printed_early_and_counted() {
    let out = Written::default();
    let joins = JoinSettings { max_messages: 2, ..JOINS };
    let decoder = Decoder { prints: Printed::Messages, ..decoder(false) };
    let inputs = Inputs::new(decoder, Limits { joins, ..SMALL }, Box::new(out.clone()));
    let line = |n: u32| format!("Nov 24 02:10:35 mx1 postfix/pickup[7]: {n:010X}: uid=0 from=<root@example.com>\n");
    let text: String = (1..=5).map(line).collect();
    inputs.decode(io::Cursor::new(text), None).expect("no error");
    inputs.finish().expect("no error");
    assert_eq!(inputs.summary().evicted, 3);
    let closed_by =
        |record: &str| serde_json::from_str::<serde_json::Value>(record).unwrap()["postfix"]["closed_by"].clone();
    let text = String::from_utf8(out.bytes.lock().expect("no panic").clone()).unwrap();
    let ends: Vec<_> = text.lines().map(closed_by).collect();
    assert_eq!(ends, ["evicted", "evicted", "evicted", "shutdown", "shutdown"]);
}
