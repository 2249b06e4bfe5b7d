//! Does a real broker that dies for 30 s in the middle of a stream lose or reorder anything, and when does it take what
//! it has a second time?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::clock::stamp;
use testkit::kafka::{Consumed, Kafka};
use testkit::numbered::Numbered;
use testkit::postrider::{Postrider, assert_clean};
use testkit::proxy::Proxy;
use testkit::wait::wait_until;

const MESSAGES: usize = 60_000;
const KEYS: usize = 50;
const OUTAGE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(120);

/// Number `n` of the stream: attempt `n / KEYS` at the message with one of 50 queue ids.
fn line(n: usize) -> String {
    format!(
        "<22>{} mx1 postfix/smtp[{n}]: {:05X}ABCDE{:02X}: to=<user@example.com>, relay=none, delay={n}, \
         delays={n}/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.25]:25: Connection refused)\n",
        stamp(Duration::ZERO),
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

/// It answers nothing and refuses nothing, so librdkafka has no error to tell of for a minute.
#[test]
fn a_frozen_broker_is_told_of_within_seconds() {
    const SOME: usize = 100;
    let kafka = Kafka::start();
    kafka.create_topic("mail", 4);
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"mail\"\n",
        kafka.brokers()
    ));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    socket.write_all(line(0).as_bytes()).expect("room for a message");
    assert_eq!(kafka.consume_all("mail", 1, DEADLINE).len(), 1);
    kafka.freeze();
    let frozen = Instant::now();
    (1..SOME).for_each(|n| socket.write_all(line(n).as_bytes()).expect("room for a message"));
    wait_until(DEADLINE, "a word about it", || postrider.stderr().contains("the sink makes no progress"));
    let took = frozen.elapsed();
    assert!((4..20).contains(&took.as_secs()), "{took:?}");
    kafka.thaw();
    wait_until(DEADLINE, "a word about the end", || {
        postrider.stderr().contains("the sink makes progress again sink=\"kafka\" seconds=")
    });
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let told = ended.stderr.lines().find(|line| line.contains("the sink makes no progress")).expect("a line");
    assert!(told.contains(" WARN ") && told.contains("unreachable or blocked sink=\"kafka\" seconds="), "{told}");
    assert!(told.contains(&format!(" records={} queue_bytes=", SOME - 1)), "{told}");
}

/// The number of a record, after a look at all of it.
fn check(record: &Consumed) -> usize {
    let value: Value = serde_json::from_slice(&record.value).expect("a JSON object");
    assert_eq!(record.headers, [("id".to_owned(), value["id"].as_str().expect("an id").as_bytes().to_vec())]);
    assert_eq!(record.key.as_deref(), value["postfix"]["queue_id"].as_str().map(str::as_bytes));
    assert_eq!(value["postfix"]["cause"], "connection_refused");
    // A decimal, whose digits are those that were logged.
    value["postfix"]["delay"].to_string().trim_end_matches(".0").parse().expect("a number")
}

/// Ages of records whose sender a broker that starts again still knows, or has forgotten. The limit between them is
/// `producer.id.expiration.ms`, a day by default.
const REMEMBERED: Duration = Duration::from_secs(23 * 3600);
const FORGOTTEN: Duration = Duration::from_secs(25 * 3600);

/// Sends `SOME` records of this age whose answers are lost with the broker that has them. Gives the copies that the
/// topic has of each when Postrider has sent them again, with the ids of the copies.
fn copies_after_lost_answers(kafka: &mut Kafka, proxy: &Proxy, topic: &str, age: Duration) -> Vec<(usize, usize)> {
    const SOME: usize = 100;
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nacknowledge_timeout = \"10m\"\n\
         [[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"{topic}\"\n\
         [sink.kafka.options]\nreconnect.backoff.max.ms = 200\n",
        proxy.address()
    ));
    let stream = Numbered::of_age("relp", 1, age);
    let sender = stream.send_relp(postrider.address("relp"), 1 + SOME);
    stream.permit(1);
    wait_until(DEADLINE, "the first answer", || stream.taken() == 1);
    proxy.lose_answers(true);
    stream.permit(1 + SOME);
    assert_eq!(kafka.consume_all(topic, 1 + SOME, DEADLINE).len(), 1 + SOME);
    assert_eq!(stream.taken(), 1, "an answer that should have been lost");
    kafka.kill();
    proxy.lose_answers(false);
    kafka.restart();
    sender.join().expect("the sender");
    assert_clean(&postrider.terminate(DEADLINE));

    let mut copies: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    let mut newest = None;
    for record in kafka.consume_all(topic, 1 + SOME, DEADLINE) {
        let value: Value = serde_json::from_slice(&record.value).expect("a JSON object");
        let number = Numbered::number_of(value["message"].as_str().expect("a message"));
        let ids = copies.entry(number).or_default();
        if ids.is_empty() {
            assert!(newest.is_none_or(|newest| newest < number), "first copies are out of order");
            newest = Some(number);
        }
        ids.push(record.headers[0].1.clone());
    }
    assert_eq!(copies.len(), 1 + SOME, "missing records");
    assert_eq!(copies.remove(&0).map(|ids| ids.len()), Some(1), "what was answered came again");
    copies.into_values().map(|ids| (ids.len(), ids.into_iter().collect::<HashSet<_>>().len())).collect()
}

/// The broker has the records, but its answer is lost. It drops what comes again, unless its memory has ended.
#[test]
fn a_lost_answer_repeats_only_records_older_than_a_day() {
    let (mut kafka, proxy) = Kafka::start_behind_proxy();
    for topic in ["new", "old", "append"] {
        kafka.create_topic(topic, 1);
    }
    kafka.set("append", "message.timestamp.type", "LogAppendTime");
    let mut copies = |topic, age| copies_after_lost_answers(&mut kafka, &proxy, topic, age);
    let (once, twice) = (vec![(1, 1); 100], vec![(2, 1); 100]);
    assert_eq!(copies("new", REMEMBERED), once, "the broker drops what it has");
    assert_eq!(copies("old", FORGOTTEN), twice, "two copies with one id");
    assert_eq!(copies("append", FORGOTTEN), once, "the broker goes by its own clock");
}
