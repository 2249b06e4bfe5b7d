//! Does every datagram become one record, or a count of what happened to it?

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::postrider::{Ended, Postrider, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

/// Fewer than any receive buffer holds.
const WINDOW: usize = 200;

/// A message of 200 bytes, number `n` of `sender`.
fn message(sender: usize, n: usize) -> String {
    let message = format!("<22>Nov 24 02:10:35 mx{sender} other[{n}]: a message of 200 bytes");
    format!("{message:.<200}")
}

/// Sends as fast as the receiver takes it: at most [`WINDOW`] of all that were `sent` have not yet `arrived`.
fn send_paced(sender: usize, count: usize, sent: &AtomicUsize, arrived: &AtomicUsize, to: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..count {
        wait_until(DEADLINE, "room in the window", || sent.load(Relaxed) < arrived.load(Relaxed) + WINDOW);
        sent.fetch_add(1, Relaxed);
        socket.send_to(message(sender, n).as_bytes(), to).expect("a datagram goes out");
    }
}

/// Counts the lines of a file as they come, into `arrived`, until they are `count`. Panics if none comes for long.
fn count_arrivals(path: &Path, count: usize, arrived: &AtomicUsize) {
    let mut output = wait_for(DEADLINE, "the output", || fs::File::open(path).ok());
    let mut new = Vec::new();
    while arrived.load(Relaxed) < count {
        new.clear();
        wait_until(DEADLINE, "a record", || output.read_to_end(&mut new).expect("the output") > 0);
        arrived.fetch_add(memchr::memchr_iter(b'\n', &new).count(), Relaxed);
    }
}

/// Waits until a program has printed `count` records, and gives them.
fn records(postrider: &Postrider, count: usize) -> Vec<Value> {
    wait_until(DEADLINE, "the records", || postrider.stdout().lines().count() >= count);
    postrider.stdout().lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
}

#[test]
fn two_workers_take_every_datagram_of_several_senders_once() {
    const SENDERS: usize = 8;
    const EACH: usize = 25_000;
    let directory = scratch::directory("udp");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n",
        path.display()
    ));
    let address = postrider.address("udp");
    let (sent, arrived) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    for sender in 0..SENDERS {
        let (sent, arrived) = (Arc::clone(&sent), Arc::clone(&arrived));
        thread::spawn(move || send_paced(sender, EACH, &sent, &arrived, address));
    }
    count_arrivals(&path, SENDERS * EACH, &arrived);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("udp").count("received"), (SENDERS * EACH) as u64);
    assert_eq!(ended.source("udp").count("kernel_drops"), 0);
    let mut numbers: HashMap<String, Vec<usize>> = HashMap::new();
    for line in fs::read_to_string(&path).expect("the output").lines() {
        let record: Value = serde_json::from_str(line).expect("a record is JSON");
        let text = |name: &str| record[name].as_str().expect("a text").to_owned();
        numbers.entry(text("hostname")).or_default().push(text("procid").parse().expect("a number"));
    }
    assert_eq!(numbers.len(), SENDERS);
    for (sender, numbers) in numbers {
        // One sender's datagrams stay on one socket, and so in their order.
        assert!(numbers.iter().copied().eq(0..EACH), "{sender} has gaps, duplicates or another order");
    }
}

#[test]
fn an_address_is_not_shared_with_another_program() {
    let mut first = Postrider::spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[[sink.stdout]]\n");
    let address = first.address("udp");
    let second = format!("[[source.udp]]\nlisten = \"{address}\"\nworkers = 2\n[[sink.stdout]]\n");
    let ended = Postrider::spawn(&second).ended(DEADLINE);
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("another program listens there"), "{}", ended.stderr);
    assert_clean(&first.terminate(DEADLINE));
}

/// Sends more than the receive buffers hold while nobody reads; what is sent later is received after drops if `after`.
fn burst_beyond_the_buffer(workers: usize, after: bool) {
    const COUNT: usize = 20_000;
    let mut postrider = Postrider::spawn(&format!(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nreceive_buffer = \"64KiB\"\nworkers = {workers}\n[[sink.stdout]]\n"
    ));
    let address = postrider.address("udp");
    postrider.signal(Signal::SIGSTOP);
    let sockets: Vec<_> = (0..16).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
    for n in 0..COUNT {
        sockets[n % 16].send_to(message(0, n).as_bytes(), address).expect("a datagram goes out");
    }
    postrider.signal(Signal::SIGCONT);
    wait_until(DEADLINE, "a warning", || postrider.stderr().contains("the kernel dropped datagrams"));
    if after {
        sockets[0].send_to(message(1, 0).as_bytes(), address).expect("a datagram goes out");
        wait_until(DEADLINE, "the last record", || postrider.stdout().contains("\"hostname\":\"mx1\""));
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let (received, drops) = (ended.source("udp").count("received"), ended.source("udp").count("kernel_drops"));
    assert_eq!(received + drops, (COUNT + usize::from(after)) as u64);
    assert_eq!(received, ended.stdout.lines().count() as u64);
    assert!(received > 0 && drops > 10_000, "{received} received, {drops} dropped");
    assert!(ended.stderr.contains("net.core.rmem_max"), "{}", ended.stderr);
}

#[test]
fn every_datagram_beyond_the_receive_buffer_is_counted() {
    burst_beyond_the_buffer(1, true);
    burst_beyond_the_buffer(1, false);
    burst_beyond_the_buffer(2, false);
}

#[test]
fn drops_are_counted_although_a_stop_comes_at_once() {
    const COUNT: usize = 5_000;
    let mut postrider =
        Postrider::spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\nreceive_buffer = \"64KiB\"\n[[sink.stdout]]\n");
    let address = postrider.address("udp");
    postrider.signal(Signal::SIGSTOP);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..COUNT {
        socket.send_to(message(0, n).as_bytes(), address).expect("a datagram goes out");
    }
    postrider.signal(Signal::SIGTERM);
    postrider.signal(Signal::SIGCONT);
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    let (received, drops) = (ended.source("udp").count("received"), ended.source("udp").count("kernel_drops"));
    assert_eq!((received + drops, received), (COUNT as u64, ended.stdout.lines().count() as u64));
}

#[test]
fn a_datagram_over_the_limit_is_cut_flagged_and_counted() {
    let mut postrider =
        Postrider::spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"1KiB\"\n[[sink.stdout]]\n");
    let address = postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let sizes = [1023, 1024, 1025, 1500, 9000, 65_507, 200];
    for size in sizes {
        let datagram = format!("{:x<size$}", "<22>Nov 24 02:10:35 mx1 other[1]: ");
        socket.send_to(datagram.as_bytes(), address).expect("a datagram goes out");
    }
    let header = "<22>Nov 24 02:10:35 mx1 other[1]: ".len();
    let seen: Vec<_> = records(&postrider, sizes.len())
        .iter()
        .map(|record| {
            let flags = record["flags"].as_array().cloned().unwrap_or_default();
            (record["message"].as_str().expect("a text").len() + header, flags.iter().any(|flag| flag == "truncated"))
        })
        .collect();
    assert_eq!(seen, sizes.map(|size| (size.min(1024), size > 1024)));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("udp").count("truncated"), 4);
}

#[test]
fn the_largest_datagrams_are_whole() {
    const COUNT: usize = 100;
    let mut postrider = Postrider::spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n");
    let address = postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..COUNT {
        // Long and short ones in turns share the batches.
        let size = if n % 2 == 0 { 65_507 } else { 200 };
        let datagram = format!("{:x<size$}", format!("<22>Nov 24 02:10:35 mx1 other[{n}]: "));
        socket.send_to(datagram.as_bytes(), address).expect("a datagram goes out");
        // The receive buffer may be too small for all of them.
        wait_until(DEADLINE, "a record", || n % 10 != 9 || postrider.stdout().lines().count() > n);
    }
    for (n, record) in records(&postrider, COUNT).iter().enumerate() {
        let size = if n % 2 == 0 { 65_507 } else { 200 };
        let header = format!("<22>Nov 24 02:10:35 mx1 other[{n}]: ").len();
        let text = record["message"].as_str().expect("a text");
        assert_eq!((record["procid"].as_str(), text.len()), (Some(n.to_string().as_str()), size - header));
        assert!(text.bytes().all(|byte| byte == b'x'), "another datagram's bytes");
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("udp").count("truncated"), 0);
}

#[test]
fn ipv6_and_ipv4_reach_one_socket_and_keep_their_addresses() {
    let mut postrider = Postrider::spawn("[[source.udp]]\nlisten = \"[::]:0\"\nworkers = 2\n[[sink.stdout]]\n");
    let port = postrider.address("udp").port();
    let mut expected = Vec::new();
    for (n, host) in ["[::1]", "127.0.0.1", "[::1]", "127.0.0.1"].into_iter().enumerate() {
        let socket = UdpSocket::bind(format!("{host}:0")).expect("a socket");
        socket.send_to(message(0, n).as_bytes(), format!("{host}:{port}")).expect("a datagram goes out");
        expected.push(socket.local_addr().expect("an address").to_string());
        records(&postrider, n + 1);
    }
    let records = records(&postrider, 4);
    let peers: Vec<_> = records.iter().map(|record| record["source"]["peer"].as_str().expect("a peer")).collect();
    assert_eq!(peers, expected);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn logger_is_understood_in_all_its_modes() {
    // Without -P logger sends to port 514: a loopback address of this process's own, as others may want that port too.
    let [_, _, c, d] = std::process::id().to_be_bytes();
    let standard = format!("127.98.{c}.{d}:514");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nname = \"standard\"\nlisten = \"{standard}\"\n\
         [[sink.stdout]]\n"
    ));
    let port = postrider.address("udp").port().to_string();
    let standard = postrider.address("standard").ip().to_string();
    let with_port: &[&str] = &["--server", "127.0.0.1", "-P", &port];
    let without: &[&str] = &["--server", &standard];
    let mut expected = Vec::new();
    for to in [with_port, without] {
        for (mode, has) in [
            ("--rfc3164", ["hostname"].as_slice()),
            ("--rfc5424", &["hostname", "structured_data"]),
            ("--rfc5424=notime,notq,nohost", &[]),
        ] {
            let text = format!("message {}", expected.len());
            let mut logger = Command::new("logger");
            logger.args(to).args(["--udp", mode, "--id=4711", "-p", "mail.warning", "-t", "postfix/smtp", &text]);
            assert!(logger.status().expect("logger is missing; it is in bsdutils").success());
            expected.push((text, has));
            records(&postrider, expected.len());
        }
    }
    for (record, (text, has)) in records(&postrider, expected.len()).iter().zip(expected) {
        let fields = ["facility", "severity", "app_name", "procid", "message"].map(|name| record[name].as_str());
        assert_eq!(fields, ["mail", "warning", "postfix/smtp", "4711", &text].map(Some), "{record}");
        let optional = ["hostname", "structured_data"].into_iter().filter(|name| !record[*name].is_null());
        assert!(optional.eq(has.iter().copied()), "{record}");
        assert_eq!(record["source"]["transport"], "udp");
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Returns the number of datagrams in the lines of the log with `text`: by themselves, and as a sum of those that were
/// not logged.
fn told(log: &str, text: &str) -> u64 {
    let number = |line: &str, field: &str| {
        let (_, rest) = line.split_once(&format!(" {field}="))?;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    let lines = log.lines().filter(|line| line.contains(text));
    lines.map(|line| number(line, "dropped").unwrap_or(0) + number(line, "suppressed").unwrap_or(0)).sum()
}

#[test]
fn datagrams_that_find_a_full_queue_are_logged_to_the_last() {
    let text = "datagrams dropped: the queue of sink stdout is full";
    let dropped = |ended: &Ended| ended.sink("stdout").count("dropped_queue_full");
    without_room("", "queue_size = \"64KiB\"", dropped, text);
}

#[test]
fn datagrams_beyond_max_bytes_in_flight_are_logged_to_the_last() {
    let text = "datagrams dropped: max_bytes_in_flight is used up";
    let dropped = |ended: &Ended| ended.source("udp").count("dropped_in_flight_limit");
    without_room("max_bytes_in_flight = \"256KiB\"", "", dropped, text);
}

/// With these keys of the source and the sink there is no room for datagrams. The log tells of them by this `text`
/// while the program runs, also of the last of a burst, and of as many as the ledger counts as `dropped`.
fn without_room(source: &str, sink: &str, dropped: impl Fn(&Ended) -> u64, text: &str) {
    let directory = scratch::directory("no-room");
    let config = format!(
        "shutdown_timeout = \"1s\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n{source}\n[[sink.stdout]]\n{sink}\n"
    );
    let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let to = postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut n = 0;
    let mut send = || {
        for _ in 0..WINDOW {
            socket.send_to(message(0, n).as_bytes(), to).expect("it goes out");
            n += 1;
        }
    };
    // Nobody reads the standard output.
    wait_until(DEADLINE, "a line about it", || {
        send();
        told(&postrider.log(), text) > 0
    });
    let line = postrider.log().lines().find(|line| line.contains(text)).expect("a line").to_owned();
    assert!(line.contains("WARN") && line.contains("source=\"udp\""), "{line}");
    let first = told(&postrider.log(), text);
    // Sooner than another line may come, and then nothing more.
    send();
    wait_until(DEADLINE, "the count of the last", || told(&postrider.log(), text) >= first + WINDOW as u64);
    let log = postrider.log();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(told(&log, text), dropped(&ended), "{log}\n{}", ended.stderr);
    assert!(log.lines().filter(|line| line.contains(text)).count() <= 4, "{log}");
}
