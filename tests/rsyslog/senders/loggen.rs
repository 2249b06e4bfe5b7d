//! syslog-ng's loggen, as fast as it can.

use std::collections::HashMap;

use serde_json::Value;

use crate::senders::COUNT;
use crate::senders::collector::{Collected, Collector, Source, assert_fields, assert_flags};
use testkit::loggen;

/// Returns the numbers of each thread's messages in the order in which they came.
fn numbers(collected: &Collected) -> HashMap<String, Vec<usize>> {
    let mut numbers: HashMap<String, Vec<usize>> = HashMap::new();
    for record in collected.records() {
        assert_fields(
            &record,
            &[("facility", "auth"), ("severity", "info"), ("hostname", "localhost"), ("procid", "1234")],
        );
        assert_flags(&record, &[]);
        numbers
            .entry(part(&record, "thread: ").to_owned())
            .or_default()
            .push(part(&record, "seq: ").parse().expect("a number"));
    }
    numbers
}

/// `0000000123` of `seq: 0000000123, thread: 0001, …`.
fn part<'a>(record: &'a Value, name: &str) -> &'a str {
    let text = record["message"].as_str().expect("a text");
    assert!(text.starts_with("seq: ") && text.contains(" PADDPADD"), "{text}");
    text.split(name).nth(1).and_then(|rest| rest.split(',').next()).expect("a number")
}

/// Asserts that all messages of loggen with these options and addresses reach `collector`, each connection's in order.
fn delivers(collector: Collector, connections: usize, arguments: &[&str]) {
    loggen::send(arguments, connections, COUNT / connections);
    let numbers = numbers(&collector.end());
    assert_eq!(numbers.len(), connections);
    for (thread, numbers) in numbers {
        assert!(
            numbers.into_iter().eq(0..COUNT / connections),
            "thread {thread} has gaps, duplicates or another order"
        );
    }
}

#[test]
fn over_tcp_with_a_message_a_line() {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    delivers(collector, 4, &["-S", "127.0.0.1", &port]);
}

#[test]
fn over_tcp_with_octet_counting() {
    let mut collector = Collector::start(Source::Tcp);
    let port = collector.port().to_string();
    delivers(collector, 1, &["-S", "--syslog-proto", "127.0.0.1", &port]);
}

#[test]
fn over_tls() {
    let mut collector = Collector::start(Source::Tls);
    let port = collector.port().to_string();
    // Neither -i nor -S beside it.
    delivers(collector, 2, &["-U", "127.0.0.1", &port]);
}

#[test]
fn over_a_unix_stream() {
    let collector = Collector::start(Source::UnixStream);
    let path = collector.path().display().to_string();
    delivers(collector, 2, &["-x", "-S", &path]);
}

#[test]
fn over_unix_datagrams() {
    let collector = Collector::start(Source::UnixDatagram);
    let path = collector.path().display().to_string();
    delivers(collector, 1, &["-x", "-D", &path]);
}

/// Nothing holds loggen back: what the receive buffer had no room for is counted, to the last datagram.
#[test]
fn over_udp_what_is_not_received_is_counted() {
    let mut collector = Collector::start(Source::Udp);
    let port = collector.port().to_string();
    loggen::send(&["-i", "-D", "127.0.0.1", &port], 1, COUNT);
    let collected = collector.stop();
    assert_eq!(collected.count("received") + collected.count("kernel_drops"), COUNT as u64);
    let numbers = &numbers(&collected)["0000"];
    assert_eq!(numbers.len() as u64, collected.count("received"));
    assert!(numbers.is_sorted_by(|one, next| one < next) && numbers.iter().all(|number| *number < COUNT));
}
