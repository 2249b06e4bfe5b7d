//! Does a real broker that dies for 30 s in the middle of a stream lose or reorder anything?

mod peers;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use peers::kafka::{Consumed, Kafka};
use peers::postrider::Postrider;
use peers::wait::wait_until;
use serde_json::Value;

const MESSAGES: usize = 60_000;
const KEYS: usize = 50;
const OUTAGE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(120);

/// Number `n` of the stream: attempt `n / KEYS` at the message with one of 50 queue ids.
fn line(n: usize) -> String {
    format!(
        "<22>Nov 24 02:10:35 mx1 postfix/smtp[{n}]: {:05X}ABCDE{:02X}: to=<user@example.com>, relay=none, delay={n}, \
         delays={n}/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.25]:25: Connection refused)\n",
        0,
        n % KEYS
    )
}

/// Sends the stream over one connection, some 1,000 messages a second: the outage falls into its middle.
fn send(address: SocketAddr, sent: &AtomicUsize) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    let begun = Instant::now();
    for n in 0..MESSAGES {
        socket.write_all(line(n).as_bytes()).expect("room for a message");
        sent.store(n + 1, Relaxed);
        if n % 100 == 99 {
            // The pace is the input of this test.
            let due = begun + Duration::from_secs(40) * u32::try_from(n).expect("a small number") / 60_000;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

#[test]
fn a_broker_that_dies_for_30_seconds_loses_and_reorders_nothing() {
    let mut kafka = Kafka::start();
    kafka.create_topic("mail", 4);
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"mail\"\n\
         [sink.kafka.options]\nreconnect.backoff.max.ms = 1000\n",
        kafka.brokers()
    ));
    let address = postrider.address("tcp");
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| send(address, &sent));
        wait_until(DEADLINE, "a fifth of the stream", || sent.load(Relaxed) > MESSAGES / 5);
        kafka.kill();
        let died_at = sent.load(Relaxed);
        // The length of the outage is the input of this test.
        thread::sleep(OUTAGE);
        assert!(sent.load(Relaxed) > died_at + 1000, "the stream did not go on while the broker was away");
        kafka.restart();
    });
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("delivered={MESSAGES} ")), "{}", ended.stderr);

    let consumed = kafka.consume_all("mail", MESSAGES, DEADLINE);
    assert_eq!(consumed.len(), MESSAGES, "missing or duplicate records");
    let mut ids = HashSet::new();
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut partitions: HashMap<Vec<u8>, i32> = HashMap::new();
    for record in &consumed {
        let n = check(record);
        assert!(ids.insert(record.headers[0].1.clone()), "an id twice");
        let key = record.key.clone().expect("a key");
        assert_eq!(*partitions.entry(key.clone()).or_insert(record.partition), record.partition);
        if let Some(before) = last.insert(key, n) {
            assert_eq!(before + KEYS, n, "out of order within a key");
        }
    }
    assert_eq!(last.len(), KEYS);
}

/// The number of a record, after a look at all of it.
fn check(record: &Consumed) -> usize {
    let value: Value = serde_json::from_slice(&record.value).expect("a JSON object");
    assert_eq!(record.headers, [("id".to_owned(), value["id"].as_str().expect("an id").as_bytes().to_vec())]);
    assert_eq!(record.key.as_deref(), value["postfix"]["queue_id"].as_str().map(str::as_bytes));
    assert_eq!(value["postfix"]["cause"], "connection_refused");
    usize::try_from(value["postfix"]["delay"].as_u64().expect("a number")).expect("a small number")
}
