//! Is every RELP frame answered as it has to be, and acknowledged only when it is delivered? Does rsyslog lose anything?

mod peers;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use peers::port::Port;
use peers::postrider::{Postrider, assert_clean, ledger};
use peers::rsyslog::Rsyslog;
use peers::scratch;
use peers::unread::Unread;
use peers::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);
const PAGE: &str = include_str!("../docs/relp.md");

const OPEN: &str = "1 open 30 relp_version=0\ncommands=syslog\n";
const CLOSE: &str = "0 serverclose 0\n";
const REFUSED: &str = "rsp 44 500 required command not supported by client\n0 serverclose 0\n";

/// What `open` is answered.
fn opened() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let data = format!("200 OK\nrelp_version=0\nrelp_software=postrider,{version}\ncommands=syslog");
    format!("1 rsp {} {data}\n", data.len())
}

/// A sender that writes what a test says.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit on a socket");
        Self(socket)
    }

    /// In a session that is open.
    fn open(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.send(OPEN.as_bytes());
        assert_eq!(client.read(opened().len()), opened());
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("room for a frame");
    }

    fn read(&mut self, size: usize) -> String {
        let mut bytes = vec![0; size];
        self.0.read_exact(&mut bytes).expect("an answer");
        String::from_utf8(bytes).expect("text")
    }

    /// Everything up to the end of the connection.
    fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        self.0
            .read_to_string(&mut text)
            .unwrap_or_else(|error| panic!("no end of the session: {error} after {text:?}"));
        text
    }

    /// What comes until nothing has come for `time`.
    fn read_until_silent(&mut self, time: Duration) -> String {
        self.0.set_read_timeout(Some(time)).expect("a time limit on a socket");
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => panic!("the session has ended after {}", bytes.escape_ascii()),
                Ok(size) => bytes.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.0.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit on a socket");
        String::from_utf8(bytes).expect("text")
    }
}

fn acknowledgements(numbers: impl Iterator<Item = usize>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        writeln!(text, "{number} rsp 6 200 OK").expect("a String takes all");
        text
    })
}

#[test]
fn each_frame_is_answered_as_it_has_to_be() {
    let directory = scratch::directory("relp");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"480B\"\n\
         [[source.relp]]\nname = \"strict\"\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"480B\"\noversize = \"close\"\n\
         [[sink.file]]\npath = \"{}\"\n",
        path.display()
    ));
    let (address, strict) = (postrider.address("relp"), postrider.address("strict"));
    let long = format!("2 syslog 500 <13>long{}\n3 syslog 8 <13>next\n4 close 0\n", "x".repeat(492));
    let over = "x".repeat(481);
    let closed = |number| format!("{number} rsp 0\n{CLOSE}");
    for (what, requests, answers) in [
        // The first of these is logged; the others come too soon after it.
        ("an HTTP request", "GET / HTTP/1.1\r\nHost: mx1.example\r\n\r\n", CLOSE.to_owned()),
        ("syslog before open", "1 syslog 5 <13>a\n", CLOSE.to_owned()),
        ("an unknown command", &format!("{OPEN}2 starttls 0\n"), opened() + CLOSE),
        ("a gap", &format!("{OPEN}3 syslog 5 <13>a\n"), opened() + CLOSE),
        ("a repetition", &format!("{OPEN}1 syslog 5 <13>a\n"), opened() + CLOSE),
        ("a number of ten digits", &format!("{OPEN}0000000002 syslog 5 <13>a\n"), opened() + CLOSE),
        ("a length of ten digits", &format!("{OPEN}2 syslog 0000000005 <13>a\n"), opened() + CLOSE),
        ("a wrong trailer", &format!("{OPEN}2 syslog 5 <13>abc\n"), opened() + CLOSE),
        ("CR LF", &format!("{OPEN}2 syslog 5 <13>a\r\n"), opened() + CLOSE),
        ("a space without data", &format!("{OPEN}2 syslog 0 \n"), opened() + CLOSE),
        (
            "an empty message",
            &format!("{OPEN}2 syslog 0\n3 close 0\n"),
            opened() + &acknowledgements(2..3) + &closed(3),
        ),
        ("number 0", &format!("{OPEN}0 syslog 5 <13>a\n"), opened() + CLOSE),
        ("a message over the limit", &format!("{OPEN}{long}"), opened() + &acknowledgements(2..4) + &closed(4)),
        ("open without commands", "1 open 14 relp_version=0\n", format!("1 {REFUSED}")),
        ("open with no command", "1 open 24 relp_version=0\ncommands=\n", format!("1 {REFUSED}")),
        ("open with others only", "1 open 13 commands=eins\n", format!("1 {REFUSED}")),
        ("another version", &format!("{}2 close 0\n", OPEN.replace("=0", "=1")), opened() + &closed(2)),
        ("a second open", &format!("{OPEN}2{}", &OPEN[1..]), format!("{}2 {REFUSED}", opened())),
        (
            "line ends in data",
            &format!("{OPEN}2 syslog 17 <13>line\nand one\n\n3 close 0\n"),
            opened() + &acknowledgements(2..3) + &closed(3),
        ),
        (
            "a good message before a bad one",
            &format!("{OPEN}2 syslog 10 <13>before\nnonsense"),
            opened() + &acknowledgements(2..3) + CLOSE,
        ),
    ] {
        let mut client = Client::connect(address);
        client.send(requests.as_bytes());
        assert_eq!(client.read_to_end(), answers, "{what}");
    }
    let mut client = Client::connect(strict);
    client.send(format!("{OPEN}2 syslog 481 {over}\n").as_bytes());
    assert_eq!(client.read_to_end(), opened() + CLOSE, "over the limit of a strict source");

    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let text = fs::read_to_string(&path).expect("the records");
    let records: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<_> = records.iter().map(|record| record["message"].as_str().expect("a message")).collect();
    assert_eq!(messages, [&format!("long{}", "x".repeat(472)), "next", "line\nand one", "before"]);
    assert!(records[0]["flags"].to_string().contains("\"truncated\""), "{}", records[0]);
    assert!(records.iter().all(|record| record["source"]["transport"] == "relp"), "{text}");
    assert_eq!(ledger(&ended, "source=\"relp\"", "received"), 5);
    assert!(ended.stderr.contains("dropped=\"1 (empty 1)\""), "{}", ended.stderr);
    assert!(ended.stderr.contains("does the sender speak RELP"), "{}", ended.stderr);
}

/// The longest messages here; what a pipe holds, 64 KiB, are at most 16 of their records.
const LONG: usize = 4096;
const IN_PIPE: usize = 16;

/// Frames of long messages, with these numbers.
fn long_messages(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let text = format!("<22>Nov 24 02:10:35 mx1 test: {}", "x".repeat(LONG - 31));
    let mut frames = String::new();
    for number in numbers {
        writeln!(frames, "{number} syslog {} {text}", text.len()).expect("a String takes all");
    }
    frames.into_bytes()
}

/// Postrider with a window of 20 and a standard output that nobody reads yet.
fn blocked(directory: &Path) -> Unread {
    let config = "shutdown_timeout = \"4s\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\nwindow = 20\n\
                  max_frame_size = \"8KiB\"\n[[sink.stdout]]\nqueue_size = \"1MiB\"\n";
    Unread::spawn(config, &directory.join("stderr"))
}

#[test]
fn a_message_is_acknowledged_when_it_is_delivered() {
    const END: usize = 302;
    let directory = scratch::directory("relp-delivered");
    let mut postrider = blocked(directory.path());
    let mut client = Client::open(postrider.address("relp"));
    // The socket takes no more than the window and its buffers while nothing is acknowledged.
    let mut socket = client.0.try_clone().expect("a second handle of a socket");
    let sender = thread::spawn(move || socket.write_all(&long_messages(2..END)));
    let early = client.read_until_silent(Duration::from_secs(2));
    let acknowledged = early.lines().count();
    assert!(acknowledged <= IN_PIPE, "{acknowledged} acknowledged, and none of them read");
    assert_eq!(early, acknowledgements(2..2 + acknowledged));

    let mut output = postrider.output();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text.lines().count())
    });
    let rest = acknowledgements(2 + acknowledged..END);
    assert_eq!(client.read(rest.len()), rest);
    sender.join().expect("the sender").expect("all is taken");
    client.send(b"302 close 0\n");
    assert_eq!(client.read_to_end(), format!("302 rsp 0\n{CLOSE}"));
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(reader.join().expect("the reader").expect("text"), END - 2);
}

#[test]
fn a_connection_is_read_up_to_its_window_and_closed_at_a_stop() {
    let directory = scratch::directory("relp-window");
    let postrider = blocked(directory.path());
    let mut client = Client::open(postrider.address("relp"));
    client.send(&long_messages(2..102));
    let acknowledged = client.read_until_silent(Duration::from_secs(2)).lines().count();
    assert!(acknowledged <= IN_PIPE, "{acknowledged} acknowledged, and none of them read");
    let begun = Instant::now();
    let reader = thread::spawn(move || client.read_to_end());
    let ended = postrider.terminate(DEADLINE);
    assert!(begun.elapsed() < Duration::from_secs(10), "the stop took {:?}", begun.elapsed());
    assert_eq!(reader.join().expect("the reader"), CLOSE, "nothing is acknowledged that is not delivered");
    assert_eq!(ledger(&ended, "source=\"relp\"", "received"), (acknowledged + 20) as u64);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
}

#[test]
fn a_stop_acknowledges_what_it_delivers() {
    let directory = scratch::directory("relp-stop");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n",
        path.display()
    ));
    let mut client = Client::open(postrider.address("relp"));
    let mut socket = client.0.try_clone().expect("a second handle of a socket");
    let sender = thread::spawn(move || (2..).step_by(50).all(|n| socket.write_all(&long_messages(n..n + 50)).is_ok()));
    let reader = thread::spawn(move || client.read_to_end());
    wait_until(DEADLINE, "a stream at full speed", || lines(&path) > 2000);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let said = reader.join().expect("the reader");
    assert!(!sender.join().expect("the sender"));
    let records = lines(&path);
    assert_eq!(said, acknowledgements(2..2 + records) + CLOSE, "all that is in the file");
    assert_eq!(ledger(&ended, "source=\"relp\"", "received"), records as u64);
}

#[test]
fn a_silent_connection_is_closed_where_that_is_asked_for() {
    let config = "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"200ms\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(config);
    let mut client = Client::open(postrider.address("relp"));
    client.send(b"2 syslog 5 <13>a\n");
    assert_eq!(client.read_to_end(), acknowledgements(2..3) + CLOSE);
    assert_clean(&postrider.terminate(DEADLINE));
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count())
}

/// The lines for the sender that docs/relp.md begins with, for this port on this machine.
fn sender_lines(port: u16) -> String {
    let (_, block) = PAGE.split_once("```\n").expect("a block");
    let (block, _) = block.split_once("```").expect("the end of the block");
    assert!(block.contains("\"postrider.example\"") && block.contains("\"20514\""), "{block}");
    block.replace("postrider.example", "127.0.0.1").replace("20514", &port.to_string())
}

const MESSAGES: usize = 20_000;

/// Has rsyslog log the numbers 0 to [`MESSAGES`].
fn log_all(rsyslog: &Rsyslog) {
    let texts: Vec<String> = (0..MESSAGES).map(|n| format!("message number {n} of a test")).collect();
    rsyslog.log("postfix/smtp[1]", texts.iter().map(String::as_str));
}

/// The numbers in the file.
fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let number = |line: &str| {
        let (_, rest) = line.split_once("message number ")?;
        rest.split(' ').next()?.parse().ok()
    };
    whole.lines().filter_map(number).collect()
}

fn config(address: SocketAddr, path: &Path) -> String {
    format!("[[source.relp]]\nlisten = \"{address}\"\n[[sink.file]]\npath = \"{}\"\n", path.display())
}

#[test]
fn rsyslog_delivers_each_message_once() {
    let directory = scratch::directory("relp-rsyslog");
    let (path, port) = (directory.path().join("out.json"), Port::reserve());
    let postrider = Postrider::run(&config(port.address(), &path), &[port.address()]);
    let mut rsyslog = Rsyslog::setup().further(&sender_lines(port.number())).start();
    log_all(&rsyslog);
    wait_until(DEADLINE, "the last message", || lines(&path) >= MESSAGES);
    rsyslog.stop();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    // rsyslog has two threads for its queue, and they may overtake each other.
    let mut numbers = numbers(&path);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..MESSAGES), "gaps or repetitions");
    assert_eq!(ledger(&ended, "source=\"relp\"", "received"), MESSAGES as u64);
}

#[test]
fn no_message_is_lost_when_postrider_is_killed() {
    /// Records that the reader of the standard output takes in each of the first runs.
    const EACH: usize = 3000;
    let directory = scratch::directory("relp-killed");
    let (path, port) = (directory.path().join("out.json"), Port::reserve());
    let config = config(port.address(), &path) + "[[sink.stdout]]\n";
    let run = || Unread::spawn(&config, &directory.path().join("stderr"));
    let rsyslog = Rsyslog::setup().further(&sender_lines(port.number())).start();
    thread::scope(|scope| {
        scope.spawn(|| log_all(&rsyslog));
        for _ in 0..3 {
            let mut postrider = run();
            let mut output = BufReader::new(postrider.output()).lines();
            assert_eq!(output.by_ref().take(EACH).map_while(Result::ok).count(), EACH);
            // Nobody reads on. Soon the file has messages that the pipe has not, so that they are not acknowledged.
            wait_for(DEADLINE, "the file to stand still", || {
                let before = lines(&path);
                thread::sleep(Duration::from_millis(300));
                (lines(&path) == before).then_some(())
            });
            // With its value goes the process, by SIGKILL.
            drop(postrider);
        }
    });
    let mut postrider = run();
    let mut output = postrider.output();
    let reader = thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    let distinct = || numbers(&path).into_iter().collect::<HashSet<_>>();
    wait_until(DEADLINE, "every message", || lines(&path) >= MESSAGES && distinct().len() == MESSAGES);
    assert_clean(&postrider.terminate(DEADLINE));
    reader.join().expect("the reader").expect("the output");

    let records = numbers(&path);
    let found = distinct();
    assert_eq!((0..MESSAGES).filter(|number| !found.contains(number)).count(), 0, "lost");
    let repeated = records.len() - MESSAGES;
    assert!(repeated >= 3, "{repeated} repeated: no kill came between a message and its acknowledgement");
    // Each of the two threads that rsyslog has for its queue may send 128 ahead, and one. What came before those was
    // acknowledged, and was not sent again.
    assert!(repeated <= 3 * 2 * 129, "{repeated} repeated: also what was acknowledged");
}
