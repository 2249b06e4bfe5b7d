//! Does the cursor of a spool before Kafka pass what was delivered or refused, and nothing else, whatever the cluster
//! says?

use tempfile::TempDir;

use super::*;
use crate::config::{SinkConfig, SinkKind, SpoolConfig, SpoolMode, WhenFull};
use crate::select::Select;
use crate::sink::{Before, Worker, build};
use crate::spool::{Disk, Progress, Settings, Spool};

/// A sink with a spool at work on a cluster of its own.
struct Spooled {
    cluster: MockCluster<'static, DefaultProducerContext>,
    directory: TempDir,
    config: SinkConfig,
    running: Option<Running>,
    sent: usize,
}

struct Running {
    sender: Sender,
    workers: Vec<Worker>,
    control: Control,
    ledger: Arc<SinkLedger>,
}

impl Spooled {
    fn new(mode: SpoolMode) -> Self {
        Self::lingering(mode, "20")
    }

    /// With requests that wait this number of milliseconds for more records.
    fn lingering(mode: SpoolMode, linger: &str) -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let spool = SpoolConfig {
            directory: directory.path().to_owned(),
            mode,
            max_size: 1 << 30,
            segment_size: 64 << 10,
            min_free: 0,
            when_full: WhenFull::Block,
        };
        let properties = [("linger.ms", linger), ("retry.backoff.ms", "10"), ("reconnect.backoff.max.ms", "200")];
        let config = SinkConfig {
            name: "kafka".to_owned(),
            select: Select::default(),
            language: None,
            queue_size: 4 << 20,
            spool: Some(spool),
            kind: SinkKind::Kafka(config(cluster.bootstrap_servers(), &properties)),
        };
        Self { cluster, directory, config, running: None, sent: 0 }
    }

    /// Starts it; its end may take `seconds`.
    fn start(&mut self, seconds: u64) {
        let (sender, receiver) = queue(self.config.input_size());
        let (control, ledger) = (Control::new(Duration::from_secs(seconds)), Arc::default());
        let started = build(&self.config, receiver, 4 << 20, &Before::default(), &control, &ledger).unwrap();
        let workers = started.workers;
        self.running = Some(Running { sender, workers, control, ledger });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Sends `count` records that say which of their key they are, in batches of 10.
    fn send(&mut self, count: usize, keys: usize) {
        let lines: Vec<_> =
            (self.sent..self.sent + count).map(|n| (format!("{}", n / keys), format!("k{}", n % keys))).collect();
        let Running { sender, ledger, .. } = self.running();
        for (place, lines) in lines.chunks(10).enumerate() {
            let lines: Vec<_> = lines.iter().map(|(line, key)| (line.as_str(), TOPIC, key.as_str())).collect();
            let batch = batch(ledger, (self.sent + place * 10) as u128, &lines);
            let mut room = None;
            wait_for("room in the queue", || {
                room = sender.try_room(batch.size());
                room.is_some()
            });
            room.unwrap().send(batch);
        }
        self.sent += count;
    }

    /// Waits until this number of records is delivered.
    fn wait_delivered(&self, count: usize) {
        wait_for("the delivery", || self.running().ledger.delivered.load(Relaxed) >= count as u64);
    }

    /// Stops it at once, as a stop of the program does. Gives what was delivered and refused.
    fn stop(&mut self) -> (u64, u64) {
        let Running { sender, workers, control, ledger } = self.running.take().unwrap();
        control.stop();
        end(sender, workers);
        assert_eq!(ledger.dropped.total(), ledger.dropped.get(Reason::Rejected));
        settled(&ledger)
    }

    /// Lets it come to its end, with all delivered or refused.
    fn finish(&mut self) -> (u64, u64) {
        let Running { sender, workers, ledger, .. } = self.running.take().unwrap();
        end(sender, workers);
        assert_eq!(ledger.dropped.total(), ledger.dropped.get(Reason::Rejected));
        assert_eq!(ledger.spooled(), 0);
        settled(&ledger)
    }

    /// The bytes of the segment files.
    fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.directory.path()).unwrap().map(Result::unwrap);
        let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "seg"));
        // One may be deleted meanwhile.
        segments.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// The numbers of the records behind the cursor.
    fn pending(&self) -> Vec<usize> {
        assert!(self.running.is_none());
        let settings = Settings { free_space_floor: 0, ..Settings::default() };
        let (mut spool, _) = Spool::open(Disk::new(self.directory.path()), settings).unwrap();
        let mut numbers = Vec::new();
        while spool.read(64 << 10, |record| numbers.push(record.id.0 as usize)).unwrap() != Progress::End {}
        numbers
    }
}

/// The time of a test is bounded by what it waits for.
fn end(sender: Sender, mut workers: Vec<Worker>) {
    drop(sender);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for worker in &mut workers {
        let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), worker.ended()).await });
        assert_eq!(ended.unwrap(), WorkerEnd::Finished);
    }
}

/// Number of records that go in one request, also where fewer go after a refusal.
const FEW: usize = 60;

/// The answers of the cluster, and how many of the records are refused for good.
type Trouble = (&'static str, RDKafkaApiKey, &'static [RDKafkaRespErr], u64);

const TROUBLES: &[Trouble] = {
    use RDKafkaApiKey::{InitProducerId, Produce};
    use RDKafkaRespErr::*;
    &[
        ("not the leader", Produce, &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3], 0),
        ("a connection that breaks", Produce, &[RD_KAFKA_RESP_ERR__TRANSPORT; 3], 0),
        ("too few replicas", Produce, &[RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 3], 0),
        ("replicas that were too slow", Produce, &[RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND], 0),
        ("a request that timed out", Produce, &[RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 3], 0),
        ("a disk of the broker", Produce, &[RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 2], 0),
        ("acks that are not known", Produce, &[RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS; 3], 0),
        ("the cluster not permitted", Produce, &[RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED], 0),
        ("a producer not permitted", InitProducerId, &[RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2], 0),
        ("a producer that failed", Produce, &[RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER], 0),
        ("a request too large", Produce, &[RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE], 0),
        ("a record too large", Produce, &[RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 3], 1),
        ("a record of no use", Produce, &[RD_KAFKA_RESP_ERR_INVALID_RECORD; 3], 1),
        ("a topic not permitted", Produce, &[RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2], 0),
        ("a topic that is not there", Produce, &[RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART], 0),
    ]
};

/// Whatever Kafka answers: after it all, the cursor stands behind what was delivered or refused, and before the rest.
fn passes_what_has_an_answer(mode: SpoolMode) {
    // Each spends its time waiting.
    thread::scope(|scope| TROUBLES.iter().for_each(|trouble| drop(scope.spawn(move || meet(trouble, mode)))));
}

fn meet((what, api, errors, refused): &Trouble, mode: SpoolMode) {
    // All records that are sent go in one request: what it is answered concerns all of them.
    let mut spooled = Spooled::lingering(mode, "500");
    spooled.cluster.request_errors(*api, errors);
    spooled.start(1);
    spooled.send(FEW, 1);
    let ledger = Arc::clone(&spooled.running().ledger);
    let answered = || ledger.delivered.load(Relaxed) + ledger.dropped.total();
    wait_for(&format!("{what}: answers"), || answered() == FEW as u64);
    let count = ledger.dropped.total();
    assert_eq!(count, *refused, "{what}");
    // Records that come now get no answer before the stop, so they stay, and they alone.
    spooled.cluster.broker_down(-1).unwrap();
    spooled.send(50, 1);
    assert_eq!(spooled.stop(), (FEW as u64 - count, count), "{what}");
    assert_eq!(spooled.pending(), (FEW..FEW + 50).collect::<Vec<_>>(), "{what}");

    spooled.cluster.broker_up(-1).unwrap();
    spooled.start(60);
    assert_eq!(spooled.finish(), (50, 0), "{what}");
    assert_eq!(spooled.pending(), Vec::<usize>::new(), "{what}");
    let records = read(&spooled.cluster, FEW + 50 - count as usize);
    let values: Vec<usize> = records.iter().map(|record| record.value.parse().unwrap()).collect();
    assert!(values.is_sorted_by(|one, next| one < next), "{what}: out of order, or twice");
    assert_eq!(values[values.len() - 50..], (FEW..FEW + 50).collect::<Vec<_>>(), "{what}");
}

#[test]
fn overflow_passes_what_has_an_answer() {
    passes_what_has_an_answer(SpoolMode::Overflow);
}

#[test]
fn always_passes_what_has_an_answer() {
    passes_what_has_an_answer(SpoolMode::Always);
}

#[test]
fn a_stop_does_not_wait_for_brokers_that_are_away() {
    for mode in [SpoolMode::Overflow, SpoolMode::Always] {
        let mut spooled = Spooled::new(mode);
        spooled.cluster.broker_down(-1).unwrap();
        spooled.start(60);
        spooled.send(1000, 5);
        let begun = Instant::now();
        assert_eq!(spooled.stop(), (0, 0));
        assert!(begun.elapsed() < Duration::from_secs(30), "{mode:?}: {:?}", begun.elapsed());
        assert_eq!(spooled.pending(), (0..1000).collect::<Vec<_>>(), "{mode:?}");
    }
}

/// All brokers go and come back again and again while records come.
fn survives_outages(mode: SpoolMode) {
    const KEYS: usize = 20;
    let mut spooled = Spooled::new(mode);
    spooled.start(60);
    for round in 0..3 {
        spooled.send(1000, KEYS);
        spooled.wait_delivered(round * 2000 + 200);
        spooled.cluster.broker_down(-1).unwrap();
        let before = spooled.disk_bytes();
        spooled.send(1000, KEYS);
        wait_for("the disk", || spooled.disk_bytes() != before);
        spooled.cluster.broker_up(-1).unwrap();
    }
    assert_eq!(spooled.finish(), (6000, 0));
    assert_eq!(spooled.pending(), Vec::<usize>::new());
    assert_in_order(&read(&spooled.cluster, 6000), 6000, KEYS);
}

#[test]
fn overflow_survives_brokers_that_go_and_come() {
    survives_outages(SpoolMode::Overflow);
}

#[test]
fn always_survives_brokers_that_go_and_come() {
    survives_outages(SpoolMode::Always);
}

/// Answers take two seconds: a sink that is behind for that reason alone repeats nothing and keeps the order.
fn survives_slow_answers(mode: SpoolMode) {
    const KEYS: usize = 20;
    let mut spooled = Spooled::new(mode);
    (1..=3).for_each(|broker| spooled.cluster.broker_round_trip_time(broker, Duration::from_secs(2)).unwrap());
    spooled.start(60);
    spooled.send(1000, KEYS);
    wait_for("the disk", || spooled.disk_bytes() > 0);
    spooled.send(1000, KEYS);
    spooled.wait_delivered(2000);
    assert_eq!(spooled.finish(), (2000, 0));
    assert_eq!(spooled.pending(), Vec::<usize>::new());
    // The test itself reads without a delay.
    (1..=3).for_each(|broker| spooled.cluster.broker_round_trip_time(broker, Duration::ZERO).unwrap());
    assert_in_order(&read(&spooled.cluster, 2000), 2000, KEYS);
}

#[test]
fn overflow_survives_slow_answers() {
    survives_slow_answers(SpoolMode::Overflow);
}

#[test]
fn always_survives_slow_answers() {
    survives_slow_answers(SpoolMode::Always);
}
