//! Is each thing that rsyslog's test bench tries on a TCP receiver's framing right here too, through the running
//! program? Each test has the name of its test there. For `imptcp` they are the same as for `imtcp`, as there is one
//! receiver here.
//!
//! These do not apply:
//!
//! - `imtcp_framing_regex`: no message is found by a pattern (its limit, `_maxmsg_overflow`, is tested).
//! - `imtcp-NUL-rawmsg`: there is one text of a message, and `imtcp-NUL` has it.
//! - `imtcp-stream-always-zlib` as a feature: no stream is expanded (what becomes of a broken one or a bomb is tested).
//! - `imptcp_nonProcessingPoller`: there are no pollers to set; `imtcp-starvation` has what it would lose.
//! - `imptcp-epoll-add-failure`: not about framing, and there is no epoll of its own; an accept that fails is in
//!   `tests/root/flood/`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::pki::{self, BOTH, Pki};
use testkit::postrider::{Ended, Postrider, assert_clean, throttled};
use testkit::scratch;
use testkit::wait::{wait, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// For some hundred megabytes on a busy machine with an unoptimised build.
const LONG: Duration = Duration::from_secs(240);

/// The smallest limit that a source may have.
const MAX: usize = 480;

/// Postrider with one source `tcp` on TCP, and what it printed.
struct Receiver {
    postrider: Postrider,
    address: SocketAddr,
}

/// Fields of a record that the tests look at.
#[derive(Debug, PartialEq)]
struct Seen {
    message: String,
    truncated: bool,
}

fn whole(message: impl Into<String>) -> Seen {
    Seen { message: message.into(), truncated: false }
}

fn cut(message: impl Into<String>) -> Seen {
    Seen { message: message.into(), truncated: true }
}

impl Receiver {
    /// With more keys in the table of the source.
    fn new(keys: &str) -> Self {
        let mut postrider = Postrider::spawn(&format!(
            "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{keys}\n[[sink.stdout]]\nqueue_size = \"32MiB\"\n"
        ));
        let address = postrider.address("tcp");
        Self { postrider, address }
    }

    /// With the smallest limit.
    fn limited(framing: &str) -> Self {
        Self::new(&format!("max_frame_size = \"{MAX}B\"\nframing = \"{framing}\""))
    }

    /// Sends `bytes` on a connection of its own, whole, and ends it. The records of two calls are in their order.
    fn send(&self, bytes: &[u8]) {
        let mut socket = TcpStream::connect(self.address).expect("a connection");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        socket.write_all(bytes).expect("room for the bytes");
        socket.shutdown(Shutdown::Write).expect("an end");
        // Postrider has handed on all of it when it closes its own side.
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).expect("an end");
        assert!(rest.is_empty(), "a syslog receiver says nothing");
    }

    /// Stops it, and gives all records, of which there are as many as it received.
    #[track_caller]
    fn records(self) -> (Vec<Value>, Ended) {
        self.postrider.signal(Signal::SIGTERM);
        self.ended()
    }

    /// The same, when it has been told to stop.
    #[track_caller]
    fn ended(self) -> (Vec<Value>, Ended) {
        let ended = self.postrider.ended(DEADLINE);
        assert_clean(&ended);
        let records: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(records.len() as u64, ended.source("tcp").count("received"));
        let truncated = records.iter().filter(|record| has_flag(record, "truncated")).count();
        assert_eq!(truncated as u64, ended.source("tcp").count("truncated"));
        (records, ended)
    }

    #[track_caller]
    fn seen(self) -> Vec<Seen> {
        self.records().0.iter().map(of_record).collect()
    }
}

fn of_record(record: &Value) -> Seen {
    let message = record["message"].as_str().expect("text").to_owned();
    Seen { message, truncated: has_flag(record, "truncated") }
}

fn has_flag(record: &Value, flag: &str) -> bool {
    record["flags"].as_array().is_some_and(|flags| flags.iter().any(|it| it == flag))
}

/// The connections send each of `inputs`; what comes out is what stands beside them.
#[track_caller]
fn check(keys: &str, cases: Vec<(Vec<u8>, Vec<Seen>)>) {
    let receiver = Receiver::new(keys);
    let mut expected = Vec::new();
    for (input, seen) in cases {
        receiver.send(&input);
        expected.extend(seen);
    }
    assert_eq!(receiver.seen(), expected);
}

/// A message with a header that all is well with.
fn message(text: &str) -> String {
    format!("<13>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}")
}

fn counted(message: &str) -> String {
    format!("{} {message}", message.len())
}

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    /// Returns a random number from 0 to `below`, which is not among them.
    fn throw(&mut self, below: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

// === the ends of messages ===

/// A message without its end at the close.
/// `imtcp_incomplete_frame_at_end`. There, the cut counted message is discarded; here it is kept and flagged.
#[test]
fn imtcp_incomplete_frame_at_end() {
    let text = message("half of it");
    check(
        "",
        vec![
            (format!("{}\n{}", message("one"), message("two")).into(), vec![whole("one"), whole("two")]),
            (format!("{}\r", message("CR alone")).into(), vec![whole("CR alone")]),
            (format!("{} {text}", text.len() + 10).into(), vec![cut("half of it")]),
            (format!("{} ", text.len()).into(), vec![whole(format!("{} ", text.len()))]),
            (format!("{}12", counted(&message("counts"))).into(), vec![whole("counts"), cut("12")]),
        ],
    );
}

/// Numbers that are no counts.
/// `imtcp-msg-truncation-on-number2`
#[test]
fn imtcp_msg_truncation_on_number2() {
    let text = "<120>1 2026-11-24T02:10:35Z a b - - - x!";
    assert_eq!(text.len(), 40);
    let mut cases = vec![
        (format!("41 {text}!{text}\n").into_bytes(), vec![whole("x!!"), whole("x!")]),
        // The LF is counted, and no part of the message.
        (format!("41 {text}\n41 {text}\n").into(), vec![whole("x!"), whole("x!")]),
        // Too small: the rest is a message of its own. Too large: the stream ends inside of it.
        (b"5 <13>x yz\n".to_vec(), vec![whole("x"), whole("yz")]),
        (b"50 <13>x yz\n".to_vec(), vec![cut("x yz")]),
        (b"0 \n<13>x\n".to_vec(), vec![whole("0 "), whole("x")]),
        (b"12\n".to_vec(), vec![whole("12")]),
    ];
    for number in ["214000000000", "2000000010", "4000000000", "18446744073709551617", "0", "00", "-5", "+5", "041"] {
        let line = format!("{number} <120> x");
        cases.push((format!("{line}\n{}\n", counted(&message("next"))).into(), vec![whole(line), whole("next")]));
    }
    check("framing = \"auto\"", cases);
}

/// The flags say of such a line that nothing in it could be read as a header.
#[test]
fn what_is_no_count_is_flagged_as_text_without_a_header() {
    let receiver = Receiver::new("");
    receiver.send(b"2000000010 <13>x\n");
    let (records, _) = receiver.records();
    let flags: Value = ["pri_missing", "timestamp_missing", "hostname_missing"].into_iter().collect();
    assert_eq!(records[0]["flags"], flags);
}

/// A line that goes on with digits where it is cut.
/// `imtcp-msg-truncation-on-number`: the limit falls just before digits, SP and `<`.
#[test]
fn imtcp_msg_truncation_on_number() {
    let begin = "x".repeat(MAX - message("").len());
    let tail = "5 <14>fake 3 <1>";
    for framing in ["auto", "octet_counting", "lf"] {
        let receiver = Receiver::limited(framing);
        receiver.send(format!("{}{tail}\n{}\n", message(&begin), message("next")).as_bytes());
        let expected = vec![cut(begin.as_str()), whole("next")];
        assert_eq!(receiver.seen(), expected, "{framing}");
    }
}

// === over the limit ===

/// Counts over the limit.
/// `imtcp-maxFrameSize`, `imptcp-maxFrameSize-parameter`. There, the count is no longer believed; here the message is
/// cut, and the stream stays in step.
#[test]
fn imtcp_max_frame_size() {
    let receiver = Receiver::limited("auto");
    let mut expected = Vec::new();
    for length in [MAX, MAX + 1, 1005, 10_005, 1_000_000] {
        let text = "y".repeat(length - message("").len());
        receiver.send(format!("{}{}", counted(&message(&text)), counted(&message("next"))).as_bytes());
        let kept = &text[..text.len().min(MAX - message("").len())];
        expected.extend([Seen { message: kept.to_owned(), truncated: length > MAX }, whole("next")]);
    }
    assert_eq!(receiver.seen(), expected);
}

/// The message after one over the limit is whole to its first byte.
/// `imtcp-discard-truncated-msg`, `imptcp-discard-truncated-msg-same-session`
#[test]
fn imtcp_discard_truncated_msg() {
    let kept = "x".repeat(MAX - message("").len());
    let tail = "<13>tail 20 <13>tail";
    for (framing, end) in [("auto", "\n"), ("auto", "\r\n"), ("octet_counting", "\n"), ("lf", "\n"), ("nul", "\0")] {
        let receiver = Receiver::limited(framing);
        // By one byte, by some, and by more than one read.
        for excess in ["x".to_owned(), tail.to_owned(), tail.repeat(10_000)] {
            let long = message(&kept) + &excess;
            receiver.send(format!("{long}{end}{}{end}", message("next")).as_bytes());
            if framing == "auto" {
                receiver.send(format!("{}{}", counted(&long), counted(&message("next"))).as_bytes());
            }
        }
        let seen = receiver.seen();
        assert_eq!(seen.len(), if framing == "auto" { 12 } else { 6 }, "{framing}");
        for pair in seen.chunks(2) {
            assert_eq!(pair, [cut(kept.as_str()), whole("next")], "{framing}");
        }
    }
}

/// Ten messages of random sizes around the limit are ten records.
fn ten_around_the_limit(framing: &str) {
    const LIMIT: usize = 4096;
    let header = message("").len();
    let mut dice = Dice(0x5eed);
    let receiver = Receiver::new(&format!("max_frame_size = \"{LIMIT}B\"\nframing = \"{framing}\""));
    let mut expected = Vec::new();
    let mut bytes = String::new();
    for n in 0..10 {
        let text = "0123456789".repeat(600)[..LIMIT - header - 50 + dice.throw(100)].to_owned();
        match framing {
            "lf" => writeln!(bytes, "{}", message(&text)).expect("text"),
            _ => bytes.push_str(&counted(&message(&text))),
        }
        let kept = text.len().min(LIMIT - header);
        expected.push(Seen { message: text[..kept].to_owned(), truncated: kept < text.len() });
        // Both kinds have to be among them.
        assert!(n < 9 || expected.iter().any(|seen| seen.truncated) && !expected.iter().all(|seen| seen.truncated));
    }
    receiver.send(bytes.as_bytes());
    assert_eq!(receiver.seen(), expected, "{framing}");
}

#[test]
fn imtcp_bigmessage_octetcounting() {
    ten_around_the_limit("octet_counting");
}

#[test]
fn imtcp_bigmessage_octetstuffing() {
    ten_around_the_limit("lf");
}

/// A message over the limit leaves no piece, and counts nowhere: by one byte, by some, and by many reads.
#[test]
fn imptcp_oversize_message_display() {
    let begin = "x".repeat(MAX - message("").len());
    let excesses = [1, 17, MAX, MAX + 1, 100_000];
    let receiver = Receiver::limited("auto");
    let mut expected = Vec::new();
    for excess in excesses {
        let long = message(&begin) + &"<13>piece ".repeat(excess / 10 + 1)[..excess];
        receiver.send(format!("{long}\n{}\n", message("next")).as_bytes());
        expected.extend([cut(begin.as_str()), whole("next")]);
    }
    let (records, ended) = receiver.records();
    assert_eq!(records.iter().map(of_record).collect::<Vec<_>>(), expected);
    assert_eq!(ended.source("tcp").count("truncated"), excesses.len() as u64);
    let kept = excesses.len() * (MAX + message("next").len());
    assert_eq!(ended.source("tcp").count("received_bytes"), kept as u64);
}

/// A record that was cut says so and whose it is (`imptcp-oversize-errorfile-truncate`).
#[test]
fn imptcp_oversize_errorfile_truncate() {
    let receiver = Receiver::limited("auto");
    let mut socket = TcpStream::connect(receiver.address).expect("a connection");
    let own = socket.local_addr().expect("an address");
    let text = "x".repeat(MAX);
    writeln!(socket, "{}", message(&text)).expect("room");
    wait_until(DEADLINE, "a record", || receiver.postrider.stdout().ends_with('\n'));
    let (records, _) = receiver.records();
    let record = &records[0];
    assert!(has_flag(record, "truncated"));
    assert_eq!(record["source"]["peer"], own.to_string());
    assert_eq!((&record["source"]["name"], &record["hostname"]), (&"tcp".into(), &"mx1".into()));
    assert_eq!(record["message"], text[..MAX - message("").len()]);
}

/// 5000 messages with another delimiter than the source's are one long message.
fn with_a_wrong_delimiter(framing: &str, wrong: &str, right: &str) {
    let receiver = Receiver::limited(framing);
    let long = format!("{}{wrong}", message("over and over")).repeat(5000);
    receiver.send(format!("{long}{right}{}{right}", message("next")).as_bytes());
    let kept = &long[message("").len()..MAX];
    assert_eq!(receiver.seen(), [cut(kept), whole("next")], "{framing}");
}

#[test]
fn imptcp_buffer_overflow() {
    with_a_wrong_delimiter("lf", "\0", "\n");
    with_a_wrong_delimiter("auto", "\0", "\n");
}

#[test]
fn imptcp_custom_delimiter() {
    with_a_wrong_delimiter("nul", "\n", "\0");
}

/// A huge limit is refused and the largest works.
/// `maxMessageSize` 2^31-1 of `imtcp_framing_regex_maxmsg_overflow`
#[test]
fn imtcp_framing_regex_maxmsg_overflow() {
    const LARGEST: usize = 16 << 20;
    let directory = scratch::directory("limit");
    let file = directory.path().join("postrider.toml");
    for size in ["2147483647B", "17MiB", "99999999999999999999B"] {
        let config =
            format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"{size}\"\n[[sink.stdout]]\n");
        fs::write(&file, config).expect("a configuration");
        let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["run", "-c"]).arg(&file).output();
        let output = output.expect("postrider runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{size}: {said}");
        assert!(said.contains("postrider.toml:3:") && said.contains(size), "{size}: {said}");
    }
    let receiver = Receiver::new("max_frame_size = \"16MiB\"");
    let text = "x".repeat(LARGEST - message("").len());
    receiver.send(format!("{}{}", counted(&message(&text)), counted(&message("next"))).as_bytes());
    receiver.send(format!("{}x\n{}\n", message(&text), message("next")).as_bytes());
    let seen = receiver.seen();
    let short: Vec<_> = seen.iter().map(|seen| (seen.message.len(), seen.truncated)).collect();
    assert_eq!(short, [(text.len(), false), (4, false), (text.len(), true), (4, false)]);
}

// === bytes in and between messages ===

/// NUL in the middle is kept.
/// `imtcp-NUL`, `imtcp-NUL-rawmsg`
#[test]
fn imtcp_nul() {
    let text = "a\0b\0\0c";
    check(
        "",
        vec![
            (format!("{}\n{}\n", message(text), message("next")).into(), vec![whole(text), whole("next")]),
            (format!("{}{}", counted(&message(text)), message("next")).into(), vec![whole(text), whole("next")]),
        ],
    );
}

/// SP before a message is skipped.
/// `imtcp_spframingfix`: Cisco ASA puts SP behind the LF.
#[test]
fn imtcp_spframingfix() {
    let texts: Vec<String> = (0..20).map(|n| format!("message {n}")).collect();
    let expected = || texts.iter().map(whole).collect::<Vec<_>>();
    let (mut lines, mut frames) = (String::new(), String::new());
    for text in &texts {
        lines += &(message(text) + "\n ");
        frames += &(counted(&message(text)) + "\n ");
    }
    check("", vec![(lines.into(), expected()), (frames.into(), expected())]);
}

/// Lines that begin with digits where counts are off.
/// `imtcp_no_octet_counted`
#[test]
fn imtcp_no_octet_counted() {
    let lines = ["5 <13>a", "7", "12 monkeys", "41 <120> x", "250 2.0.0 Ok"];
    let expected = lines.map(whole).into();
    check("framing = \"lf\"", vec![(format!("{}\n", lines.join("\n")).into(), expected)]);
}

/// LF within a counted message is kept.
/// `imtcp-multiline`, `imptcp_multi_line`
#[test]
fn imtcp_multiline() {
    let text = "one\n<13>two\r\n5 <13>x\nthree";
    let input = format!("{}{}", counted(&message(text)), counted(&message("next")));
    check("", vec![(input.into(), vec![whole(text), whole("next")])]);
}

// === a TLS hello, compressed bytes ===

/// A TLS hello on a plain port is named and dropped once.
/// `imtcp-tls-gibberish`
#[test]
fn imtcp_tls_gibberish() {
    let pki = Pki::new();
    let mut hello = Vec::new();
    pki::session(&pki.client(None, BOTH)).write_tls(&mut hello).expect("a hello");
    let receiver = Receiver::new("");
    let mut socket = TcpStream::connect(receiver.address).expect("a connection");
    socket.write_all(&hello).expect("room");
    let log = || receiver.postrider.stderr();
    let what = "a TLS handshake came to a port without TLS; set tls here, or disable TLS at the sender";
    assert!(wait(DEADLINE, || log().contains(what).then_some(())).is_some(), "{}", log());
    let ended = receiver.postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stdout, "");
    for count in ["received=1", " dropped_unexpected_tls=1 ", "errors=1"] {
        assert!(ended.stderr.contains(count), "{count}: {}", ended.stderr);
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compressed bytes")
}

/// More than 100 kB, of which no two parts are alike.
fn compressed_messages() -> Vec<u8> {
    let mut dice = Dice(1);
    let stream = compressed(
        (0..20_000).map(|n| message(&format!("{n} {}\n", dice.throw(1 << 40)))).collect::<String>().as_bytes(),
    );
    assert!(stream.len() > 100_000, "{}", stream.len());
    stream
}

/// Nothing is expanded: each line of a compressed stream is a record, flagged as text without a header.
#[track_caller]
fn assert_kept_compressed(stream: &[u8]) {
    let receiver = Receiver::new("framing = \"lf\"\nmax_frame_size = \"16MiB\"");
    receiver.send(stream);
    let (records, ended) = receiver.records();
    // The NUL that C programs put at the end is no part of a message.
    let lines = stream.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(String::from_utf8_lossy);
    let expected: Vec<_> = lines.map(|line| line.trim_end_matches(['\r', '\0']).to_owned()).collect();
    let found: Vec<_> = records.iter().map(|record| of_record(record).message).collect();
    assert_eq!(found, expected);
    for record in &records {
        assert!(has_flag(record, "timestamp_missing") && has_flag(record, "hostname_missing"), "{record}");
    }
    assert!(ended.source("tcp").count("received_bytes") <= stream.len() as u64);
}

#[test]
fn imtcp_stream_always_zlib_corrupt() {
    let mut stream = compressed_messages();
    let middle = stream.len() / 2;
    stream[middle] ^= 0xff;
    assert_kept_compressed(&stream);
}

#[test]
fn imtcp_stream_always_zlib_truncated() {
    let stream = compressed_messages();
    assert_kept_compressed(&stream[..stream.len() / 2]);
}

#[test]
fn imtcp_stream_always_zlib_expansion_guard() {
    let bomb = compressed(&vec![0; 100 << 20]);
    assert!(bomb.len() > 100_000, "{}", bomb.len());
    assert_kept_compressed(&bomb);
}

// === many messages ===

/// Postrider with a file, whose records can be counted without reading all of them each time.
struct Filed {
    postrider: Postrider,
    directory: TempDir,
}

impl Filed {
    fn new(source: &str) -> Self {
        let directory = scratch::directory("filed");
        let path = directory.path().join("out.json");
        let config = format!("{source}\n[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n", path.display());
        Self { postrider: Postrider::spawn(&config), directory }
    }

    /// Waits until there are `count` records of at least `size` bytes, stops, and gives their messages.
    #[track_caller]
    fn messages(self, source: &str, count: usize, size: usize) -> Vec<String> {
        let path = self.directory.path().join("out.json");
        let lines = |path: &Path| fs::read(path).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count());
        let length = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
        wait_until(LONG, &format!("{count} records"), || length() >= (count * size) as u64 && lines(&path) >= count);
        let ended = self.postrider.terminate(DEADLINE);
        assert_clean(&ended);
        assert_eq!(ended.source(source).count("received"), count as u64);
        for field in ["truncated", "dropped", "errors", "connections_refused"] {
            assert_eq!(ended.source(source).count(field), 0, "{field}");
        }
        let text = fs::read_to_string(&path).expect("the output");
        let record = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        text.lines().map(|line| record(line)["message"].as_str().expect("text").to_owned()).collect()
    }
}

/// A text of `size` bytes with the number `n`. The text of any other number has other bytes.
fn numbered(n: usize, size: usize) -> String {
    let block = format!("{n} {:x}-{n}.", n * 31);
    let mut text = block.repeat(size / block.len() + 1);
    text.truncate(size.max(8));
    text
}

/// Asserts that `messages` are [`numbered`] from 0 to `count`, each once, of the sizes that `size` gives.
#[track_caller]
fn assert_numbered(messages: &[String], count: usize, size: impl Fn(usize) -> usize) {
    let mut seen = vec![false; count];
    for message in messages {
        let n: usize = message.split(' ').next().expect("a number").parse().expect("a number");
        assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
        assert!(*message == numbered(n, size(n)), "{n} has changed");
    }
    assert_eq!(seen.iter().filter(|seen| !**seen).count(), 0, "messages are missing");
}

/// Twenty thousand messages that end with nul.
/// `imtcp_addtlframedelim`
#[test]
fn imtcp_addtlframedelim() {
    const COUNT: usize = 20_000;
    let mut filed = Filed::new("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nframing = \"nul\"");
    let mut socket = BufWriter::new(TcpStream::connect(filed.postrider.address("tcp")).expect("a connection"));
    for n in 0..COUNT {
        write!(socket, "{}\0", message(&numbered(n, 50))).expect("room");
    }
    drop(socket);
    assert_numbered(&filed.messages("tcp", COUNT, 50), COUNT, |_| 50);
}

/// Twenty thousand messages of random sizes.
/// `imptcp_large`: random sizes up to 10 kB.
#[test]
fn imptcp_large() {
    const COUNT: usize = 20_000;
    let mut dice = Dice(0xd1ce);
    let sizes: Vec<usize> = (0..COUNT).map(|_| 8 + dice.throw(10_000)).collect();
    let mut filed = Filed::new("[[source.tcp]]\nlisten = \"127.0.0.1:0\"");
    let mut socket = BufWriter::new(TcpStream::connect(filed.postrider.address("tcp")).expect("a connection"));
    for (n, size) in sizes.iter().enumerate() {
        write!(socket, "{}", counted(&message(&numbered(n, *size)))).expect("room");
    }
    drop(socket);
    assert_numbered(&filed.messages("tcp", COUNT, sizes.iter().sum::<usize>() / COUNT), COUNT, |n| sizes[n]);
}

/// Very large counted messages on 32 connections.
/// `imptcp_veryLargeOctateCountedMessages`: 32 connections with messages of 100 kB.
#[test]
fn imptcp_very_large_octet_counted_messages() {
    const CONNECTIONS: usize = 32;
    const EACH: usize = 20;
    const SIZE: usize = 100_000;
    let mut filed = Filed::new("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"128KiB\"");
    let address = filed.postrider.address("tcp");
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            thread::spawn(move || {
                let mut socket = TcpStream::connect(address).expect("a connection");
                for n in 0..EACH {
                    let text = message(&numbered(connection * EACH + n, SIZE));
                    socket.write_all(counted(&text).as_bytes()).expect("room");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().expect("a sender");
    }
    assert_numbered(&filed.messages("tcp", CONNECTIONS * EACH, SIZE), CONNECTIONS * EACH, |_| SIZE);
}

const DROPPED: usize = 50_000;

/// 20 threads send [`DROPPED`] messages; each opens a connection anew after a random number of them. `open` connects,
/// `write` sends one message, `close` ends a connection in an orderly way.
fn send_with_drops<C>(open: impl Fn() -> C + Sync, write: impl Fn(&mut C, &str) + Sync, close: impl Fn(C) + Sync) {
    const THREADS: usize = 20;
    thread::scope(|scope| {
        for sender in 0..THREADS {
            let (open, write, close) = (&open, &write, &close);
            scope.spawn(move || {
                let mut dice = Dice(sender as u64 + 1);
                let mut connection = open();
                for n in (sender..DROPPED).step_by(THREADS) {
                    write(&mut connection, &counted(&message(&numbered(n, 60))));
                    if dice.throw(100) == 0 {
                        close(std::mem::replace(&mut connection, open()));
                    }
                }
                close(connection);
            });
        }
    });
}

/// Connections that are dropped and reopened lose nothing.
/// `imtcp_conndrop`
#[test]
fn imtcp_conndrop() {
    let mut filed = Filed::new("[[source.tcp]]\nlisten = \"127.0.0.1:0\"");
    let address = filed.postrider.address("tcp");
    send_with_drops(
        || TcpStream::connect(address).expect("a connection"),
        |socket, message| socket.write_all(message.as_bytes()).expect("room"),
        drop,
    );
    assert_numbered(&filed.messages("tcp", DROPPED, 60), DROPPED, |_| 60);
}

/// TLS connections that are dropped and reopened lose nothing.
/// `imtcp_conndrop_tls`. A sender does not wait for the `close_notify` of the other side, as syslog senders do not.
#[test]
fn imtcp_conndrop_tls() {
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let mut filed = Filed::new(&pki.source("").replace("max_connections = 4\n", ""));
    let address = filed.postrider.address("tls");
    send_with_drops(
        || pki::connect(address, &client).expect("a connection"),
        |stream, message| stream.write_all(message.as_bytes()).expect("room"),
        |mut stream| {
            stream.conn.send_close_notify();
            stream.flush().expect("an end");
        },
    );
    assert_numbered(&filed.messages("tls", DROPPED, 60), DROPPED, |_| 60);
}

// === many connections ===

/// A flooding connection does not starve another.
/// `imtcp-starvation`, `imptcp_nonProcessingPoller`
#[test]
fn imtcp_starvation() {
    let mut postrider = Postrider::spawn(
        "shutdown_timeout = \"5s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\nevents = [\"delivery\"]\n",
    );
    let address = postrider.address("tcp");
    // No sink takes these, so nothing but the reading of them takes time. There are more floods than cores.
    let flood = format!("{}\n", message("nothing of interest")).repeat(5000);
    let floods: Vec<_> = (0..8)
        .map(|_| {
            let flood = flood.clone();
            thread::spawn(move || {
                let mut socket = TcpStream::connect(address).expect("a connection");
                while socket.write_all(flood.as_bytes()).is_ok() {}
            })
        })
        .collect();
    let delivery = "<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: 3F2A9C0D1E: to=<a@example.com>, relay=mx.example.com[192.0.2.25]:25, \
                    delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok)";
    let mut lasting = TcpStream::connect(address).expect("a connection");
    for n in 1..=10 {
        // On a connection that is there, and on one that is new.
        writeln!(lasting, "{delivery}").expect("room");
        let mut new = TcpStream::connect(address).expect("a connection");
        writeln!(new, "{delivery}").expect("room");
        wait_until(Duration::from_secs(20), "both messages", || postrider.stdout().lines().count() == 2 * n);
    }
    assert_clean(&postrider.terminate(DEADLINE));
    for flood in floods {
        flood.join().expect("a sender");
    }
}

/// Exactly those over max connections are refused.
/// `imptcp_maxsessions`
#[test]
fn imptcp_maxsessions() {
    let receiver = Receiver::new("max_connections = 10");
    let mut sockets: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(receiver.address).expect("a connection")).collect();
    // They are accepted in the order in which they came.
    for socket in sockets.split_off(10) {
        let mut socket = socket;
        socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        assert_eq!(socket.read(&mut [0]).expect("an end"), 0);
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        writeln!(socket, "{}", message(&n.to_string())).expect("room");
    }
    wait_until(DEADLINE, "ten records", || receiver.postrider.stdout().lines().count() == 10);
    let (_, ended) = receiver.records();
    assert_eq!(ended.source("tcp").count("connections_refused"), 10);
    assert_eq!(ended.source("tcp").count("connections"), 10);
    let logged = throttled(&ended.stderr, "connection closed: max_connections is reached");
    assert_eq!(logged, (1, 9), "peers do not choose how much is logged: {}", ended.stderr);
    assert!(ended.stderr.contains("max_connections=10"), "{}", ended.stderr);
}

/// A stop with many open and pending connections is clean and reads what they sent.
/// `imtcp-shutdown-pending-accepts`
#[test]
fn imtcp_shutdown_pending_accepts() {
    const OPEN: usize = 150;
    const PENDING: usize = 150;
    let receiver = Receiver::new("");
    let connect = |n: usize| {
        let mut socket = TcpStream::connect(receiver.address).expect("a connection");
        writeln!(socket, "{}", message(&format!("{n} first"))).expect("room");
        socket
    };
    let mut open: Vec<TcpStream> = (0..OPEN).map(connect).collect();
    wait_until(DEADLINE, "a record of each", || receiver.postrider.stdout().lines().count() == OPEN);
    // Held still, it accepts nobody: the kernel does.
    receiver.postrider.signal(Signal::SIGSTOP);
    let pending: Vec<TcpStream> = (OPEN..OPEN + PENDING).map(connect).collect();
    for (n, socket) in open.iter_mut().enumerate() {
        writeln!(socket, "{}", message(&format!("{n} last"))).expect("room");
    }
    receiver.postrider.signal(Signal::SIGTERM);
    receiver.postrider.signal(Signal::SIGCONT);
    let begun = std::time::Instant::now();
    let (records, _) = receiver.ended();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop((open, pending));
    let mut expected: Vec<String> = (0..OPEN).map(|n| format!("{n} last")).collect();
    expected.extend((0..OPEN + PENDING).map(|n| format!("{n} first")));
    let mut texts: Vec<String> = records.iter().map(|record| of_record(record).message).collect();
    expected.sort();
    texts.sort();
    assert_eq!(texts, expected);
}
