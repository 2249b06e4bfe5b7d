use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::buffer::{Sender, queue};
use crate::config::DeadLetterConfig;
use crate::ledger::SinkLedger;
use crate::sink::flight::Flight;
use crate::sink::testing::{batch, settled, wait_for};
use crate::sink::worker::{Control, WorkerEnd, run};
use crate::template::Template;

#[path = "spooled_tests.rs"]
mod spooled;

const TOPIC: &str = "mail";
const PARTITIONS: i32 = 3;

/// A sink at work on a cluster of its own.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    sender: Option<Sender>,
    control: Control,
    ledger: Arc<SinkLedger>,
    shared: Arc<Shared>,
    end: mpsc::Receiver<WorkerEnd>,
    sent: u128,
}

/// A record as it is read back.
struct Read {
    key: String,
    id: String,
    value: String,
}

fn config(brokers: String, properties: &[(&str, &str)]) -> KafkaConfig {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    KafkaConfig {
        brokers: vec![brokers],
        topic: Template::parse(TOPIC).unwrap(),
        max_routes: 1000,
        key: Template::parse("key").unwrap(),
        properties: properties.collect::<Vec<_>>().into(),
        dead_letter: None,
    }
}

impl Fixture {
    fn start(timeout: Duration, properties: &[(&str, &str)]) -> Self {
        Self::start_with(timeout, properties, None)
    }

    fn start_with(timeout: Duration, properties: &[(&str, &str)], dead_letter: Option<&Path>) -> Self {
        Self::start_to(TOPIC, timeout, properties, dead_letter)
    }

    /// With a topic that may have placeholders.
    fn start_to(topic: &str, timeout: Duration, properties: &[(&str, &str)], dead_letter: Option<&Path>) -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        let mut config = config(cluster.bootstrap_servers(), properties);
        config.topic = Template::parse(topic).unwrap();
        config.dead_letter = dead_letter.map(|path| DeadLetterConfig { path: path.to_owned(), max_size: u64::MAX });
        let sink = Kafka::new(&config, "test").unwrap();
        let shared = Arc::clone(&sink.shared);
        let (sender, receiver) = queue(64 << 20);
        let (control, ledger) = (Control::new(timeout), Arc::default());
        let (ended, end) = mpsc::sync_channel(1);
        let parts = (control.clone(), Arc::clone(&ledger));
        thread::spawn(move || ended.send(run(sink, receiver, &parts.0, &parts.1, "test")));
        Self { cluster, sender: Some(sender), control, ledger, shared, end, sent: 0 }
    }

    /// Sends lines with their keys as one batch.
    fn send(&mut self, lines: &[(String, String)]) {
        let lines: Vec<_> = lines.iter().map(|(line, key)| (line.as_str(), TOPIC, key.as_str())).collect();
        let batch = batch(&self.ledger, self.sent, &lines);
        self.sent += lines.len() as u128;
        let sender = self.sender.as_ref().unwrap();
        let mut room = None;
        wait_for("room in the queue", || {
            room = sender.try_room(batch.size());
            room.is_some()
        });
        room.unwrap().send(batch);
    }

    /// Sends `count` records that say which of their key they are, in batches of 100.
    fn send_numbered(&mut self, count: usize, keys: usize) {
        let lines: Vec<_> = (0..count).map(|n| (format!("{}", n / keys), format!("k{}", n % keys))).collect();
        for lines in lines.chunks(100) {
            self.send(lines);
        }
    }

    /// Lets the sink come to its end, and gives what was delivered and dropped.
    fn finish(&mut self) -> (u64, u64) {
        self.sender = None;
        assert_eq!(self.end.recv_timeout(Duration::from_secs(60)).unwrap(), WorkerEnd::Finished);
        settled(&self.ledger)
    }

    fn read(&self, count: usize) -> Vec<Read> {
        read(&self.cluster, count)
    }
}

/// Reads `count` records back.
fn read(cluster: &MockCluster<'_, DefaultProducerContext>, count: usize) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "test");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < until, "{} of {count} records", records.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let header = message.headers().unwrap().get(0);
        assert_eq!(header.key, "id");
        records.push(Read { key: text(message.key()), id: text(header.value), value: text(message.payload()) });
    }
    // A record that Kafka has twice counts here, also if it has not come to this consumer.
    let stored = |partition| consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(30)).unwrap().1;
    assert_eq!((0..PARTITIONS).map(stored).sum::<i64>(), i64::try_from(count).unwrap(), "records in Kafka");
    records
}

/// Each key has its numbers in order, without a gap or a repetition.
fn assert_in_order(records: &[Read], count: usize, keys: usize) {
    let mut next: HashMap<&str, usize> = HashMap::new();
    for record in records {
        let next = next.entry(&record.key).or_default();
        assert_eq!(record.value, next.to_string(), "of {}", record.key);
        *next += 1;
    }
    assert_eq!(next.len(), keys);
    assert!(next.values().all(|next| *next == count / keys));
}

#[test]
fn key_value_and_id_arrive() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "5")]);
    fixture.sent = 0x0192_f1a0_0000_7000_8000_0000_0000_0000;
    fixture.send(&[("{\"a\":1}".to_owned(), "ABC".to_owned()), ("{}".to_owned(), String::new())]);
    assert_eq!(fixture.finish(), (2, 0));
    let mut records = fixture.read(2);
    records.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(records[0].key, "ABC");
    assert_eq!(records[0].value, "{\"a\":1}");
    assert_eq!(records[0].id, "0192f1a0-0000-7000-8000-000000000000");
    assert_eq!((records[1].key.as_str(), records[1].value.as_str()), ("", "{}"));
}

#[test]
fn the_timestamp_is_the_records_own_and_never_in_the_future() {
    const NOW: i64 = 1_732_414_300_000;
    let ledger = Arc::default();
    let batch = batch(&ledger, 1, &[("{}", TOPIC, "")]);
    let mut flight = Flight::<RDKafkaErrorCode>::default();
    flight.push(batch);
    let (ticket, batch, mut entry) = flight.next().unwrap();
    let sent = record(batch, &entry, TOPIC, ticket, NOW);
    assert_eq!((sent.timestamp, sent.key), (Some(1_732_414_235_000), None));
    entry.timestamp_ms = -5;
    assert_eq!(record(batch, &entry, TOPIC, ticket, NOW).timestamp, None);
    entry.timestamp_ms = NOW + 1;
    assert_eq!(record(batch, &entry, TOPIC, ticket, NOW).timestamp, Some(NOW));
    flight.drop_all(Reason::Shutdown);
}

#[test]
fn the_order_of_a_key_survives_errors_and_outages() {
    use RDKafkaRespErr::*;
    let mut fixture = Fixture::start(Duration::from_secs(60), &[("linger.ms", "2"), ("retry.backoff.ms", "10")]);
    for round in 0..10 {
        fixture.cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[
                RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RD_KAFKA_RESP_ERR__TRANSPORT,
                RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            ],
        );
        let down = round % 3 + 1;
        fixture.cluster.broker_down(down).unwrap();
        let lines: Vec<_> =
            (round * 2000..(round + 1) * 2000).map(|n| (format!("{}", n / 20), format!("k{}", n % 20))).collect();
        lines.chunks(100).for_each(|lines| fixture.send(lines));
        fixture.cluster.broker_up(down).unwrap();
    }
    assert_eq!(fixture.finish(), (20_000, 0));
    assert_in_order(&fixture.read(20_000), 20_000, 20);
}

#[test]
fn a_full_queue_of_librdkafka_only_delays() {
    let properties = [("queue.buffering.max.messages", "60"), ("linger.ms", "1")];
    let mut fixture = Fixture::start(Duration::from_secs(60), &properties);
    fixture.send_numbered(5000, 10);
    assert_eq!(fixture.finish(), (5000, 0));
    assert_in_order(&fixture.read(5000), 5000, 10);
}

#[test]
fn a_record_that_is_too_large_is_the_only_one_dropped() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("message.max.bytes", "3000"), ("linger.ms", "5")]);
    let text = |n: usize| if n == 37 { "x".repeat(5000) } else { n.to_string() };
    let lines: Vec<_> = (0..100).map(|n| (text(n), "k".to_owned())).collect();
    fixture.send(&lines);
    assert_eq!(fixture.finish(), (99, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::Rejected), 1);
    let values: Vec<_> = fixture.read(99).into_iter().map(|record| record.value).collect();
    let expected: Vec<_> = (0..100).filter(|n| *n != 37).map(text).collect();
    assert_eq!(values, expected);
}

#[test]
fn records_that_were_refused_with_another_are_sent_again() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "50")]);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let lines: Vec<_> = (0..100).map(|n| (n.to_string(), "k".to_owned())).collect();
    fixture.send(&lines);
    wait_for("the delivery", || fixture.ledger.delivered.load(Relaxed) == 100);
    assert_in_order(&fixture.read(100), 100, 1);
    // The client sends many to a request again, and goes on.
    fixture.send(&[("100".to_owned(), "k".to_owned())]);
    assert_eq!(fixture.finish(), (101, 0));
}

#[test]
fn a_record_that_is_refused_alone_is_dropped() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "50")]);
    // The errors of all records, of some, and of the first alone.
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP; 3];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let lines: Vec<_> = (0..10).map(|n| (n.to_string(), "k".to_owned())).collect();
    fixture.send(&lines);
    assert_eq!(fixture.finish(), (9, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::Rejected), 1);
    let values: Vec<_> = fixture.read(9).into_iter().map(|record| record.value).collect();
    assert_eq!(values, (1..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_topic_of_a_template_that_is_not_permitted_is_a_refusal() {
    let mut fixture = Fixture::start_to("{app_name}", Duration::from_secs(30), &[("linger.ms", "5")], None);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    fixture.send(&[("one".to_owned(), "k".to_owned())]);
    wait_for("the refusal", || fixture.ledger.dropped.get(Reason::Rejected) == 1);
    assert_eq!(fixture.finish(), (0, 1));
}

#[test]
fn all_records_wait_for_the_only_topic_until_it_is_permitted() {
    let mut fixture = Fixture::start(Duration::from_secs(60), &[("linger.ms", "5")]);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 3];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    fixture.send_numbered(300, 1);
    wait_for("the delivery", || fixture.ledger.delivered.load(Relaxed) == 300);
    assert!(fixture.ledger.retries.load(Relaxed) >= 1);
    assert_eq!(fixture.finish(), (300, 0));
    assert_in_order(&fixture.read(300), 300, 1);
}

#[test]
fn records_beyond_the_limit_of_topics_go_to_the_common_one() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["mail-a", "mail-b", "mail-c", "mail-others"] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    let mut config = config(cluster.bootstrap_servers(), &[("linger.ms", "5")]);
    (config.topic, config.max_routes) = (Template::parse("mail-{hostname}").unwrap(), 2);
    let (ledger, mut batches) = (Arc::default(), VecDeque::new());
    let lines: Vec<_> = ["a", "b", "c", "a"].map(|host| (host, format!("mail-{host}"))).into();
    let lines: Vec<_> = lines.iter().map(|(host, topic)| (*host, topic.as_str(), "")).collect();
    batches.push_back(batch(&ledger, 0, &lines));
    let mut sink = Kafka::new(&config, "test").unwrap();
    sink.write(&mut batches).unwrap();
    sink.finish(Instant::now() + Duration::from_secs(30)).unwrap();
    assert_eq!(settled(&ledger), (4, 0));
    let read = |topic: &str| {
        let (low, high) = watermarks(&cluster, topic);
        high - low
    };
    assert_eq!(["mail-a", "mail-b", "mail-c", "mail-others"].map(read), [2, 1, 0, 1]);
}

fn watermarks(cluster: &MockCluster<'_, DefaultProducerContext>, topic: &str) -> (i64, i64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "test");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.fetch_watermarks(topic, 0, Duration::from_secs(30)).unwrap()
}

#[test]
fn refused_records_are_dead_letters_before_they_are_resolved() {
    use nix::fcntl::{Flock, FlockArg};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let properties = [("message.max.bytes", "3000"), ("linger.ms", "5")];
    let mut fixture = Fixture::start_to("{app_name}", Duration::from_secs(30), &properties, Some(&path));
    let file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let large = "x".repeat(5000);
    fixture.send(&[("1".to_owned(), "k".to_owned()), (large.clone(), "k".to_owned()), ("3".to_owned(), String::new())]);
    // The file is not there for the sink.
    wait_for("an attempt", || fixture.ledger.retries.load(Relaxed) >= 1);
    assert_eq!((fixture.ledger.in_flight(), fixture.ledger.dropped.total()), (3, 0));
    drop(held);
    wait_for("the refusal", || fixture.ledger.dropped.get(Reason::Rejected) == 1);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    fixture.send(&[("4".to_owned(), String::new())]);
    // librdkafka's thread wakes the sink's.
    wait_for("the second refusal", || fixture.ledger.dropped.get(Reason::Rejected) == 2);
    assert_eq!(fixture.finish(), (2, 2));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [one, other] = lines[..] else { panic!("{text}") };
    assert!(one.contains("\"reason\":\"MessageSizeTooLarge (") && one.contains("\"key\":\"k\""), "{one}");
    assert!(one.ends_with(&format!(",\"record\":{large}}}")), "{one}");
    assert!(one.contains("\"id\":\"00000000-0000-0000-0000-000000000001\",\"timestamp_ms\":1732414235001"), "{one}");
    assert!(other.contains("\"reason\":\"TopicAuthorizationFailed (") && other.ends_with(",\"record\":4}"), "{other}");
}

#[test]
fn what_cannot_be_kept_before_the_stop_is_not_called_refused() {
    use nix::fcntl::{Flock, FlockArg};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let properties = [("message.max.bytes", "3000"), ("linger.ms", "5")];
    let mut fixture = Fixture::start_with(Duration::from_secs(2), &properties, Some(&path));
    let file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
    let _held = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    fixture.send(&[("x".repeat(5000), String::new())]);
    wait_for("an attempt", || fixture.ledger.retries.load(Relaxed) >= 1);
    fixture.control.stop();
    assert_eq!(fixture.finish(), (0, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::Shutdown), 1);
}

#[test]
fn an_error_that_is_not_the_records_leads_to_another_attempt() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "20")]);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS; 3];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    fixture.send_numbered(300, 1);
    wait_for("the delivery", || fixture.ledger.delivered.load(Relaxed) == 300);
    assert!(fixture.ledger.retries.load(Relaxed) >= 1);
    assert_eq!(fixture.finish(), (300, 0));
    assert_in_order(&fixture.read(300), 300, 1);
}

#[test]
fn a_producer_that_failed_is_made_anew() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "5")]);
    fixture.send_numbered(100, 1);
    wait_for("the first delivery", || fixture.ledger.delivered.load(Relaxed) == 100);
    // On the oldest request in flight this cannot be: librdkafka gives up for good.
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let lines: Vec<_> = (100..200).map(|n| (n.to_string(), "k0".to_owned())).collect();
    fixture.send(&lines);
    wait_for("the delivery", || fixture.ledger.delivered.load(Relaxed) == 200);
    fixture.send(&[("200".to_owned(), "k0".to_owned())]);
    assert!(fixture.ledger.retries.load(Relaxed) >= 1);
    assert_eq!(fixture.finish(), (201, 0));
    assert_in_order(&fixture.read(201), 201, 1);
}

#[test]
fn a_producer_that_may_not_begin_is_made_anew() {
    let mut fixture = Fixture::start(Duration::from_secs(30), &[("linger.ms", "5")]);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2];
    fixture.cluster.request_errors(RDKafkaApiKey::InitProducerId, &errors);
    fixture.send_numbered(100, 1);
    wait_for("the delivery", || fixture.ledger.delivered.load(Relaxed) == 100);
    assert_eq!(fixture.finish(), (100, 0));
    assert_in_order(&fixture.read(100), 100, 1);
}

#[test]
fn a_stop_without_a_broker_keeps_its_deadline() {
    let mut fixture = Fixture::start(Duration::from_secs(1), &[("linger.ms", "5")]);
    fixture.send_numbered(100, 1);
    wait_for("the first delivery", || fixture.ledger.delivered.load(Relaxed) == 100);
    fixture.cluster.broker_down(-1).unwrap();
    let lines: Vec<_> = (0..1000).map(|n| (n.to_string(), "k".to_owned())).collect();
    fixture.send(&lines);
    let stopped = Instant::now();
    fixture.control.stop();
    assert_eq!(fixture.finish(), (100, 1000));
    assert!(stopped.elapsed() >= Duration::from_millis(900));
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    assert_eq!(fixture.ledger.dropped.get(Reason::Shutdown), 1000);
}

#[test]
fn an_outage_ends_by_itself() {
    let mut fixture =
        Fixture::start(Duration::from_secs(30), &[("linger.ms", "5"), ("reconnect.backoff.max.ms", "200")]);
    fixture.cluster.broker_down(-1).unwrap();
    fixture.send_numbered(1000, 5);
    wait_for("an attempt to reach each broker", || fixture.shared.down.load(Relaxed));
    assert_eq!(fixture.ledger.in_flight(), 1000);
    fixture.cluster.broker_up(-1).unwrap();
    assert_eq!(fixture.finish(), (1000, 0));
    assert_in_order(&fixture.read(1000), 1000, 5);
}
