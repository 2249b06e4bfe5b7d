//! Does Kafka have everything, in order per key, when its broker comes and goes and the sink has a spool?
//!
//! With `MESSAGES=500000` and `POSTRIDER` as in CONTRIBUTING.md, the tests send as many over both protocols together,
//! or half of it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::kafka::{Consumed, Kafka};
use testkit::numbered::Numbered;
use testkit::port::Port;
use testkit::postrider::{Ended, Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::wait_until;

const TOPIC: &str = "mail";
const KEYS: usize = 25;
const DEADLINE: Duration = Duration::from_secs(600);

/// Number of messages that a test sends over each protocol.
fn count() -> usize {
    std::env::var("MESSAGES").map_or(30_000, |count| count.parse().expect("MESSAGES is a number")) / 2
}

/// RELP and TCP to a topic with four partitions, with a spool in `directory`.
struct Setup {
    kafka: Kafka,
    ports: [Port; 2],
    config: String,
}

impl Setup {
    fn new(directory: &Path, mode: &str) -> Self {
        let kafka = Kafka::start();
        kafka.create_topic(TOPIC, 4);
        let ports = [Port::reserve(), Port::reserve()];
        let config = format!(
            "[[source.tcp]]\nlisten = \"{}\"\n[[source.relp]]\nlisten = \"{}\"\n\
             [[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"{TOPIC}\"\nkey = \"{{hostname}}\"\nqueue_size = \"2MiB\"\n\
             [sink.kafka.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\nmode = \"{mode}\"\n\
             [sink.kafka.options]\nlinger.ms = 5\nreconnect.backoff.max.ms = 500\n",
            ports[0].address(),
            ports[1].address(),
            kafka.brokers(),
            directory.join("spool").display()
        );
        Self { kafka, ports, config }
    }

    /// Starts Postrider, whose stop may take `seconds`: when all is delivered, it takes none.
    fn run(&self, seconds: u64) -> Postrider {
        let config = format!("shutdown_timeout = \"{seconds}s\"\n{}", self.config);
        Postrider::run(&config, &self.addresses())
    }

    /// Waits until the broker has some records.
    fn wait_delivering(&self) {
        assert!(!self.kafka.consume_all(TOPIC, 1, DEADLINE).is_empty(), "nothing arrives");
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        self.ports.each_ref().map(Port::address)
    }
}

/// Copies of each message that the broker has: their ids in order.
type Copies = HashMap<(String, usize), Vec<Vec<u8>>>;

/// Each message up to `count` of each stream is there, and for each key the first copies are in order. Gives the
/// copies.
fn check(consumed: &[Consumed], streams: &[&Arc<Numbered>], count: usize) -> Copies {
    let mut copies = Copies::new();
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut partitions: HashMap<&[u8], i32> = HashMap::new();
    for record in consumed {
        let value: Value = serde_json::from_slice(&record.value).expect("a JSON object");
        let id = value["id"].as_str().expect("an id").as_bytes().to_vec();
        assert_eq!(record.headers, [("id".to_owned(), id.clone())]);
        let key = value["hostname"].as_str().expect("a hostname").to_owned();
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        let partition = partitions.entry(record.key.as_deref().expect("a key")).or_insert(record.partition);
        assert_eq!(*partition, record.partition, "{key} in two partitions");
        let number = Numbered::number_of(value["message"].as_str().expect("a message"));
        let ids = copies.entry((key.clone(), number)).or_default();
        if ids.is_empty() {
            let next = next.entry(key).or_insert(number % KEYS);
            assert_eq!(*next, number, "out of order, or missing");
            *next += KEYS;
        }
        ids.push(id);
    }
    for stream in streams {
        for number in 0..count {
            assert!(copies.contains_key(&(stream.key(number), number)), "{} {number} is missing", stream.name());
        }
    }
    assert_eq!(copies.len(), count * streams.len(), "more than was sent");
    copies
}

/// Returns the number of copies too many. Asserts that all copies of a message have one id.
fn duplicates(copies: &Copies) -> usize {
    for ((key, number), ids) in copies {
        assert!(ids.iter().all(|id| *id == ids[0]), "number {number} of {key} has two ids");
    }
    copies.values().map(|ids| ids.len() - 1).sum()
}

/// Nothing may come twice but what a client that was made anew had on its way. These records are new: those that are
/// older than a day a broker forgets when it starts again (`tests/kafka/kafka_outage.rs`).
fn assert_duplicates_are_allowed(duplicates: usize, ended: &Ended) {
    /// Bytes that librdkafka has in flight, and the least that it takes for a record.
    const ON_ITS_WAY: (usize, usize) = (4 << 20, 300);
    let anew = ended.sink("kafka").count("retries") as usize;
    let most = anew * ON_ITS_WAY.0 / ON_ITS_WAY.1;
    assert!(duplicates <= most, "{duplicates} duplicates, and {anew} clients were made anew:\n{}", ended.stderr);
}

fn permit(streams: &[Arc<Numbered>; 2], until: usize) {
    for stream in streams {
        stream.permit(until);
    }
}

fn wait_taken(streams: &[Arc<Numbered>; 2], until: usize) {
    wait_until(DEADLINE, &format!("{until} of each stream"), || streams.iter().all(|stream| stream.taken() >= until));
}

fn streams() -> [Arc<Numbered>; 2] {
    [Numbered::new("tcp", KEYS), Numbered::new("relp", KEYS)]
}

/// The broker is stopped, frozen and killed while messages come, and the sources never wait for it.
fn survives_outages(mode: &str) {
    let (directory, count) = (scratch::directory("spool-outages"), count());
    let mut setup = Setup::new(directory.path(), mode);
    let postrider = setup.run(300);
    let streams = streams();
    let [tcp, relp] = setup.addresses();
    let senders = [streams[0].send_tcp(tcp, 0..count), streams[1].send_relp(relp, count)];
    let part = |tenths: usize| count * tenths / 10;

    permit(&streams, part(3));
    wait_taken(&streams, part(1));
    setup.wait_delivering();
    setup.kafka.stop();
    // Acknowledged while there is no broker: they are on the disk.
    permit(&streams, part(4));
    wait_taken(&streams, part(4));
    setup.kafka.restart();

    permit(&streams, part(6));
    wait_taken(&streams, part(5));
    setup.kafka.freeze();
    permit(&streams, part(7));
    wait_taken(&streams, part(7));
    setup.kafka.thaw();

    permit(&streams, part(9));
    wait_taken(&streams, part(8));
    setup.kafka.kill();
    permit(&streams, count);
    wait_taken(&streams, count);
    setup.kafka.restart();
    for sender in senders {
        sender.join().expect("a sender");
    }
    postrider.wait_delivered("kafka", 2 * count as u64, DEADLINE);
    let ended = postrider.terminate(DEADLINE);
    let consumed = setup.kafka.consume_all(TOPIC, 2 * count, DEADLINE);
    assert_clean(&ended);
    let copies = check(&consumed, &[&streams[0], &streams[1]], count);
    assert_duplicates_are_allowed(duplicates(&copies), &ended);
    assert_eq!(ended.sink("kafka").count("delivered"), 2 * count as u64);
    assert_eq!(ended.sink("kafka").count("spooled"), 0);
    assert!(streams.iter().all(|stream| stream.times_sent(part(4)) == 1), "no session broke");
}

#[test]
fn overflow_survives_a_broker_that_is_stopped_frozen_and_killed() {
    survives_outages("overflow");
}

#[test]
fn always_survives_a_broker_that_is_stopped_frozen_and_killed() {
    survives_outages("always");
}

/// Postrider is stopped while there is no broker, and the next one delivers what it has left.
fn survives_a_stop(mode: &str) {
    let (directory, count) = (scratch::directory("spool-kafka-stop"), count() / 2);
    let mut setup = Setup::new(directory.path(), mode);
    let postrider = setup.run(2);
    let streams = streams();
    let [tcp, relp] = setup.addresses();
    let third = count / 3;
    let senders = [streams[0].send_tcp(tcp, 0..2 * third), streams[1].send_relp(relp, 2 * third)];
    permit(&streams, third);
    wait_taken(&streams, third / 2);
    setup.wait_delivering();
    setup.kafka.stop();
    permit(&streams, 2 * third);
    for sender in senders {
        sender.join().expect("a sender");
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let sink = |field| ended.sink("kafka").count(field);
    let (kept, early) = (sink("spooled"), sink("delivered"));
    assert_eq!(sink("dropped"), 0, "{}", ended.stderr);
    assert!(kept > 0 && early > 0, "{kept} kept, {early} delivered");
    assert_eq!(early + kept, 4 * third as u64, "delivered or on the disk\n{}", ended.stderr);

    setup.kafka.restart();
    let postrider = setup.run(300);
    // Messages that come now have to come behind.
    permit(&streams, count);
    streams[0].send_tcp(tcp, 2 * third..count).join().expect("a sender");
    streams[1].send_relp(relp, count).join().expect("a sender");
    postrider.wait_delivered("kafka", 2 * (count - 2 * third) as u64, DEADLINE);
    let ended = postrider.terminate(DEADLINE);
    let consumed = setup.kafka.consume_all(TOPIC, 2 * count, DEADLINE);
    assert_clean(&ended);
    let recovered = ended.sink("kafka").count("recovered");
    assert_eq!(ended.sink("kafka").count("spooled"), 0);
    let copies = check(&consumed, &[&streams[0], &streams[1]], count);
    // One partition may be ahead of another: what it has behind a record that the other has not, comes again. The
    // same is true of records that the broker had taken without an acknowledgement when it was stopped.
    let (duplicates, ahead) = (duplicates(&copies) as u64, recovered - kept);
    assert!((ahead..=kept).contains(&duplicates), "{duplicates} came twice, {ahead} of them because they were ahead");
}

#[test]
fn overflow_keeps_records_for_a_missing_broker_over_a_stop() {
    survives_a_stop("overflow");
}

#[test]
fn always_keeps_over_a_stop_what_a_missing_broker_did_not_take() {
    survives_a_stop("always");
}

/// Postrider is killed three times while it takes messages over RELP, once of them with a broker that is frozen.
fn survives_kills(mode: &str) {
    let (directory, count) = (scratch::directory("spool-kafka-kill"), count());
    let setup = Setup::new(directory.path(), mode);
    let mut postrider = setup.run(300);
    let stream = Numbered::new("relp", KEYS);
    let sender = stream.send_relp(setup.addresses()[1], count);
    stream.permit(count);
    for kill in 1..=3 {
        if kill == 2 {
            setup.kafka.freeze();
        }
        wait_until(DEADLINE, "a quarter more", || stream.taken() >= count * kill / 4);
        postrider.signal(Signal::SIGKILL);
        postrider.kill();
        setup.kafka.thaw();
        assert!(stream.taken() < count, "it was killed too late");
        postrider.restart();
    }
    sender.join().expect("the sender");
    postrider.wait_delivered("kafka", 0, DEADLINE);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.sink("kafka").count("spooled"), 0);
    let consumed = setup.kafka.consume_all(TOPIC, count, DEADLINE);
    let copies = check(&consumed, &[&stream], count);
    for ((_, number), ids) in copies.iter().filter(|(_, ids)| ids.len() > 1) {
        // A message that the sender sends again is another record.
        let distinct: HashSet<_> = ids.iter().collect();
        assert!(distinct.len() <= stream.times_sent(*number), "number {number}: {} ids", distinct.len());
    }
    assert!((0..count).any(|number| stream.times_sent(number) > 1), "nothing was on its way when it was killed");
}

#[test]
fn overflow_loses_nothing_acknowledged_when_killed() {
    survives_kills("overflow");
}

#[test]
fn always_loses_nothing_acknowledged_when_killed() {
    survives_kills("always");
}
