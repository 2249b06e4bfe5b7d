//! Do strangers get no further than they may, and do the others notice nothing of them?

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::StreamOwned;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use testkit::pki::{self, BOTH, Pki};
use testkit::port::Port;
use testkit::postrider::{Ended, Postrider, throttled};
use testkit::process::Process;
use testkit::scratch;
use testkit::status::StatusFile;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(30);

/// A message that all is well with.
fn message(text: &str) -> String {
    format!("<13>1 2026-11-24T02:10:35Z mx1 app 1 - - {text}")
}

fn spawn(sources: &str) -> Postrider {
    Postrider::spawn(&format!("{sources}\n[[sink.stdout]]\n"))
}

/// Waits until `count` records are there, stops, and gives them.
#[track_caller]
fn records(postrider: Postrider, count: usize) -> (Vec<Value>, Ended) {
    wait_until(DEADLINE, &format!("{count} records"), || postrider.stdout().lines().count() >= count);
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    let records: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records.len(), count, "{}", ended.stdout);
    (records, ended)
}

/// Asserts that the ledger of `source` has each of these counts.
#[track_caller]
fn assert_ledger(ended: &Ended, source: &str, counts: &[(&str, usize)]) {
    for (field, expected) in counts {
        assert_eq!(counted(ended, source, field), *expected, "{field}: {}", ended.stderr);
    }
}

#[track_caller]
fn counted(ended: &Ended, source: &str, field: &str) -> usize {
    ended.source(source).count(field) as usize
}

/// A connection from one of the loopback addresses.
fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let from: IpAddr = from.parse().expect("an address");
    let to = SocketAddr::new(if from.is_ipv4() { [127, 0, 0, 1].into() } else { to.ip() }, to.port());
    let to = if from.is_ipv6() { SocketAddr::new("::1".parse().expect("an address"), to.port()) } else { to };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("a connection");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    socket
}

/// Sends datagrams from one of the loopback addresses.
fn send_from(from: &str, port: u16, texts: &[String]) {
    let from: IpAddr = from.parse().expect("an address");
    let to: IpAddr = if from.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().expect("an address") };
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    for text in texts {
        socket.send_to(text.as_bytes(), (to, port)).expect("a datagram goes out");
    }
}

/// True if the other side has closed it: an end or, after unread bytes, a reset.
fn is_closed(socket: &mut TcpStream) -> bool {
    match socket.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The same, without waiting.
fn is_closed_now(socket: &mut TcpStream) -> bool {
    socket.set_nonblocking(true).expect("an option of a socket");
    match socket.read(&mut [0; 4096]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The hosts of the peers of some records, in order.
fn hosts(records: &[Value]) -> Vec<String> {
    let host = |record: &Value| {
        let peer: SocketAddr = record["source"]["peer"].as_str().expect("a peer").parse().expect("an address");
        peer.ip().to_string()
    };
    let mut hosts: Vec<String> = records.iter().map(host).collect();
    hosts.sort();
    hosts
}

// === who may send ===

#[test]
fn connections_of_those_who_may_not_send_are_closed_and_counted() {
    for (lists, admitted) in [
        // The IPv4 peers reach a dual-stack socket as mapped addresses.
        ("allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.2\"]", vec!["127.0.0.1", "127.0.0.3"]),
        ("allow = [\"::1\"]", vec!["::1"]),
        ("deny = [\"127.0.0.0/8\"]", vec!["::1"]),
        ("deny = [\"::/0\"]", vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
    ] {
        let mut postrider = spawn(&format!("[[source.tcp]]\nlisten = \"[::]:0\"\n{lists}"));
        let address = postrider.address("tcp");
        let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"];
        for peer in all {
            let mut socket = connect(peer, address);
            // A peer that is closed at once may notice while it writes.
            let written = writeln!(socket, "{}", message(peer));
            if admitted.contains(&peer) {
                written.expect("room for a message");
            } else {
                assert!(is_closed(&mut socket), "{peer} with {lists}");
            }
        }
        let (records, ended) = records(postrider, admitted.len());
        assert_eq!(hosts(&records), admitted, "{lists}");
        let (connections, denied) = (admitted.len(), all.len() - admitted.len());
        let counts = [("connections", connections), ("connections_denied", denied), ("errors", 0)];
        assert_ledger(&ended, "tcp", &counts);
        // Peers do not choose how much is logged.
        assert_eq!(throttled(&ended.stderr, "do not permit its peer"), (1, denied - 1), "{}", ended.stderr);
    }
}

#[test]
fn datagrams_of_those_who_may_not_send_are_dropped_and_counted() {
    let lists = "allow = [\"127.0.0.1\", \"127.0.0.2\", \"::1\"]\ndeny = [\"127.0.0.2\"]";
    for (listen, from, admitted) in [
        ("127.0.0.1:0", ["127.0.0.1", "127.0.0.2", "127.0.0.3"], vec!["127.0.0.1"]),
        ("[::]:0", ["127.0.0.1", "127.0.0.2", "::1"], vec!["127.0.0.1", "::1"]),
    ] {
        const EACH: usize = 50;
        let mut postrider = spawn(&format!("[[source.udp]]\nlisten = \"{listen}\"\n{lists}"));
        let port = postrider.address("udp").port();
        let texts: Vec<String> = (0..EACH).map(|n| message(&n.to_string())).collect();
        for from in from {
            send_from(from, port, &texts);
        }
        let (records, ended) = records(postrider, admitted.len() * EACH);
        let expected: Vec<&str> = admitted.iter().flat_map(|host| [*host; EACH]).collect();
        assert_eq!(hosts(&records), expected);
        let denied = (from.len() - admitted.len()) * EACH;
        let counts = [("received", from.len() * EACH), ("dropped", denied), ("dropped_denied", denied)];
        assert_ledger(&ended, "udp", &counts);
        assert_eq!(throttled(&ended.stderr, "do not permit its sender"), (1, denied - 1), "{}", ended.stderr);
    }
}

/// A burst is over, and no event follows whose line could tell of it.
#[test]
fn the_end_of_a_burst_logs_how_many_lines_were_left_out() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\ndeny = [\"127.0.0.2\"]");
    let address = postrider.address("tcp");
    let burst = |connections: usize| {
        for _ in 0..connections {
            assert!(is_closed(&mut connect("127.0.0.2", address)));
        }
    };
    burst(20);
    let sum = "19 more since the last such line: connection closed: allow and deny do not permit its peer source=\"tcp\" suppressed=19";
    wait_until(DEADLINE, "the sum", || postrider.stderr().contains(sum));
    assert_eq!(throttled(&postrider.stderr(), "do not permit its peer"), (1, 19));
    // The sum was a line too. The end tells of the refusals that follow at once.
    burst(5);
    let (_, ended) = records(postrider, 0);
    assert_eq!(throttled(&ended.stderr, "do not permit its peer"), (1, 24), "{}", ended.stderr);
}

// === rate limits ===

#[test]
fn datagrams_over_the_rate_are_dropped_and_counted_exactly() {
    const FLOOD: usize = 3000;
    let mut postrider = spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 50");
    let port = postrider.address("udp").port();
    let texts: Vec<String> = (0..FLOOD).map(|n| message(&n.to_string())).collect();
    let begun = Instant::now();
    // From many ports, which are one peer all the same.
    for texts in texts.chunks(100) {
        send_from("127.0.0.1", port, texts);
    }
    send_from("127.0.0.2", port, &texts[..100]);
    // The other peer has its own rate, and comes last.
    let others = |stdout: &str| stdout.matches("\"peer\":\"127.0.0.2:").count();
    wait_until(DEADLINE, "the other peer's messages", || others(&postrider.stdout()) == 100);
    let took = begun.elapsed();
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    let delivered = ended.stdout.lines().count() - 100;
    assert_eq!(delivered + counted(&ended, "udp", "dropped_rate_limited"), FLOOD);
    // At once what a bucket holds, and then what it refills.
    assert!(delivered >= 100 && delivered as u128 <= 101 + took.as_millis() * 50 / 1000, "{delivered} in {took:?}");
    assert_ledger(&ended, "udp", &[("received", FLOOD + 100)]);
    let over = counted(&ended, "udp", "dropped_rate_limited");
    assert_eq!(throttled(&ended.stderr, "is over max_rate_per_peer"), (1, over - 1), "{}", ended.stderr);
}

/// All workers of an address share one gate: the kernel spreads the ports of a peer over them.
#[test]
fn several_workers_judge_as_one() {
    const FLOOD: usize = 600;
    let mut postrider = spawn(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nworkers = 4\nmax_rate_per_peer = 1\n\
         allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.2\"]",
    );
    let port = postrider.address("udp").port();
    let texts: Vec<String> = (0..FLOOD).map(|n| message(&n.to_string())).collect();
    let begun = Instant::now();
    for texts in texts.chunks(10) {
        send_from("127.0.0.1", port, texts);
        send_from("127.0.0.2", port, texts);
        send_from("127.0.0.9", port, texts);
    }
    // Those that are below their rate lose nothing. The last is not judged before the others of its worker.
    for (n, peer) in ["127.0.0.3", "127.0.0.4"].into_iter().enumerate() {
        for texts in texts[..80 + n].chunks(2) {
            send_from(peer, port, texts);
        }
    }
    let of = |stdout: &str, peer: &str| stdout.matches(&format!("\"peer\":\"{peer}:")).count();
    wait_until(DEADLINE, "the messages of the others", || {
        let stdout = postrider.stdout();
        of(&stdout, "127.0.0.3") == 80 && of(&stdout, "127.0.0.4") == 81 && of(&stdout, "127.0.0.1") >= 100
    });
    let ended = postrider.terminate(DEADLINE);
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    assert_eq!((of(&ended.stdout, "127.0.0.3"), of(&ended.stdout, "127.0.0.4")), (80, 81));
    assert_eq!((of(&ended.stdout, "127.0.0.2"), of(&ended.stdout, "127.0.0.9")), (0, 0));
    assert_eq!(counted(&ended, "udp", "dropped_denied"), 2 * FLOOD);
    let delivered = of(&ended.stdout, "127.0.0.1");
    assert_eq!(delivered + counted(&ended, "udp", "dropped_rate_limited"), FLOOD);
    // One bucket for all workers, not one for each.
    assert!((100..=101 + seconds).contains(&delivered), "{delivered}");
    assert_ledger(&ended, "udp", &[("received", 3 * FLOOD + 161), ("kernel_drops", 0)]);
    // One line of each kind in ten seconds, whichever worker it is.
    let most = 1 + seconds / 10;
    for (line, reason) in [("do not permit its sender", "denied"), ("is over max_rate_per_peer", "rate_limited")] {
        let (lines, others) = throttled(&ended.stderr, line);
        assert!((1..=most).contains(&lines), "{line}: {}", ended.stderr);
        assert_eq!(lines + others, counted(&ended, "udp", &format!("dropped_{reason}")), "{line}: {}", ended.stderr);
    }
}

#[test]
fn a_connection_over_the_rate_is_slowed_and_loses_nothing() {
    const EACH: usize = 500;
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 400");
    let address = postrider.address("tcp");
    let begun = Instant::now();
    // Two connections of one peer share its rate. One read takes 60 messages or so.
    let senders: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                let mut socket = connect("127.0.0.1", address);
                for n in 0..EACH {
                    writeln!(socket, "{}", message(&format!("{n} {}", "x".repeat(1000)))).expect("room for a message");
                }
            })
        })
        .collect();
    let mut other = connect("127.0.0.2", address);
    writeln!(other, "{}", message("other")).expect("room for a message");
    wait_until(DEADLINE, "all messages", || postrider.stdout().lines().count() == 2 * EACH + 1);
    let took = begun.elapsed();
    for sender in senders {
        sender.join().expect("a sender");
    }
    let (records, ended) = records(postrider, 2 * EACH + 1);
    // 400 are there at once; the reads that are under way may be over that.
    assert!(took > Duration::from_secs(1), "{took:?}");
    let of_other = records.iter().position(|record| record["message"] == "other").expect("the other message");
    assert!(of_other < 2 * EACH, "the other peer had to wait");
    let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
    for record in records.iter().filter(|record| record["message"] != "other") {
        let (n, _) = record["message"].as_str().expect("text").split_once(' ').expect("a number");
        let peer = record["source"]["peer"].as_str().expect("a peer");
        numbers.entry(peer).or_default().push(n.parse().expect("a number"));
    }
    assert!(numbers.len() == 2 && numbers.values().all(|numbers| numbers.iter().copied().eq(0..EACH)));
    assert_ledger(&ended, "tcp", &[("dropped", 0), ("truncated", 0)]);
    assert!(ended.stderr.contains("connection slowed"), "{}", ended.stderr);
}

#[test]
fn a_stop_does_not_wait_for_a_rate() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 1");
    let address = postrider.address("tcp");
    let mut socket = connect("127.0.0.1", address);
    socket.write_all(format!("{}\n", message("x")).repeat(1000).as_bytes()).expect("room for the messages");
    wait_until(DEADLINE, "a slow connection", || postrider.stderr().contains("connection slowed"));
    // Nothing is lost of the bytes that the kernel holds already.
    socket.write_all(format!("{}\n", message("y")).repeat(1000).as_bytes()).expect("room for the messages");
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(ended.stdout.lines().count(), 2000, "{}", ended.stderr);
}

// === PROXY protocol ===

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 with the version and command, the family and protocol, and what follows them.
fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, block].concat()
}

/// 203.0.113.9:51234 to 198.51.100.1:514
const BLOCK4: [u8; 12] = [203, 0, 113, 9, 198, 51, 100, 1, 0xc8, 0x22, 2, 2];

/// The same of `2001:db8::9` and `2001:db8::1`.
fn block6() -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    [&octets("2001:db8::9")[..], &octets("2001:db8::1"), &BLOCK4[8..]].concat()
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 514\r\n";

#[test]
fn the_peer_is_the_one_that_the_header_names() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.1\"]");
    let address = postrider.address("tcp");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (V1.to_vec(), "203.0.113.9:51234"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 51234 514\r\n".to_vec(), "[2001:db8::9]:51234"),
        (v2(0x21, 0x11, &BLOCK4), "203.0.113.9:51234"),
        (v2(0x21, 0x11, &[&BLOCK4[..], &[4, 0, 200], &[0; 200]].concat()), "203.0.113.9:51234"),
        (v2(0x21, 0x21, &block6()), "[2001:db8::9]:51234"),
        // The proxy itself
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:"),
        (v2(0x20, 0, b""), "127.0.0.1:"),
        (v2(0x21, 0, b""), "127.0.0.1:"),
        (v2(0x21, 0x31, &[b'/'; 216]), "127.0.0.1:"),
    ];
    let mut expected = Vec::new();
    for (n, (header, peer)) in cases.iter().enumerate() {
        // In one segment with the first message, and byte by byte.
        let mut whole = connect("127.0.0.1", address);
        let text = format!("{n} in one piece");
        whole.write_all(&[&header[..], message(&text).as_bytes(), b"\n"].concat()).expect("room");
        expected.push((text, *peer));
        let mut slow = connect("127.0.0.1", address);
        slow.set_nodelay(true).expect("an option of the socket");
        let text = format!("{n} byte by byte");
        for byte in [&header[..], message(&text).as_bytes(), b"\n"].concat() {
            slow.write_all(&[byte]).expect("room");
        }
        expected.push((text, *peer));
    }
    // From elsewhere no header is looked for, so it is a message like any other.
    let mut other = connect("127.0.0.2", address);
    other.write_all(V1).expect("room");
    expected.push((String::from_utf8_lossy(V1).trim_end().to_owned(), "127.0.0.2:"));
    let (records, ended) = records(postrider, expected.len());
    for (text, peer) in expected {
        let record = records.iter().find(|record| record["message"] == text.as_str());
        let record = record.unwrap_or_else(|| panic!("no record of {text}"));
        let found = record["source"]["peer"].as_str().expect("a peer");
        assert!(found.starts_with(peer), "{text}: {found}");
    }
    assert_ledger(&ended, "tcp", &[("proxy_errors", 0), ("connections_denied", 0), ("errors", 0)]);
}

/// The header comes before the handshake, in the clear.
#[test]
fn a_header_before_tls_names_the_peer() {
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let source = pki.source("").replace("max_connections = 4", "proxy_protocol = [\"127.0.0.1\"]");
    let mut postrider = spawn(&source);
    let address = postrider.address("tls");
    let cases = [
        (V1.to_vec(), "203.0.113.9:51234"),
        (v2(0x21, 0x11, &BLOCK4), "203.0.113.9:51234"),
        (v2(0x21, 0x21, &[&block6()[..], &[4, 0, 200], &[0; 200]].concat()), "[2001:db8::9]:51234"),
        (v2(0x20, 0, b""), "127.0.0.1:"),
    ];
    let mut expected = Vec::new();
    for (n, (header, peer)) in cases.iter().enumerate() {
        for together in [true, false] {
            let mut socket = connect("127.0.0.1", address);
            let mut session = pki::session(&client);
            let mut hello = Vec::new();
            session.write_tls(&mut hello).expect("a hello");
            if together {
                socket.write_all(&[&header[..], &hello].concat()).expect("room");
            } else {
                socket.set_nodelay(true).expect("an option of the socket");
                for byte in [&header[..], &hello].concat() {
                    socket.write_all(&[byte]).expect("room");
                }
            }
            let mut stream = StreamOwned::new(session, socket);
            let text = format!("{n} {together}");
            writeln!(stream, "{}", message(&text)).expect("room");
            assert_eq!(pki::finish(stream), b"");
            expected.push((text, *peer));
        }
    }
    // From elsewhere no header is looked for.
    let mut other = pki::shake_hands(connect("127.0.0.2", address), &client).expect("a connection");
    writeln!(other, "{}", message("other")).expect("room");
    pki::finish(other);
    expected.push(("other".to_owned(), "127.0.0.2:"));

    // A proxy that sends none, and a sender behind one that speaks no TLS.
    assert!(pki::shake_hands(connect("127.0.0.1", address), &client).is_err());
    let mut plain = connect("127.0.0.1", address);
    let _ = plain.write_all(&[V1, message("plain").as_bytes(), b"\n"].concat());
    assert!(is_closed(&mut plain));

    let (records, ended) = records(postrider, expected.len());
    for (text, peer) in expected {
        let record = records.iter().find(|record| record["message"] == text.as_str());
        let record = record.unwrap_or_else(|| panic!("no record of {text}"));
        let found = record["source"]["peer"].as_str().expect("a peer");
        assert!(found.starts_with(peer), "{text}: {found}");
        assert_eq!(record["source"]["transport"], "tls");
    }
    assert_ledger(&ended, "tls", &[("proxy_errors", 1), ("errors", 1)]);
    let line =
        |part: &str| ended.stderr.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}"));
    let named = line("no valid PROXY header");
    assert!(named.contains("the connection begins with TLS") && named.contains("proxy=\"127.0.0.1:"), "{named}");
    let named = line("TLS handshake failed");
    assert!(
        named.contains("plain syslog came to a TLS port") && named.contains("peer=\"203.0.113.9:51234\""),
        "{named}"
    );
}

#[test]
fn a_probe_that_resets_its_connection_is_no_error() {
    let mut postrider = spawn(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.tcp]]\nname = \"proxied\"\nlisten = \"127.0.0.1:0\"\n\
         proxy_protocol = [\"127.0.0.0/8\"]",
    );
    let reset = |socket: TcpStream| {
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a reset instead of an end");
    };
    let (plain, proxied) = (postrider.address("tcp"), postrider.address("proxied"));
    reset(connect("127.0.0.1", plain));
    reset(connect("127.0.0.1", proxied));
    // Behind its header, as HAProxy does when its own client has gone.
    let mut behind = connect("127.0.0.1", proxied);
    behind.write_all(V1).expect("room");
    reset(behind);
    for (address, header) in [(plain, b"" as &[u8]), (proxied, V1)] {
        let mut last = connect("127.0.0.1", address);
        last.write_all(&[header, message("last").as_bytes(), b"\n"].concat()).expect("room");
    }
    let (_, ended) = records(postrider, 2);
    assert_ledger(&ended, "tcp", &[("errors", 0), ("received", 1)]);
    assert_ledger(&ended, "proxied", &[("errors", 0), ("proxy_errors", 0), ("received", 1)]);
}

#[test]
fn a_connection_with_a_bad_header_is_closed_and_counted() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.0/8\"]");
    let address = postrider.address("tcp");
    let mut damaged = v2(0x21, 0x11, &BLOCK4);
    damaged[11] = b'X';
    let bad: Vec<Vec<u8>> = vec![
        message("no header at all").into_bytes(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 514\n<13>x\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 51234\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 65536 514\r\n".to_vec(),
        b"PROXY TCP4 mx1.example 198.51.100.1 51234 514\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.9 198.51.100.1 51234 514\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
        damaged,
        v2(0x11, 0x11, &BLOCK4),
        v2(0x22, 0x11, &BLOCK4),
        v2(0x21, 0x41, &BLOCK4),
        v2(0x21, 0x11, &BLOCK4[..11]),
        v2(0x21, 0x11, &[0; 5000]),
    ];
    for header in &bad {
        let mut socket = connect("127.0.0.1", address);
        // It may be closed before all is written.
        let _ = socket.write_all(header).and_then(|()| writeln!(socket, "{}", message("forged")));
        assert!(is_closed(&mut socket), "{:?}", String::from_utf8_lossy(header));
    }
    // One that ends inside of its header, and one that does not go on.
    let mut half = connect("127.0.0.1", address);
    half.write_all(&V1[..20]).expect("room");
    half.shutdown(std::net::Shutdown::Write).expect("an end");
    assert!(is_closed(&mut half));
    let mut stalled = connect("127.0.0.1", address);
    stalled.write_all(&V1[..20]).expect("room");
    let begun = Instant::now();
    assert!(is_closed(&mut stalled));
    assert!((4..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // A proxy that only looks whether somebody listens has done nothing wrong.
    drop(connect("127.0.0.1", address));
    let mut good = connect("127.0.0.1", address);
    good.write_all(&[V1, message("good").as_bytes(), b"\n"].concat()).expect("room");
    let (records, ended) = records(postrider, 1);
    assert_eq!(records[0]["message"], "good");
    assert_ledger(&ended, "tcp", &[("proxy_errors", bad.len() + 2), ("received", 1), ("errors", 0)]);
    assert_eq!(throttled(&ended.stderr, "no valid PROXY header"), (1, bad.len() + 1), "{}", ended.stderr);
}

#[test]
fn the_lists_and_the_rate_are_about_the_peer_behind_the_proxy() {
    let mut postrider = spawn(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.1\"]\n\
         allow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\ndeny = [\"203.0.113.66\"]\nmax_rate_per_peer = 200",
    );
    let address = postrider.address("tcp");
    let behind = |peer: &str, family: &str, text: &str| {
        let mut socket = connect("127.0.0.1", address);
        let header = format!("PROXY {family} {peer} {peer} 1 2\r\n");
        // One that is denied may notice while it writes.
        let _ = socket.write_all(format!("{header}{}\n", message(text)).as_bytes());
        socket
    };
    for denied in ["203.0.113.66", "198.51.100.1", "127.0.0.1"] {
        assert!(is_closed(&mut behind(denied, "TCP4", denied)), "{denied}");
    }
    // Neither the proxy nor anybody beside it is allowed to speak for itself.
    let mut local = connect("127.0.0.1", address);
    local.write_all(&v2(0x20, 0, b"")).expect("room");
    assert!(is_closed(&mut local));
    assert!(is_closed(&mut connect("127.0.0.2", address)));
    let mut busy = behind("203.0.113.9", "TCP4", "busy");
    let more = format!("{}\n", message("busy")).repeat(400);
    busy.write_all(more.as_bytes()).expect("room");
    wait_until(DEADLINE, "a slow connection", || {
        postrider.stderr().contains("connection slowed") && postrider.stderr().contains("peer=203.0.113.9")
    });
    // One peer behind the proxy does not slow the other.
    drop(behind("2001:db8::9", "TCP6", "calm"));
    let (records, ended) = records(postrider, 402);
    assert!(records.iter().any(|record| record["message"] == "calm"));
    assert_ledger(&ended, "tcp", &[("connections_denied", 5), ("proxy_errors", 0)]);
}

// === how many connections ===

/// The address of this machine that it would speak to others from; `None` where it has no network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback())
}

#[test]
fn one_peer_can_not_take_all_connections() {
    let limits = "max_connections = 10\nmax_connections_per_peer = 3\n";
    let proxied = format!("{limits}proxy_protocol = [\"127.0.0.1\"]\n");
    let mut postrider = spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{proxied}[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{proxied}\
         [[source.tcp]]\nname = \"direct\"\nlisten = \"0.0.0.0:0\"\n{limits}"
    ));
    let behind = |peer: &str, to: SocketAddr, text: &str| {
        let mut socket = connect("127.0.0.1", to);
        let family = if peer.contains(':') { "TCP6" } else { "TCP4" };
        // One that is refused may notice while it writes.
        let _ = socket.write_all(format!("PROXY {family} {peer} {peer} 1 2\r\n{text}").as_bytes());
        socket
    };
    for source in ["tcp", "relp"] {
        let to = postrider.address(source);
        let text = if source == "tcp" { format!("{}\n", message("here")) } else { testkit::relp::OPEN.to_owned() };
        for network in [["203.0.113.66"; 4], ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"]] {
            let mut crowd: Vec<_> = network.iter().map(|peer| behind(peer, to, &text)).collect();
            wait_until(DEADLINE, "a connection that is closed", || crowd.iter_mut().any(is_closed_now));
            // Another peer has a connection, and so has the proxy itself.
            let other = behind("203.0.113.9", to, &text);
            let mut own = connect("127.0.0.1", to);
            own.write_all(&[&v2(0x20, 0, b"")[..], text.as_bytes()].concat()).expect("room");
            drop((crowd, other, own));
            // After the end of one, another may begin.
            wait_until(DEADLINE, "a connection after others have ended", || {
                let mut again = behind(network[0], to, &text);
                again.shutdown(std::net::Shutdown::Write).expect("a connection");
                let mut answer = Vec::new();
                let _ = again.read_to_end(&mut answer);
                source == "tcp" && postrider.stdout().matches("203.0.113.9").count() > 0
                    || source == "relp" && answer.starts_with(b"1 rsp")
            });
        }
    }
    let direct = postrider.address("direct").port();
    // This machine itself is not limited, but by max_connections.
    let mut local: Vec<_> = (0..10).map(|_| connect("127.0.0.1", ([127, 0, 0, 1], direct).into())).collect();
    for socket in &mut local {
        writeln!(socket, "{}", message("local")).expect("room");
    }
    wait_until(DEADLINE, "local messages", || postrider.stdout().matches("\"local\"").count() == 10);
    assert!(is_closed(&mut connect("127.0.0.1", ([127, 0, 0, 1], direct).into())));
    wait_until(DEADLINE, "a line about it", || {
        postrider.stderr().contains("max_connections=10 busiest_peer=\"127.0.0.1\" connections=10")
    });
    drop(local);
    if let Some(own) = own_address() {
        let connect = || TcpStream::connect((own, direct)).expect("a connection");
        wait_until(DEADLINE, "places", || {
            let mut socket = connect();
            writeln!(socket, "{}", message("own")).is_ok() && postrider.stdout().contains("\"own\"")
        });
        let mut crowd = [(); 4].map(|()| connect());
        wait_until(DEADLINE, "a refusal", || crowd.iter_mut().any(is_closed_now));
    }
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    for source in ["tcp", "relp"] {
        assert!(counted(&ended, source, "connections_refused_per_peer") >= 2, "{}", ended.stderr);
        assert_ledger(&ended, source, &[("connections_refused", 0)]);
    }
    // Those of before may still have been there when the next came.
    assert!(counted(&ended, "direct", "connections_refused") >= 1);
    assert_eq!(counted(&ended, "direct", "connections_refused_per_peer") > 0, own_address().is_some());
    assert!(ended.stderr.contains("its peer has reached max_connections_per_peer"), "{}", ended.stderr);
    assert!(ended.stderr.contains("peer=\"203.0.113.66:1\""), "{}", ended.stderr);
}

// === systemd ===

/// `postrider run` as a service manager starts it: with variables in its environment.
fn service(directory: &Path, config: &str, environment: &[String]) -> Process {
    let file = directory.join("postrider.toml");
    fs::write(&file, testkit::postrider::plain(config)).expect("a configuration");
    let [file, status] = [file, directory.join(StatusFile::NAME)].map(|path| path.display().to_string());
    let program = [env!("CARGO_BIN_EXE_postrider"), "run", "-c", &file, "--status-file", &status].map(str::to_owned);
    let arguments = [environment, &program].concat();
    Process::start_apart("env", &arguments, &directory.join("stdout"), &directory.join("stderr"))
}

#[test]
fn the_service_manager_hears_of_the_start_the_life_and_the_stop() {
    let directory = scratch::directory("notify");
    let manager = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    let next = || {
        let mut buffer = [0; 1000];
        let size = manager.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    };
    let variable = |name: &str, value: &str| format!("{name}={value}");
    let address = directory.path().join("notify");
    let environment =
        [variable("NOTIFY_SOCKET", address.to_str().expect("a path")), variable("WATCHDOG_USEC", "400000")];
    let config =
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let mut process = service(directory.path(), config, &environment);
    assert_eq!(next(), "READY=1\n");
    // A sender that was told so can send.
    // The status file is written a moment after the notification.
    let status = StatusFile::new(directory.path(), process.pid());
    let mut address = |source| process.wait_ready(DEADLINE, || status.read()?.address(source));
    let (tcp, _udp) = (address("tcp"), address("udp"));
    drop(connect("127.0.0.1", tcp));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(next(), "WATCHDOG=1\n");
    }
    // The first at once, then each 200 ms: twice as often as must be.
    assert!((500..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    process.signal(Signal::SIGTERM);
    let mut told = next();
    while told == "WATCHDOG=1\n" {
        told = next();
    }
    assert_eq!(told, "STOPPING=1\n");
    assert!(process.ended(DEADLINE).success());
}

/// Binds sockets as systemd does, and starts its arguments with them: now, and again each time that the file `again`
/// appears. Each process writes its number to the file `pid`.
const MANAGER: &str = r#"
    use IO::Socket::INET; use IO::Socket::UNIX; use Socket;
    my ($port, $directory, @program) = @ARGV;
    $^F = 100;
    my @sockets = (
        IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Proto => "tcp", ReuseAddr => 1, Listen => 10),
        IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Proto => "udp"),
        IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$directory/datagram"),
        IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$directory/stream", Listen => 10),
        IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$directory/unused", Listen => 10),
    );
    for (0..4) { die "socket $_: $!" unless $sockets[$_]; die "descriptor" unless fileno($sockets[$_]) == 3 + $_; }
    while (1) {
        my $child = fork;
        if (!$child) {
            @ENV{"LISTEN_FDS", "LISTEN_PID"} = (scalar @sockets, $$);
            open my $file, ">", "$directory/new" or die; print $file $$; close $file;
            rename "$directory/new", "$directory/pid";
            exec "setpriv", "--pdeathsig", "KILL", "--", @program;
        }
        waitpid $child, 0;
        rename "$directory/pid", "$directory/ended";
        select undef, undef, undef, 0.01 until unlink "$directory/again";
    }
"#;

#[test]
fn sockets_of_the_service_manager_are_used_and_survive_restarts() {
    let directory = scratch::directory("activation");
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let port = Port::reserve();
    let config = format!(
        "[[source.tcp]]\nlisten = \"{0}\"\n[[source.udp]]\nlisten = \"{0}\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n\
         [[source.unix]]\npath = \"{1}\"\n[[source.unix]]\npath = \"{2}\"\nkind = \"stream\"\n[[sink.stdout]]\n",
        port.address(),
        path("datagram").display(),
        path("stream").display()
    );
    fs::write(path("postrider.toml"), testkit::postrider::plain(&config)).expect("a configuration");
    let arguments = ["-e", MANAGER, &port.number().to_string()].map(PathBuf::from).into_iter();
    let program = [env!("CARGO_BIN_EXE_postrider").into(), "run".into(), "-c".into(), path("postrider.toml")];
    let arguments: Vec<PathBuf> = arguments.chain([directory.path().to_owned()]).chain(program).collect();
    let mut manager = Process::start_apart("perl", &arguments, &path("stdout"), &path("stderr"));

    let send_all = |text: &str| {
        let mut tcp = connect("127.0.0.1", port.address());
        writeln!(tcp, "{}", message(text)).expect("room");
        send_from("127.0.0.1", port.number(), &[message(text)]);
        let datagram = UnixDatagram::unbound().expect("a socket");
        datagram.send_to(message(text).as_bytes(), path("datagram")).expect("a datagram");
        let mut stream = UnixStream::connect(path("stream")).expect("a connection");
        writeln!(stream, "{}", message(text)).expect("room");
    };
    manager.wait_ready(DEADLINE, || (text("stderr").matches("listening").count() == 5).then_some(()));
    send_all("first");
    wait_until(DEADLINE, "the first messages", || text("stdout").lines().count() == 4);
    assert!(text("stderr").contains("no source has exactly its address"), "{}", text("stderr"));
    assert!(text("stderr").contains("/unused"), "{}", text("stderr"));
    let stop = || {
        let pid = text("pid").parse().expect("a number");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a running process");
        wait_until(DEADLINE, "an end", || path("ended").exists() && !path("pid").exists());
        fs::remove_file(path("ended")).expect("a file");
    };
    stop();
    // Nobody is there, but the sockets are: what is sent now waits for the next.
    assert!(path("datagram").exists() && path("stream").exists());
    send_all("meanwhile");
    fs::write(path("again"), "").expect("a file");
    wait_until(DEADLINE, "the messages from meanwhile", || text("stdout").lines().count() == 8);
    send_all("after");
    wait_until(DEADLINE, "the messages after that", || text("stdout").lines().count() == 12);
    stop();
    for word in ["first", "meanwhile", "after"] {
        for source in ["tcp", "udp", "unix", "unix-2"] {
            let is_it = |line: &&str| {
                line.contains(&format!("\"message\":\"{word}\"")) && line.contains(&format!("\"name\":\"{source}\""))
            };
            assert_eq!(text("stdout").lines().filter(is_it).count(), 1, "{word} {source}: {}", text("stdout"));
        }
    }
    let log = text("stderr");
    assert_eq!((log.matches("balanced=true").count(), log.matches("balanced=false").count()), (2, 0), "{log}");
    assert!(manager.is_running(), "{log}");
}

#[test]
fn the_unit_files_are_right() {
    let service = include_str!("../../config/postrider.service");
    let socket = include_str!("../../config/postrider.socket");
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        // Above shutdown_timeout, as config/postrider.toml shows it.
        "TimeoutStopSec=45s",
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
    ] {
        assert!(service.lines().any(|written| written == line), "{line}");
    }
    assert!(include_str!("../../config/postrider.toml").contains("\n#shutdown_timeout = \"30s\""));
    let directory = scratch::directory("units");
    let files = ["postrider.service", "postrider.socket"].map(|name| directory.path().join(name));
    let here = service.replace("/usr/bin/postrider", env!("CARGO_BIN_EXE_postrider"));
    fs::write(&files[0], here).and_then(|()| fs::write(&files[1], socket)).expect("the unit files");
    match Command::new("systemd-analyze").arg("verify").args(&files).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("postrider."), "{said}");
        }
        Err(error) => {
            // Past the harness, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "NOT VERIFIED by systemd-analyze ({error}): the unit files, but for their text"
            );
        }
    }
}
