//! Do strangers get no further than they may, and do the others notice nothing of them?

mod connections;
mod proxy;
mod senders;

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use testkit::postrider::{Ended, Postrider};
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(30);

/// A message that all is well with.
pub(super) fn message(text: &str) -> String {
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
pub(super) fn connect(from: &str, to: SocketAddr) -> TcpStream {
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
pub(super) fn send_from(from: &str, port: u16, texts: &[String]) {
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
