//! Are a million open messages bounded in number and memory, and do the messages of one host stay whole in the flood of
//! another?

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdout, Command};
use std::thread;
use std::time::Duration;

use testkit::postrider::assert_clean;
use testkit::scratch;
use testkit::unread::Unread;

use crate::instructions::release_program;
use crate::soak::Holds;

const DEADLINE: Duration = Duration::from_secs(900);
/// Limits of the configuration.
const OPEN: u64 = 1_000_000;
const MEMORY: u64 = 512 << 20;
/// Messages of the host that floods, of which none ends, and of the quiet one.
const FLOOD: u64 = 1_100_000;
const QUIET: u64 = 1000;

/// Lines of a quiet message: those with which it begins, and those with which it ends.
fn quiet(number: u64) -> [Vec<String>; 2] {
    let line = |program: &str, text: &str| format!("quiet postfix/{program} 7 - - 4EB{number:08X}: {text}");
    let begin = [
        ("pickup", "uid=0 from=<root>".to_owned()),
        ("cleanup", format!("message-id=<{number}@quiet.example>")),
        ("qmgr", format!("from=<root@quiet.example>, size={}, nrcpt=1 (queue active)", 500 + number)),
    ];
    let end = [
        (
            "smtp",
            format!(
                "to=<user{number}@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1.2, \
                 delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9A8B7C6D5E)"
            ),
        ),
        ("qmgr", "removed".to_owned()),
    ];
    [begin.to_vec(), end.to_vec()].map(|lines| lines.iter().map(|(program, text)| line(program, text)).collect())
}

fn send(address: SocketAddr) {
    let mut stream = BufWriter::with_capacity(1 << 16, TcpStream::connect(address).expect("a connection"));
    let mut write = |second: u64, line: &str| {
        writeln!(stream, "<22>1 2026-11-24T00:00:{second:02}Z {line}").expect("room");
    };
    let quiet: Vec<_> = (0..QUIET).map(quiet).collect();
    quiet.iter().flat_map(|[begin, _]| begin).for_each(|line| write(0, line));
    for number in 0..FLOOD {
        write(1, &format!("flood postfix/cleanup 8 - - {number:011X}: message-id=<{number}@flood.example>"));
    }
    quiet.iter().flat_map(|[_, end]| end).for_each(|line| write(2, line));
}

/// Messages that were told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Whole ones of the quiet host, which were sent.
    sent: u64,
    evicted: u64,
    /// Messages that were open at the stop.
    open: u64,
    other: u64,
}

fn read(output: ChildStdout) -> Told {
    let mut told = Told::default();
    for line in BufReader::with_capacity(1 << 20, output).lines() {
        let line = line.expect("a line of text");
        let has = |text: &str| memchr::memmem::find(line.as_bytes(), text.as_bytes()).is_some();
        let is_incomplete = has("\"incomplete\":true");
        let count = match has("\"hostname\":\"quiet\"") {
            true if has("\"result\":\"sent\"") && !is_incomplete => &mut told.sent,
            false if has("\"closed_by\":\"evicted\"") && is_incomplete => &mut told.evicted,
            false if has("\"closed_by\":\"shutdown\"") && is_incomplete => &mut told.open,
            _ => &mut told.other,
        };
        *count += 1;
    }
    told
}

#[test]
fn a_million_open_messages_are_bounded() {
    let directory = scratch::directory("joins");
    let config = format!(
        "shutdown_timeout = \"300s\"\n[correlate]\nenabled = true\nmax_messages = {OPEN}\nmax_memory = \"{}MiB\"\n\
         [[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\nevents = [\"message\"]\n",
        MEMORY >> 20
    );
    let program = Command::new(release_program());
    let mut postrider = Unread::spawn_by(program, &config, &directory.path().join("stderr"));
    let address = postrider.address("tcp");
    let output = postrider.output();
    let reader = thread::spawn(|| read(output));
    let at_rest = Holds::of(postrider.pid()).memory;
    send(address);
    // Each that was evicted made room for another one.
    let evicted = FLOOD + QUIET - OPEN;
    let status = postrider.status().wait(DEADLINE, "all messages", |status| {
        *status.get("/ledger/created") == evicted + QUIET && *status.get("/correlate/messages") == OPEN
    });
    let held = Holds::of(postrider.pid()).memory - at_rest;
    let counted = status.get("/correlate/memory").as_u64().expect("a number");
    assert_eq!(*status.get("/correlate/evicted"), evicted);
    assert!(counted <= MEMORY && held <= MEMORY, "{counted} bytes are counted, and {held} are held");
    assert!(counted > held / 2, "{counted} bytes are counted, and {held} are held");
    assert_clean(&postrider.terminate(DEADLINE));
    let told = reader.join().expect("the reader");
    assert_eq!(told, Told { sent: QUIET, evicted, open: FLOOD - evicted, other: 0 });
}
