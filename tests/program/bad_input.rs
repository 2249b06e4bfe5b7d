//! Does bad input give a record with flags or a counted, named drop, and nothing else?

use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use testkit::postrider::{Ended, Postrider, throttled};
use testkit::scratch;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(30);

/// The limit of every source here.
const MAX: usize = 480;

/// Fields of a record that the tests look at.
#[derive(Debug, PartialEq)]
struct Seen {
    message: String,
    flags: Vec<String>,
}

fn seen(message: impl Into<String>, flags: &[&str]) -> Seen {
    Seen { message: message.into(), flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }
}

/// Postrider with one source, and the records that it printed.
struct Fixture {
    postrider: Postrider,
}

impl Fixture {
    fn new(source: &str) -> Self {
        let config = format!("{source}\nmax_frame_size = \"{MAX}B\"\ntimezone = \"UTC\"\n[[sink.stdout]]\n");
        Self { postrider: Postrider::spawn(&config) }
    }

    /// Waits until `count` records are there, stops, and gives them.
    fn records(self, count: usize) -> (Vec<Value>, Ended) {
        wait_until(DEADLINE, &format!("{count} records"), || self.postrider.stdout().lines().count() >= count);
        let ended = self.postrider.terminate(DEADLINE);
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
        let records: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object per line")).collect();
        assert_eq!(records.len(), count, "{}", ended.stdout);
        (records, ended)
    }

    fn seen(self, count: usize) -> (Vec<Seen>, Ended) {
        let (records, ended) = self.records(count);
        (records.iter().map(of_record).collect(), ended)
    }
}

fn of_record(record: &Value) -> Seen {
    let flags = record["flags"].as_array().into_iter().flatten();
    let flags = flags.map(|flag| flag.as_str().expect("a word").to_owned()).collect();
    Seen { message: record["message"].as_str().expect("text").to_owned(), flags }
}

/// Sends `bytes` on a connection of its own, whole, and ends it.
fn send(fixture: &mut Fixture, bytes: &[u8]) {
    let mut socket = TcpStream::connect(fixture.postrider.address("tcp")).expect("a connection");
    socket.write_all(bytes).expect("room for the bytes");
    socket.shutdown(Shutdown::Write).expect("an end");
    // Postrider has read all of it when it closes its own side.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut rest).expect("an end");
    assert!(rest.is_empty(), "a syslog receiver says nothing");
}

const TCP: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"";

/// A header that all is well with, and what comes after it.
fn message(text: &str) -> String {
    format!("<13>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}")
}

#[test]
fn bytes_that_are_no_text_become_text() {
    let mut fixture = Fixture::new(TCP);
    let mut bytes = message("NUL \0 inside, latin-1 ").into_bytes();
    bytes.extend(b"\xfc\n\x00\x01\x02\xff\xfe\n");
    send(&mut fixture, &bytes);
    let (records, _) = fixture.seen(2);
    assert_eq!(
        records,
        [
            seen("NUL \0 inside, latin-1 \u{fffd}", &["invalid_utf8"]),
            seen(
                "\u{1}\u{2}\u{fffd}\u{fffd}",
                &["pri_missing", "timestamp_missing", "hostname_missing", "invalid_utf8"]
            ),
        ]
    );
}

#[test]
fn impossible_headers_keep_what_can_be_read() {
    let mut fixture = Fixture::new(TCP);
    send(
        &mut fixture,
        b"<999>Nov 24 02:10:35 mx1 app[1]: pri\n<22>Nov 31 02:10:35 mx1 app[1]: day\n\
          <22>1 2026-11-31T02:10:35Z mx1 app 1 - - day\n<22>\n<>\n",
    );
    let (records, _) = fixture.records(5);
    let all: Vec<Seen> = records.iter().map(of_record).collect();
    let none = ["pri_missing", "timestamp_missing", "hostname_missing"];
    assert_eq!(
        all,
        [
            seen("<999>Nov 24 02:10:35 mx1 app[1]: pri", &none),
            seen("day", &["timestamp_missing"]),
            seen("day", &["timestamp_missing"]),
            seen("", &["timestamp_missing", "hostname_missing"]),
            seen("<>", &none),
        ]
    );
    for record in &records[1..3] {
        assert_eq!((&record["hostname"], &record["app_name"]), (&"mx1".into(), &"app".into()));
        assert_eq!(record["timestamp"], record["received_at"]);
        assert_eq!(record["facility"], "mail");
        assert!(record["timestamp_text"].as_str().expect("the time as sent").contains("31"));
    }
}

#[test]
fn datagrams_are_cut_flagged_and_counted() {
    let mut fixture = Fixture::new("[[source.udp]]\nlisten = \"127.0.0.1:0\"");
    let address = fixture.postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let long = message(&"x".repeat(60_000));
    let two = format!("{}\n{}", message("one"), message("datagram"));
    for datagram in ["", "\n", long.as_str(), two.as_str()] {
        socket.send_to(datagram.as_bytes(), address).expect("a datagram goes out");
    }
    let (records, ended) = fixture.seen(2);
    let rest = format!("one\n{}", message("datagram"));
    assert_eq!(records, [seen("x".repeat(MAX - message("").len()), &["truncated"]), seen(rest, &[])]);
    let counted = |field| ended.source("udp").count(field);
    assert_eq!((counted("received"), counted("dropped_empty")), (4, 2), "{}", ended.stderr);
}

#[test]
fn unix_sockets_take_datagrams_and_streams() {
    let directory = scratch::directory("unix");
    let path = |name: &str| directory.path().join(name);
    let config = format!(
        "[[source.unix]]\npath = \"{}\"\n[[source.unix]]\npath = \"{}\"\nkind = \"stream\"\n[[sink.stdout]]\n",
        path("datagram").display(),
        path("stream").display()
    );
    // A socket that a crash left behind is replaced.
    drop(UnixDatagram::bind(path("datagram")).expect("a socket"));
    let fixture = Fixture { postrider: Postrider::spawn(&config) };
    wait_until(DEADLINE, "both sockets", || fixture.postrider.stderr().matches("listening").count() == 2);
    let mode = fs::metadata(path("datagram")).expect("a socket").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o660);

    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"<22>Nov 24 02:10:35 postfix/smtp[1]: as glibc writes", path("datagram")).expect("a datagram");
    let mut stream = UnixStream::connect(path("stream")).expect("a connection");
    writeln!(stream, "{}", message("stream")).expect("room for a message");
    drop(stream);
    let (mut records, _) = fixture.records(2);
    records.sort_by_key(|record| record["source"]["name"].as_str().map(str::to_owned));
    assert_eq!(records[0]["message"], "as glibc writes");
    assert_eq!(records[0]["app_name"], "postfix/smtp");
    assert_eq!(records[0]["source"]["transport"], "unix");
    assert_eq!(records[0]["source"]["peer"], path("datagram").display().to_string());
    assert_eq!(records[1]["message"], "stream");
    assert!(!path("datagram").exists() && !path("stream").exists(), "the sockets go with the program");
}

#[test]
fn a_socket_that_another_program_holds_is_left_alone() {
    let directory = scratch::directory("held");
    let path = directory.path().join("log");
    // Neither a stream nor a datagram reaches it, but somebody has it.
    let holder = Socket::new(Domain::UNIX, Type::SEQPACKET, None).expect("a socket");
    holder.bind(&SockAddr::unix(&path).expect("an address")).expect("a path for the socket");
    holder.listen(1).expect("a listener");
    for kind in ["datagram", "stream"] {
        let config = format!("[[source.unix]]\npath = \"{}\"\nkind = \"{kind}\"\n[[sink.stdout]]\n", path.display());
        let ended = Postrider::spawn(&config).ended(DEADLINE);
        assert_eq!(ended.status.code(), Some(74), "{}", ended.stderr);
        assert!(ended.stderr.contains("cannot listen on unix") && path.exists(), "{}", ended.stderr);
    }
}

/// As others may give to files of a directory that is followed.
#[test]
fn a_file_name_in_the_log_sends_no_controls_and_forges_no_line() {
    let directory = scratch::directory("names");
    let name = "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\n2026-11-24T02:10:35.000000Z ERROR forged";
    fs::create_dir_all(directory.path().join("logs").join(name)).expect("a directory");
    let path = directory.path().display();
    let escaped = "a\\u001b[2J\\u009b31m\\u202e\\u007f\\n2026-11-24T02:10:35.000000Z ERROR forged";
    let postrider = Postrider::spawn(&format!(
        "[[source.file]]\npaths = [\"{path}/logs/{escaped}\"]\nstate = \"{path}\"\n[[sink.stdout]]\n"
    ));
    wait_until(DEADLINE, "a complaint", || postrider.stderr().contains("not a file, but a directory"));
    let ended = postrider.terminate(DEADLINE);
    let line = ended.stderr.lines().find(|line| line.contains("\\u{1b}[2J")).expect("the name");
    assert!(line.contains("\\u{9b}31m\\u{202e}\\u{7f}"), "{line}");
    assert!(!ended.stderr.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{:?}", ended.stderr);
    assert!(ended.stderr.lines().all(|line| !line.starts_with("2026-11-24")), "{}", ended.stderr);
}

#[test]
fn idle_connections_are_closed_and_counted() {
    let mut fixture = Fixture::new(&format!("{TCP}\nidle_timeout = \"1s\""));
    let address = fixture.postrider.address("tcp");
    let mut connections: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    for connection in &mut connections {
        connection.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
        writeln!(connection, "{}", message("in time")).expect("room for a message");
    }
    for connection in &mut connections {
        assert_eq!(std::io::Read::read(connection, &mut [0]).expect("an end"), 0);
    }
    let (records, ended) = fixture.seen(2);
    assert_eq!(records, [seen("in time", &[]), seen("in time", &[])]);
    let counted = ["connections", "connections_refused", "connections_idle"];
    assert_eq!(counted.map(|field| ended.source("tcp").count(field)), [2, 0, 2], "{}", ended.stderr);
    // Peers do not choose how much is logged.
    assert_eq!(throttled(&ended.stderr, "silent for longer than idle_timeout"), (1, 1), "{}", ended.stderr);
}

#[test]
fn a_dual_stack_socket_shows_ipv4_peers_as_ipv4() {
    let mut fixture = Fixture::new("[[source.tcp]]\nlisten = \"[::]:0\"");
    let port = fixture.postrider.address("tcp").port();
    for host in ["127.0.0.1", "::1"] {
        let mut socket = TcpStream::connect((host, port)).expect("a connection");
        writeln!(socket, "{}", message(host)).expect("room for a message");
    }
    let (records, _) = fixture.records(2);
    for record in records {
        let peer = record["source"]["peer"].as_str().expect("a peer").to_owned();
        let expected = if record["message"] == "::1" { "[::1]:" } else { "127.0.0.1:" };
        assert!(peer.starts_with(expected), "{peer}");
    }
}
